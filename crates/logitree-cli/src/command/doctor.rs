//! `logitree doctor`: what this machine has, and whether logitree works here.

use crate::options::Format;
use crate::{open, settings, terminal};
use anyhow::{Result, bail};
use clap::Args;
use logitree::models::{self, megabytes};
use logitree::{Model, OpenOptions, ScoreOptions};
use logitree_engine::Backend;
use serde_json::{Value, json};
use std::path::Path;

const EXAMPLES: &str = "Examples:
  logitree doctor
  logitree doctor --offline --format json";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct DoctorArgs {
    /// Do not ask whether the Hugging Face Hub can be reached
    #[arg(long)]
    pub offline: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// The result of one check.
struct Finding {
    what: &'static str,
    text: String,
    /// What the user can do if the check failed.
    fix: Option<String>,
}

fn good(what: &'static str, text: impl Into<String>) -> Finding {
    Finding { what, text: text.into(), fix: None }
}

fn broken(what: &'static str, text: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding { what, text: text.into(), fix: Some(fix.into()) }
}

pub fn run(args: DoctorArgs) -> Result<()> {
    let mut found = vec![
        good(
            "version",
            format!("logitree {} on {} {}", env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH),
        ),
        processor(),
        memory(),
    ];
    found.extend(preferences());
    found.push(cache());
    found.push(web_app());
    if !args.offline {
        found.push(hub());
    }
    found.push(self_test());
    let bad = found.iter().filter(|f| f.fix.is_some()).count();
    match args.format {
        Format::Json => {
            let list: Vec<Value> =
                found.iter().map(|f| json!({ "what": f.what, "found": f.text, "fix": f.fix })).collect();
            terminal::print(&format!("{:#}\n", json!({ "findings": list, "broken": bad })))?;
        }
        Format::Text => {
            let style = terminal::style();
            let mut out = String::new();
            for f in &found {
                let (sign, colour) = if f.fix.is_some() { ("✗", "31") } else { ("✓", "32") };
                let text = logitree::export::text::wrap(&f.text, style.width.saturating_sub(14), "");
                let text = text.replace('\n', &format!("\n{:14}", ""));
                out.push_str(&format!("{} {:<11} {text}\n", style.paint(colour, sign), f.what));
                if let Some(fix) = &f.fix {
                    out.push_str(&format!("{:14}{}\n", "", style.paint("1", fix)));
                }
            }
            terminal::print(&out)?;
        }
    }
    match bad {
        0 => Ok(()),
        1 => bail!("1 thing is broken"),
        n => bail!("{n} things are broken"),
    }
}

fn processor() -> Finding {
    let backend = Backend::detect();
    let names: Vec<&str> = Backend::available().iter().map(|b| b.name()).collect();
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let text = format!(
        "{threads} threads; instruction sets {}; used are {} in {} arithmetic",
        names.join(", "),
        backend.name(),
        backend.arithmetic().name()
    );
    good("processor", text)
}

/// Checks memory, on systems that tell its size in a file.
fn memory() -> Finding {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let value = |name: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(name))?;
        line.trim_start_matches(':').trim().split(' ').next()?.parse::<u64>().ok().map(|kb| kb * 1024)
    };
    match (value("MemTotal"), value("MemAvailable")) {
        (Some(total), Some(free)) => {
            let gigabytes = |bytes: u64| bytes as f64 / 1e9;
            good("memory", format!("{:.1} GB, {:.1} GB of them free", gigabytes(total), gigabytes(free)))
        }
        _ => good("memory", "this system does not tell here"),
    }
}

