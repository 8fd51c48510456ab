//! Going on with what a file holds: with the same run, or not at all.

mod common;

use common::{TableModel, hashed};
use logitree_core::explore::Strategy;
use logitree_core::explore::*;
use logitree_core::run::*;
use logitree_core::tree::Turn;
use logitree_core::*;
use proptest::prelude::*;
use std::borrow::Cow;
use std::sync::Arc;

const PROMPT: [TokenId; 1] = [TokenId(1)];
const VOCAB: usize = 5;

fn model(seed: u64) -> TableModel {
    TableModel { vocab: VOCAB, end_tokens: vec![TokenId(0)], table: hashed(seed, VOCAB) }
}

fn bytes(id: TokenId) -> Cow<'static, [u8]> {
    Cow::Owned(vec![b'a' + id.0 as u8])
}

fn strategy(kind: usize) -> Strategy {
    let rules = BranchRules { min_path_prob: 0.01, ..Default::default() };
    match kind {
        0 => Strategy::Dynamic(DynamicParameters { max_depth: 5, rules, ..Default::default() }),
        1 => Strategy::BestFirst(BestFirstParameters { batch: 3, max_depth: 4, rules, ..Default::default() }),
        2 => Strategy::Beam(BeamParameters { width: 3, max_depth: 5, ..Default::default() }),
        _ => Strategy::Sample(SampleParameters { samples: 30, max_depth: 4, ..Default::default() }),
    }
}

fn header(strategy: Strategy) -> Header {
    Header {
        format: FORMAT.into(),
        version: VERSION,
        logitree: "0".into(),
        created: "2026-01-02T03:04:05Z".into(),
        model: Model { vocab: VOCAB, end_tokens: vec![TokenId(0)], ..Default::default() },
        engine: "table".into(),
        prompt: Prompt { tokens: vec![Token::new(PROMPT[0], b"b")], ..Default::default() },
        strategy: strategy.name().into(),
        parameters: strategy.parameters(),
        limits: Default::default(),
        store_top: Some(Keep::Top(3)),
        hash_logits: false,
        watch: Vec::new(),
    }
}

/// Grows a tree for so many visits; what is written on the way.
fn grow(
    model: &TableModel,
    strategy: Strategy,
    tree: Tree,
    visits: usize,
    width: usize,
) -> Result<(Tree, Vec<String>), ResumeError> {
    let mut session = model.open();
    session.width = width;
    let seen = session.seen();
    let policy = strategy.policy(&tree)?;
    let mut e = Explorer::new(Box::new(session), VOCAB, &PROMPT, policy, tree, 3).unwrap();
    let mut lines = Vec::new();
    for _ in 0..visits {
        let change = loop {
            match e.visit() {
                Some(change) => break Some(change),
                None if e.evaluate().unwrap() == 0 => break None,
                None => {}
            }
        };
        let Some(change) = change else { break };
        lines.extend(change_events(&e.tree, change, &bytes).iter().map(|l| serde_json::to_string(l).unwrap()));
    }
    let tree = e.tree;
    let batches = &seen.lock().batches;
    assert!(batches.iter().all(|&b| b <= width), "{batches:?}");
    Ok((tree, lines))
}

fn read(lines: &[String]) -> Result<Run, ReadError> {
    let mut reader = RunReader::default();
    for line in lines {
        reader.feed(format!("{line}\n").as_bytes())?;
    }
    reader.finish(false)
}

