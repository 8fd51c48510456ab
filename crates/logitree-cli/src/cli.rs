//! The grammar of the command line.

use crate::command::{
    answers, attribute, bench, compare, completions, decide, doctor, engine, experiment, explore, export, forks,
    generate, guide, lens, look, model, next, report, score, serve, show, tree, verify, view,
};
use crate::terminal::Colour;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::ffi::OsString;

const ABOUT: &str = "See what a language model could have said.

logitree runs a language model on this machine, reads the full next-token distribution at every step, and \
shows the alternatives: as a tree of all likely continuations, or token by token.";

const EXAMPLES: &str = concat!(
    "Examples:
  logitree tree \"The capital of India is\" --max-depth 12
  logitree logprobs \"Roses are red, violets are\" -n 20
  logitree guide \"Python code for prime number?\" --prefix \"def is_prime\"
  echo \"To be or not to be\" | logitree score -
  logitree show the-capital-of-india-is.run.jsonl

Environment:
  LOGITREE_MODEL    the model where none is named
  LOGITREE_THREADS  threads where none are asked for
  LOGITREE_CACHE    where known models are kept
  LOGITREE_DATA     where `serve` keeps runs
  LOGITREE_CONFIG   settings: a TOML file with model, threads, data_dir
  LOGITREE_OFFLINE  never download
  HF_HOME           where models of the Hugging Face Hub are kept, as for Python
  HF_TOKEN, HF_ENDPOINT, HF_HUB_CACHE, HF_HUB_OFFLINE: as for Python, too
  NO_COLOR          no colours

Documentation: ",
    env!("CARGO_PKG_REPOSITORY")
);

#[derive(Parser)]
#[command(name = "logitree", version, about = "See what a language model could have said", long_about = ABOUT, after_help = EXAMPLES)]
pub struct Cli {
    #[command(flatten)]
    pub everywhere: Everywhere,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Everywhere {
    /// Colours: auto (on a terminal, unless NO_COLOR is set), always or never
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t, hide_possible_values = true)]
    pub color: Colour,
    /// Say nothing but results and errors: no notes, no progress
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say what is being done and how long it took
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

#[derive(Subcommand)]
pub enum Command {
    /// Grow the tree of likely continuations of a prompt
    Tree(Box<tree::TreeArgs>),
    /// What may come next: the distribution of the next token
    Next(next::NextArgs),
    /// A text in the terminal, in which every token can be exchanged for another
    Explore(explore::ExploreArgs),
    /// Generate, and show each token's probability, rank and alternatives
    Logprobs(generate::LogprobsArgs),
    /// Force how the answer begins: how likely was that, and what follows?
    Guide(guide::GuideArgs),
    /// Score every token of a given text
    Score(score::ScoreArgs),
    /// How likely is each answer, over all continuations?
    Answers(answers::AnswersArgs),
    /// How likely is each answer after each token of a text, and where was it decided?
    Decide(decide::DecideArgs),
    /// How much does each part of a prompt make a text, or each answer, likelier?
    Attribute(attribute::AttributeArgs),
    /// Where might the text have gone another way, and would it have mattered?
    Forks(forks::ForksArgs),
    /// A stored run as a sampler would see it
    Lens(lens::LensArgs),
    /// What would each layer of the model have predicted after a node of a stored run?
    Layers(look::LayersArgs),
    /// What differs between two models, arithmetics or prompts on one text, or between two runs?
    Compare(Box<compare::CompareArgs>),
    /// Run an experiment: prompts x parameters x models
    Run(experiment::RunArgs),
    /// Run a stored run's steps again and compare every number
    Verify(verify::VerifyArgs),
    /// Show what is in a file: a run, or the notebook's tree or logprobs
    Show(show::ShowArgs),
    /// The web app: text and tree as two views of one live run
    Serve(serve::ServeArgs),
    /// Look at files in the web app; no model is needed
    View(view::ViewArgs),
    /// Write a run with the web app as one HTML file
    Report(report::ReportArgs),
    /// Write a run in another format
    Export(export::ExportArgs),
    /// Measure this machine and this model on it
    Bench(bench::BenchArgs),
    /// Known models and the cache
    Model(model::ModelArgs),
    /// What a server can do as an engine
    Engine(engine::EngineArgs),
    /// What this machine has, and whether logitree works here
    Doctor(doctor::DoctorArgs),
    /// Print a script that completes commands and options in a shell
    Completions(completions::CompletionsArgs),
    /// Write manual pages into a folder
    #[command(hide = true)]
    Man(completions::ManArgs),
}

/// The command line, parsed; the first argument is the program's name.
///
/// # Errors
/// If the arguments are not in the grammar, or ask for help or the version.
pub fn parse(args: Vec<OsString>) -> Result<Cli, clap::Error> {
    let command = command();
    let args = args.into_iter().map(|a| if a == "-hf" { "--hf".into() } else { a }).collect();
    let args = texts_apart(&command, args);
    Cli::from_arg_matches(&command.try_get_matches_from(args)?)
}

