//! Growing a tree and its run file: what `tree` and `run` have in common.

use crate::export::text::percent;
use crate::output::{self, Target};
use crate::setup::{self, Given, Loaded, Prepared};
use crate::visible::harmless;
use crate::{lock, progress, terminal};
use anyhow::{Context, Result, bail};
use logitree_core::explore::{Explorer, Keep, Policy, Strategy};
use logitree_core::run::{End, EndReason, Event, FORMAT, Header, Prompt, Run, VERSION, change_events, end_event};
use logitree_core::{NodeId, TokenId, Tree};
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write, stdout};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Where the events of a run go.
pub enum Record {
    File(BufWriter<File>, PathBuf),
    Stdout,
}

/// Where the events of a new run will go. Nothing is there until its header is.
pub enum Destination {
    Stdout,
    Named(Target),
    /// The first free name: this one, then numbered, with the ending of run files.
    Free(String),
}

impl Destination {
    /// Refuses to write over the model that is asked.
    fn spare(&self, loaded: &Loaded) -> Result<()> {
        match (self, loaded.model.local()) {
            (Destination::Named(target), Ok(model)) => target.spare(model.weights().files()),
            _ => Ok(()),
        }
    }

    /// The record, with its first lines in it.
    fn begin(self, lines: &[u8]) -> Result<Record> {
        match self {
            Destination::Stdout => {
                let mut record = Record::Stdout;
                record.write_lines(lines)?;
                Ok(record)
            }
            Destination::Named(target) => {
                let file = target.begin(lines)?;
                Ok(Record::File(BufWriter::new(file), target.path().into()))
            }
            Destination::Free(stem) => {
                let first = std::iter::once(format!("{stem}.run.jsonl"));
                let names = first.chain((2..10_000).map(|i| format!("{stem}-{i}.run.jsonl")));
                let (file, path) = output::begin_new(names.map(PathBuf::from), lines)?;
                Ok(Record::File(BufWriter::new(file), path))
            }
        }
    }
}

/// Events as lines of a run file.
fn lines_of(events: &[Event]) -> Result<Vec<u8>> {
    let mut lines = Vec::new();
    for event in events {
        serde_json::to_writer(&mut lines, event)?;
        lines.push(b'\n');
    }
    Ok(lines)
}

impl Record {
    /// Appends events.
    pub fn write(&mut self, events: &[Event]) -> Result<()> {
        self.write_lines(&lines_of(events)?)
    }

    fn write_lines(&mut self, lines: &[u8]) -> Result<()> {
        match self {
            Record::File(file, path) => {
                file.write_all(lines).with_context(|| format!("cannot write {}", path.display()))
            }
            // Of the same value as in a file, and harmless to a terminal.
            Record::Stdout => Ok(stdout().lock().write_all(harmless(&String::from_utf8_lossy(lines)).as_bytes())?),
        }
    }

    /// Makes what was written readable for others.
    pub fn flush(&mut self) -> Result<()> {
        match self {
            Record::File(file, path) => file.flush().with_context(|| format!("cannot write {}", path.display())),
            Record::Stdout => Ok(stdout().lock().flush()?),
        }
    }

    /// Bytes of the file, once flushed; 0 for standard output.
    pub fn len(&self) -> Result<u64> {
        match self {
            Record::File(file, path) => {
                Ok(file.get_ref().metadata().with_context(|| path.display().to_string())?.len())
            }
            Record::Stdout => Ok(0),
        }
    }

    /// Where it goes.
    pub fn name(&self) -> PathBuf {
        match self {
            Record::File(_, path) => path.clone(),
            Record::Stdout => "-".into(),
        }
    }
}

/// A run file that nobody else can write to. It is read after it is held, so that nothing is written in between.
pub struct Held {
    file: File,
    path: PathBuf,
}

impl Held {
    /// Holds an existing file.
    ///
    /// # Errors
    ///
    /// It cannot be opened, or another process writes it.
    pub fn open(path: &Path) -> Result<Held> {
        let file = lock::for_writing().open(path).with_context(|| path.display().to_string())?;
        lock::own(&file, path)?;
        Ok(Held { file, path: path.into() })
    }

    /// Goes on behind the last whole event; what was torn goes.
    pub fn append(mut self, valid_bytes: u64) -> Result<Record> {
        let cut = self.file.set_len(valid_bytes).and_then(|()| self.file.seek(SeekFrom::End(0)));
        cut.with_context(|| self.path.display().to_string())?;
        Ok(Record::File(BufWriter::new(self.file), self.path))
    }
}

/// What ends a run early, and what it keeps.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub max_nodes: Option<usize>,
    pub max_seconds: Option<f64>,
    pub keep: Keep,
}

impl Limits {
    /// Checks the budgets' ranges.
    ///
    /// # Errors
    /// Names the one that is outside.
    pub fn check(&self) -> Result<()> {
        if self.max_nodes == Some(0) {
            bail!("`max_nodes` must be at least 1");
        }
        if let Some(s) = self.max_seconds.filter(|s| !s.is_finite() || *s < 0.0) {
            bail!("`max_seconds` must be a number from 0 up, not {s}");
        }
        Ok(())
    }

