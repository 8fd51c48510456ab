//! The dynamic policy against a literal transcription of its definition.

mod common;

use common::{TableModel, hashed};
use logitree_core::explore::*;
use logitree_core::tree::State;
use logitree_core::*;
use proptest::prelude::*;
use proptest::strategy::Strategy as _;
use std::collections::VecDeque;
use std::sync::Arc;

#[derive(Debug, PartialEq)]
struct Plain {
    path: Vec<u32>,
    state: String,
}

/// The definition, one node at a time, with nothing shared with the implementation.
fn definition(model: &TableModel, prompt: &[TokenId], p: &DynamicParameters) -> Vec<Plain> {
    let mut nodes: Vec<Plain> = vec![Plain { path: vec![], state: "frontier".into() }];
    let mut queue = VecDeque::from([0usize]);
    let mut completed = 0;
    while !queue.is_empty() && completed < p.max_completed_paths {
        let t = p.min_branch_threshold
            + f64::min(1.0, queue.len() as f64 / p.soft_queue_limit as f64)
                * (p.max_branch_threshold - p.min_branch_threshold);
        let n = queue.pop_front().unwrap();
        let path = nodes[n].path.clone();
        if path.len() >= p.max_depth {
            nodes[n].state = "max_depth".into();
            continue;
        }
        if path.last().is_some_and(|&t| model.end_tokens.contains(&TokenId(t))) {
            nodes[n].state = "end_token".into();
            completed += 1;
            continue;
        }
        let full: Vec<TokenId> = prompt.iter().copied().chain(path.iter().map(|&t| TokenId(t))).collect();
        // As logprobs are the currency, probabilities are compared after the round trip.
        let probs: Vec<f64> = (model.table)(&full).iter().map(|p| p.ln().exp()).collect();
        let mut order: Vec<usize> = (0..probs.len()).collect();
        order.sort_by(|&a, &b| probs[b].total_cmp(&probs[a]).then(a.cmp(&b)));
        let mut children: Vec<usize> = order.iter().copied().filter(|&i| probs[i] > t).collect();
        if children.is_empty() {
            children.push(order[0]);
        }
        nodes[n].state = format!("expanded {}", children.len());
        for c in children {
            queue.push_back(nodes.len());
            nodes.push(Plain { path: path.iter().copied().chain([c as u32]).collect(), state: "frontier".into() });
        }
    }
    nodes
}

fn plain(tree: &Tree) -> Vec<Plain> {
    tree.nodes()
        .map(|n| Plain {
            path: tree.path(n).iter().map(|t| t.0).collect(),
            state: match tree.state(n) {
                State::Expanded(e) => format!("expanded {}", e.children.len()),
                // Where the policy stands: it may have come to a depth limit before it asked for an end.
                State::Stopped(stop) => stop.name().into(),
                State::Open => "frontier".into(),
            },
        })
        .collect()
}

