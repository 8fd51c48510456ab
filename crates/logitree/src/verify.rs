//! Evaluates the steps of a stored run again and compares every number.

use crate::Model;
use crate::error::{Context, Result, fail};
use crate::events::Work;
use logitree_core::run::Run;
use logitree_core::verify::{self, Count, Number, Report};
use logitree_core::{Exactness, NodeHandle, NodeId, Query, Session, TokenId, watch};
use std::collections::HashMap;

/// Number of steps that are evaluated in one batch.
const BATCH: usize = 64;

/// The result of a verification.
pub struct Verification {
    /// The comparison of every number of every step.
    pub report: Report,
    /// Statements of the header and the closing line that are not true of the model and the tree, one sentence each.
    pub statements: Vec<String>,
    /// Whether every step was compared; false if the work was interrupted.
    pub complete: bool,
    /// The orders of f32 sums in which the run's steps were computed.
    pub recorded_orders: Vec<u32>,
    /// The order in which they were computed now, if it is not the only one of these: the last bits differ then.
    pub other_order: Option<u32>,
    vocab: usize,
}

/// How much exact numbers may differ, in nats, that were computed with sums in different orders. Over texts of a
/// thousand tokens, numbers of either order were off by up to 0.00012 from the reference.
pub const ORDER_TOLERANCE: f64 = 5e-4;

impl Verification {
    /// Whether every number is the same to the last bit, and every statement is true.
    pub fn is_identical(&self) -> bool {
        self.report.is_identical() && self.statements.is_empty()
    }

    /// Whether the run is what the model says: every statement is true, and every number is the same to the last bit
    /// or, of a run whose sums had another order, within [`ORDER_TOLERANCE`].
    pub fn is_confirmed(&self) -> bool {
        let within = self.other_order.is_some() && self.beyond(ORDER_TOLERANCE).is_none();
        self.is_identical() || (within && self.statements.is_empty())
    }

    /// The kind of number that differs most, if any differs by more than `tolerance` nats (nats², probability).
    ///
    /// Whole numbers must be the same, but for ranks where sums had another order: where probabilities are within the
    /// tolerance, so many tokens may have changed places as a vocabulary has that lies as densely as one nat for all of
    /// it.
    pub fn beyond(&self, tolerance: f64) -> Option<(Number, Count)> {
        let other_order = self.other_order.is_some();
        self.report.beyond(|number| match number {
            Number::WatchRank if other_order => (tolerance * self.vocab as f64).ceil(),
            // One other bit makes another hash.
            Number::Logits if other_order => f64::INFINITY,
            number if number.is_whole() => 0.0,
            _ => tolerance,
        })
    }
}

/// Refuses a run that does not say which model made it. `what` names the run in messages.
///
/// # Errors
/// If the run was imported.
pub fn check_verifiable(what: &str, run: &Run) -> Result<()> {
    if run.header.model.sha256.is_empty() || run.header.prompt.tokens.is_empty() {
        fail!(
            Conflict,
            "{what} does not say which model it was made with: only logitree's own run files can be evaluated again"
        );
    }
    Ok(())
}

impl Model {
    /// Evaluates every recorded step again and compares each stored number. `what` names the run in messages.
    ///
    /// # Errors
    /// If another model made the run, or the model fails. Differences are not errors.
    pub fn verify(&self, what: &str, run: &Run) -> Result<Verification> {
        check_verifiable(what, run)?;
        self.check_made(what, &run.header.model)?;
        self.learn(run)?;
        let (mut report, complete) = self.compare(run)?;
        match run.header.strategy() {
            Ok(strategy) => report.compare_thresholds(&run.tree, &strategy),
            Err(e) => fail!(Input, "{what}: the strategy is not known here: {e}"),
        }
        let recorded_orders = run.header.model.orders().to_vec();
        let other_order = match self.other_order(&run.header.model)? {
            Some(_) => self.record()?.orders().last().copied(),
            None => None,
        };
        let statements = self.statements(run);
        Ok(Verification { report, statements, complete, recorded_orders, other_order, vocab: self.vocab_size() })
    }

    fn statements(&self, run: &Run) -> Vec<String> {
        let mut found = run.end.as_ref().map_or(Vec::new(), |end| verify::end_differences(&run.tree, end));
        let header = &run.header.model;
        for (what, said, is) in
            [("vocab", header.vocab, self.vocab_size()), ("context", header.context, self.context_length())]
        {
            // A server may not tell either value, so this is checked only for exact models.
            if said != is && self.exactness() == Exactness::Exact {
                found.push(format!("the header says `{what}` {said}; the model has {is}"));
            }
        }
        found
    }

    /// Evaluates every expanded node again. The second value is false if the work was interrupted.
    fn compare(&self, run: &Run) -> Result<(Report, bool)> {
        let tree = &run.tree;
        let prompt: Vec<TokenId> = run.header.prompt.tokens.iter().map(|t| t.id).collect();
        let mut session = self.session_of(&run.header)?;
        let root = *session.push_all(None, &prompt)?.last().context("the prompt has no tokens")?;
        let mut handles: HashMap<NodeId, NodeHandle> = HashMap::from([(NodeId::ROOT, root)]);
        // For each node, the number of its expanded children that are still to be evaluated. After the last one, its
        // row can be released.
        let mut waiting: HashMap<NodeId, usize> = HashMap::new();
        let expanded: Vec<NodeId> = tree.nodes().filter(|&n| tree.expansion(n).is_some()).collect();
        for &n in &expanded {
            if let Some(parent) = tree.parent(n) {
                *waiting.entry(parent).or_default() += 1;
            }
        }
        let watch: Vec<Vec<TokenId>> =
            run.header.watch.iter().map(|w| w.tokens.iter().map(|t| t.id).collect()).collect();
        let mut report = Report::default();
        let work = Work(self.events());
        for batch in expanded.chunks(BATCH) {
            if self.events().stop() {
                return Ok((report, false));
            }
            for &n in batch {
                if let (Some(parent), Some(token)) = (tree.parent(n), tree.token(n)) {
                    let handle = session.push(handles.get(&parent).copied(), token)?;
                    handles.insert(n, handle);
                }
            }
            let children: Vec<Vec<TokenId>> =
                batch.iter().map(|&n| tree.children(n).iter().filter_map(|&c| tree.token(c)).collect()).collect();
            let query = |(n, tokens): (&NodeId, _)| {
                let (top, hash) = tree.expansion(*n).map_or((0, false), |e| (e.top.len(), e.logits_sha256.is_some()));
                Query { tokens, hash, ..Query::top(handles[n], top) }
            };
            let queries: Vec<Query<'_>> = batch.iter().zip(children.iter().map(Vec::as_slice)).map(query).collect();
            for (&n, (now, watched)) in batch.iter().zip(watch::evaluate(&mut *session, &queries, &watch)?) {
                report.compare(tree, n, &now, &watched);
                if !waiting.contains_key(&n) {
                    release(&mut *session, &mut handles, n);
                }
                let Some(parent) = tree.parent(n) else { continue };
                if let Some(left) = waiting.get_mut(&parent) {
                    *left -= 1;
                    if *left == 0 {
                        release(&mut *session, &mut handles, parent);
                    }
                }
            }
            work.words(|| {
                let most = report.max_difference();
                format!("{} of {} steps, largest difference {most:.1e}", report.nodes, expanded.len())
            });
        }
        Ok((report, true))
    }
}

/// Releases the cache rows of a node.
fn release(session: &mut dyn Session, handles: &mut HashMap<NodeId, NodeHandle>, n: NodeId) {
    if let Some(handle) = handles.remove(&n) {
        session.release(handle);
    }
}
