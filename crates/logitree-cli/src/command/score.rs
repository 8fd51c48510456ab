//! `logitree score`: scores every token of a given text.

use super::steps::{step_json, table, totals_line};
use crate::options::{self, Format, ModelOptions};
use crate::{input, message, open, terminal};
use anyhow::Result;
use clap::Args;
use logitree::export::text::count;
use logitree::visible::visible;
use logitree::{Given, LISTED, ScoreOptions, Scored, totals_of};
use serde_json::json;
use std::path::PathBuf;

const EXAMPLES: &str = "Examples:
  logitree score \"To be, or not to be, that is the question.\"
  logitree score essay.txt --format json > essay.json
  cat essay.txt | logitree score -
  logitree score --file README
  logitree score --text essay.txt

Perplexity depends on every character. A text is scored as its bytes are; left out, and said, are a byte order mark and, of a file and of standard input, one line end at the end.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct ScoreArgs {
    /// The text, or a file with it, or `-` for standard input, which is the default
    #[arg(value_name = "TEXT|FILE|-", conflicts_with_all = ["file", "text"])]
    pub text_or_file: Option<String>,
    /// Score this file, whatever its name; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "text")]
    pub file: Option<PathBuf>,
    /// Score this text, also if it looks like a file's name
    #[arg(long, value_name = "TEXT")]
    pub text: Option<String>,
    /// Take names of control tokens in the text, such as <start_of_turn>, as these tokens [default: as letters]
    #[arg(long)]
    pub special: bool,
    /// Most likely tokens to list per step [default: 5, of which the table shows those that fit on a line]
    #[arg(long, value_parser = options::at_least_one, value_name = "K")]
    pub top: Option<usize>,
    /// Note the probability of this string at every step; may be given several times
    #[arg(long, value_name = "TEXT")]
    pub watch: Vec<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    #[command(flatten)]
    pub model: ModelOptions,
}

impl ScoreArgs {
    fn read(&self) -> Result<String> {
        match (&self.file, &self.text, &self.text_or_file) {
            (Some(path), ..) => input::text_file(path),
            (_, Some(text), _) => input::typed_text(text, "--text"),
            (.., argument) => input::text_or_file(argument.as_deref().unwrap_or("-")),
        }
    }
}

pub fn run(args: ScoreArgs) -> Result<()> {
    let text = args.read()?;
    terminal::catch_interrupts();
    let model = open::load(&args.model)?;
    model.need_tokens("score")?;
    let given = if args.special { Given::Special(text) } else { Given::Text(text) };
    model.note_names(&given, "");
    let prompt = model.prepare(&given, "")?;
    let top = args.top.unwrap_or(LISTED);
    let Scored { tokens, watch, asked } = model.score(&prompt, &ScoreOptions { top, watch: args.watch.clone() })?;
    if tokens.len() < asked {
        message::line(format_args!("interrupted: {} of {} scored", tokens.len(), count(asked, "token")));
    }
    let totals = totals_of(&tokens);
    let entropy = tokens.iter().map(|s| s.entropy).sum::<f64>() / tokens.len().max(1) as f64;
    match args.format {
        Format::Json => {
            let object = json!({
                "tokens": tokens.iter().map(|s| step_json(&model, s, top, &watch)).collect::<Vec<_>>(),
                "bos": prompt.bos,
                // Without BOS, the first token has no distribution before it and so no score.
                "first": if !prompt.bos { Some(model.token(prompt.tokens[0])) } else { None },
                "total_logprob": totals.logprob,
                "total_bits": totals.bits,
                "perplexity": totals.perplexity,
                "mean_entropy": entropy,
                "model": model.name(),
                "engine": model.engine(),
            });
            terminal::print(&format!("{object:#}\n"))
        }
        Format::Text => {
            let mut out = table(&model, &tokens, args.top, &watch);
            out.push('\n');
            out.push_str(&totals_line("total", totals));
            let sign = tokens.iter().map(|s| s.exactness.sign()).max().unwrap_or_default();
            let text = format!("mean entropy {sign}{entropy:.4} nats; {}, {}", model.name(), model.front());
            out.push_str(&terminal::paragraph(&text));
            if !prompt.bos {
                let first = visible(&model.text(prompt.tokens[0]));
                let text = format!("not scored: the first token {first:?}, which has nothing before it (no BOS)");
                out.push_str(&terminal::paragraph(&text));
            }
            terminal::print(&out)
        }
    }
}
