//! `logitree view`: shows files in the web app, without a model.

use super::serve::{ListenOptions, read};
use crate::{open, terminal};
use anyhow::Result;
use clap::Args;
use logitree::lock::Folder;
use logitree::output::Unfinished;
use logitree_server as server;
use std::path::PathBuf;

const EXAMPLES: &str = "Examples:
  logitree view india.run.jsonl
  logitree view india_capital_tree.json logprobs.jsonl --open";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct ViewArgs {
    /// Run files, the notebook's tree JSON or logprobs JSONL; `-` is standard input
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub listen: ListenOptions,
}

/// Prefix of the names of this command's temporary folders.
const PREFIX: &str = "logitree-view-";

/// Removes temporary folders of this command whose process was killed.
fn remove_left_behind() {
    let Ok(entries) = std::fs::read_dir(std::env::temp_dir()) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with(PREFIX) && Folder::is_left_behind(&path) {
            // This fails for another user's folder, which is none of this user's concern.
            let _ = std::fs::remove_dir_all(&path);
        }
    }
}

pub fn run(args: ViewArgs) -> Result<()> {
    args.listen.check()?;
    let files = read(&args.files)?;
    // The server needs a folder for runs. A temporary one is used, so that the user's files stay as they are.
    remove_left_behind();
    let folder = tempfile::Builder::new().prefix(PREFIX).tempdir()?;
    let _unfinished = Unfinished::new(folder.path());
    let data = Folder::hold(folder.path())?;
    terminal::catch_interrupts();
    let options = server::Options {
        address: args.listen.address(),
        any_port: true,
        remote: args.listen.allow_remote,
        origins: Vec::new(),
        data: &data,
        model: None,
        choice: None,
        events: open::events(),
        files,
    };
    Ok(server::run(options, |link, ids| args.listen.announce(link, ids))?)
}
