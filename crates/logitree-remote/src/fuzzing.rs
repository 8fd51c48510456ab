//! Answers of servers as bytes, for the fuzz targets. No promise is made to anybody else.

use crate::ServerKind;
use crate::http::parse;

/// The log probabilities that an answer lists after each of `paths`, and those of tokens that were asked for by name.
///
/// # Errors
/// What is wrong with the answer.
pub fn lists(kind: ServerKind, answer: &[u8], paths: usize) -> Result<Vec<[Vec<f64>; 2]>, String> {
    let answer = parse(answer.to_vec()).map_err(|e| e.to_string())?;
    let lists = kind.lists(&answer, paths)?;
    Ok(lists.iter().map(|list| [&list.top, &list.named].map(|l| l.iter().map(|t| t.logprob).collect())).collect())
}
