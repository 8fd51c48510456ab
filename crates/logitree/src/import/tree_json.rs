//! Reads the notebook's nested tree as a run.
//!
//! The file is read as a stream, with an explicit stack instead of recursion: real files nest thousands of levels
//! deep, and hostile ones may nest even deeper.

use super::jsonl::ROUNDED;
use crate::error::{Context, Result, fail, invalid};
use logitree_core::run::{FORMAT, Header, Model, Prompt, Run, VERSION};
use logitree_core::{Bounds, Distribution, Exactness, NodeId, Stop, TokenId, TokenStats, Tree};
use serde_json::{Map, Value};
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::io::Read;
use struson::reader::{JsonReader, JsonStreamReader, ReaderSettings, ValueType};

/// A node as it is written in the file.
#[derive(Default)]
struct Raw {
    text: String,
    prob: Option<f64>,
    token_id: Option<u32>,
    finished: bool,
    candidates: Vec<(String, f64, u32)>,
    children: Vec<usize>,
}

type Json<R> = JsonStreamReader<R>;

/// The notebook rounds probabilities to six digits, so 0 in the file means less than this. It is read as this value.
const LEAST: f64 = 5e-7;

/// Texts of tokens that end a path. The notebook may stop before it marks such a token as one.
const END_TEXTS: [&str; 2] = ["<end_of_turn>", "<eos>"];

/// Largest number of nodes of a tree, and of its parameters: in memory they are larger than in the file.
const MOST_NODES: usize = 1 << 20;
const MOST_PARAMETERS: usize = 1000;

/// Reads a tree. `notes` gets a sentence for every value that was read differently from how it is written.
///
/// # Errors
/// If the file cannot be read, or is not such a tree; the message has the place and the reason.
pub fn read(file: impl Read, notes: &mut Vec<String>) -> Result<Run> {
    let settings = ReaderSettings { max_nesting_depth: None, track_path: false, ..Default::default() };
    let mut json = JsonStreamReader::new_custom(file, settings);
    let (mut prompt, mut parameters, mut nodes) = (None, Map::new(), None);
    json.begin_object()?;
    while json.has_next()? {
        match json.next_name_owned()?.as_str() {
            "metadata" => {
                json.begin_object().context("`metadata`")?;
                while json.has_next()? {
                    match json.next_name_owned()?.as_str() {
                        "prompt" => prompt = Some(json.next_string().context("`metadata.prompt`")?),
                        "parameters" => parameters = flat_object(&mut json).context("`metadata.parameters`")?,
                        _ => json.skip_value()?,
                    }
                }
                json.end_object()?;
            }
            "tree" => nodes = Some(read_nodes(&mut json)?),
            _ => json.skip_value()?,
        }
    }
    json.end_object()?;
    json.consume_trailing_whitespace()?;
    let nodes = nodes.context("`tree` is missing")?;
    let prompt = prompt.unwrap_or_else(|| nodes[0].text.clone());
    build(prompt, parameters, nodes, notes)
}

/// Reads an object whose values are not nested.
fn flat_object<R: Read>(json: &mut Json<R>) -> Result<Map<String, Value>> {
    let mut map = Map::new();
    json.begin_object()?;
    while json.has_next()? {
        let name = json.next_name_owned()?;
        let value = match json.peek()? {
            ValueType::Number => serde_json::from_str(json.next_number_as_str()?)?,
            ValueType::String => Value::String(json.next_string()?),
            ValueType::Boolean => Value::Bool(json.next_bool()?),
            ValueType::Null => {
                json.next_null()?;
                Value::Null
            }
            _ => fail!(Input, "`{name}` is not a plain value"),
        };
        map.insert(name, value);
        if map.len() > MOST_PARAMETERS {
            fail!(Input, "more than {MOST_PARAMETERS} entries");
        }
    }
    json.end_object()?;
    Ok(map)
}

fn number<R: Read>(json: &mut Json<R>) -> Result<f64> {
    let text = json.next_number_as_str()?;
    text.parse().map_err(|_| invalid!("{text} is not a number"))
}

fn id<R: Read>(json: &mut Json<R>) -> Result<u32> {
    let text = json.next_number_as_str()?;
    text.parse().map_err(|_| invalid!("{text} is not a token id"))
}