    /// The budgets as headers have them.
    pub fn json(&self) -> Map<String, Value> {
        let budgets = [("max_nodes", json!(self.max_nodes)), ("max_seconds", json!(self.max_seconds))];
        budgets.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.to_string(), v)).collect()
    }

    /// Those that a run was begun with. The first files do not say what was kept of each step: as much as of the first.
    pub fn of(run: &Run) -> Limits {
        let number = |name: &str| run.header.limits.get(name).and_then(Value::as_f64);
        let listed = run.tree.expansion(NodeId::ROOT).map_or(10, |e| e.top.len());
        let keep = run.header.store_top.unwrap_or(Keep::Top(listed));
        Limits { max_nodes: number("max_nodes").map(|n| n as usize), max_seconds: number("max_seconds"), keep }
    }

    /// The budget that is used up, if one is, with so many seconds spent.
    pub fn reached(&self, tree: &Tree, seconds: f64) -> Option<EndReason> {
        if self.max_nodes.is_some_and(|n| tree.len() >= n) {
            Some(EndReason::MaxNodes)
        } else if self.max_seconds.is_some_and(|s| seconds >= s) {
            Some(EndReason::MaxSeconds)
        } else {
            None
        }
    }

    fn end(&self, tree: &Tree, seconds: f64) -> Option<EndReason> {
        if terminal::interrupted() { Some(EndReason::Interrupted) } else { self.reached(tree, seconds) }
    }
}

/// A run about to begin, or to go on.
pub struct Job {
    pub header: Header,
    pub prompt: Vec<TokenId>,
    pub tree: Tree,
    policy: Box<dyn Policy>,
    pub record: Record,
    /// Time spent on it before.
    seconds: f64,
}

impl Job {
    /// A new run; its header is written.
    pub fn begin(
        loaded: &Loaded,
        prompt: impl Into<Given>,
        strategy: Strategy,
        watch: &[String],
        limits: &Limits,
        destination: Destination,
    ) -> Result<Job> {
        destination.spare(loaded)?;
        let Prepared { text, tokens, bos, special, messages, template_args } =
            setup::prepare(loaded, prompt.into(), "")?;
        let header = Header {
            format: FORMAT.into(),
            version: VERSION,
            logitree: env!("CARGO_PKG_VERSION").into(),
            created: setup::now(),
            model: loaded.record()?,
            engine: loaded.model.engine(),
            prompt: Prompt {
                text,
                tokens: tokens.iter().map(|&t| loaded.token(t)).collect(),
                bos,
                chat: !messages.is_empty(),
                special,
                messages,
                template_args,
            },
            strategy: strategy.name().into(),
            parameters: strategy.parameters(),
            limits: limits.json(),
            store_top: Some(limits.keep),
            watch: setup::watch(loaded, watch)?,
        };
        let tree = Tree::new(header.bounds());
        let policy = strategy.policy(&tree)?;
        let mut record = destination.begin(&lines_of(&[Event::Header(Box::new(header.clone()))])?)?;
        record.flush()?;
        Ok(Job { header, prompt: tokens, tree, policy, record, seconds: 0.0 })
    }

    /// A stopped run, to be gone on with in its own file. Budgets that it was not begun with are written down.
    ///
    /// # Errors
    /// If another model made it, or its strategy would not have grown this tree.
    pub fn resume(loaded: &Loaded, run: Run, held: Held, limits: &Limits) -> Result<Job> {
        let path = &held.path;
        check_resumable(path, &run)?;
        loaded.model.learn(&run)?;
        let Run { mut header, tree, end, seconds, valid_bytes, .. } = run;
        loaded.check_made(path, &header.model)?;
        let strategy: Strategy =
            serde_json::from_value(json!({ "strategy": header.strategy, "parameters": header.parameters }))
                .with_context(|| {
                    format!("{}: the strategy {:?} and its parameters", path.display(), header.strategy)
                })?;
        let policy = strategy.policy(&tree).with_context(|| path.display().to_string())?;
        let prompt = header.prompt.tokens.iter().map(|t| t.id).collect();
        let mut record = held.append(valid_bytes)?;
        if header.limits != limits.json() {
            // Before anything else, so that a kill does not lose them.
            let reason = end.map_or(EndReason::Interrupted, |e| e.reason);
            header.limits = limits.json();
            record.write(&[Event::End(End { limits: limits.json(), ..end_event(&tree, reason, seconds) })])?;
            record.flush()?;
        }
        Ok(Job { header, prompt, tree, policy, record, seconds })
    }
}

/// Refuses what was not made by an engine: it does not say which model could go on.
pub fn check_resumable(path: &Path, run: &Run) -> Result<()> {
    if run.header.model.sha256.is_empty() || run.header.prompt.tokens.is_empty() {
        bail!(
            "{}: an imported tree cannot be gone on with, as it does not say which model made it: start a run with its prompt",
            path.display()
        );
    }
    Ok(())
}

