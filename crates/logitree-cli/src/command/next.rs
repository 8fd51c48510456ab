//! `logitree next`: the distribution of the next token, of one prompt or of several side by side.

use super::dataset::{self, DatasetOptions};
use super::layers::{self, LayerOptions};
use super::next_rows::{NextRows, object};
use super::steps::watched_text;
use crate::options::{self, FormOptions, Format, ModelOptions};
use crate::usage::usage;
use crate::{input, open, terminal};
use anyhow::Result;
use clap::Args;
use logitree::dataset::Source;
use logitree::export::{
    self,
    layers::Place,
    text::{Style, colour_of, percent, shorten},
};
use logitree::output::{Form, Target};
use logitree::visible::visible;
use logitree::{Given, Model, NextOptions, NextToken, Prompt};
use logitree_core::layers::LayerDistributions;
use logitree_core::run::Watch;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};
use unicode_width::UnicodeWidthStr;

const EXAMPLES: &str = "Examples:
  logitree next \"The capital of India is\"
  logitree next \"The capital of India is\" \"The capital of Australia is\" --top 5
  logitree next --chat \"Is water wet? Answer Yes or No.\" --watch Yes --watch No
  logitree next \"To be or not to\" -o next.csv
  logitree next \"The capital of India is\" --layers --watch \" Delhi\"
  logitree next --input prompts.csv --field prompt --top 5 -o next.parquet

The list is the start of the distribution; entropy, ranks and the sizes for top-p are over the whole vocabulary. \
\"top-p 0.9: 7\" means that the 7 most likely tokens are the fewest that together have at least 90 %.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct NextArgs {
    /// The prompts, side by side if there are several; `-` reads one from standard input
    #[arg(value_name = "PROMPT", required_unless_present = "input", conflicts_with = "input")]
    pub prompts: Vec<String>,
    #[command(flatten)]
    pub form: FormOptions,
    /// Most likely tokens to list
    #[arg(long, default_value_t = 10, value_parser = options::at_least_one, value_name = "K")]
    pub top: usize,
    /// Also show the probability of this string to come next; may be given several times
    #[arg(long, value_name = "TEXT")]
    pub watch: Vec<String>,
    #[command(flatten)]
    pub layers: LayerOptions,
    /// File to write: `.jsonl` has a line per prompt, `.csv` a row per listed token, or with --layers per token and
    /// layer; `-` prints the lines; with --input, the table
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

pub fn run(args: NextArgs) -> Result<()> {
    if let Some(source) = args.dataset.source()? {
        return many(&args, &source, args.output.as_deref(), dataset::load(&args.model));
    }
    let output = args.output.as_deref().map(|path| Output::check(path, args.force)).transpose()?;
    if args.prompts.iter().filter(|p| *p == "-").count() > 1 {
        usage!("`-` stands for two prompts: standard input can be read only once");
    }
    let read = |p: &String| Ok(args.form.given(&input::text_argument(p, "PROMPT")?));
    let given: Vec<Given> = args.prompts.iter().map(read).collect::<Result<_>>()?;
    args.layers.check(&args.model)?;
    let model = open::load(&args.model)?;
    let prompts: Vec<Prompt> = given
        .iter()
        .map(|given| {
            model.note_names(given, "");
            model.prepare(given, "")
        })
        .collect::<logitree::Result<_>>()?;
    let options = NextOptions { top: args.top, watch: args.watch, ..NextOptions::default() };
    let (next, watch) = model.next_tokens(&prompts, &options)?;
    let layers = if args.layers.layers { Some(model.layers_after(&prompts, &watch, &[])?) } else { None };
    let found = Found { model: &model, prompts: &prompts, next: &next, watch: &watch, layers: layers.as_deref() };
    if let Some(output) = &output {
        output.write(&found)?;
        if output.target.is_stdout() {
            return Ok(());
        }
    }
    match args.format {
        Format::Json => {
            let object = json!({
                "prompts": found.objects().collect::<Vec<_>>(),
                "model": model.name(),
                "engine": model.engine(),
            });
            terminal::print(&format!("{object:#}\n"))
        }
        Format::Text => terminal::print(&found.text(terminal::style())),
    }
}

/// The next token of every prompt of a data set.
pub fn many(
    args: &NextArgs,
    source: &Source,
    output: Option<&Path>,
    model: impl FnOnce() -> Result<Model>,
) -> Result<()> {
    if args.layers.layers {
        usage!("--layers looks at single prompts: leave out --input");
    }
    let output = dataset::Output { path: output, force: args.force };
    let rows = NextRows { form: args.form.clone(), top: args.top, watch: args.watch.clone() };
    dataset::run(&rows, source, output, model)
}

/// The file that the distributions are written to.
struct Output {
    target: Target,
    csv: bool,
}

impl Output {
    /// Checks the name before any work is done.
    fn check(path: &Path, force: bool) -> Result<Output> {
        let csv = match path.extension().and_then(|e| e.to_str()) {
            Some("csv") => true,
            Some("jsonl") => false,
            _ if path == Path::new("-") => false,
            _ => usage!("--output {}: the name must end in .jsonl or .csv", path.display()),
        };
        Ok(Output { target: Target::check(path, force, &[])?, csv })
    }

    fn write(&self, found: &Found<'_>) -> Result<()> {
        let form = if self.csv { Form::Table } else { Form::Text };
        let fill = |out: &mut (dyn Write + Send)| {
            if let (true, Some(layers)) = (self.csv, found.layers) {
                let places = found.prompts.iter().zip(layers);
                let places: Vec<Place> = places.map(|(p, found)| Place { name: p.text.clone(), found }).collect();
                export::layers::table(found.model, &places).csv(out)?;
            } else if self.csv {
                export::next::table(found.model, found.prompts, found.next, found.watch).csv(out)?;
            } else {
                found.lines(out)?;
            }
            Ok(())
        };
        Ok(self.target.write(form, fill)?)
    }
}

