//! `logitree score`: scores every token of a given text.

use super::dataset::{self, DatasetOptions};
use super::layers::{self, LayerOptions};
use super::score_rows::{ScoreRows, object};
use super::spans::{self, SpanOptions};
use super::steps::{table, totals_line};
use crate::options::{self, Format, ModelOptions};
use crate::usage::usage;
use crate::{input, message, open, terminal};
use anyhow::Result;
use clap::Args;
use logitree::dataset::Source;
use logitree::export;
use logitree::export::layers::Place;
use logitree::export::text::count;
use logitree::output::Form;
use logitree::visible::visible;
use logitree::{Given, LISTED, Model, Prompt, ScoreOptions, Scored, ScoredToken, totals_of};
use logitree_core::layers::LayerDistributions;
use logitree_core::run::Watch;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "Examples:
  logitree score \"To be, or not to be, that is the question.\"
  logitree score essay.txt --format json > essay.json
  cat essay.txt | logitree score -
  logitree score --file README
  logitree score --text essay.txt
  logitree score \"The capital of India is New Delhi.\" --by word
  logitree score essay.txt --by sentence --least 3
  logitree score \" New Delhi.\" --context \"The capital of India is\"
  logitree score \"The capital of India is New Delhi.\" --range 24..33
  logitree score \"The capital of India is New Delhi.\" --layers -o layers.csv
  logitree score --input texts.jsonl -o scores.csv
  logitree score --input reviews.parquet --field review --by word -o words.parquet

Perplexity depends on every character. A text is scored as its bytes are; left out, and said, are a byte order mark and, of a file and of standard input, one line end at the end. \
Words are made of whole tokens: white space in front of a word belongs to it, and words that share a token are one row.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct ScoreArgs {
    /// The text, or a file with it, or `-` for standard input, which is the default
    #[arg(value_name = "TEXT|FILE|-", conflicts_with_all = ["file", "text", "input"])]
    pub text_or_file: Option<String>,
    /// Score this file, whatever its name; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["text", "input"])]
    pub file: Option<PathBuf>,
    /// Score this text, also if it looks like a file's name
    #[arg(long, value_name = "TEXT", conflicts_with = "input")]
    pub text: Option<String>,
    /// Take names of control tokens in the text, such as <start_of_turn>, as these tokens [default: as letters]
    #[arg(long)]
    pub special: bool,
    /// Score the text as what follows this one, which is not scored. Both are split into tokens together; a token with
    /// letters of both is scored
    #[arg(long, value_name = "TEXT")]
    pub context: Option<String>,
    #[command(flatten)]
    pub spans: SpanOptions,
    /// Most likely tokens to list per step [default: 5, of which the table shows those that fit on a line]
    #[arg(long, value_parser = options::at_least_one, value_name = "K")]
    pub top: Option<usize>,
    /// Note the probability of this string at every step; may be given several times
    #[arg(long, value_name = "TEXT")]
    pub watch: Vec<String>,
    #[command(flatten)]
    pub layers: LayerOptions,
    /// With --layers, a .csv file to write: a row per place, token and layer; with --input, the table; `-` prints it
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Overwrite an existing file
    #[arg(long, requires = "output")]
    pub force: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t, conflicts_with = "input")]
    pub format: Format,
    #[command(flatten)]
    pub dataset: DatasetOptions,
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
    if let Some(context) = &args.context {
        input::check_argument(context, "--context")?;
    }
    if let Some(source) = args.dataset.source()? {
        return many(&args, &source, args.output.as_deref(), dataset::load(&args.model));
    }
    if args.output.is_some() && !args.layers.layers {
        usage!("--output is for a table: of layers (--layers), or of many texts (--input)");
    }
    let text = args.read()?;
    args.layers.check(&args.model)?;
    let output = args.output.as_deref().map(|path| layers::output(path, args.force, &[])).transpose()?;
    terminal::catch_interrupts();
    let model = open::load(&args.model)?;
    model.need_tokens("score")?;
    let (prompt, from) = prepare(&model, &args, text)?;
    let top = args.top.unwrap_or(LISTED);
    let options =
        ScoreOptions { top, watch: args.watch.clone(), from, words: args.spans.words(), ..ScoreOptions::default() };
    let scored = model.score(&prompt, &options)?;
    let spans = args.spans.find(&model, &prompt, &scored)?;
    let Scored { tokens, watch, asked, .. } = &scored;
    if tokens.len() < *asked {
        message::line(format_args!("interrupted: {} of {} scored", tokens.len(), count(*asked, "token")));
    }
    let layers = if args.layers.layers { layers_of(&model, &prompt, tokens, *asked, watch)? } else { Vec::new() };
    if let Some(target) = &output {
        let places = layers.iter().enumerate();
        let places: Vec<Place> = places.map(|(i, found)| Place { name: (i + 1).to_string(), found }).collect();
        target.write(Form::Table, |out| Ok(export::layers::table(&model, &places).csv(out)?))?;
        if target.is_stdout() {
            return Ok(());
        }
    }
    match args.format {
        Format::Json => {
            let mut object = Value::Object(object(&model, &prompt, from, &scored, Some(top)));
            object["model"] = json!(model.name());
            object["engine"] = json!(model.engine());
            for (i, found) in layers.iter().enumerate() {
                object["tokens"][i]["layers"] = layers::json(&model, found);
            }
            for (name, spans) in [("spans", &spans.units), ("ranges", &spans.ranges)] {
                if !spans.is_empty() {
                    object[name] = spans::json(spans);
                }
            }
            if let Some(context) = &args.context {
                object["context"] = json!(context);
            }
            terminal::print(&format!("{object:#}\n"))
        }
        Format::Text => {
            let mut out = match &spans.units[..] {
                [] => table(&model, tokens, args.top, watch),
                units => spans::table(units, args.spans.name()),
            };
            out.push('\n');
            if !spans.ranges.is_empty() {
                out.push_str(&spans::table(&spans.ranges, "range"));
                out.push('\n');
            }
            if args.layers.layers {
                let places = tokens.iter().zip(&layers).enumerate();
                let places: Vec<_> = places.map(|(i, (s, found))| ((i + 1).to_string(), s.token.id, found)).collect();
                out.push_str(&layers::places_table(&model, "#", &places, terminal::style()));
                out.push('\n');
            }
            out.push_str(&totals_line("total", totals_of(tokens)));
            let entropy = tokens.iter().map(|s| s.entropy).sum::<f64>() / tokens.len().max(1) as f64;
            let sign = tokens.iter().map(|s| s.exactness.sign()).max().unwrap_or_default();
            let text = format!("mean entropy {sign}{entropy:.4} nats; {}, {}", model.name(), model.front());
            out.push_str(&terminal::paragraph(&text));
            // Without BOS, the first token has no distribution before it and so no score.
            if let Some(&id) = prompt.tokens.first().filter(|_| from.is_none() && !prompt.bos) {
                let first = visible(&model.text(id));
                let text = format!("not scored: the first token {first:?}, which has nothing before it (no BOS)");
                out.push_str(&terminal::paragraph(&text));
            }
            if spans.units.iter().any(|s| !s.exact) {
                let text = "not corrected: words at whose ends the whole distribution is not known, so that these are \
                    the sums of their tokens";
                out.push_str(&terminal::paragraph(text));
            }
            terminal::print(&out)
        }
    }
}

