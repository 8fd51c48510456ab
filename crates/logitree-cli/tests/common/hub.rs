//! A Hugging Face Hub and the host that has its large files, on this machine.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
}

impl Request {
    /// First byte that is asked for.
    pub fn from(&self) -> Option<usize> {
        self.headers.get("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// An answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Hang up after so many bytes of the body.
    pub cut: Option<usize>,
    /// Do not say how long the body is.
    pub unmeasured: bool,
}

impl Answer {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Answer {
        Answer { status, body: body.into(), ..Answer::default() }
    }

    pub fn with(mut self, name: &str, value: impl Into<String>) -> Answer {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// A refusal in the Hub's way.
    pub fn refusal(status: u16, code: &str, message: &str) -> Answer {
        Answer::new(status, "{}").with("X-Error-Code", code).with("X-Error-Message", message)
    }
}

/// A server until the process ends.
#[derive(Clone)]
pub struct Server {
    /// `HOST:PORT`.
    pub address: String,
    pub log: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server { address: listener.local_addr().unwrap().to_string(), log: Arc::default() };
        let (log, answer) = (server.log.clone(), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (log, answer) = (log.clone(), answer.clone());
                thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                    let Some(first) = lines.next() else { return };
                    let mut words = first.split(' ').map(str::to_owned);
                    let (method, path) = (words.next().unwrap(), words.next().unwrap());
                    let headers = lines.take_while(|l| !l.is_empty());
                    let headers = headers.filter_map(|l| {
                        let (name, value) = l.split_once(':')?;
                        Some((name.to_lowercase(), value.trim().to_owned()))
                    });
                    let request = Request { method, path, headers: headers.collect() };
                    log.lock().unwrap().push(request.clone());
                    let a = answer(&request);
                    let mut head = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", a.status);
                    if !a.unmeasured && !a.headers.iter().any(|(n, _)| n == "Content-Length") {
                        head += &format!("Content-Length: {}\r\n", a.body.len());
                    }
                    for (name, value) in &a.headers {
                        head += &format!("{name}: {value}\r\n");
                    }
                    let body = if request.method == "HEAD" { &[] } else { &a.body[..a.cut.unwrap_or(a.body.len())] };
                    // The client may have gone.
                    let _ = stream.write_all((head + "\r\n").as_bytes());
                    let _ = stream.write_all(body);
                });
            }
        });
        server
    }

    /// Requests so far, as `METHOD PATH`.
    pub fn seen(&self) -> Vec<String> {
        self.log.lock().unwrap().iter().map(|r| format!("{} {}", r.method, r.path)).collect()
    }

    pub fn forget(&self) {
        self.log.lock().unwrap().clear();
    }
}

/// A repository.
#[derive(Clone)]
pub struct Repo {
    pub name: String,
    pub commit: String,
    /// Branches and tags.
    pub revisions: Vec<String>,
    pub files: BTreeMap<String, Vec<u8>>,
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Git's name of a small file here is any 40 digits of its own.
pub fn etag(path: &str, bytes: &[u8]) -> String {
    if is_large(path) { sha256(bytes) } else { sha256(bytes)[..40].into() }
}

fn is_large(path: &str) -> bool {
    path.ends_with(".safetensors") || path.ends_with(".gguf")
}

impl Repo {
    pub fn new(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Repo {
        Repo {
            name: "owner/tiny".into(),
            commit: "0123456789abcdef0123456789abcdef01234567".into(),
            revisions: vec!["main".into(), "refs/pr/1".into()],
            files: files.into_iter().collect(),
        }
    }

    pub fn listing(&self) -> Value {
        let siblings: Vec<Value> = self.files.keys().map(|f| json!({ "rfilename": f })).collect();
        json!({ "id": self.name, "sha": self.commit, "private": false, "gated": false, "siblings": siblings })
    }

    /// As huggingface.co answers: small files itself, large ones by a redirect to `cdn`.
    pub fn answer(&self, request: &Request, cdn: &str) -> Answer {
        let revision = |quoted: &str| {
            let name = quoted.replace("%2F", "/");
            self.revisions.contains(&name) || name == self.commit
        };
        if let Some(asked) = request.path.strip_prefix(&format!("/api/models/{}/revision/", self.name)) {
            return match revision(asked.split('?').next().unwrap_or_default()) {
                true => Answer::new(200, self.listing().to_string()).with("Content-Type", "application/json"),
                false => Answer::refusal(404, "RevisionNotFound", "Invalid rev id"),
            };
        }
        let Some(asked) = request.path.strip_prefix(&format!("/{}/resolve/", self.name)) else {
            return Answer::refusal(401, "RepoNotFound", "Repository not found");
        };
        let (at, path) = asked.split_once('/').unwrap_or_default();
        if !revision(at) {
            return Answer::refusal(404, "RevisionNotFound", "Invalid rev id");
        }
        let Some(bytes) = self.files.get(path) else {
            return Answer::refusal(404, "EntryNotFound", "Entry not found");
        };
        let etag = format!("\"{}\"", etag(path, bytes));
        if is_large(path) {
            return Answer::new(302, "Found")
                .with("X-Repo-Commit", &self.commit)
                .with("X-Linked-Etag", etag)
                .with("X-Linked-Size", bytes.len().to_string())
                // This is of the redirect.
                .with("ETag", "\"wrong\"")
                .with("Location", format!("http://{cdn}/{path}?signed=1"));
        }
        Answer::new(200, bytes.clone()).with("X-Repo-Commit", &self.commit).with("ETag", etag)
    }

    /// As the other host answers.
    pub fn content(&self, request: &Request) -> Answer {
        let path = request.path[1..].split('?').next().unwrap_or_default();
        let Some(bytes) = self.files.get(path) else { return Answer::new(404, "") };
        match request.from() {
            None => Answer::new(200, bytes.clone()),
            Some(from) if from < bytes.len() => {
                let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
                Answer::new(206, &bytes[from..]).with("Content-Range", range)
            }
            Some(_) => Answer::new(416, ""),
        }
    }
}

/// What a test changes of the answers.
pub type Change = Box<dyn Fn(&Request, Answer) -> Answer + Send + Sync>;

/// Both servers.
pub struct Hub {
    pub hub: Server,
    pub cdn: Server,
    /// Served; tests may push to it.
    pub repo: Arc<Mutex<Repo>>,
}

impl Hub {
    pub fn start(repo: Repo) -> Hub {
        Hub::with(repo, Box::new(|_, a| a), Box::new(|_, a| a))
    }

    /// With changed answers of the Hub, and of the host of the large files.
    pub fn with(repo: Repo, hub: Change, cdn: Change) -> Hub {
        let repo = Arc::new(Mutex::new(repo));
        let served = repo.clone();
        let cdn = Server::start(move |r| cdn(r, served.lock().unwrap().clone().content(r)));
        // Another host by name as well as by port.
        let host = cdn.address.replace("127.0.0.1", "localhost");
        let served = repo.clone();
        let hub = Server::start(move |r| hub(r, served.lock().unwrap().clone().answer(r, &host)));
        Hub { hub, cdn, repo }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.hub.address)
    }
}
