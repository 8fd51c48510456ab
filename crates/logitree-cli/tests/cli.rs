//! The program as its users meet it, on a tiny model.

mod common;

use common::{fails, fixtures, json, logitree, ok, run, workplace};
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A tree of some 1,800 nodes.
const TREE: [&str; 7] = [
    "tree",
    "hello world",
    "-m",
    "model",
    "--max-depth=200",
    "--min-branch-threshold=0.02",
    "--max-branch-threshold=0.3",
];

fn tree(folder: &Path, more: &[&str]) -> Value {
    json(folder, &[&TREE, more].concat())
}

fn mass(json: &Value) -> f64 {
    ["finished", "frontier", "pruned"].iter().map(|k| json["mass"][k].as_f64().unwrap()).sum()
}

fn exported(folder: &Path, file: &str) -> String {
    ok(folder, &["export", file, "--to", "tree-json"])
}

#[test]
fn a_tree_is_grown_shown_and_exported() {
    let w = workplace();
    let w = w.path();
    let grown = tree(w, &[]);
    let nodes = grown["nodes"].as_u64().unwrap();
    assert!(nodes > 1000, "{nodes}");
    assert!((mass(&grown) - 1.0).abs() < 1e-9);
    assert_eq!(grown["prompt"]["bos"], true);
    assert_eq!(grown["prompt"]["tokens"][0]["text"], "<bos>");
    assert_eq!(grown["run"], "hello-world.run.jsonl");
    // The name is not taken twice.
    assert_eq!(tree(w, &["--max-nodes", "5"])["run"], "hello-world-2.run.jsonl");

    let file = "hello-world.run.jsonl";
    let shown = ok(w, &["show", file]);
    assert!(shown.contains("where the probability went") && shown.contains("max_depth"), "{shown}");
    assert!(!shown.contains('\x1b'), "no colours in a pipe");
    let same = json(w, &["show", file]);
    assert_eq!(same["paths"], grown["paths"]);
    assert_eq!(same["mass"], grown["mass"]);

    ok(w, &["export", file, "--to", "tree-json", "-o", "tree.json"]);
    let back = json(w, &["show", "tree.json"]);
    assert_eq!(back["nodes"], grown["nodes"]);
    assert_eq!(back["paths"][0]["depth"], grown["paths"][0]["depth"]);
    let csv = ok(w, &["export", file, "--to", "csv"]);
    assert!(csv.starts_with("node,parent,depth,token_id,text,bytes,logprob,prob,"));
    let mut csv = csv::Reader::from_reader(csv.as_bytes());
    assert_eq!(csv.records().filter(|r| r.is_ok()).count() as u64, nodes);
    ok(w, &["export", file, "--to", "parquet", "-o", "nodes.parquet"]);
    use parquet::file::reader::{FileReader, SerializedFileReader};
    let parquet = SerializedFileReader::new(std::fs::File::open(w.join("nodes.parquet")).unwrap()).unwrap();
    assert_eq!(parquet.metadata().file_metadata().num_rows() as u64, nodes);
    let row = parquet.get_row_iter(None).unwrap().nth(1).unwrap().unwrap();
    assert!(row.to_string().contains("parent: 0"), "{row}");
    let dot = ok(w, &["export", file, "--to", "dot"]);
    assert!(dot.starts_with("digraph tree {") && dot.contains("label=\"hello world\""));
    assert!(ok(w, &["export", file, "--to", "text"]).contains("total"));
}

/// A tree with letters that XML, Mermaid and terminals have uses for.
const SIGNS: &str = r#"{"metadata": {"prompt": "a <b> & \"c\"", "parameters": {}}, "tree": {"text": "a <b> & \"c\"", "prob": 1.0, "cumulative_prob": 1.0,
    "token_id": null, "depth": 0, "is_finished": false, "candidates": [], "children": [
    {"text": " ]]>&amp;", "prob": 0.5, "cumulative_prob": 0.5, "token_id": 1, "depth": 1, "is_finished": true, "candidates": [], "children": []},
    {"text": "\u0001\n\uffff", "prob": 0.25, "cumulative_prob": 0.25, "token_id": 2, "depth": 1, "is_finished": false, "candidates": [], "children": []}]}}"#;

