//! Requests to the Hub: redirects, the access token, retries when the server is busy, and the meaning of its refusals.

use super::url::{harmless, host, origin, quoted, said, target, without_query};
use super::{HubError, Settings, settings, spec};
use crate::events::Events;
use serde::Deserialize;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};
use ureq::http::HeaderMap;
use ureq::http::header::{CONTENT_LENGTH, ETAG, LOCATION, RETRY_AFTER};

pub(super) type Response = ureq::http::Response<ureq::Body>;

/// How many times a request is sent to a busy server before it fails.
const TRIES: u32 = 4;
/// Number of redirects that are followed for one request.
const REDIRECTS: usize = 8;
/// Longest time that a server's `Retry-After` may make us wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Largest description of a repository that is read, in bytes: enough for about 100,000 files.
const LARGEST_LISTING: u64 = 16 << 20;

/// A repository at a revision, or a file in it.
#[derive(Clone, Copy, Debug)]
pub struct Address<'a> {
    /// `OWNER/REPO`.
    pub repo: &'a str,
    /// Branch, tag or commit.
    pub revision: &'a str,
    /// Path of the file in the repository; `None` means the repository itself.
    pub file: Option<&'a str>,
}

/// What a repository has at a revision.
#[derive(Debug)]
pub(super) struct Listing {
    /// The complete id of the commit.
    pub commit: String,
    /// Paths of the files, unchecked. A path from this list is used on disk only if it was asked for by name.
    pub files: Vec<String>,
}

/// What the Hub tells about a file before its content.
#[derive(Debug)]
pub(super) struct FileInfo {
    /// The file's name in the cache: the SHA-256 of a large file's content, Git's hash of a small one.
    pub blob: String,
    /// Size in bytes.
    pub size: u64,
}

/// A client of the Hub.
pub struct Client {
    agent: ureq::Agent,
    endpoint: String,
    token: Option<String>,
    pub(super) events: Arc<dyn Events>,
}

