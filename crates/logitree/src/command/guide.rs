//! `logitree guide`

use super::generate::{GenerationOptions, Records, generate, report};
use crate::cli::{ModelOptions, PromptOptions};
use crate::setup::{self, Prepared};
use crate::{input, terminal};
use anyhow::{Context, Result};
use clap::Args;
use logitree_core::TokenId;
use logitree_core::metrics::totals;
use serde_json::json;

const EXAMPLES: &str = "Examples:
  logitree guide \"Python code for prime number?\" --prefix $'```python\\ndef is_prime(n:'
  logitree guide \"The capital of India is\" --join \" \" --prefix \"Mumbai\"
  logitree guide --chat -m smollm2-135m \"Is the earth flat?\" --prefix \"Yes\"

Forced tokens are marked >, with how likely each was and how likely all of them were together.
Prompt and prefix are split together: a token with text of both is forced.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct GuideArgs {
    #[command(flatten)]
    pub prompt: PromptOptions,
    /// How the answer must begin
    #[arg(long, value_name = "TEXT")]
    pub prefix: String,
    /// What stands between prompt and prefix [default: a blank line; nothing with --chat]
    #[arg(long, value_name = "TEXT")]
    pub join: Option<String>,
    #[command(flatten)]
    pub generation: GenerationOptions,
    #[command(flatten)]
    pub model: ModelOptions,
}

pub fn run(args: GuideArgs) -> Result<()> {
    input::check_text(&args.prefix, "--prefix")?;
    let output = Records::open(args.generation.output.as_deref())?;
    terminal::catch_interrupts();
    let given = args.prompt.read()?;
    let join = args.join.unwrap_or_else(|| if args.prompt.form.chat { String::new() } else { "\n\n".into() });
    let loaded = setup::load(&args.model)?;
    loaded.model.need_tokens("guide")?;
    let suffix = format!("{join}{}", args.prefix);
    setup::note_names(&loaded, &given, &suffix);
    let prepared = |suffix: &str| setup::prepare(&loaded, given.clone(), suffix);
    let Prepared { text, tokens, bos, .. } = prepared(&suffix)?;
    let others = OTHERS.map(|other| Ok(prepared(&format!("{join}{other}"))?.tokens));
    let others = others.into_iter().collect::<Result<Vec<_>>>()?;
    let start = forced_from(&tokens, &others, |t| loaded.model.token_bytes(t).into_owned());
    if start == 0 {
        anyhow::bail!("the whole text is one token: there is no prompt left to condition on");
    }
    if start == tokens.len() {
        anyhow::bail!("--prefix leaves no token: the model's tokenizer drops it, or makes it one with the prompt");
    }
    let generated = generate(&loaded, &tokens, start, &args.generation)?;
    let forced = totals(generated.steps.iter().filter(|s| s.forced).map(|s| s.token.logprob));
    let extra = json!({
        "bos": bos,
        "prefix": args.prefix,
        "forced": { "tokens": forced.tokens, "logprob": forced.logprob, "bits": forced.bits, "prob": forced.logprob.exp() },
    });
    report(&loaded, &text, &generated, &args.generation, output, extra).context("cannot report")
}

/// Texts to put in place of the prefix. They begin differently and join nothing before them, so that no prefix begins like
/// both.
const OTHERS: [&str; 2] = ["x", "0"];

/// First token with text of the prefix.
///
/// Prompt and prefix are split together, as the model would see them written, by a tokenizer that may do anything to the
/// text: compose characters, put spaces in, change case. So the border is sought in what came out: where the text begins
/// to differ from the same prompt with `others` in the prefix's place. What comes before is the prompt's whatever follows;
/// a token across the border is counted as forced.
fn forced_from(tokens: &[TokenId], others: &[Vec<TokenId>], bytes: impl Fn(TokenId) -> Vec<u8>) -> usize {
    let text = |ids: &[TokenId]| ids.iter().flat_map(|&id| bytes(id)).collect::<Vec<u8>>();
    let whole = text(tokens);
    let common = |other: &Vec<TokenId>| whole.iter().zip(text(other)).take_while(|(a, b)| *a == b).count();
    let border = others.iter().map(common).min().unwrap_or_default();
    let ends = tokens.iter().scan(0, |end, &id| {
        *end += bytes(id).len();
        Some(*end)
    });
    ends.take_while(|&end| end <= border).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tokens are written as texts, by their index in a list.
    fn from(whole: &[&str], others: [&[&str]; 2]) -> usize {
        let all: Vec<&str> = whole.iter().chain(others[0]).chain(others[1]).copied().collect();
        let ids = |texts: &[&str]| -> Vec<TokenId> {
            texts.iter().map(|t| TokenId(all.iter().position(|a| a == t).unwrap() as u32)).collect()
        };
        forced_from(&ids(whole), &others.map(ids), |id| all[id.index()].as_bytes().to_vec())
    }

    #[test]
    fn a_token_across_the_border_is_forced() {
        // The prompt "ab c", the prefix "de".
        assert_eq!(from(&["ab", " c", "de"], [&["ab", " c", "x"], &["ab", " c0"]]), 2);
        assert_eq!(from(&["ab", " cd", "e"], [&["ab", " c", "x"], &["ab", " c0"]]), 1);
        assert_eq!(from(&["ab cde"], [&["ab", " c", "x"], &["ab", " c0"]]), 0);
        // Other words than without the prefix, of the prompt all the same.
        assert_eq!(from(&["a", "b ", "cde"], [&["ab", " c", "x"], &["ab", " c0"]]), 2);
        // A prefix that begins like one of the others.
        assert_eq!(from(&["ab", " c", "x", "y"], [&["ab", " c", "x"], &["ab", " c0"]]), 2);
        assert_eq!(from(&["ab", " c0", "y"], [&["ab", " c", "x"], &["ab", " c0"]]), 1);
    }

    #[test]
    fn what_a_normaliser_does_moves_no_border() {
        // The prefix is a mark alone, and is composed with the prompt's last letter.
        assert_eq!(from(&["caf", "\u{e9}"], [&["caf", "ex"], &["caf", "e", "0"]]), 1);
        // A space in front of all, the prompt in small letters, and a prefix of which nothing is left.
        assert_eq!(from(&[" ab", "c"], [&[" ab", "x"], &[" ab", "0"]]), 1);
        assert_eq!(from(&["ab"], [&["ab", "x"], &["ab", "0"]]), 1);
    }
}