#[test]
fn graphs_have_every_node_and_escape_its_text() {
    let w = workplace();
    let w = w.path();
    std::fs::write(w.join("signs.json"), SIGNS).unwrap();
    tree(w, &["-o", "x.run.jsonl"]);
    for file in ["signs.json", "x.run.jsonl"] {
        let graph = ok(w, &["export", file, "--to", "graphml"]);
        let csv = ok(w, &["export", file, "--to", "csv"]);
        let rows = csv::Reader::from_reader(csv.as_bytes()).into_records().map(Result::unwrap).count();
        assert_eq!((graph.matches("<node ").count(), graph.matches("<edge ").count()), (rows, rows - 1));
        // It is XML, and every reference in it can be resolved.
        let mut reader = quick_xml::Reader::from_str(&graph);
        let (mut labels, mut label) = (Vec::new(), None);
        loop {
            use quick_xml::events::Event;
            match reader.read_event().unwrap() {
                Event::Start(e) => {
                    let key = e.attributes().map(Result::unwrap).find(|a| a.key.as_ref() == "key");
                    label = key.filter(|a| &*a.value == "label").map(|_| String::new());
                }
                Event::Text(t) => label.iter_mut().for_each(|l| l.push_str(&t)),
                Event::GeneralRef(r) => {
                    let text = quick_xml::escape::unescape(&format!("&{};", &*r)).unwrap().into_owned();
                    label.iter_mut().for_each(|l| l.push_str(&text));
                }
                Event::End(_) => labels.extend(label.take()),
                Event::Eof => break,
                _ => {}
            }
        }
        assert_eq!(labels.len(), rows);
        if file == "signs.json" {
            assert_eq!(labels, ["a <b> & \"c\"", " ]]>&amp;", "\u{fffd}↵\u{fffd}"]);
        }
    }
    let chart = ok(w, &["export", "signs.json", "--to", "mermaid"]);
    let lines: Vec<&str> = chart.lines().map(str::trim).collect();
    assert_eq!(lines[..3], ["flowchart LR", "n0[\"a #60;b#62; #38; #34;c#34;\"]", "n0 -->|\"25.00 %\"| n2"]);
    assert!(lines.contains(&"n1[\"#160;#93;#93;#62;#38;amp#59;<br>(end#95;token)\"]"), "{chart}");
    assert!(!chart.contains("not drawn"), "{chart}");
    // A large tree is drawn in part, and that is said.
    #[rustfmt::skip]
    ok(w, &["tree", "hello", "-m", "model", "--strategy", "best-first", "--max-nodes", "300", "--no-tree", "-o", "y.run.jsonl"]);
    let chart = ok(w, &["export", "y.run.jsonl", "--to", "mermaid"]);
    let nodes = json(w, &["show", "y.run.jsonl"])["nodes"].as_u64().unwrap();
    assert!(chart.contains(&format!("{} less likely nodes not drawn, of {nodes}", nodes - 100)), "{chart}");
    assert!(chart.lines().filter(|l| l.contains("-->")).count() < 100, "{chart}");
}

