//! Grows a tree level by level, and writes its run file.

mod by_hand;
mod limits;

pub use by_hand::{Following, Ranked};
pub use limits::{BEST_FIRST_NODES, Limits};

use crate::error::{Context, Error, Result, fail};
use crate::prompt::watched_ids;
use crate::recorder::{Destination, Held, Record};
use crate::{Model, Prompt, import};
use logitree_core::explore::{Change, Explorer, Policy, Strategy};
use logitree_core::run::{End, EndReason, Event, FORMAT, Header, Run, VERSION, change_events, end_event};
use logitree_core::{Exactness, TokenId, Tree};
use std::path::Path;
use std::time::Instant;

/// A growing tree. [`Exploration::next_level`] evaluates its next level and appends it to the run file.
pub struct Exploration {
    model: Model,
    header: Header,
    explorer: Explorer<Box<dyn Policy>>,
    record: Record,
    limits: Limits,
    /// Seconds spent on the run before it was resumed.
    before: f64,
    started: Instant,
    /// Number of nodes when the run was begun or resumed.
    first: usize,
    /// Number of the model's steps since then.
    steps: usize,
    /// Whether the model has been asked for anything. Before that, only nodes that are known already are visited.
    begun: bool,
    ended: Option<EndReason>,
    /// The closing line of the file, if it has one.
    end: Option<End>,
    failure: Option<Error>,
}

/// The state of an exploration after a level (of a wide level, a part of it) has been evaluated, visited and written
/// down.
#[derive(Clone, Copy, Debug)]
pub struct Level {
    /// New nodes per second since the exploration was begun or resumed.
    pub rate: f64,
    /// Steps of the model per second. This measures the work, as one step may make one node or many.
    pub steps_rate: f64,
}

/// The result of an exploration.
pub struct Explored {
    /// The run, as it is in its file.
    pub run: Run,
    /// New nodes per second, since the exploration was begun or resumed.
    pub rate: f64,
    /// Why the model failed, if it did; the run has everything up to that moment.
    pub failure: Option<Error>,
}

impl Exploration {
    /// Begins a run and writes its header.
    ///
    /// # Errors
    /// If a parameter is not valid, or the file cannot be written.
    pub fn begin(
        model: &Model,
        prompt: &Prompt,
        strategy: Strategy,
        watch: &[String],
        limits: &Limits,
        destination: Destination,
    ) -> Result<Exploration> {
        limits.check()?;
        let limits = &limits.with_default(&strategy);
        if limits.hash_logits && model.exactness() != Exactness::Exact {
            fail!(
                Parameter("hash_logits"),
                "`hash_logits` needs a model in this process: a server does not tell all logits"
            );
        }
        model.check_sampler(strategy.sampler())?;
        destination.spare(model)?;
        let header = Header {
            format: FORMAT.into(),
            version: VERSION,
            logitree: env!("CARGO_PKG_VERSION").into(),
            created: now(),
            model: model.record()?,
            engine: model.engine(),
            prompt: prompt.record(model),
            strategy: strategy.name().into(),
            parameters: strategy.parameters(),
            limits: limits.json(),
            store_top: Some(limits.keep),
            hash_logits: limits.hash_logits,
            watch: model.watch(watch)?,
        };
        let tree = Tree::new(header.bounds());
        let policy = strategy.policy(&tree)?;
        let record = destination.begin(&Event::Header(Box::new(header.clone())))?;
        Exploration::new(model, header, policy, tree, record, limits, 0.0)
    }

    /// Continues a stopped run in its own file. The file is read now, as only now no other process can write to it.
    /// New budgets are written down.
    ///
    /// # Errors
    /// If another model made the run, or its strategy would not have grown this tree.
    pub fn resume(model: &Model, held: Held, limits: Option<&Limits>) -> Result<Exploration> {
        let name = held.path().display().to_string();
        let run = read(model, &held)?;
        let own = Limits::of(&run);
        let limits = limits.unwrap_or(&own);
        let Run { mut header, tree, end, seconds, valid_bytes, .. } = run;
        let strategy = strategy_of(&header).with_context(|| name.clone())?;
        let policy = strategy.policy(&tree).with_context(|| name.clone())?;
        let mut record = held.append(valid_bytes)?;
        if header.limits != limits.json() {
            // Write the new budgets first, so that they are not lost if the process is killed.
            let reason = end.map_or(EndReason::Interrupted, |e| e.reason);
            header.limits = limits.json();
            record.write(&[Event::End(End { limits: limits.json(), ..end_event(&tree, reason, seconds) })])?;
            record.flush()?;
        }
        Exploration::new(model, header, policy, tree, record, limits, seconds)
    }

