//! Loads the model that the options ask for, or connects to servers.

use crate::options::{MadeOptions, ModelOptions, RemoteOptions};
use crate::terminal::Terminal;
use crate::usage::{UsageError, usage};
use crate::{message, settings};
use anyhow::{Context, Result, bail};
use logitree::{Events, Model, OpenOptions, ServerOptions, arithmetic_of, import, models};
use logitree_core::run::{self, REMOTE, Run};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Loads the model of the options, or connects to the servers that are named instead.
pub fn load(options: &ModelOptions) -> Result<Model> {
    check_options(options)?;
    if !options.remote.engines.is_empty() {
        return connect(&options.remote);
    }
    let started = Instant::now();
    let name = options.name()?;
    let model = self::options(options)?.open(&name)?;
    message::detail(format_args!("{name} is ready after {:.2} s: {}", started.elapsed().as_secs_f64(), model.engine()));
    Ok(model)
}

/// Loads the model that made a run, in the run's arithmetic, or connects to the servers that are named instead. `what`
/// names the run in errors.
pub fn made(what: &str, recorded: &run::Model, options: &MadeOptions, remote: &RemoteOptions) -> Result<Model> {
    let name = match &options.model {
        Some(name) => name.clone(),
        None if remote.engines.is_empty() => models::named_by(what, &recorded.name, &events())?,
        None => models::DEFAULT.into(),
    };
    check_kind(what, recorded, remote)?;
    let options = ModelOptions {
        threads: options.threads,
        backend: options.backend.clone(),
        ..ModelOptions::new(name, arithmetic_of(what, recorded)?, remote.clone())
    };
    load(&options).with_context(|| format!("the model of {what}"))
}

/// The library's options for a model in this process.
pub fn options(options: &ModelOptions) -> Result<OpenOptions> {
    Ok(OpenOptions {
        threads: options.threads.or(settings::load()?.threads.0).map(usize::from),
        backend: options.backend.clone(),
        arithmetic: options.arithmetic.asked(),
        events: events(),
    })
}

/// Shows the library's notes and progress on this terminal.
pub fn events() -> Arc<dyn Events> {
    Arc::new(Terminal::default())
}

/// Connects to the servers of the options.
pub fn connect(remote: &RemoteOptions) -> Result<Model> {
    Ok(servers(remote)?.connect(events())?)
}

/// The library's options for these servers.
pub fn servers(remote: &RemoteOptions) -> Result<ServerOptions> {
    let key = |name: &String| {
        let key = std::env::var(name).ok().filter(|k| !k.trim().is_empty());
        key.map(|k| k.trim().to_owned())
            .ok_or_else(|| UsageError(format!("--api-key-env {name}: the variable is not set")))
    };
    Ok(ServerOptions {
        urls: remote.engines.clone(),
        kind: remote.engine_kind.0,
        model: remote.engine_model.clone(),
        key: remote.api_key_env.as_ref().map(key).transpose()?,
        concurrency: remote.concurrency,
        list: remote.engine_top,
        deadline: Duration::from_secs(remote.request_timeout),
        tokenizer: remote.tokenizer.clone(),
        end_tokens: remote.end_tokens.clone(),
        wobble: remote.wobble,
    })
}

/// Refuses options that would have no effect.
fn check_options(options: &ModelOptions) -> Result<()> {
    let r = &options.remote;
    let given = [
        ("--engine-kind", r.engine_kind.0.is_some()),
        ("--engine-model", r.engine_model.is_some()),
        ("--api-key-env", r.api_key_env.is_some()),
        ("--concurrency", r.concurrency.is_some()),
        ("--tokenizer", r.tokenizer.is_some()),
        ("--end-token", !r.end_tokens.is_empty()),
        ("--wobble", r.wobble),
    ];
    if let Some((name, _)) = given.iter().find(|(_, given)| *given && r.engines.is_empty()) {
        usage!("{name} is about servers: name one with --engine");
    }
    if let Some(name) = options.named().filter(|_| !r.engines.is_empty()) {
        usage!("-m {name} names a model for this process: with --engine, name the server's with --engine-model");
    }
    if !r.engines.is_empty()
        && (options.threads.is_some() || options.backend.is_some() || options.arithmetic.asked().is_some())
    {
        usage!(
            "--threads, --backend, --arithmetic and --fast are about a model in this process: leave them out with --engine"
        );
    }
    Ok(())
}

/// Refuses to resume a run on servers that was made by a model in this process, and the reverse. `what` names the run
/// in errors.
pub fn check_kind(what: &str, recorded: &run::Model, remote: &RemoteOptions) -> Result<()> {
    match (recorded.architecture == REMOTE, remote.engines.is_empty()) {
        (true, true) => bail!("{what} was made with servers: name one with --engine"),
        (false, false) => bail!("{what} was made with a model in this process: leave out --engine"),
        _ => Ok(()),
    }
}

/// Reads a run from a run file or another format that can be read as one. Prints notes about what was odd in it.
pub fn run_file(path: &Path) -> Result<Run> {
    let (run, notes) = import::open_run(path)?;
    notes.iter().for_each(|note| message::note(format_args!("{}: {note}", import::named(path))));
    Ok(run)
}