#[test]
fn a_stopped_run_goes_on_to_the_same_tree() {
    let w = workplace();
    let w = w.path();
    tree(w, &["-o", "pieces.run.jsonl"]);
    let whole = exported(w, "pieces.run.jsonl");
    for limit in ["1", "57", "900"] {
        let part = tree(w, &["-o", "part.run.jsonl", "--force", "--max-nodes", limit]);
        assert_eq!(part["reason"], "max_nodes");
        assert!((mass(&part) - 1.0).abs() < 1e-9);
        ok(w, &["tree", "--resume", "part.run.jsonl", "-m", "model", "--max-nodes", "1000000"]);
        assert!(exported(w, "part.run.jsonl") == whole, "after {limit} nodes");
    }
    let text = fails(w, &[&TREE[..], &["-o", "pieces.run.jsonl"]].concat(), 1);
    assert!(text.contains("exists: --resume pieces.run.jsonl goes on with it, --force overwrites it"), "{text}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_what_there_is_and_marks_it() {
    let w = workplace();
    let w = w.path();
    let args = [
        "tree",
        "hello",
        "-m",
        "model",
        "--max-depth=240",
        "--min-branch-threshold=0",
        "--max-branch-threshold=0.02",
        "--soft-queue-limit=5000",
        "-o",
        "int.run.jsonl",
    ];
    let child = logitree(w, &args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let file = w.join("int.run.jsonl");
    for _ in 0..500 {
        if std::fs::read_to_string(&file).is_ok_and(|t| t.contains("\"node\"")) {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("interrupted; --resume goes on"));
    let text = std::fs::read_to_string(&file).unwrap();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((&last["type"], &last["reason"]), (&Value::from("end"), &Value::from("interrupted")));
}

#[test]
fn logprobs_guide_and_score_agree_with_each_other() {
    let w = workplace();
    let w = w.path();
    let made = json(w, &["logprobs", "the cat", "-m", "model", "-n", "6", "-o", "lp.jsonl", "--top", "3"]);
    assert_eq!(made["tokens"].as_array().unwrap().len(), 6);
    assert_eq!(made["tokens"][0]["rank"], 1);
    assert_eq!(made["tokens"][0]["top"].as_array().unwrap().len(), 3);
    // Records are appended.
    ok(w, &["logprobs", "the cat", "-m", "model", "-n", "2", "-o", "lp.jsonl"]);
    let shown = json(w, &["show", "lp.jsonl"]);
    assert_eq!(shown["records"].as_array().unwrap().len(), 2);
    assert_eq!(shown["records"][0]["tokens"], 6);

    // A prompt longer than what is looked at to tell the format.
    let long = format!("{}\n", serde_json::json!({ "prompt": "x".repeat(9000), "response": "", "data": [] }));
    std::fs::write(w.join("long.jsonl"), long).unwrap();
    assert_eq!(json(w, &["show", "long.jsonl"])["records"][0]["tokens"], 0);
    // What the model saw is said.
    for args in [&["logprobs", "a", "-n", "1"][..], &["guide", "a", "--prefix", "b", "-n", "1"], &["score", "a"]] {
        let text = ok(w, &[args, &["-m", "model"]].concat());
        assert!(text.contains("BOS <bos> in front"), "{text}");
    }

    // A prefix forced onto a prompt is scored as the same text is.
    let guided = json(w, &["guide", "the cat", "--join", " ", "--prefix", "is in", "-m", "model", "-n", "2"]);
    let scored = json(w, &["score", "the cat is in", "-m", "model"]);
    let forced: Vec<&Value> = guided["tokens"].as_array().unwrap().iter().filter(|t| t["forced"] == true).collect();
    let all = scored["tokens"].as_array().unwrap();
    assert!(!forced.is_empty() && forced.len() < all.len());
    for (a, b) in forced.iter().zip(&all[all.len() - forced.len()..]) {
        for key in ["id", "logprob", "rank", "entropy", "top"] {
            assert_eq!(a[key], b[key]);
        }
    }
    assert_eq!(guided["forced"]["tokens"], forced.len());
    let nats: f64 = all.iter().map(|t| -t["logprob"].as_f64().unwrap()).sum();
    assert!((scored["total_bits"].as_f64().unwrap() - nats / 2f64.ln()).abs() < 1e-9);

    // Sampling repeats with its seed, and records the model's own ranks.
    let sample =
        |seed: &str| json(w, &["logprobs", "a", "-m", "model", "-n", "8", "--temperature", "3", "--seed", seed]);
    assert_eq!(sample("5")["tokens"], sample("5")["tokens"]);
    assert_ne!(sample("5")["tokens"], sample("6")["tokens"]);
    assert!(sample("5")["tokens"].as_array().unwrap().iter().any(|t| t["rank"].as_u64().unwrap() > 1));
    let chat = json(w, &["logprobs", "--chat", "--system", "be brief", "hi", "-m", "model", "-n", "1"]);
    assert_eq!(chat["bos"], true);
}

#[test]
fn thought_and_answer_have_totals_of_their_own() {
    let w = workplace();
    let w = w.path();
    let args = ["guide", "the cat", "--prefix", "<think>is</think> in", "-m", "model", "-n", "3"];
    let guided = json(w, &args);
    let tokens = guided["tokens"].as_array().unwrap();
    let mut text = String::new();
    for t in tokens {
        let begins = text.contains("<think>") && !text.contains("</think>");
        text.push_str(t["text"].as_str().unwrap());
        let ends = text.contains("<think>") && !text.contains("</think>");
        assert_eq!(t["thought"] == true, begins || ends, "{text}");
    }
    assert!(tokens.iter().any(|t| t["thought"] == true) && tokens[tokens.len() - 1]["thought"].is_null());
    // Forced tokens are not what the model thought, so they have no part in the totals.
    let shown = ok(w, &args);
    assert!(shown.contains("thought: 0 tokens") && shown.contains("answer: 3 tokens"), "{shown}");
    let shown = ok(w, &["logprobs", "the cat<think>", "-m", "model", "-n", "3"]);
    assert!(shown.contains("thought: 3 tokens") && shown.contains("answer: 0 tokens"), "{shown}");
    assert!(!ok(w, &["logprobs", "the cat", "-m", "model", "-n", "3"]).contains("thought"));
}

#[test]
fn a_benchmark_measures_what_it_was_asked_to() {
    let folder = workplace();
    let args = ["bench", "-m", "model", "--rounds", "2", "--only", "decode,wide4,tree30,score", "-o", "-"];
    let wrong = fails(folder.path(), &args, 2);
    assert!(wrong.contains("wide4") && wrong.contains("width4"), "{wrong}");
    let args = args.map(|a| a.replace("wide4", "width3"));
    let record: Value = serde_json::from_str(&ok(folder.path(), &args.each_ref().map(|a| a.as_str()))).unwrap();
    let names: Vec<&str> =
        record["workloads"].as_array().unwrap().iter().map(|w| w["workload"].as_str().unwrap()).collect();
    assert_eq!(names, ["decode", "width3", "tree30", "score"]);
    for w in record["workloads"].as_array().unwrap() {
        let seconds = w["seconds"].as_array().unwrap();
        assert!(seconds.len() == 2 && seconds.iter().all(|s| s.as_f64().unwrap() > 0.0), "{w}");
        assert!(w["peak_flops_per_second"][0].as_f64().unwrap() > 1e8, "{w}");
        assert!(w["bandwidth_bytes_per_second"][0].as_f64().unwrap() > 1e8, "{w}");
    }
    let work = |i: usize, of: &str| record["workloads"][i][of].as_f64().unwrap();
    // Scored is what fits the tiny model's context of 256.
    assert_eq!((work(0, "count"), work(3, "count")), (64.0, 255.0));
    // Per token, generating and scoring are the same products.
    assert_eq!(work(0, "flops") / 64.0, work(3, "flops") / 255.0);
    let table = ok(folder.path(), &["bench", "-m", "model", "--rounds", "1", "--only", "prefill"]);
    assert!(table.contains("prefill") && table.contains("tokens/s") && table.contains("GFLOP/s"), "{table}");
}

#[test]
fn a_benchmark_of_long_contexts_counts_what_attention_does() {
    let folder = workplace();
    let w = folder.path();
    let only = |names: &'static str| ["bench", "-m", "model", "--rounds", "1", "--only", names, "-o", "-"];
    // The tiny model's context is 256.
    let text = fails(w, &only("prompt1k,tree2kx5"), 1);
    assert!(
        text.contains("context is 256 tokens, too short: prompt1k needs a context of 1000 tokens, tree2kx5"),
        "{text}"
    );
    for name in ["prompt0k", "decodek", "tree1kx", "tree1kx0", "prompt", "prompt1kx2"] {
        let text = fails(w, &["bench", "-m", "model", "--only", name], 2);
        assert!(text.contains(&format!("--only {name}: choose from")) && text.contains("prompt6k"), "{text}");
    }
    let output = run(w, &only("decode,prompt1k"));
    let note = String::from_utf8(output.stderr).unwrap();
    assert!(note.contains("prompt1k needs a context of 1000 tokens, and the model's is 256: left out"), "{note}");
    let record: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(record["workloads"].as_array().unwrap().len(), 1);

    let config = w.join("model/config.json");
    let longer = std::fs::read_to_string(&config).unwrap().replace("_embeddings\": 256", "_embeddings\": 1064");
    std::fs::write(&config, longer).unwrap();
    let names = "decode,prompt1k,decode1k,tree1k,tree1kx5";
    let record: Value = serde_json::from_str(&ok(w, &only(names))).unwrap();
    let work = |i: usize, of: &str| record["workloads"][i][of].as_f64().unwrap();
    let name = |i: usize| record["workloads"][i]["workload"].as_str().unwrap();
    assert_eq!((0..5).map(name).collect::<Vec<_>>().join(","), names);
    assert_eq!([1, 2, 3, 4].map(|i| work(i, "count")), [1000.0, 64.0, 24.0 * 8.0, 5.0 * 38.0]);
    // Six layers see 12 positions, one sees all; a query has 4 heads of 32 numbers, a row 2 keys and 2 values of them.
    let flops = |at: u32| f64::from(4 * 4 * 32 * (6 * (at + 1).min(12) + at + 1));
    let row = f64::from(4 * 32 * 4);
    // Products with weights and their bytes, of a token and of a pass: as in the short context, which counts nothing else.
    let (token, pass) = (work(0, "flops") / 64.0, work(0, "bytes") / 64.0);
    for (i, paths, steps) in [(2, 1, 64), (3, 24, 8), (4, 5, 38)] {
        let attention: f64 = (0..steps).map(|step| f64::from(paths) * flops(1000 + step)).sum();
        assert_eq!(work(i, "flops"), f64::from(paths * steps) * token + attention, "{}", name(i));
        let rows = |own: u32| 6 * (12 - own.min(12) + paths * own.min(12)) + 1000 + paths * own;
        let rows: u32 = (1..=steps).map(rows).sum();
        assert_eq!(work(i, "bytes"), f64::from(steps) * pass + f64::from(rows) * row, "{}", name(i));
    }
    // A prompt's tokens need no output matrix, but for the last.
    let attention: f64 = (0..1000).map(flops).sum();
    let output = f64::from(2 * 320 * 64);
    assert_eq!(work(1, "flops"), 1000.0 * (token - output) + output + attention);
    assert_eq!(work(1, "bytes"), pass + 7.0 * 1000.0 * row);
    let table = ok(w, &["bench", "-m", "model", "--rounds", "1", "--only", "tree1k"]);
    assert!(table.contains("tree1k ") && table.contains("After long prompts they count attention"), "{table}");
}

#[test]
fn bad_input_is_told_by_name() {
    let w = workplace();
    let w = w.path();
    let with = |args: &[&str], code| fails(w, &[args, &["-m", "model"]].concat(), code);
    assert!(with(&["tree", ""], 2).contains("PROMPT is empty"));
    assert!(with(&["tree", "x", "--min-branch-threshold", "1.5"], 2).contains("--min-branch-threshold"));
    assert!(with(&["tree", "x", "--candidate-threshold", "nan"], 2).contains("--candidate-threshold"));
    let text = with(&["tree", "x", "--min-branch-threshold", "0.7"], 2);
    assert!(text.contains("--min-branch-threshold (0.7) must not be above --max-branch-threshold"), "{text}");
    for flag in ["--max-depth", "--soft-queue-limit", "--max-completed-paths", "--max-nodes"] {
        assert!(with(&["tree", "x", flag, "0"], 2).contains(flag));
    }
    assert!(with(&["tree", "x", "-o", "no/such/folder/x.jsonl"], 1).contains("cannot write no/such/folder"));
    let long = "word ".repeat(400);
    assert!(with(&["tree", &long], 1).contains("the model's context is 256"));
    assert!(with(&["guide", "x", "--prefix", ""], 2).contains("--prefix is empty"));
    assert!(with(&["tree", "x", "--backend", "mmx"], 2).contains("this CPU has"));
    assert!(with(&["tree", "x", "--fast", "--backend", "scalar"], 1).contains("for quantised weights"));
    std::fs::create_dir(w.join("half")).unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(w.join("model").join(file), w.join("half").join(file)).unwrap();
    }
    let text = fails(w, &["tree", "x", "-m", "half"], 1);
    assert_eq!(text.matches("tokenizer.json: cannot be read").count(), 1, "a reason is said once: {text}");
    assert!(fails(w, &["tree", "x", "-m", "nowhere"], 1).contains("neither a known name"));
    assert!(fails(w, &["show", "nowhere"], 1).contains("nowhere"));
    assert!(fails(w, &["logprobs", "x"], 1).contains("offline"));
    for (name, content, text) in [
        ("empty", &b""[..], "empty"),
        ("binary", &b"\x00\xff\xfe"[..], "neither a run file"),
        ("torn", &br#"{"type":"header","format":"logitree-run","ver"#[..], "no header"),
        ("tree", &br#"{"metadata": {}, "tree": {"children": [{}]}}"#[..], "`prob` is missing"),
    ] {
        std::fs::write(w.join(name), content).unwrap();
        let error = fails(w, &["show", name], 1);
        assert!(error.contains(text) && error.contains(name), "{name}: {error}");
    }
    for (input, text) in [(&b"a\0b"[..], "NUL"), (&b"a\xff"[..], "not UTF-8 (byte 1)"), (&b""[..], "empty")] {
        let mut command = logitree(w, &["score", "-", "-m", "model"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(String::from_utf8_lossy(&output.stderr).contains(text));
        assert_eq!(output.status.code(), Some(1));
    }
}

/// A real model with quantised weights, if the environment says where it is.
fn smollm() -> Option<PathBuf> {
    let file = "SmolLM2-135M-Instruct.Q4_1.gguf";
    let Some(folder) = std::env::var_os("LOGITREE_TEST_MODELS") else {
        eprintln!("skipped: LOGITREE_TEST_MODELS does not name a folder with {file}");
        return None;
    };
    Some(Path::new(&folder).join(file))
}

#[test]
fn bf16x3_has_the_same_bits_without_amx() {
    let Some(model) = smollm() else { return };
    let w = workplace();
    let w = w.path();
    let model = model.to_str().unwrap();
    let pieces = ["--arithmetic", "bf16x3", "--max-nodes", "20", "-o", "pieces.run.jsonl"];
    ok(w, &[&["tree", "The capital of India is", "-m", model][..], &pieces].concat());
    let header = std::fs::read_to_string(w.join("pieces.run.jsonl")).unwrap().lines().next().unwrap().to_string();
    let header: Value = serde_json::from_str(&header).unwrap();
    assert_eq!(header["model"]["arithmetic"], "bf16x3");
    ok(w, &["tree", "--resume", "pieces.run.jsonl", "--max-nodes", "30"]);
    for backend in logitree_engine::Backend::available().iter().filter(|b| b.name() != "scalar") {
        let text = ok(w, &["verify", "pieces.run.jsonl", "--backend", backend.name()]);
        assert!(text.contains("the same to the last bit"), "{}: {text}", backend.name());
    }
    let text = fails(w, &["tree", "--resume", "pieces.run.jsonl", "--arithmetic", "f32"], 1);
    assert!(text.contains("made with bf16x3 activations, and this model runs with f32 ones"), "{text}");
    assert!(fails(w, &["tree", "x", "--arithmetic", "f16"], 2).contains("there are f32, bf16x3 and 8-bit"));
}

#[test]
fn the_approximate_mode_says_so_and_goes_on_as_it_began() {
    let Some(model) = smollm() else { return };
    if !logitree_engine::Backend::detect().has_dots() {
        eprintln!("skipped: this CPU has no instruction for products of bytes");
        return;
    }
    let w = workplace();
    let w = w.path();
    let model = model.to_str().unwrap();
    ok(w, &["tree", "The capital of India is", "-m", model, "--fast", "--max-nodes", "20", "-o", "fast.run.jsonl"]);
    let header: Value =
        serde_json::from_str(std::fs::read_to_string(w.join("fast.run.jsonl")).unwrap().lines().next().unwrap())
            .unwrap();
    assert_eq!(header["model"]["arithmetic"], "8-bit");
    let engine = header["engine"].as_str().unwrap();
    assert!(engine.starts_with("approximate: 8-bit activations (on test prompts off by"), "{engine}");
    // Gone on with and verified in the same arithmetic, unasked: to the last bit.
    ok(w, &["tree", "--resume", "fast.run.jsonl", "--max-nodes", "60"]);
    assert!(ok(w, &["verify", "fast.run.jsonl"]).contains("the same to the last bit"));

    ok(w, &["tree", "The capital of India is", "-m", model, "--max-nodes", "20", "-o", "exact.run.jsonl"]);
    let text = fails(w, &["tree", "--resume", "exact.run.jsonl", "--fast"], 1);
    assert!(text.contains("and this model runs with 8-bit ones: start with --arithmetic"), "{text}");
    let experiment =
        format!("models = [{model:?}]\n[[prompts]]\ntext = \"The\"\n[[parameters]]\nname = \"a\"\nmax_depth = 2\n");
    std::fs::write(w.join("e.toml"), experiment).unwrap();
    ok(w, &["run", "e.toml", "-o", "results"]);
    let output = run(w, &["run", "e.toml", "-o", "results", "--fast"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("made with other settings"), "{text}");
    let first = |file: &str| json(w, &["show", file])["paths"][0]["logprob"].as_f64();
    assert_ne!(first("fast.run.jsonl"), first("exact.run.jsonl"));
}

#[test]
fn every_command_explains_itself_with_examples() {
    let w = workplace();
    let w = w.path();
    for command in [
        "tree",
        "logprobs",
        "guide",
        "score",
        "answers",
        "decide",
        "attribute",
        "forks",
        "layers",
        "lens",
        "verify",
        "run",
        "bench",
        "show",
        "export",
        "model",
    ] {
        let help = ok(w, &[command, "--help"]);
        assert!(help.contains("Examples:") && help.contains(&format!("logitree {command}")), "{command}");
    }
    assert!(ok(w, &["model", "list"]).contains("gemma-3-270m"));
    let info = json(w, &["model", "info", "model"]);
    assert_eq!((&info["layers"], &info["vocab"], &info["sliding_window"]), (&7.into(), &320.into(), &12.into()));
}

#[test]
fn the_documented_run_file_reads() {
    let w = workplace();
    let doc = std::fs::read_to_string(fixtures().join("../docs/run-format.md")).unwrap();
    let example = doc.split("```jsonl\n").nth(1).unwrap().split("```").next().unwrap();
    std::fs::write(w.path().join("doc.run.jsonl"), example).unwrap();
    let shown = json(w.path(), &["show", "doc.run.jsonl"]);
    assert_eq!((&shown["nodes"], &shown["reason"]), (&4.into(), &"interrupted".into()));
    assert_eq!(shown["paths"][1]["text"], " of the");
}

#[test]
fn a_run_that_cannot_begin_leaves_no_file() {
    let folder = workplace();
    fails(folder.path(), &["tree", "a", "-m", "nowhere"], 1);
    fails(folder.path(), &["tree", "a", "--engine", "http://127.0.0.1:9", "--request-timeout", "1"], 1);
    fails(folder.path(), &["tree", "a", "-m", "model", "--watch", ""], 2);
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|n| !n.to_string_lossy().ends_with(".jsonl")), "{left:?}");
}
