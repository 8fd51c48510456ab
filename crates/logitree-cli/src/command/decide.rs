//! `logitree decide`: how likely each answer is after each token of a text, and where it was decided.

use super::answers::AskedOptions;
use super::rows::RowsOptions;
use crate::options::{self, Format, ModelOptions, PromptOptions};
use crate::{input, open, terminal};
use anyhow::Result;
use clap::Args;
use logitree::answers::AnswersEnd;
use logitree::export::text::{Style, colour_of, count, percent, shorten};
use logitree::visible::visible;
use logitree::{DecideOptions, DecisionCurve, DecisionPoint, Model, export};
use logitree_core::answers::Verdict;
use logitree_core::decide::leader;
use std::fmt::Write;
use unicode_width::UnicodeWidthStr;

const EXAMPLES: &str = "Examples:
  logitree decide \"The capital of India is\" --choices \"Delhi|New Delhi|Mumbai\" -n 4
  logitree decide \"Q: What is 2+2? A:\" --pattern \"([0-9]+)\" -n 8
  logitree decide \"Is the sky green?\" --pattern \"(?i)(yes|no)\" --text \" Well, the sky is blue, so no.\"
  logitree decide \"The capital of India is\" --choices \"Delhi|New Delhi\" -o curve.csv

For every t, the probability of each answer given the first t tokens of the text, over all ways to go on from there, \
as a lower and an upper bound. The answer is read from the text's beginning, as `logitree answers` does it. The text \
is decided at the first token from which on the same answer (or giving none) is certainly ahead to the end. The \
entropy is over the answers and giving none.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct DecideArgs {
    #[command(flatten)]
    pub prompt: PromptOptions,
    #[command(flatten)]
    pub asked: AskedOptions,
    /// Tokens of the greedy text, at most
    #[arg(short = 'n', long, default_value_t = 32, value_parser = options::at_least_one, value_name = "N")]
    pub max_new_tokens: usize,
    /// Look at this text instead of the greedy one
    #[arg(long, value_name = "TEXT", conflicts_with = "max_new_tokens")]
    pub text: Option<String>,
    /// After each token, explore until no bound is wider than this
    #[arg(long, default_value_t = 0.01, value_parser = options::probability, value_name = "PROB")]
    pub tolerance: f64,
    /// After each token, do not look further than this many tokens
    #[arg(long, default_value_t = 64, value_parser = options::at_least_one, value_name = "N")]
    pub max_depth: usize,
    /// After each token, end when this many paths have been looked at
    #[arg(long, default_value_t = 100_000, value_parser = options::at_least_one, value_name = "N")]
    pub max_nodes: usize,
    /// Nodes expanded together
    #[arg(long, default_value_t = 24, value_parser = options::at_least_one, value_name = "N")]
    pub batch: usize,
    #[command(flatten)]
    pub rows: RowsOptions,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    #[command(flatten)]
    pub model: ModelOptions,
}

pub fn run(args: DecideArgs) -> Result<()> {
    let reader = args.asked.reader()?;
    let file = args.rows.check()?;
    if let Some(text) = &args.text {
        input::check_argument(text, "--text")?;
    }
    terminal::catch_interrupts();
    let prompt = args.prompt.read()?;
    let model = open::load(&args.model)?;
    model.note_names(&prompt, args.text.as_deref().unwrap_or_default());
    let options = DecideOptions {
        max_new_tokens: args.max_new_tokens,
        tolerance: args.tolerance,
        max_depth: args.max_depth,
        max_nodes: args.max_nodes,
        batch: args.batch,
    };
    let curve = model.decide(&prompt, args.text.as_deref(), &reader, &options)?;
    let object = export::decide::json(&model, &curve, options.tolerance);
    if let Some(file) = &file {
        file.write(&object, "points", |out| export::decide::table(&model, &curve).csv(out))?;
        if file.is_stdout() {
            return Ok(());
        }
    }
    match args.format {
        Format::Json => terminal::print(&format!("{object:#}\n")),
        Format::Text => terminal::print(&text(&model, &curve, &options, terminal::style())),
    }
}

/// The name of a class for people.
fn name(class: &Verdict) -> String {
    class.answer().map_or("no answer".into(), visible)
}

/// Columns of a cell with bounds.
const CELL: usize = 13;
/// Columns before the cells.
const FRONT: usize = 22;
/// Columns of the entropy.
const ENTROPY: usize = 14;

