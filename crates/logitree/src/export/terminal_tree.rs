//! Draws a tree as lines of text.
//!
//! A sequence of tokens without a branch is one line; what a model thinks and what it answers are two, and thoughts are
//! in italics. The code does not recurse, because trees can be thousands of
//! levels deep.

use super::text::{Style, percent, shorten};
use crate::export::text::colour_of;
use crate::visible::visible;
use logitree_core::run::Run;
use logitree_core::{NodeId, Stop, TokenId, Tree, thought};
use std::collections::HashSet;
use std::fmt::Write;
use unicode_width::UnicodeWidthStr;

/// Which part of a tree is drawn.
#[derive(Clone, Copy, Debug, Default)]
pub struct View {
    /// Largest depth of the nodes that are drawn, in tokens below the root; `None` for no limit.
    pub depth: Option<usize>,
    /// Subtrees with less probability mass than this are left out.
    pub min_mass: f64,
}

/// Width in columns of the numbers of a line: probability, its bar, mass, its bar.
const NUMBERS: usize = 33;
/// Width of a bar, in columns.
const BAR: usize = 5;
/// Largest width of a note (why a leaf ends, or how much was cut), in columns.
const NOTE: usize = 12;

/// Number of lines that a reader can take in at a glance.
const READABLE: usize = 30;

/// The smallest mass to draw such that the drawing has at most about 30 lines.
pub fn readable(tree: &Tree, depth: Option<usize>) -> f64 {
    let begins_line = |n: &NodeId| {
        let siblings = tree.parent(*n).map_or(0, |p| tree.children(p).len());
        (siblings > 1 || tree.parent(*n) == Some(NodeId::ROOT)) && depth.is_none_or(|d| tree.depth(*n) <= d)
    };
    let mut masses: Vec<f64> = tree.nodes().filter(begins_line).map(|n| tree.mass(n)).collect();
    if masses.len() <= READABLE {
        return 0.0;
    }
    masses.sort_by(|a, b| b.total_cmp(a));
    // Number of nodes with some children drawn and some left out: each has one more line, which stands for the latter.
    let mixed = |min: f64| {
        let drawn = |&c: &NodeId| tree.mass(c) >= min;
        let shown = |n: &NodeId| depth.is_none_or(|d| tree.depth(*n) < d) && (tree.mass(*n) >= min);
        let is_mixed = |n: &NodeId| tree.children(*n).iter().any(drawn) && !tree.children(*n).iter().all(drawn);
        tree.nodes().filter(shown).filter(is_mixed).count()
    };
    // Thousands of subtrees may have exactly the same mass, and all of them would be drawn.
    let many = |min: f64| masses.partition_point(|&m| m >= min) > 2 * READABLE;
    let fits = |&lines: &usize| !many(masses[lines - 1]) && lines + mixed(masses[lines - 1]) <= READABLE;
    let min = masses[(1..=READABLE).rev().find(fits).unwrap_or(1) - 1];
    if many(min) { min.next_up() } else { min }
}

/// A line that is still to be drawn, with everything below it.
struct Branch {
    what: What,
    /// Number of levels above the line.
    level: usize,
    last: bool,
}

enum What {
    /// The subtree of a node.
    Node(NodeId),
    /// The children of a node from this index on, which have too little mass to be drawn one by one.
    Lighter(NodeId, usize),
}