/// Scores every text of a data set.
pub fn many(
    args: &ScoreArgs,
    source: &Source,
    output: Option<&Path>,
    model: impl FnOnce() -> Result<Model>,
) -> Result<()> {
    let output = dataset::Output { path: output, force: args.force };
    dataset::run(&rows(args)?, source, output, model)
}

/// The question about each text of a data set.
fn rows(args: &ScoreArgs) -> Result<ScoreRows> {
    if args.layers.layers {
        usage!("--layers looks at one text: leave out --input");
    }
    if !args.spans.range.is_empty() {
        usage!("--range is about one text's characters: leave out --input");
    }
    Ok(ScoreRows {
        top: args.top.unwrap_or(LISTED),
        watch: args.watch.clone(),
        special: args.special,
        context: args.context.clone(),
        spans: args.spans.clone(),
    })
}

/// What the layers would have predicted at each of the scored tokens, of which there are `asked` if the scoring was not
/// interrupted.
fn layers_of(
    model: &Model,
    prompt: &Prompt,
    scored: &[ScoredToken],
    asked: usize,
    watch: &[Watch],
) -> logitree::Result<Vec<LayerDistributions>> {
    let first = prompt.tokens.len() - asked;
    let found = model.layers_of(&prompt.tokens, first..first + scored.len(), watch)?;
    if found.len() < scored.len() {
        message::line(format_args!("interrupted: layers of {} of {}", found.len(), count(scored.len(), "token")));
    }
    Ok(found)
}

/// The text as a prompt, and with `--context` the index of the first token that is scored.
fn prepare(model: &Model, args: &ScoreArgs, text: String) -> Result<(Prompt, Option<usize>)> {
    let given = |text: String| if args.special { Given::Special(text) } else { Given::Text(text) };
    let Some(context) = &args.context else {
        let given = given(text);
        model.note_names(&given, "");
        return Ok((model.prepare(&given, "")?, None));
    };
    let given = given(context.clone());
    model.note_names(&given, &text);
    let (prompt, from) = model.after(&given, &text)?;
    Ok((prompt, Some(from)))
}