/// Reads all nodes. Each comes after its parent; the first is the root.
fn read_nodes<R: Read>(json: &mut Json<R>) -> Result<Vec<Raw>> {
    let mut nodes = vec![Raw::default()];
    // The nodes whose object is open, outermost first, and whether the reader is inside their `children`.
    let mut open: Vec<(usize, bool)> = vec![(0, false)];
    json.begin_object().context("`tree`")?;
    while let Some(&mut (n, ref mut in_children)) = open.last_mut() {
        if *in_children {
            if json.has_next()? {
                let child = nodes.len();
                if child == MOST_NODES {
                    fail!(
                        Input,
                        "the tree has more than {MOST_NODES} nodes, the limit of tree JSON; run files have none"
                    );
                }
                nodes[n].children.push(child);
                nodes.push(Raw::default());
                open.push((child, false));
                json.begin_object().with_context(|| format!("child of node {n}"))?;
            } else {
                json.end_array()?;
                *in_children = false;
            }
            continue;
        }
        if !json.has_next()? {
            json.end_object()?;
            if nodes[n].prob.is_none() {
                fail!(Input, "node {n}: `prob` is missing");
            }
            open.pop();
            continue;
        }
        let name = json.next_name_owned()?;
        let mut field = || -> Result<()> {
            match name.as_str() {
                "text" => nodes[n].text = json.next_string()?,
                "prob" => nodes[n].prob = Some(number(json)?),
                "token_id" if json.peek()? == ValueType::Null => json.next_null()?,
                "token_id" => nodes[n].token_id = Some(id(json)?),
                "is_finished" => nodes[n].finished = json.next_bool()?,
                "candidates" => nodes[n].candidates = candidates(json)?,
                "children" => {
                    json.begin_array()?;
                    *in_children = true;
                }
                _ => json.skip_value()?,
            }
            Ok(())
        };
        field().with_context(|| format!("node {n}: `{name}`"))?;
    }
    Ok(nodes)
}

fn candidates<R: Read>(json: &mut Json<R>) -> Result<Vec<(String, f64, u32)>> {
    let mut list = Vec::new();
    json.begin_array()?;
    while json.has_next()? {
        let (mut text, mut prob, mut token) = (String::new(), None, None);
        json.begin_object()?;
        while json.has_next()? {
            match json.next_name_owned()?.as_str() {
                "text" => text = json.next_string()?,
                "prob" => prob = Some(number(json)?),
                "token_id" => token = Some(id(json)?),
                _ => json.skip_value()?,
            }
        }
        json.end_object()?;
        list.push((text, prob.context("`prob` is missing")?, token.context("`token_id` is missing")?));
    }
    json.end_array()?;
    Ok(list)
}

fn logprob(prob: f64, what: &str) -> Result<f64> {
    if !(0.0..=1.0 + 1e-6).contains(&prob) {
        fail!(Input, "{what}: `prob` is {prob}, not a probability");
    }
    Ok(prob.clamp(LEAST, 1.0).ln())
}

/// Refuses a list with the same token twice, or with a sum of probabilities that rounding to bf16 does not explain.
/// Returns the sum.
fn check_list(list: &[TokenStats], what: impl Fn() -> String) -> Result<f64> {
    let mut tokens = HashSet::with_capacity(list.len());
    if let Some(twice) = list.iter().find(|t| !tokens.insert(t.id)) {
        fail!(Input, "{}: token {} comes twice", what(), twice.id);
    }
    let together = list.iter().map(TokenStats::prob).sum();
    if together > 1.0 + ROUNDED {
        fail!(Input, "{}: they have a probability of {together:.3} together", what());
    }
    Ok(together)
}

/// If the children's probabilities sum to more than 1, as rounding can cause, scales them down to 1. Returns the old
/// sum.
pub(super) fn scale(children: &mut [TokenStats], together: f64) -> Option<f64> {
    // Run files allow a small excess, from rounding to six digits.
    if together <= 1.0 + 1e-6 * (1 + children.len()) as f64 {
        return None;
    }
    children.iter_mut().for_each(|c| c.logprob -= together.ln());
    Some(together)
}

