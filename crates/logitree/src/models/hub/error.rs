//! Why the Hub has nothing for us.

use std::io;
use std::path::{Path, PathBuf};

/// Why a model of the Hub cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// Something that no model can be called.
    #[error("{name}: {why}")]
    Name {
        /// As it was given.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// A setting that makes no sense.
    #[error("{variable}: {why}")]
    Setting {
        /// Of the environment.
        variable: &'static str,
        /// What is wrong, and the fix.
        why: String,
    },
    /// No answer.
    #[error("{host} cannot be reached ({reason}): check the connection; behind a proxy set HTTPS_PROXY")]
    Unreachable {
        /// Who did not answer.
        host: String,
        /// As the system says it.
        reason: String,
    },
    /// Too many requests, or the server's own failure, several times.
    #[error("{host} answered {status} {tries} times{said}: try again later")]
    Busy {
        /// Who.
        host: String,
        /// HTTP status.
        status: u16,
        /// How often it was asked.
        tries: u32,
        /// Its words, if any.
        said: String,
    },
    /// The model's terms have to be accepted first.
    #[error(
        "{repo} is gated{said}: open {page}, accept its terms, then set HF_TOKEN to an access token of that account (or run `hf auth login`, `huggingface-cli login`)"
    )]
    Gated {
        /// Which.
        repo: String,
        /// Where its terms are.
        page: String,
        /// The Hub's words, if any.
        said: String,
    },
    /// There is none, or it is not for us: the Hub does not tell these apart.
    #[error(
        "the Hub has no model {repo}, or it is a private one: check the name; for a private model set HF_TOKEN (or run `hf auth login`)"
    )]
    NoRepo {
        /// Which.
        repo: String,
    },
    /// The access token is of no use, or access is not allowed.
    #[error("the Hub denies access to {repo}: {status}{said}; correct HF_TOKEN, or log in again with `hf auth login`")]
    Denied {
        /// Which.
        repo: String,
        /// HTTP status.
        status: u16,
        /// The Hub's words, if any.
        said: String,
    },
    /// The repository has no such branch, tag or commit.
    #[error("{repo} has no revision {revision:?}: give a branch, a tag or the whole id of a commit behind the @")]
    NoRevision {
        /// Of which.
        repo: String,
        /// What was asked for.
        revision: String,
    },
    /// The repository has no such file.
    #[error("{repo} has no {file}{instead}")]
    NoFile {
        /// Which, with its revision.
        repo: String,
        /// What was looked for.
        file: String,
        /// What to do then.
        instead: String,
    },
    /// Another failure.
    #[error("{url} was answered with {status}{said}")]
    Status {
        /// What was asked.
        url: String,
        /// HTTP status.
        status: u16,
        /// The server's words, if any.
        said: String,
    },
    /// Not what a Hub says.
    #[error("{url}: {problem}; is this a Hugging Face Hub, and not a login page in between?")]
    Answer {
        /// What was asked.
        url: String,
        /// What is wrong with the answer.
        problem: String,
    },
    /// The transfer ends before the file does, again and again.
    #[error("the transfer of {file} broke off at {have} of {size} bytes ({reason}); try again to go on from there")]
    Broken {
        /// Which.
        file: String,
        /// What is here now.
        have: u64,
        /// What was announced.
        size: u64,
        /// As the system says it.
        reason: String,
    },
    /// Other bytes than were announced.
    #[error("the download of {file} is not what was announced ({problem}) and was removed; try again")]
    Wrong {
        /// Which.
        file: String,
        /// What differs.
        problem: String,
    },
    /// Downloads are forbidden, and the cache does not have it.
    #[error(
        "downloads are off, and the cache {cache} lacks {missing}; unset LOGITREE_OFFLINE and HF_HUB_OFFLINE to fetch it"
    )]
    Offline {
        /// The cache's folder.
        cache: PathBuf,
        /// What is missing.
        missing: String,
    },
    /// A model that the engine cannot run, found out before its weights are fetched.
    #[error("{repo} cannot be run: {problem}")]
    Unsupported {
        /// Which.
        repo: String,
        /// Why.
        problem: String,
    },
    /// The user pressed Ctrl-C.
    #[error("interrupted; the next time it goes on from here")]
    Interrupted,
    /// The operating system refused.
    #[error("{}: {reason}", path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// Reason.
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
    /// What the operating system said about a path.
    pub fn io(path: &Path) -> impl FnOnce(io::Error) -> HubError + '_ {
        |reason| HubError::Io { path: path.into(), reason }
    }

    /// Whether a copy in the cache is as good: the Hub is out of reach or keeps us out, but does not say that the thing
    /// asked for does not exist.
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