    fn new(
        model: &Model,
        header: Header,
        policy: Box<dyn Policy>,
        tree: Tree,
        record: Record,
        limits: &Limits,
        before: f64,
    ) -> Result<Exploration> {
        let prompt: Vec<TokenId> = header.prompt.tokens.iter().map(|t| t.id).collect();
        let explorer =
            Explorer::new(model.session_of(&header)?, model.vocab_size(), &prompt, policy, tree, limits.keep)?
                .watching(watched_ids(&header.watch))
                .hashing(header.hash_logits);
        let first = explorer.tree.len();
        Ok(Exploration {
            model: model.clone(),
            header,
            explorer,
            record,
            limits: *limits,
            before,
            started: Instant::now(),
            first,
            steps: 0,
            begun: false,
            ended: None,
            end: None,
            failure: None,
        })
    }

    /// The model that grows the tree.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The header of the run file.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The tree so far.
    pub fn tree(&self) -> &Tree {
        &self.explorer.tree
    }

    /// The strategy's state: open paths, completed ones, the current threshold.
    pub fn policy(&self) -> &dyn Policy {
        &*self.explorer.policy
    }

    /// The path of the run file; `None` if there is no file.
    pub fn path(&self) -> Option<&Path> {
        self.record.path()
    }

    /// Length of the run file in bytes; 0 if there is no file.
    ///
    /// # Errors
    /// If the system cannot tell the length.
    pub fn file_len(&self) -> Result<u64> {
        self.record.len()
    }

    fn seconds(&self) -> f64 {
        self.before + self.started.elapsed().as_secs_f64()
    }

    fn end_now(&self) -> Option<EndReason> {
        let stop = self.model.events().stop().then_some(EndReason::Interrupted);
        stop.or_else(|| self.limits.reached(self.tree(), self.seconds()))
    }

    fn per_second(&self, count: usize) -> f64 {
        count as f64 / self.started.elapsed().as_secs_f64().max(1e-9)
    }

    fn level(&self) -> Level {
        let nodes = self.tree().len() - self.first;
        Level { rate: self.per_second(nodes), steps_rate: self.per_second(self.steps) }
    }

