//! `logitree compare`: two models, two arithmetics or two prompts on one text, or two run files.

mod common;
mod runs;
mod texts;

pub use common::CompareArgs;

use crate::usage::usage;
use anyhow::Result;
use std::path::Path;

pub fn run(args: CompareArgs) -> Result<()> {
    if args.text.is_some() || args.file.is_some() {
        return texts::run(&args);
    }
    if let Some(name) = args.sides.given() {
        usage!("{name} is about models on a text: give the text with --text or --file");
    }
    let Some(b) = &args.b else {
        usage!("name two run files; or give a text with --text or --file, to compare models");
    };
    let files = [args.a.as_str(), b];
    if let Some(name) = files.into_iter().find(|f| *f != "-" && !Path::new(f).exists()) {
        usage!("{name}: there is no such run file; to compare models, give the text with --text or --file");
    }
    if files == ["-", "-"] {
        usage!("`-` stands for two files: standard input can be read only once");
    }
    runs::run(&args, files.map(Path::new))
}
