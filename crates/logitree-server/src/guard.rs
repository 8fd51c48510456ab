//! Decides which requests are allowed: those with the token, from the server's own pages, under the server's own name.

use super::connections::Known;
use super::openai::{self, error::Failure};
use super::problem::Problem;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Redirect, Response};
use std::net::SocketAddr;
use std::sync::Arc;

/// The settings that every request is checked against.
pub struct Guard {
    /// The secret that a client must show.
    pub token: String,
    /// The address on which the server listens.
    pub address: SocketAddr,
    /// Whether other machines may connect, under any name that they know the server by.
    pub remote: bool,
    /// Origins, in lower case, whose pages may use the OpenAI-compatible API with the token.
    pub origins: Vec<String>,
}

const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; \
                   base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The policy of the page for a browser without the cookie. Its form sends the token as the printed link does, so the
/// form may be sent to this server.
const LOCKED_CSP: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const LOCKED: &str = "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\"><title>logitree</title>
<style>body{font:17px/1.5 system-ui,sans-serif;max-width:34em;margin:18vh auto;padding:0 1em;color-scheme:light dark}input,button{font:inherit;padding:.3em .6em}</style>
<h1>This page needs the server's token</h1>
<p>Open the link that <code>logitree serve</code> printed in its terminal: it lets this browser in once and for all. Or put the token of that link here:
<form action=/ method=get><input name=token aria-label=Token autocomplete=off autofocus required> <button>Enter</button></form>";

impl Guard {
    /// The name of the cookie. Cookies are shared by all ports of a host, so each server needs a name of its own.
    fn cookie(&self) -> String {
        format!("logitree-{}", self.address.port())
    }

    fn knows(&self, given: &str) -> bool {
        // Compare every byte, so that the time taken does not reveal how many bytes are right.
        let same = given.bytes().zip(self.token.bytes()).fold(0, |acc, (a, b)| acc | (a ^ b));
        given.len() == self.token.len() && same == 0
    }

    fn is_allowed(&self, headers: &HeaderMap) -> bool {
        // Names of schemes are case-insensitive (RFC 9110, 11.1).
        let scheme =
            |v: &HeaderValue| v.to_str().ok()?.split_once(' ').map(|(s, t)| (s.to_owned(), t.trim().to_owned()));
        let given = headers.get(header::AUTHORIZATION).and_then(scheme);
        if given.is_some_and(|(scheme, t)| scheme.eq_ignore_ascii_case("bearer") && self.knows(&t)) {
            return true;
        }
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok());
        let pairs = cookies.flat_map(|c| c.split(';')).filter_map(|c| c.trim().split_once('='));
        let name = self.cookie();
        pairs.into_iter().any(|(k, v)| k == name && self.knows(v))
    }

    /// Whether the name by which the client reached the server is one of the server's own. Otherwise a foreign web
    /// page could make its own name point to this machine and read the answers (DNS rebinding).
    fn is_own_host(&self, host: &str) -> bool {
        // Names of hosts are case-insensitive.
        let host = &host.to_ascii_lowercase()[..];
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !port.is_empty() => name,
            _ => host,
        };
        self.remote
            || ["localhost", "127.0.0.1", "[::1]"].contains(&name)
            || name.trim_matches(['[', ']']) == self.address.ip().to_string()
    }

    /// The origin of a request, if its pages may use this part of the server. Only the server's own pages may use
    /// runs.
    fn guest(&self, request: &Request) -> Option<HeaderValue> {
        let origin = request.headers().get(header::ORIGIN)?;
        let named = self.origins.iter().any(|o| origin.as_bytes().eq_ignore_ascii_case(o.as_bytes()));
        (named && openai::is_openai(request.uri().path())).then(|| origin.clone())
    }

    /// Whether this is a CORS preflight: a browser asks, without the token, whether a page may send a request.
    fn is_preflight(request: &Request) -> bool {
        request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
    }

    fn check(&self, request: &Request) -> Result<(), Problem> {
        let headers = request.headers();
        let host = headers.get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or_default();
        if !self.is_own_host(host) {
            return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, format!("this server is not {host:?}")));
        }
        if let Some(origin) = headers.get(header::ORIGIN) {
            let own = [format!("http://{host}"), format!("https://{host}")];
            if !own.iter().any(|o| origin.as_bytes().eq_ignore_ascii_case(o.as_bytes()))
                && self.guest(request).is_none()
            {
                let detail = if openai::is_openai(request.uri().path()) {
                    "requests from pages of other sites are refused: the server can be started with --allow-origin for this one"
                } else {
                    "requests from other sites are refused"
                };
                return Err(Problem::new(StatusCode::FORBIDDEN, detail));
            }
        }
        if Guard::is_preflight(request) && self.guest(request).is_some() {
            return Ok(());
        }
        if !self.is_allowed(headers) {
            let detail = "open the link that `logitree serve` printed, or send its token as `Authorization: Bearer`";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, detail));
        }
        Ok(())
    }

    /// Handles the printed link: sets the cookie, and redirects to the address without the token.
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

