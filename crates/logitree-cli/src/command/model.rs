//! `logitree model`: known models and the cache.

use crate::message;
use crate::options::Format;
use crate::{open, settings, terminal};
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use logitree::models::{self, Extent, KNOWN, megabytes};
use logitree::visible::visible;
use logitree_core::TokenId;
use logitree_core::end_tokens::union;
use logitree_engine::config::{Config, FeedForward, LayerConfig};
use logitree_engine::tokenizer_of;
use logitree_engine::weights::Weights;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write;

const EXAMPLES: &str = "Examples:
  logitree model list --all
  logitree model pull gemma-3-270m
  logitree model pull google/gemma-2-2b-it
  logitree model info ./my-model.gguf
  ls -l \"$(logitree model path gemma-3-270m)\"";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct ModelArgs {
    #[command(subcommand)]
    pub command: ModelCommand,
    /// How to print
    #[arg(long, value_enum, default_value_t, global = true)]
    pub format: Format,
}

#[derive(Subcommand)]
pub enum ModelCommand {
    /// Known models and whether they are here
    List {
        /// Also models that other programs have on this machine: the Hugging Face Hub's cache, llama.cpp, Ollama, LM Studio
        #[arg(long)]
        all: bool,
    },
    /// What a model is: architecture, sizes, quantisation, tokenizer, context, end ids
    Info {
        /// As for --model: a known name, a .gguf file, a folder, or a model of the Hugging Face Hub [default: the default model]
        model: Option<String>,
    },
    /// Fetch a model into the cache, without running it
    Pull {
        /// A known name, or a model of the Hugging Face Hub: OWNER/REPO, OWNER/REPO:QUANTISATION or hf:OWNER/REPO/FILE.gguf, and
        /// @REVISION [default: the default model]
        model: Option<String>,
    },
    /// Where a model's file or folder is; code 1 if it is not here
    Path {
        /// A known name, or a model of the Hugging Face Hub [default: the default model]
        model: Option<String>,
    },
    /// Remove a known model from the cache
    Rm {
        /// Its name
        model: String,
    },
}

pub fn run(args: ModelArgs) -> Result<()> {
    let json = args.format == Format::Json;
    match &args.command {
        ModelCommand::List { all } => list(json, *all),
        ModelCommand::Info { model } => info(&or_default(model)?, json),
        ModelCommand::Pull { model } => {
            let model = &or_default(model)?;
            let path = models::resolve(model, Extent::Whole, &open::events())?;
            let text = path.display().to_string();
            terminal::print(&if json { format!("{:#}\n", json!({ "path": text })) } else { text + "\n" })
        }
        ModelCommand::Rm { model } => remove(model, json),
        ModelCommand::Path { model } => {
            let model = &or_default(model)?;
            let (path, exists) = models::locate(model, &open::events())?;
            let text = path.display().to_string();
            if json {
                terminal::print(&format!("{:#}\n", json!({ "path": text, "exists": exists })))?;
            } else if exists {
                terminal::print(&(text.clone() + "\n"))?;
            }
            if !exists {
                bail!("{model} is not here: `logitree model pull {model}` fetches it to {text}");
            }
            Ok(())
        }
    }
}

fn or_default(model: &Option<String>) -> Result<String> {
    match model {
        Some(name) => Ok(name.clone()),
        None => Ok(settings::load()?.model.0),
    }
}

fn remove(name: &str, json: bool) -> Result<()> {
    let freed = models::remove(name)?;
    if json {
        return terminal::print(&format!("{:#}\n", json!({ "name": name, "freed": freed })));
    }
    terminal::print(&match freed {
        Some(bytes) => format!("{name} is removed: {}\n", megabytes(bytes)),
        None => format!("{name} is not here: nothing to remove\n"),
    })
}

fn list(json: bool, all: bool) -> Result<()> {
    let standard = settings::load()?.model.0;
    let mut rows = Vec::new();
    let mut text = String::new();
    for k in KNOWN {
        let path = models::path_of(k)?;
        let here = path.exists();
        let default = if k.name == standard { " (default)" } else { "" };
        let _ = writeln!(
            text,
            "{:<14} {:>7}  {}  {}{default}",
            k.name,
            megabytes(k.bytes),
            if here { "here   " } else { "missing" },
            k.about
        );
        let _ = writeln!(text, "{:<14} {:>7}  licence: {}", "", "", k.licence);
        rows.push(json!({
            "name": k.name, "about": k.about, "licence": k.licence, "bytes": k.bytes, "sha256": k.sha256,
            "path": path, "here": here, "default": k.name == standard,
        }));
    }
    let _ = writeln!(text, "\n{}", models::cache_dir()?.display());
    let found = if all { models::found() } else { Vec::new() };
    if all && found.is_empty() {
        text.push_str("\nno models of other programs were found\n");
    }
    for (i, f) in found.iter().enumerate() {
        if i == 0 || found[i - 1].place != f.place {
            let _ = writeln!(text, "\n{}", f.place);
        }
        let _ = writeln!(text, "  {:>8}  {}", megabytes(f.bytes), visible(&f.name));
        rows.push(json!({ "name": f.name, "place": f.place, "path": f.path, "bytes": f.bytes, "here": true }));
    }
    terminal::print(&if json { format!("{:#}\n", Value::Array(rows)) } else { text })
}

