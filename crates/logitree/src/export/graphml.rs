//! Writes a tree as GraphML, for tools that work on graphs: every node with its numbers, an edge from each parent to
//! each child. <http://graphml.graphdrawing.org>

use crate::visible::visible;
use logitree_core::run::Run;
use logitree_core::{NodeId, token};
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};
use std::io::{self, Write};

/// What a node has: name, type, and how it is found. Absent values are left out.
type Column = (&'static str, &'static str, fn(&Run, NodeId) -> Option<String>);

const NODE: [Column; 9] = [
    ("label", "string", |run, n| Some(label(run, n))),
    ("token_id", "int", |run, n| Some(run.tree.token(n)?.0.to_string())),
    ("depth", "int", |run, n| Some(run.tree.depth(n).to_string())),
    ("logprob", "double", |run, n| Some(run.tree.logprob(n).to_string())),
    ("prob", "double", |run, n| Some(run.tree.logprob(n).exp().to_string())),
    ("path_logprob", "double", |run, n| Some(run.tree.path_logprob(n).to_string())),
    ("path_prob", "double", |run, n| Some(run.tree.mass(n).to_string())),
    ("entropy", "double", |run, n| Some(run.tree.expansion(n)?.entropy.to_string())),
    ("state", "string", |run, n| Some(run.tree.stop(n).map_or("expanded", |s| s.name()).into())),
];

/// The token's text, or the prompt's. XML has no way to write control characters, so that they become signs.
fn label(run: &Run, n: NodeId) -> String {
    let text = match run.tree.token(n) {
        Some(t) => token::decode(std::iter::once(run.bytes(t))),
        None => run.header.prompt.text.clone(),
    };
    visible(&text).replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}

/// Writes the tree as a directed graph. `prob` of a node is also the `weight` of the edge to it.
///
/// # Errors
/// If the output cannot be written.
pub fn write(run: &Run, out: &mut dyn Write) -> io::Result<()> {
    let mut xml = Writer::new_with_indent(&mut *out, b' ', 1);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let graphml = BytesStart::new("graphml").with_attributes([("xmlns", "http://graphml.graphdrawing.org/xmlns")]);
    xml.write_event(Event::Start(graphml))?;
    let keys = NODE.iter().map(|&(name, kind, _)| (name, "node", kind)).chain([("weight", "edge", "double")]);
    for (name, of, kind) in keys {
        let key = [("id", name), ("for", of), ("attr.name", name), ("attr.type", kind)];
        xml.create_element("key").with_attributes(key).write_empty()?;
    }
    xml.write_event(Event::Start(
        BytesStart::new("graph").with_attributes([("id", "tree"), ("edgedefault", "directed")]),
    ))?;
    for n in run.tree.nodes() {
        let id = format!("n{}", n.0);
        xml.create_element("node").with_attribute(("id", id.as_str())).write_inner_content(|xml| {
            for (name, _, value) in NODE {
                let Some(value) = value(run, n) else { continue };
                data(xml, name, &value)?;
            }
            Ok(())
        })?;
    }
    for n in run.tree.nodes() {
        let Some(parent) = run.tree.parent(n) else { continue };
        let [source, target] = [parent, n].map(|n| format!("n{}", n.0));
        let ends = [("source", source.as_str()), ("target", target.as_str())];
        xml.create_element("edge")
            .with_attributes(ends)
            .write_inner_content(|xml| data(xml, "weight", &run.tree.logprob(n).exp().to_string()))?;
    }
    for name in ["graph", "graphml"] {
        xml.write_event(Event::End(BytesEnd::new(name)))?;
    }
    writeln!(xml.into_inner())
}

fn data(xml: &mut Writer<&mut dyn Write>, key: &str, value: &str) -> io::Result<()> {
    // Space at the ends of a label is part of its token: without this, some readers would drop it.
    let space = (value.trim() != value).then_some(("xml:space", "preserve"));
    let data = xml.create_element("data").with_attribute(("key", key)).with_attributes(space);
    data.write_text_content(BytesText::new(value)).map(|_| ())
}
