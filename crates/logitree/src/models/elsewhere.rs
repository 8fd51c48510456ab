//! Finds models that other programs have on this machine. They are read in place and never changed.

use super::folders::cache_dir;
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};

/// A model that is on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The program that it belongs to.
    pub place: &'static str,
    /// The name of the model: a name or a path that [`super::resolve`] accepts.
    pub name: String,
    /// Path of its file or folder.
    pub path: PathBuf,
    /// Size of its files, in bytes.
    pub bytes: u64,
}

/// Prefix of the name of a model of Ollama.
const OLLAMA: &str = "ollama:";
/// How many levels of folders are searched.
const DEPTH: usize = 4;
/// How many entries are looked at in one place, so that the search ends also in a very large folder.
const MOST: usize = 20_000;
/// Largest manifest that is read, in bytes.
const LARGEST_MANIFEST: u64 = 1 << 20;

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from)
}

fn cache_home() -> Option<PathBuf> {
    variable("XDG_CACHE_HOME").or_else(|| Some(std::env::home_dir()?.join(".cache")))
}

/// All models of other programs: the downloads of llama.cpp, LM Studio and Ollama, and the Hugging Face Hub's cache.
pub fn found() -> Vec<Found> {
    let home = std::env::home_dir();
    let at_home = |path: &str| home.as_ref().map(|h| h.join(path));
    let mut all = Vec::new();
    let llama = variable("LLAMA_CACHE").or_else(|| Some(cache_home()?.join("llama.cpp")));
    let studio = [at_home(".lmstudio/models"), at_home(".cache/lm-studio/models")];
    let places = [("llama.cpp", llama)].into_iter().chain(studio.map(|s| ("LM Studio", s)));
    for (place, folder) in places {
        all.extend(folder.iter().flat_map(|f| ggufs(place, f)));
    }
    all.extend(hub_cache().iter().flat_map(|f| snapshots(f)));
    all.extend(ollama_folders(home.as_deref()).iter().flat_map(|f| ollama(f)));
    // Leave out logitree's own models, which are listed by their names, even if its cache is inside one of these
    // folders.
    let own = cache_dir().ok();
    all.retain(|f| own.as_ref().is_none_or(|own| !f.path.starts_with(own)));
    all.sort_by(|a, b| (a.place, &a.name).cmp(&(b.place, &b.name)));
    all.dedup();
    all
}

fn hub_cache() -> Option<PathBuf> {
    let home = variable("HF_HOME").or_else(|| Some(cache_home()?.join("huggingface")));
    variable("HF_HUB_CACHE").or_else(|| variable("HUGGINGFACE_HUB_CACHE")).or_else(|| Some(home?.join("hub")))
}

/// All files below a folder, within the limits [`DEPTH`] and [`MOST`].
fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders, mut seen) = (Vec::new(), vec![(folder.to_owned(), 0)], 0);
    while let Some((folder, depth)) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            seen += 1;
            if seen > MOST {
                return found;
            }
            let path = entry.path();
            if path.is_dir() && depth < DEPTH {
                folders.push((path, depth + 1));
            } else if path.is_file() {
                found.push(path);
            }
        }
    }
    found
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |m| m.len())
}

/// The GGUF models below a folder. Projectors, and all parts of a split model but the first, are left out.
fn ggufs(place: &'static str, folder: &Path) -> Vec<Found> {
    let is_model = |p: &PathBuf| {
        let name = p.file_name().map(|n| n.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        let later_part = name.contains("-of-") && !name.contains("-00001-of-");
        name.ends_with(".gguf") && !name.contains("mmproj") && !later_part
    };
    let found = |path: PathBuf| Found { place, name: path.display().to_string(), bytes: size(&path), path };
    files(folder).into_iter().filter(is_model).map(found).collect()
}

/// The models below a folder, by their paths: GGUF files, and folders with safetensors.
pub fn in_folder(folder: &Path) -> Vec<Found> {
    let place = "folder";
    let mut all = ggufs(place, folder);
    for config in files(folder).iter().filter(|p| p.file_name().is_some_and(|n| n == "config.json")) {
        let Some(path) = config.parent() else { continue };
        let weights = |f: &fs::DirEntry| f.path().extension().is_some_and(|e| e == "safetensors");
        let weights = fs::read_dir(path).into_iter().flatten().flatten().filter(weights);
        let bytes = weights.map(|f| size(&f.path())).sum();
        if bytes > 0 {
            all.push(Found { place, name: path.display().to_string(), path: path.into(), bytes });
        }
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// The models in the Hub's cache: GGUF files by their names on the Hub, and folders with safetensors.
fn snapshots(cache: &Path) -> Vec<Found> {
    let mut all = Vec::new();
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        let folder = entry.file_name().to_string_lossy().into_owned();
        let Some(repo) = folder.strip_prefix("models--").map(|r| r.replacen("--", "/", 1)) else { continue };
        let Ok(commit) = fs::read_to_string(entry.path().join("refs/main")) else { continue };
        let snapshot = entry.path().join("snapshots").join(commit.trim());
        let inside = files(&snapshot);
        let weights: Vec<&PathBuf> =
            inside.iter().filter(|p| p.extension().is_some_and(|e| e == "safetensors")).collect();
        let place = "Hugging Face Hub";
        if !weights.is_empty() && snapshot.join("config.json").is_file() {
            let bytes = weights.iter().map(|p| size(p)).sum();
            all.push(Found { place, name: repo.clone(), path: snapshot.clone(), bytes });
        }
        for f in ggufs(place, &snapshot) {
            let Ok(inner) = f.path.strip_prefix(&snapshot) else { continue };
            all.push(Found { name: format!("hf:{repo}/{}", inner.display()), ..f });
        }
    }
    all
}

fn ollama_folders(home: Option<&Path>) -> Vec<PathBuf> {
    let system = PathBuf::from("/usr/share/ollama/.ollama/models");
    let own = variable("OLLAMA_MODELS").or_else(|| Some(home?.join(".ollama/models")));
    own.into_iter().chain([system]).filter(|f| f.is_dir()).collect()
}

/// The part of an Ollama manifest that we need.
#[derive(Deserialize)]
struct Manifest {
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    media_type: String,
    digest: String,
    size: u64,
}

/// Path and size in bytes of the weights that a manifest names.
fn weights(models: &Path, manifest: &Path) -> Option<(PathBuf, u64)> {
    if size(manifest) > LARGEST_MANIFEST {
        return None;
    }
    let manifest: Manifest = serde_json::from_slice(&fs::read(manifest).ok()?).ok()?;
    let layer = manifest.layers.into_iter().find(|l| l.media_type == "application/vnd.ollama.image.model")?;
    let hash = layer.digest.strip_prefix("sha256:").filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit()))?;
    let blob = models.join("blobs").join(format!("sha256-{hash}"));
    blob.is_file().then_some((blob, layer.size))
}

