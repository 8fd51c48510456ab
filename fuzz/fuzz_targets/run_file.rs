//! Any bytes as a run file: what reads must account for all its mass.
#![no_main]

use libfuzzer_sys::fuzz_target;
use logitree_core::run::RunReader;

fuzz_target!(|data: &[u8]| {
    let mut reader = RunReader::default();
    let mut torn = false;
    for line in data.split_inclusive(|&b| b == b'\n') {
        if !line.ends_with(b"\n") {
            torn = true;
        } else if reader.feed(line).is_err() {
            return;
        }
    }
    if let Ok(run) = reader.finish(torn) {
        assert!(run.valid_bytes <= data.len() as u64);
        assert!((run.tree.accounting().total() - 1.0).abs() < 1e-6 * run.tree.len() as f64);
        for n in run.tree.ranked_leaves() {
            let _ = run.text(n);
        }
    }
});
