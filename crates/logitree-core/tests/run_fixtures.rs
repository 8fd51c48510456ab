//! Small run files, good and bad, that the web app's reader reads too (web/tests/run-fixtures.test.ts).

use logitree_core::Stop;
use logitree_core::run::{ReadError, Run, RunReader};
use serde_json::{Value, json};
use std::path::Path;

fn read(file: &[u8]) -> Result<Run, ReadError> {
    let mut reader = RunReader::default();
    let whole = file.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
    file[..whole].split_inclusive(|&b| b == b'\n').try_for_each(|line| reader.feed(line))?;
    reader.finish(whole < file.len())
}

#[test]
fn each_is_read_or_refused_as_it_says_beside_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/runs");
    let expected = std::fs::read(folder.join("expected.json")).unwrap();
    let expected: serde_json::Map<String, Value> = serde_json::from_slice(&expected).unwrap();
    assert!(expected.len() > 15);
    for (name, wanted) in expected {
        let file = std::fs::read(folder.join(format!("{name}.run.jsonl"))).unwrap();
        match read(&file) {
            Ok(run) => {
                let t = &run.tree;
                let by_user: Vec<u32> = t.nodes().filter(|&n| t.by_user(n)).map(|n| n.0).collect();
                let completed = t.nodes().filter(|&n| t.stop(n) == Some(Stop::EndToken)).count();
                let mut read = json!({ "nodes": t.len(), "by_user": by_user, "completed": completed });
                if run.header.model.orders() != [1] {
                    read["orders"] = json!(run.header.model.orders());
                }
                assert_eq!(read, wanted, "{name}");
            }
            Err(e) => {
                let line = wanted.get("line").unwrap_or_else(|| panic!("{name}: {e}"));
                // The readers notice at an `expand` or at its last node what is wrong with the two.
                assert!(line.is_null() || *line == e.line, "{name}: {e}");
            }
        }
    }
}