impl Client {
    /// Makes a client. No request is sent yet.
    pub fn new(settings: &Settings, events: &Arc<dyn Events>) -> Client {
        let agent = ureq::Agent::config_builder()
            .timeout_resolve(Some(Duration::from_secs(10)))
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_recv_response(Some(Duration::from_secs(30)))
            // A transfer may take hours in total, but no single read may wait longer than this.
            .timeout_per_read(Some(Duration::from_secs(60)))
            .http_status_as_error(false)
            // Redirects are followed in `walk`, because the access token may go to the Hub only, not to the hosts it
            // redirects to.
            .max_redirects(0)
            .user_agent(concat!("logitree/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        Client { agent, endpoint: settings.endpoint.clone(), token: settings.token.clone(), events: events.clone() }
    }

    /// Asks whether the Hub answers at all; any HTTP status counts as an answer.
    ///
    /// # Errors
    /// If there is no answer, with the reason.
    pub(in crate::models) fn reach(&self) -> Result<(), HubError> {
        self.send(true, &self.endpoint, 0, 1).map(drop)
    }

    /// The files and the commit of a repository at a revision. Without `patience`, a busy server is asked only once.
    pub(super) fn listing(&self, repo: &str, revision: &str, patience: bool) -> Result<Listing, HubError> {
        #[derive(Deserialize)]
        struct Info {
            sha: String,
            #[serde(default)]
            siblings: Vec<Sibling>,
        }
        #[derive(Deserialize)]
        struct Sibling {
            rfilename: String,
        }
        let address = Address { repo, revision, file: None };
        let url = self.url(&address);
        let answer = |problem: String| HubError::Answer { url: url.clone(), problem };
        let tries = if patience { TRIES } else { 1 };
        let mut response = self.walk(false, &address, 0, tries, &mut |_| false)?;
        let mut text = Vec::new();
        let read = response.body_mut().as_reader().take(LARGEST_LISTING + 1).read_to_end(&mut text);
        read.map_err(|e| HubError::Unreachable { host: host(&url), reason: e.to_string() })?;
        if text.len() as u64 > LARGEST_LISTING {
            return Err(answer(format!("the answer has more than {} MB", LARGEST_LISTING >> 20)));
        }
        let info: Info =
            serde_json::from_slice(&text).map_err(|e| answer(format!("the answer is not a model: {e}")))?;
        if !spec::is_commit(&info.sha) || (spec::is_commit(revision) && info.sha != revision) {
            return Err(answer(format!("it names {:?} as the commit", harmless(&info.sha))));
        }
        Ok(Listing { commit: info.sha, files: info.siblings.into_iter().map(|s| s.rfilename).collect() })
    }

    /// Name in the cache and size of a file.
    pub(super) fn info(&self, address: &Address) -> Result<FileInfo, HubError> {
        let text = |headers: &HeaderMap, name: &str| Some(headers.get(name)?.to_str().ok()?.to_owned());
        let (mut etag, mut size, mut commit) = (None, None, None);
        // The Hub sends all of this in its own first answer. For a large file that answer is a redirect to a storage
        // host, which does not know it, so the headers are read before the redirect is followed.
        let mut enough = |response: &Response| {
            let headers = response.headers();
            commit = commit.take().or_else(|| text(headers, "x-repo-commit"));
            etag = etag.take().or_else(|| text(headers, "x-linked-etag"));
            size = size.or_else(|| text(headers, "x-linked-size")?.parse().ok());
            etag.is_some() && size.is_some()
        };
        let last = self.walk(true, address, 0, TRIES, &mut enough)?;
        if !enough(&last) {
            etag = etag.or_else(|| text(last.headers(), ETAG.as_str()));
            size = size.or_else(|| text(last.headers(), CONTENT_LENGTH.as_str())?.parse().ok());
        }
        let answer = |problem: &str| HubError::Answer { url: self.url(address), problem: problem.into() };
        if commit.is_some_and(|c| c != address.revision) {
            return Err(answer("the answer is about another commit"));
        }
        let blob = etag.as_deref().and_then(spec::blob_name).ok_or_else(|| answer("the answer has no usable ETag"))?;
        Ok(FileInfo {
            blob: blob.into(),
            size: size.ok_or_else(|| answer("the answer does not say how long the file is"))?,
        })
    }

    /// Asks for a file's content from byte `from` on. The answer's status says whether the server honours the range.
    pub(super) fn content(&self, address: &Address, from: u64) -> Result<Response, HubError> {
        self.walk(false, address, from, TRIES, &mut |_| false)
    }

    /// Sends a request and follows redirects, up to the final answer or the first redirect for which `enough` is true.
    fn walk(
        &self,
        head: bool,
        address: &Address,
        from: u64,
        tries: u32,
        enough: &mut dyn FnMut(&Response) -> bool,
    ) -> Result<Response, HubError> {
        let mut url = self.url(address);
        for _ in 0..=REDIRECTS {
            let response = self.send(head, &url, from, tries)?;
            match response.status().as_u16() {
                200 | 206 => return Ok(response),
                // 416: the local file is already complete (or longer). The caller decides what that means.
                416 if from > 0 => return Ok(response),
                301 | 302 | 303 | 307 | 308 if enough(&response) => return Ok(response),
                301 | 302 | 303 | 307 | 308 => {
                    let location = response.headers().get(LOCATION).and_then(|l| l.to_str().ok());
                    let next = location.and_then(|l| target(&url, l));
                    let problem = || format!("it redirects to {}", harmless(location.unwrap_or("nowhere")));
                    url = next.ok_or_else(|| HubError::Answer { url: url.clone(), problem: problem() })?;
                }
                _ => return Err(self.refusal(address, &url, &response)),
            }
        }
        Err(HubError::Answer { url: self.url(address), problem: "it redirects without end".into() })
    }

    fn send(&self, head: bool, url: &str, from: u64, tries: u32) -> Result<Response, HubError> {
        let mut tried = 0;
        loop {
            let request = if head { self.agent.head(url) } else { self.agent.get(url) };
            // Without compression, so that lengths and ranges count the bytes of the file itself.
            let mut request = request.header("Accept-Encoding", "identity");
            if from > 0 {
                request = request.header("Range", format!("bytes={from}-"));
            }
            // Redirects lead to other hosts with signed addresses, so the token is sent only to the Hub itself.
            if let Some(token) = self.token.as_ref().filter(|_| self.is_hub(url)) {
                request = request.header("Authorization", format!("Bearer {token}"));
            }
            let response = request.call();
            let response =
                response.map_err(|e| HubError::Unreachable { host: host(url), reason: harmless(&e.to_string()) })?;
            tried += 1;
            let status = response.status().as_u16();
            if !matches!(status, 408 | 429 | 500 | 502 | 503 | 504) {
                return Ok(response);
            }
            if tried >= tries {
                return Err(HubError::Busy { host: host(url), status, tries: tried, said: said(response.headers()) });
            }
            let asked = response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
            let wait = asked.map_or(Duration::from_secs(1 << (tried - 1)), Duration::from_secs).min(LONGEST_PAUSE);
            self.events.note(&format!("{} answered {status}; asking again in {} s", host(url), wait.as_secs()));
            self.pause(wait)?;
        }
    }

    fn refusal(&self, address: &Address, url: &str, response: &Response) -> HubError {
        let (status, said) = (response.status().as_u16(), said(response.headers()));
        let repo = address.repo.to_owned();
        let code = response.headers().get("x-error-code").and_then(|v| v.to_str().ok()).unwrap_or_default();
        match (status, code) {
            _ if !self.is_hub(url) => HubError::Status { url: without_query(url), status, said },
            (_, "GatedRepo") => HubError::Gated { page: format!("{}/{repo}", self.endpoint), repo, said },
            (_, "RepoNotFound") => HubError::NoRepo { repo },
            (_, "RevisionNotFound") => HubError::NoRevision { repo, revision: address.revision.into() },
            (401 | 403, _) => HubError::Denied { repo, status, said },
            (404, _) => match address.file {
                None => HubError::NoRepo { repo },
                Some(file) => {
                    HubError::NoFile { repo: format!("{repo}@{}", address.revision), file: file.into(), instead: said }
                }
            },
            _ => HubError::Status { url: without_query(url), status, said },
        }
    }

    fn url(&self, address: &Address) -> String {
        let Address { repo, revision, file } = address;
        match file {
            None => format!("{}/api/models/{repo}/revision/{}", self.endpoint, quoted(revision, "")),
            Some(file) => format!("{}/{repo}/resolve/{}/{}", self.endpoint, quoted(revision, ""), quoted(file, "/")),
        }
    }

    /// Whether an address is on the Hub: the configured endpoint, or the original Hub when the endpoint is a mirror.
    fn is_hub(&self, url: &str) -> bool {
        let here = origin(url);
        here.is_some() && (here == origin(&self.endpoint) || here == origin(settings::HUB))
    }

    /// Waits before a retry; ends with an error if the user interrupts.
    pub(super) fn pause(&self, wait: Duration) -> Result<(), HubError> {
        let begin = Instant::now();
        while let Some(left) = wait.checked_sub(begin.elapsed()) {
            if self.events.stop() {
                return Err(HubError::Interrupted);
            }
            std::thread::sleep(left.min(Duration::from_millis(100)));
        }
        Ok(())
    }
}