/// The tokens that end every path: those that the notebook marked as an end or whose text is known as one, and after
/// which no path continued.
fn end_tokens(nodes: &[Raw]) -> Vec<TokenId> {
    let ends = |n: &&Raw| n.finished || END_TEXTS.contains(&n.text.as_str());
    let mut ids: BTreeSet<u32> = nodes.iter().skip(1).filter(ends).filter_map(|n| n.token_id).collect();
    for gone_on in nodes.iter().filter(|n| !n.children.is_empty()).filter_map(|n| n.token_id) {
        ids.remove(&gone_on);
    }
    ids.into_iter().map(TokenId).collect()
}

fn build(prompt: String, parameters: Map<String, Value>, nodes: Vec<Raw>, notes: &mut Vec<String>) -> Result<Run> {
    let mut scaled: Vec<f64> = Vec::new();
    let max_depth = parameters.get("max_depth").and_then(Value::as_u64).unwrap_or(u64::MAX);
    let end_tokens = end_tokens(&nodes);
    let mut tree = Tree::new(Bounds { end_tokens: end_tokens.clone(), ..Bounds::default() });
    let mut texts: HashMap<TokenId, Box<[u8]>> = HashMap::new();
    // Level by level, which is the order in which the notebook made the nodes.
    let mut queue: VecDeque<(usize, NodeId)> = VecDeque::from([(0, NodeId::ROOT)]);
    while let Some((raw, n)) = queue.pop_front() {
        let node = &nodes[raw];
        if let Some(id) = node.token_id {
            texts.entry(TokenId(id)).or_insert_with(|| node.text.as_bytes().into());
        }
        if node.finished && node.children.is_empty() {
            tree.stop_node(n, Stop::EndToken);
        } else if !node.children.is_empty() {
            let mut top = Vec::with_capacity(node.candidates.len());
            for (rank, (text, prob, id)) in (1..).zip(&node.candidates) {
                texts.entry(TokenId(*id)).or_insert_with(|| text.as_bytes().into());
                top.push(TokenStats { id: TokenId(*id), logprob: logprob(*prob, "a candidate")?, rank });
            }
            let mut children = Vec::with_capacity(node.children.len());
            for &child in &node.children {
                let c = &nodes[child];
                let id = c.token_id.with_context(|| format!("node {child}: `token_id` is missing"))?;
                let logprob = logprob(c.prob.unwrap_or(0.0), &format!("node {child}"))?;
                children.push(TokenStats { id: TokenId(id), logprob, rank: 0 });
            }
            check_list(&top, || format!("node {raw}: `candidates`"))?;
            let together = check_list(&children, || format!("node {raw}: `children`"))?;
            scaled.extend(scale(&mut children, together));
            // The notebook kept no entropy, so the list gives only a lower bound.
            let distribution = Distribution::of_list(top, Exactness::LowerBound);
            let made = tree.expand(n, distribution, &children, None, 0).children.clone();
            queue.extend(node.children.iter().copied().zip(made));
        } else if tree.depth(n) as u64 >= max_depth {
            tree.stop_node(n, Stop::MaxDepth);
        }
    }
    if let Some(most) = scaled.iter().copied().reduce(f64::max) {
        notes.push(format!(
            "the children of {} nodes have more than all probability, up to {most:.4}, as rounding gives: they are scaled to 1",
            scaled.len()
        ));
    }
    let header = Header {
        format: FORMAT.into(),
        version: VERSION,
        logitree: env!("CARGO_PKG_VERSION").into(),
        created: String::new(),
        model: Model { name: "(not recorded)".into(), end_tokens, ..Default::default() },
        engine: "imported from tree JSON, rounded".into(),
        prompt: Prompt { text: prompt, ..Default::default() },
        strategy: "dynamic".into(),
        parameters,
        limits: Map::new(),
        store_top: None,
        hash_logits: false,
        watch: Vec::new(),
    };
    let end = logitree_core::run::end_event(&tree, logitree_core::run::EndReason::Finished, 0.0);
    Ok(Run { header, tree, end: Some(end), texts, seconds: 0.0, valid_bytes: 0, torn: false })
}
