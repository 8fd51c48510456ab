//! `logitree attribute`: how much each part of a prompt makes a text, or each answer, likelier.

use super::answers_rows::direct_texts;
use super::rows::RowsOptions;
use crate::options::{Format, ModelOptions, PromptOptions};
use crate::usage::usage;
use crate::{input, message, open, terminal};
use anyhow::Result;
use clap::{Args, ValueEnum};
use logitree::answers::Reader;
use logitree::export::text::{Style, count, percent, shorten};
use logitree::visible::visible;
use logitree::{AttributeOptions, Attribution, Model, Parts, export};
use logitree_core::spans::Unit;
use serde_json::{Value, json};
use std::fmt::Write;
use unicode_width::UnicodeWidthStr;

const EXAMPLES: &str = "Examples:
  logitree attribute \"The capital of India is\" --continuation \" New Delhi\"
  logitree attribute \"The capital of India is\" --choices \"Delhi|Mumbai\" --by token
  logitree attribute \"I loved it. The end was sad. Overall it was\" --choices \"good|bad\" --by sentence
  logitree attribute --chat --system \"Be brief.\" \"Is water wet?\" --continuation Yes --by turn
  logitree attribute \"The capital of India is\" --continuation \" New Delhi\" --replace-with something

Every part of the prompt is left out (or replaced) alone, and the text's own tokens are scored after each variant: \
delta = ln p(text | prompt) - ln p(text | variant), in nats; above 0 if the part makes the text likelier. Texts with \
words, lines or sentences left out are tokenized anew; with --by token the other tokens stay as they are. Begin the \
continuation with a space where one belongs.";

/// What a prompt is cut into, as it is typed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PartsBy {
    /// Tokens of the model; the other tokens stay as they are
    Token,
    /// Words, as they stand between white space
    #[default]
    Word,
    /// Lines
    Line,
    /// Sentences, by the rules of Unicode
    Sentence,
    /// Messages of a conversation (with --chat)
    Turn,
}

impl PartsBy {
    fn parts(self) -> Parts {
        match self {
            PartsBy::Token => Parts::Tokens,
            PartsBy::Word => Parts::Units(Unit::Word),
            PartsBy::Line => Parts::Units(Unit::Line),
            PartsBy::Sentence => Parts::Units(Unit::Sentence),
            PartsBy::Turn => Parts::Turns,
        }
    }

    fn name(self) -> &'static str {
        match self {
            PartsBy::Token => "token",
            PartsBy::Word => "word",
            PartsBy::Line => "line",
            PartsBy::Sentence => "sentence",
            PartsBy::Turn => "turn",
        }
    }
}

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct AttributeArgs {
    #[command(flatten)]
    pub prompt: PromptOptions,
    /// The text whose probability is looked at, as it follows the prompt
    #[arg(long, value_name = "TEXT", required_unless_present = "choices", conflicts_with = "choices")]
    pub continuation: Option<String>,
    /// Answers to look at, separated by |; in plain text a space is put before each
    #[arg(long, value_name = "A|B|C")]
    pub choices: Option<String>,
    /// What the prompt is cut into
    #[arg(long, value_enum, default_value_t, value_name = "PART")]
    pub by: PartsBy,
    /// Put this in the place of each part [default: it is left out]
    #[arg(long, value_name = "TEXT")]
    pub replace_with: Option<String>,
    #[command(flatten)]
    pub rows: RowsOptions,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    #[command(flatten)]
    pub model: ModelOptions,
}

pub fn run(args: AttributeArgs) -> Result<()> {
    for (text, option) in [(&args.continuation, "--continuation"), (&args.replace_with, "--replace-with")] {
        if let Some(text) = text {
            input::check_argument(text, option)?;
        }
    }
    let names = match &args.choices {
        Some(choices) => Reader::of(Some(choices), None, false)?.names(),
        None => Vec::new(),
    };
    if args.by == PartsBy::Turn && !args.prompt.form.chat {
        usage!("--by turn needs --chat: a plain text has no turns");
    }
    let file = args.rows.check()?;
    terminal::catch_interrupts();
    let given = args.prompt.read()?;
    let model = open::load(&args.model)?;
    model.note_names(&given, "");
    let texts = match &args.continuation {
        Some(text) => vec![text.clone()],
        None => direct_texts(&names, &model.prepare(&given, "")?.text, args.prompt.form.chat),
    };
    let options = AttributeOptions { by: args.by.parts(), replacement: args.replace_with.clone() };
    let found = model.attribute(&given, &texts, &options)?;
    if found.edited.len() < found.parts {
        message::line(format_args!("interrupted: {} of {}", found.edited.len(), count(found.parts, args.by.name())));
    }
    let object = object(&args, &model, &texts, &found);
    if let Some(file) = &file {
        file.write(&object, "parts", |out| export::attribute::table(&texts, &found).csv(out))?;
        if file.is_stdout() {
            return Ok(());
        }
    }
    match args.format {
        Format::Json => terminal::print(&format!("{object:#}\n")),
        Format::Text => terminal::print(&text(&args, &model, &texts, &found, terminal::style())),
    }
}