/// A table with a row after every token, for people.
fn text(model: &Model, curve: &DecisionCurve, options: &DecideOptions, style: Style) -> String {
    let classes = classes(curve);
    let room = style.width.saturating_sub(FRONT + ENTROPY + 2) / (CELL + 2);
    // Giving none, which is last, is always shown.
    let left_out = classes.len().saturating_sub(room.max(2));
    let (answers, none) = classes.split_at(classes.len() - 1);
    let shown = [&answers[..answers.len() - left_out], none].concat();
    let mut head = format!("{:>4}  {:<16}", "t", "token");
    for class in &shown {
        let name = shorten(&name(class), CELL);
        let _ = write!(head, "  {}{name}", " ".repeat(CELL.saturating_sub(name.width())));
    }
    let _ = write!(head, "  {:>ENTROPY$}", "entropy (nats)");
    let mut out = style.paint("1", &head) + "\n";
    for (t, point) in curve.points.iter().enumerate() {
        let word = point.token.map_or("(prompt)".into(), |t| visible(&model.text(t.id)).replace(' ', "·"));
        let word = shorten(&word, 16);
        let padding = " ".repeat(16usize.saturating_sub(word.width()));
        let colour = point.token.map_or("2", |t| colour_of(t.prob()));
        let mark = if curve.decided.as_ref().is_some_and(|d| d.0 == t) { ">" } else { " " };
        let _ = write!(out, "{t:>4}{mark} {}{padding}", style.paint(colour, &word));
        let ahead = leader(&point.ledger);
        for class in &shown {
            let cell = format!("  {:>CELL$}", between(bounds(point, class)));
            let won = ahead.as_ref() == Some(class);
            out.push_str(&if won { style.paint("32", &cell) } else { cell });
        }
        let _ = writeln!(out, "  {:>ENTROPY$}", entropy(point));
    }
    out.push('\n');
    if left_out > 0 {
        out.push_str(&format!("{left_out} more answers do not fit: -o has all\n"));
    }
    out.push_str(&terminal::paragraph(&verdict(model, curve)));
    let over = curve.points.iter().filter(|p| p.ended_by != AnswersEnd::Tolerance).count();
    if over > 0 {
        let limits = "--max-nodes, --max-depth or Ctrl-C ended it before";
        let text = format!(
            "{} of {}: bounds wider than --tolerance {}: {limits}",
            over,
            curve.points.len(),
            options.tolerance
        );
        out.push_str(&terminal::paragraph(&text));
    }
    let steps = curve.points.iter().map(|p| p.steps).sum();
    let nodes = curve.points.iter().map(|p| p.nodes).sum();
    let looked = format!("{} of the model, {} looked at", count(steps, "step"), count(nodes, "path"));
    out + &terminal::paragraph(&format!("{looked}; {}, {}", model.name(), model.front()))
}

/// All classes, those that are likely anywhere first; giving none comes last.
fn classes(curve: &DecisionCurve) -> Vec<Verdict> {
    let mut most: Vec<(String, f64)> = Vec::new();
    for b in curve.points.iter().flat_map(|p| p.ledger.bounds()) {
        match most.iter_mut().find(|m| m.0 == b.answer) {
            Some((_, lower)) => *lower = lower.max(b.lower),
            None => most.push((b.answer, b.lower)),
        }
    }
    most.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    most.into_iter().map(|(answer, _)| Verdict::Answer(answer)).chain([Verdict::NoAnswer]).collect()
}

/// The bounds of a class at a point. An answer that was not seen there has no decided mass.
fn bounds(point: &DecisionPoint, class: &Verdict) -> (f64, f64) {
    let lower = match class {
        Verdict::Answer(answer) => {
            point.ledger.bounds().into_iter().find(|b| b.answer == *answer).map_or(0.0, |b| b.lower)
        }
        Verdict::NoAnswer | Verdict::Open => point.ledger.none(),
    };
    (lower, (lower + point.ledger.undecided()).min(1.0))
}

/// Bounds as percentages, one if they show the same.
fn between((lower, upper): (f64, f64)) -> String {
    let [lower, upper] = [lower, upper].map(|p| format!("{:.2}", 100.0 * p));
    if lower == upper { format!("{lower} %") } else { format!("{lower}–{upper} %") }
}

fn entropy(point: &DecisionPoint) -> String {
    match point.entropy.upper {
        None => format!("≥{:.3}", point.entropy.lower),
        Some(upper) => {
            let [lower, upper] = [point.entropy.lower, upper].map(|h| format!("{h:.3}"));
            if lower == upper { lower } else { format!("{lower}–{upper}") }
        }
    }
}

/// Where the text was decided, as a sentence.
fn verdict(model: &Model, curve: &DecisionCurve) -> String {
    let Some((t, class)) = &curve.decided else {
        return "not decided: at the end of the text it is not certain what is ahead".into();
    };
    let what = match class {
        Verdict::Answer(answer) => format!("{answer:?} is ahead for certain"),
        Verdict::NoAnswer | Verdict::Open => "giving no answer is ahead for certain".into(),
    };
    let point = &curve.points[*t];
    let share = percent(bounds(point, class).0);
    match point.token {
        None => format!("decided by the prompt: {what} from the start (at least {share})"),
        Some(token) => {
            let word = visible(&model.text(token.id)).replace(' ', "·");
            format!("decided by token {t}, {word:?}: from there on {what} (at least {share} there)")
        }
    }
}
