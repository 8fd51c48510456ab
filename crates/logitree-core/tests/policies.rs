//! Best-first, beam and sampling against brute force and literal transcriptions.

mod common;

use common::{TableModel, hashed};
use logitree_core::explore::Strategy;
use logitree_core::explore::*;
use logitree_core::sampled::Sampled;
use logitree_core::sampling::Sampler;
use logitree_core::tree::Turn;
use logitree_core::*;
use proptest::prelude::*;

const PROMPT: [TokenId; 1] = [TokenId(1)];

fn model(seed: u64, vocab: usize) -> TableModel {
    TableModel { vocab, end_tokens: vec![TokenId(0)], table: hashed(seed, vocab) }
}

/// Grows a tree to the end or `visits`; also the masses of completed paths in the order in which they completed.
fn grow(model: &TableModel, strategy: Strategy, tree: Tree, visits: usize) -> (Tree, Vec<f64>) {
    let session = model.open();
    let policy = strategy.policy(&tree).unwrap();
    let mut e = Explorer::new(Box::new(session), model.vocab, &PROMPT, policy, tree, 0).unwrap();
    let mut completed = Vec::new();
    let mut left = visits;
    loop {
        while left > 0
            && let Some(change) = e.visit()
        {
            left -= 1;
            if let Change::Stopped(n, Stop::EndToken) = change {
                completed.push(e.tree.mass(n));
            }
        }
        if left == 0 || e.evaluate().unwrap() == 0 {
            return (e.tree, completed);
        }
    }
}

/// Every path of the model to a depth, with its probability; a path ends at token 0.
fn all_paths(model: &TableModel, depth: usize) -> Vec<(Vec<TokenId>, f64)> {
    let mut all = vec![(vec![], 1.0)];
    let mut i = 0;
    while i < all.len() {
        let (path, p): (Vec<TokenId>, f64) = all[i].clone();
        i += 1;
        if path.len() == depth || path.last() == Some(&TokenId(0)) {
            continue;
        }
        let full: Vec<TokenId> = PROMPT.iter().chain(&path).copied().collect();
        for (t, q) in (model.table)(&full).into_iter().enumerate() {
            all.push((path.iter().copied().chain([TokenId(t as u32)]).collect(), p * q));
        }
    }
    all
}

