//! `logitree completions` and `logitree man`: what packages install beside the program.

use crate::{cli, terminal};
use anyhow::{Context, Result};
use clap::Args;
use clap_complete::Shell;
use std::path::PathBuf;

const EXAMPLES: &str = "Examples:
  logitree completions bash > ~/.local/share/bash-completion/completions/logitree
  logitree completions zsh > ~/.zfunc/_logitree
  logitree completions fish > ~/.config/fish/completions/logitree.fish";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

pub fn run(args: CompletionsArgs) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut cli::command(), "logitree", &mut script);
    terminal::print(&String::from_utf8(script)?)
}

#[derive(Args)]
pub struct ManArgs {
    /// An existing folder
    pub folder: PathBuf,
}

pub fn man(args: ManArgs) -> Result<()> {
    let written = clap_mangen::generate_to(cli::command(), &args.folder);
    written.with_context(|| format!("cannot write manual pages into {}", args.folder.display()))
}