/// Changes a line of a file, or where it stands.
fn mutate(lines: &mut Vec<String>, (kind, at, to): (usize, usize, usize)) {
    if lines.len() < 3 {
        return;
    }
    let (at, to) = (1 + at % (lines.len() - 1), 1 + to % (lines.len() - 1));
    match kind {
        0 => drop(lines.remove(at)),
        1 => {
            let line = lines.remove(at);
            lines.insert(to.min(lines.len()), line);
        }
        2 => lines.insert(to, lines[at].clone()),
        3 => lines.swap(at, to),
        _ => {
            const REASONS: [&str; 6] = ["end_token", "max_depth", "pruned", "decided", "context", "frontier"];
            let stops: Vec<usize> = (1..lines.len()).filter(|&i| lines[i].contains("\"stop\"")).collect();
            if let Some(&i) = stops.get(at % stops.len().max(1)) {
                let mut line: serde_json::Value = serde_json::from_str(&lines[i]).unwrap();
                line["reason"] = REASONS[to % REASONS.len()].into();
                lines[i] = line.to_string();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_changed_file_is_gone_on_with_to_a_whole_run_or_refused(
        seed: u64,
        kind in 0usize..4,
        visits in 1usize..60,
        changes in prop::collection::vec((0usize..5, 0usize..200, 0usize..200), 0..3),
    ) {
        let (model, strategy) = (model(seed), strategy(kind));
        let first = serde_json::to_string(&Event::Header(Box::new(header(strategy)))).unwrap();
        let (_, more) = grow(&model, strategy, model.tree(), visits, 128).unwrap();
        let mut lines: Vec<String> = std::iter::once(first).chain(more).collect();
        changes.iter().for_each(|&c| mutate(&mut lines, c));
        let Ok(run) = read(&lines) else { return Ok(()) };
        let Ok((tree, more)) = grow(&model, strategy, run.tree.clone(), 2000, 128) else {
            prop_assert!(!changes.is_empty(), "what was not changed is refused");
            return Ok(());
        };
        // An `expand` without its children at the end is cut.
        let mut bytes = 0;
        lines.retain(|l| {
            bytes += l.len() as u64 + 1;
            bytes <= run.valid_bytes
        });
        // What was gone on with reads back, is what was grown, and can be gone on with once more.
        lines.extend(more);
        let again = read(&lines).unwrap();
        prop_assert_eq!(&again.tree, &tree);
        prop_assert!((tree.accounting().total() - 1.0).abs() < 1e-9);
        let (last, none) = grow(&model, strategy, again.tree, 2000, 128).unwrap();
        prop_assert_eq!(&last, &tree);
        prop_assert_eq!(none.len(), 0);
        if changes.is_empty() {
            prop_assert_eq!(tree, grow(&model, strategy, model.tree(), 3000, 128).unwrap().0);
        }
    }

    #[test]
    fn slices_change_nothing(seed: u64, kind in 0usize..4, width in 1usize..4, visits in 0usize..200) {
        let (model, strategy) = (model(seed), strategy(kind));
        let (whole, lines) = grow(&model, strategy, model.tree(), 3000, 128).unwrap();
        let (part, first) = grow(&model, strategy, model.tree(), visits, width).unwrap();
        let (rest, more) = grow(&model, strategy, part, 3000, width).unwrap();
        prop_assert_eq!(rest, whole);
        prop_assert_eq!([first, more].concat(), lines);
    }

    #[test]
    fn a_path_at_the_context_limit_stops_and_the_others_go_on(seed: u64, kind in 0usize..4, context in 1usize..5) {
        let (model, strategy) = (model(seed), strategy(kind));
        let (unbounded, _) = grow(&model, strategy, model.tree(), 3000, 128).unwrap();
        let bounds = Bounds::new(&model.end_tokens, context, PROMPT.len());
        let (tree, _) = grow(&model, strategy, Tree::new(bounds), 3000, 128).unwrap();
        for n in tree.nodes() {
            let too_deep = PROMPT.len() + tree.depth(n) > context;
            prop_assert!(!too_deep || tree.expansion(n).is_none());
            prop_assert_eq!(tree.turn(n) == Turn::Stopped(Stop::Context), too_deep && tree.turn(n) != Turn::Open
                && !matches!(tree.turn(n), Turn::Stopped(Stop::EndToken | Stop::MaxDepth | Stop::Pruned)));
        }
        prop_assert!((tree.accounting().total() - 1.0).abs() < 1e-9);
        if unbounded.nodes().all(|n| PROMPT.len() + unbounded.depth(n) <= context) {
            prop_assert!(tree.nodes().map(|n| tree.turn(n)).eq(unbounded.nodes().map(|n| unbounded.turn(n))));
        }
    }
}

#[test]
fn an_end_token_is_finished_as_soon_as_it_is_in_the_tree() {
    // An end with 0.4 and two other tokens; the run ends before the end is visited.
    let table = Arc::new(|_: &[TokenId]| vec![0.4, 0.35, 0.25]);
    let model = TableModel { vocab: 3, end_tokens: vec![TokenId(0)], table };
    let strategy = Strategy::Dynamic(DynamicParameters { max_depth: 1, ..Default::default() });
    let session = model.open();
    let mut e =
        Explorer::new(Box::new(session), 3, &PROMPT, strategy.policy(&model.tree()).unwrap(), model.tree(), 0).unwrap();
    e.evaluate().unwrap();
    e.visit();
    let end = NodeId(1);
    assert_eq!((e.tree.turn(end), e.tree.stop(end)), (Turn::Open, Some(Stop::EndToken)));
    let mass = e.tree.accounting();
    assert!((mass.finished - 0.4).abs() < 1e-12 && (mass.frontier - 0.6).abs() < 1e-12 && mass.pruned.abs() < 1e-12);
    assert_eq!(end_event(&e.tree, EndReason::MaxNodes, 0.0).completed, 1);
    // The strategy has its own rule: it comes to the depth limit first, and counts no completed path.
    while e.visit().is_some() {}
    assert_eq!((e.tree.turn(end), e.policy.completed()), (Turn::Stopped(Stop::MaxDepth), 0));
    assert_eq!((e.tree.stop(end), e.tree.accounting()), (Some(Stop::EndToken), mass));
}

#[test]
fn what_the_strategy_would_not_have_done_is_named() {
    let (model, strategy) = (model(7), strategy(0));
    let (tree, lines) = grow(&model, strategy, model.tree(), 30, 128).unwrap();
    let first = serde_json::to_string(&Event::Header(Box::new(header(strategy)))).unwrap();
    let refused = |lines: Vec<String>| {
        let all: Vec<String> = std::iter::once(first.clone()).chain(lines).collect();
        strategy.policy(&read(&all).unwrap().tree).err().map(|e| e.to_string())
    };
    assert_eq!(refused(lines.clone()), None);
    // Without the line of a stop, what was visited after it came too early.
    let stop = lines.iter().position(|l| l.contains("\"stop\"")).unwrap();
    let missing: Vec<String> = lines.iter().enumerate().filter(|l| l.0 != stop).map(|l| l.1.clone()).collect();
    let text = refused(missing).unwrap();
    assert!(text.contains("was visited before node") && text.contains("missing, changed or out of order"), "{text}");
    let other: Vec<String> =
        lines.iter().map(|l| l.replace("\"reason\":\"end_token\"", "\"reason\":\"decided\"")).collect();
    let text = refused(other).unwrap();
    assert!(text.contains("it stopped for `decided`, and the strategy stops there for `end_token`"), "{text}");
    assert!(tree.len() > 10);
}

#[test]
fn limits_given_later_and_time_spent_are_read_back() {
    let mut file = vec![serde_json::to_string(&Event::Header(Box::new(header(strategy(0))))).unwrap()];
    let mut end = end_event(&Tree::default(), EndReason::MaxNodes, 2.5);
    end.limits.insert("max_nodes".into(), 500.into());
    file.push(serde_json::to_string(&Event::End(end)).unwrap());
    let (_, more) = grow(&model(7), strategy(0), model(7).tree(), 1, 128).unwrap();
    file.extend(more);
    let run = read(&file).unwrap();
    assert_eq!((run.header.limits["max_nodes"].as_u64(), run.seconds, run.end), (Some(500), 2.5, None));
    assert_eq!(run.header.store_top, Some(Keep::Top(3)));
    for keep in [Keep::Top(50), Keep::Mass(0.999), Keep::Mass(1.0)] {
        let json = serde_json::to_string(&keep).unwrap();
        assert_eq!(serde_json::from_str::<Keep>(&json).unwrap(), keep, "{json}");
    }
    for bad in ["\"p=2\"", "\"50\"", "-1", "0.5"] {
        assert!(serde_json::from_str::<Keep>(bad).is_err(), "{bad}");
    }
}

#[test]
fn parameters_are_laid_over_the_defaults_and_checked_in_one_place() {
    let with = |name: &str, json: &str| Strategy::with(name, &serde_json::from_str(json).unwrap());
    let Ok(Strategy::Sample(p)) = with("sample", r#"{"temperature": 0.5, "top_p": 0.9, "samples": 7}"#) else {
        panic!()
    };
    assert_eq!((p.sampler.temperature, p.sampler.top_p, p.samples, p.max_depth), (0.5, 0.9, 7, 1000));
    let Ok(Strategy::Beam(p)) = with("beam", r#"{"width": 3, "top_p_branch": 0.8, "rules": {"max_branches": 2}}"#)
    else {
        panic!()
    };
    assert_eq!((p.width, p.rules.top_p, p.rules.max_branches, p.rules.min_path_prob), (3, 0.8, Some(2), 0.0));
    // Headers of older files have no sampler there: their probabilities are the model's own.
    let mut old = with("best-first", r#"{"top_p": 0.5, "top_p_branch": 0.8}"#).unwrap().parameters();
    assert_eq!((&old["top_p"], &old["rules"]["top_p"]), (&0.5.into(), &0.8.into()));
    (["temperature", "top_k", "top_p", "min_p"]).iter().for_each(|name| drop(old.remove(*name)));
    let old: Strategy =
        serde_json::from_value(serde_json::json!({ "strategy": "best-first", "parameters": old })).unwrap();
    assert_eq!(old.sampler(), None);
    let Ok(Strategy::BestFirst(p)) = with("best-first", r#"{"rules": {"top_p": 0.7, "max_branches": null}}"#) else {
        panic!()
    };
    assert_eq!((p.rules.top_p, p.rules.max_branches, p.rules.min_path_prob), (0.7, None, 1e-9));
    for (name, json, text) in [
        ("sample", r#"{"temperature": -1}"#, "`temperature` must be a number from 0 up, not -1"),
        ("sample", r#"{"top_p": 1.5}"#, "`top_p` must be a probability between 0 and 1, not 1.5"),
        ("sample", r#"{"samples": 0}"#, "`samples` must be at least 1"),
        ("sample", r#"{"samples": 4000000000}"#, "`samples` must be at most 10000000"),
        ("sample", r#"{"samples": -3}"#, "`samples` cannot be -3"),
        (
            "sample",
            r#"{"max_branches": 3}"#,
            "`max_branches` belongs to `strategy` dynamic or best-first or beam, not to sample",
        ),
        (
            "dynamic",
            r#"{"temperature": 1}"#,
            "`temperature` belongs to `strategy` best-first or sample, not to dynamic",
        ),
        ("dynamic", r#"{"nosuch": 1}"#, "`nosuch` is no parameter of dynamic"),
        ("dynamic", r#"{"rules": {"nosuch": 1}}"#, "`nosuch` is no parameter of dynamic"),
        ("dynamic", r#"{"rules": 3}"#, "`rules` is no parameter"),
        ("dynamic", r#"{"min_branch_threshold": 0.9}"#, "`min_branch_threshold` (0.9) must not be above"),
        ("dynamic", r#"{"max_depth": "ten"}"#, "`max_depth` cannot be \"ten\""),
        ("dynamic", r#"{"top_p_branch": 2}"#, "`top_p_branch` must be a probability"),
        ("beam", r#"{"max_branches": 0}"#, "`max_branches` must be at least 1"),
        ("best-first", r#"{"cover": 1.1}"#, "`cover` must be a probability"),
        ("best", "{}", "`strategy` must be one of dynamic, best-first, beam, sample, not \"best\""),
    ] {
        let error = with(name, json).unwrap_err().to_string();
        assert!(error.contains(text), "{name} {json}: {error}");
    }
}
