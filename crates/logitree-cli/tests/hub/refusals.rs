//! What a Hub may say no to, and what it may not do.

use super::*;

#[test]
fn refusals_are_told_apart() {
    let w = workplace();
    let w = w.path();
    // The last character begins a command to a terminal.
    let words = "Access to model owner/tiny is restricted.\u{9b}31m";
    let cases: [(u16, &str, &str, &[&str]); 6] = [
        (
            401,
            "GatedRepo",
            words,
            &["is gated (Access to model owner/tiny is restricted.\u{fffd}31m)", "accept its terms", "HF_TOKEN"],
        ),
        (403, "GatedRepo", words, &["is gated", "/owner/tiny, accept", "`hf auth login`", "`huggingface-cli login`"]),
        (401, "RepoNotFound", "Repository not found", &["no model owner/tiny, or it is a private one", "HF_TOKEN"]),
        (401, "", "Invalid credentials in Authorization header", &["denies access", "401 (Invalid credentials"]),
        (404, "RevisionNotFound", "Invalid rev id: v9", &["owner/tiny has no revision \"v9\""]),
        (418, "", "", &["answered with 418"]),
    ];
    for (status, code, message, texts) in cases {
        let (code, message) = (code.to_owned(), message.to_owned());
        let change = move |_: &Request, _: Answer| Answer::refusal(status, &code, &message);
        let hub = Hub::with(Repo::new([]), Box::new(change), Box::new(|_, a| a));
        let error = refused(with(&hub, w, &["model", "pull", "owner/tiny@v9"]));
        for text in texts {
            assert!(error.contains(text), "{status}: {error}");
        }
        assert!(!error.contains('\u{9b}'), "{error}");
        assert!(error.contains("\"owner/tiny@v9\" is no file or folder here"), "{error}");
    }
    // A file that vanishes between the listing and the download.
    let hub = Hub::with(
        Repo::new(whole(w)),
        Box::new(|r, a| {
            if r.path.ends_with("tokenizer.json") {
                Answer::refusal(404, "EntryNotFound", "Entry not found")
            } else {
                a
            }
        }),
        Box::new(|_, a| a),
    );
    let error = refused(with(&hub, w, &["model", "pull", MODEL]));
    assert!(error.contains("has no tokenizer.json (Entry not found)"), "{error}");
    assert!(!cached(w).join("refs/main").exists());
    // The other host's refusal is not the Hub's, and shows no signature.
    let hub = Hub::with(Repo::new(whole(w)), Box::new(|_, a| a), Box::new(|_, _| Answer::new(403, "")));
    let error = refused(with(&hub, w, &["model", "pull", MODEL]));
    assert!(error.contains("/model.safetensors was answered with 403") && !error.contains("signed"), "{error}");
}

#[test]
fn busy_servers_are_asked_again_but_not_for_ever() {
    let w = workplace();
    let w = w.path();
    let count = std::sync::atomic::AtomicUsize::new(0);
    let busy = move |_: &Request, a: Answer| {
        let n = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        if n % 3 == 2 { a } else { Answer::new([429, 503][n % 3], "").with("Retry-After", "0") }
    };
    let hub = Hub::with(Repo::new(whole(w)), Box::new(busy), Box::new(|_, a| a));
    works(with(&hub, w, &["model", "pull", MODEL]));

    let empty = tempfile::tempdir().unwrap();
    let busy = |_: &Request, _: Answer| Answer::refusal(429, "", "slow down").with("Retry-After", "0");
    let hub = Hub::with(Repo::new([]), Box::new(busy), Box::new(|_, a| a));
    let error = refused(with(&hub, empty.path(), &["model", "pull", MODEL]));
    assert!(error.contains("answered 429 4 times (slow down)"), "{error}");
    assert_eq!(hub.hub.seen().len(), 4);
}

#[test]
fn the_token_goes_to_the_hub_alone() {
    let w = workplace();
    let w = w.path();
    let repo = Repo::new(whole(w));
    // The repository was renamed: the old name redirects, within the Hub.
    let hub = Hub::with(
        repo,
        Box::new(|r, a| match r.path.contains("/old/name") {
            true => Answer::new(307, "").with("Location", r.path.replace("/old/name", "/owner/tiny")),
            false => a,
        }),
        Box::new(|_, a| a),
    );
    fs::create_dir(w.join("hf")).unwrap();
    fs::write(w.join("hf/token"), "of-the-login\n").unwrap();
    works(with(&hub, w, &["model", "pull", "old/name"]));
    for request in hub.hub.log.lock().unwrap().iter() {
        assert_eq!(request.headers["authorization"], "Bearer of-the-login", "{request:?}");
    }
    let large = hub.cdn.log.lock().unwrap().clone();
    assert!(!large.is_empty());
    for request in large {
        assert!(!request.headers.contains_key("authorization"), "{request:?}");
    }
    assert!(w.join("hf/hub/models--old--name/refs/main").is_file());

    hub.hub.forget();
    let mut command = with(&hub, w, &["model", "pull", MODEL]);
    command.env("HF_TOKEN", "of-the-shell");
    works(command);
    assert!(hub.hub.log.lock().unwrap().iter().all(|r| r.headers["authorization"] == "Bearer of-the-shell"));
}