/// Models of Ollama. Their manifests are `manifests/REGISTRY/OWNER/NAME/TAG`; the owner of Ollama's own is `library`.
fn ollama(models: &Path) -> Vec<Found> {
    let manifests = models.join("manifests");
    let model = |manifest: PathBuf| {
        let parts: Vec<String> =
            manifest.strip_prefix(&manifests).ok()?.iter().map(|p| p.to_string_lossy().into()).collect();
        let [_, owner, name, tag] = &parts[..] else { return None };
        let (path, bytes) = weights(models, &manifest)?;
        let owner = if owner == "library" { String::new() } else { format!("{owner}/") };
        Some(Found { place: "Ollama", name: format!("{OLLAMA}{owner}{name}:{tag}"), path, bytes })
    };
    files(&manifests).into_iter().filter_map(model).collect()
}

/// The file of an Ollama model named `ollama:NAME` or `ollama:NAME:TAG` (the default tag is `latest`); `None` if this
/// is not such a name.
pub(super) fn of_ollama(name: &str) -> Option<Result<PathBuf, Vec<String>>> {
    let short = name.strip_prefix(OLLAMA)?;
    let wanted = if short.contains(':') { name.to_owned() } else { format!("{name}:latest") };
    let all: Vec<Found> = ollama_folders(std::env::home_dir().as_deref()).iter().flat_map(|f| ollama(f)).collect();
    let path = all.iter().find(|f| f.name == wanted).map(|f| f.path.clone());
    Some(path.ok_or_else(|| all.into_iter().map(|f| f.name).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_of_other_programs_are_found_by_their_own_layouts() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            path
        };
        // Ollama.
        let blob = write("o/blobs/sha256-ab12", "GGUF");
        let layer = r#"{"mediaType":"application/vnd.ollama.image.model","digest":"sha256:ab12","size":4}"#;
        write(
            "o/manifests/host/library/tiny/1b",
            &format!(r#"{{"layers":[{{"mediaType":"x","digest":"sha256:00","size":1}},{layer}]}}"#),
        );
        write("o/manifests/host/library/gone/1b", r#"{"layers":[]}"#);
        write("o/manifests/host/library/bad/1b", &layer.replace("ab12", "../../x"));
        write("o/manifests/host/me/mine/latest", &format!(r#"{{"layers":[{layer}]}}"#));
        let mut names: Vec<String> = ollama(&folder.path().join("o")).into_iter().map(|f| f.name).collect();
        names.sort();
        assert_eq!(names, ["ollama:me/mine:latest", "ollama:tiny:1b"]);
        assert!(ollama(&folder.path().join("o")).iter().all(|f| f.path == blob && f.bytes == 4));
        // The Hub's cache.
        write("h/models--a--b/refs/main", "c0");
        write("h/models--a--b/snapshots/c0/config.json", "{}");
        write("h/models--a--b/snapshots/c0/model.safetensors", "12345");
        write("h/models--a--b/snapshots/c0/q/m-Q4_0.gguf", "1");
        write("h/models--a--b/snapshots/c0/mmproj.gguf", "1");
        let mut names: Vec<(String, u64)> =
            snapshots(&folder.path().join("h")).into_iter().map(|f| (f.name, f.bytes)).collect();
        names.sort();
        assert_eq!(names, [("a/b".into(), 5), ("hf:a/b/q/m-Q4_0.gguf".into(), 1)]);
        // Folders of files.
        write("l/x/y/m.gguf", "1");
        write("l/m-00002-of-00002.gguf", "1");
        assert_eq!(ggufs("LM Studio", &folder.path().join("l")).len(), 1);
    }
}
