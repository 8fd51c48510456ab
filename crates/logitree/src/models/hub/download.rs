//! A file's bytes: gone on with where they ended, never more than announced.

use super::HubError;
use super::client::{Address, Client, Response};
use crate::events::{Events, Progress, Work};
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;
use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderName};

/// How often a transfer may break off without a new byte.
const STALLS: u32 = 4;

/// A file that is being fetched.
struct Part<'a> {
    path: &'a Path,
    /// Bytes it has.
    have: u64,
    /// Bytes it is to have.
    size: u64,
    label: &'a str,
}

impl Client {
    /// Brings `path` to `size` bytes of a file; what it has already is taken for the file's beginning. The caller checks
    /// the content.
    ///
    /// # Errors
    /// If the server refuses, has a file of another size (`path` is then removed), or the transfer breaks off too often
    /// (`path` then has what came).
    pub fn download(&self, address: &Address, size: u64, path: &Path, label: &str) -> Result<(), HubError> {
        let have = fs::metadata(path).map_or(0, |m| m.len());
        let mut part = Part { path, have: if have > size { 0 } else { have }, size, label };
        // The most there has been: where a server ignores ranges, beginning again is no progress.
        let (mut most, mut stalls, mut answered) = (part.have, 0, false);
        while part.have < size {
            let reason = match self.content(address, part.have) {
                Ok(response) => part.take(response, &*self.events)?,
                // The connection did work: this may pass.
                Err(e @ HubError::Unreachable { .. }) if answered => e.to_string(),
                Err(e) => return Err(e),
            };
            answered = true;
            if part.have < size {
                stalls = if part.have > most { 1 } else { stalls + 1 };
                most = most.max(part.have);
                if stalls > STALLS {
                    return Err(HubError::Broken { file: label.into(), have: part.have, size, reason });
                }
                let have = part.have;
                self.events
                    .note(&format!("the transfer of {label} broke off ({reason}); going on at {have} of {size} bytes"));
                self.pause(Duration::from_secs(1 << (stalls - 1)))?;
            }
        }
        Ok(())
    }
}

impl Part<'_> {
    /// Takes what an answer has; says why that ended.
    fn take(&mut self, mut response: Response, events: &dyn Events) -> Result<String, HubError> {
        let number =
            |name: HeaderName, read: fn(&str) -> Option<u64>| read(response.headers().get(name)?.to_str().ok()?);
        let start = match response.status().as_u16() {
            // The server's file is shorter than what is here, which thus is of another one.
            416 => {
                self.have = 0;
                return Ok("what is here is not of this file".into());
            }
            206 => match number(CONTENT_RANGE, |r| r.strip_prefix("bytes ")?.split('-').next()?.parse().ok()) {
                Some(start) if start != self.have => {
                    self.have = 0;
                    return Ok("the server sent another part".into());
                }
                _ => self.have,
            },
            // The server ignores ranges.
            _ => 0,
        };
        let total = number(CONTENT_LENGTH, |n| n.parse().ok()).map(|n| n.saturating_add(start));
        if let Some(total) = total.filter(|&t| t != self.size) {
            return Err(self.wrong(format!("it has {total} bytes instead of {}", self.size)));
        }
        let out = OpenOptions::new().create(true).write(true).truncate(false).open(self.path);
        let mut out = out.map_err(HubError::io(self.path))?;
        out.set_len(start).and_then(|()| out.seek(SeekFrom::Start(start))).map_err(HubError::io(self.path))?;
        self.have = start;
        // Never more than announced, whatever the server sends.
        let mut body = response.body_mut().as_reader().take(self.size - start + 1);
        let _work = Work(events);
        let mut buffer = vec![0; 1 << 16];
        let reason = loop {
            if events.stop() {
                return Err(HubError::Interrupted);
            }
            match body.read(&mut buffer) {
                Ok(0) => break "the connection ended".into(),
                Ok(n) => {
                    out.write_all(&buffer[..n]).map_err(HubError::io(self.path))?;
                    self.have += n as u64;
                    events.progress(Progress::Bytes { name: self.label, done: self.have, total: self.size });
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => break e.to_string(),
            }
        };
        // Whole or not, it is what the next attempt goes on from.
        out.sync_all().map_err(HubError::io(self.path))?;
        if self.have > self.size {
            return Err(self.wrong(format!("it has more than {} bytes", self.size)));
        }
        Ok(reason)
    }

    fn wrong(&self, problem: String) -> HubError {
        // Nothing of it can be trusted; where it cannot be removed, its content will not pass the check either.
        let _ = fs::remove_file(self.path);
        HubError::Wrong { file: self.label.into(), problem }
    }
}
