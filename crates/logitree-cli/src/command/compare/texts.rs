//! Two models, two arithmetics or two prompts on one text.

use super::common::{CompareArgs, Found, Output, largest, report};
use crate::options::{ModelOptions, RemoteOptions};
use crate::{input, message, open, terminal};
use anyhow::Result;
use logitree::compare::{ComparedPiece, Comparison, Side, bits_per_byte, compare};
use logitree::export::text::{Style, count, percent, shorten};
use logitree::visible::visible;
use logitree::{Arithmetic, Given, Model, export};
use logitree_core::compare::{ComparedStep, Estimate, Spread, Summary, summarise};
use logitree_core::metrics::totals;
use logitree_core::run::Message;
use logitree_core::token::decode;
use logitree_core::{TokenId, TokenStats};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Write;
use unicode_width::UnicodeWidthStr;

pub(super) fn run(args: &CompareArgs) -> Result<()> {
    let inputs: Vec<_> = args.file.as_deref().into_iter().collect();
    let output = Output::check(args, &inputs)?;
    let text = match (&args.text, &args.file) {
        (Some(text), _) => input::typed_text(text, "--text")?,
        (_, Some(path)) => input::text_file(path)?,
        _ => unreachable!("the caller saw one of them"),
    };
    let s = &args.sides;
    let both = s.context.as_deref();
    let contexts = [(both.or(s.context_a.as_deref()), s.chat_a), (both.or(s.context_b.as_deref()), s.chat_b)];
    for ((context, chat), side) in contexts.into_iter().zip(["a", "b"]) {
        if let Some(context) = context {
            input::check_argument(context, "the context")?;
        } else if chat {
            crate::usage::usage!("--chat-{side} needs --context-{side}: it is what the user says");
        }
    }
    terminal::catch_interrupts();
    let load = |name: &str, arithmetic: Option<Arithmetic>| {
        let options = ModelOptions {
            threads: s.threads,
            backend: s.backend.clone(),
            ..ModelOptions::new(name.into(), arithmetic, RemoteOptions::none())
        };
        open::load(&options)
    };
    let a = load(&args.a, s.arithmetic_a)?;
    // Clones share one model, so that nothing is loaded twice.
    let b = match &args.b {
        Some(b) if *b != args.a => load(b, s.arithmetic_b)?,
        _ if s.arithmetic_a != s.arithmetic_b => load(&args.a, s.arithmetic_b)?,
        _ => a.clone(),
    };
    let side = |model, (context, chat): (Option<&str>, bool)| match context {
        None => Side::of_text(model, &text),
        Some(said) if chat => {
            Side::after(model, &Given::Chat(vec![Message::new("user", said)], Default::default()), &text)
        }
        Some(said) => Side::after(model, &said.into(), &text),
    };
    let comparison = compare(&side(&a, contexts[0])?, &side(&b, contexts[1])?)?;
    match &comparison {
        Comparison::Steps { steps, asked } if steps.len() < *asked => {
            message::line(format_args!("interrupted: {} of {} compared", steps.len(), count(*asked, "token")));
        }
        Comparison::Pieces { interrupted: true, .. } => message::line(format_args!("interrupted before the end")),
        _ => {}
    }
    let summary = match &comparison {
        Comparison::Steps { steps, .. } => summarise(steps),
        Comparison::Pieces { .. } => None,
    };
    let found = Texts { models: [&a, &b], comparison, summary };
    report(args, output.as_ref(), &found, || found.text(terminal::style(), args.rows))
}

/// A comparison with what it is of.
struct Texts<'a> {
    models: [&'a Model; 2],
    comparison: Comparison,
    summary: Option<Summary>,
}

impl Found for Texts<'_> {
    /// `{a, b, tokens, summary}` or `{a, b, pieces, bytes, logprob, bits_per_byte}`.
    fn object(&self) -> Value {
        let [a, b] = self.models.map(|m| json!({ "model": m.name(), "engine": m.engine() }));
        match &self.comparison {
            Comparison::Steps { .. } => {
                json!({ "a": a, "b": b, "tokens": self.rows(), "summary": self.summary.as_ref().map(summary_json) })
            }
            Comparison::Pieces { pieces, .. } => {
                let (bytes, logprob, bits) = bits_per_byte(pieces);
                json!({
                    "a": a, "b": b, "pieces": self.rows(), "bytes": bytes, "logprob": logprob, "bits_per_byte": bits
                })
            }
        }
    }

    fn rows(&self) -> Vec<Value> {
        match &self.comparison {
            Comparison::Steps { steps, .. } => steps.iter().map(|s| self.step_json(s)).collect(),
            Comparison::Pieces { pieces, .. } => pieces.iter().map(|p| self.piece_json(p)).collect(),
        }
    }

    fn csv(&self, out: &mut dyn Write) -> std::io::Result<()> {
        match &self.comparison {
            Comparison::Steps { steps, .. } => export::compare::steps(self.models[0], steps).csv(out),
            Comparison::Pieces { pieces, .. } => export::compare::pieces(pieces).csv(out),
        }
    }
}

