//! The options and outputs of `logitree compare`.

use crate::options::Format;
use crate::terminal;
use crate::usage::usage;
use anyhow::Result;
use clap::Args;
use logitree::Arithmetic;
use logitree::output::{Form, Target};
use std::io::Write;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "Examples:
  logitree compare before.run.jsonl after.run.jsonl
  logitree compare gemma-3-270m smollm2-135m --text \"The capital of India is New Delhi.\"
  logitree compare gemma-3-270m --arithmetic-b 8-bit --file essay.txt -o compared.csv
  logitree compare gemma-3-270m --text \" New Delhi.\" --context-a \"The capital of India is\" --context-b \"India's capital:\"

A is the reference. Change is the log probability under B less that under A, in nats. \
Where both have the same tokens, KL(A|B), KL(B|A) and JS are over the whole vocabulary, and the summary has the figures of llama-perplexity's --kl-divergence. \
Where they have not, the text is compared between places where a token ends in both, and by bits per byte.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct CompareArgs {
    /// The reference: a run file; or with --text or --file a model, as for --model elsewhere
    #[arg(value_name = "A")]
    pub a: String,
    /// What is compared with it [default, of models: A]
    #[arg(value_name = "B")]
    pub b: Option<String>,
    /// Compare models on this text
    #[arg(long, value_name = "TEXT", conflicts_with = "file")]
    pub text: Option<String>,
    /// Compare models on the text of this file; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Tokens, pieces or nodes to list: those that differ most, in their order
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub rows: usize,
    /// File to write: `.jsonl` and `.csv` have a row per token, piece or node, `.json` all; `-` prints the lines
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Overwrite an existing file
    #[arg(long, requires = "output")]
    pub force: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    #[command(flatten)]
    pub sides: SideOptions,
}

/// In what both sides may differ beside the model.
#[derive(Args)]
#[command(next_help_heading = "Models")]
pub struct SideOptions {
    /// Compare the text as what follows this one, under A and B
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["context_a", "context_b"])]
    pub context: Option<String>,
    /// The text follows this one under A
    #[arg(long, value_name = "TEXT")]
    pub context_a: Option<String>,
    /// The text follows this one under B
    #[arg(long, value_name = "TEXT")]
    pub context_b: Option<String>,
    /// Put A's context into its chat template, as what a user says
    #[arg(long)]
    pub chat_a: bool,
    /// Put B's context into its chat template
    #[arg(long)]
    pub chat_b: bool,
    /// How A multiplies: f32, bf16x3 or 8-bit [default: f32; with AMX, bf16x3]
    #[arg(long, value_name = "NAME")]
    pub arithmetic_a: Option<Arithmetic>,
    /// How B multiplies
    #[arg(long, value_name = "NAME")]
    pub arithmetic_b: Option<Arithmetic>,
    /// Threads to use [default: LOGITREE_THREADS, or all cores]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Instruction set to use [default: the fastest]
    #[arg(long, value_name = "NAME")]
    pub backend: Option<String>,
}

impl SideOptions {
    /// The first option that was given; none of them is about run files.
    pub(super) fn given(&self) -> Option<&'static str> {
        let all = [
            ("--context", self.context.is_some()),
            ("--context-a", self.context_a.is_some()),
            ("--context-b", self.context_b.is_some()),
            ("--chat-a", self.chat_a),
            ("--chat-b", self.chat_b),
            ("--arithmetic-a", self.arithmetic_a.is_some()),
            ("--arithmetic-b", self.arithmetic_b.is_some()),
            ("--threads", self.threads.is_some()),
            ("--backend", self.backend.is_some()),
        ];
        all.into_iter().find(|(_, given)| *given).map(|(name, _)| name)
    }
}

/// What was found, in the forms that a file can have.
pub(super) trait Found {
    /// All of it as one object.
    fn object(&self) -> serde_json::Value;
    /// The list of the object that has a row for each thing compared.
    fn rows(&self) -> Vec<serde_json::Value>;
    /// The rows as a table.
    fn csv(&self, out: &mut dyn Write) -> std::io::Result<()>;
}

/// The file that a comparison is written to.
pub(super) struct Output {
    target: Target,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    Lines,
    Csv,
}

impl Output {
    /// The output of the options, if any. Its name is checked before any work is done.
    pub(super) fn check(args: &CompareArgs, inputs: &[&Path]) -> Result<Option<Output>> {
        let Some(path) = &args.output else { return Ok(None) };
        let kind = match path.extension().and_then(|e| e.to_str()) {
            Some("csv") => Kind::Csv,
            Some("json") => Kind::Json,
            Some("jsonl") => Kind::Lines,
            _ if path == Path::new("-") => Kind::Lines,
            _ => usage!("--output {}: the name must end in .json, .jsonl or .csv", path.display()),
        };
        Ok(Some(Output { target: Target::check(path, args.force, inputs)?, kind }))
    }

    /// Writes what was found. Returns whether that took standard output.
    fn write(&self, found: &dyn Found) -> Result<bool> {
        let form = if self.kind == Kind::Csv { Form::Table } else { Form::Text };
        self.target.write(form, |out| {
            match self.kind {
                Kind::Csv => found.csv(out)?,
                Kind::Json => writeln!(out, "{:#}", found.object())?,
                Kind::Lines => found.rows().iter().try_for_each(|row| writeln!(out, "{row}"))?,
            }
            Ok(())
        })?;
        Ok(self.target.is_stdout())
    }
}

/// Writes what was found to the file of the options, if there is one, and prints it: `text` is the form for people.
pub(super) fn report(
    args: &CompareArgs,
    output: Option<&Output>,
    found: &dyn Found,
    text: impl FnOnce() -> String,
) -> Result<()> {
    if let Some(output) = output
        && output.write(found)?
    {
        return Ok(());
    }
    match args.format {
        Format::Json => terminal::print(&format!("{:#}\n", found.object())),
        Format::Text => terminal::print(&text()),
    }
}

/// The places of the `n` largest values, in order.
pub(super) fn largest(values: &[f64], n: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..values.len()).collect();
    places.sort_by(|&i, &j| values[j].total_cmp(&values[i]).then(i.cmp(&j)));
    places.truncate(n);
    places.sort_unstable();
    places
}
