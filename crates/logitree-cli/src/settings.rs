//! Defaults of the user for options that the command line does not give: environment variables, then a file.
//!
//! There are settings only for the model, the number of threads and the folder of runs: no setting changes how numbers
//! are computed. Run files record everything else.

use anyhow::{Context, Result};
use logitree::models;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The settings file, `config.toml` in logitree's folder of the user's configuration.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    model: Option<String>,
    threads: Option<u16>,
    data_dir: Option<PathBuf>,
}

/// Where a setting comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A variable of the environment.
    Variable(&'static str),
    /// The file.
    File,
    /// The user has not set it.
    Default,
}

impl Source {
    /// The source in words, for messages.
    pub fn describe(self) -> String {
        match self {
            Source::Variable(name) => name.into(),
            Source::File => path().map_or(String::new(), |p| p.display().to_string()),
            Source::Default => "the default".into(),
        }
    }
}

/// All settings, each with its source.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The model that is used where none is named.
    pub model: (String, Source),
    /// Number of threads, if the command line does not give it. `None` means all cores.
    pub threads: (Option<u16>, Source),
    /// The folder of runs, if the command line does not name one.
    pub data_dir: (Option<PathBuf>, Source),
}

/// Path of the file, which need not exist: `LOGITREE_CONFIG` if that is set, else a file in the user's configuration.
/// `None` if the variable is empty, which means that no file is read, or if there is no such folder.
pub fn path() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    if let Some(path) = variable("LOGITREE_CONFIG") {
        return Some(path).filter(|p| !p.as_os_str().is_empty());
    }
    let set = |name: &str| variable(name).filter(|v| !v.as_os_str().is_empty());
    let home = || if cfg!(windows) { set("APPDATA") } else { Some(std::env::home_dir()?.join(".config")) };
    Some(set("XDG_CONFIG_HOME").or_else(home)?.join("logitree/config.toml"))
}

fn read(path: &Path) -> Result<File> {
    match std::fs::read_to_string(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(File::default()),
        text => {
            let file: File = toml::from_str(&text?).map_err(|e| anyhow::anyhow!("{e}"))?;
            if file.threads.is_some_and(|n| !(1..=1024).contains(&n)) {
                anyhow::bail!("threads: must be 1 to 1024");
            }
            Ok(file)
        }
    }
}

/// Reads the environment and the file.
///
/// # Errors
/// If the file cannot be read or has settings that do not exist.
pub fn load() -> Result<Settings> {
    let file = match path() {
        Some(path) => read(&path).with_context(|| path.display().to_string())?,
        None => File::default(),
    };
    let variable = |name: &str| std::env::var(name).ok().filter(|v| !v.trim().is_empty());
    settings(file, &variable)
}

fn settings(file: File, variable: &dyn Fn(&str) -> Option<String>) -> Result<Settings> {
    fn pick<T>(name: &'static str, said: Option<T>, file: Option<T>) -> (Option<T>, Source) {
        match (said, file) {
            (Some(value), _) => (Some(value), Source::Variable(name)),
            (None, Some(value)) => (Some(value), Source::File),
            (None, None) => (None, Source::Default),
        }
    }
    let threads = variable("LOGITREE_THREADS").map(|text| {
        let n = text.trim().parse::<u16>().ok().filter(|n| (1..=1024).contains(n));
        n.with_context(|| format!("LOGITREE_THREADS={text}: must be a whole number from 1 to 1024"))
    });
    let (model, from) = pick("LOGITREE_MODEL", variable("LOGITREE_MODEL"), file.model);
    Ok(Settings {
        model: (model.unwrap_or_else(|| models::DEFAULT.into()), from),
        threads: pick("LOGITREE_THREADS", threads.transpose()?, file.threads),
        data_dir: pick("LOGITREE_DATA", variable("LOGITREE_DATA").map(PathBuf::from), file.data_dir),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_goes_before_the_file_and_unknown_keys_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, "model = \"smollm2-135m\"\nthreads = 2\n").unwrap();
        let file = read(&path).unwrap();
        let made = settings(file.clone(), &|_| None).unwrap();
        assert_eq!(made.model, ("smollm2-135m".into(), Source::File));
        assert_eq!((made.threads, made.data_dir.1), ((Some(2), Source::File), Source::Default));
        let said = |name: &str| (name == "LOGITREE_MODEL").then(|| "x.gguf".to_string());
        assert_eq!(settings(file, &said).unwrap().model, ("x.gguf".into(), Source::Variable("LOGITREE_MODEL")));
        let wrong = |name: &str| (name == "LOGITREE_THREADS").then(|| "many".to_string());
        assert!(settings(File::default(), &wrong).is_err());
        for text in ["modle = \"x\"", "threads = 0", "threads = \"2\"", "="] {
            std::fs::write(&path, text).unwrap();
            assert!(read(&path).is_err(), "{text}");
        }
        assert_eq!(read(&folder.path().join("none")).unwrap(), File::default());
    }
}
