//! Large files on bad connections.

use super::*;

/// Requests of one kind that a server saw.
fn asked(log: &[Request], what: &str) -> Vec<Request> {
    log.iter().filter(|r| r.path.contains(what)).cloned().collect()
}

#[test]
fn cut_transfers_go_on_where_they_ended() {
    let w = workplace();
    let w = w.path();
    let repo = Repo::new(whole(w));
    let weights = &repo.files["model.safetensors"];
    // Breaks off twice; small files too.
    let cut = |_: &Request, mut a: Answer| {
        if a.body.len() > 600_000 {
            a.cut = Some(500_000);
        }
        a
    };
    let hub = Hub::with(repo.clone(), Box::new(|_, a| a), Box::new(cut));
    works(with(&hub, w, &["model", "pull", MODEL]));
    let requests = hub.cdn.log.lock().unwrap().clone();
    let from: Vec<Option<usize>> = asked(&requests, "model.safetensors").iter().map(Request::from).collect();
    assert_eq!(from, [None, Some(500_000), Some(1_000_000)]);
    assert!(!blobs(w).iter().any(|b| b.ends_with(".incomplete")));

    // What a killed process left.
    let other = tempfile::tempdir().unwrap();
    let left = cached(other.path()).join("blobs").join(format!("{}.incomplete", sha256(weights)));
    fs::create_dir_all(left.parent().unwrap()).unwrap();
    fs::write(&left, &weights[..1234]).unwrap();
    // A small file's beginning is not trusted: nothing would show that it is another's.
    let small = left.with_file_name(format!("{}.incomplete", etag("config.json", &repo.files["config.json"])));
    fs::write(&small, "{{{").unwrap();
    let hub = Hub::start(repo.clone());
    works(with(&hub, other.path(), &["model", "pull", MODEL]));
    assert_eq!(hub.cdn.log.lock().unwrap()[0].from(), Some(1234));
    assert!(!left.exists() && !small.exists());

    // A server without ranges: from the beginning, until it gets through.
    let other = tempfile::tempdir().unwrap();
    let count = std::sync::atomic::AtomicUsize::new(0);
    let bytes = weights.clone();
    let cut = move |_: &Request, _: Answer| {
        let first = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
        Answer { cut: first.then_some(700_000), ..Answer::new(200, bytes.clone()) }
    };
    let hub = Hub::with(repo.clone(), Box::new(|_, a| a), Box::new(cut));
    let path = works(with(&hub, other.path(), &["model", "pull", MODEL]));
    assert_eq!(&fs::read(Path::new(&path).join("model.safetensors")).unwrap(), weights);
    assert_eq!(hub.cdn.seen().len(), 2);
}

#[test]
fn several_processes_at_once_fetch_once() {
    let w = workplace();
    let w = w.path();
    let hub = Hub::start(Repo::new(whole(w)));
    let children: Vec<_> = (0..3).map(|_| with(&hub, w, &["model", "pull", MODEL]).spawn().unwrap()).collect();
    assert!(children.into_iter().all(|mut c| c.wait().unwrap().success()));
    assert_eq!(hub.cdn.seen(), ["GET /model.safetensors?signed=1"]);
}

#[test]
fn wrong_bytes_are_refused_and_removed() {
    let w = workplace();
    let w = w.path();
    let repo = Repo::new(whole(w));
    let size = repo.files["model.safetensors"].len();
    type Wrong = fn(Answer) -> Answer;
    let cases: [(Wrong, &str); 4] = [
        (
            |mut a| {
                a.body[70_000] ^= 1;
                a
            },
            "sha256 is",
        ),
        (
            |mut a| {
                a.body.push(0);
                a
            },
            "bytes instead of",
        ),
        (
            |mut a| {
                a.body.extend([0; 100_000]);
                Answer { unmeasured: true, ..a }
            },
            "more than",
        ),
        (|a| a.with("Content-Length", (1u64 << 50).to_string()), "1125899906842624 bytes instead of"),
    ];
    for (wrong, text) in cases {
        let hub = Hub::with(repo.clone(), Box::new(|_, a| a), Box::new(move |_, a| wrong(a)));
        let error = refused(with(&hub, w, &["model", "pull", MODEL]));
        assert!(error.contains("model.safetensors is not what was announced") && error.contains(text), "{error}");
        assert!(blobs(w).iter().all(|b| b.len() == 40), "{:?}", blobs(w));
        assert!(!cached(w).join("refs/main").exists());
    }
    // A damaged content in the cache is fetched again.
    let hub = Hub::start(repo.clone());
    let snapshot = works(with(&hub, w, &["model", "pull", MODEL]));
    let blob = cached(w).join("blobs").join(sha256(&repo.files["model.safetensors"]));
    fs::write(&blob, "short").unwrap();
    fs::remove_file(Path::new(&snapshot).join("model.safetensors")).unwrap();
    works(with(&hub, w, &["model", "pull", MODEL]));
    assert_eq!(fs::metadata(blob).unwrap().len(), size as u64);
}
