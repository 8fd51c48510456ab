//! Outputs never destroy: not what was there before, not the input, no device; and two processes never write one thing.

#![cfg(unix)]

mod common;

use common::{fails, logitree, ok, run, workplace};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const GROW: [&str; 4] = ["tree", "hello world", "-m=model", "--max-nodes=9"];

/// A folder with a model and a small run, `a.run.jsonl`.
fn place() -> tempfile::TempDir {
    let w = workplace();
    ok(w.path(), &[&GROW[..], &["-o=a.run.jsonl"]].concat());
    w
}

/// Names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_run_that_does_not_begin_leaves_what_was_there() {
    let w = place();
    let w = w.path();
    fs::copy(w.join("a.run.jsonl"), w.join("old.run.jsonl")).unwrap();
    let before = (fs::read(w.join("a.run.jsonl")).unwrap(), names(w));
    for args in [
        &["tree", "Hi", "-o=old.run.jsonl", "--force", "-m=nosuch"][..],
        // Longer than the model's context.
        &["tree", &"hello ".repeat(300), "-o=old.run.jsonl", "--force", "-m=model"],
        &["tree", "Hi", "-o=old.run.jsonl", "-m=model"],
        &["tree", "Hi", "-o=new.run.jsonl", "-m=nosuch"],
        &["tree", "Hi", "-m=nosuch"],
        // What the model is read from, whatever is asked for.
        &["tree", "Hi", "-o=model/model.safetensors", "--force", "-m=model"],
        &["tree", "Hi", "-o=model", "--force", "-m=model"],
        &["tree", "Hi", "-o=nosuch/x.run.jsonl", "-m=model"],
        &["tree", "Hi", "-o=a.run.jsonl/x", "-m=model"],
    ] {
        let said = fails(w, args, 1);
        assert!(!said.contains(".tmp"), "{said}");
        assert_eq!(names(w), before.1, "{args:?}");
        assert!(fs::read(w.join("old.run.jsonl")).unwrap() == before.0, "{args:?}");
    }
    assert!(w.join("model/model.safetensors").metadata().unwrap().len() > 1000);
    // What is asked for is done.
    ok(w, &["tree", "Hi", "-o=old.run.jsonl", "--force", "-m=model", "--max-nodes=5"]);
    assert_ne!(fs::read(w.join("old.run.jsonl")).unwrap(), before.0);
    ok(w, &["show", "old.run.jsonl"]);
}

#[test]
fn records_of_a_run_without_a_complete_path_are_refused_and_leave_no_file() {
    let w = workplace();
    let w = w.path();
    ok(w, &["tree", "hello", "-m", "model", "--max-depth=2", "-o", "a.run.jsonl"]);
    for output in ["records.jsonl", "-"] {
        let said = fails(w, &["export", "a.run.jsonl", "--to=jsonl", "-o", output], 1);
        assert!(
            said.contains("a.run.jsonl: no path is complete") && said.contains("csv, parquet or tree-json"),
            "{said}"
        );
    }
    assert!(!w.join("records.jsonl").exists());
    ok(w, &["export", "a.run.jsonl", "--to=csv", "-o", "nodes.csv"]);
}