/// The grammar: values may be negative numbers, which are then refused by name where they make no sense, and texts may
/// begin with a hyphen.
pub fn command() -> clap::Command {
    fn values(command: clap::Command) -> clap::Command {
        let names: Vec<String> = command.get_subcommands().map(|c| c.get_name().to_string()).collect();
        let command = command.mut_args(|arg| {
            let text = arg.get_value_names().is_some_and(|n| n.iter().any(|n| TEXTS.contains(&n.as_str())));
            match (arg.get_action().takes_values(), text && !arg.is_positional()) {
                (false, _) => arg,
                (true, true) => arg.allow_hyphen_values(true),
                (true, false) => arg.allow_negative_numbers(true),
            }
        });
        names.into_iter().fold(command, |c, name| c.mut_subcommand(name, values))
    }
    short(values(Cli::command()))
}

/// What the short help (`-h`) shows of options that many commands have, by their head; `--help` has all.
const MAIN: &[(&str, &[&str])] = &[
    ("Many texts", &["input"]),
    ("Model", &["model"]),
    ("Servers in place of a model here", &["engines"]),
    ("Exploration", &["strategy", "max_depth", "min_branch_threshold", "max_branch_threshold"]),
];

/// Options under the first head that the short help leaves out, whatever the command.
const RARE: &[&str] = &[
    "special",
    "template_args",
    "system",
    "store_top",
    "hash_logits",
    "force",
    "depth",
    "min_mass",
    "no_tree",
    "join",
    "seed",
    "min_p",
    "paths",
    "range",
];

/// Commands with no more options than this have one help.
const FEW: usize = 14;

fn short(command: clap::Command) -> clap::Command {
    let names: Vec<String> = command.get_subcommands().map(|c| c.get_name().to_string()).collect();
    let command = if command.get_arguments().count() > FEW { shortened(command) } else { command };
    names.into_iter().fold(command, |c, name| c.mut_subcommand(name, short))
}

/// Gives a command a short help: its main options, each with the beginning of what it does, and the examples.
fn shortened(command: clap::Command) -> clap::Command {
    let behind = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let examples = behind.split("\n\n").next().unwrap_or_default().to_string();
    let command = command.mut_args(|arg| {
        let id = arg.get_id().as_str();
        let hidden = match arg.get_help_heading() {
            None => RARE.contains(&id),
            Some(head) => MAIN.iter().any(|(name, seen)| *name == head && !seen.contains(&id)),
        };
        let full = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
        arg.help(beginning(&full).to_string()).long_help(full).hide_short_help(hidden)
    });
    command.after_help(examples).after_long_help(behind)
}

/// What an option does, without what else there is to say of it. A word before a colon is what the option belongs to.
fn beginning(help: &str) -> &str {
    let first = help.find(": ").filter(|&at| !help[..at].contains(' ')).map_or(0, |at| at + 2);
    let ends = [". ", "; ", ": ", " (", ", which ", " [default", "\n"].iter().filter_map(|end| help[first..].find(end));
    help[..ends.min().map_or(help.len(), |at| first + at)].trim_end_matches('.')
}

/// Value names (in help texts) of options that take any text as their value.
const TEXTS: &[&str] = &["TEXT", "REGEX", "A|B|C"];

/// Puts a prompt such as "- milk" or "-5 is" where it cannot be taken for options: behind `--`. No option is written
/// with white space in it, so an argument that has some is a text, unless it is an option's value. The other texts go
/// there as well, so that several prompts keep their order.
fn texts_apart(command: &clap::Command, args: Vec<OsString>) -> Vec<OsString> {
    let everywhere = command;
    let Some(command) = args.get(1).and_then(|name| command.find_subcommand(name)) else { return args };
    let takes_value = |before: &str| {
        command.get_arguments().chain(everywhere.get_arguments()).any(|a| {
            let name = before.strip_prefix("--");
            let mut names = a.get_long().into_iter().chain(a.get_all_aliases().into_iter().flatten());
            let long = names.any(|n| name == Some(n));
            let short =
                a.get_short().is_some_and(|s| before.starts_with('-') && before.ends_with(s) && before.len() == 2);
            a.get_action().takes_values() && (long || short)
        })
    };
    let is_text = |i: usize| {
        let (Some(text), Some(before)) = (args[i].to_str(), args[i - 1].to_str()) else { return false };
        let name = text.split(['=', ' ', '\n', '\t']).next().unwrap_or_default();
        let option = name.starts_with("--") && text[name.len()..].starts_with('=');
        text.starts_with('-') && text.contains(char::is_whitespace) && !option && !takes_value(before)
    };
    let is_plain = |i: usize| {
        let (Some(text), Some(before)) = (args[i].to_str(), args[i - 1].to_str()) else { return false };
        (text == "-" || !text.starts_with('-')) && !takes_value(before) && !command.has_subcommands()
    };
    let end = args.iter().position(|a| a == "--").unwrap_or(args.len());
    if !(2..end).any(is_text) {
        return args;
    }
    let (texts, options): (Vec<_>, Vec<_>) = (0..end).partition(|&i| i >= 2 && (is_text(i) || is_plain(i)));
    let behind = (end + 1).min(args.len())..args.len();
    let mut apart: Vec<OsString> = options.into_iter().map(|i| args[i].clone()).collect();
    apart.push("--".into());
    apart.extend(texts.into_iter().chain(behind).map(|i| args[i].clone()));
    apart
}
