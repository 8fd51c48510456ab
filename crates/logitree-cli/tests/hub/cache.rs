//! The cache on disk, shared with Python.

use super::*;

#[test]
fn the_cache_is_laid_out_as_pythons() {
    let w = workplace();
    let w = w.path();
    let repo = Repo::new(whole(w));
    let hub = Hub::start(repo.clone());
    let path = works(with(&hub, w, &["model", "pull", MODEL]));
    let snapshot = cached(w).join("snapshots").join(&repo.commit);
    assert_eq!(Path::new(&path), snapshot);
    assert_eq!(fs::read_to_string(cached(w).join("refs/main")).unwrap(), repo.commit);
    let mut names: Vec<String> = repo.files.iter().map(|(path, bytes)| etag(path, bytes)).collect();
    names.sort();
    assert_eq!(blobs(w), names);
    for (name, bytes) in &repo.files {
        let place = snapshot.join(name);
        assert_eq!(&fs::read(&place).unwrap(), bytes);
        let link = fs::read_link(&place).unwrap();
        assert_eq!(link, Path::new("../../blobs").join(etag(name, bytes)));
        let lock = format!("hf/hub/.locks/models--owner--tiny/{}.lock", etag(name, bytes));
        assert!(w.join(lock).is_file());
    }
    // Where it is, is known without asking.
    hub.hub.forget();
    assert_eq!(works(with(&hub, w, &["model", "path", MODEL])), path);
    for (format, told) in [("json", "\"exists\": false"), ("text", "")] {
        let missing = with(&hub, w, &["model", "path", "owner/other", "--format", format]).output().unwrap();
        let (printed, why) = (String::from_utf8_lossy(&missing.stdout), stderr(&missing));
        assert_eq!((missing.status.code(), printed.is_empty()), (Some(1), told.is_empty()), "{why}");
        assert!(printed.contains(told), "{printed}");
        assert!(why.contains("`logitree model pull owner/other` fetches it to "), "{why}");
        assert!(why.contains("models--owner--other"), "{why}");
    }
    assert!(hub.hub.seen().is_empty());
    assert!(works(with(&hub, w, &["model", "info", MODEL])).contains("gemma3"));
    // A folder of the name is meant before the Hub's model.
    fs::create_dir(w.join("owner")).unwrap();
    fs::rename(w.join("model"), w.join("owner/tiny")).unwrap();
    assert_eq!(works(with(&hub, w, &["model", "path", MODEL])), MODEL);
}

#[test]
fn without_links_files_are_moved_and_copied() {
    let w = workplace();
    let w = w.path();
    let mut repo = Repo::new(whole(w));
    let hub = Hub::start(repo.clone());
    let pull = || {
        let mut command = with(&hub, w, &["model", "pull", MODEL]);
        command.env("HF_HUB_DISABLE_SYMLINKS", "1");
        PathBuf::from(works(command))
    };
    let snapshot = pull();
    assert!(fs::symlink_metadata(snapshot.join("config.json")).unwrap().is_file());
    assert!(blobs(w).is_empty());
    // Content that other commits link to stays where it is.
    works(with(&hub, w, &["model", "pull", MODEL]));
    fs::remove_dir_all(&snapshot).unwrap();
    works(with(&hub, w, &["model", "pull", MODEL]));
    repo.commit = "f".repeat(40);
    *hub.repo.lock().unwrap() = repo.clone();
    hub.cdn.forget();
    let copy = pull();
    assert_ne!(copy, snapshot);
    assert!(fs::symlink_metadata(copy.join("model.safetensors")).unwrap().is_file());
    assert!(snapshot.join("model.safetensors").is_file());
    assert!(hub.cdn.seen().is_empty());
}

#[test]
fn offline_the_cache_serves() {
    let w = workplace();
    let w = w.path();
    let repo = Repo::new(sharded(w));
    let hub = Hub::start(repo.clone());
    let offline = |variable: &str, model: &str| {
        let mut command = with(&hub, w, &["model", "pull", model]);
        command.env(variable, "1");
        command
    };
    let error = refused(offline("HF_HUB_OFFLINE", MODEL));
    assert!(error.contains("downloads are off") && error.contains("lacks owner/tiny@main"), "{error}");
    assert!(hub.hub.seen().is_empty());
    let path = works(with(&hub, w, &["model", "pull", MODEL]));
    hub.hub.forget();
    for variable in ["HF_HUB_OFFLINE", "LOGITREE_OFFLINE"] {
        assert_eq!(works(offline(variable, MODEL)), path);
        assert_eq!(works(offline(variable, &format!("{MODEL}@{}", repo.commit))), path);
    }
    let error = refused(offline("HF_HUB_OFFLINE", "owner/tiny@v2"));
    assert!(error.contains("lacks owner/tiny@v2"), "{error}");
    fs::remove_file(Path::new(&path).join(SHARDS[1])).unwrap();
    let error = refused(offline("HF_HUB_OFFLINE", MODEL));
    assert!(error.contains(&format!("lacks {} of owner/tiny@main", SHARDS[1])), "{error}");
    assert!(hub.hub.seen().is_empty());
}

