//! The type of server-sent events in the OpenAPI document.

use utoipa::ToSchema;

/// One event of a `text/event-stream`: before version 3.2, OpenAPI has no other place for it than the stream's schema
#[derive(ToSchema)]
#[allow(dead_code, reason = "only its schema is used")]
pub struct ServerSentEvent {
    /// Its kind; `message` if the stream names none.
    event: Option<String>,
    id: Option<String>,
    data: String,
}
