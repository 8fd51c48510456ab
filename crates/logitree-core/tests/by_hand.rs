//! What the user adds by hand never changes what the policy does, and is recorded like everything else.

mod common;

use common::{TableModel, hashed};
use logitree_core::explore::Strategy;
use logitree_core::explore::*;
use logitree_core::run::*;
use logitree_core::*;
use proptest::prelude::*;
use std::borrow::Cow;
use std::sync::Arc;

const PROMPT: [TokenId; 2] = [TokenId(1), TokenId(2)];
const VOCAB: usize = 4;

/// With `ties`, some tokens and paths are exactly equally likely; otherwise none are. Best-first and beam decide between
/// equal paths by their ids, which clicks may change.
fn model(seed: u64, ties: bool) -> TableModel {
    let base = hashed(seed, VOCAB);
    let shaken = move |path: &[TokenId]| {
        let mut probs = base(path);
        let mut h = seed | 1;
        for t in path {
            h = (h ^ u64::from(t.0 + 1)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31);
        }
        for p in probs.iter_mut().filter(|_| !ties) {
            h = h.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31);
            *p *= 1.0 + (h >> 12) as f64 / (1u64 << 60) as f64;
        }
        let sum: f64 = probs.iter().sum();
        probs.iter().map(|p| p / sum).collect()
    };
    TableModel { vocab: VOCAB, end_tokens: vec![TokenId(0)], table: Arc::new(shaken) }
}

fn bytes(id: TokenId) -> Cow<'static, [u8]> {
    Cow::Owned(vec![b'a' + id.0 as u8])
}

fn strategy(kind: usize) -> Strategy {
    match kind {
        0 => Strategy::Dynamic(DynamicParameters { max_depth: 6, max_completed_paths: 9, ..Default::default() }),
        1 => Strategy::BestFirst(BestFirstParameters { batch: 3, cover: 1.0, max_depth: 4, ..Default::default() }),
        2 => Strategy::Beam(BeamParameters { width: 3, max_depth: 5, ..Default::default() }),
        _ => Strategy::Sample(SampleParameters { samples: 30, max_depth: 5, ..Default::default() }),
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
        prompt: Prompt::default(),
        strategy: strategy.name().into(),
        parameters: serde_json::to_value(strategy).unwrap()["parameters"].as_object().unwrap().clone(),
        limits: Default::default(),
        store_top: None,
        hash_logits: false,
        watch: Vec::new(),
    }
}

/// A click: on one of the nodes there are, a continuation of one kind or another, or a token of one's own.
type Click = (u32, usize, u32);
/// A click after so many visits. It is done with before the run goes on, or the run goes on between its steps.
type Timed = (usize, bool, Click);
type Growing = Explorer<Box<dyn Policy>>;

/// A run of a model as it stands; how its session is used is seen.
fn open(model: &TableModel, policy: Box<dyn Policy>, tree: Tree) -> (Growing, common::Seen) {
    let session = model.open();
    let seen = session.seen();
    (Explorer::new(Box::new(session), VOCAB, &PROMPT, policy, tree, 2).unwrap(), seen)
}

fn continuation(e: &mut Growing, at: NodeId, kind: usize) -> Continuation {
    let policy = match kind {
        0 => Strategy::Beam(BeamParameters { width: 1, max_depth: 3, ..Default::default() }),
        _ => Strategy::Dynamic(DynamicParameters { max_depth: 2, ..Default::default() }),
    };
    Continuation::new(e, at, policy.policy(&Tree::default()).unwrap()).unwrap()
}

/// Steps to the end.
fn finish(e: &mut Growing, mut c: Continuation) -> Vec<Change> {
    let mut changes = Vec::new();
    while let Some(more) = c.step(e).unwrap() {
        changes.extend(more);
    }
    c.finish(e);
    changes
}

