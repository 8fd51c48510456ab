//! Errors as RFC 9457 problem documents, and extractors that fail with them.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use logitree::{Error, ErrorKind};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use utoipa::ToSchema;

/// Largest body of a request, in bytes, except for files.
pub const BODY: usize = 4 << 20;
/// Largest file that can be imported, in bytes.
pub const FILE: usize = 100 << 20;

/// What went wrong, for programs and people.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// What kind of problem it is.
    pub title: String,
    /// What was wrong this time, and the fix.
    pub detail: String,
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Problem {
        let title = status.canonical_reason().unwrap_or("Error").to_string();
        Problem { status: status.as_u16(), title, detail: detail.into() }
    }

    pub fn bad(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, detail)
    }

    pub fn not_found(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, detail)
    }

    pub fn conflict(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::CONFLICT, detail)
    }

    /// Makes a problem for a failure of the server itself.
    pub fn internal(e: impl std::fmt::Display) -> Problem {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, e.to_string())
    }
}

/// Converts an error to a problem. The request was well-formed, so the kind of the error decides whose fault it is:
/// failures of files and of the engine are not the client's.
impl From<Error> for Problem {
    fn from(e: Error) -> Problem {
        let status = match e.kind() {
            ErrorKind::Parameter(_) | ErrorKind::Input | ErrorKind::Unsupported => StatusCode::BAD_REQUEST,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::Network => StatusCode::BAD_GATEWAY,
            ErrorKind::Interrupted => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Problem::new(status, e.chain())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, [(header::CONTENT_TYPE, "application/problem+json")], Json(self)).into_response()
    }
}

/// Extracts a JSON body.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (parts, inner) = request.into_parts();
        let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") && !kind.to_ascii_lowercase().ends_with("+json") {
            let detail = format!("the body must be JSON: send it with Content-Type: application/json, not {kind:?}");
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
        let bytes = body(Request::from_parts(parts, inner), state, PATIENCE).await?;
        Json::<T>::from_bytes(&bytes)
            .map(|Json(value)| Body(value))
            .map_err(|e| Problem::new(e.status(), e.body_text()))
    }
}

/// Longest time in which the body of a request must arrive.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Reads the whole body of a request, which must arrive in time and not be larger than the route allows.
pub async fn body<S: Send + Sync>(request: Request, state: &S, patience: Duration) -> Result<Bytes, Problem> {
    match tokio::time::timeout(patience, Bytes::from_request(request, state)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(e)) if e.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            let most = |bytes: usize| format!("{} MiB", bytes >> 20);
            let detail =
                format!("the body is too large: requests have up to {}, files up to {}", most(BODY), most(FILE));
            Err(Problem::new(e.status(), detail))
        }
        Ok(Err(e)) => Err(Problem::new(e.status(), e.body_text())),
        Err(_) => {
            let detail = format!("the body did not come in {} seconds", patience.as_secs());
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, detail))
        }
    }
}

/// Extracts a file sent as the body.
pub struct Upload(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Upload {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        // Files can be large and connections slow, so a file has more time than other bodies.
        body(request, state, 10 * PATIENCE).await.map(Upload)
    }
}

/// Extracts the parameters in the query of the URL.
pub struct Parameters<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Parameters(value)),
            Err(e) => Err(Problem::new(e.status(), e.body_text())),
        }
    }
}

/// Extracts the parameters in the path of the URL.
pub struct Place<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Place<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Place(value)),
            Err(e) => Err(Problem::new(e.status(), e.body_text())),
        }
    }
}
