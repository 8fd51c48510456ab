//! What could a model have said, and how likely was each of it?
//!
//!     cargo run --release -p logitree --example explore ["PROMPT" [MODEL]]

use logitree::core::explore::{BeamParameters, BestFirstParameters, Strategy};
use logitree::{Model, Result};
use std::time::Duration;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let text = args.next().unwrap_or("The capital of India is".into());
    // A known model is fetched if it is not here; a path to a GGUF file or a folder does as well.
    let model = Model::open(&args.next().unwrap_or("gemma-3-270m".into()))?;
    let prompt = model.prompt(&text)?;

    // The most likely continuations of up to 8 tokens, for half a second.
    let strategy = Strategy::BestFirst(BestFirstParameters { max_depth: 8, ..Default::default() });
    let run = model.explore(&prompt, strategy).watch(&[" New", " the"]).max_time(Duration::from_millis(500)).run()?;
    for path in run.paths().take(10) {
        println!("{:8.4} %  {:?}", 100.0 * path.probability(), path.text());
    }
    // Every bit of probability is somewhere: in finished paths, in open ones, or in what was not followed.
    let mass = run.tree.accounting();
    assert!((mass.finished + mass.frontier + mass.pruned - 1.0).abs() < 1e-9);

    // The same level by level, and then on from a node of our own choice.
    let mut exploration = model.explore(&prompt, Strategy::named("dynamic")?).max_nodes(50).start()?;
    while let Some(level) = exploration.next_level()? {
        println!("{} nodes, {:.0} steps/s", exploration.tree().len(), level.steps_rate);
    }
    let likeliest = exploration.tree().ranked_leaves()[0];
    exploration.expand(likeliest, Strategy::Beam(BeamParameters { width: 2, max_depth: 3, ..Default::default() }))?;
    println!("{} nodes after going on by hand", exploration.finish()?.run.tree.len());
    Ok(())
}
