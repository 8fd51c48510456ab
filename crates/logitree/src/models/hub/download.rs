//! Downloads one file: an interrupted transfer is resumed, and a server cannot send more bytes than it announced.

use super::HubError;
use super::client::{Address, Client, Response};
use crate::events::{Events, Progress, Work};
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;
use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderName};

/// How many times a transfer may break off without a new byte before the download fails.
const STALLS: u32 = 4;

/// The partial file of a download.
struct Part<'a> {
    path: &'a Path,
    /// Number of bytes that are on disk.
    have: u64,
    /// Size of the complete file, in bytes.
    size: u64,
    label: &'a str,
}

impl Client {
    /// Downloads a file of `size` bytes to `path`. Bytes that are already there are taken for the beginning of the
    /// file, and only the rest is fetched. The caller checks the content.
    ///
    /// # Errors
    /// If the server refuses, has a file of another size (`path` is then removed), or the transfer breaks off too
    /// often (`path` then keeps the bytes that arrived).
    pub fn download(&self, address: &Address, size: u64, path: &Path, label: &str) -> Result<(), HubError> {
        let have = fs::metadata(path).map_or(0, |m| m.len());
        let mut part = Part { path, have: if have > size { 0 } else { have }, size, label };
        // Largest number of bytes so far. If a server ignores ranges, each attempt starts at 0 again, so only bytes
        // beyond this number count as progress.
        let (mut most, mut stalls, mut answered) = (part.have, 0, false);
        while part.have < size {
            let reason = match self.content(address, part.have) {
                Ok(response) => part.take(response, &*self.events)?,
                // The server has answered before in this download, so the failure may be temporary: try again.
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
    /// Appends the body of an answer to the file, and returns why the transfer ended.
    fn take(&mut self, mut response: Response, events: &dyn Events) -> Result<String, HubError> {
        let number =
            |name: HeaderName, read: fn(&str) -> Option<u64>| read(response.headers().get(name)?.to_str().ok()?);
        let start = match response.status().as_u16() {
            // 416: the server's file is not longer than the part that is here, although `size` is. So the part belongs
            // to another file: start again from 0.
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
            // Any other success: the server ignored the range and sends the file from its beginning.
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
        // Read at most one byte more than announced: enough to notice a file that is too long.
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
        // Sync also after a failure: the next attempt continues from the bytes on disk.
        out.sync_all().map_err(HubError::io(self.path))?;
        if self.have > self.size {
            return Err(self.wrong(format!("it has more than {} bytes", self.size)));
        }
        Ok(reason)
    }

    fn wrong(&self, problem: String) -> HubError {
        // A file of the wrong size cannot be trusted. If it cannot be removed, the caller's check of the content still
        // fails.
        let _ = fs::remove_file(self.path);
        HubError::Wrong { file: self.label.into(), problem }
    }
}
