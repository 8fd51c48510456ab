//! `logitree layers`: looks into the model at nodes of a stored run.

use super::layers::{self, json, table};
use crate::options::{Format, MadeOptions, RemoteOptions};
use crate::{message, open, terminal};
use anyhow::{Result, bail};
use clap::Args;
use logitree::export::layers::Place;
use logitree::export::text::{Style, shorten};
use logitree::output::Form;
use logitree::visible::visible;
use logitree::{Model, check_verifiable, export, import};
use logitree_core::NodeId;
use logitree_core::layers::LayerDistributions;
use logitree_core::run::{REMOTE, Run};
use serde_json::json;
use std::fmt::Write;
use std::path::PathBuf;

const EXAMPLES: &str = "Examples:
  logitree layers the-capital-of-india-is.run.jsonl
  logitree layers the-capital-of-india-is.run.jsonl --node 0
  logitree layers run.jsonl --node 0 --node 7 --watch \" Delhi\" -o layers.csv

Without --node, the layer that decides at each token of the most likely path, with the nodes after which they come. With \
--node, what each layer would have predicted after it: the most likely token there, the runner-up, those that the tree \
goes on with, and watched strings.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct LayersArgs {
    /// A run file; `-` is standard input
    pub file: PathBuf,
    /// Look after this node (0 is the prompt; `logitree export --to csv` has all); may be given several times [default:
    /// those of the most likely path]
    #[arg(long = "node", value_name = "NODE")]
    pub nodes: Vec<u32>,
    /// Also show the first token of this string; may be given several times
    #[arg(long, value_name = "TEXT")]
    pub watch: Vec<String>,
    /// A .csv file to write: a row per node, token and layer; `-` prints it
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Overwrite an existing file
    #[arg(long, requires = "output")]
    pub force: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    #[command(flatten)]
    pub made: MadeOptions,
}

pub fn run(args: LayersArgs) -> Result<()> {
    let output = args.output.as_deref().map(|path| layers::output(path, args.force, &[&args.file])).transpose()?;
    let run = open::run_file(&args.file)?;
    let what = import::named(&args.file);
    check_verifiable(&what, &run)?;
    if run.header.model.architecture == REMOTE {
        bail!("{what} was made with servers, which tell only what their model's last layer predicts");
    }
    let nodes = nodes(&args, &run);
    if let Some(n) = nodes.iter().find(|n| n.index() >= run.tree.len()) {
        bail!("{what} has no node {}: its nodes are 0 to {}", n.0, run.tree.len() - 1);
    }
    terminal::catch_interrupts();
    let model = open::made(&what, &run.header.model, &args.made, &RemoteOptions::none())?;
    let watch = model.watch(&args.watch)?;
    let found = model.layers_in(&what, &run, &nodes, &watch)?;
    if found.len() < nodes.len() {
        message::line(format_args!("interrupted: layers of {} of {} nodes", found.len(), nodes.len()));
    }
    let looked = Looked { run: &run, model: &model, nodes: &nodes, found: &found };
    if let Some(target) = &output {
        let name = |(n, found)| Place { name: format!("{}", NodeId::index(n)), found };
        let places: Vec<Place<'_>> = nodes.iter().copied().zip(&found).map(name).collect();
        target.write(Form::Table, |out| Ok(export::layers::table(&model, &places).csv(out)?))?;
        if target.is_stdout() {
            return Ok(());
        }
    }
    terminal::print(&match args.format {
        Format::Json => looked.json(),
        Format::Text if args.nodes.is_empty() => looked.path(terminal::style()),
        Format::Text => looked.tables(terminal::style()),
    })
}

/// The nodes to look after: those that are asked for, or the most likely path's but its last, after which the tree has
/// nothing.
fn nodes(args: &LayersArgs, run: &Run) -> Vec<NodeId> {
    if !args.nodes.is_empty() {
        let mut nodes: Vec<NodeId> = Vec::new();
        for n in args.nodes.iter().map(|&n| NodeId(n)) {
            if !nodes.contains(&n) {
                nodes.push(n);
            }
        }
        return nodes;
    }
    let leaf = run.paths().next().map_or(NodeId::ROOT, |path| path.node);
    let mut nodes: Vec<NodeId> = std::iter::successors(run.tree.parent(leaf), |&n| run.tree.parent(n)).collect();
    nodes.reverse();
    if nodes.is_empty() { vec![NodeId::ROOT] } else { nodes }
}

/// What was found after nodes of a run.
struct Looked<'a> {
    run: &'a Run,
    model: &'a Model,
    nodes: &'a [NodeId],
    found: &'a [LayerDistributions],
}

impl Looked<'_> {
    fn each(&self) -> impl Iterator<Item = (NodeId, &LayerDistributions)> {
        self.nodes.iter().copied().zip(self.found)
    }

    fn json(&self) -> String {
        let node = |(n, found): (NodeId, &LayerDistributions)| json!({ "node": n, "text": self.run.text(n), "prob": self.run.tree.mass(n), "layers": json(self.model, found) });
        let object = json!({
            "prompt": self.run.header.prompt.text,
            "nodes": self.each().map(node).collect::<Vec<_>>(),
            "model": self.model.name(),
            "engine": self.model.engine(),
        });
        format!("{object:#}\n")
    }

    /// A row per node of a path with the token that comes after it there.
    fn path(&self, style: Style) -> String {
        // The last token of the path is after its last node; a tree that is only its root has none.
        let tree = &self.run.tree;
        let leaf = self.run.paths().next().map_or(NodeId::ROOT, |path| path.node);
        let tokens = tree.path(leaf);
        if tokens.is_empty() {
            return self.tables(style);
        }
        let row = |((n, found), &token): ((NodeId, _), _)| (n.0.to_string(), token, found);
        let places: Vec<_> = self.each().zip(&tokens).map(row).collect();
        let mut out = format!("{}\n\n", self.title(leaf, style));
        out.push_str(&layers::places_table(self.model, "after node", &places, style));
        out + "\n" + &self.foot()
    }

    fn tables(&self, style: Style) -> String {
        let mut out = String::new();
        for (n, found) in self.each() {
            let title = format!("after node {}: {}", n.0, self.title(n, style));
            let _ = writeln!(out, "{}\n", style.paint("1", &shorten(&title, style.width)));
            let _ = writeln!(out, "{}", table(self.model, found, style));
        }
        out + &self.foot()
    }

    /// The prompt and the path to a node, on one line.
    fn title(&self, n: NodeId, style: Style) -> String {
        shorten(&visible(&format!("{}{}", self.run.header.prompt.text, self.run.text(n))), style.width)
    }

    fn foot(&self) -> String {
        terminal::paragraph(&format!("{}, {}", self.model.name(), self.model.front()))
    }
}