fn info(spec: &str, json: bool) -> Result<()> {
    let path = models::resolve(spec, Extent::Whole, &open::events())?;
    let weights = Weights::open(&path).with_context(|| format!("cannot load {spec}"))?;
    let c = weights.config()?;
    let tokenizer = tokenizer_of(&weights).context("tokenizer");
    let mut ends: Vec<TokenId> = weights.end_tokens()?;
    if let Ok(t) = &tokenizer {
        ends.extend(t.end_tokens());
        t.notes().iter().for_each(message::note);
    }
    weights.notes().iter().for_each(message::note);
    ends.retain(|t| t.index() < c.vocab);
    let ends = union(ends);
    let name =
        |id: TokenId| tokenizer.as_ref().map_or(String::new(), |t| String::from_utf8_lossy(&t.token_bytes(id)).into());
    let windows = c.layers.iter().filter_map(|l| l.window).collect::<Vec<_>>();
    let (tokenizer_kind, bos) = match &tokenizer {
        Ok(t) => (t.kind().to_string(), t.bos()),
        Err(e) => (format!("none ({e:#})"), None),
    };
    let dtypes = weights.dtypes();
    let object = json!({
        "path": path,
        "architecture": c.architecture,
        "parameters": weights.parameters(),
        "bytes": weights.bytes(),
        "dtypes": dtypes.iter().map(|(d, b)| (d.clone(), json!(b))).collect::<serde_json::Map<_, _>>(),
        "layers": c.layers.len(),
        "sliding_window": windows.first(),
        "sliding_layers": windows.len(),
        "hidden": c.hidden,
        "intermediate": of_layers(&c, |l| l.intermediate),
        "heads": of_layers(&c, |l| l.heads),
        "kv_heads": of_layers(&c, |l| l.kv_heads),
        "head_dim": of_layers(&c, |l| l.head_dim),
        "experts": c.experts.map(|e| json!({ "count": e.count, "used": e.used, "intermediate": e.intermediate })),
        "context": c.context,
        "vocab": c.vocab,
        "tied_embeddings": c.tied,
        "tokenizer": tokenizer_kind,
        "bos": bos.map(|id| json!({ "id": id, "text": name(id) })),
        "end_tokens": ends.iter().map(|&id| json!({ "id": id, "text": name(id) })).collect::<Vec<_>>(),
        "sha256": models::weights_sha256(&weights),
    });
    if json {
        return terminal::print(&format!("{object:#}\n"));
    }
    let mut text = String::new();
    let mut row = |name: &str, value: String| writeln!(text, "{name:<14} {}", visible(&value)).unwrap_or(());
    row("file", path.display().to_string());
    row("architecture", c.architecture.clone());
    row("parameters", format!("{:.0} M in {}", weights.parameters() as f64 / 1e6, megabytes(weights.bytes())));
    let parts: Vec<String> = dtypes.iter().map(|(d, b)| format!("{d} {}", megabytes(*b))).collect();
    row("weights", parts.join(", "));
    let sliding = match windows.first() {
        Some(w) => format!(" ({} of them look at the last {w} positions)", windows.len()),
        None => String::new(),
    };
    row("layers", format!("{}{sliding}", c.layers.len()));
    let feed_forward = match c.experts {
        Some(e) if c.layers.iter().all(|l| l.feed_forward == FeedForward::Experts) => {
            format!("{} of {} experts of {}", e.used, e.count, e.intermediate)
        }
        Some(e) => {
            format!("{}, {} of {} experts of {}", in_words(&c, |l| l.intermediate), e.used, e.count, e.intermediate)
        }
        None => in_words(&c, |l| l.intermediate),
    };
    row("sizes", format!("hidden {}, feed-forward {feed_forward}", c.hidden));
    let [heads, kv_heads, head_dim] =
        [in_words(&c, |l| l.heads), in_words(&c, |l| l.kv_heads), in_words(&c, |l| l.head_dim)];
    row("attention", format!("{heads} heads, {kv_heads} KV heads, size {head_dim}"));
    row("context", format!("{} tokens", c.context));
    row("tokenizer", format!("{tokenizer_kind}, {} tokens", c.vocab));
    row("BOS", bos.map_or("none is added".into(), |id| format!("{id} {}", name(id))));
    let ends: Vec<String> = ends.iter().map(|&id| format!("{id} {}", name(id))).collect();
    row("end tokens", ends.join(", "));
    row("sha256", object["sha256"].as_str().unwrap_or_default().into());
    terminal::print(&text)
}

/// A size of the layers: one number if it is the same in all of them, else the list.
fn of_layers(c: &Config, size: impl Fn(&LayerConfig) -> usize) -> Value {
    let sizes: Vec<usize> = c.layers.iter().map(size).collect();
    if sizes.windows(2).all(|pair| pair[0] == pair[1]) { json!(sizes.first()) } else { json!(sizes) }
}

/// A size of the layers in words: `256 or 512` if it differs.
fn in_words(c: &Config, size: impl Fn(&LayerConfig) -> usize) -> String {
    let sizes: BTreeSet<usize> = c.layers.iter().map(size).collect();
    sizes.iter().map(usize::to_string).collect::<Vec<_>>().join(" or ")
}
