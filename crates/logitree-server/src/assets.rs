//! The files of the web app, embedded in the binary.

use super::problem::Problem;
use axum::http::{Uri, header};
use axum::response::{Html, IntoResponse, Response};

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
pub async fn serve(uri: Uri) -> Response {
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
    ([(header::CONTENT_TYPE, kind)], file.data).into_response()
}
