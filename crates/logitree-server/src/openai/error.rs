//! Errors in the format of OpenAI's API, and an extractor of bodies that fails with them.

use crate::problem::{self, Problem};
use axum::Json;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;
use utoipa::ToSchema;

/// What went wrong.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    /// What was wrong, and the fix.
    pub message: String,
    /// What kind of error it is.
    pub r#type: &'static str,
    /// The parameter that was wrong.
    pub param: Option<String>,
    /// A short code of the error, for programs.
    pub code: Option<&'static str>,
}

/// An error's shape.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ErrorShape {
    pub error: ErrorBody,
}

/// An error with its HTTP status.
#[derive(Clone, Debug)]
pub struct Failure {
    status: StatusCode,
    shape: ErrorShape,
}

impl Failure {
    pub fn new(
        status: StatusCode,
        message: impl Into<String>,
        param: Option<&str>,
        code: Option<&'static str>,
    ) -> Failure {
        let r#type = match status {
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            s if s.is_server_error() => "server_error",
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "authentication_error",
            _ => "invalid_request_error",
        };
        let error = ErrorBody { message: message.into(), r#type, param: param.map(Into::into), code };
        Failure { status, shape: ErrorShape { error } }
    }

    /// The error for a parameter with a value that is not valid.
    pub fn value(param: &str, message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, message, Some(param), Some("invalid_value"))
    }

    /// The error for a parameter that would change the answer but is not supported.
    pub fn unsupported(param: &str, message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, message, Some(param), Some("unsupported_parameter"))
    }

    /// The error for a prompt and answer that are too long for the model.
    pub fn context(param: &str, message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, message, Some(param), Some("context_length_exceeded"))
    }

    pub fn no_model(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::NOT_FOUND, message, Some("model"), Some("model_not_found"))
    }

    pub fn busy(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::TOO_MANY_REQUESTS, message, None, Some("rate_limit_exceeded"))
    }

    /// The error for a server that is shutting down.
    pub fn down() -> Failure {
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, "the server is going down", None, Some("shutting_down"))
    }

    /// The error for a failure of the server itself.
    pub fn internal(e: impl std::fmt::Display) -> Failure {
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, e.to_string(), None, None)
    }

    /// The error as JSON, for a stream that has already begun.
    pub fn json(&self) -> String {
        serde_json::to_string(&self.shape).unwrap_or_default()
    }
}

impl From<Problem> for Failure {
    fn from(p: Problem) -> Failure {
        let status = StatusCode::from_u16(p.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let code = (status == StatusCode::UNAUTHORIZED).then_some("invalid_api_key");
        Failure::new(status, p.detail, None, code)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.shape)).into_response();
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        }
        response
    }
}

/// Extracts a JSON body; the client need not send its content type.
pub struct Input<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Input<T> {
    type Rejection = Failure;
    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let bytes = problem::body(request, state, problem::PATIENCE).await?;
        parse(&bytes).map(Input)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|e| {
        let param =
            e.path().iter().next().is_some_and(|s| !matches!(s, Segment::Unknown)).then(|| e.path().to_string());
        let inner = e.inner();
        if inner.is_data() {
            let place = param.as_ref().map_or(String::new(), |p| format!("{p}: "));
            return Failure::new(
                StatusCode::BAD_REQUEST,
                format!("{place}{inner}"),
                param.as_deref(),
                Some("invalid_type"),
            );
        }
        Failure::new(StatusCode::BAD_REQUEST, format!("the body is not JSON: {inner}"), None, Some("invalid_json"))
    })?;
    let end = json.end();
    end.map_err(|e| {
        Failure::new(StatusCode::BAD_REQUEST, format!("the body is not JSON: {e}"), None, Some("invalid_json"))
    })?;
    Ok(value)
}