/// Draws a run's tree; no line is wider than the style's width.
pub fn draw(run: &Run, view: View, style: Style) -> String {
    let tree = &run.tree;
    let thoughts = thought::nodes(run);
    let left = style.width.saturating_sub(NUMBERS + NOTE).max(12);
    let prompt = shorten(&visible(&run.header.prompt.text), left.saturating_sub(1));
    let padding = " ".repeat(left.saturating_sub(prompt.width()));
    // In a line with several tokens, the first number is the probability of the first token, the second that of the
    // path to the last one.
    let heads = format!(" {:>9} {:BAR$} {:>10} {:BAR$} ", "1st token", "", "path", "");
    let cut = note(tree, NodeId::ROOT, NodeId::ROOT, view);
    let mut out = format!("{prompt}{padding}{}", style.paint("1", format!("{heads}{cut}").trim_end()));
    out.push('\n');
    if let Some(text) = not_followed(run, style.width) {
        let _ = writeln!(out, "{}", style.paint("2", &text));
    }
    let mut stack: Vec<Branch> = Vec::new();
    // For each level above the current line, whether another branch follows there.
    let mut above: Vec<bool> = Vec::new();
    push(tree, NodeId::ROOT, 0, view, &mut stack);
    while let Some(Branch { what, level, last }) = stack.pop() {
        above.truncate(level);
        let lead = lead(&above, last, left);
        let (node, end, tokens) = match what {
            What::Node(node) => {
                let (end, tokens) = chain(tree, node, view, &thoughts);
                (node, end, tokens)
            }
            What::Lighter(parent, from) => {
                let light = &tree.children(parent)[from..];
                let sum = |of: &dyn Fn(NodeId) -> f64| light.iter().map(|&c| of(c)).sum::<f64>();
                let [prob, mass] = [sum(&|c| tree.logprob(c).exp()), sum(&|c| tree.mass(c))];
                let text = shorten(&format!("… {} lighter", light.len()), left.saturating_sub(lead.width()).max(4));
                let padding = " ".repeat(left.saturating_sub(lead.width() + text.width()));
                let numbers = format!(" {:>9} {} {:>10} {}", percent(prob), bar(prob), percent(mass), bar(mass));
                let _ = writeln!(out, "{}", style.paint("2", format!("{lead}{text}{padding}{numbers}").trim_end()));
                continue;
            }
        };
        let bytes: Vec<u8> = tokens.iter().flat_map(|&t| run.bytes(t)).copied().collect();
        let room = left.saturating_sub(lead.width()).max(4);
        let text = shorten(&visible(&String::from_utf8_lossy(&bytes)).replace(' ', "·"), room);
        let padding = " ".repeat(left.saturating_sub(lead.width() + text.width()));
        let prob = tree.logprob(node).exp();
        let numbers =
            format!(" {:>9} {} {:>10} {}", percent(prob), bar(prob), percent(tree.mass(end)), bar(tree.mass(end)));
        let mut note = note(tree, node, end, view);
        let mut colour = colour_of(prob).to_string();
        if thoughts[node.index()] {
            colour.push_str(";3");
            if note.is_empty() {
                note = "thought".into();
            }
        }
        let _ = writeln!(
            out,
            "{}{}{padding}{numbers} {}",
            style.paint("2", &lead),
            style.paint(&colour, &text),
            style.paint("2", &note)
        );
        above.push(!last);
        push(tree, end, above.len(), view, &mut stack);
    }
    out
}

/// A line that names the largest branches at the root that are not in the tree, as many as there is room for. `None` if
/// they have less than 1 % of the probability.
fn not_followed(run: &Run, width: usize) -> Option<String> {
    let tree = &run.tree;
    let root = tree.expansion(NodeId::ROOT)?;
    let followed: HashSet<TokenId> = root.children.iter().filter_map(|&c| tree.token(c)).collect();
    let rest = 1.0 - root.children.iter().map(|&c| tree.logprob(c).exp()).sum::<f64>();
    let mut others = root.top.iter().filter(|t| !followed.contains(&t.id)).peekable();
    if rest < 0.01 || others.peek().is_none() {
        return None;
    }
    let mut line = format!("not followed, {}:", percent(rest));
    for (i, t) in others.enumerate() {
        let text = visible(&String::from_utf8_lossy(run.bytes(t.id))).replace(' ', "·");
        let item = format!("{} {} {}", if i == 0 { "" } else { "," }, text, percent(t.prob()));
        if line.width() + item.width() + 3 > width {
            break;
        }
        line.push_str(&item);
    }
    Some(shorten(&format!("{line}, …"), width))
}

/// The last node, and the tokens, of the unbranched sequence that begins at a node. It ends where a thought begins or
/// ends.
fn chain(tree: &Tree, first: NodeId, view: View, thoughts: &[bool]) -> (NodeId, Vec<TokenId>) {
    let mut end = first;
    let mut tokens: Vec<TokenId> = tree.token(first).into_iter().collect();
    while let &[child] = tree.children(end) {
        let other = thoughts[child.index()] != thoughts[first.index()];
        if other || view.depth.is_some_and(|d| tree.depth(child) > d) || tree.mass(child) < view.min_mass {
            break;
        }
        end = child;
        tokens.extend(tree.token(child));
    }
    (end, tokens)
}

/// Puts the children of a node on the stack; those with too little mass share one line after the others. If all have
/// too little, there is no line: the note of the node says that it goes on.
fn push(tree: &Tree, n: NodeId, level: usize, view: View, stack: &mut Vec<Branch>) {
    let children = tree.children(n);
    if view.depth.is_some_and(|d| tree.depth(n) >= d) {
        return;
    }
    // The children are sorted, the heaviest first.
    let drawn = children.iter().take_while(|&&c| tree.mass(c) >= view.min_mass).count();
    let lighter = drawn < children.len();
    if lighter && drawn > 0 {
        stack.push(Branch { what: What::Lighter(n, drawn), level, last: true });
    }
    for (i, &node) in children[..drawn].iter().enumerate().rev() {
        stack.push(Branch { what: What::Node(node), level, last: i + 1 == drawn && !lighter });
    }
}

