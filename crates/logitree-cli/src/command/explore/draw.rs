//! What `logitree explore` shows, as lines of text: the text, the alternatives at the place, the tree.

use super::walk::Walk;
use logitree::Model;
use logitree::export::text::{Style, colour_of, percent, shorten};
use logitree::visible::visible;
use logitree_core::{NodeId, Stop, TokenId, Tree};
use unicode_width::UnicodeWidthStr;

/// What is shown beside the text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pane {
    Alternatives,
    Tree,
    Help,
}

/// The keys, and what they do.
const KEYS: [(&str, &str); 9] = [
    ("← →", "to the token before or after; Home and End to the text's ends"),
    ("↑ ↓", "mark another token for this place"),
    ("Enter", "put the marked token here, and write on from there"),
    ("1 to 9", "the same with this token of the list"),
    ("g", "write on at the end of the text"),
    ("u", "undo: the text before the last change"),
    ("t", "the tree of what was written so far"),
    ("?", "these keys"),
    ("q", "end; Esc and Ctrl-C, too"),
];

/// Width of a bar of probability, in columns.
const BAR: usize = 20;

/// All lines of the screen.
pub fn screen(model: &Model, walk: &Walk, pane: Pane, height: usize, style: Style) -> Vec<String> {
    let below = (height / 2).clamp(4, 14);
    let above = height.saturating_sub(below + 2).max(1);
    let mut lines = text(model, walk, above, style);
    lines.resize(above, String::new());
    lines.push(rule(model, walk, pane, style));
    let mut rest = match pane {
        Pane::Alternatives => alternatives(model, walk, below, style),
        Pane::Tree => tree(model, walk, below, style),
        Pane::Help => KEYS.iter().map(|(key, what)| format!("  {key:<8} {what}")).collect(),
    };
    rest.resize(below, String::new());
    lines.extend(rest);
    let keys = "← → move   ↑ ↓ Enter 1-9 take another   g go on   u undo   t tree   ? keys   q end";
    lines.push(style.paint("2", &shorten(keys, style.width)));
    lines
}

/// The line between the text and what is below it.
fn rule(model: &Model, walk: &Walk, pane: Pane, style: Style) -> String {
    let tree = walk.exploration.tree();
    let last = walk.path.last().copied().unwrap_or(NodeId::ROOT);
    let state = match (walk.is_writing(), walk.end()) {
        (true, _) => ", writing",
        (false, Some(Stop::EndToken)) => ", the text has ended",
        (false, Some(_)) => ", the context is full",
        (false, None) => "",
    };
    let what = match pane {
        Pane::Alternatives => format!("token {} of {}{state}", walk.at + 1, walk.path.len()),
        Pane::Tree => format!("{} nodes{state}", tree.len()),
        Pane::Help => "keys".into(),
    };
    let bits = -tree.path_logprob(last) / std::f64::consts::LN_2;
    let line = format!("── {what} · {bits:.1} bits, {} · {} ", percent(tree.mass(last)), model.name());
    let line = shorten(&line, style.width);
    let fill = "─".repeat(style.width.saturating_sub(line.width()));
    style.paint("2", &format!("{line}{fill}"))
}

/// The prompt and the text in as many lines as there is room for, with the line of the place among them.
fn text(model: &Model, walk: &Walk, room: usize, style: Style) -> Vec<String> {
    let tree = walk.exploration.tree();
    let mut lines = vec![String::new()];
    let (mut column, mut here) = (0, 0);
    let mut put = |text: &str, colour: &str, is_here: bool| {
        // A line feed is shown, and breaks the line, too.
        for piece in text.split_inclusive('\n') {
            for word in pieces(&visible(piece), style.width) {
                if column + word.width() > style.width {
                    lines.push(String::new());
                    column = 0;
                }
                column += word.width();
                let last = lines.len() - 1;
                lines[last].push_str(&style.paint(colour, &word));
            }
            if is_here {
                here = lines.len() - 1;
            }
            if piece.ends_with('\n') {
                lines.push(String::new());
                column = 0;
            }
        }
    };
    put(&walk.exploration.header().prompt.text, "2", false);
    for (i, &node) in walk.path.iter().enumerate() {
        let text = token(model, tree, node);
        let text = if text.is_empty() { "∅".into() } else { text };
        let colour = colour_of(tree.logprob(node).exp());
        // Without colours the place is between brackets.
        match (i == walk.at, style.colour) {
            (true, true) => put(&text, &format!("{colour};7"), true),
            (true, false) => put(&format!("[{text}]"), colour, true),
            (false, _) => put(&text, colour, false),
        }
    }
    if walk.at == walk.path.len() {
        put("▏", "7", true);
    }
    let first = (here + 1).saturating_sub(room).max(lines.len().saturating_sub(room).min(here));
    lines.into_iter().skip(first).take(room).collect()
}

