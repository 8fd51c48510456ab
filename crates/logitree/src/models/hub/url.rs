//! Parses and writes URLs, and makes a server's messages safe to show.

use crate::visible::visible;
use std::fmt::Write;
use ureq::http::{HeaderMap, Uri};

/// Number of characters of a server's message that are shown at most.
const WORDS: usize = 300;

/// Scheme, host and port of a URL; `None` if it is not an HTTP or HTTPS address.
pub(super) fn origin(url: &str) -> Option<(String, String, u16)> {
    let uri: Uri = url.parse().ok()?;
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let default = match scheme.as_str() {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    let host = uri.host().filter(|h| !h.is_empty())?.to_ascii_lowercase();
    Some((scheme, host, uri.port_u16().unwrap_or(default)))
}

/// The address that a redirect leads to; `None` if it is not an address, or would leave HTTPS for HTTP.
pub(super) fn target(from: &str, location: &str) -> Option<String> {
    let (scheme, ..) = origin(from)?;
    if location.starts_with("//") {
        return target(from, &format!("{scheme}:{location}"));
    }
    if location.starts_with('/') {
        let uri: Uri = from.parse().ok()?;
        return Some(format!("{scheme}://{}{location}", uri.authority()?));
    }
    let (to, ..) = origin(location)?;
    (to == scheme || to == "https").then(|| location.to_owned())
}

/// Host and port of a URL, for messages.
pub(super) fn host(url: &str) -> String {
    url.parse::<Uri>().ok().and_then(|u| Some(u.authority()?.to_string())).unwrap_or_else(|| url.into())
}

/// The URL without its query, which may contain a signature that must not be shown.
pub(super) fn without_query(url: &str) -> String {
    url.split('?').next().unwrap_or_default().into()
}

/// Percent-encodes all bytes except ASCII letters, digits, `-._~` and the characters in `also`.
pub(super) fn quoted(text: &str, also: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() || b"-._~".contains(&b) || also.as_bytes().contains(&b) {
            out.push(b as char);
        } else {
            let _ = write!(out, "%{b:02X}");
        }
    }
    out
}

/// The Hub's own message about a failure, in brackets with a space in front; empty if there is none.
pub(super) fn said(headers: &HeaderMap) -> String {
    let words = headers.get("x-error-message").map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
    words.filter(|w| !w.trim().is_empty()).map_or(String::new(), |w| format!(" ({})", harmless(w.trim())))
}

/// A server's text cut to [`WORDS`] characters, with nothing in it that a terminal would obey.
pub(super) fn harmless(text: &str) -> String {
    visible(text).chars().take(WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_where_they_say() {
        let from = "https://hub:8443/a/b?c";
        assert_eq!(target(from, "/x/y?z").as_deref(), Some("https://hub:8443/x/y?z"));
        assert_eq!(target(from, "//cdn/x").as_deref(), Some("https://cdn/x"));
        assert_eq!(target(from, "https://cdn/x?sig=1%2F").as_deref(), Some("https://cdn/x?sig=1%2F"));
        assert_eq!(target("http://hub/", "https://cdn/x").as_deref(), Some("https://cdn/x"));
        for wrong in ["http://cdn/x", "ftp://cdn/x", "x/y", "", "https://", "file:///etc/passwd", "https://a b/"] {
            assert_eq!(target(from, wrong), None, "{wrong}");
        }
    }

    #[test]
    fn hosts_are_the_same_only_with_scheme_and_port() {
        assert_eq!(origin("https://Hub/x"), origin("https://hub:443"));
        for other in ["http://hub", "https://hub:444", "https://hub.evil", "https://evil/hub", "https://hub@evil"] {
            assert_ne!(origin(other), origin("https://hub"), "{other}");
        }
        assert_eq!(origin("hub"), None);
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(quoted("refs/pr/1", ""), "refs%2Fpr%2F1");
        assert_eq!(quoted("Q4/a b#?%.gguf", "/"), "Q4/a%20b%23%3F%25.gguf");
        assert_eq!(quoted("é", ""), "%C3%A9");
        assert_eq!(harmless("a\x1b[31m\n\u{202e}b"), "a\u{fffd}[31m↵\\u202eb");
    }
}
