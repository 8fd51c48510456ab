//! Decides which files of a repository on the Hub are fetched: only those that the engine reads.

use super::super::catalogue::Extent;
use super::{HubError, spec};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// File name of weights that are all in one file.
pub(super) const WHOLE: &str = "model.safetensors";
/// File name of the index that maps each tensor to its shard. If a repository also has [`WHOLE`], the engine reads
/// that instead.
pub(super) const INDEX: &str = "model.safetensors.index.json";
/// Files without which the engine cannot run a model.
const NEEDED: [&str; 2] = ["config.json", "tokenizer.json"];
/// Files that the engine reads if they exist.
const OPTIONAL: [&str; 6] = [
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
];
/// Largest index file that is read, in bytes.
const LARGEST_INDEX: u64 = 64 << 20;
/// Number of GGUF files that an error message lists at most.
const LISTED: usize = 12;

/// The names of the small files to fetch beside the weights, out of `files`, which is all that the repository has.
///
/// # Errors
/// If a needed file is missing. This is found out before anything large is fetched.
pub(super) fn companions(repo: &str, extent: Extent, files: &[String]) -> Result<Vec<&'static str>, HubError> {
    let has = |name: &str| files.iter().any(|f| f == name);
    let missing = |file: &str, instead: String| Err(HubError::NoFile { repo: repo.into(), file: file.into(), instead });
    if extent == Extent::Whole && !has(WHOLE) && !has(INDEX) {
        let fix = "; logitree reads safetensors and GGUF: choose another repository";
        return missing(WHOLE, ggufs(repo, files).unwrap_or_else(|| fix.into()));
    }
    for name in NEEDED {
        if !has(name) && (extent == Extent::Whole || name != "config.json") {
            return missing(
                name,
                "; choose another repository, or save the model again with a current transformers".into(),
            );
        }
    }
    Ok(NEEDED.into_iter().chain(OPTIONAL).filter(|name| has(name)).collect())
}

/// The end of an error message that lists the GGUF files of a repository; `None` if it has none.
pub(super) fn ggufs(repo: &str, files: &[String]) -> Option<String> {
    let repo = repo.split('@').next().unwrap_or(repo);
    let mut names: Vec<&str> = files.iter().map(String::as_str).collect();
    // The names come from the server, so names that cannot be safe paths are not shown.
    names.retain(|f| f.to_ascii_lowercase().ends_with(".gguf") && spec::is_path(f));
    names.retain(|f| split(f).is_none_or(|(_, number, _)| number == 1));
    let more = names.len().saturating_sub(LISTED);
    let list: Vec<String> = names.iter().take(LISTED).map(|f| format!("hf:{repo}/{f}")).collect();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!list.is_empty()).then(|| format!("; it has these: {}{more}", list.join(", ")))
}

/// Quantisations that are tried in this order when the user names none.
const USUAL: [&str; 3] = ["Q4_K_M", "Q4_0", "Q8_0"];

/// The GGUF file whose name contains this quantisation (of a split model, its first part). For [`spec::ANY`] it is a
/// file with one of the [`USUAL`] quantisations, else the first file; `None` if there are no GGUF files, so that
/// safetensors are used.
///
/// # Errors
/// If there is no such file.
pub(super) fn of_quantisation(repo: &str, quantisation: &str, files: &[String]) -> Result<Option<String>, HubError> {
    let is_model = |f: &&String| {
        let name = f.to_ascii_lowercase();
        name.ends_with(".gguf") && !name.contains("mmproj") && spec::is_path(f)
    };
    let mut names: Vec<&String> = files.iter().filter(is_model).collect();
    names.retain(|f| split(f).is_none_or(|(_, number, _)| number == 1));
    names.sort();
    let with = |quantisation: &str| names.iter().find(|f| has_word(f, quantisation)).map(|f| (*f).clone());
    let found = match quantisation {
        spec::ANY if names.is_empty() => return Ok(None),
        spec::ANY => USUAL.iter().find_map(|q| with(q)).or_else(|| names.first().map(|f| (*f).clone())),
        quantisation => with(quantisation),
    };
    let instead = || ggufs(repo, files).unwrap_or_else(|| "; it has no GGUF files".into());
    let missing = || HubError::NoFile {
        repo: repo.into(),
        file: format!("GGUF file with {quantisation} in its name"),
        instead: instead(),
    };
    found.map(Some).ok_or_else(missing)
}

/// Whether a file's name contains `word` as a whole word, ignoring case: `Q4_K` is not in `Q4_K_M`.
fn has_word(file: &str, word: &str) -> bool {
    let (file, word) = (file.to_ascii_lowercase(), word.to_ascii_lowercase());
    let ends = |c: Option<char>| c.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '_');
    file.match_indices(&word)
        .any(|(at, _)| ends(file[..at].chars().next_back()) && ends(file[at + word.len()..].chars().next()))
}

/// The file names of the shards that an index lists.
///
/// # Errors
/// If the file is not an index, or lists a name that is not a plain file name in the same folder.
pub(super) fn shards(index: &Path) -> Result<BTreeSet<String>, String> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let mut text = Vec::new();
    let file = File::open(index).and_then(|file| file.take(LARGEST_INDEX + 1).read_to_end(&mut text));
    file.map_err(|e| format!("{INDEX}: {e}"))?;
    if text.len() as u64 > LARGEST_INDEX {
        return Err(format!("{INDEX} has more than {} MB", LARGEST_INDEX >> 20));
    }
    let index: Index = serde_json::from_slice(&text).map_err(|e| format!("{INDEX}: {e}"))?;
    let shards: BTreeSet<String> = index.weight_map.into_values().collect();
    match shards.iter().find(|s| !spec::is_file_name(s)) {
        Some(shard) => Err(format!("{INDEX}: {shard:?} is not a file's name")),
        None => Ok(shards),
    }
}

