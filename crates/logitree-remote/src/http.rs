//! HTTP requests to one server: JSON in, JSON out. Failures are sorted by whether repeating the request may help.

use crate::RemoteError;
use serde_json::Value;
use std::fmt;
use std::time::Duration;

/// Bytes that an answer may take beside prompts and listed tokens, for names, texts and other fields.
pub(crate) const SMALL: u64 = 64 << 10;
/// Bytes that an answer takes per listed token, generously: its text with all bytes, id and log probability.
const PER_ENTRY: u64 = 128;
/// Bytes that an answer takes per byte of the request: servers repeat prompts, and their JSON has escapes.
const PER_BYTE: u64 = 16;
/// Longest part of a server's error message that is shown, in characters.
const WORDS: usize = 300;

/// Why a request has no answer.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The server understood the request and refuses it: asking again changes nothing.
    Refused {
        /// HTTP status.
        status: u16,
        /// The server's message.
        message: String,
    },
    /// The server is too busy now: the request may be repeated later.
    Busy {
        /// How long to wait, if the server says so.
        after: Option<Duration>,
        /// The server's message.
        message: String,
    },
    /// The server did not answer, or the answer cannot be used.
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

/// A server's address, its key, and the connections to it.
#[derive(Clone)]
pub(crate) struct Http {
    agent: ureq::Agent,
    root: String,
    key: Option<String>,
}

impl Http {
    /// Checks the address. It may end in `/v1`, as in the settings of OpenAI clients.
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

    /// The server's address without `/v1`.
    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    /// The answer to a GET request, such as the list of models.
    pub(crate) fn get(&self, path: &str) -> Result<Value, Failure> {
        let mut request = self.agent.get(format!("{}{path}", self.root));
        if let Some(key) = &self.key {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        // The properties of a server contain its chat template and its settings, which may be long.
        self.answer(request.call(), 32 * SMALL)
    }

    /// The answer to a POST request. It is an error if it has more than `most` bytes, and the rest is not read.
    pub(crate) fn post(&self, path: &str, body: String, most: u64) -> Result<Value, Failure> {
        let mut request = self.agent.post(format!("{}{path}", self.root)).header("Content-Type", "application/json");
        if let Some(key) = &self.key {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        self.answer(request.send(body), most)
    }

    fn answer(&self, sent: Result<ureq::http::Response<ureq::Body>, ureq::Error>, most: u64) -> Result<Value, Failure> {
        let mut response = sent.map_err(|e| Failure::Broken(e.to_string()))?;
        let status = response.status().as_u16();
        let after = response.headers().get("retry-after").and_then(|v| v.to_str().ok()?.parse().ok());
        let body = response.body_mut().with_config().limit(most).read_to_vec();
        let body = body.map_err(|e| match e {
            ureq::Error::BodyExceedsLimit(_) => {
                Failure::Broken(format!("the answer has more than {most} bytes, far more than was asked for"))
            }
            e => Failure::Broken(format!("the answer breaks off: {e}")),
        })?;
        match status {
            200 => parse(body).map_err(|e| Failure::Broken(format!("the answer is not JSON: {e}"))),
            429 | 503 => Err(Failure::Busy { after: after.map(Duration::from_secs), message: words(&body) }),
            500.. => Err(Failure::Broken(format!("the server failed ({status}): {}", words(&body)))),
            // This status comes from a proxy between here and the server that did not wait long enough.
            408 => Err(Failure::Broken(words(&body))),
            _ => Err(Failure::Refused { status, message: words(&body) }),
        }
    }
}

/// Parses a JSON answer. Python's servers write `-Infinity` for tokens that cannot come. JSON has no such number, so it
/// is read as null.
pub(crate) fn parse(mut body: Vec<u8>) -> serde_json::Result<Value> {
    const WORD: &[u8] = b"-Infinity";
    serde_json::from_slice(&body).or_else(|e| {
        let (mut in_string, mut at, mut found) = (false, 0, false);
        while at < body.len() {
            match body[at] {
                b'\\' if in_string => at += 1,
                b'"' => in_string = !in_string,
                b'-' if !in_string && body[at..].starts_with(WORD) => {
                    body[at..at + WORD.len()].copy_from_slice(b"null     ");
                    found = true;
                }
                _ => {}
            }
            at += 1;
        }
        if found { serde_json::from_slice(&body) } else { Err(e) }
    })
}

/// Most bytes that are read of an answer about `paths` prompts, which are `bytes` long together, with `top` tokens
/// listed for each.
pub(crate) fn most(bytes: usize, paths: usize, top: usize) -> u64 {
    let (bytes, paths, entries) = (bytes as u64, paths as u64, (top as u64).saturating_add(1));
    paths
        .saturating_mul(SMALL.saturating_add(entries.saturating_mul(PER_ENTRY)))
        .saturating_add(bytes.saturating_mul(PER_BYTE))
}

/// A server's error message: one of the usual JSON fields, or else the whole body.
fn words(body: &[u8]) -> String {
    let json = serde_json::from_slice::<Value>(body).unwrap_or_default();
    let known = ["/error/message", "/message", "/detail", "/error"];
    let text = known.iter().find_map(|p| Some(json.pointer(p)?.as_str()?.to_owned()));
    let text = text.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    // A server's words may be shown in a terminal: control characters in them must not act there.
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
    fn pythons_minus_infinity_is_null_but_not_in_texts() {
        let read = |text: &str| parse(text.into());
        let expected = serde_json::json!({ "a\\\"-Infinity": [null, -1.5, null] });
        assert_eq!(read(r#"{"a\\\"-Infinity": [-Infinity, -1.5, -Infinity]}"#).unwrap(), expected);
        for wrong in ["[Infinity]", "[NaN]", "[-Infinit]", "[-Infinity", "-", "[--Infinity]"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn room_is_what_was_asked_for() {
        assert_eq!(most(0, 1, 0), SMALL + PER_ENTRY);
        assert!(most(2000, 4, 100) < 512 << 10);
        assert_eq!(most(usize::MAX, usize::MAX, usize::MAX), u64::MAX);
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
