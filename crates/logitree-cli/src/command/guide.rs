//! `logitree guide`: forces how the answer begins.

use super::generate::{GenerationOptions, Records, generate, report};
use crate::options::{ModelOptions, PromptOptions};
use crate::{input, open, terminal};
use anyhow::{Context, Result};
use clap::Args;
use logitree::totals_of;
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
    input::check_argument(&args.prefix, "--prefix")?;
    let output = Records::open(args.generation.output.as_deref())?;
    terminal::catch_interrupts();
    let given = args.prompt.read()?;
    let join = args.join.unwrap_or_else(|| if args.prompt.form.chat { String::new() } else { "\n\n".into() });
    let model = open::load(&args.model)?;
    model.need_tokens("guide")?;
    model.note_names(&given, &format!("{join}{}", args.prefix));
    let (prompt, start) = model.guide(&given, &join, &args.prefix)?;
    let generated = generate(&model, &prompt, Some(start), &args.generation)?;
    let forced = totals_of(generated.tokens.iter().filter(|s| s.forced));
    let extra = json!({
        "bos": prompt.bos,
        "prefix": args.prefix,
        "forced": { "tokens": forced.tokens, "logprob": forced.logprob, "bits": forced.bits, "prob": forced.logprob.exp() },
    });
    report(&model, &prompt, &generated, &args.generation, output, extra).context("cannot report")
}