/// `{by, replacement, texts, parts, model, engine}`.
fn object(args: &AttributeArgs, model: &Model, texts: &[String], found: &Attribution) -> Value {
    let whole = texts.iter().zip(&found.texts).zip(&found.logprobs);
    let whole = whole.map(|((text, tokens), l)| json!({ "text": text, "tokens": tokens.len(), "logprob": l }));
    let parts = found.edited.iter().enumerate().map(|(i, e)| {
        let after = texts.iter().zip(&e.logprobs).zip(found.deltas(e));
        let after = after.map(|((text, l), delta)| json!({ "text": text, "logprob": l, "delta": delta }));
        json!({
            "index": i,
            "part": e.part,
            "message": e.message,
            "prompt_tokens": e.tokens,
            "texts": after.collect::<Vec<_>>(),
        })
    });
    json!({
        "by": args.by.name(),
        "replacement": args.replace_with,
        "texts": whole.collect::<Vec<_>>(),
        "parts": parts.collect::<Vec<_>>(),
        "model": model.name(),
        "engine": model.engine(),
    })
}

/// Columns of a delta.
const CELL: usize = 12;
/// Columns of a bar on each side of its middle.
const BAR: usize = 10;

/// A table with a row per part, for people.
fn text(args: &AttributeArgs, model: &Model, texts: &[String], found: &Attribution, style: Style) -> String {
    let spaces = |text: &str| visible(text).replace(' ', "·");
    let bars = texts.len() == 1;
    let cells = (CELL + 2) * texts.len() + if bars { 2 * BAR + 3 } else { 0 };
    let word = style.width.saturating_sub(6 + cells).clamp(12, 40);
    let padded = |text: &str| {
        let text = shorten(text, word);
        let padding = " ".repeat(word.saturating_sub(text.width()));
        text + &padding
    };
    let right = |text: &str| {
        let text = shorten(text, CELL);
        format!("  {}{text}", " ".repeat(CELL.saturating_sub(text.width())))
    };
    let mut head = format!("{:>4}  {}", "#", padded(args.by.name()));
    texts.iter().for_each(|t| head.push_str(&right(&format!("Δ {}", spaces(t)))));
    let mut out = style.paint("1", &head) + "\n";
    let deltas: Vec<Vec<f64>> = found.edited.iter().map(|e| found.deltas(e).collect()).collect();
    let largest = deltas.iter().flatten().filter(|d| d.is_finite()).fold(0.0, |m: f64, d| m.max(d.abs()));
    for (i, (e, deltas)) in found.edited.iter().zip(&deltas).enumerate() {
        let _ = write!(out, "{:>4}  {}", i + 1, padded(&spaces(&e.part)));
        for &delta in deltas {
            out.push_str(&style.paint(colour(delta), &right(&format!("{delta:+.4}"))));
        }
        if bars && largest > 0.0 {
            let bar = bar(deltas[0] / largest);
            let _ = write!(out, "  {}", style.paint(colour(deltas[0]), bar.trim_end()));
        }
        let end = out.trim_end().len();
        out.truncate(end);
        out.push('\n');
    }
    out.push('\n');
    for ((text, tokens), l) in texts.iter().zip(&found.texts).zip(&found.logprobs) {
        let size = count(tokens.len(), "token");
        out.push_str(&format!("{}  {} after the prompt, logprob {l:.4}, {size}\n", spaces(text), percent(l.exp())));
    }
    let what = match (&args.replace_with, args.by) {
        (None, PartsBy::Token) => "each token left out, the others as they are".into(),
        (None, by) => format!("each {} left out, the prompt tokenized anew", by.name()),
        (Some(new), PartsBy::Token) => format!("each token replaced by the tokens of {new:?}, the others as they are"),
        (Some(new), by) => format!("each {} replaced by {new:?}, the prompt tokenized anew", by.name()),
    };
    let note = format!("{what}; Δ in nats, above 0 if it makes the text likelier; {}, {}", model.name(), model.front());
    out + &terminal::paragraph(&note)
}

/// Green for what makes the text likelier, red for what makes it less likely, faint for what hardly matters.
fn colour(delta: f64) -> &'static str {
    match delta {
        d if d >= 0.1 => "32",
        d if d <= -0.1 => "31",
        _ => "2",
    }
}

/// A bar from the middle: to the right for what makes the text likelier. `share` is between -1 and 1.
fn bar(share: f64) -> String {
    let length = (share.clamp(-1.0, 1.0).abs() * BAR as f64).round() as usize;
    let (left, right) = if share < 0.0 { (length, 0) } else { (0, length) };
    format!("{}{}│{}", " ".repeat(BAR - left), "█".repeat(left), "█".repeat(right))
}

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn bars_go_from_the_middle_to_either_side() {
        assert_eq!(bar(0.5), "          │█████");
        assert_eq!(bar(-0.3), "       ███│");
        assert_eq!(bar(f64::NEG_INFINITY), "██████████│");
        assert_eq!(bar(f64::NAN), "          │");
    }
}
