//! `logitree engine`: what a server can do as an engine.

use crate::open;
use crate::options::{Format, RemoteOptions};
use crate::usage::usage;
use anyhow::Result;
use clap::{Args, Subcommand};
use logitree::visible::visible;
use logitree::wobble;
use logitree_core::wobble::{Way, Wobble};
use logitree_core::{LanguageModel, TokenId};
use logitree_remote::{Probe, RemoteModel};
use serde_json::json;
use std::fmt::Write;

const EXAMPLES: &str = "Examples:
  logitree engine probe http://localhost:8000/v1
  logitree tree \"The capital of India is\" --engine http://localhost:8000/v1
  logitree engine probe http://localhost:8000/v1 --wobble
  logitree engine probe http://a:8080 --engine-kind llama-server --format json";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct EngineArgs {
    #[command(subcommand)]
    pub command: EngineCommand,
}

#[derive(Subcommand)]
pub enum EngineCommand {
    /// Ask a server what it is and can do
    #[command(after_help = EXAMPLES)]
    Probe {
        /// Its address
        #[arg(value_name = "URL")]
        url: String,
        /// How to print
        #[arg(long, value_enum, default_value_t)]
        format: Format,
        #[command(flatten)]
        remote: Box<RemoteOptions>,
    },
}

pub fn run(args: EngineArgs) -> Result<()> {
    let EngineCommand::Probe { url, mut remote, format } = args.command;
    if !remote.engines.is_empty() {
        usage!("give one URL; --engine is for the other commands");
    }
    remote.engines = vec![url];
    let model = open::servers(&remote)?.probe(&open::events())?;
    let measured = if remote.wobble { wobble(&model, remote.engine_top)? } else { Vec::new() };
    let text = match format {
        Format::Json => {
            let mut object = as_json(&model);
            if remote.wobble {
                object["wobble"] = json!(measured);
            }
            serde_json::to_string(&object)? + "\n"
        }
        Format::Text => as_text(&model) + &wobble_text(&measured),
    };
    crate::terminal::print(&text)
}

/// A line for each way in which distributions were asked for again.
fn wobble_text(measured: &[Wobble]) -> String {
    let mut out = String::new();
    for w in measured {
        let way = match w.way {
            Way::Alone => "asked again",
            Way::Batch => "in one batch",
            Way::Cached => "after a prefix",
        };
        let flips = match w.flips {
            0 => "the same most likely tokens".into(),
            n => format!("another most likely token in {n} of {}", w.distributions),
        };
        let change = if w.largest == 0.0 {
            "the same numbers".into()
        } else {
            format!("off by up to {:.2e} nats, {:.2e} on average", w.largest, w.mean)
        };
        let _ = writeln!(out, "{way:<18} {change} ({} log probabilities), {flips}", w.compared);
    }
    out
}

fn token(model: &RemoteModel, id: TokenId) -> String {
    format!("{} {:?}", id.0, String::from_utf8_lossy(&model.token_bytes(id)))
}

fn as_json(model: &RemoteModel) -> serde_json::Value {
    let p = &model.probes()[0];
    let token = |id: TokenId| json!({ "id": id, "text": String::from_utf8_lossy(&model.token_bytes(id)) });
    json!({
        "url": p.url, "kind": p.kind.name(), "model": p.model, "context": p.context, "vocab": p.vocab, "slots": p.slots,
        "list": p.list, "raw": p.raw, "echoes": p.echoes, "ids": p.kind.takes_ids(), "tokenizer": model.tokenizer(),
        "bos": model.bos().map(token), "end_tokens": model.end_tokens().iter().map(|&t| token(t)).collect::<Vec<_>>(),
    })
}

fn as_text(model: &RemoteModel) -> String {
    let p: &Probe = &model.probes()[0];
    let told = |n: Option<usize>| n.map_or("not told".into(), |n| n.to_string());
    let tokens = if p.kind.takes_ids() {
        "as ids, both ways: a path is never tokenised again".into()
    } else {
        let how = if p.echoes { "the server repeats them with their tokens" } else { "a prompt counts as one token" };
        format!("as text: a path that the server reads otherwise is marked; {how}")
    };
    let numbers = if p.raw { "the model's own" } else { "the sampler's, which is asked to change nothing" };
    let ends: Vec<String> = model.end_tokens().iter().map(|&t| token(model, t)).collect();
    let mut out = String::new();
    for (name, value) in [
        ("server", format!("{} ({})", p.url, p.kind)),
        ("model", p.model.clone()),
        ("context", told(p.context)),
        ("vocabulary", told(p.vocab)),
        ("prompts at once", told(p.slots)),
        ("tokens per step", format!("{} (asked for with --engine-top); entropy, rank and rest are bounds", p.list)),
        ("log probabilities", numbers.into()),
        ("tokens", tokens),
        ("tokenizer", model.tokenizer().into()),
        ("BOS", model.bos().map_or("none".into(), |t| token(model, t))),
        ("end tokens", if ends.is_empty() { "none found: name them with --end-token".into() } else { ends.join(", ") }),
    ] {
        let _ = writeln!(out, "{name:<18} {}", visible(&value));
    }
    out
}
