//! Reads the notebook's logprobs records: one JSON object per line.

use crate::error::{Result, fail};
use logitree_core::run::{MAX_LINE, read_line};
use serde::Deserialize;
use std::io::BufRead;

/// One response of a model.
#[derive(Clone, Debug)]
pub struct Record {
    /// The prompt of the model.
    pub prompt: String,
    /// The text that the model answered.
    pub response: String,
    /// Natural log probabilities of the response's tokens.
    pub data: Vec<f64>,
}

/// The lines of a file that are not records.
#[derive(Clone, Debug, Default)]
pub struct Bad {
    /// What is wrong with the first bad lines, with their line numbers.
    pub lines: Vec<String>,
    /// Number of bad lines.
    pub count: usize,
}

/// Number of bad lines (and of other findings) that are reported one by one.
const TOLD: usize = 20;

/// How far the sum of a list of probabilities may exceed 1: notebooks compute in bf16, and rounding to it adds this
/// much.
pub const ROUNDED: f64 = 0.02;
/// How far a log probability may exceed 0: exact arithmetic never does, but other programs may round.
const ROUNDING: f64 = 1e-6;
/// Smallest finite log probability that is accepted; no model's logits are as far apart as this.
const LEAST: f64 = -1e6;

impl Bad {
    /// Counts a bad line, and keeps its description if it is among the first.
    fn add(&mut self, what: impl FnOnce() -> String) {
        self.count += 1;
        if self.lines.len() < TOLD {
            self.lines.push(what());
        }
    }

    /// Messages for the user: the first bad lines, and how many more there are.
    pub fn messages(&self) -> Vec<String> {
        let more = self.count - self.lines.len();
        let rest = (more > 0).then(|| format!("and {more} more lines that are no records"));
        self.lines.iter().cloned().chain(rest).collect()
    }
}

/// A record as it is written in the file.
#[derive(Deserialize)]
struct Raw {
    prompt: String,
    response: String,
    data: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    #[serde(deserialize_with = "logprob")]
    logprob: f64,
    #[serde(default)]
    other_tokens: Vec<Other>,
}

#[derive(Deserialize)]
struct Other {
    #[serde(deserialize_with = "logprob")]
    logprob: f64,
}

/// Reads null as the log of probability 0, as many programs write it: JSON has no infinite numbers.
fn logprob<'de, D: serde::Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(from)?.unwrap_or(f64::NEG_INFINITY))
}

