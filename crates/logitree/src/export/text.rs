//! Writes the summary of a run: its paths ranked by probability, and how the probability mass is divided.

use crate::visible::visible;
use logitree_core::run::{EndReason, Run};
use logitree_core::tree::Turn;
use logitree_core::{NodeId, Stop, Tree, token};
use serde_json::Value;
use std::fmt::Write;
use unicode_width::UnicodeWidthChar;

/// How text is formatted.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Width in columns.
    pub width: usize,
    /// Whether to use ANSI colours.
    pub colour: bool,
}

impl Style {
    /// `text` in an ANSI colour.
    pub fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.into() }
    }
}

/// ANSI colour of a probability: green if the token was almost certain, cyan if it was more likely than not, magenta
/// if it was a surprise. Most tokens of a tree are none of these; they have no colour.
pub fn colour_of(prob: f64) -> &'static str {
    match prob {
        p if p > 0.8 => "32",
        p if p > 0.45 => "36",
        p if p > 0.01 => "0",
        _ => "35",
    }
}

/// Shortens a text to `width` columns. The middle is left out, because paths differ at their ends.
pub fn shorten(text: &str, width: usize) -> String {
    let columns = |s: &str| s.chars().map(|c| c.width().unwrap_or(0)).sum::<usize>();
    if columns(text) <= width {
        return text.into();
    }
    let room = width.saturating_sub(1);
    let take = |chars: &mut dyn Iterator<Item = char>, room: usize| {
        let mut used = 0;
        let fits = chars.take_while(|c| {
            used += c.width().unwrap_or(0);
            used <= room
        });
        fits.collect::<String>()
    };
    let head = take(&mut text.chars(), room / 2);
    let tail: String = take(&mut text.chars().rev(), room - room / 2).chars().rev().collect();
    format!("{head}…{tail}")
}

/// Breaks a text into lines of at most `width` columns, each beginning with `indent`. A word that is too long is not
/// broken.
pub fn wrap(text: &str, width: usize, indent: &str) -> String {
    let columns = |s: &str| s.chars().map(|c| c.width().unwrap_or(0)).sum::<usize>();
    let mut out = indent.to_string();
    let mut used = columns(indent);
    for (i, word) in text.split(' ').enumerate() {
        let wide = columns(word);
        if i > 0 && used + 1 + wide > width {
            out.push('\n');
            out.push_str(indent);
            used = columns(indent);
        } else if i > 0 {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += wide;
    }
    out
}

/// A number with its noun: `1 token`, `2 tokens`. The plural is formed with an s.
pub fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// Texts of paths, each on one line that shows only its beginning and end. The middle of a long path is not read.
pub struct Ends<'r> {
    run: &'r Run,
    width: usize,
    /// For each node, its ancestor at the depth where the beginning ends. Empty if no path is that long.
    heads: Vec<NodeId>,
}

