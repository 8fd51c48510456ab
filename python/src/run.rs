//! Runs: trees with everything about how they came to be.

use crate::call::Call;
use crate::error;
use crate::table::Table;
use crate::vector::Vector;
use logitree::export::text::{Style, summary};
use logitree::export::{self, Format, nodes, terminal_tree};
use logitree::import::{self, Document, Import};
use logitree::output::{Form, Target};
use logitree::{Error, ErrorKind};
use logitree_core::NodeId;
use logitree_core::run::write_run;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use serde_json::json;
use std::path::{Path, PathBuf};

/// A run.
#[pyclass(frozen, module = "logitree._logitree")]
pub struct Run {
    /// The run.
    pub run: logitree_core::run::Run,
}

impl From<logitree_core::run::Run> for Run {
    fn from(run: logitree_core::run::Run) -> Run {
        Run { run }
    }
}

/// A record's prompt, response and logprobs.
type Records = Vec<(String, String, Vec<f64>)>;

/// What a file holds: a run, or records; and what was odd about it, in sentences.
#[pyfunction]
pub fn read(
    py: Python<'_>,
    path: Option<PathBuf>,
    bytes: Option<&[u8]>,
) -> PyResult<(Option<Run>, Records, Vec<String>)> {
    let Import { document, mut notes } = Call::new(None).whole(py, || match (&path, bytes) {
        (Some(path), _) => import::open(path),
        (None, bytes) => import::read(bytes.unwrap_or_default()),
    })?;
    Ok(match document {
        Document::Run(run) => (Some((*run).into()), Vec::new(), notes),
        Document::Logprobs(records, bad) => {
            notes.extend(bad.messages());
            (None, records.into_iter().map(|r| (r.prompt, r.response, r.data)).collect(), notes)
        }
    })
}

impl Run {
    /// A node of the run, by its number.
    pub fn node_of(&self, py: Python<'_>, node: u32) -> PyResult<NodeId> {
        if (node as usize) < self.run.tree.len() {
            return Ok(NodeId(node));
        }
        let message = format!("there is no node {node}: the run has {}", self.run.tree.len());
        Err(error::exception(py, &Error::new(ErrorKind::Parameter("node"), message)))
    }

    fn lines(&self) -> logitree::Result<Vec<u8>> {
        let mut lines = Vec::new();
        write_run(&self.run, &mut lines)?;
        Ok(lines)
    }

    /// A format by its name.
    fn format(py: Python<'_>, name: &str) -> PyResult<Format> {
        let known = Format::ALL.iter().find(|(n, _)| *n == name).map(|(_, f)| *f);
        known.ok_or_else(|| {
            let names: Vec<&str> = Format::ALL.iter().map(|(n, _)| *n).collect();
            error::parameter(py, "format", format!("`format` {name:?}: there are {}", names.join(", ")))
        })
    }

    fn write(
        &self,
        py: Python<'_>,
        path: &Path,
        force: bool,
        form: Form,
        fill: impl FnOnce(&mut (dyn std::io::Write + Send)) -> logitree::Result<()> + Send,
    ) -> PyResult<()> {
        Call::new(None).whole(py, || Target::check(path, force, &[])?.write(form, fill))
    }
}

#[pymethods]
impl Run {
    fn __len__(&self) -> usize {
        self.run.tree.len()
    }

    /// The header, as JSON.
    fn header(&self) -> String {
        json!(self.run.header).to_string()
    }

    /// The closing line, as JSON, if the run has one.
    fn end(&self) -> Option<String> {
        self.run.end.as_ref().map(|end| json!(end).to_string())
    }

    /// Probability that is finished, open, and cut.
    fn mass(&self) -> (f64, f64, f64) {
        let mass = self.run.tree.accounting();
        (mass.finished, mass.frontier, mass.pruned)
    }