#[test]
fn hostile_answers_reach_nothing() {
    let w = workplace();
    let w = w.path();
    let files = whole(w);
    let outside = |folder: &Path| {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|n| !["model", "hf", "cache"].contains(&n.as_str()));
        names
    };
    let api = |body: Value| {
        let body = body.to_string();
        let change =
            move |r: &Request, a: Answer| if r.path.starts_with("/api/") { Answer::new(200, body.clone()) } else { a };
        Hub::with(Repo::new(whole(w)), Box::new(change), Box::new(|_, a| a))
    };
    // Names in the listing that reach out are not even looked at.
    let mut evil = files.clone();
    for name in ["../../../../evil", "/tmp/evil", "..\\evil", "refs/../../evil", "C:evil"] {
        evil.insert(name.into(), b"evil".to_vec());
    }
    let hub = Hub::start(Repo::new(evil));
    works(with(&hub, w, &["model", "pull", MODEL]));
    assert!(!hub.hub.seen().iter().any(|r| r.contains("evil")));
    fs::remove_dir_all(w.join("hf")).unwrap();
    // A commit that is none, or another than was asked for.
    for commit in ["../../../x", "main", "0123", &"G".repeat(40), ""] {
        let error = refused(with(&api(json!({ "sha": commit, "siblings": [] })), w, &["model", "pull", MODEL]));
        assert!(error.contains("as the commit"), "{error}");
    }
    let asked = format!("{MODEL}@{}", "a".repeat(40));
    let error = refused(with(&api(json!({ "sha": "b".repeat(40), "siblings": [] })), w, &["model", "pull", &asked]));
    assert!(error.contains("as the commit"), "{error}");
    // Shards elsewhere.
    for shard in ["../../x.safetensors", "/etc/passwd", "a/b.safetensors"] {
        let mut files = sharded(w);
        let index = json!({ "weight_map": { "x": shard } }).to_string().into_bytes();
        files.insert("model.safetensors.index.json".into(), index);
        files.insert(shard.into(), b"evil".to_vec());
        let error = refused(with(&Hub::start(Repo::new(files)), w, &["model", "pull", MODEL]));
        assert!(error.contains("is not a file's name"), "{error}");
    }
    // Headers that would name files, or say nothing.
    let head = |name: &'static str, value: &'static str| {
        let change = move |r: &Request, mut a: Answer| {
            if r.method == "HEAD" {
                a.headers.retain(|(n, _)| n != name);
                a.headers.push((name.into(), value.into()));
            }
            a
        };
        let empty = tempfile::tempdir().unwrap();
        let hub = Hub::with(Repo::new(whole(w)), Box::new(change), Box::new(|_, a| a));
        let error = refused(with(&hub, empty.path(), &["model", "pull", MODEL]));
        assert_eq!(outside(empty.path()), [""; 0]);
        error
    };
    for etag in ["\"../../../evil\"", "\"/tmp/evil\"", "\"\"", "\"a.lock\""] {
        assert!(head("ETag", etag).contains("no usable ETag"));
    }
    assert!(head("X-Repo-Commit", "ffffffffffffffffffffffffffffffffffffffff").contains("another commit"));
    assert!(head("X-Linked-Etag", "\"../x\"").contains("no usable ETag"));
    assert!(head("X-Linked-Size", "99").contains("bytes instead of 99"));
    // Redirects that lead nowhere, and round and round.
    for (location, text) in
        [("ftp://x/y", "it redirects to ftp://x/y"), ("/api/models/again", "without end"), ("\\\\x", "it redirects")]
    {
        let change = move |_: &Request, _: Answer| Answer::new(302, "").with("Location", location);
        let hub = Hub::with(Repo::new([]), Box::new(change), Box::new(|_, a| a));
        let empty = tempfile::tempdir().unwrap();
        let error = refused(with(&hub, empty.path(), &["model", "pull", MODEL]));
        assert!(error.contains(text), "{error}");
        assert!(hub.hub.seen().len() < 12);
    }
    // Descriptions without end, and ones that are none.
    let huge = |_: &Request, _: Answer| Answer { unmeasured: true, ..Answer::new(200, vec![b' '; 20 << 20]) };
    for (change, text) in [
        (Box::new(huge) as common::hub::Change, "more than 16 MB"),
        (Box::new(|_: &Request, _: Answer| Answer::new(200, "<html>Log in</html>")), "not a login page"),
        (Box::new(|_: &Request, _: Answer| Answer::new(200, "[".repeat(100_000))), "not a model"),
    ] {
        let empty = tempfile::tempdir().unwrap();
        let hub = Hub::with(Repo::new([]), change, Box::new(|_, a| a));
        let error = refused(with(&hub, empty.path(), &["model", "pull", MODEL]));
        assert!(error.contains(text), "{error}");
    }
    assert_eq!(outside(w), [""; 0]);
    // A ref that was tampered with is not followed.
    fs::create_dir_all(cached(w).join("refs")).unwrap();
    fs::write(cached(w).join("refs/main"), "../../../model").unwrap();
    let mut offline = logitree(w, &["model", "pull", MODEL]);
    offline.env("HF_HOME", w.join("hf"));
    assert!(refused(offline).contains("lacks owner/tiny@main"));
}
