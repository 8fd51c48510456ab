//! Parameters of the library under the names that they have on the command line.
//!
//! Messages of the library name its parameters between backticks. Users of the program know these as flags, which the
//! grammar of the command line lists, so that there is no second list to keep.

use clap::Command;
use std::collections::HashSet;
use std::sync::OnceLock;

static GRAMMAR: OnceLock<fn() -> Command> = OnceLock::new();

/// Sets where the grammar is, before the first message.
pub fn set(grammar: fn() -> Command) {
    let _ = GRAMMAR.set(grammar);
}

/// Names of all long options of a command and of those below it.
fn options(command: &Command) -> HashSet<String> {
    let own = command.get_arguments().filter_map(|a| a.get_long()).map(String::from);
    own.chain(command.get_subcommands().flat_map(options)).collect()
}

/// A message of the library with flags in the place of parameters: `` `max_nodes` `` becomes `--max-nodes`. What else
/// stands between backticks stays.
pub fn with_flags(text: &str) -> String {
    // The grammar is built only for a message that may need it.
    let Some(grammar) = GRAMMAR.get().filter(|_| text.contains('`')) else { return text.into() };
    replaced(text, &options(&grammar()))
}

fn replaced(text: &str, options: &HashSet<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, (name, after))) = rest.split_once('`').and_then(|(b, r)| Some((b, r.split_once('`')?))) {
        out.push_str(before);
        let flag = name.replace('_', "-");
        match options.contains(&flag) {
            true => out.push_str(&format!("--{flag}")),
            false => out.push_str(&format!("`{name}`")),
        }
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_become_the_flags_that_there_are_and_nothing_else_does() {
        let options = options(&crate::cli::command());
        for (text, shown) in [
            ("`max_nodes` must be at least 1", "--max-nodes must be at least 1"),
            ("`min_p` (2) and `watch` \"a\"", "--min-p (2) and --watch \"a\""),
            ("`prob` is missing; `model", "`prob` is missing; `model"),
            ("run `hf auth login`", "run `hf auth login`"),
            ("", ""),
        ] {
            assert_eq!(replaced(text, &options), shown);
        }
        // Every parameter that the library's own errors name is an option here.
        for name in [
            "arithmetic",
            "backend",
            "end-token",
            "engine",
            "fast",
            "force",
            "model",
            "output",
            "pattern",
            "prefix",
            "special",
            "template-arg",
            "text",
            "tokenizer",
            "choices",
            "max-seconds",
        ] {
            assert!(options.contains(name), "{name}");
        }
    }
}
