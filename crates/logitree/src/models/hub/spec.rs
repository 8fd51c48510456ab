//! Names of models on the Hub, and checks of names that may become paths on disk.

use super::HubError;
use std::fmt;

/// Prefix of a name that can only mean a model on the Hub.
const SCHEME: &str = "hf:";
/// The revision used when none is named.
const MAIN: &str = "main";

/// A model on the Hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// `OWNER/REPO`.
    pub repo: String,
    /// Branch, tag or commit.
    pub revision: String,
    /// One GGUF file, in place of the repository's safetensors.
    pub file: Option<String>,
    /// A quantisation instead of a file's name: the GGUF file that contains it in its name. [`ANY`] means the usual
    /// one.
    pub quantisation: Option<String>,
}

/// The quantisation that means the usual one, or safetensors if the repository has no GGUF files.
pub const ANY: &str = "any";

impl Spec {
    /// Parses `OWNER/REPO[@REVISION]`, `hf:OWNER/REPO[@REVISION]`, `hf:OWNER/REPO/FILE.gguf[@REVISION]`, or
    /// `OWNER/REPO:QUANTISATION[@REVISION]`; `None` if the text has none of these forms.
    ///
    /// # Errors
    /// If the text begins with `hf:` but the rest is not such a name, or if the revision is not possible.
    pub fn parse(text: &str) -> Result<Option<Spec>, HubError> {
        let explicit = text.strip_prefix(SCHEME);
        let (path, revision) = match explicit.unwrap_or(text).split_once('@') {
            Some((path, revision)) => (path, Some(revision)),
            None => (explicit.unwrap_or(text), None),
        };
        let wrong = |why: String| Err(HubError::Name { name: text.into(), why });
        let (path, quantisation) = match path.split_once(':') {
            Some((repo, quantisation)) if repo.matches('/').count() < 2 => (repo, Some(quantisation)),
            _ => (path, None),
        };
        let mut parts = path.splitn(3, '/');
        let (owner, name, file) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next());
        let repo = format!("{owner}/{name}");
        if explicit.is_none() {
            // A name with a model file's extension is more likely a mistyped path than a repository.
            let like_a_file = [".gguf", ".safetensors"].iter().any(|end| name.to_ascii_lowercase().ends_with(end));
            if file.is_some() || like_a_file || !is_repo(&repo) {
                return Ok(None);
            }
        } else if !is_repo(&repo) {
            return wrong("a repository is OWNER/NAME, of letters, digits, '-', '_' and '.'".into());
        }
        if let Some(file) = file {
            if !is_path(file) {
                return wrong(format!("{file:?} cannot be a file of a repository"));
            }
            if !file.to_ascii_lowercase().ends_with(".gguf") {
                return wrong(format!("{file:?} is not a .gguf file; for safetensors leave it out: {SCHEME}{repo}"));
            }
        }
        if let Some(quantisation) = quantisation {
            let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
            if file.is_some() || quantisation.is_empty() || !quantisation.chars().all(is_word) {
                return wrong(format!("{quantisation:?} cannot be a quantisation: {repo}:Q4_K_M is how one is named"));
            }
        }
        let revision = revision.unwrap_or(MAIN);
        if !is_revision(revision) {
            return wrong(format!("{revision:?} cannot be a branch, a tag or a commit"));
        }
        Ok(Some(Spec {
            repo,
            revision: revision.into(),
            file: file.map(str::to_owned),
            quantisation: quantisation.map(str::to_owned),
        }))
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.quantisation.as_deref()) {
            (None, None | Some(ANY)) => write!(f, "{}@{}", self.repo, self.revision),
            (None, Some(quantisation)) => write!(f, "{}:{quantisation}@{}", self.repo, self.revision),
            (Some(file), _) => write!(f, "{SCHEME}{}/{file}@{}", self.repo, self.revision),
        }
    }
}

/// Whether this is a possible name of a repository, by the Hub's own rules. They also keep `models--OWNER--NAME`
/// unambiguous.
fn is_repo(repo: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_part = |part: &str| {
        (1..=96).contains(&part.len())
            && part.chars().all(|c| is_word(c) || c == '-' || c == '.')
            && part.starts_with(is_word)
            && part.ends_with(is_word)
    };
    let Some((owner, name)) = repo.split_once('/') else { return false };
    is_part(owner) && is_part(name) && !repo.contains("--") && !repo.contains("..") && !repo.ends_with(".git")
}

/// Whether this is a possible name of a branch, tag or commit. It becomes a path below `refs`.
fn is_revision(name: &str) -> bool {
    name.len() <= 200 && !name.starts_with('-') && !name.contains('@') && is_path(name)
}

/// Whether this is a safe path of a repository's file: relative, not leaving the folder, and valid on every system.
pub fn is_path(path: &str) -> bool {
    path.len() <= 1000 && path.split('/').all(is_file_name)
}

