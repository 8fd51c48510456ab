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

Forced tokens are marked >, with how likely each was and how likely all of them were together.";

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
    let Prepared { text, tokens, bos, .. } = setup::prepare(&loaded, given, &suffix)?;
    let start = forced_from(&tokens, args.prefix.len(), |t| loaded.model.token_bytes(t).len());
    if start == 0 {
        anyhow::bail!("the whole text is one token: there is no prompt left to condition on");
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

/// First token with bytes of the prefix. Prompt and prefix are tokenised together, as the model would see
/// them written; a token across the border is counted as forced.
fn forced_from(tokens: &[TokenId], prefix_bytes: usize, len: impl Fn(TokenId) -> usize) -> usize {
    let mut left = prefix_bytes;
    for (i, &token) in tokens.iter().enumerate().rev() {
        if left == 0 {
            return i + 1;
        }
        left = left.saturating_sub(len(token));
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_across_the_border_is_forced() {
        let tokens: Vec<TokenId> = (0..4).map(TokenId).collect();
        let lens = [3, 2, 2, 1];
        let from = |bytes| forced_from(&tokens, bytes, |t| lens[t.index()]);
        assert_eq!((from(1), from(3), from(4), from(5), from(8)), (3, 2, 1, 1, 0));
    }
}
