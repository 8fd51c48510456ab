//! `logitree view`

use super::serve::{ListenOptions, read};
use crate::lock::Folder;
use crate::output::Unfinished;
use crate::{server, terminal};
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;

const EXAMPLES: &str = "Examples:
  logitree view india.run.jsonl
  logitree view india_capital_tree.json logprobs.jsonl --open";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct ViewArgs {
    /// Run files, the notebook's tree JSON or logprobs JSONL
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub listen: ListenOptions,
}

pub fn run(args: ViewArgs) -> Result<()> {
    args.listen.check()?;
    let files = read(&args.files)?;
    // The files stay as they are; what the server needs of its own goes when it ends.
    let folder = tempfile::Builder::new().prefix("logitree-view-").tempdir()?;
    let _unfinished = Unfinished::new(folder.path());
    let data = Folder::hold(folder.path())?;
    terminal::catch_interrupts();
    let options = server::Options {
        address: args.listen.address(),
        any_port: true,
        remote: args.listen.allow_remote,
        data: &data,
        loaded: None,
        files,
    };
    server::run(options, |link, ids| args.listen.announce(link, ids))
}