#[test]
fn exports_and_reports_ask_before_they_overwrite() {
    let w = place();
    let w = w.path();
    fs::copy(w.join("a.run.jsonl"), w.join("b.run.jsonl")).unwrap();
    fs::hard_link(w.join("a.run.jsonl"), w.join("same.csv")).unwrap();
    symlink("a.run.jsonl", w.join("link.csv")).unwrap();
    fs::write(w.join("kept.csv"), "mine\n").unwrap();
    fs::write(w.join("empty.csv"), "").unwrap();
    let before = fs::read(w.join("a.run.jsonl")).unwrap();
    for command in [&["export", "a.run.jsonl", "--to", "csv"][..], &["report", "a.run.jsonl"]] {
        for (output, more) in [
            ("a.run.jsonl", ""),
            ("a.run.jsonl", "--force"),
            ("same.csv", "--force"),
            ("link.csv", "--force"),
            ("b.run.jsonl", ""),
            ("kept.csv", ""),
            (".", "--force"),
            ("nosuch/x.csv", ""),
        ] {
            let args: Vec<&str> = [command, &["-o", output]].concat();
            let args = if more.is_empty() { args } else { [&args[..], &[more]].concat() };
            let said = fails(w, &args, 1);
            assert!(said.contains(output) && !said.contains(".tmp"), "{said}");
        }
        for file in ["a.run.jsonl", "b.run.jsonl"] {
            assert_eq!(fs::read(w.join(file)).unwrap(), before);
        }
        assert_eq!(fs::read_to_string(w.join("kept.csv")).unwrap(), "mine\n");
        assert_eq!(names(w).iter().filter(|n| n.starts_with(".tmp")).count(), 0);
    }
    // Nothing is lost with an empty file, and `--force` is heard; who could read the old file can read the new one.
    fs::set_permissions(w.join("kept.csv"), fs::Permissions::from_mode(0o600)).unwrap();
    ok(w, &["export", "a.run.jsonl", "--to", "csv", "-o", "empty.csv"]);
    ok(w, &["export", "a.run.jsonl", "--to", "csv", "-o", "kept.csv", "--force"]);
    assert_eq!(fs::read(w.join("kept.csv")).unwrap(), fs::read(w.join("empty.csv")).unwrap());
    assert_eq!(w.join("kept.csv").metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn links_are_followed() {
    let w = place();
    let w = w.path();
    fs::create_dir(w.join("far")).unwrap();
    fs::write(w.join("far/old.csv"), "old\n").unwrap();
    symlink("far/old.csv", w.join("old")).unwrap();
    symlink("far/new.csv", w.join("new")).unwrap();
    symlink("round", w.join("round")).unwrap();
    ok(w, &["export", "a.run.jsonl", "--to", "csv", "-o", "old", "--force"]);
    ok(w, &["export", "a.run.jsonl", "--to", "csv", "-o", "new"]);
    assert!(fails(w, &["export", "a.run.jsonl", "--to", "csv", "-o", "round"], 1).contains("circle"));
    for (link, file) in [("old", "far/old.csv"), ("new", "far/new.csv")] {
        assert!(w.join(link).symlink_metadata().unwrap().is_symlink());
        assert!(fs::read_to_string(w.join(file)).unwrap().starts_with("node,"));
    }
}

/// A device node of our own that throws everything away; none where the system does not let us make it.
fn sink(folder: &Path, name: &str, minor: &str) -> Option<PathBuf> {
    let path = folder.join(name);
    let made = Command::new("mknod").arg(&path).args(["c", "1", minor]).stderr(Stdio::null()).status();
    made.is_ok_and(|s| s.success()).then_some(path)
}

#[test]
fn devices_and_pipes_stay_what_they_are() {
    let w = place();
    let w = w.path();
    let fifo = w.join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let commands: [&[&str]; 5] = [
        &["export", "a.run.jsonl", "--to", "csv"],
        &["export", "a.run.jsonl", "--to", "parquet", "--force"],
        &["report", "a.run.jsonl"],
        &GROW,
        &["logprobs", "hello", "-m=model", "-n=2"],
    ];
    for command in commands {
        let reader = Command::new("cat").arg(&fifo).stdout(Stdio::piped()).spawn().unwrap();
        // On a thread of its own: what is written may be more than all the pipes hold.
        let read = std::thread::spawn(|| reader.wait_with_output().unwrap().stdout.len());
        ok(w, &[command, &["-o", "fifo"]].concat());
        assert!(read.join().unwrap() > 100, "{command:?}");
        assert!(fifo.symlink_metadata().unwrap().file_type().is_fifo());
    }
    let (Some(null), Some(full)) = (sink(w, "null", "3"), sink(w, "full", "7")) else {
        eprintln!("skipped: device nodes need root");
        return;
    };
    let node = |path: &Path| path.symlink_metadata().unwrap().rdev();
    let before = (node(&null), node(&full));
    for command in commands {
        for force in [&[][..], &["--force"]] {
            if command[0] == "logprobs" && !force.is_empty() || command.contains(&"--force") && !force.is_empty() {
                continue;
            }
            if std::fs::OpenOptions::new().write(true).open(&null).is_err() {
                eprintln!("skipped: device nodes cannot be used here");
                return;
            }
            ok(w, &[command, &["-o", "null"], force].concat());
            fails(w, &[command, &["-o", "full"], force].concat(), 1);
            assert_eq!((node(&null), node(&full)), before, "{command:?}");
        }
    }
    fails(w, &["tree", "Hi", "-m=nosuch", "--force", "-o=null"], 1);
    assert_eq!((node(&null), node(&full)), before);
}

#[test]
fn records_are_added_to_records_only() {
    let w = place();
    let w = w.path();
    let add = |file: &'static str| ["logprobs", "hello", "-m=model", "-n=2", "-o", file];
    let before = fs::read(w.join("a.run.jsonl")).unwrap();
    for file in ["a.run.jsonl", "model/config.json", "model"] {
        fails(w, &add(file), 1);
    }
    assert_eq!(fs::read(w.join("a.run.jsonl")).unwrap(), before);
    fails(w, &["logprobs", "hello", "-m=nosuch", "-o=lp.jsonl"], 1);
    assert!(!w.join("lp.jsonl").exists());
    ok(w, &add("lp.jsonl"));
    // Killed in the middle of a line.
    let mut torn = fs::read(w.join("lp.jsonl")).unwrap();
    torn.extend(b"{\"prompt\":\"he");
    fs::write(w.join("lp.jsonl"), torn).unwrap();
    ok(w, &add("lp.jsonl"));
    let shown = ok(w, &["show", "lp.jsonl"]);
    assert_eq!(shown.lines().count(), 3, "{shown}");
}

#[test]
fn measurements_are_not_lost_on_a_bad_path() {
    let w = place();
    let w = w.path();
    let bench = ["bench", "-m=model", "--only=decode", "--rounds=100000", "-o"];
    for output in ["nosuch/x.json", "a.run.jsonl", "model"] {
        let started = Instant::now();
        fails(w, &[&bench[..], &[output]].concat(), 1);
        assert!(started.elapsed() < Duration::from_secs(60));
    }
}

fn table(folder: &Path) -> Vec<(String, bool)> {
    let mut csv = csv::Reader::from_path(folder.join("table.csv")).unwrap();
    let heads = csv.headers().unwrap().clone();
    let at = |name: &str| heads.iter().position(|h| h == name).unwrap();
    csv.records().map(|r| r.unwrap()).map(|r| (r[at("parameters")].to_string(), r[at("error")].is_empty())).collect()
}

#[test]
fn a_failed_experiment_never_replaces_a_better_table() {
    let w = workplace();
    let w = w.path();
    let write = |models: &str, names: [&str; 2]| {
        let text = format!(
            "models = [{models:?}]\nmax_nodes = 5\n[[prompts]]\ntext = \"hello\"\n\
             [[parameters]]\nname = {:?}\nmax_depth = 4\n[[parameters]]\nname = {:?}\nmax_depth = 3\n",
            names[0], names[1]
        );
        fs::write(w.join("e.toml"), text).unwrap();
    };
    let good = vec![("a".to_string(), true), ("b".to_string(), true)];
    write("model", ["a", "b"]);
    ok(w, &["run", "e.toml", "-o=out"]);
    assert_eq!(table(&w.join("out")), good);
    write("nosuch", ["a", "b"]);
    fails(w, &["run", "e.toml", "-o=out"], 1);
    let both = table(&w.join("out"));
    assert_eq!(both[..2], good);
    assert_eq!(both.iter().filter(|r| r.1).count(), 2);
    // The same cases fail where they had not: the model is gone and one run was cut.
    write("model", ["a", "b"]);
    let run_file = w.join("out").join(names(&w.join("out")).into_iter().find(|n| n.contains(".a.")).unwrap());
    let lines = fs::read_to_string(&run_file).unwrap();
    fs::write(&run_file, lines.lines().take(2).map(|l| format!("{l}\n")).collect::<String>()).unwrap();
    fs::rename(w.join("model"), w.join("gone")).unwrap();
    let said = fails(w, &["run", "e.toml", "-o=out"], 1);
    assert!(said.contains("keeps its earlier row"), "{said}");
    assert_eq!(table(&w.join("out"))[..2], good);
    // Rows that could not be told apart, a table of somebody else, a file for a folder.
    write("model", ["a", "a"]);
    assert!(fails(w, &["run", "e.toml", "-o=out2"], 1).contains("\"a\""));
    assert!(!w.join("out2").exists());
    write("model", ["a", "b"]);
    fs::create_dir(w.join("mine")).unwrap();
    fs::write(w.join("mine/table.csv"), "x,y\n1,2\n").unwrap();
    fails(w, &["run", "e.toml", "-o=mine"], 1);
    assert_eq!(fs::read_to_string(w.join("mine/table.csv")).unwrap(), "x,y\n1,2\n");
    assert!(fails(w, &["run", "e.toml", "-o=e.toml"], 1).contains("is a file"));
    assert_eq!(names(&w.join("out")).iter().filter(|n| n.contains(".new") || n.contains(".tmp")).count(), 0);
}

/// A program that runs until it is killed.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(w: &Path, args: &[&str]) -> Running {
    let quiet = || Stdio::null();
    Running(logitree(w, args).stdin(quiet()).stdout(quiet()).stderr(quiet()).spawn().unwrap())
}

fn wait_for(what: &str, done: impl Fn() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(120), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A run that goes on for minutes.
const LONG: [&str; 7] = [
    "tree",
    "hello world",
    "-m=model",
    "--max-depth=200",
    "--min-branch-threshold=0.01",
    "--max-branch-threshold=0.02",
    "--max-nodes=1000000",
];

#[test]
fn what_one_process_writes_no_other_does() {
    let w = workplace();
    let w = w.path();
    let first = start(w, &[&LONG[..], &["-o=long.run.jsonl"]].concat());
    wait_for("the run", || w.join("long.run.jsonl").metadata().is_ok_and(|m| m.len() > 100_000));
    for args in
        [&["tree", "--resume=long.run.jsonl", "-m=model"][..], &[&GROW[..], &["-o=long.run.jsonl", "--force"]].concat()]
    {
        let said = fails(w, args, 1);
        assert!(said.contains("another logitree is writing"), "{said}");
    }
    // Readers are not kept out.
    ok(w, &["export", "long.run.jsonl", "--to=csv", "-o=now.csv"]);
    assert!(first.0.id() > 0);
    drop(first);
    ok(w, &["tree", "--resume=long.run.jsonl", "-m=model", "--max-nodes=10"]);
}

#[test]
fn a_folder_has_one_server_or_experiment_and_the_second_names_it() {
    let w = place();
    let w = w.path();
    fs::create_dir(w.join("data")).unwrap();
    // Somebody goes on with a run of the folder while the server starts: what looks torn stays.
    let growing = start(w, &[&LONG[..], &["-o=data/long.run.jsonl"]].concat());
    wait_for("the run", || w.join("data/long.run.jsonl").metadata().is_ok_and(|m| m.len() > 100_000));
    let serve = ["serve", "-m=model", "--data-dir=data", "--port=0"];
    let first = start(w, &serve);
    let pid = format!("process {}", first.0.id());
    wait_for("the server", || fs::read_to_string(w.join("data/.lock")).is_ok_and(|t| t.contains(&pid)));
    let said = fails(w, &serve, 1);
    assert!(said.contains(&pid) && said.contains("data"), "{said}");
    wait_for("the token", || w.join("data/token").exists());
    drop(growing);
    drop(first);
    ok(w, &["show", "data/long.run.jsonl"]);
    assert!(fails(w, &["serve", "-m=nosuch", "--data-dir=a.run.jsonl"], 1).contains("is a file"));

    let toml = "models = [\"model\"]\n[[prompts]]\ntext = \"hello\"\n[[parameters]]\nmax_depth = 200\n\
                min_branch_threshold = 0.01\nmax_branch_threshold = 0.02\n";
    fs::write(w.join("e.toml"), toml).unwrap();
    let first = start(w, &["run", "e.toml"]);
    let pid = format!("process {}", first.0.id());
    wait_for("the experiment", || fs::read_to_string(w.join("e/.lock")).is_ok_and(|t| t.contains(&pid)));
    assert!(fails(w, &["run", "e.toml"], 1).contains(&pid));
}

#[test]
fn a_view_leaves_no_folder_even_if_killed() {
    let w = place();
    let w = w.path();
    let temporary = w.join("temporary");
    fs::create_dir(&temporary).unwrap();
    let view = || {
        let mut command = logitree(w, &["view", "a.run.jsonl", "--port=0"]);
        let quiet = || Stdio::null();
        command.env("TMPDIR", &temporary).stdin(quiet()).stdout(quiet()).stderr(quiet());
        let running = Running(command.spawn().unwrap());
        let pid = format!("process {}", running.0.id());
        let is_ours = |n: &String| fs::read_to_string(temporary.join(n).join(".lock")).is_ok_and(|t| t.contains(&pid));
        wait_for("the view", || names(&temporary).iter().any(is_ours));
        running
    };
    let (first, other) = (view(), view());
    assert_eq!(names(&temporary).len(), 2);
    drop(first);
    // The next one removes what the killed one left, and not what another uses.
    let mut next = view();
    assert_eq!(names(&temporary).len(), 2);
    drop(other);
    assert!(Command::new("kill").args(["-s", "TERM", &next.0.id().to_string()]).status().unwrap().success());
    next.0.wait().unwrap();
    assert_eq!(names(&temporary).len(), 1);
}

#[test]
fn an_interrupted_program_leaves_no_temporary_file() {
    let w = workplace();
    let w = w.path();
    // A tree whose export takes a while.
    ok(
        w,
        &[
            "tree",
            "hello world",
            "-m=model",
            "--max-depth=220",
            "--max-nodes=1200",
            "--min-branch-threshold=0.05",
            "-o=a.run.jsonl",
        ],
    );
    let before = names(w);
    for signal in ["INT", "TERM", "HUP"] {
        let mut seen = false;
        for _ in 0..10 {
            let mut program = start(w, &["export", "a.run.jsonl", "--to=tree-json", "-o=out.json"]);
            let started = Instant::now();
            while started.elapsed() < Duration::from_secs(20) && program.0.try_wait().unwrap().is_none() {
                if names(w).iter().any(|n| n.starts_with(".tmp")) {
                    let id = program.0.id().to_string();
                    assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
                    seen = true;
                    break;
                }
            }
            program.0.wait().unwrap();
            let _ = fs::remove_file(w.join("out.json"));
            assert_eq!(names(w), before, "{signal}");
            if seen {
                break;
            }
        }
    }
    run(w, &["--version"]);
}