    /// The run file's content.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let lines = Call::new(None).whole(py, || self.lines())?;
        Ok(PyBytes::new(py, &lines))
    }

    /// Writes the run file.
    fn save(&self, py: Python<'_>, path: PathBuf, force: bool) -> PyResult<()> {
        self.write(py, &path, force, Form::Text, |out| Ok(write_run(&self.run, out)?))
    }

    /// The run in another format.
    fn export<'py>(&self, py: Python<'py>, format: &str, full_text: bool) -> PyResult<Bound<'py, PyBytes>> {
        let format = Run::format(py, format)?;
        let made = Call::new(None).whole(py, || {
            let mut made = Vec::new();
            export::export(&self.run, format, full_text, &mut made)?;
            Ok(made)
        })?;
        Ok(PyBytes::new(py, &made))
    }

    /// Writes the run in another format.
    fn export_to(&self, py: Python<'_>, format: &str, path: PathBuf, full_text: bool, force: bool) -> PyResult<()> {
        let format = Run::format(py, format)?;
        self.write(py, &path, force, format.form(), |out| export::export(&self.run, format, full_text, out))
    }

    /// The run with the web app as one HTML page.
    fn report(&self, py: Python<'_>) -> PyResult<String> {
        Call::new(None).whole(py, || logitree_server::report::html(&self.run))
    }

    /// Writes the page.
    fn report_to(&self, py: Python<'_>, path: PathBuf, force: bool) -> PyResult<()> {
        self.write(py, &path, force, Form::Table, |out| {
            Ok(out.write_all(logitree_server::report::html(&self.run)?.as_bytes())?)
        })
    }

    /// The tree and the summary, drawn for a terminal.
    fn drawn(&self, py: Python<'_>, paths: usize, width: usize) -> String {
        let style = || Style { width, colour: false };
        py.detach(|| {
            let min_mass = terminal_tree::readable(&self.run.tree, None);
            let view = terminal_tree::View { depth: None, min_mass };
            terminal_tree::draw(&self.run, view, style()) + &summary(&self.run, paths, style())
        })
    }

    /// One row per node.
    fn table(&self, py: Python<'_>) -> PyResult<Table> {
        Ok(Call::new(None).whole(py, || nodes::table(&self.run).batch())?.into())
    }

    /// Nodes by column: parents (the root is its own), tokens' bytes, logprobs, path logprobs, why they are leaves.
    fn nodes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let tree = &self.run.tree;
        let columns = PyDict::new(py);
        let parent = |n| tree.parent(n).unwrap_or(n).0;
        columns.set_item("parent", Vector::from(tree.nodes().map(parent).collect::<Vec<_>>()))?;
        columns
            .set_item("path_logprob", Vector::from(tree.nodes().map(|n| tree.path_logprob(n)).collect::<Vec<_>>()))?;
        columns.set_item("logprob", Vector::from(tree.nodes().map(|n| tree.logprob(n)).collect::<Vec<_>>()))?;
        let bytes = tree.nodes().map(|n| PyBytes::new(py, tree.token(n).map_or(&[][..], |t| self.run.bytes(t))));
        columns.set_item("bytes", PyList::new(py, bytes.collect::<Vec<_>>())?)?;
        columns.set_item("stop", tree.nodes().map(|n| tree.stop(n).map(|s| s.name())).collect::<Vec<_>>())?;
        Ok(columns)
    }

    /// Everything about a node, as JSON.
    fn node(&self, py: Python<'_>, node: u32) -> PyResult<String> {
        let n = self.node_of(py, node)?;
        let (run, tree) = (&self.run, &self.run.tree);
        let token = |id| String::from_utf8_lossy(run.bytes(id)).into_owned();
        let e = tree.expansion(n);
        let top = |e: &logitree_core::tree::Expansion| -> Vec<_> {
            e.top.iter().map(|t| json!({ "id": t.id, "text": token(t.id), "logprob": t.logprob })).collect()
        };
        let object = json!({
            "node": n,
            "parent": tree.parent(n),
            "depth": tree.depth(n),
            "token_id": tree.token(n),
            "text": tree.token(n).map(token),
            "logprob": tree.logprob(n),
            "path_logprob": tree.path_logprob(n),
            "stop": tree.stop(n).map(|s| s.name()),
            "children": tree.children(n),
            "entropy": e.map(|e| e.entropy),
            "varentropy": e.map(|e| e.varentropy),
            "threshold": e.and_then(|e| e.threshold),
            "queue": e.map(|e| e.queue),
            "top": e.map(top).unwrap_or_default(),
        });
        Ok(object.to_string())
    }

    /// The most likely leaves: node, text of the path, logprob, depth, and why it is a leaf.
    fn paths(&self, most: usize) -> Vec<(u32, String, f64, usize, Option<&'static str>)> {
        let tree = &self.run.tree;
        let leaves = tree.ranked_leaves().into_iter().take(most);
        let path =
            |n: NodeId| (n.0, self.run.text(n), tree.path_logprob(n), tree.depth(n), tree.stop(n).map(|s| s.name()));
        leaves.map(path).collect()
    }

    /// Whether two runs say the same.
    fn same(&self, py: Python<'_>, other: &Run) -> PyResult<bool> {
        Call::new(None).whole(py, || Ok(self.lines()? == other.lines()?))
    }

    /// Token ids from the root to a node.
    fn path(&self, py: Python<'_>, node: u32) -> PyResult<Vec<u32>> {
        let n = self.node_of(py, node)?;
        Ok(self.run.tree.path(n).into_iter().map(|t| t.0).collect())
    }
}
