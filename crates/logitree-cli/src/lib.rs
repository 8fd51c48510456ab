//! See what a language model could have said.
//!
//! This is the program as a library: `main.rs` calls [`main_with_args`] and nothing else, and so
//! does the command that comes with the Python package. The crates below it, `logitree-core`
//! above all, are what other programs build on.

// Messages must go through `message` and results through `terminal`: unlike `println!`, they do not panic if the output
// is closed.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

mod cli;
mod command;
mod flags;
#[doc(hidden)]
pub mod fuzzing;
mod input;
mod message;
mod open;
mod options;
mod progress;
mod settings;
mod terminal;
mod usage;

use cli::Command;
use logitree::ErrorKind;
use std::ffi::OsString;
use usage::UsageError;

/// Exit code after Ctrl-C, with all results so far saved.
const INTERRUPTED: u8 = 130;
/// Exit code if the command line is wrong, whatever the files and the model; clap uses the same code.
const USAGE: u8 = 2;
const SUCCESS: u8 = 0;
const FAILURE: u8 = 1;

/// Runs the program with these arguments, of which the first is the program's name. Returns the exit code.
pub fn main_with_args(args: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = match cli::parse(args.into_iter().collect()) {
        Ok(cli) => cli,
        Err(e) => return help(&e),
    };
    flags::set(cli::command);
    terminal::set(cli.everywhere.color);
    message::set(cli.everywhere.quiet, cli.everywhere.verbose);
    terminal::clean_up_when_interrupted();
    let outcome = match cli.command {
        Command::Tree(args) => command::tree::run(*args),
        Command::Next(args) => command::next::run(args),
        Command::Explore(args) => command::explore::run(args),
        Command::Logprobs(args) => command::generate::run(args),
        Command::Guide(args) => command::guide::run(args),
        Command::Score(args) => command::score::run(args),
        Command::Answers(args) => command::answers::run(args),
        Command::Decide(args) => command::decide::run(args),
        Command::Forks(args) => command::forks::run(args),
        Command::Layers(args) => command::look::run(args),
        Command::Lens(args) => command::lens::run(args),
        Command::Compare(args) => command::compare::run(*args),
        Command::Run(args) => command::experiment::run(args),
        Command::Verify(args) => command::verify::run(args),
        Command::Show(args) => command::show::run(args),
        Command::Serve(args) => command::serve::run(args),
        Command::View(args) => command::view::run(args),
        Command::Report(args) => command::report::run(args),
        Command::Export(args) => command::export::run(args),
        Command::Attribute(args) => command::attribute::run(args),
        Command::Bench(args) => command::bench::run(args),
        Command::Model(args) => command::model::run(args),
        Command::Engine(args) => command::engine::run(args),
        Command::Doctor(args) => command::doctor::run(args),
        Command::Completions(args) => command::completions::run(args, cli::command()),
        Command::Man(args) => command::completions::man(args, cli::command()),
    };
    end(outcome)
}

/// Prints what clap returns instead of arguments. Help and version are results and go to standard output; an error in
/// the arguments is a message, and the exit code is 2.
fn help(e: &clap::Error) -> u8 {
    let text = |colour: bool| if colour { e.render().ansi().to_string() } else { e.render().to_string() };
    if !e.use_stderr() {
        return end(terminal::print(&text(terminal::style().colour)));
    }
    message::coloured(&text(terminal::colours(&std::io::stderr())));
    USAGE
}

/// The exit code of an outcome. If it is an error, it is printed.
fn end(outcome: anyhow::Result<()>) -> u8 {
    match outcome {
        Ok(()) if terminal::interrupted() => INTERRUPTED,
        Ok(()) => SUCCESS,
        // The reader closed the pipe because it had enough, as in `logitree … | head`.
        Err(e) if is_closed(&e) => SUCCESS,
        Err(e) => {
            message::error(&e);
            if terminal::interrupted() {
                INTERRUPTED
            } else if e.chain().any(is_usage) {
                USAGE
            } else {
                FAILURE
            }
        }
    }
}

/// Whether the command line itself is wrong, whatever the files and the model.
fn is_usage(e: &(dyn std::error::Error + 'static)) -> bool {
    e.is::<UsageError>() || e.downcast_ref::<logitree::Error>().is_some_and(|e| e.parameter().is_some())
}

/// Whether the error is that the reader of an output has closed it.
fn is_closed(e: &anyhow::Error) -> bool {
    e.chain().any(|c| {
        c.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
            || c.downcast_ref::<logitree::Error>().is_some_and(|e| e.kind() == ErrorKind::Closed)
    })
}