/// The names of all files of a GGUF model, given the name of one of them.
pub(super) fn parts(file: &str) -> Vec<String> {
    match split(file) {
        Some((stem, _, count)) => (1..=count).map(|n| format!("{stem}-{n:05}-of-{count:05}.gguf")).collect(),
        None => vec![file.into()],
    }
}

/// Splits `STEM-NNNNN-of-MMMMM.gguf` into stem, number and count, by the same rule as the engine.
fn split(file: &str) -> Option<(&str, usize, usize)> {
    let (rest, count) = file.strip_suffix(".gguf")?.rsplit_once("-of-")?;
    let (stem, number) = rest.rsplit_once('-')?;
    let digits = |t: &str| (t.len() == 5 && t.bytes().all(|b| b.is_ascii_digit())).then(|| t.parse().ok())?;
    let (number, count): (usize, usize) = (digits(number)?, digits(count)?);
    (1..=count).contains(&number).then_some((stem, number, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| n.to_string()).collect()
    }

    #[test]
    fn what_the_engine_reads_is_wanted_and_nothing_else() {
        let all = files(&[
            "../../x",
            "README.md",
            "chat_template.jinja",
            "config.json",
            "model.safetensors",
            "pytorch_model.bin",
            "tokenizer.json",
            "tokenizer.model",
            "x/config.json",
        ]);
        let wanted = companions("a/b", Extent::Whole, &all).unwrap();
        assert_eq!(wanted, ["config.json", "tokenizer.json", "chat_template.jinja"]);
        let words = files(&["tokenizer.json", "tokenizer_config.json"]);
        assert_eq!(companions("a/b", Extent::Tokenizer, &words).unwrap(), ["tokenizer.json", "tokenizer_config.json"]);
        let error = |names: &[&str]| companions("a/b@c", Extent::Whole, &files(names)).unwrap_err().to_string();
        assert!(error(&["config.json", "model.safetensors"]).contains("a/b@c has no tokenizer.json"));
        assert!(error(&["pytorch_model.bin"]).contains("has no model.safetensors; logitree reads"));
        let error = error(&["m-00001-of-00002.gguf", "m-00002-of-00002.gguf", "q/n.gguf", "../evil.gguf"]);
        assert!(error.ends_with("it has these: hf:a/b/m-00001-of-00002.gguf, hf:a/b/q/n.gguf"), "{error}");
    }

    #[test]
    fn a_quantisation_is_a_file_with_that_word_in_its_name() {
        let all = files(&[
            "m-Q4_K_M.gguf",
            "m-Q4_K_S.gguf",
            "m.q8_0.gguf",
            "mmproj-Q5_0.gguf",
            "s-F16-00001-of-00002.gguf",
            "s-F16-00002-of-00002.gguf",
            "README.md",
        ]);
        let find = |q: &str, files: &[String]| of_quantisation("a/b", q, files).map_err(|e| e.to_string());
        assert_eq!(find("q4_k_m", &all).unwrap().as_deref(), Some("m-Q4_K_M.gguf"));
        assert_eq!(find("Q8_0", &all).unwrap().as_deref(), Some("m.q8_0.gguf"));
        assert_eq!(find("f16", &all).unwrap().as_deref(), Some("s-F16-00001-of-00002.gguf"));
        assert_eq!(find(spec::ANY, &all).unwrap().as_deref(), Some("m-Q4_K_M.gguf"));
        assert_eq!(find(spec::ANY, &files(&["model.safetensors"])).unwrap(), None);
        for wrong in ["Q4_K", "Q5_0", "4"] {
            assert!(find(wrong, &all).unwrap_err().contains("it has these: hf:a/b/m-Q4_K_M.gguf"), "{wrong}");
        }
    }

    #[test]
    fn parts_of_a_model_go_together() {
        assert_eq!(parts("x/m.gguf"), ["x/m.gguf"]);
        assert_eq!(parts("x/m-00002-of-00002.gguf"), ["x/m-00001-of-00002.gguf", "x/m-00002-of-00002.gguf"]);
        assert_eq!(parts("m-00003-of-00002.gguf").len(), 1);
        assert_eq!(parts("m-1-of-2.gguf").len(), 1);
    }

    #[test]
    fn an_index_names_only_files_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let index = folder.path().join(INDEX);
        let read = |text: &str| {
            std::fs::write(&index, text).unwrap();
            shards(&index)
        };
        let good = read(r#"{"metadata": {}, "weight_map": {"a": "s-2", "b": "s-1", "c": "s-2"}}"#).unwrap();
        assert_eq!(good.into_iter().collect::<Vec<_>>(), ["s-1", "s-2"]);
        for name in ["../x", "/etc/passwd", "a/b", "", "..", "C:x", "a\\\\b"] {
            let error = read(&format!(r#"{{"weight_map": {{"a": "{name}"}}}}"#)).unwrap_err();
            assert!(error.contains("is not a file's name"), "{name}: {error}");
        }
        assert!(read("[1]").is_err() && read("").is_err());
    }
}