/// Whether this is a single file name on every system: no separators, no drive, no reserved characters.
pub fn is_file_name(name: &str) -> bool {
    (1..=200).contains(&name.len())
        && !name.contains(|c: char| c.is_control() || matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|'))
        // This also refuses `.` and `..`.
        && !name.ends_with(['.', ' '])
}

/// Whether this is the complete id of a commit.
pub fn is_commit(name: &str) -> bool {
    name.len() == 40 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The file name in the cache for an `ETag`, without its quotes; `None` if it is not safe as a file name.
pub fn blob_name(etag: &str) -> Option<&str> {
    let name = etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"');
    let fits = (1..=128).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    fits.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<(String, String, Option<String>)> {
        Spec::parse(text).unwrap().map(|s| (s.repo, s.revision, s.file))
    }

    #[test]
    fn names_are_told_from_paths() {
        let model = |repo: &str, revision: &str| Some((repo.to_owned(), revision.to_owned(), None));
        assert_eq!(parsed("google/gemma-2-2b-it"), model("google/gemma-2-2b-it", "main"));
        assert_eq!(parsed("google/gemma-2-2b-it@v1.0"), model("google/gemma-2-2b-it", "v1.0"));
        assert_eq!(parsed("hf:a/b_c@refs/pr/3"), model("a/b_c", "refs/pr/3"));
        let file = |file: &str, revision: &str| Some(("a/b".to_owned(), revision.to_owned(), Some(file.to_owned())));
        assert_eq!(parsed("hf:a/b/c.gguf"), file("c.gguf", "main"));
        assert_eq!(parsed("hf:a/b/Q4/c d.GGUF@x/y"), file("Q4/c d.GGUF", "x/y"));
        for path in
            ["model", "./a/b", "../a", "a/b/c", "/a/b", "a/b.gguf", "a/b.GGUF@main", "a\\b", "C:/b", "a/", "~/b", ""]
        {
            assert_eq!(parsed(path), None, "{path}");
        }
    }

    #[test]
    fn names_that_reach_elsewhere_are_refused() {
        for repo in ["hf:", "hf:a", "hf:a/..", "hf:../b", "hf:a/b--c", "hf:a/.b", "hf:a/b.", "hf:a/b.git", "hf:a b/c"] {
            assert!(Spec::parse(repo).unwrap_err().to_string().contains("a repository is OWNER/NAME"), "{repo}");
        }
        for file in ["hf:a/b/../c.gguf", "hf:a/b//c.gguf", "hf:a/b/C:c.gguf", "hf:a/b/x/./c.gguf", "hf:a/b/x\\c.gguf"] {
            assert!(Spec::parse(file).unwrap_err().to_string().contains("cannot be a file"), "{file}");
        }
        assert!(Spec::parse("hf:a/b/model.safetensors").unwrap_err().to_string().contains("hf:a/b"));
        for revision in ["a/b@", "a/b@..", "a/b@x/../y", "a/b@/x", "a/b@x@y", "hf:a/b@-x", "a/b@x\ny"] {
            assert!(Spec::parse(revision).unwrap_err().to_string().contains("cannot be a branch"), "{revision}");
        }
    }

    #[test]
    fn a_quantisation_stands_behind_a_colon() {
        let read = |text: &str| Spec::parse(text).unwrap().map(|s| (s.repo, s.revision, s.quantisation));
        let q = |q: &str| Some(("a/b".to_string(), "main".to_string(), Some(q.to_string())));
        assert_eq!((read("a/b:Q4_K_M"), read("hf:a/b:any")), (q("Q4_K_M"), q("any")));
        assert_eq!(read("a/b:Q8_0@v1"), Some(("a/b".into(), "v1".into(), Some("Q8_0".into()))));
        for wrong in ["a/b:", "hf:a/b:", "a/b:x/y", "a/b:x y", "hf:a/b:../x"] {
            assert!(Spec::parse(wrong).unwrap_err().to_string().contains("cannot be a quantisation"), "{wrong}");
        }
        assert_eq!(read("C:\\models\\m"), None);
    }

    #[test]
    fn only_harmless_etags_name_files() {
        assert_eq!(blob_name("\"abc\""), Some("abc"));
        assert_eq!(blob_name("W/\"abc-2\""), Some("abc-2"));
        for wrong in ["", "\"\"", "\"../x\"", "\"a/b\"", "\"a.lock\"", "\"a\\b\"", &"a".repeat(129)] {
            assert_eq!(blob_name(wrong), None, "{wrong}");
        }
        assert!(is_commit(&"0f".repeat(20)));
        assert!(!is_commit(&"0F".repeat(20)) && !is_commit("main") && !is_commit(&"../".repeat(13)));
    }
}
