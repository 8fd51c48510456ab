//! What people expect of any program: settings, completions, manual pages, colours, silence, a doctor.

mod common;

use common::{fails, logitree, ok, workplace};
use serde_json::Value;

#[test]
fn the_model_and_the_threads_may_come_from_the_environment_or_a_file() {
    let w = workplace();
    let w = w.path();
    std::fs::write(w.join("config.toml"), "model = \"model\"\nthreads = 1\n").unwrap();
    let engine = |command: &mut std::process::Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["engine"].as_str().unwrap().to_owned()
    };
    let args = ["score", "--text", "hello world", "--format", "json"];
    let mut by_file = logitree(w, &args);
    assert!(engine(by_file.env("LOGITREE_CONFIG", "config.toml")).ends_with(", 1 thread"));
    let mut by_variable = logitree(w, &args);
    by_variable.env("LOGITREE_CONFIG", "config.toml").env("LOGITREE_THREADS", "2").env("LOGITREE_MODEL", "model");
    assert!(engine(&mut by_variable).ends_with(", 2 threads"));
    // What is typed goes before both.
    let mut typed = logitree(w, &[&args[..], &["--threads", "3", "-m", "model"]].concat());
    typed.env("LOGITREE_CONFIG", "config.toml").env("LOGITREE_MODEL", "nothing").env("LOGITREE_THREADS", "2");
    assert!(engine(&mut typed).ends_with(", 3 threads"));
    // A file that says what there is not is refused, with its name and line.
    std::fs::write(w.join("wrong.toml"), "modle = \"x\"\n").unwrap();
    let output = logitree(w, &args).env("LOGITREE_CONFIG", "wrong.toml").output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("wrong.toml") && error.contains("modle"), "{error}");
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let w = workplace();
    let w = w.path();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = ok(w, &["completions", shell]);
        for name in ["logprobs", "store-top", "doctor"] {
            assert!(script.contains(name), "{shell}: {name}");
        }
    }
    fails(w, &["completions", "csh"], 2);
    std::fs::create_dir(w.join("man")).unwrap();
    ok(w, &["man", "man"]);
    let page = std::fs::read_to_string(w.join("man/logitree-tree.1")).unwrap();
    assert!(page.contains("min\\-branch\\-threshold"), "{page}");
    assert!(fails(w, &["man", "nowhere"], 1).contains("nowhere"));
}

#[test]
fn colours_and_silence_are_as_asked_for() {
    let w = workplace();
    let w = w.path();
    let score = ["score", "--text", "hello <eos> world", "-m", "model"];
    let run = |more: &[&str]| {
        let output = logitree(w, &[&score[..], more].concat()).output().unwrap();
        assert!(output.status.success(), "{more:?}");
        [output.stdout, output.stderr].map(|b| String::from_utf8(b).unwrap())
    };
    let [text, notes] = run(&[]);
    assert!(!text.contains('\x1b') && notes.contains("note: the text names control tokens"), "{notes}");
    let [text, notes] = run(&["--color", "always", "--quiet"]);
    assert!(text.contains("\x1b[") && notes.is_empty(), "{notes}");
    let [text, notes] = run(&["--color=never", "-v"]);
    assert!(!text.contains('\x1b') && notes.contains("is ready after"), "{notes}");
    fails(w, &[&score[..], &["-q", "-v"]].concat(), 2);
}

#[test]
fn the_doctor_names_what_is_broken() {
    let w = workplace();
    let w = w.path();
    let doctor = |cache: &str| {
        let mut command = logitree(w, &["doctor", "--offline", "--format", "json"]);
        let output = command.env("LOGITREE_MODEL", "model").env("LOGITREE_CACHE", cache).output().unwrap();
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), found)
    };
    let of = |found: &Value, what: &str| {
        found["findings"].as_array().unwrap().iter().find(|f| f["what"] == what).cloned().unwrap_or_default()
    };
    let (code, found) = doctor("cache");
    let test = of(&found, "self-test");
    assert!(test["found"].as_str().unwrap().contains("the same bits as portable arithmetic"), "{test}");
    assert!(of(&found, "cache")["fix"].is_null(), "{found}");
    // Built without the web app, that is what is broken.
    assert_eq!(code, Some(i32::from(!of(&found, "web app")["fix"].is_null())));
    std::fs::write(w.join("file"), "").unwrap();
    let (code, found) = doctor("file/cache");
    assert_eq!(code, Some(1), "{found}");
    assert!(of(&found, "cache")["fix"].as_str().unwrap().contains("LOGITREE_CACHE"), "{found}");
}

#[test]
fn known_models_are_removed_and_others_are_not() {
    let w = workplace();
    let w = w.path();
    std::fs::create_dir(w.join("cache")).unwrap();
    let file = w.join("cache/SmolLM2-135M-Instruct.Q4_1.gguf");
    std::fs::write(&file, vec![0; 2_000_000]).unwrap();
    assert!(ok(w, &["model", "rm", "smollm2-135m"]).contains("2 MB"));
    assert!(!file.exists());
    assert!(ok(w, &["model", "rm", "smollm2-135m"]).contains("nothing to remove"));
    assert!(fails(w, &["model", "rm", "model"], 1).contains("no known model"));
    assert!(w.join("model/config.json").exists());
    assert!(fails(w, &["score", "--text", "x", "-m", "ollama:nothing"], 1).contains("Ollama has"));
}