fn best_first(batch: usize, cover: f64, max_depth: usize, rules: BranchRules) -> Strategy {
    Strategy::BestFirst(BestFirstParameters {
        batch,
        cover,
        max_depth,
        max_completed_paths: 0,
        rules,
        ..Default::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..Default::default() })]

    #[test]
    fn completions_come_in_exact_order_of_probability(seed: u64, vocab in 2usize..5, depth in 1usize..6) {
        let model = model(seed, vocab);
        let mut want: Vec<f64> =
            all_paths(&model, depth).into_iter().filter(|(p, _)| p.last() == Some(&TokenId(0))).map(|p| p.1).collect();
        want.sort_by(|a, b| b.total_cmp(a));
        for batch in [1, 3, 16] {
            let (tree, mut got) = grow(&model, best_first(batch, 1.0, depth, BranchRules::default()), model.tree(), usize::MAX);
            if batch > 1 {
                got.sort_by(|a, b| b.total_cmp(a));
            }
            prop_assert_eq!(got.len(), want.len());
            prop_assert!(got.iter().zip(&want).all(|(g, w)| (g - w).abs() < 1e-12), "batch {}: {:?} {:?}", batch, got, want);
            prop_assert_eq!(tree.heaviest_cut(), 0.0);
        }
    }

    #[test]
    fn a_samplers_own_tree_has_the_probabilities_of_everything_that_it_draws(
        seed: u64,
        vocab in 2usize..6,
        depth in 1usize..5,
        temperature in prop_oneof![Just(0.0), Just(1.0), 0.3..2.0f64],
        top_k in 0usize..4,
        top_p in prop_oneof![Just(1.0), 0.3..1.0f64],
        min_p in prop_oneof![Just(0.0), 0.0..0.5f64],
    ) {
        let model = model(seed, vocab);
        let sampler = Sampler { temperature, top_k, top_p, min_p };
        // By brute force: every path, each token with its share of what the sampler keeps.
        let mut drawn = vec![(Vec::new(), 1.0)];
        let mut i = 0;
        while i < drawn.len() {
            let (path, p): (Vec<TokenId>, f64) = drawn[i].clone();
            i += 1;
            if path.len() == depth || path.last() == Some(&TokenId(0)) {
                continue;
            }
            let full: Vec<TokenId> = PROMPT.iter().chain(&path).copied().collect();
            let logits: Vec<f32> = (model.table)(&full).iter().map(|p| p.ln() as f32).collect();
            for (t, q) in sampler.distribution(&logits) {
                drawn.push((path.iter().copied().chain([t]).collect(), p * q));
            }
        }
        let want: std::collections::BTreeMap<Vec<TokenId>, f64> = drawn.into_iter().collect();
        let rules = BranchRules::default();
        let strategy = Strategy::BestFirst(BestFirstParameters { batch: 3, cover: 1.0, max_depth: depth, rules, sampler, ..Default::default() });
        let plain = sampler == Sampler::PLAIN;
        prop_assert_eq!(strategy.sampler(), (!plain).then_some(sampler));
        let mut e = Explorer::new(Box::new(Sampled::new(Box::new(model.open()), sampler)), vocab, &PROMPT, strategy.policy(&model.tree()).unwrap(), model.tree(), 0).unwrap();
        loop {
            while e.visit().is_some() {}
            if e.evaluate().unwrap() == 0 {
                break;
            }
        }
        let tree = e.tree;
        let mass = tree.accounting();
        prop_assert!((mass.total() - 1.0).abs() < 1e-9 && mass.pruned < 1e-9, "{:?}", mass);
        // The exploration ends early only if everything is finished: then what is left has no probability.
        for (path, p) in &want {
            let found = tree.nodes().find(|&n| &tree.path(n) == path);
            prop_assert!(found.map_or(*p < 1e-12, |n| (tree.mass(n) - p).abs() < 1e-9), "{:?} {}", path, p);
        }
        prop_assert!(tree.nodes().all(|n| want.contains_key(&tree.path(n))));
        for n in tree.nodes() {
            let Some(expansion) = tree.expansion(n) else { continue };
            let shares: Vec<f64> = tree.children(n).iter().map(|&c| tree.logprob(c).exp()).collect();
            let entropy: f64 = -shares.iter().map(|p| p * p.ln()).sum::<f64>();
            prop_assert!((expansion.entropy - entropy).abs() < 1e-9, "{} {}", expansion.entropy, entropy);
        }
    }

    #[test]
    fn it_ends_when_enough_is_covered_and_no_cut_path_is_heavier_than_said(
        seed: u64,
        vocab in 3usize..6,
        batch in 1usize..6,
        cover in 0.0..1.0f64,
        max_branches in 1usize..4,
        min_path_prob in 0.0..0.05f64,
    ) {
        let model = model(seed, vocab);
        let rules = BranchRules { min_path_prob, top_p: 0.95, max_branches: Some(max_branches) };
        let (tree, completed) = grow(&model, best_first(batch, cover, 5, rules), model.tree(), usize::MAX);
        let mass = tree.accounting();
        prop_assert!((mass.total() - 1.0).abs() < 1e-9);
        // What the policy has not visited yet is finished all the same.
        let waiting: f64 = tree.finished().filter(|&n| tree.turn(n) == Turn::Open).map(|n| tree.mass(n)).sum();
        prop_assert!((mass.finished - completed.iter().sum::<f64>() - waiting).abs() < 1e-12);
        let open = tree.nodes().filter(|&n| tree.stop(n) == Some(Stop::Frontier)).count();
        prop_assert!(completed.iter().sum::<f64>() >= cover || open == 0);
        // Before the last completion the cover was not reached.
        prop_assert!(completed.split_last().is_none_or(|(_, before)| before.iter().sum::<f64>() < cover));
        let known: std::collections::HashSet<Vec<TokenId>> = tree.nodes().map(|n| tree.path(n)).collect();
        let expanded: std::collections::HashSet<Vec<TokenId>> =
            tree.nodes().filter(|&n| tree.expansion(n).is_some()).map(|n| tree.path(n)).collect();
        let heaviest = tree.heaviest_cut();
        for (path, p) in all_paths(&model, 5) {
            let missing = !known.contains(&path) && path.split_last().is_some_and(|(_, parent)| expanded.contains(parent));
            prop_assert!(!missing || p <= heaviest + 1e-12, "{:?} {} {}", path, p, heaviest);
        }
    }

    #[test]
    fn the_beam_is_its_definitions(seed: u64, vocab in 2usize..6, width in 1usize..5, depth in 1usize..7) {
        let model = model(seed, vocab);
        let p = BeamParameters { width, max_depth: depth, ..Default::default() };
        let (tree, completed) = grow(&model, Strategy::Beam(p), model.tree(), usize::MAX);

        // One level at a time, on plain lists of (path, log probability).
        let mut beam: Vec<(Vec<TokenId>, f64)> = vec![(vec![], 0.0)];
        let mut done: Vec<Vec<TokenId>> = Vec::new();
        let mut deep: Vec<Vec<TokenId>> = Vec::new();
        'levels: while !beam.is_empty() {
            let mut children = Vec::new();
            for (path, l) in std::mem::take(&mut beam) {
                if path.last() == Some(&TokenId(0)) {
                    done.push(path);
                    if done.len() == width {
                        break 'levels;
                    }
                } else if path.len() == depth {
                    deep.push(path);
                } else {
                    let full: Vec<TokenId> = PROMPT.iter().chain(&path).copied().collect();
                    let mut next: Vec<(usize, f64)> = (model.table)(&full).into_iter().enumerate().collect();
                    next.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
                    for (t, q) in next.into_iter().take(width) {
                        children.push((path.iter().copied().chain([TokenId(t as u32)]).collect::<Vec<_>>(), l + q.ln()));
                    }
                }
            }
            children.sort_by(|a, b| b.1.total_cmp(&a.1));
            children.truncate(width);
            beam = children;
        }
        let stopped = |stop: Stop| -> Vec<Vec<TokenId>> {
            tree.nodes().filter(|&n| tree.turn(n) == Turn::Stopped(stop)).map(|n| tree.path(n)).collect()
        };
        let sorted = |mut v: Vec<Vec<TokenId>>| { v.sort(); v };
        prop_assert_eq!(completed.len(), done.len());
        prop_assert_eq!(sorted(stopped(Stop::EndToken)), sorted(done));
        prop_assert_eq!(sorted(stopped(Stop::MaxDepth)), sorted(deep));
        prop_assert!((tree.accounting().total() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_stopped_run_goes_on_to_the_same_tree(seed: u64, vocab in 2usize..6, stop_after in 0usize..40, kind in 0usize..4,
        batch in 1usize..6,
    ) {
        let model = model(seed, vocab);
        let strategy = match kind {
            0 => best_first(batch, 0.8, 5, BranchRules { max_branches: Some(3), ..Default::default() }),
            1 => Strategy::Beam(BeamParameters { width: 3, max_depth: 6, ..Default::default() }),
            2 => Strategy::Sample(SampleParameters { samples: 20, seed, max_depth: 5, ..Default::default() }),
            _ => Strategy::Dynamic(DynamicParameters {
                max_depth: 6,
                rules: BranchRules { min_path_prob: 0.01, ..Default::default() },
                ..Default::default()
            }),
        };
        let (whole, _) = grow(&model, strategy, model.tree(), 5000);
        let (part, _) = grow(&model, strategy, model.tree(), stop_after);
        let (rest, _) = grow(&model, strategy, part, 5000);
        prop_assert_eq!(rest, whole);
        // The header's JSON brings the strategy back.
        let json = serde_json::to_string(&strategy).unwrap();
        prop_assert_eq!(serde_json::from_str::<Strategy>(&json).unwrap(), strategy);
    }
}

/// χ² of many samples, in standard deviations from its mean.
fn deviation(sampler: Sampler) -> f64 {
    let model = model(7, 6);
    let p = SampleParameters { samples: 20_000, seed: 3, max_depth: 6, sampler };
    let (tree, _) = grow(&model, Strategy::Sample(p), model.tree(), usize::MAX);
    for n in tree.nodes() {
        let below: u32 = tree.children(n).iter().map(|&c| tree.samples(c)).sum();
        let here = if n == NodeId::ROOT { 20_000 } else { tree.samples(n) };
        assert!(here > 0 && (tree.children(n).is_empty() || below == here));
    }
    let (chi, degrees) = chi_square(&tree, 20_000);
    assert!(degrees > 100, "{degrees}");
    (chi - degrees as f64) / (2.0 * degrees as f64).sqrt()
}

#[test]
fn the_sampler_is_honest_and_the_check_would_tell() {
    let honest = Sampler { temperature: 1.0, ..Sampler::default() };
    assert!(deviation(honest).abs() < 4.0, "{}", deviation(honest));
    let sharp = deviation(Sampler { temperature: 0.8, ..honest });
    assert!(sharp > 10.0, "{sharp}");
}

#[test]
fn a_judge_settles_nodes_before_they_are_expanded() {
    let model = model(11, 4);
    let session = model.open();
    let p =
        BestFirstParameters { batch: 4, cover: 1.0, max_depth: 6, rules: BranchRules::default(), ..Default::default() };
    // Whatever begins with token 2 is settled at once.
    let judge: Judge<'_> = Box::new(|tree, n| (tree.path(n).first() == Some(&TokenId(2))).then_some(Stop::Pruned));
    let policy = BestFirst::new(p, &model.tree()).unwrap().with_judge(judge);
    let mut e = Explorer::new(Box::new(session), 4, &PROMPT, policy, model.tree(), 0).unwrap();
    while e.evaluate().unwrap() > 0 {
        while e.visit().is_some() {}
    }
    let twos: Vec<NodeId> = e.tree.nodes().filter(|&n| e.tree.path(n).first() == Some(&TokenId(2))).collect();
    assert!(twos.len() == 1 && e.tree.stop(twos[0]) == Some(Stop::Pruned));
    assert!(e.tree.len() > 20);
}

#[test]
fn parameters_out_of_range_are_named() {
    let b = BestFirstParameters::default();
    let rules = |rules| BestFirstParameters { rules, ..b }.check().unwrap_err().to_string();
    assert!(BestFirstParameters { batch: 0, ..b }.check().unwrap_err().to_string().contains("batch"));
    assert!(BestFirstParameters { cover: 1.1, ..b }.check().unwrap_err().to_string().contains("cover"));
    assert!(rules(BranchRules { top_p: -1.0, ..b.rules }).contains("top_p"));
    assert!(rules(BranchRules { min_path_prob: f64::NAN, ..b.rules }).contains("min_path_prob"));
    assert!(rules(BranchRules { max_branches: Some(0), ..b.rules }).contains("max_branches"));
    assert!(BeamParameters { width: 0, ..Default::default() }.check().is_err());
    assert!(SampleParameters { samples: 0, ..Default::default() }.check().is_err());
    let error = SampleParameters { samples: u32::MAX, ..Default::default() }.check().unwrap_err().to_string();
    assert!(error.contains("`samples` must be at most"), "{error}");
}

#[test]
fn watched_strings_have_their_exact_probability_at_every_step() {
    let model = model(5, 5);
    let strings: Vec<Vec<TokenId>> =
        [&[3][..], &[2, 4], &[1, 1, 0]].iter().map(|w| w.iter().map(|&t| TokenId(t)).collect()).collect();
    let session = model.open();
    let asked = session.seen();
    let strategy = Strategy::Beam(BeamParameters { width: 2, max_depth: 4, ..Default::default() });
    let policy = strategy.policy(&model.tree()).unwrap();
    let e = Explorer::new(Box::new(session), 5, &PROMPT, policy, model.tree(), Keep::Mass(0.9)).unwrap();
    let mut e = e.watching(strings.clone());
    while e.evaluate().unwrap() > 0 {
        while e.visit().is_some() {}
    }
    let tree = e.tree;
    let mut seen = 0;
    for n in tree.nodes() {
        let Some(expansion) = tree.expansion(n) else { continue };
        let path: Vec<TokenId> = PROMPT.into_iter().chain(tree.path(n)).collect();
        assert_eq!(expansion.watched.len(), 3);
        for (string, watched) in strings.iter().zip(&expansion.watched) {
            let mut p = 1.0;
            let mut full = path.clone();
            for &t in string {
                p *= (model.table)(&full)[t.index()];
                full.push(t);
            }
            assert!((watched.logprob.exp() - p).abs() < 1e-12);
            assert_eq!(watched.rank.is_some(), string.len() == 1);
        }
        // Kept is what makes up 90 %, and no less than the beam's width.
        let probs: Vec<f64> = expansion.top.iter().map(|t| t.prob()).collect();
        let (last, before) = probs.split_last().unwrap();
        assert!(before.iter().sum::<f64>() < 0.9 || probs.len() == 2, "{probs:?}");
        assert!(before.iter().sum::<f64>() + last >= 0.9 - 1e-12);
        seen += 1;
    }
    assert!(seen > 4 && asked.live() == 0);
}

#[test]
fn coverage_counts_what_ended_before_and_the_nodes_at_the_depth() {
    // root - a 0.5 - c 0.5 - d 0.5
    //      \\- end 0.25
    let mut tree = Tree::new(Bounds::new(&[TokenId(0)], 0, 0));
    assert!(tree.coverage().is_empty());
    let child = |id, p: f64| TokenStats { id: TokenId(id), logprob: p.ln(), rank: 1 };
    let mut expand = |n, children: &[TokenStats]| {
        let d = Distribution::of_list(children.to_vec(), Exactness::Exact);
        tree.expand(n, d, children, None, 1).children[0]
    };
    let a = expand(NodeId::ROOT, &[child(1, 0.5), child(0, 0.25)]);
    let c = expand(a, &[child(2, 0.5)]);
    expand(c, &[child(3, 0.5)]);
    let coverage = tree.coverage();
    for (found, exact) in coverage.iter().zip([0.75, 0.5, 0.375]) {
        assert!((found - exact).abs() < 1e-12, "{coverage:?}");
    }
    assert_eq!(coverage.len(), 3);
}