/// Where an exploration stands when all that could be visited was visited, and written down: of a wide level, a slice.
pub struct Level<'a> {
    pub header: &'a Header,
    pub explorer: &'a mut Explorer<Box<dyn Policy>>,
    pub record: &'a mut Record,
    /// New nodes per second, this time.
    pub rate: f64,
    /// Steps of the model per second, this time: what the work is, for a step may make one node or many.
    pub steps_rate: f64,
}

/// What came of exploring.
pub struct Grown {
    pub header: Header,
    pub tree: Tree,
    pub record: Record,
    pub end: End,
    /// New nodes per second, this time.
    pub rate: f64,
    /// Why the model failed, if it did.
    pub failure: Option<anyhow::Error>,
}

/// Grows the tree to its end, a budget, Ctrl-C, or until `each_level` has a reason; what was grown is returned even if
/// the model fails.
pub fn grow(
    loaded: &Loaded,
    job: Job,
    limits: &Limits,
    each_level: &mut dyn FnMut(Level<'_>) -> Result<Option<EndReason>>,
) -> Result<Grown> {
    let Job { header, prompt, tree, policy, mut record, seconds: before } = job;
    let bytes = |id: TokenId| loaded.model.token_bytes(id);
    let session = loaded.model.session()?;
    let mut explorer = Explorer::new(session, loaded.model.vocab_size(), &prompt, policy, tree, limits.keep)?
        .watching(setup::watched_ids(&header.watch));
    let (started, first) = (Instant::now(), explorer.tree.len());
    let spent = || before + started.elapsed().as_secs_f64();
    let rate = |tree: &Tree| (tree.len() - first) as f64 / started.elapsed().as_secs_f64().max(1e-9);
    let (mut failure, mut steps) = (None, 0);
    let reason = loop {
        while limits.end(&explorer.tree, spent()).is_none() {
            let Some(change) = explorer.visit() else { break };
            record.write(&change_events(&explorer.tree, change, &bytes))?;
        }
        record.flush()?;
        let rate = rate(&explorer.tree);
        let steps_rate = steps as f64 / started.elapsed().as_secs_f64().max(1e-9);
        let level = Level { header: &header, explorer: &mut explorer, record: &mut record, rate, steps_rate };
        if let Some(reason) = each_level(level)?.or_else(|| limits.end(&explorer.tree, spent())) {
            break reason;
        }
        match explorer.evaluate() {
            Ok(0) => break EndReason::Finished,
            Ok(n) => steps += n,
            // A server was waited for.
            Err(_) if terminal::interrupted() => break EndReason::Interrupted,
            Err(e) => {
                failure = Some(e.into());
                break EndReason::Failed;
            }
        }
    };
    let rate = rate(&explorer.tree);
    let end = end_event(&explorer.tree, reason, spent());
    record.write(&[Event::End(end.clone())])?;
    record.flush()?;
    Ok(Grown { header, tree: explorer.tree, record, end, rate, failure })
}

/// What came of exploring, as a run.
pub struct Explored {
    pub run: Run,
    /// New nodes per second, this time.
    pub rate: f64,
    /// Why the model failed, if it did.
    pub failure: Option<anyhow::Error>,
}

/// Grows the tree with `label` before each progress line.
pub fn explore(loaded: &Loaded, job: Job, limits: &Limits, label: &str) -> Result<Explored> {
    let bar = progress::spinner();
    let grown = grow(loaded, job, limits, &mut |level| {
        bar.message(|| format!("{label}{}", progress_line(&level)));
        Ok(None)
    })?;
    drop(bar);
    let Grown { header, tree, end, rate, failure, .. } = grown;
    let listed = tree.nodes().filter_map(|n| tree.expansion(n)).flat_map(|e| e.top.iter().map(|t| t.id));
    let ids = listed.chain(tree.nodes().filter_map(|n| tree.token(n)));
    let texts = ids.map(|id| (id, loaded.model.token_bytes(id).into_owned().into())).collect();
    Ok(Explored {
        run: Run { header, tree, seconds: end.seconds, end: Some(end), texts, valid_bytes: 0, torn: false },
        rate,
        failure,
    })
}

fn progress_line(level: &Level<'_>) -> String {
    let e = &*level.explorer;
    format!(
        "{} nodes · {} open · {} completed{} · {:.0} steps/s · {} finished",
        e.tree.len(),
        e.policy.queue(&e.tree),
        e.policy.completed(),
        e.policy.threshold(&e.tree).map_or(String::new(), |t| format!(" · T {t:.3}")),
        level.steps_rate,
        percent(e.tree.accounting().finished),
    )
}

/// A file name from a prompt.
pub fn slug(prompt: &str) -> String {
    let mut slug = String::new();
    for c in prompt.chars().flat_map(char::to_lowercase) {
        if c.is_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.len() >= 40 {
            break;
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "prompt".into() } else { slug.into() }
}