fn preferences() -> Vec<Finding> {
    let settings = match settings::load() {
        Ok(settings) => settings,
        Err(e) => return vec![broken("settings", format!("{e:#}"), "correct the file, or remove it")],
    };
    let (name, from) = &settings.model;
    let mut found = vec![match models::locate(name, &open::events()) {
        Ok((path, true)) => good("model", format!("{name} ({}): {}", from.describe(), path.display())),
        Ok((_, false)) => {
            good("model", format!("{name} ({}): not here yet, it is fetched when it is first used", from.describe()))
        }
        Err(e) => broken("model", format!("{name} ({}): {e:#}", from.describe()), "name another model"),
    }];
    if let (Some(threads), from) = settings.threads {
        found.push(good("threads", format!("{threads} ({})", from.describe())));
    }
    let file = settings::path().map_or("none".into(), |p| {
        if p.exists() { p.display().to_string() } else { format!("{} (not there: defaults hold)", p.display()) }
    });
    found.push(good("settings", file));
    found
}

/// Checks that models can be stored in the cache's folder.
fn cache() -> Finding {
    let fix = "set LOGITREE_CACHE to a folder you may write to";
    let folder = match models::cache_dir() {
        Ok(folder) => folder,
        Err(e) => return broken("cache", format!("{e:#}"), fix),
    };
    let here: u64 =
        models::KNOWN.iter().filter_map(|k| std::fs::metadata(folder.join(k.file)).ok()).map(|m| m.len()).sum();
    // Folders that do not exist would be made, so the nearest existing one must be writable.
    let there = folder.ancestors().find(|f| f.exists()).unwrap_or(Path::new("."));
    match tempfile::tempfile_in(there) {
        Ok(_) => good("cache", format!("{}: {} of known models", folder.display(), megabytes(here))),
        Err(e) => broken("cache", format!("{}: {e}", folder.display()), fix),
    }
}

fn web_app() -> Finding {
    if logitree_server::has_web_app() {
        good("web app", "inside")
    } else {
        broken(
            "web app",
            "this program was built without it: `serve`, `view` and `report` have no page",
            "npm --prefix web ci && npm --prefix web run build, then build again",
        )
    }
}

fn hub() -> Finding {
    match models::hub_status(&open::events()) {
        Ok(status) => {
            let token = if status.token { "with an access token" } else { "without an access token" };
            match status.reached {
                None => {
                    good("hub", format!("{}: downloads are off (LOGITREE_OFFLINE or HF_HUB_OFFLINE)", status.endpoint))
                }
                Some(Ok(())) => good("hub", format!("{} can be reached, {token}", status.endpoint)),
                // This is no fault: models that are on this machine work without the Hub.
                Some(Err(why)) => good(
                    "hub",
                    format!("{} cannot be reached ({why}); models that are here work all the same", status.endpoint),
                ),
            }
        }
        Err(e) => broken("hub", format!("{e:#}"), "correct the variable"),
    }
}

/// Checks that the default model's numbers for a few tokens have the same bits with this machine's instruction set and
/// with portable code.
fn self_test() -> Finding {
    let Ok(settings) = settings::load() else { return good("self-test", "left out: the settings cannot be read") };
    let name = settings.model.0;
    if !matches!(models::locate(&name, &open::events()), Ok((_, true))) {
        return good("self-test", format!("left out: {name} is not here"));
    }
    let numbers = |backend: Option<String>| -> Result<Vec<u64>> {
        let arithmetic = Some(Backend::detect().arithmetic());
        let model: Model = OpenOptions { backend, arithmetic, ..OpenOptions::default() }.open(&name)?;
        let scored = model.score(&model.prompt("1 2 3 4 5 6")?, &ScoreOptions::default())?;
        Ok(scored.tokens.iter().map(|t| t.token.logprob.to_bits()).collect())
    };
    let (fast, portable) = match (numbers(None), numbers(Some("scalar".into()))) {
        (Ok(fast), Ok(portable)) => (fast, portable),
        (Err(e), _) | (_, Err(e)) => {
            return broken(
                "self-test",
                format!("{name}: {e:#}"),
                format!("logitree model rm {name}, then fetch it again"),
            );
        }
    };
    if fast == portable {
        good("self-test", format!("{name}: {} numbers, the same bits as portable arithmetic", fast.len()))
    } else {
        broken(
            "self-test",
            format!("{name}: {} and portable arithmetic give different numbers", Backend::detect().name()),
            "report it with this output; --backend scalar is right, and slow",
        )
    }
}