fn estimate_json(e: Estimate) -> Value {
    json!({ "mean": e.mean, "error": e.error })
}

fn summary_json(s: &Summary) -> Value {
    let spread = |s: &Spread| json!({ "mean": s.mean.mean, "error": s.mean.error, "median": s.median, "p99": s.p99, "p999": s.p999, "max": s.max });
    json!({
        "tokens": s.tokens,
        "logprob": s.logprob,
        "perplexity": s.perplexity.map(estimate_json),
        "perplexity_ratio": estimate_json(s.ratio),
        "kl_ab": spread(&s.kl_ab),
        "kl_ba": spread(&s.kl_ba),
        "js": spread(&s.js),
        "agreement": estimate_json(s.agreement),
        "prob_change": estimate_json(s.change),
        "rms_prob_change": s.rms_change,
        "first_flip": s.first_flip.map(|i| i + 1),
    })
}

impl Texts<'_> {
    fn step_json(&self, s: &ComparedStep) -> Value {
        let mut object = json!(self.models[0].token(s.token[0].id));
        let best = s.best.map(|t| {
            let mut best = json!(self.models[0].token(t.id));
            best["logprob"] = json!(t.logprob);
            best
        });
        object["logprob"] = json!(s.token.map(|t| t.logprob));
        object["change"] = json!(s.change());
        object["rank"] = json!(s.token.map(|t| t.rank));
        object["best"] = json!(best);
        object["entropy"] = json!(s.entropy);
        object["kl_ab"] = json!(s.divergence.kl_ab);
        object["kl_ba"] = json!(s.divergence.kl_ba);
        object["js"] = json!(s.divergence.js);
        object
    }

    fn piece_json(&self, p: &ComparedPiece) -> Value {
        let tokens = |side: usize| -> Vec<Value> {
            let token = |t: &TokenStats| {
                let mut object = json!(self.models[side].token(t.id));
                object["logprob"] = json!(t.logprob);
                object["rank"] = json!(t.rank);
                object
            };
            p.tokens[side].iter().map(token).collect()
        };
        let logprob = p.logprob();
        json!({
            "text": decode([&p.bytes[..]]),
            "logprob": logprob,
            "change": p.change(),
            "tokens_a": tokens(0),
            "tokens_b": tokens(1),
        })
    }

    fn text(&self, style: Style, rows: usize) -> String {
        let mut out = String::new();
        for (letter, model) in ["A", "B"].into_iter().zip(self.models) {
            let text = format!("{letter}  {}, {}: {}", model.name(), model.front(), model.engine());
            let _ = writeln!(out, "{}", shorten(&text, style.width));
        }
        out.push('\n');
        match &self.comparison {
            Comparison::Steps { steps, .. } => {
                self.steps_text(steps, style, rows, &mut out);
                self.summary.iter().for_each(|s| summary_text(s, &mut out));
            }
            Comparison::Pieces { pieces, .. } => pieces_text(pieces, style, rows, &mut out),
        }
        out
    }

    fn steps_text(&self, steps: &[ComparedStep], style: Style, rows: usize, out: &mut String) {
        let apart: Vec<f64> = steps.iter().map(|s| s.divergence.js).collect();
        let places = largest(&apart, rows);
        if places.is_empty() {
            return;
        }
        let word = if style.width < 120 { 12 } else { 18 };
        let head = format!(
            "{:>5}  {:<word$}  {:>9}  {:>9}  {:>9}  {:>13}  {:>9}  most likely",
            "#", "token", "A", "B", "change", "rank A → B", "KL(A|B)"
        );
        let _ = writeln!(out, "{}", style.paint("1", shorten(&head, style.width).trim_end()));
        for &i in &places {
            let s = &steps[i];
            let ranks = format!("{} → {}", s.token[0].rank, s.token[1].rank);
            let best = match s.agrees() {
                true => String::new(),
                false => format!("{} → {}", self.shown(s.best[0].id), self.shown(s.best[1].id)),
            };
            let _ = write!(out, "{:>5}  ", i + 1);
            let text = cell(&self.shown(s.token[0].id), word);
            let row = format!(
                "{}  {:>9}  {:>9}  {}  {ranks:>13}  {:>9}  ",
                text,
                percent(s.token[0].prob()),
                percent(s.token[1].prob()),
                style.paint(colour_of(s.change()), &format!("{:>+9.4}", s.change())),
                small(s.divergence.kl_ab),
            );
            let room = style.width.saturating_sub(word + 70);
            let _ = writeln!(out, "{}", format!("{row}{}", style.paint("35", &shorten(&best, room))).trim_end());
        }
        let which = if places.len() < steps.len() {
            format!("the {} of {} where A and B are furthest apart; ", places.len(), count(steps.len(), "token"))
        } else {
            String::new()
        };
        out.push_str(&terminal::paragraph(&format!("({which}change and KL in nats)")));
        out.push('\n');
    }

    fn shown(&self, id: TokenId) -> String {
        visible(&self.models[0].text(id)).replace(' ', "·")
    }
}