    /// Evaluates the next nodes that the strategy wants, in one batch, visits all nodes that can be visited then, and
    /// writes them down. Returns `None` when the tree does not grow any more: the strategy is done, a budget is used
    /// up, the listener of the model's events asks to stop, or the model fails. [`Exploration::finish`] returns such a
    /// failure.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn next_level(&mut self) -> Result<Option<Level>> {
        if self.ended.is_some() {
            return Ok(None);
        }
        if self.begun {
            self.ended = self.end_now().or_else(|| self.evaluate());
            if self.ended.is_some() {
                return Ok(None);
            }
            self.note_order()?;
        }
        self.begun = true;
        while self.end_now().is_none() {
            let Some(change) = self.explorer.visit() else { break };
            self.write_changes(&[change])?;
        }
        self.record.flush()?;
        Ok(Some(self.level()))
    }

    /// Asks the model for the next batch; returns the reason if this is the end.
    fn evaluate(&mut self) -> Option<EndReason> {
        match self.explorer.evaluate() {
            Ok(0) => Some(EndReason::Finished),
            Ok(n) => {
                self.steps += n;
                None
            }
            // The user interrupted while a server was being waited for: this is not a failure.
            Err(_) if self.model.events().stop() => Some(EndReason::Interrupted),
            Err(e) => {
                self.failure = Some(e.into());
                Some(EndReason::Failed)
            }
        }
    }

    /// If the steps so far had sums in another order than those that were evaluated now, says so in the file before
    /// these are written.
    fn note_order(&mut self) -> Result<()> {
        let own = self.model.record()?;
        let recorded = self.header.model.orders();
        let new = own.orders().iter().filter(|order| !recorded.contains(order));
        let summation_orders: Vec<u32> = recorded.iter().chain(new).copied().collect();
        if summation_orders.len() > recorded.len() {
            self.header.model.summation_orders.clone_from(&summation_orders);
            let reason = self.ended.unwrap_or(EndReason::Interrupted);
            let seconds = self.end.as_ref().map_or_else(|| self.seconds(), |end| end.seconds);
            let end = end_event(&self.explorer.tree, reason, seconds);
            self.record.write(&[Event::End(End { summation_orders, ..end })])?;
            self.record.flush()?;
        }
        Ok(())
    }

    fn write_changes(&mut self, changes: &[Change]) -> Result<()> {
        let bytes = |id: TokenId| self.model.token_bytes(id);
        for &change in changes {
            self.record.write(&change_events(&self.explorer.tree, change, &bytes))?;
        }
        Ok(())
    }

    /// Explores to the end, and calls `each_level` after every level.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn run(mut self, mut each_level: impl FnMut(&Exploration, Level)) -> Result<Explored> {
        while let Some(level) = self.next_level()? {
            each_level(&self, level);
        }
        self.finish()
    }

    /// Writes the closing line. If the run had not ended by itself, it counts as interrupted and can be resumed.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn close(&mut self) -> Result<&End> {
        let reason = *self.ended.get_or_insert(EndReason::Interrupted);
        let end = end_event(&self.explorer.tree, reason, self.seconds());
        self.write_end(end)
    }

    fn write_end(&mut self, end: End) -> Result<&End> {
        self.record.write(&[Event::End(end.clone())])?;
        self.record.flush()?;
        Ok(self.end.insert(end))
    }

    /// Why the model failed, if it did.
    pub fn failure(&self) -> Option<&Error> {
        self.failure.as_ref()
    }

    /// New nodes per second since the exploration was begun or resumed.
    pub fn rate(&self) -> f64 {
        self.level().rate
    }

    /// Closes the file and returns the run, as it is in the file.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn finish(mut self) -> Result<Explored> {
        let rate = self.rate();
        let end = self.close()?.clone();
        let Exploration { model, header, explorer, failure, .. } = self;
        Ok(Explored { run: run_of(&model, header, explorer.tree, Some(end)), rate, failure })
    }

    /// The run as it is now.
    pub fn so_far(&self) -> Run {
        run_of(&self.model, self.header.clone(), self.explorer.tree.clone(), self.end.clone())
    }
}

/// A run that this model made.
fn run_of(model: &Model, header: Header, tree: Tree, end: Option<End>) -> Run {
    let listed = tree.nodes().filter_map(|n| tree.expansion(n)).flat_map(|e| e.top.iter().map(|t| t.id));
    let ids = listed.chain(tree.nodes().filter_map(|n| tree.token(n)));
    let texts = ids.map(|id| (id, model.token_bytes(id).into_owned().into())).collect();
    let seconds = end.as_ref().map_or(0.0, |end| end.seconds);
    Run { header, tree, seconds, end, texts, valid_bytes: 0, torn: false }
}

/// The strategy that a run was begun with.
fn strategy_of(header: &Header) -> Result<Strategy> {
    header.strategy().with_context(|| format!("the strategy {:?} and its parameters", header.strategy))
}

/// Reads the run in a locked file, if this model can continue it.
fn read(model: &Model, held: &Held) -> Result<Run> {
    let name = held.path().display().to_string();
    let run = import::run_file(held.path())?;
    check_resumable(&name, &run)?;
    model.check_continuable(&name, &run.header.model)?;
    model.learn(&run)?;
    Ok(run)
}

/// Refuses a run that no engine made, since it does not say which model could continue it. `what` names the run in
/// messages.
///
/// # Errors
/// If the run was imported.
pub fn check_resumable(what: &str, run: &Run) -> Result<()> {
    if run.header.model.sha256.is_empty() || run.header.prompt.tokens.is_empty() {
        fail!(
            Conflict,
            "{what}: an imported tree cannot be gone on with, as it does not say which model made it: start a run with its prompt"
        );
    }
    Ok(())
}

/// The current time, in RFC 3339.
pub fn now() -> String {
    let format = &time::format_description::well_known::Rfc3339;
    let now = time::OffsetDateTime::now_utc().replace_nanosecond(0);
    now.ok().and_then(|t| t.format(format).ok()).unwrap_or_default()
}

/// Makes a part of a file name from a prompt.
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
