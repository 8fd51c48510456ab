//! Forks and verification on table models.

mod common;

use common::{TableModel, hashed};
use logitree_core::explore::*;
use logitree_core::forks::{self, Limits};
use logitree_core::verify::Report;
use logitree_core::*;
use std::sync::Arc;

fn ids(ids: &[u32]) -> Vec<TokenId> {
    ids.iter().map(|&i| TokenId(i)).collect()
}

/// Token 0 ends. After the prompt 1: 2 (0.5) or 3 (0.4); 2 leads to 4 4 0, 3 leads to 5 0.
fn table() -> TableModel {
    let table = |path: &[TokenId]| match path.iter().map(|t| t.0).collect::<Vec<_>>()[..] {
        [1] => vec![0.02, 0.02, 0.5, 0.4, 0.03, 0.03],
        [1, 2] | [1, 2, 4] => vec![0.05, 0.05, 0.05, 0.05, 0.7, 0.1],
        [1, 3] => vec![0.02, 0.02, 0.02, 0.02, 0.02, 0.9],
        _ => vec![0.6, 0.3, 0.04, 0.03, 0.02, 0.01],
    };
    TableModel { vocab: 6, end_tokens: vec![TokenId(0)], table: Arc::new(table) }
}

#[test]
fn the_least_decided_position_comes_first_and_its_fork_is_followed() {
    let model = table();
    let mut session = model.open();
    let limits = Limits { tokens: 10, ends: &model.end_tokens };
    let positions = forks::follow(&mut session, &ids(&[1]), None, limits, || true).unwrap();
    assert_eq!(positions.iter().map(|p| p.token.id.0).collect::<Vec<_>>(), [2, 4, 4, 0]);
    assert_eq!(positions.iter().map(|p| p.other.id.0).collect::<Vec<_>>(), [3, 5, 5, 1]);
    let none = forks::follow(&mut session, &ids(&[1]), None, limits, || false).unwrap();
    assert!(none.is_empty());
    // Gaps: 0.1, 0.6, 0.6, 0.3.
    assert_eq!(forks::rank(&positions), [0, 3, 1, 2]);
    let seen = session.seen();
    let before = seen.lock().batches.len();
    let found = forks::test(&mut session, &positions, &[0, 3, 1], limits, || true).unwrap();
    assert_eq!(
        found.iter().map(|f| f.tokens.clone()).collect::<Vec<_>>(),
        [ids(&[3, 5, 0]), ids(&[1, 0]), ids(&[5, 0])]
    );
    // All forks share each step's batch.
    assert_eq!(seen.lock().batches[before..], [3, 1]);
    assert!(found.iter().all(|f| f.finished));
    // Cut short, only what had ended is finished.
    let mut steps = 0;
    let enough = || {
        steps += 1;
        steps <= 1
    };
    let cut = forks::test(&mut session, &positions, &[0, 3, 1], limits, enough).unwrap();
    assert_eq!(cut.iter().map(|f| f.finished).collect::<Vec<_>>(), [false, true, true]);
    // A limit counts from the prompt.
    let short = Limits { tokens: 2, ends: &model.end_tokens };
    let found = forks::test(&mut session, &positions, &[0, 1], short, || true).unwrap();
    assert_eq!(found.iter().map(|f| f.tokens.len()).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn a_given_text_is_compared_with_the_best_other_token() {
    let model = table();
    let mut session = model.open();
    let limits = Limits { tokens: 10, ends: &model.end_tokens };
    let positions = forks::follow(&mut session, &ids(&[1]), Some(&ids(&[3, 1])), limits, || true).unwrap();
    assert_eq!(positions.iter().map(|p| p.token.rank).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(positions.iter().map(|p| p.other.id.0).collect::<Vec<_>>(), [2, 5]);
    assert!((positions[0].gap - 0.1).abs() < 1e-12);
}

#[test]
fn texts_are_compared_without_case_space_and_punctuation() {
    assert_eq!(forks::comparable("  **New  Delhi!** (it is)\n"), "new delhi it is");
    assert_eq!(forks::comparable(" … "), "");
    assert_eq!(forks::comparable("`C++`, -5 + 2."), "c++ -5 + 2");
}

#[test]
fn a_changed_record_is_found_where_it_was_changed() {
    let model = TableModel { vocab: 5, end_tokens: vec![TokenId(0)], table: hashed(3, 5) };
    let grow = || {
        let session = model.open();
        let p = Strategy::Beam(BeamParameters { width: 3, max_depth: 5, ..Default::default() });
        let policy = p.policy(&model.tree()).unwrap();
        let mut e = Explorer::new(Box::new(session), 5, &ids(&[1]), policy, model.tree(), 5).unwrap();
        while e.evaluate().unwrap() > 0 {
            while e.visit().is_some() {}
        }
        e.tree
    };
    let tree = grow();
    let now = |n: NodeId| {
        let mut session = model.open();
        let path: Vec<TokenId> = ids(&[1]).into_iter().chain(tree.path(n)).collect();
        let nodes = session.push_all(None, &path).unwrap();
        let tokens: Vec<TokenId> = tree.children(n).iter().filter_map(|&c| tree.token(c)).collect();
        let query = Query { tokens: &tokens, ..Query::top(nodes[nodes.len() - 1], 5) };
        session.evaluate(&[query]).unwrap().remove(0)
    };
    let mut report = Report::default();
    tree.nodes().for_each(|n| {
        if tree.expansion(n).is_some() {
            report.compare(&tree, n, &now(n), &[])
        }
    });
    assert!(report.is_identical() && report.nodes > 4 && report.logprobs > 30, "{report:?}");
    // The model says something else at one node.
    let changed = tree.nodes().filter(|&n| tree.expansion(n).is_some()).nth(2).unwrap();
    let mut report = Report::default();
    for n in tree.nodes().filter(|&n| tree.expansion(n).is_some()) {
        let mut d = now(n);
        if n == changed {
            d.top[1].logprob -= 0.5;
            d.top.swap(1, 2);
        }
        report.compare(&tree, n, &d, &[]);
    }
    let largest = report.largest.unwrap();
    assert_eq!((largest.node, report.reordered, report.first.unwrap().node), (changed, Some(changed), changed));
    assert!((report.max_difference() - 0.5).abs() < 1e-12 && !report.is_identical());
}

#[test]
fn a_fork_rejoins_where_the_words_are_the_same_again() {
    let rejoins = |original, fork, whole| forks::rejoins(original, fork, whole);
    // A word more, a word less, another word, other punctuation.
    assert_eq!(
        rejoins(" is blue because light is scattered", " is deep blue because light is scattered", true),
        Some(2)
    );
    assert_eq!(rejoins(" is deep blue because light is bent", " is blue because light is bent", true), Some(1));
    assert_eq!(rejoins(" yes.", " no.", true), None);
    assert_eq!(rejoins(" it is so. Yes", " it was so: yes", true), Some(2));
    assert_eq!(rejoins(" it is so", " It is so!", true), Some(0));
    // Cut off at the same number of tokens, one is ahead of the other; the last word may be half a word.
    assert_eq!(rejoins(" a city in the north of Ind", " a large city in the north o", false), Some(2));
    assert_eq!(rejoins(" a city in the north of Ind", " the state where I was born", false), None);
    // One word is the same by chance.
    assert_eq!(rejoins(" one two the end", " three four five the end", false), None);
    assert_eq!(rejoins("", "", true), None);
}
