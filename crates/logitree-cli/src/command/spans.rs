//! Words, lines and sentences of a scored text: what `score --by` shows.

use crate::options;
use crate::terminal;
use clap::{Args, ValueEnum};
use logitree::export::text::{colour_of, percent, shorten};
use logitree::visible::visible;
use logitree::{Model, Prompt, Scored, ScoredSpan, least_confident};
use logitree_core::spans::Unit;
use serde_json::{Value, json};
use std::fmt::Write;
use std::ops::Range;
use unicode_width::UnicodeWidthStr;

/// What a text is cut into, as it is typed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// Tokens of the model
    #[default]
    Token,
    /// Words, as they stand between white space
    Word,
    /// Lines
    Line,
    /// Sentences, by the rules of Unicode
    Sentence,
}

impl By {
    /// Its name, which is also how it is typed.
    pub fn name(self) -> &'static str {
        match self {
            By::Token => "token",
            By::Word => "word",
            By::Line => "line",
            By::Sentence => "sentence",
        }
    }

    fn unit(self) -> Unit {
        match self {
            By::Token => Unit::Token,
            By::Word => Unit::Word,
            By::Line => Unit::Line,
            By::Sentence => Unit::Sentence,
        }
    }
}

/// Which parts of a scored text to show.
#[derive(Args, Clone)]
pub struct SpanOptions {
    /// Show the probability of each token, word, line or sentence [default: token; with --input one row per text]. Words
    /// are corrected for white space
    #[arg(long, value_enum, hide_possible_values = true, value_name = "token|word|line|sentence")]
    pub by: Option<By>,
    /// Show only the N that the model was least confident of: the largest surprisal; of lines and sentences, per token
    #[arg(long, value_parser = options::at_least_one, value_name = "N")]
    pub least: Option<usize>,
    /// Also show the probability of these characters of the text, counted from 0, the end excluded: the fewest tokens
    /// that have them; may be given several times
    #[arg(long, value_parser = range, value_name = "START..END")]
    pub range: Vec<Range<usize>>,
}

impl SpanOptions {
    /// Whether the text is to be cut into words.
    pub fn words(&self) -> bool {
        self.by == Some(By::Word)
    }

    /// The name of a unit.
    pub fn name(&self) -> &'static str {
        self.by.unwrap_or_default().name()
    }

    /// The spans that were asked for; none if the table of tokens was.
    ///
    /// # Errors
    /// If a range is no part of the text.
    pub fn find(&self, model: &Model, prompt: &Prompt, scored: &Scored) -> logitree::Result<Spans> {
        let by = self.by.unwrap_or_default();
        let all = match by {
            By::Token if self.least.is_none() => Vec::new(),
            by => model.spans(prompt, scored, by.unit()),
        };
        let units = match self.least {
            Some(most) => least_confident(&all, by.unit(), most).into_iter().cloned().collect(),
            None => all,
        };
        let range = |range: &Range<usize>| model.span_of_characters(prompt, scored, range.clone());
        Ok(Spans { units, ranges: self.range.iter().map(range).collect::<logitree::Result<_>>()? })
    }
}

/// Parts of a scored text.
pub struct Spans {
    /// Its words, lines or sentences.
    pub units: Vec<ScoredSpan>,
    /// The ranges that were asked for.
    pub ranges: Vec<ScoredSpan>,
}

/// Spans as JSON: `{text, first, tokens, logprob, bits, token_logprob, exact}`, where `first` is the index of the
/// first token and `tokens` their number.
pub fn json(spans: &[ScoredSpan]) -> Value {
    let one = |s: &ScoredSpan| {
        json!({
            "text": s.text,
            "first": s.tokens.start,
            "tokens": s.tokens.len(),
            "logprob": s.logprob,
            "bits": s.bits(),
            "token_logprob": s.token_logprob,
            "exact": s.exact,
        })
    };
    spans.iter().map(one).collect()
}

/// A table with one span per row, coloured by its probability per token; `name` stands at the head of the column of
/// texts.
pub fn table(spans: &[ScoredSpan], name: &str) -> String {
    let style = terminal::style();
    let widest = spans.iter().map(|s| shown(s).width()).max().unwrap_or(0).max(name.len());
    let word = widest.min(style.width.saturating_sub(46)).max(8);
    let pad = |text: &str| " ".repeat(word.saturating_sub(text.width()));
    let mut out = String::new();
    let head =
        format!("{:>4}  {name}{}  {:>6}  {:>9}  {:>9}  {:>7}", "#", pad(name), "tokens", "prob", "logprob", "bits");
    let _ = writeln!(out, "{}", style.paint("1", &head));
    for s in spans {
        let text = shorten(&shown(s), word);
        let colour = colour_of((s.logprob / s.tokens.len().max(1) as f64).exp());
        let _ = writeln!(
            out,
            "{:>4}  {}{}  {:>6}  {:>9}  {:>9.4}  {:>7.2}",
            s.tokens.start + 1,
            style.paint(colour, &text),
            pad(&text),
            s.tokens.len(),
            percent(s.logprob.exp()),
            s.logprob,
            s.bits(),
        );
    }
    out.push_str("(# is the first token; logprob in nats)\n");
    out
}

/// A span's text on one line, without the white space around it.
fn shown(s: &ScoredSpan) -> String {
    let text = if s.text.trim().is_empty() { &s.text } else { s.text.trim() };
    visible(text)
}

/// Parses `START..END`.
fn range(text: &str) -> Result<Range<usize>, String> {
    let parts = text.split_once("..").and_then(|(a, b)| Some(a.trim().parse().ok()?..b.trim().parse().ok()?));
    match parts {
        Some(range) if range.start < range.end => Ok(range),
        _ => Err("write START..END, two numbers of characters such as 0..10, of which the second is larger".into()),
    }
}