/// The connecting lines in front of a branch. Of a very deep branch only the last levels are drawn, after their
/// number.
fn lead(above: &[bool], last: bool, left: usize) -> String {
    let most = (left.saturating_sub(13) / 2).max(1);
    let skipped = above.len().saturating_sub(most);
    let mut lead = if skipped > 0 { format!("{skipped}» ") } else { String::new() };
    above[skipped..].iter().for_each(|&more| lead.push_str(if more { "│ " } else { "  " }));
    lead.push_str(if last { "└ " } else { "├ " });
    lead
}

/// A probability as a bar.
fn bar(p: f64) -> String {
    let eighths = (p * (BAR * 8) as f64).round() as usize;
    let part = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
    let bar = "█".repeat(eighths / 8) + part;
    format!("{bar:<width$}", width = BAR)
}

/// The note of a line: why its path ends, or how much probability is not drawn below it.
fn note(tree: &Tree, first: NodeId, end: NodeId, view: View) -> String {
    match tree.stop(end) {
        Some(Stop::EndToken) => "end".into(),
        Some(Stop::MaxDepth) => "depth limit".into(),
        Some(Stop::Context) => "context full".into(),
        Some(Stop::Frontier) => "open".into(),
        Some(stop) => stop.name().into(),
        None if view.depth.is_some_and(|d| tree.depth(end) >= d) => "goes on".into(),
        None if tree.children(end).iter().all(|&c| tree.mass(c) < view.min_mass) => "goes on".into(),
        None => {
            let below: f64 = tree.children(end).iter().map(|&c| tree.mass(c)).sum();
            match 1.0 - below / tree.mass(first) {
                cut if cut < 0.01 => String::new(),
                // Do not round up to 100 %: some of it is drawn below.
                cut if cut >= 0.995 => "> 99 % cut".into(),
                cut => format!("{:.0} % cut", 100.0 * cut),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use logitree_core::run::{FORMAT, Header, Model, Prompt, VERSION};
    use logitree_core::{Distribution, Exactness, TokenStats};

    fn expand(tree: &mut Tree, n: NodeId, probs: &[(u32, f64)]) -> Vec<NodeId> {
        let children: Vec<TokenStats> =
            (1..).zip(probs).map(|(rank, &(id, p))| TokenStats { id: TokenId(id), logprob: p.ln(), rank }).collect();
        let d = Distribution {
            logsumexp: 0.0,
            entropy: 0.5,
            varentropy: 0.1,
            ..Distribution::of_list(children.clone(), Exactness::Exact)
        };
        tree.expand(n, d, &children, None, 1).children.clone()
    }

    fn run(tree: Tree, words: &[&str]) -> Run {
        let header = Header {
            format: FORMAT.into(),
            version: VERSION,
            logitree: "0.1.0".into(),
            created: String::new(),
            model: Model::default(),
            engine: String::new(),
            prompt: Prompt { text: "The sky is".into(), ..Default::default() },
            strategy: "dynamic".into(),
            parameters: Default::default(),
            limits: Default::default(),
            store_top: None,
            hash_logits: false,
            watch: Vec::new(),
        };
        let texts = (0..).zip(words).map(|(i, w)| (TokenId(i), w.as_bytes().into())).collect();
        Run { header, tree, end: None, texts, seconds: 0.0, valid_bytes: 0, torn: false }
    }

    const STYLE: Style = Style { width: 80, colour: false };

    #[test]
    fn a_thought_has_a_line_of_its_own() {
        let mut tree = Tree::default();
        let mut last = NodeId::ROOT;
        for id in 0..5 {
            last = expand(&mut tree, last, &[(id, 1.0)])[0];
        }
        let run = run(tree, &["<think>", "Hm", "</think>", "Hel", "lo"]);
        let drawn = draw(&run, View::default(), STYLE);
        let lines: Vec<&str> = drawn.lines().collect();
        assert!(lines[1].contains("<think>Hm</think>") && lines[1].ends_with("thought"), "{drawn}");
        assert!(lines[2].contains("Hello") && !lines[2].contains("thought"), "{drawn}");
        let drawn = draw(&run, View::default(), Style { colour: true, ..STYLE });
        assert!(drawn.contains("\x1b[32;3m<think>Hm</think>\x1b[0m"), "{drawn:?}");
    }

    #[test]
    fn chains_are_one_line_and_every_leaf_says_why_it_ends() {
        let mut tree = Tree::default();
        let top = expand(&mut tree, NodeId::ROOT, &[(0, 0.5), (1, 0.3), (2, 0.1)]);
        let deep = expand(&mut tree, top[0], &[(3, 0.9)]);
        let two = expand(&mut tree, deep[0], &[(4, 0.6), (5, 0.4)]);
        tree.stop_node(two[0], Stop::EndToken);
        tree.stop_node(two[1], Stop::MaxDepth);
        tree.stop_node(top[2], Stop::Pruned);
        let run = run(tree, &[" blue", " grey\n", " red", " today", "<eos>", "."]);
        let drawn = draw(&run, View::default(), STYLE);
        let want = "\
The sky is                          1st token             path       10 % cut
├ ·blue·today                         50.00 % ██▌      45.00 % ██▎   10 % cut
│ ├ <eos>                             60.00 % ███      27.00 % █▍    end
│ └ .                                 40.00 % ██       18.00 % ▉     depth limit
├ ·grey↵                              30.00 % █▌       30.00 % █▌    open
└ ·red                                10.00 % ▌        10.00 % ▌     pruned
";
        assert_eq!(drawn, want);
        let light = draw(&run, View { depth: Some(1), min_mass: 0.2 }, STYLE);
        let want = "\
The sky is                          1st token             path       10 % cut
├ ·blue                               50.00 % ██▌      50.00 % ██▌   goes on
├ ·grey↵                              30.00 % █▌       30.00 % █▌    open
└ … 1 lighter                         10.00 % ▌        10.00 % ▌
";
        assert_eq!(light, want);
    }

    #[test]
    fn a_large_tree_is_cut_to_what_can_be_read() {
        let mut tree = Tree::default();
        let mut open = vec![NodeId::ROOT];
        for _ in 0..7 {
            open = open.iter().flat_map(|&n| expand(&mut tree, n, &[(0, 0.6), (1, 0.3)])).collect();
        }
        let run = run(tree, &["a", "b"]);
        let min_mass = readable(&run.tree, None);
        let lines = draw(&run, View { depth: None, min_mass }, STYLE).lines().count();
        assert!((20..=70).contains(&lines), "{lines}");
        assert_eq!(readable(&run.tree, Some(2)), 0.0);
    }

    #[test]
    fn thousands_of_equal_branches_do_not_defeat_the_limit() {
        let mut tree = Tree::default();
        let mut at = NodeId::ROOT;
        // A comb: each level has a leaf and a branch that goes on, so that each line has one more level above it.
        for _ in 0..30_000 {
            at = expand(&mut tree, at, &[(0, 0.5), (1, 0.5)])[0];
        }
        let run = run(tree, &["a", "b"]);
        let min_mass = readable(&run.tree, None);
        assert!(draw(&run, View { depth: None, min_mass }, STYLE).lines().count() < 70);
        assert!(draw(&run, View::default(), STYLE).lines().count() > 60_000);
        let mut flat = Tree::default();
        let even: Vec<(u32, f64)> = (0..10_000).map(|i| (i, 1e-4)).collect();
        expand(&mut flat, NodeId::ROOT, &even);
        let min_mass = readable(&flat, None);
        assert!(flat.children(NodeId::ROOT).iter().all(|&c| flat.mass(c) < min_mass));
    }

    #[test]
    fn no_line_is_too_wide_however_deep_the_tree_and_long_the_text() {
        let mut tree = Tree::default();
        let mut at = NodeId::ROOT;
        for i in 0..3000 {
            let children = expand(&mut tree, at, &[(i % 3, 0.6), (3, 0.4)]);
            at = children[usize::from(i % 5 == 0)];
        }
        for _ in 0..50_000 {
            at = expand(&mut tree, at, &[(1, 1.0)])[0];
        }
        let run = run(tree, &[" 東京", "a\tb", "long".repeat(40).as_str(), "x"]);
        for (width, colour) in [(60, false), (80, false), (200, false), (80, true)] {
            let drawn = draw(&run, View::default(), Style { width, colour });
            assert!(drawn.lines().count() > 6000);
            let widest = drawn.lines().map(|l| if colour { 0 } else { l.width() }).max();
            assert!(widest <= Some(width), "{widest:?} {width}");
            assert_eq!(drawn.contains('\u{1b}'), colour);
        }
    }
}
