//! `logitree score`

use super::steps::{LISTED, Scored, step_json, table, totals_line, totals_of};
use crate::cli::{self, Format, ModelOptions};
use crate::export::text::count;
use crate::setup::{self, Given};
use crate::visible::visible;
use crate::{input, message, progress, terminal};
use anyhow::{Result, bail};
use clap::Args;
use logitree_core::{Query, TokenId, watch};
use serde_json::json;
use std::path::PathBuf;

/// Positions evaluated between looks at the clock and at Ctrl-C.
const PIECE: usize = 128;

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
    #[arg(long, value_parser = cli::at_least_one, value_name = "K")]
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
    let loaded = setup::load(&args.model)?;
    loaded.model.need_tokens("score")?;
    let model = &loaded.model;
    let bos = model.bos();
    if !args.special {
        setup::note_names(&loaded, &Given::Text(text.clone()), "");
    }
    let tokens: Vec<TokenId> = bos.into_iter().chain(loaded.body(&text, args.special)?).collect();
    // Without BOS the first token has nothing before it to be predicted from.
    if tokens.len() < 2 {
        bail!("the text is a single token and this model has no BOS: there is nothing to score");
    }
    let watch = setup::watch(&loaded, &args.watch)?;
    let strings = setup::watched_ids(&watch);
    let top = args.top.unwrap_or(LISTED);
    let mut session = model.session()?;
    let nodes = session.push_all(None, &tokens)?;
    let mut steps = Vec::with_capacity(tokens.len());
    let bar = progress::spinner();
    let last = tokens.len() - 1;
    for start in (0..last).step_by(PIECE) {
        if terminal::interrupted() {
            message::line(format_args!("interrupted: {} of {} scored", steps.len(), count(last, "token")));
            break;
        }
        let end = (start + PIECE).min(last);
        let query = |i: usize| Query { node: nodes[i], top, tokens: &tokens[i + 1..i + 2], logits: false };
        let queries: Vec<Query<'_>> = (start..end).map(query).collect();
        steps.extend(
            watch::evaluate(&mut *session, &queries, &strings)?.into_iter().filter_map(|d| Scored::new(d, false)),
        );
        bar.message(|| format!("{end} of {last} tokens"));
    }
    drop(bar);
    let totals = totals_of(&steps);
    let entropy = steps.iter().map(|s| s.entropy).sum::<f64>() / steps.len().max(1) as f64;
    match args.format {
        Format::Json => {
            let object = json!({
                "tokens": steps.iter().map(|s| step_json(&loaded, s, top, &watch)).collect::<Vec<_>>(),
                "bos": bos.is_some(),
                // Not scored: nothing comes before it.
                "first": if bos.is_none() { Some(loaded.token(tokens[0])) } else { None },
                "total_logprob": totals.logprob,
                "total_bits": totals.bits,
                "perplexity": totals.perplexity,
                "mean_entropy": entropy,
                "model": loaded.name,
                "engine": model.engine(),
            });
            terminal::print(&format!("{object:#}\n"))
        }
        Format::Text => {
            let mut out = table(&loaded, &steps, args.top, &watch);
            out.push('\n');
            out.push_str(&totals_line("total", totals));
            let sign = steps.iter().map(|s| s.exactness.sign()).max().unwrap_or_default();
            let text = format!("mean entropy {sign}{entropy:.4} nats; {}, {}", loaded.name, loaded.front());
            out.push_str(&terminal::paragraph(&text));
            if bos.is_none() {
                let first = visible(&loaded.text(tokens[0]));
                let text = format!("not scored: the first token {first:?}, which has nothing before it (no BOS)");
                out.push_str(&terminal::paragraph(&text));
            }
            terminal::print(&out)
        }
    }
}
