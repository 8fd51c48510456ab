//! A run file as tables and as the notebook's tree.
//!
//!     cargo run --release -p logitree --example export -- RUN.run.jsonl FOLDER

use logitree::export::{self, Format};
use logitree::{Context, Result, import};
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;

fn main() -> Result<()> {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let file = args.next().context("name a run file")?;
    let folder = args.next().unwrap_or(".".into());
    let (run, notes) = import::open_run(&file)?;
    for note in notes {
        eprintln!("note: {note}");
    }
    for (ending, format) in [("csv", Format::Csv), ("json", Format::TreeJson), ("dot", Format::Dot)] {
        let path = folder.join(format!("tree.{ending}"));
        let mut out = BufWriter::new(File::create(&path)?);
        export::export(&run, format, true, &mut out)?;
        println!("{}: {} nodes", path.display(), run.tree.len());
    }
    Ok(())
}