/// Reads all records, and reports the lines that are not records. `notes` gets a sentence for every value that was
/// read differently from how it is written.
///
/// # Errors
/// If the file cannot be read, or no line is a record.
pub fn read(mut file: impl BufRead, notes: &mut Vec<String>) -> Result<(Vec<Record>, Bad)> {
    let (mut records, mut bad) = (Vec::new(), Bad::default());
    let mut line = Vec::new();
    let mut impossible = 0;
    for number in 1.. {
        if read_line(&mut file, &mut line)? == 0 {
            break;
        }
        if line.len() > MAX_LINE {
            fail!(Input, "line {number} is longer than {} MB", MAX_LINE >> 20);
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match record(&line) {
            Ok(record) => {
                let zeros = record.data.iter().filter(|l| l.is_infinite()).count();
                if zeros > 0 && impossible < TOLD {
                    notes.push(format!("line {number}: {zeros} of its tokens have a `logprob` of null or -Infinity, which is probability 0"));
                }
                impossible += usize::from(zeros > 0);
                records.push(record);
            }
            Err(e) => bad.add(|| format!("line {number}: {e}")),
        }
    }
    if impossible > TOLD {
        notes.push(format!("and {} more lines with tokens of probability 0", impossible - TOLD));
    }
    if records.is_empty() && bad.count > 0 {
        fail!(Input, "no line is a record; {}", bad.messages().join("; "));
    }
    Ok((records, bad))
}

/// Reads a line as a record; the error says why it is not one.
fn record(line: &[u8]) -> Result<Record, String> {
    let parsed = serde_json::from_slice(line).or_else(|e| match without_infinities(line) {
        Some(line) => serde_json::from_slice(&line),
        None => Err(e),
    });
    let Raw { prompt, response, data } = parsed.map_err(|e| e.to_string())?;
    for (i, step) in data.iter().enumerate() {
        check(step.logprob).map_err(|what| format!("data[{i}]: {what}"))?;
        for (j, other) in step.other_tokens.iter().enumerate() {
            check(other.logprob).map_err(|what| format!("data[{i}].other_tokens[{j}]: {what}"))?;
        }
        let together: f64 = step.other_tokens.iter().map(|o| o.logprob.exp()).sum();
        if together > 1.0 + ROUNDED {
            return Err(format!("data[{i}].other_tokens have a probability of {together:.3} together"));
        }
    }
    Ok(Record { prompt, response, data: data.into_iter().map(|s| s.logprob).collect() })
}

/// Refuses a number that is no log probability; the error says why.
pub(super) fn check(logprob: f64) -> Result<(), String> {
    if logprob > ROUNDING {
        return Err(format!(
            "`logprob` is {logprob}, above 0: that is no log probability (a raw logit, or a surprisal?)"
        ));
    }
    if logprob.is_finite() && logprob < LEAST {
        return Err(format!("`logprob` is {logprob:e}, which no model gives"));
    }
    Ok(())
}

/// Replaces `-Infinity` by null in a line: Python's `json` writes it although it is not JSON. `None` if the line does
/// not contain it.
fn without_infinities(line: &[u8]) -> Option<Vec<u8>> {
    const WORD: &[u8] = b"-Infinity";
    let mut out = Vec::with_capacity(line.len());
    let (mut in_string, mut escaped, mut found) = (false, false, false);
    let mut i = 0;
    while let Some(&b) = line.get(i) {
        if !in_string && line[i..].starts_with(WORD) {
            out.extend_from_slice(b"null");
            found = true;
            i += WORD.len();
            continue;
        }
        in_string ^= b == b'"' && !escaped;
        escaped = in_string && b == b'\\' && !escaped;
        out.push(b);
        i += 1;
    }
    found.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> (Vec<Record>, Bad, Vec<String>) {
        let mut notes = Vec::new();
        let (records, bad) = read(text.as_bytes(), &mut notes).unwrap();
        (records, bad, notes)
    }

    fn line(logprob: &str, others: &str) -> String {
        format!(
            "{{\"prompt\":\"-Infinity \\\"\",\"response\":\"b\",\"data\":[{{\"token\":\"b\",\"logprob\":{logprob},\"other_tokens\":[{others}]}}]}}\n"
        )
    }

    #[test]
    fn what_is_no_log_probability_is_told_by_line() {
        let good = line("-0.5", r#"{"token":"b","logprob":-0.5},{"token":"c","logprob":null}"#);
        let bad = [
            line("5", ""),
            line("-1e308", ""),
            line("NaN", ""),
            line("Infinity", ""),
            line("-1", r#"{"token":"c","logprob":0.25}"#),
            line("-1", r#"{"token":"c","logprob":-0.1},{"token":"d","logprob":-0.2}"#),
        ];
        let (records, told, notes) = all(&[&good[..], &bad.concat()].concat());
        assert_eq!((records.len(), told.count, notes.len()), (1, 6, 0));
        assert!(told.lines[0].starts_with("line 2: data[0]: `logprob` is 5, above 0"), "{told:?}");
        assert!(told.lines[1].contains("line 3: data[0]: `logprob` is -1e308"), "{told:?}");
        assert!(told.lines[4].contains("line 6: data[0].other_tokens[0]: `logprob` is 0.25"), "{told:?}");
        assert!(told.lines[5].contains("a probability of 1.724 together"), "{told:?}");
        assert!(format!("{}", read(bad[0].as_bytes(), &mut Vec::new()).unwrap_err()).contains("line 1"));
    }

    #[test]
    fn null_and_minus_infinity_are_probability_0() {
        let others = r#"{"token":"c","logprob":-Infinity},{"token":"d","logprob":null}"#;
        let (records, bad, notes) = all(&[line("-0.5", others), line("null", others), line("-Infinity", "")].concat());
        assert_eq!((records.len(), bad.count), (3, 0));
        assert_eq!(records[0].prompt, "-Infinity \"");
        assert_eq!((records[1].data[0], records[2].data[0]), (f64::NEG_INFINITY, f64::NEG_INFINITY));
        assert!(notes[0].starts_with("line 2: 1 of its tokens") && notes[1].starts_with("line 3"), "{notes:?}");
    }

    #[test]
    fn millions_of_bad_lines_are_counted() {
        let text = line("-0.5", "") + &"x\n".repeat(200_000);
        let (records, bad, _) = all(&text);
        assert_eq!((records.len(), bad.count, bad.messages().len()), (1, 200_000, TOLD + 1));
        assert_eq!(bad.messages()[TOLD], format!("and {} more lines that are no records", 200_000 - TOLD));
    }
}
