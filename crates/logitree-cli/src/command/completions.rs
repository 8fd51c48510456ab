//! `logitree completions` and `logitree man`: what packages install beside the program.

use crate::terminal;
use anyhow::{Context, Result};
use clap::{Args, Command};
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

/// Prints the script for this grammar.
pub fn run(args: CompletionsArgs, mut grammar: Command) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut grammar, "logitree", &mut script);
    terminal::print(&String::from_utf8(script)?)
}

#[derive(Args)]
pub struct ManArgs {
    /// An existing folder
    pub folder: PathBuf,
}

/// Writes a page for each command of this grammar.
pub fn man(args: ManArgs, grammar: Command) -> Result<()> {
    let written = clap_mangen::generate_to(grammar, &args.folder);
    written.with_context(|| format!("cannot write manual pages into {}", args.folder.display()))
}
