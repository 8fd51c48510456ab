//! One server: JSON in, JSON out, failures told apart.

use crate::RemoteError;
use serde_json::Value;
use std::fmt;
use std::time::Duration;

/// Largest answer read, in bytes: a list of a whole vocabulary takes some 30 MB, times an array of prompts.
const LARGEST: u64 = 1 << 30;
/// Longest piece of a server's words that is repeated.
const WORDS: usize = 300;

/// Why a request has no answer.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The server understood and says no: asking again changes nothing.
    Refused {
        /// HTTP status.
        status: u16,
        /// Its words.
        message: String,
    },
    /// It asks to come back later.
    Busy {
        /// When.
        after: Option<Duration>,
        /// Its words.
        message: String,
    },
    /// It did not answer, or not with what was asked for.
    Broken(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Refused { status, message } => write!(f, "it refuses ({status}): {message}"),
            Failure::Busy { message, .. } => write!(f, "it is busy: {message}"),
            Failure::Broken(why) => f.write_str(why),
        }
    }
}

/// A server.
#[derive(Clone)]
pub(crate) struct Http {
    agent: ureq::Agent,
    root: String,
    key: Option<String>,
}

impl Http {
    /// `url` may end in `/v1`, as OpenAI clients have it.
    pub(crate) fn new(url: &str, key: Option<String>, deadline: Duration) -> Result<Http, RemoteError> {
        let wrong = |why: &str| RemoteError::Address { url: url.into(), why: why.into() };
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        let rest = rest.ok_or_else(|| wrong("it begins with neither http:// nor https://"))?;
        let host = rest.split('/').next().unwrap_or_default();
        if host.is_empty() {
            return Err(wrong("it has no host"));
        }
        if host.contains('@') {
            return Err(wrong("it has a password in it: pass the key in a variable instead (--api-key-env)"));
        }
        if rest.contains(['?', '#', ' ']) || rest.chars().any(char::is_control) {
            return Err(wrong("it has more than a path behind the host"));
        }
        let root = url.trim_end_matches('/');
        let root = root.strip_suffix("/v1").unwrap_or(root).to_owned();
        let agent = ureq::Agent::config_builder()
            .timeout_connect(Some(Duration::from_secs(10).min(deadline)))
            .timeout_global(Some(deadline))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_idle_connections(256)
            .max_idle_connections_per_host(256)
            .build()
            .into();
        Ok(Http { agent, root, key })
    }

    /// Its address without `/v1`.
    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    pub(crate) fn get(&self, path: &str) -> Result<Value, Failure> {
        let mut request = self.agent.get(format!("{}{path}", self.root));
        if let Some(key) = &self.key {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        self.answer(request.call())
    }

    pub(crate) fn post(&self, path: &str, body: String) -> Result<Value, Failure> {
        let mut request = self.agent.post(format!("{}{path}", self.root)).header("Content-Type", "application/json");
        if let Some(key) = &self.key {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        self.answer(request.send(body))
    }

    fn answer(&self, sent: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Value, Failure> {
        let mut response = sent.map_err(|e| Failure::Broken(e.to_string()))?;
        let status = response.status().as_u16();
        let after = response.headers().get("retry-after").and_then(|v| v.to_str().ok()?.parse().ok());
        let body = response.body_mut().with_config().limit(LARGEST).read_to_vec();
        let body = body.map_err(|e| Failure::Broken(format!("the answer breaks off: {e}")))?;
        match status {
            200 => serde_json::from_slice(&body).map_err(|e| Failure::Broken(format!("the answer is not JSON: {e}"))),
            429 | 503 => Err(Failure::Busy { after: after.map(Duration::from_secs), message: words(&body) }),
            500.. => Err(Failure::Broken(format!("the server failed ({status}): {}", words(&body)))),
            // A timeout of a proxy in between.
            408 => Err(Failure::Broken(words(&body))),
            _ => Err(Failure::Refused { status, message: words(&body) }),
        }
    }
}

/// What a server says of a failure, in whichever of the usual shapes.
fn words(body: &[u8]) -> String {
    let json = serde_json::from_slice::<Value>(body).unwrap_or_default();
    let known = ["/error/message", "/message", "/detail", "/error"];
    let text = known.iter().find_map(|p| Some(json.pointer(p)?.as_str()?.to_owned()));
    let text = text.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    // Nothing of a server's may act on the terminal.
    let text: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS).collect();
    if text.is_empty() { "no reason given".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        let root = |url: &str| Http::new(url, None, Duration::from_secs(1)).map(|h| h.root().to_owned());
        assert_eq!(root("http://a:8000/v1").unwrap(), "http://a:8000");
        assert_eq!(root("https://a/proxy/v1/").unwrap(), "https://a/proxy");
        assert_eq!(root("http://a:1").unwrap(), "http://a:1");
        for wrong in ["", "a:8000", "ftp://a", "http://", "http:///v1", "http://u:p@a/v1", "http://a/v1?x=1"] {
            assert!(root(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn words_are_found_and_harmless() {
        assert_eq!(words(br#"{"error":{"message":"too long"}}"#), "too long");
        assert_eq!(words(br#"{"detail":"x"}"#), "x");
        assert_eq!(words(b"\x1b[31mred"), " [31mred");
        assert_eq!(words(b""), "no reason given");
        assert_eq!(words(&[b'a'; 1000]).len(), WORDS);
    }
}
