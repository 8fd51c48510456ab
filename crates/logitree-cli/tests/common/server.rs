//! A server on a tiny model, and requests to it.

use super::logitree;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

pub struct Server {
    pub child: Child,
    pub address: String,
    pub token: String,
}

/// A status, the headers and the body.
pub type Answer = (u16, String, Vec<u8>);

impl Server {
    pub fn start(folder: &Path, args: &[&str]) -> Server {
        let mut child = logitree(folder, &[&["serve", "-m", "model", "--data-dir", "runs"], args].concat())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut link = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut link).unwrap();
        let rest = link.trim().strip_prefix("http://").unwrap_or_else(|| panic!("no link: {link:?}"));
        let (address, token) = rest.split_once("/?token=").unwrap();
        let token = token.split('#').next().unwrap();
        Server { child, address: address.into(), token: token.into() }
    }

    /// A request as it is, with no more headers than these.
    pub fn raw(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut socket = TcpStream::connect(&self.address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        socket.write_all((head + "\r\n").as_bytes()).unwrap();
        // A server that refuses a body need not read it.
        let _ = socket.write_all(body);
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n").expect("a whole head");
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head, answer[end + 4..].to_vec())
    }

    /// A request to the web app's API.
    pub fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        self.ask(method, &format!("/api/v1{path}"), body)
    }

    pub fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let bearer = format!("Bearer {}", self.token);
        let mut headers = vec![("Host", self.address.as_str()), ("Authorization", bearer.as_str())];
        let bytes = body.map(|b| b.to_string()).unwrap_or_default();
        if !bytes.is_empty() {
            headers.push(("Content-Type", "application/json"));
        }
        let (status, _, body) = self.raw(method, path, &headers, bytes.as_bytes());
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    pub fn get(&self, path: &str) -> Value {
        let (status, value) = self.call("GET", path, None);
        assert_eq!(status, 200, "{path}: {value}");
        value
    }

    /// Starts a run and returns its id.
    pub fn begin(&self, request: Value) -> String {
        let (status, info) = self.call("POST", "/runs", Some(request));
        assert_eq!(status, 201, "{info}");
        info["id"].as_str().unwrap().into()
    }

    pub fn wait(&self, id: &str, what: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let info = self.get(&format!("/runs/{id}"));
            if what(&info["status"]) {
                return info;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "{info}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// All lines of a run, up to its `end`.
    pub fn lines_to_the_end(&self, id: &str) -> String {
        self.lines_while(id, 0, |lines| !lines.rsplit('\n').nth(1).is_some_and(|l| l.contains("\"type\":\"end\"")))
    }

    /// Events from a byte on until the run's file was sent up to a length: its lines, as they came.
    pub fn lines(&self, id: &str, from: u64, until: u64) -> String {
        self.lines_while(id, from, |lines| from + (lines.len() as u64) < until)
    }

    /// Sends a request whose answer comes as events, and leaves them to be read.
    pub fn open(&self, path: &str, body: &Value) -> TcpStream {
        let body = body.to_string();
        let mut socket = TcpStream::connect(&self.address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
            self.address,
            self.token,
            body.len()
        );
        socket.write_all((head + &body).as_bytes()).unwrap();
        socket
    }

    pub fn lines_while(&self, id: &str, from: u64, goes_on: impl Fn(&str) -> bool) -> String {
        let mut socket = TcpStream::connect(&self.address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let head = format!(
            "GET /api/v1/runs/{id}/events?from={from} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\r\n",
            self.address, self.token
        );
        socket.write_all(head.as_bytes()).unwrap();
        let (mut lines, mut is_lines) = (String::new(), false);
        for line in BufReader::new(socket).lines() {
            let line = line.unwrap();
            if let Some(name) = line.strip_prefix("event: ") {
                is_lines = name == "lines";
            } else if let Some(data) = line.strip_prefix("data: ").filter(|_| is_lines) {
                lines += data;
                lines.push('\n');
                if !goes_on(&lines) {
                    break;
                }
            }
        }
        lines
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