fn grow(explorer: &mut Explorer<Dynamic>, max_visits: usize) {
    let mut visits = 0;
    loop {
        while visits < max_visits && explorer.visit().is_some() {
            visits += 1;
        }
        if visits == max_visits || explorer.evaluate().unwrap() == 0 {
            return;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_tree_is_the_definitions_and_a_stopped_run_goes_on_to_the_same(
        seed: u64,
        vocab in 2usize..7,
        (min, max) in (0.0..0.6f64, 0.0..0.4f64).prop_map(|(a, b)| (a, a + b)),
        soft in 1usize..12,
        depth in 1usize..9,
        completed in 1usize..6,
        stop_after in 0usize..60,
    ) {
        let model = TableModel { vocab, end_tokens: vec![TokenId(0)], table: hashed(seed, vocab) };
        let p = DynamicParameters {
            min_branch_threshold: min,
            max_branch_threshold: max,
            soft_queue_limit: soft,
            max_depth: depth,
            max_completed_paths: completed,
            ..Default::default()
        };
        let prompt = [TokenId(1)];
        let session = model.open();
        let policy = Dynamic::new(p).unwrap();
        let mut e = Explorer::new(Box::new(session), vocab, &prompt, policy, model.tree(), 0).unwrap();
        grow(&mut e, 3000);
        let whole = e.tree;
        if whole.len() < 3000 {
            prop_assert_eq!(plain(&whole), definition(&model, &prompt, &p));
        }
        let mass = whole.accounting();
        prop_assert!((mass.total() - 1.0).abs() < 1e-9, "{:?}", mass);

        let session = model.open();
        let policy = Dynamic::new(p).unwrap();
        let mut e = Explorer::new(Box::new(session), vocab, &prompt, policy, model.tree(), 0).unwrap();
        grow(&mut e, stop_after);
        let part = e.tree;
        prop_assert!((part.accounting().total() - 1.0).abs() < 1e-9);
        let policy = Dynamic::resume(p, &part).unwrap();
        let session = model.open();
        let mut e = Explorer::new(Box::new(session), vocab, &prompt, policy, part, 0).unwrap();
        grow(&mut e, 3000usize.saturating_sub(stop_after));
        if whole.len() < 3000 {
            prop_assert_eq!(&e.tree, &whole);
        }
    }
}

#[test]
fn the_queue_is_evaluated_in_batches_and_rows_are_let_go() {
    // Two equally likely tokens, never an end: the tree doubles until the threshold passes 0.5.
    let model = TableModel { vocab: 2, end_tokens: vec![], table: Arc::new(|_| vec![0.5, 0.5]) };
    let p = DynamicParameters { soft_queue_limit: 8, max_branch_threshold: 0.6, max_depth: 6, ..Default::default() };
    let session = model.open();
    let seen = session.seen();
    let policy = Dynamic::new(p).unwrap();
    let mut e = Explorer::new(Box::new(session), 2, &[TokenId(0)], policy, model.tree(), 0).unwrap();
    grow(&mut e, usize::MAX);
    let leaves = e.tree.nodes().filter(|&n| e.tree.stop(n).is_some()).count();
    assert!(e.tree.nodes().all(|n| e.tree.stop(n).is_none_or(|s| s == Stop::MaxDepth)));
    assert_eq!(seen.lock().batches[..3], [1, 2, 4]);
    // Leaves at the depth limit are never evaluated; every evaluated row is released.
    assert!(leaves >= 6 && seen.live() == 0);
}

#[test]
fn parameters_out_of_range_are_named() {
    let ok = DynamicParameters::default();
    let cases = [
        (DynamicParameters { min_branch_threshold: -0.1, ..ok }, "`min_branch_threshold` must be"),
        (DynamicParameters { max_branch_threshold: 1.5, ..ok }, "`max_branch_threshold` must be"),
        (DynamicParameters { candidate_threshold: f64::NAN, ..ok }, "`candidate_threshold` must be"),
        (DynamicParameters { min_branch_threshold: 0.7, ..ok }, "must not be above"),
        (DynamicParameters { soft_queue_limit: 0, ..ok }, "`soft_queue_limit` must be at least 1"),
        (DynamicParameters { max_depth: 0, ..ok }, "`max_depth` must be at least 1"),
        (DynamicParameters { max_completed_paths: 0, ..ok }, "`max_completed_paths` must be at least 1"),
    ];
    for (p, text) in cases {
        let error = p.check().unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
}

#[test]
fn enough_tokens_are_asked_for() {
    let top = |min, max, soft| {
        let p = DynamicParameters {
            min_branch_threshold: min,
            max_branch_threshold: max,
            soft_queue_limit: soft,
            ..Default::default()
        };
        Dynamic::new(p).unwrap().top(1000)
    };
    assert_eq!(top(0.1, 0.5, 30), 10);
    assert_eq!(top(0.01, 0.01, 30), 100);
    assert_eq!(top(0.0, 0.5, 30), 60);
    assert_eq!(top(0.0, 0.0, 30), 1000);
}
