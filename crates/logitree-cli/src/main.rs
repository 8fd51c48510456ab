//! The program; everything it does is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(logitree_cli::main_with_args(std::env::args_os()))
}
