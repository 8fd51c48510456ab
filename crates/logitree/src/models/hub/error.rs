//! The reasons why a model cannot be had from the Hub.

use std::io;
use std::path::{Path, PathBuf};

/// Why a model of the Hub cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The name is not a possible name of a model.
    #[error("{name}: {why}")]
    Name {
        /// The name as the user gave it.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// A setting has a value that makes no sense.
    #[error("{variable}: {why}")]
    Setting {
        /// Name of the environment variable.
        variable: &'static str,
        /// What is wrong, and the fix.
        why: String,
    },
    /// The server did not answer.
    #[error("{host} cannot be reached ({reason}): check the connection; behind a proxy set HTTPS_PROXY")]
    Unreachable {
        /// Host and port of the server.
        host: String,
        /// Reason, as the system words it.
        reason: String,
    },
    /// The server was busy (too many requests, or a failure of its own) at every attempt.
    #[error("{host} answered {status} {tries} times{said}: try again later")]
    Busy {
        /// Host and port of the server.
        host: String,
        /// HTTP status.
        status: u16,
        /// Number of attempts.
        tries: u32,
        /// The server's own message, or empty.
        said: String,
    },
    /// The model's terms have to be accepted first.
    #[error(
        "{repo} is gated{said}: open {page}, accept its terms, then set HF_TOKEN to an access token of that account (or run `hf auth login`, `huggingface-cli login`)"
    )]
    Gated {
        /// Name of the repository.
        repo: String,
        /// Address of the page where the terms can be accepted.
        page: String,
        /// The Hub's own message, or empty.
        said: String,
    },
    /// The repository does not exist, or it is private: the Hub gives the same answer for both.
    #[error(
        "the Hub has no model {repo}, or it is a private one: check the name; for a private model set HF_TOKEN (or run `hf auth login`)"
    )]
    NoRepo {
        /// Name of the repository.
        repo: String,
    },
    /// The access token is not valid, or does not allow access.
    #[error("the Hub denies access to {repo}: {status}{said}; correct HF_TOKEN, or log in again with `hf auth login`")]
    Denied {
        /// Name of the repository.
        repo: String,
        /// HTTP status.
        status: u16,
        /// The Hub's own message, or empty.
        said: String,
    },
    /// The repository has no such branch, tag or commit.
    #[error("{repo} has no revision {revision:?}: give a branch, a tag or the whole id of a commit behind the @")]
    NoRevision {
        /// Name of the repository.
        repo: String,
        /// The revision that was asked for.
        revision: String,
    },
    /// The repository has no such file.
    #[error("{repo} has no {file}{instead}")]
    NoFile {
        /// Name of the repository, with its revision.
        repo: String,
        /// The file that was looked for.
        file: String,
        /// What the user can do instead; it is appended to the message.
        instead: String,
    },
    /// Any other HTTP status that means a failure.
    #[error("{url} was answered with {status}{said}")]
    Status {
        /// The address that was asked for.
        url: String,
        /// HTTP status.
        status: u16,
        /// The server's own message, or empty.
        said: String,
    },
    /// The answer is not one that a Hub gives.
    #[error("{url}: {problem}; is this a Hugging Face Hub, and not a login page in between?")]
    Answer {
        /// The address that was asked for.
        url: String,
        /// What is wrong with the answer.
        problem: String,
    },
    /// The transfer broke off too many times before the file was complete.
    #[error("the transfer of {file} broke off at {have} of {size} bytes ({reason}); try again to go on from there")]
    Broken {
        /// Name of the file.
        file: String,
        /// Number of bytes that have arrived.
        have: u64,
        /// Number of bytes that the server announced.
        size: u64,
        /// Reason of the last break, as the system words it.
        reason: String,
    },
    /// The bytes that arrived are not those that were announced.
    #[error("the download of {file} is not what was announced ({problem}) and was removed; try again")]
    Wrong {
        /// Name of the file.
        file: String,
        /// What differs: size or hash.
        problem: String,
    },
    /// Downloads are turned off, and the cache does not have the model.
    #[error(
        "downloads are off, and the cache {cache} lacks {missing}; unset LOGITREE_OFFLINE and HF_HUB_OFFLINE to fetch it"
    )]
    Offline {
        /// The cache's folder.
        cache: PathBuf,
        /// The name of what is missing.
        missing: String,
    },
    /// The engine cannot run this model. This is found out before its weights are fetched.
    #[error("{repo} cannot be run: {problem}")]
    Unsupported {
        /// Name of the repository.
        repo: String,
        /// Why the engine cannot run it.
        problem: String,
    },
    /// The user pressed Ctrl-C.
    #[error("interrupted; the next time it goes on from here")]
    Interrupted,
    /// The operating system refused.
    #[error("{}: {reason}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        reason: io::Error,
    },
}

impl From<HubError> for crate::Error {
    fn from(e: HubError) -> crate::Error {
        use crate::ErrorKind as Kind;
        let kind = match e {
            HubError::NoRepo { .. } | HubError::NoRevision { .. } | HubError::NoFile { .. } => Kind::NotFound,
            HubError::Setting { .. } | HubError::Unsupported { .. } => Kind::Input,
            HubError::Io { .. } => Kind::Io,
            HubError::Interrupted => Kind::Interrupted,
            _ => Kind::Network,
        };
        crate::Error::new(kind, e.to_string())
    }
}

impl HubError {
    /// Makes an error of what the operating system said about a path.
    pub fn io(path: &Path) -> impl FnOnce(io::Error) -> HubError + '_ {
        |reason| HubError::Io { path: path.into(), reason }
    }

    /// Whether a copy in the cache may be used after this error: the Hub cannot be reached or denies access, but does
    /// not say that what was asked for does not exist. `NoRepo` counts as denied access, because it may mean a private
    /// repository.
    pub fn lets_the_cache_stand_in(&self) -> bool {
        use HubError::*;
        matches!(
            self,
            Unreachable { .. }
                | Busy { .. }
                | Gated { .. }
                | NoRepo { .. }
                | Denied { .. }
                | Status { .. }
                | Answer { .. }
                | Broken { .. }
        )
    }
}