/// ANSI colour of a change in log probability: green if B finds the text clearly more likely, magenta if less.
fn colour_of(change: f64) -> &'static str {
    match change {
        c if c > 0.1 => "32",
        c if c < -0.1 => "35",
        _ => "0",
    }
}

/// A divergence in at most nine columns.
fn small(nats: f64) -> String {
    if nats == 0.0 || nats >= 1e-3 { format!("{nats:.4}") } else { format!("{nats:.1e}") }
}

/// A text in a column of this width.
fn cell(text: &str, width: usize) -> String {
    let text = shorten(text, width);
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

fn summary_text(s: &Summary, out: &mut String) {
    // A single token has no standard error.
    let error = |e: f64| if e.is_finite() { format!(" ± {e:.6}") } else { String::new() };
    let estimate = |e: Estimate| format!("{:.6}{}", e.mean, error(e.error));
    let share = |e: Estimate| {
        let error = if e.error.is_finite() { format!(" ± {:.3}", 100.0 * e.error) } else { String::new() };
        format!("{:.3}{error} %", 100.0 * e.mean)
    };
    let mut row = |name: &str, value: String| {
        let _ = writeln!(out, "{name:<24} {value}");
    };
    row("tokens", s.tokens.to_string());
    row("perplexity A", estimate(s.perplexity[0]));
    row("perplexity B", estimate(s.perplexity[1]));
    row("perplexity B / A", estimate(s.ratio));
    for (name, spread) in [("KL(A|B)", s.kl_ab), ("KL(B|A)", s.kl_ba), ("JS", s.js)] {
        let Spread { mean, median, p99, p999, max } = spread;
        row(&format!("{name} mean, nats"), estimate(mean));
        row("  median, 99 %, 99.9 %", format!("{median:.6}, {p99:.6}, {p999:.6}"));
        row("  largest", format!("{max:.6}"));
    }
    row("same most likely token", share(s.agreement));
    row("Δp mean", share(s.change));
    row("Δp root mean square", format!("{:.3} %", 100.0 * s.rms_change));
    let flip = s.first_flip.map_or("none".into(), |i| format!("token {}", i + 1));
    row("first other most likely", flip);
}

fn pieces_text(pieces: &[ComparedPiece], style: Style, rows: usize, out: &mut String) {
    let note = "A and B have different vocabularies or tokens: they are compared on bytes, between places where a token \
                ends in both.";
    out.push_str(&terminal::paragraph(note));
    let sizes: Vec<f64> = pieces.iter().map(|p| p.change().abs()).collect();
    let places = largest(&sizes, rows);
    let word = (style.width.saturating_sub(60)).clamp(12, 40);
    let head = format!("{:>5}  {:<word$}  {:>9}  {:>9}  {:>9}  tokens A, B", "#", "text", "A", "B", "change");
    let _ = writeln!(out, "\n{}", style.paint("1", shorten(&head, style.width).trim_end()));
    for &i in &places {
        let p = &pieces[i];
        let [a, b] = p.logprob();
        let text = cell(&visible(&decode([&p.bytes[..]])).replace(' ', "·"), word);
        let painted = style.paint(colour_of(p.change()), &format!("{:>+9.4}", p.change()));
        let [tokens_a, tokens_b] = p.tokens.each_ref().map(Vec::len);
        let _ = writeln!(out, "{:>5}  {text}  {a:>9.4}  {b:>9.4}  {painted}  {tokens_a}, {tokens_b}", i + 1);
    }
    let which = if places.len() < pieces.len() {
        format!("the {} of {} that change most; ", places.len(), count(pieces.len(), "piece"))
    } else {
        String::new()
    };
    out.push_str(&terminal::paragraph(&format!("({which}log probabilities in nats)")));
    let (bytes, logprob, bits) = bits_per_byte(pieces);
    out.push('\n');
    for (side, letter) in ["A", "B"].into_iter().enumerate() {
        let tokens = totals(pieces.iter().flat_map(|p| &p.tokens[side]).map(|t| t.logprob)).tokens;
        let text = format!(
            "{letter}  {}, {}, {:.4} nats, {:.4} bits per byte",
            count(bytes, "byte"),
            count(tokens, "token"),
            logprob[side],
            bits[side]
        );
        out.push_str(&terminal::paragraph(&text));
    }
}
