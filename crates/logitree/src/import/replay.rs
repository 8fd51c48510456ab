//! Tests that published trees grow again when a model answers from their records.

use super::tree_json;
use logitree_core::explore::{Dynamic, DynamicParameters, Explorer};
use logitree_core::*;
use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

/// A model that answers with what a tree recorded after each path. A path that the record never expanded gets
/// [`STRAY`], which makes the trees differ.
struct Replay {
    record: Tree,
    /// For each path of the session, the recorded node, if the record expanded it.
    nodes: Vec<Option<NodeId>>,
    /// New probabilities by node and token, for those that had to be moved across the branch threshold.
    nudged: HashMap<(NodeId, TokenId), f64>,
}

const STRAY: TokenId = TokenId(u32::MAX - 1);

impl Session for Replay {
    fn push(&mut self, parent: Option<NodeHandle>, token: TokenId) -> Result<NodeHandle, ModelError> {
        let node = match parent {
            None => Some(NodeId::ROOT),
            Some(p) => self.nodes[p.0 as usize]
                .and_then(|p| self.record.children(p).iter().copied().find(|&c| self.record.token(c) == Some(token))),
        };
        self.nodes.push(node);
        Ok(NodeHandle(self.nodes.len() as u32 - 1))
    }

    fn evaluate(&mut self, queries: &[Query<'_>]) -> Result<Vec<Distribution>, ModelError> {
        let answer = |q: &Query<'_>| {
            let node = self.nodes[q.node.0 as usize].filter(|&n| self.record.expansion(n).is_some());
            let top = match node {
                None => vec![TokenStats { id: STRAY, logprob: 0.0, rank: 1 }],
                Some(n) => self.list(n),
            };
            Distribution { logsumexp: 0.0, ..Distribution::of_list(top, Exactness::LowerBound) }
        };
        Ok(queries.iter().map(answer).collect())
    }

    fn release(&mut self, _: NodeHandle) {}
}

impl Replay {
    /// The children with their more precise probabilities, then the other candidates.
    fn list(&self, n: NodeId) -> Vec<TokenStats> {
        let children = self.record.children(n);
        let mut list: Vec<(TokenId, f64)> =
            children.iter().filter_map(|&c| Some((self.record.token(c)?, self.record.logprob(c)))).collect();
        let others = self.record.expansion(n).map_or(&[][..], |e| &e.top);
        let known: Vec<TokenId> = list.iter().map(|t| t.0).collect();
        list.extend(others.iter().filter(|t| !known.contains(&t.id)).map(|t| (t.id, t.logprob)));
        let stats = |(i, (id, logprob)): (usize, (TokenId, f64))| TokenStats {
            id,
            logprob: self.nudged.get(&(n, id)).copied().unwrap_or(logprob),
            rank: i as u32 + 1,
        };
        list.into_iter().enumerate().map(stats).collect()
    }
}

fn replay(record: &Tree, p: DynamicParameters, ends: &[TokenId], nudged: &HashMap<(NodeId, TokenId), f64>) -> Tree {
    let session = Replay { record: record.clone(), nodes: Vec::new(), nudged: nudged.clone() };
    let policy = Dynamic::new(p).unwrap();
    let tree = Tree::new(Bounds::new(ends, 0, 0));
    let mut explorer = Explorer::new(Box::new(session), usize::MAX, &[TokenId(0)], policy, tree, 0).unwrap();
    loop {
        while explorer.visit().is_some() {}
        if explorer.evaluate().unwrap() == 0 {
            return explorer.tree;
        }
    }
}

fn check(path: &Path) {
    let run = tree_json::read(BufReader::new(File::open(path).unwrap()), &mut Vec::new()).unwrap();
    let record = run.tree;
    let parameters: DynamicParameters =
        serde_json::from_value(serde_json::Value::Object(run.header.parameters.clone())).unwrap();
    let ends: Vec<TokenId> =
        record.nodes().filter(|&n| record.stop(n) == Some(Stop::EndToken)).filter_map(|n| record.token(n)).collect();
    // Recorded probabilities are rounded. Where one is so close to the threshold that rounding decides, follow the
    // record.
    let mut nudged = HashMap::new();
    for _ in 0..100 {
        let tree = replay(&record, parameters, &ends, &nudged);
        let differs = tree.nodes().find(|&n| {
            n.index() >= record.len()
                || tree.token(n) != record.token(n)
                || tree.parent(n) != record.parent(n)
                || tree.turn(n) != record.turn(n)
                || tree.children(n).len() != record.children(n).len()
        });
        let Some(n) = differs else {
            assert_eq!(tree.len(), record.len());
            println!("{}: {} nodes replayed, {} within rounding of T", path.display(), tree.len(), nudged.len());
            return;
        };
        let (Some(e), Some(r)) = (tree.expansion(n), record.expansion(n)) else {
            panic!("{}: node {} is visited in only one of the trees", path.display(), n.0)
        };
        let t = e.threshold.unwrap();
        let (ours, theirs) = (e.children.len(), r.children.len());
        for s in &e.top[ours.min(theirs)..ours.max(theirs)] {
            // The notebook compared in bfloat16, with 8 significant bits, so the threshold T was rounded too.
            assert!(
                (s.prob() - t).abs() <= t / 256.0 + 5e-5,
                "{}: node {}: {} is not near T = {t}",
                path.display(),
                n.0,
                s.prob()
            );
            let side = if ours > theirs { t - 1e-9 } else { t + 1e-9 };
            nudged.insert((n, s.id), side.ln());
        }
    }
    panic!("{}: too many probabilities near the threshold", path.display());
}

#[test]
fn the_published_trees_replay_exactly() {
    let Some(folder) = std::env::var_os("LOGITREE_SEED_DIR") else {
        eprintln!("skipped: LOGITREE_SEED_DIR does not name the folder with the published samples");
        return;
    };
    let mut trees: Vec<_> =
        std::fs::read_dir(Path::new(&folder).join("trees")).unwrap().map(|e| e.unwrap().path()).collect();
    trees.sort();
    assert!(trees.len() >= 4);
    trees.iter().for_each(|t| check(t));
}

#[test]
fn published_files_read_and_keep_their_structure_when_written_again() {
    let Some(folder) = std::env::var_os("LOGITREE_SEED_DIR") else {
        eprintln!("skipped: LOGITREE_SEED_DIR does not name the folder with the published samples");
        return;
    };
    let folder = Path::new(&folder);
    for entry in std::fs::read_dir(folder.join("trees")).unwrap() {
        let path = entry.unwrap().path();
        let (run, _) = super::open_run(&path).unwrap();
        let mut out = Vec::new();
        crate::export::tree_json::write(&run, false, &mut out).unwrap();
        let theirs = std::fs::read_to_string(&path).unwrap();
        let ours = String::from_utf8(out).unwrap();
        // Compare everything but the digits of cumulative probabilities, which the notebook multiplied before
        // rounding.
        let strip = |text: &str| -> Vec<String> {
            text.split("\"cumulative_prob\": ")
                .map(|s| s.split_once(", ").map_or(s, |(_, rest)| rest).to_string())
                .collect()
        };
        assert!(strip(&ours) == strip(theirs.trim_end()), "{}", path.display());
    }
    let super::Document::Logprobs(records, bad) = super::open(&folder.join("logprobs.jsonl")).unwrap().document else {
        panic!("not taken for logprobs")
    };
    assert_eq!((records.len(), bad.count), (13, 0));
    assert_eq!(records[0].data.len(), 247);
}
