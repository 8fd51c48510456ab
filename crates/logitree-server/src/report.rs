//! Makes HTML files that contain the whole web app: with a run, or for a frame of a program that has the server in itself.

use super::assets;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use logitree::visible::{harmless, visible};
use logitree::{Context, Result};
use logitree_core::run::{Run, write_run};
use sha2::{Digest, Sha256};

/// The text of a file with a run. Its content security policy allows no network requests, and only the script of the app,
/// by its hash. Patterns are tried in a worker that is made from a blob, or from its text where blobs are forbidden.
///
/// # Errors
/// If this binary was built without the web app.
pub fn html(run: &Run) -> Result<String> {
    let mut lines = Vec::new();
    write_run(run, &mut lines)?;
    // Escape the data, so that nothing in it can end the HTML element around it. JSON with an escaped `<` has the same
    // value.
    let data = harmless(&String::from_utf8(lines)?).replace('<', "\\u003c");
    let data = format!("<script type=\"application/jsonl\" id=\"run\">\n{data}</script>\n");
    page("", &visible(&run.header.prompt.text), &data)
}

/// The text of a page for a frame: the program around it carries its requests ([`InProcess`](crate::InProcess)). It shows
/// `run`, the id of a run there, or its first screen. The policy is that of [`html`].
///
/// # Errors
/// If this binary was built without the web app.
pub fn framed(run: Option<&str>) -> Result<String> {
    page(&format!(" data-framed=\"{}\"", attribute(run.unwrap_or_default())), "logitree", "")
}

fn attribute(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

/// A page with the app: attributes of its root, its title, and elements before the script.
fn page(attributes: &str, title: &str, data: &str) -> Result<String> {
    let missing = "this binary was built without the web app: run `npm --prefix web ci && npm --prefix web run build`, then build again";
    let script = assets::text("app.js").context(missing)?;
    let style = assets::text("app.css").context(missing)?;
    let script = script.replace("</script", "<\\/script");
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\"{attributes}>\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src data: blob:; worker-src blob: data:; base-uri 'none'; form-action 'none'\">\n\
         <title>{}</title>\n<style>{style}</style>\n</head>\n<body>\n<div id=\"app\"></div>\n\
         {data}<script type=\"module\">{script}</script>\n</body>\n</html>\n",
        hash(&script),
        hash(&style),
        attribute(title),
    ))
}
