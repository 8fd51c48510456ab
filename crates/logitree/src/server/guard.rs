//! Who may talk to the server: the holder of the token, from this server's own pages, under its own name.

use super::openai::{self, error::Failure};
use super::problem::Problem;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use std::net::SocketAddr;
use std::sync::Arc;

/// What is checked on every request.
pub struct Guard {
    pub token: String,
    pub address: SocketAddr,
    /// Reached from other machines, under whatever name they know.
    pub remote: bool,
}

const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; \
                   base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

impl Guard {
    /// Cookies do not know ports: each server has a name of its own.
    fn cookie(&self) -> String {
        format!("logitree-{}", self.address.port())
    }

    fn knows(&self, given: &str) -> bool {
        // Every byte is compared, so that the time tells nothing.
        let same = given.bytes().zip(self.token.bytes()).fold(0, |acc, (a, b)| acc | (a ^ b));
        given.len() == self.token.len() && same == 0
    }

    fn is_allowed(&self, headers: &HeaderMap) -> bool {
        let bearer = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()?.strip_prefix("Bearer "));
        if bearer.is_some_and(|t| self.knows(t)) {
            return true;
        }
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok());
        let pairs = cookies.flat_map(|c| c.split(';')).filter_map(|c| c.trim().split_once('='));
        let name = self.cookie();
        pairs.into_iter().any(|(k, v)| k == name && self.knows(v))
    }

    /// The name that the client knows the server by must be one of its own: a page elsewhere cannot point a
    /// name of its own at this machine.
    fn is_own_host(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !port.is_empty() => name,
            _ => host,
        };
        self.remote
            || ["localhost", "127.0.0.1", "[::1]"].contains(&name)
            || name.trim_matches(['[', ']']) == self.address.ip().to_string()
    }

    fn check(&self, request: &Request) -> Result<(), Problem> {
        let headers = request.headers();
        let host = headers.get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or_default();
        if !self.is_own_host(host) {
            return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, format!("this server is not {host:?}")));
        }
        if let Some(origin) = headers.get(header::ORIGIN) {
            let own = [format!("http://{host}"), format!("https://{host}")];
            if !own.iter().any(|o| origin.as_bytes() == o.as_bytes()) {
                return Err(Problem::new(StatusCode::FORBIDDEN, "requests from other sites are refused"));
            }
        }
        if !self.is_allowed(headers) {
            let detail = "open the link that `logitree serve` printed, or send its token as `Authorization: Bearer`";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, detail));
        }
        Ok(())
    }

    /// The printed link: sets the cookie and takes the token out of the address.
    fn welcome(&self, request: &Request) -> Option<Response> {
        if request.method() != Method::GET || request.uri().path() != "/" {
            return None;
        }
        let token = request.uri().query()?.split('&').find_map(|p| p.strip_prefix("token="))?;
        if !self.knows(token) {
            return None;
        }
        let cookie = format!("{}={}; Path=/; HttpOnly; SameSite=Strict", self.cookie(), self.token);
        let mut response = Redirect::to("/").into_response();
        response.headers_mut().insert(header::SET_COOKIE, HeaderValue::from_str(&cookie).ok()?);
        Some(response)
    }
}

/// Checks a request and puts the usual headers on what comes back.
pub async fn guard(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let is_openai = openai::is_openai(request.uri().path());
    let is_api = is_openai || request.uri().path().starts_with("/api/");
    let welcome = guard.welcome(&request);
    let mut response = match (welcome, guard.check(&request)) {
        (Some(welcome), _) => welcome,
        (None, Ok(())) => next.run(request).await,
        (None, Err(problem)) if is_openai => Failure::from(problem).into_response(),
        (None, Err(problem)) => problem.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CSP),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Runs change; the page belongs to this very binary.
    let cache = if is_api { "no-store" } else { "no-cache" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}
