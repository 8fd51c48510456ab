//! Runs that end where nobody wanted it: killed at any moment, or on a full disk. Whatever was written is kept, and going
//! on gives the same bytes as a run that was left alone, for every strategy.

#![cfg(unix)]

mod common;

use common::{fails, json, logitree, ok, workplace};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Some two hundred nodes by every strategy.
const STRATEGIES: [&[&str]; 4] = [
    &["--strategy=dynamic", "--max-depth=40", "--min-branch-threshold=0.02", "--max-branch-threshold=0.3"],
    &["--strategy=best-first", "--max-nodes=300", "--batch=2"],
    &["--strategy=beam", "--width=3", "--max-depth=24"],
    &["--strategy=sample", "--samples=8", "--max-depth=40", "--seed=3"],
];

/// The arguments that make a run.
fn grow<'a>(strategy: &[&'a str], output: &'a str) -> Vec<&'a str> {
    [&["tree", "hello world", "-m=model"], strategy, &[output]].concat()
}

/// All that a run's file says of its tree, in two formats.
fn exported(w: &Path, file: &str) -> [String; 2] {
    ["tree-json", "csv"].map(|format| ok(w, &["export", file, "--to", format]))
}

/// Names in a folder that look like what a rename would have put in place.
fn left_over(w: &Path) -> Vec<String> {
    let names = fs::read_dir(w).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains(".tmp")).collect()
}

#[test]
fn killed_at_random_moments_nothing_flushed_is_lost() {
    const KILLS: u32 = 6;
    let w = workplace();
    let w = w.path();
    let mut points = 0;
    for strategy in STRATEGIES {
        ok(w, &grow(strategy, "-o=whole.run.jsonl"));
        let length = fs::metadata(w.join("whole.run.jsonl")).unwrap().len();
        let whole = exported(w, "whole.run.jsonl");
        fs::remove_file(w.join("whole.run.jsonl")).unwrap();
        let mut sizes = Vec::new();
        for i in 0..KILLS {
            let file = format!("killed-{i}.run.jsonl");
            let mut command = logitree(w, &grow(strategy, &format!("-o={file}")));
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            // By what it has written, not by the clock: other tests make runs slow at times.
            let enough = length * u64::from(i) / u64::from(KILLS);
            let written = || fs::metadata(w.join(&file)).map_or(0, |found| found.len());
            while written() < enough && child.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
            // And at any moment of what comes next.
            std::thread::sleep(Duration::from_micros(u64::from(i * 7 % 20) * 150));
            child.kill().unwrap();
            child.wait().unwrap();
            match fs::read(w.join(&file)) {
                Err(_) => continue,
                // Killed before the header: there is nothing to resume, and it says so.
                Ok(text) if !text.contains(&b'\n') => drop(fails(w, &["show", &file], 1)),
                Ok(_) => {
                    sizes.push(json(w, &["show", &file])["nodes"].as_u64().unwrap());
                    ok(w, &["tree", "--resume", &file, "-m=model"]);
                    assert!(exported(w, &file) == whole, "{strategy:?} killed at {sizes:?} nodes");
                }
            }
            fs::remove_file(w.join(&file)).unwrap();
        }
        sizes.sort_unstable();
        sizes.dedup();
        points += sizes.len();
    }
    assert!(points > 8, "always killed at the same points, {points} of them");
}

/// The command in a shell that lets no file become longer than so many blocks, and leaves the error to the program: what
/// it then sees is what it would see of a full disk.
fn short_of_room(w: &Path, blocks: u64, args: &[&str]) -> (Option<i32>, String) {
    let program = logitree(w, args);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"")]);
    shell.arg(program.get_program()).args(program.get_args()).current_dir(w);
    shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = shell.stdin(Stdio::null()).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_full_disk_is_said_and_with_room_the_run_goes_on() {
    let w = workplace();
    let w = w.path();
    for strategy in STRATEGIES {
        ok(w, &grow(strategy, "-o=whole.run.jsonl"));
        let length = fs::metadata(w.join("whole.run.jsonl")).unwrap().len();
        let whole = exported(w, "whole.run.jsonl");
        fs::remove_file(w.join("whole.run.jsonl")).unwrap();
        // A block has 512 bytes or 1024, as the shell has it: a quarter or half of the file fits.
        let blocks = length / 2048;
        let (code, said) = short_of_room(w, blocks, &grow(strategy, "-o=full.run.jsonl"));
        assert_eq!(code, Some(1), "{strategy:?}: {said}");
        assert!(said.contains("cannot write full.run.jsonl: ") && !said.contains("panicked"), "{said}");
        let kept = json(w, &["show", "full.run.jsonl"])["nodes"].as_u64().unwrap();
        assert!(kept > 1, "{strategy:?}: nothing was kept");
        // Still no room: nothing that was there is lost.
        let (code, said) = short_of_room(w, blocks, &["tree", "--resume=full.run.jsonl", "-m=model"]);
        assert_eq!(code, Some(1), "{strategy:?}: {said}");
        assert!(json(w, &["show", "full.run.jsonl"])["nodes"].as_u64().unwrap() >= kept, "{strategy:?}");
        ok(w, &["tree", "--resume=full.run.jsonl", "-m=model"]);
        assert!(exported(w, "full.run.jsonl") == whole, "{strategy:?} was out of room at {kept} nodes");
        fs::remove_file(w.join("full.run.jsonl")).unwrap();
    }
}

#[test]
fn what_does_not_fit_replaces_nothing() {
    let w = workplace();
    let w = w.path();
    ok(w, &grow(STRATEGIES[0], "-o=whole.run.jsonl"));
    fs::write(w.join("old"), "what was there").unwrap();
    for args in [
        &["export", "whole.run.jsonl", "--to=csv", "-o=old", "--force"][..],
        &["export", "whole.run.jsonl", "--to=tree-json", "-o=old", "--force"],
        &["export", "whole.run.jsonl", "--to=parquet", "-o=old", "--force"],
        &["report", "whole.run.jsonl", "-o=old", "--force"],
        &["export", "whole.run.jsonl", "--to=csv", "-o=new"],
    ] {
        let (code, said) = short_of_room(w, 4, args);
        assert_eq!(code, Some(1), "{args:?}: {said}");
        assert!(!said.contains("panicked"), "{said}");
        assert_eq!(fs::read_to_string(w.join("old")).unwrap(), "what was there", "{args:?}");
        assert!(!w.join("new").exists() && left_over(w).is_empty(), "{args:?} left something: {:?}", left_over(w));
    }
}