/// A text in pieces that are no wider than a line.
fn pieces(text: &str, width: usize) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for c in text.chars() {
        let last = pieces.len() - 1;
        let mut longer = pieces[last].clone();
        longer.push(c);
        if longer.width() > width && !pieces[last].is_empty() {
            pieces.push(c.to_string());
        } else {
            pieces[last] = longer;
        }
    }
    pieces
}

fn token(model: &Model, tree: &Tree, node: NodeId) -> String {
    tree.token(node).map_or(String::new(), |id| model.text(id))
}

/// The tokens that could stand at the place; the one that stands there has a point.
fn alternatives(model: &Model, walk: &Walk, room: usize, style: Style) -> Vec<String> {
    let list = walk.list();
    if list.is_empty() {
        let why = if walk.is_writing() { "…" } else { "nothing is known of what comes here: g writes on" };
        return vec![format!("  {why}")];
    }
    let chosen = walk.chosen();
    let first = (walk.choice + 1).saturating_sub(room);
    let word = style.width.saturating_sub(BAR + 28).clamp(6, 30);
    let line = |(i, t): (usize, &logitree_core::TokenStats)| {
        let prob = t.logprob.exp();
        let text = shorten(&shown(model, t.id), word);
        let padding = " ".repeat(word - text.width().min(word));
        let bar = "█".repeat((prob * BAR as f64).round() as usize);
        let key = if i < 9 { (i + 1).to_string() } else { " ".into() };
        let point = if chosen == Some(i) { "•" } else { " " };
        let line = format!("{point} {key} {text}{padding} {:>9} {:>9.4}  {bar:<BAR$}", percent(prob), t.logprob);
        match (i == walk.choice, style.colour) {
            (true, true) => style.paint(&format!("{};7", colour_of(prob)), &line),
            (true, false) => format!(">{line}"),
            (false, true) => style.paint(colour_of(prob), &line),
            (false, false) => format!(" {line}"),
        }
    };
    list.iter().enumerate().skip(first).take(room).map(line).collect()
}

fn shown(model: &Model, id: TokenId) -> String {
    visible(&model.text(id)).replace(' ', "·")
}

/// A line of the tree that is still to be drawn.
struct Branch {
    node: NodeId,
    level: usize,
}

/// The branches of the tree: a sequence without a branch is one line. The end of the text that is shown has a point.
fn tree(model: &Model, walk: &Walk, room: usize, style: Style) -> Vec<String> {
    let tree = walk.exploration.tree();
    let on_path = |n: NodeId| walk.path.contains(&n);
    let mut stack: Vec<Branch> =
        tree.children(NodeId::ROOT).iter().rev().map(|&node| Branch { node, level: 0 }).collect();
    let mut lines = Vec::new();
    let mut here = 0;
    while let Some(Branch { node, level }) = stack.pop() {
        let (mut end, mut text) = (node, token(model, tree, node));
        while let &[child] = tree.children(end) {
            end = child;
            text.push_str(&token(model, tree, end));
        }
        let point = if on_path(node) { "•" } else { " " };
        if on_path(node) {
            here = lines.len();
        }
        let lead = format!("{point} {}", "  ".repeat(level.min(style.width / 6)));
        let room = style.width.saturating_sub(lead.width() + 11).max(4);
        let text = shorten(&visible(&text).replace(' ', "·"), room);
        let padding = " ".repeat(room.saturating_sub(text.width()));
        let line = format!("{lead}{}{padding} {:>9}", text, percent(tree.logprob(node).exp()));
        lines.push(if on_path(node) { style.paint("1", &line) } else { line });
        stack.extend(tree.children(end).iter().rev().map(|&node| Branch { node, level: level + 1 }));
    }
    if lines.is_empty() {
        return vec!["  …".into()];
    }
    let first = (here + 1).saturating_sub(room);
    lines.into_iter().skip(first).take(room).collect()
}