#[test]
fn a_cache_of_pythons_is_used() {
    let w = workplace();
    let w = w.path();
    let repo = Repo::new(whole(w));
    let (root, commit) = (cached(w), &repo.commit);
    for (name, bytes) in &repo.files {
        let blob = etag(name, bytes);
        let place = root.join("snapshots").join(commit).join(name);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::create_dir_all(root.join("blobs")).unwrap();
        fs::write(root.join("blobs").join(&blob), bytes).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(Path::new("../../blobs").join(&blob), &place).unwrap();
        #[cfg(not(unix))]
        fs::write(&place, bytes).unwrap();
    }
    fs::create_dir_all(root.join("refs")).unwrap();
    fs::write(root.join("refs/main"), commit).unwrap();
    fs::create_dir_all(root.join(".no_exist").join(commit)).unwrap();
    let hub = Hub::start(repo.clone());
    let path = works(with(&hub, w, &["model", "pull", MODEL]));
    assert_eq!(hub.hub.seen(), ["GET /api/models/owner/tiny/revision/main"]);
    let mut offline = with(&hub, w, &["logprobs", "hello", "-n", "2", "-m", MODEL]);
    works({
        offline.env("HF_HUB_OFFLINE", "1");
        offline
    });

    // The Hub is out of reach, or keeps us out: the cache stands in, and that is said.
    let mut gone = with(&hub, w, &["model", "pull", MODEL]);
    let output = gone.env("HF_ENDPOINT", "http://127.0.0.1:9").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), path);
    let note = stderr(&output);
    assert!(
        note.contains("127.0.0.1:9 cannot be reached") && note.contains(&format!("in the cache (commit {commit})")),
        "{note}"
    );
    for (status, code) in [(401, "GatedRepo"), (503, "")] {
        let change = move |_: &Request, _: Answer| Answer::refusal(status, code, "");
        let hub = Hub::with(repo.clone(), Box::new(change), Box::new(|_, a| a));
        assert_eq!(works(with(&hub, w, &["model", "pull", MODEL])), path);
        assert_eq!(hub.hub.seen().len(), 1, "no waiting where there is something to go on with");
    }
    // What the Hub says does not exist is not looked for elsewhere.
    let change = |_: &Request, _: Answer| Answer::refusal(404, "RevisionNotFound", "");
    let hub = Hub::with(repo, Box::new(change), Box::new(|_, a| a));
    refused(with(&hub, w, &["model", "pull", MODEL]));
}

#[test]
fn a_branch_moves_only_when_all_of_the_new_commit_is_here() {
    let w = workplace();
    let w = w.path();
    let mut repo = Repo::new(whole(w));
    let broken = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flag = broken.clone();
    let cdn = move |_: &Request, a: Answer| {
        if flag.load(std::sync::atomic::Ordering::SeqCst) { Answer::new(403, "") } else { a }
    };
    let hub = Hub::with(repo.clone(), Box::new(|_, a| a), Box::new(cdn));
    let old = works(with(&hub, w, &["model", "pull", MODEL]));
    repo.commit = "e".repeat(40);
    repo.files.get_mut("model.safetensors").unwrap().reverse();
    *hub.repo.lock().unwrap() = repo.clone();
    broken.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(works(with(&hub, w, &["model", "pull", MODEL])), old);
    broken.store(false, std::sync::atomic::Ordering::SeqCst);
    let new = works(with(&hub, w, &["model", "pull", MODEL]));
    assert!(new.ends_with(&repo.commit) && new != old);
    assert_eq!(fs::read_to_string(cached(w).join("refs/main")).unwrap(), repo.commit);
    // The small files are the same content, which is there once.
    let config = |snapshot: &str| fs::canonicalize(Path::new(snapshot).join("config.json")).unwrap();
    assert_eq!(config(&old), config(&new));
}

#[test]
fn a_run_file_is_no_order_to_fetch() {
    let w = workplace();
    let w = w.path();
    let hub = Hub::start(Repo::new(whole(w)));
    works(with(&hub, w, &["tree", "hello", "-m", "model", "--max-depth", "2", "-o", "own.run.jsonl"]));
    let text = fs::read_to_string(w.join("own.run.jsonl")).unwrap();
    let (header, rest) = text.split_once('\n').unwrap();
    for name in
        [MODEL, "hf:owner/tiny", "owner/tiny@main", "hf:owner/other/x.gguf", "smollm2-135m", "//host/share/m.gguf"]
    {
        let mut named: Value = serde_json::from_str(header).unwrap();
        named["model"]["name"] = name.into();
        let file = format!("{}\n{rest}", named);
        fs::write(w.join("x.run.jsonl"), &file).unwrap();
        for args in [["verify", "x.run.jsonl"], ["tree", "--resume=x.run.jsonl"]] {
            let why = refused(with(&hub, w, &args));
            assert!(why.contains("-m") && why.contains("not here"), "{name} {args:?}: {why}");
        }
        assert!(hub.hub.seen().is_empty(), "{name}: {:?}", hub.hub.seen());
        assert_eq!(fs::read_to_string(w.join("x.run.jsonl")).unwrap(), file);
    }
    // What is in the cache is used without asking the Hub, and what the user names is fetched.
    let mut named: Value = serde_json::from_str(header).unwrap();
    named["model"]["name"] = MODEL.into();
    fs::write(w.join("x.run.jsonl"), format!("{}\n{rest}", named)).unwrap();
    works(with(&hub, w, &["verify", "x.run.jsonl", "-m", MODEL]));
    assert!(!hub.hub.seen().is_empty());
    hub.hub.forget();
    works(with(&hub, w, &["verify", "x.run.jsonl"]));
    assert!(hub.hub.seen().is_empty(), "{:?}", hub.hub.seen());
}