/// The answer to a CORS preflight. Cookies are not allowed, so pages of other origins must send the token in a header.
fn permission(wanted: Option<HeaderValue>) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        wanted.unwrap_or(HeaderValue::from_static("authorization, content-type")),
    );
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    // Chromium asks for this before a page may send requests to a server on the local machine.
    headers.insert(
        header::HeaderName::from_static("access-control-allow-private-network"),
        HeaderValue::from_static("true"),
    );
    response
}

/// Whether a person opened this address in a browser, rather than a program asking for data.
fn is_page(request: &Request) -> bool {
    let accepts = request.headers().get(header::ACCEPT).and_then(|a| a.to_str().ok()).unwrap_or_default();
    let path = request.uri().path();
    request.method() == Method::GET
        && accepts.contains("text/html")
        && !openai::is_openai(path)
        && !path.starts_with("/api/")
}

/// Checks a request, and adds the usual headers to the response.
pub async fn guard(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let is_openai = openai::is_openai(request.uri().path());
    let is_api = is_openai || request.uri().path().starts_with("/api/");
    let welcome = guard.welcome(&request);
    let guest = guard.guest(&request);
    let preflight = Guard::is_preflight(&request) && guest.is_some();
    let wanted = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let checked = guard.check(&request);
    let is_page = is_page(&request);
    let mut csp = CSP;
    if !preflight
        && checked.is_ok()
        && let Some(known) = request.extensions().get::<Known>()
    {
        known.set();
    }
    let mut response = match (welcome, checked) {
        (Some(welcome), _) => welcome,
        (None, Ok(())) if preflight => permission(wanted),
        (None, Ok(())) => next.run(request).await,
        (None, Err(problem)) if is_page && problem.status == StatusCode::UNAUTHORIZED.as_u16() => {
            csp = LOCKED_CSP;
            (StatusCode::UNAUTHORIZED, Html(LOCKED)).into_response()
        }
        (None, Err(problem)) if is_openai => Failure::from(problem).into_response(),
        (None, Err(problem)) => problem.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, csp),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Answers of the OpenAI-compatible API depend on the origin of the page, so caches must keep them apart.
    if is_openai {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    if let Some(origin) = guest {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, header::RETRY_AFTER.into());
        let anywhere = HeaderValue::from_static("cross-origin");
        headers.insert(header::HeaderName::from_static("cross-origin-resource-policy"), anywhere);
    }
    // Runs change, so answers of the API are not stored; the page may be stored but must be revalidated before use.
    let cache = if is_api { "no-store" } else { "no-cache" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}

/// Normalizes an origin to lower case, as browsers send it: `https://example.org`, `http://localhost:3000`, or `null`
/// for pages from files.
///
/// # Errors
/// If the text is not an origin; the error says why.
pub fn origin(text: &str) -> Result<String, String> {
    let origin = text.trim_end_matches('/').to_ascii_lowercase();
    if origin == "null" {
        return Ok(origin);
    }
    let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    let host = host.ok_or("an origin is http://HOST, https://HOST:PORT or the like, or null for pages from files")?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    if host.is_empty() || !host.chars().all(is_plain) {
        return Err("an origin has nothing but a host and a port behind http:// or https://".into());
    }
    Ok(origin)
}

#[cfg(test)]
mod tests {
    use super::origin;

    #[test]
    fn origins_are_what_browsers_send() {
        assert_eq!(origin("HTTPS://Example.org/").unwrap(), "https://example.org");
        for good in ["http://localhost:3000", "null", "http://[::1]:80"] {
            assert_eq!(origin(good).unwrap(), good);
        }
        for wrong in
            ["", "*", "example.org", "https://", "https://a/b", "https://a?b", "http://u@a", "ftp://a", "http://a b"]
        {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
    }
}
