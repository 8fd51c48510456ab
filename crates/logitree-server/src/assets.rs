//! The files of the web app, embedded in the binary.

use super::problem::Problem;
use axum::http::{HeaderMap, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

#[derive(rust_embed::RustEmbed)]
#[folder = "app"]
#[allow_missing = true]
struct Dist;

const NOT_BUILT: &str = "<!doctype html><html lang=en><meta charset=utf-8><title>logitree</title>
<h1>The web app is not part of this binary</h1>
<p>The program was built before the web app was. With Node 20 or newer, in the repository's folder:
<pre>npm --prefix web ci
npm --prefix web run build
cargo build --release -p logitree-cli</pre>
<p>The API works without it: see <a href=/api/v1/openapi.json>/api/v1/openapi.json</a>.";

/// Whether this binary contains the web app.
pub fn is_built() -> bool {
    Dist::get("app.js").is_some()
}

/// The text of a file of the web app; `None` if there is no such file.
pub fn text(name: &str) -> Option<String> {
    String::from_utf8(Dist::get(name)?.data.into_owned()).ok()
}

/// Serves the page and the files of the web app.
///
/// Only these files are compressed, not the API's answers: a compressor would hold back events until it has enough of
/// them.
pub async fn serve(uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    let name = if path.is_empty() { "index.html" } else { path };
    let Some(file) = Dist::get(name) else {
        return match name {
            "index.html" => Html(NOT_BUILT).into_response(),
            _ => Problem::not_found(format!("there is no {}", uri.path())).into_response(),
        };
    };
    let kind = match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    };
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|v| v.to_str().ok()).unwrap_or("");
    let fixed = [(header::CONTENT_TYPE, kind), (header::VARY, "accept-encoding")];
    match takes_gzip(accepted).then(|| gzip(&file.data)).and_then(Result::ok) {
        Some(packed) => (fixed, [(header::CONTENT_ENCODING, "gzip")], packed).into_response(),
        None => (fixed, file.data).into_response(),
    }
}

/// Whether a client takes gzip, by its `Accept-Encoding`.
fn takes_gzip(accepted: &str) -> bool {
    accepted.split(',').any(|one| {
        let mut parts = one.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let weight = parts.find_map(|p| p.strip_prefix("q=")).map_or(Ok(1.0), str::parse::<f64>);
        is_gzip && weight.is_ok_and(|q| q > 0.0)
    })
}

fn gzip(data: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut out = GzEncoder::new(Vec::new(), Compression::default());
    out.write_all(data)?;
    out.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn gzip_is_for_those_who_take_it_and_gives_the_same_bytes_back() {
        for (accepted, takes) in [
            ("gzip, deflate, br", true),
            ("br;q=1.0, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0, identity", false),
            ("br, x-gzip", false),
            ("", false),
        ] {
            assert_eq!(takes_gzip(accepted), takes, "{accepted}");
        }
        let text = "the same, ".repeat(1000);
        let packed = gzip(text.as_bytes()).unwrap();
        let mut back = String::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut back).unwrap();
        assert!(packed.len() < text.len() / 10 && back == text);
    }
}