/// Begins what was clicked: a continuation, or all that the click changes.
fn click(model: &TableModel, e: &mut Growing, (at, kind, token): Click) -> Result<Continuation, Vec<Change>> {
    let at = NodeId(at % e.tree.len() as u32);
    if e.tree.stop(at) == Some(Stop::EndToken) {
        return Err(Vec::new());
    }
    if kind < 3 {
        return Ok(continuation(e, at, kind));
    }
    let token = TokenId(token % VOCAB as u32);
    if e.tree.expansion(at).is_none() || e.tree.child(at, token).is_some() {
        return Err(Vec::new());
    }
    let (d, _) = e.ask(at, 1, &[token], false).unwrap();
    let full: Vec<TokenId> = PROMPT.iter().copied().chain(e.tree.path(at)).collect();
    assert_eq!(d.tokens[0].logprob, (model.table)(&full)[token.index()].ln());
    Err(vec![Change::Grafted(e.tree.graft(at, token, d.tokens[0].logprob))])
}

/// The policy's own part of a tree, as text that does not depend on ids. Best-first visits exact ties in order of their
/// ids, which clicks may change: its queue lengths are left out, and the test lets it go on to the end.
fn own(tree: &Tree) -> String {
    let mut out = String::new();
    let mut stack = vec![NodeId::ROOT];
    while let Some(n) = stack.pop() {
        let e = tree.expansion(n).filter(|e| !e.by_user);
        let e = e.map(|e| {
            (e.threshold, e.threshold.map(|_| e.queue), e.children.iter().filter(|&&c| !tree.by_user(c)).count())
        });
        out += &format!("{:?} {:?} {} {e:?}\n", tree.path(n), tree.turn(n), tree.samples(n));
        // By token: the table's logits are rounded to f32, which decides otherwise between exactly equal siblings than its
        // logprobs do. That order matters to a policy shows in the queue lengths.
        let mut children = tree.own_children(n);
        children.sort_by_key(|&c| std::cmp::Reverse(tree.token(c)));
        stack.extend(children);
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Clicks at any time, and stopping and reading the file again at any time: the policy's tree stays the same, the
    /// file reads back as the tree, and the mass adds up.
    #[test]
    fn clicks_do_not_disturb(
        seed in any::<u64>(),
        kind in 0usize..4,
        clicks in prop::collection::vec((0usize..60, any::<bool>(), (any::<u32>(), 0usize..4, any::<u32>())), 0..8),
        resume_at in 0usize..80,
    ) {
        let model = model(seed, kind == 0 || kind == 3);
        let strategy = strategy(kind);
        let undisturbed = grow(&model, strategy, &[], usize::MAX).0;
        let (tree, file) = grow(&model, strategy, &clicks, resume_at);
        prop_assert_eq!(own(&tree), own(&undisturbed));
        prop_assert!((tree.accounting().total() - 1.0).abs() < 1e-9);
        let read = read(&file);
        prop_assert_eq!(own(&read), own(&tree));
        let shape = |t: &Tree| t.nodes().map(|n| (t.path(n), t.by_user(n), t.children(n).to_vec(), t.stop(n))).collect::<Vec<_>>();
        prop_assert_eq!(shape(&read), shape(&tree));
        // A run that is written as a whole is the same run again.
        let run = read_run(&file);
        prop_assert_eq!(&run.tree, &tree);
        let mut whole = Vec::new();
        write_run(&run, &mut whole).unwrap();
        let again = read_run(&whole);
        prop_assert_eq!(&again.tree, &run.tree);
        prop_assert_eq!((&again.header, &again.end), (&run.header, &run.end));
        // All texts but those of tokens that only a list which is no longer in the tree had.
        prop_assert!(again.texts.iter().all(|(id, text)| run.bytes(*id) == &text[..]));
    }
}

fn read(file: &[u8]) -> Tree {
    read_run(file).tree
}

fn read_run(file: &[u8]) -> Run {
    let mut reader = RunReader::default();
    for line in file.split_inclusive(|&b| b == b'\n') {
        reader.feed(line).unwrap();
    }
    reader.finish(false).unwrap()
}

/// Grows a tree with a click after so many visits each; at `resume_at` visits everything is dropped and read back.
fn grow(model: &TableModel, strategy: Strategy, clicks: &[Timed], resume_at: usize) -> (Tree, Vec<u8>) {
    let mut file = Vec::new();
    let write = |file: &mut Vec<u8>, events: Vec<Event>| {
        for event in events {
            serde_json::to_writer(&mut *file, &event).unwrap();
            file.push(b'\n');
        }
    };
    write(&mut file, vec![Event::Header(Box::new(header(strategy)))]);
    let mut tree = model.tree();
    let mut visits = 0;
    loop {
        let (mut e, seen) = open(model, strategy.policy(&tree).unwrap(), tree);
        let mut under_way: Vec<Continuation> = Vec::new();
        let over = loop {
            let Some(change) = e.visit() else {
                if e.evaluate().unwrap() == 0 {
                    break true;
                }
                continue;
            };
            write(&mut file, change_events(&e.tree, change, &bytes));
            visits += 1;
            for &(_, at_once, c) in clicks.iter().filter(|(at, ..)| *at == visits) {
                let (before, live) = (e.tree.clone(), seen.live());
                let changes = match click(model, &mut e, c) {
                    Ok(c) if !at_once => {
                        under_way.push(c);
                        continue;
                    }
                    Ok(c) => finish(&mut e, c),
                    Err(changes) => changes,
                };
                for &change in &changes {
                    write(&mut file, change_events(&e.tree, change, &bytes));
                }
                // It holds nothing of the session afterwards, and finds the same where nobody explores the run.
                assert_eq!(seen.live(), live);
                let (mut paused, seen) = open(model, Box::new(Paused), before);
                let again = click(model, &mut paused, c).map_or_else(|changes| changes, |c| finish(&mut paused, c));
                assert_eq!((again, &paused.tree, seen.live()), (changes, &e.tree, PROMPT.len()));
            }
            for i in (0..under_way.len()).rev() {
                match under_way[i].step(&mut e).unwrap() {
                    Some(changes) => {
                        changes.into_iter().for_each(|c| write(&mut file, change_events(&e.tree, c, &bytes)))
                    }
                    None => under_way.swap_remove(i).finish(&mut e),
                }
            }
            if visits == resume_at {
                break false;
            }
        };
        if over {
            return (e.tree, file);
        }
        tree = read(&file);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// A run and two continuations of it, in whatever order their steps come: the same tree, but for the ids of its nodes, as one
    /// after the other.
    #[test]
    fn steps_of_a_run_and_of_continuations_come_in_any_order(
        seed in any::<u64>(),
        kind in 0usize..4,
        starts in any::<[u32; 2]>(),
        order in prop::collection::vec(0usize..3, 0..40),
    ) {
        let model = model(seed, false);
        let begin = || {
            let (mut e, seen) = open(&model, strategy(kind).policy(&model.tree()).unwrap(), model.tree());
            (0..3).for_each(|_| level(&mut e));
            let mut two = Vec::new();
            for (kind, at) in starts.iter().enumerate() {
                let at = NodeId(at % e.tree.len() as u32);
                if !e.tree.is_end(at) {
                    two.push(continuation(&mut e, at, kind));
                }
            }
            (e, two, seen)
        };
        let (mut apart, two, held) = begin();
        while apart.evaluate().unwrap() > 0 {
            while apart.visit().is_some() {}
        }
        two.into_iter().for_each(|c| drop(finish(&mut apart, c)));

        let (mut mixed, mut two, seen) = begin();
        for next in order {
            match two.get_mut(next) {
                Some(c) => drop(c.step(&mut mixed).unwrap()),
                None => level(&mut mixed),
            }
        }
        two.into_iter().for_each(|c| drop(finish(&mut mixed, c)));
        while mixed.evaluate().unwrap() > 0 {
            while mixed.visit().is_some() {}
        }
        prop_assert_eq!(by_path(&mixed.tree), by_path(&apart.tree));
        prop_assert_eq!(seen.live(), held.live());
    }
}

/// Evaluates a slice of a run and visits what can be visited.
fn level(e: &mut Growing) {
    e.evaluate().unwrap();
    while e.visit().is_some() {}
}

/// What a tree says of each path, whatever the ids of its nodes. Probabilities are left out: samples have them from logits, which the
/// table rounds to f32.
fn by_path(tree: &Tree) -> Vec<String> {
    let of = |n| {
        let children: Vec<_> = tree.children(n).iter().map(|&c| tree.path(c)).collect();
        format!("{:?} {} {:?} {children:?}", tree.path(n), tree.by_user(n), tree.stop(n))
    };
    let mut all: Vec<String> = tree.nodes().map(of).collect();
    all.sort();
    all
}