/// The distributions with what they are of.
struct Found<'a> {
    model: &'a Model,
    prompts: &'a [Prompt],
    next: &'a [NextToken],
    watch: &'a [Watch],
    /// What the layers would have predicted after each prompt, if that was asked for.
    layers: Option<&'a [LayerDistributions]>,
}

impl Found<'_> {
    /// An object per prompt: that of [`object`], and `layers` if they were asked for.
    fn objects(&self) -> impl Iterator<Item = Value> {
        self.prompts.iter().zip(self.next).enumerate().map(|(i, (prompt, next))| {
            let mut map = object(self.model, prompt, next, self.watch);
            if let Some(found) = self.layers.and_then(|l| l.get(i)) {
                map.insert("layers".into(), layers::json(self.model, found));
            }
            Value::Object(map)
        })
    }

    fn lines(&self, out: &mut dyn Write) -> std::io::Result<()> {
        self.objects().try_for_each(|object| writeln!(out, "{object}"))
    }

    /// For people: a block per prompt, as many beside each other as the width allows.
    fn text(&self, style: Style) -> String {
        let beside = ((style.width + GAP) / (NARROWEST + GAP)).clamp(1, self.prompts.len());
        let width = (style.width + GAP) / beside - GAP;
        let whole = style;
        let style = Style { width, ..style };
        let blocks: Vec<Vec<Line>> =
            self.prompts.iter().zip(self.next).map(|(prompt, next)| self.block(prompt, next, style)).collect();
        let mut out = String::new();
        for row in blocks.chunks(beside) {
            let height = row.iter().map(Vec::len).max().unwrap_or_default();
            for i in 0..height {
                let mut line = String::new();
                let mut missing = 0;
                for block in row {
                    let _ = write!(line, "{:missing$}", "");
                    let columns = block.get(i).map_or(0, |l| {
                        line.push_str(&l.painted);
                        l.columns
                    });
                    missing = width.saturating_sub(columns) + GAP;
                }
                out.push_str(line.trim_end());
                out.push('\n');
            }
            out.push('\n');
        }
        for (prompt, found) in self.prompts.iter().zip(self.layers.unwrap_or_default()) {
            if self.prompts.len() > 1 {
                let _ = writeln!(out, "{}", whole.paint("1", &shorten(&visible(&prompt.text), whole.width)));
            }
            let _ = writeln!(out, "{}", layers::table(self.model, found, whole));
        }
        out + &terminal::paragraph(&format!("{}, {}", self.model.name(), self.model.front()))
    }

    fn block(&self, prompt: &Prompt, next: &NextToken, style: Style) -> Vec<Line> {
        let d = &next.distribution;
        let width = style.width;
        let mut lines = vec![Line::painted(style, "1", &shorten(&visible(&prompt.text), width))];
        let word = (width / 3).clamp(8, 20);
        let row = |rank: &str, text: &str, prob: f64, colour: &str| {
            let text = shorten(text, word);
            let padding = " ".repeat(word.saturating_sub(text.width()));
            let percent = percent(prob);
            let front = format!("{rank:>4}  ");
            let bar = bar(prob, width.saturating_sub(front.len() + word + 2 + 9 + 2));
            let plain = format!("{front}{text}{padding}  {percent:>9}  {bar}");
            let painted = format!("{front}{}{padding}  {percent:>9}  {bar}", style.paint(colour, &text));
            Line { columns: plain.width(), painted }
        };
        for t in &d.top {
            let text = visible(&self.model.text(t.id)).replace(' ', "·");
            lines.push(row(&t.rank.to_string(), &text, t.prob(), colour_of(t.prob())));
        }
        lines.push(row("", "all others", d.rest(), "2"));
        let (sign, bits) = (d.exactness.sign(), d.entropy / std::f64::consts::LN_2);
        lines.push(Line::plain(&format!("entropy {sign}{:.4} nats, {sign}{bits:.4} bits", d.entropy), width));
        let size =
            |n: &logitree_core::nucleus::Nucleus| format!("{}: {}{}", n.mass, if n.exact { "" } else { "≥" }, n.tokens);
        let sizes: Vec<String> = next.nuclei.iter().map(size).collect();
        lines.push(Line::plain(&format!("top-p {}", sizes.join(", ")), width));
        for (w, at) in self.watch.iter().zip(&next.watched) {
            lines.push(Line::plain(&format!("watched {}", watched_text(w, at)), width));
        }
        lines
    }
}

/// Columns between two blocks.
const GAP: usize = 3;
/// Narrowest block beside another, in columns.
const NARROWEST: usize = 44;

/// A line of a block.
struct Line {
    /// The text with its colours.
    painted: String,
    /// The columns that it takes.
    columns: usize,
}

impl Line {
    fn painted(style: Style, code: &str, text: &str) -> Line {
        Line { painted: style.paint(code, text), columns: text.width() }
    }

    fn plain(text: &str, width: usize) -> Line {
        let text = shorten(text, width);
        Line { columns: text.width(), painted: text }
    }
}

/// A bar of at most `columns` columns, in eighths of a column: the share of the whole that `prob` is.
fn bar(prob: f64, columns: usize) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (prob.clamp(0.0, 1.0) * columns as f64 * 8.0).round() as usize;
    "█".repeat(eighths / 8) + PARTS[eighths % 8]
}

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn bars_are_as_long_as_their_share() {
        assert_eq!([1.0, 0.5, 0.25, 0.3125, 0.0].map(|p| bar(p, 4)), ["████", "██", "█", "█▎", ""]);
        assert_eq!(bar(0.5, 0), "");
    }
}
