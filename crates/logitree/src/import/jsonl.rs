//! The notebook's logprobs records.

use anyhow::Result;
use serde::Deserialize;
use std::io::BufRead;

/// One response.
#[derive(Clone, Debug, Deserialize)]
pub struct Record {
    pub prompt: String,
    pub response: String,
    pub data: Vec<Step>,
}

/// One of its tokens.
#[derive(Clone, Debug, Deserialize)]
pub struct Step {
    /// Natural log probability.
    pub logprob: f64,
}

/// All records, and what is wrong with the lines that are none.
pub fn read(mut file: impl BufRead) -> Result<(Vec<Record>, Vec<String>)> {
    let (mut records, mut bad) = (Vec::new(), Vec::new());
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if file.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match serde_json::from_slice(&line) {
            Ok(record) => records.push(record),
            Err(e) => bad.push(format!("line {number}: {e}")),
        }
    }
    Ok((records, bad))
}
