//! Parses servers' answers, for the fuzz targets. This is not a stable interface.

use crate::ServerKind;
use crate::http::parse;

/// The log probabilities that an answer lists after each of `paths`, and those of tokens that were asked for by name.
///
/// # Errors
/// If the answer is not JSON, or lacks what a server of this kind sends.
pub fn lists(kind: ServerKind, answer: &[u8], paths: usize) -> Result<Vec<[Vec<f64>; 2]>, String> {
    let answer = parse(answer.to_vec()).map_err(|e| e.to_string())?;
    let lists = kind.lists(&answer, paths)?;
    Ok(lists.iter().map(|list| [&list.top, &list.named].map(|l| l.iter().map(|t| t.logprob).collect())).collect())
}