impl<'r> Ends<'r> {
    /// Makes lines of at most `width` columns.
    pub fn new(run: &'r Run, width: usize) -> Ends<'r> {
        let (tree, part) = (&run.tree, Self::part(width));
        let mut heads = Vec::new();
        if tree.nodes().any(|n| tree.depth(n) > 2 * part) {
            heads.reserve_exact(tree.len());
            for n in tree.nodes() {
                let above = tree.parent(n).filter(|_| tree.depth(n) > part).map(|p| heads[p.index()]);
                heads.push(above.unwrap_or(n));
            }
        }
        Ends { run, width, heads }
    }

    /// Number of tokens that are read of a beginning and of an end: more than one per column, as some tokens have no
    /// width.
    fn part(width: usize) -> usize {
        8 * width.max(8)
    }

    /// The text of the path to a node.
    pub fn text(&self, n: NodeId) -> String {
        let (tree, part) = (&self.run.tree, Self::part(self.width));
        if tree.depth(n) <= 2 * part {
            return shorten(&visible(&self.run.text(n)), self.width);
        }
        let up = std::iter::successors(Some(n), |&n| tree.parent(n));
        let mut end: Vec<_> = up.take(part).filter_map(|n| tree.token(n)).collect();
        end.reverse();
        let end = token::decode(end.iter().map(|&t| self.run.bytes(t)));
        let whole = format!("{}…{end}", self.run.text(self.heads[n.index()]));
        shorten(&visible(&whole), self.width)
    }
}

/// A probability as a percentage with three or more significant digits.
pub fn percent(p: f64) -> String {
    match p * 100.0 {
        x if x >= 1.0 || x == 0.0 => format!("{x:.2} %"),
        x if x >= 0.001 => format!("{x:.4} %"),
        x => format!("{x:.1e} %"),
    }
}

/// The `most` most likely paths, and a table of the probability mass.
pub fn summary(run: &Run, most: usize, style: Style) -> String {
    let mut out = String::new();
    let tree = &run.tree;
    let h = &run.header;
    let _ = writeln!(out, "{} {}", style.paint("1", "prompt"), shorten(&visible(&h.prompt.text), style.width - 8));
    let [model, engine] = [&h.model.name, &h.engine].map(|name| visible(name));
    let _ = writeln!(out, "{} {model}   {} {engine}", style.paint("1", "model"), style.paint("1", "engine"));
    if let Some(sampler) = h.sampler() {
        let _ = writeln!(out, "{} all probabilities are a sampler's: {sampler}", style.paint("1", "sampler"));
    }
    let leaves = tree.ranked_leaves();
    let room = style.width.saturating_sub(38).max(20);
    let _ = writeln!(out);
    let sampled = tree.nodes().any(|n| tree.samples(n) > 0);
    let samples = if sampled { " samples" } else { "" };
    let _ = writeln!(out, "{}", style.paint("1", &format!("   #  probability{samples}  depth  stop       text")));
    let ends = Ends::new(run, room);
    for (i, &leaf) in leaves.iter().take(most).enumerate() {
        let stop = tree.stop(leaf).unwrap_or(Stop::Frontier);
        let text = ends.text(leaf);
        let samples = if sampled { format!(" {:>7}", tree.samples(leaf)) } else { String::new() };
        let row = format!(
            "{:>4}  {:>11}{samples}  {:>5}  {:<9}  {text}",
            i + 1,
            percent(tree.mass(leaf)),
            tree.depth(leaf),
            stop.name()
        );
        let _ = writeln!(out, "{}", if stop == Stop::EndToken { style.paint("32", &row) } else { row });
    }
    if leaves.len() > most {
        let rest: f64 = leaves[most..].iter().map(|&n| tree.mass(n)).sum();
        let _ = writeln!(out, "      {:>11}  in {}", percent(rest), count(leaves.len() - most, "more path"));
    }
    let mass = tree.accounting();
    let completed = leaves.iter().filter(|&&n| tree.stop(n) == Some(Stop::EndToken)).count();
    let at_depth_limit = leaves.iter().filter(|&&n| at_limit(run, n)).count();
    let full = leaves.iter().filter(|&&n| tree.stop(n) == Some(Stop::Context)).count();
    let open = |n: &&NodeId| matches!(tree.stop(**n), Some(Stop::Frontier | Stop::MaxDepth | Stop::Context));
    let open = leaves.iter().filter(open).count();
    let _ = writeln!(out);
    let _ = writeln!(out, "{}", style.paint("1", "where the probability went"));
    let at = |n: usize, limit: &str| match (n, open) {
        (0, _) => String::new(),
        (1, 1) => format!(", at {limit}"),
        (n, _) => format!(", {n} of them at {limit}"),
    };
    let deep = at(at_depth_limit, "the depth limit") + &at(full, "the end of the model's context");
    for (name, p, what) in [
        ("finished", mass.finished, count(completed, "completed path")),
        ("frontier", mass.frontier, count(open, "open path") + &deep),
        (
            "pruned",
            mass.pruned,
            if run.header.strategy == "dynamic" {
                "tokens below the threshold"
            } else {
                "tokens and paths not followed"
            }
            .into(),
        ),
    ] {
        let _ = writeln!(out, "  {name:<9} {:>11}  {what}", percent(p));
    }
    let _ = writeln!(out, "  {:<9} {:>11}  {}", "total", percent(mass.total()), count(tree.len(), "node"));
    let more = tree.nodes().filter(|&n| tree.possibly_more(n)).count();
    if more > 0 {
        // Only lists of servers and of other programs can be too short: a model in this process knows all tokens.
        let nodes = count(more, "node");
        let text = format!("possibly more branches at {nodes}: too few tokens are listed there to tell");
        let _ = writeln!(out, "{}", wrap(&text, style.width, "  "));
    }
    findings(run, completed, style.width, &mut out);
    let note = match run.end.as_ref().map(|e| e.reason) {
        Some(EndReason::Finished) => enough(run).unwrap_or_else(|| {
            let within = if at_depth_limit > 0 { " within the depth limit" } else { "" };
            format!("ended: no path is left to follow{within}")
        }),
        Some(EndReason::MaxNodes) => "stopped at --max-nodes; --resume with more goes on".into(),
        Some(EndReason::MaxSeconds) => "stopped at --max-seconds; --resume with more goes on".into(),
        Some(EndReason::Interrupted) => "interrupted; --resume goes on".into(),
        Some(EndReason::Failed) => "the model failed; --resume goes on".into(),
        None => "the run did not end; --resume goes on".into(),
    };
    let _ = writeln!(out, "  {}", style.paint("33", &note));
    for text in [covered(tree), advice(run, at_depth_limit > 0)].into_iter().flatten() {
        let _ = writeln!(out, "{}", wrap(&text, style.width, "  "));
    }
    out
}

/// Whether a leaf is at the run's depth limit, also if the strategy has not come by yet.
fn at_limit(run: &Run, n: NodeId) -> bool {
    match run.tree.stop(n) {
        Some(Stop::MaxDepth) => true,
        Some(Stop::Frontier) => {
            let limit = run.header.parameters.get("max_depth").and_then(Value::as_u64);
            limit.is_some_and(|limit| run.tree.depth(n) as u64 >= limit)
        }
        _ => false,
    }
}

/// How much of the first tokens the tree covers, in words. `None` if it has no token.
fn covered(tree: &Tree) -> Option<String> {
    const FIRST: [&str; 3] = ["token", "two", "three"];
    let coverage = tree.coverage();
    let mut parts: Vec<String> =
        coverage.iter().zip(FIRST).map(|(&p, first)| format!("{} of the first {first}", percent(p))).collect();
    match (coverage.len(), coverage.last()) {
        (0, _) | (_, None) => return None,
        (n, Some(&p)) if n > FIRST.len() => parts.push(format!("{} of the first {n}", percent(p))),
        _ => {}
    }
    Some(format!("the tree covers {}", parts.join(", ")))
}

/// What to try to see more: further, if paths end at the depth limit, and wider, if most of the probability was left
/// out. `None` if the tree has most of it.
fn advice(run: &Run, deep: bool) -> Option<String> {
    let (tree, header) = (&run.tree, &run.header);
    let mut parts = Vec::new();
    if tree.accounting().pruned >= 0.5 && header.strategy == "dynamic" {
        let min = header.parameters.get("min_branch_threshold").and_then(Value::as_f64).unwrap_or_default();
        if min > 0.0 {
            // Rounded, so that it is as short as what the user types.
            let lower = (min / 5.0 * 1e6).round() / 1e6;
            parts.push(format!("--min-branch-threshold {lower} follows less likely tokens"));
        }
        parts.push("--strategy best-first the likeliest paths".into());
    }
    let limit = header.parameters.get("max_depth").and_then(Value::as_u64);
    if let Some(limit) = limit.filter(|_| deep) {
        parts.push(format!("--max-depth {} looks further", limit.saturating_mul(2)));
    }
    (!parts.is_empty()).then(|| format!("to see more: {}", parts.join(", ")))
}

/// The limit that ended a strategy while it still had paths to follow; `None` if there were none.
fn enough(run: &Run) -> Option<String> {
    let tree = &run.tree;
    if !tree.nodes().any(|n| !tree.by_user(n) && tree.turn(n) == Turn::Open) {
        return None;
    }
    let number = |name: &str| run.header.parameters.get(name).and_then(Value::as_f64).filter(|&n| n > 0.0);
    let most = number("max_completed_paths").or_else(|| number("width"));
    match (most, number("cover")) {
        (Some(most), _) if tree.own_ended().count() as f64 >= most => {
            Some(format!("ended at --max-completed-paths {most}"))
        }
        (_, Some(cover)) => Some(format!("ended at --cover {cover}")),
        _ => None,
    }
}

/// Writes what the strategy allows to conclude, and the watched strings.
fn findings(run: &Run, completed: usize, width: usize, out: &mut String) {
    let tree = &run.tree;
    let strategy = &run.header.strategy[..];
    if matches!(strategy, "best-first" | "beam") {
        let finished = tree.accounting().finished;
        let text = format!(
            "{} cover {}; at most {} lies elsewhere. No path cut on the way is more likely than {}.",
            count(completed, "completion"),
            percent(finished),
            percent((1.0 - finished).max(0.0)),
            percent(tree.heaviest_cut())
        );
        let _ = writeln!(out, "\n{}", wrap(&text, width, ""));
    }
    let of = |name: &str| run.header.parameters.get(name).and_then(serde_json::Value::as_f64);
    let plain = [("temperature", 1.0), ("top_k", 0.0), ("top_p", 1.0), ("min_p", 0.0)];
    if let (Some(samples), true) = (of("samples"), plain.iter().all(|&(name, value)| of(name) == Some(value))) {
        let (chi, degrees) = logitree_core::explore::chi_square(tree, samples as u32);
        // With few samples, no token is expected often enough to be compared.
        if degrees > 0 {
            let text = format!(
                "samples against exact probabilities: χ² {chi:.1} with {} of freedom; an honest sampler gives {degrees} ± {:.0}",
                if degrees == 1 { "1 degree".into() } else { format!("{degrees} degrees") },
                (2.0 * degrees as f64).sqrt()
            );
            let _ = writeln!(out, "\n{}", wrap(&text, width, ""));
        }
    }
    let Some(root) = tree.expansion(logitree_core::NodeId::ROOT) else { return };
    for (i, (watch, at)) in run.header.watch.iter().zip(&root.watched).enumerate() {
        let of_node = |n| tree.expansion(n).and_then(|e| e.watched.get(i)).map(|w| (w.logprob, n));
        let most = tree.nodes().filter_map(of_node).max_by(|a, b| a.0.total_cmp(&b.0));
        let rank = at.rank.map_or(String::new(), |r| format!(", rank {r}"));
        let _ = write!(out, "\nwatched {:?}: {}{rank} after the prompt", watch.text, percent(at.logprob.exp()));
        if let Some((logprob, n)) = most.filter(|m| m.1 != logitree_core::NodeId::ROOT) {
            let text = visible(&run.text(n));
            let _ = write!(out, "; most likely ({}) after {:?}", percent(logprob.exp()), shorten(&text, 40));
        }
    }
    if !run.header.watch.is_empty() {
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_lose_their_middle_and_wide_characters_count_twice() {
        assert_eq!(shorten("short", 10), "short");
        assert_eq!(shorten("abcdefghijkl", 7), "abc…jkl");
        assert_eq!(shorten("東京東京東京", 7), "東…京");
        assert_eq!(visible("a\n\tb\u{1b}[31m"), "a↵⇥b\u{fffd}[31m");
    }

    #[test]
    fn the_ends_of_a_long_path_are_those_of_its_whole_text() {
        let words: Vec<String> = (0..5000).map(|i| format!(" {i}é")).collect();
        let mut tree = logitree_core::Tree::default();
        let mut at = NodeId::ROOT;
        for (i, _) in words.iter().enumerate() {
            let child = [logitree_core::TokenStats { id: logitree_core::TokenId(i as u32), logprob: -0.1, rank: 1 }];
            let d = logitree_core::Distribution {
                logsumexp: 0.0,
                ..logitree_core::Distribution::of_list(child.to_vec(), logitree_core::Exactness::Exact)
            };
            at = tree.expand(at, d, &child, None, 1).children[0];
        }
        let texts = (0..).zip(&words).map(|(i, w)| (logitree_core::TokenId(i), w.as_bytes().into())).collect();
        let header = serde_json::from_value(serde_json::json!({
            "format": "logitree-run", "version": 1, "logitree": "0", "created": "", "engine": "", "strategy": "dynamic",
            "model": logitree_core::run::Model::default(), "prompt": logitree_core::run::Prompt::default(), "parameters": {},
        }));
        let run = Run { header: header.unwrap(), tree, end: None, texts, seconds: 0.0, valid_bytes: 0, torn: false };
        let ends = Ends::new(&run, 40);
        for n in [1, 7, 640, 641, 1300, 5000].map(NodeId) {
            assert_eq!(ends.text(n), shorten(&visible(&run.text(n)), 40));
        }
    }

    #[test]
    fn percentages_keep_their_digits() {
        assert_eq!(
            [0.5, 0.01234, 0.00012345, 1.5e-9, 0.0].map(percent),
            ["50.00 %", "1.23 %", "0.0123 %", "1.5e-7 %", "0.00 %"]
        );
    }
}
