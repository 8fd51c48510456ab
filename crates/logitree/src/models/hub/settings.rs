//! Settings from the environment variables that Hugging Face's own tools use.

use super::HubError;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Address of the original Hub.
pub const HUB: &str = "https://huggingface.co";

/// How to use the Hub.
#[derive(Clone)]
pub struct Settings {
    /// Root of the Hub's address, without a slash at the end.
    pub endpoint: String,
    /// The access token.
    pub token: Option<String>,
    /// Whether the network must not be used.
    pub offline: bool,
    /// Folder of the cache, shared with Python's `huggingface_hub`.
    pub cache: PathBuf,
    /// Whether snapshots may be symbolic links.
    pub symlinks: bool,
}

impl Settings {
    /// Reads `HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE`, `LOGITREE_OFFLINE`, `HF_HUB_CACHE`, `HF_HOME` and others.
    ///
    /// # Errors
    /// If a value makes no sense, or there is no home folder.
    pub fn from_environment() -> Result<Settings, HubError> {
        Settings::of(&|name| std::env::var_os(name), std::env::home_dir().as_deref())
    }

    fn of(variable: &dyn Fn(&str) -> Option<OsString>, home: Option<&Path>) -> Result<Settings, HubError> {
        let set = |name: &str| variable(name).filter(|v| !v.is_empty());
        let text = |name: &str| set(name)?.into_string().ok();
        let path = |name: &str| {
            let path = PathBuf::from(set(name)?);
            // Expand `~` as Python does: these variables may come from files, where no shell has expanded it.
            Some(match (path.strip_prefix("~"), home) {
                (Ok(rest), Some(home)) => home.join(rest),
                _ => path,
            })
        };
        let yes = |name: &str| {
            let value = text(name).unwrap_or_default().to_lowercase();
            !matches!(value.as_str(), "" | "0" | "false" | "no" | "off")
        };
        let hugging_face = path("HF_HOME")
            .or_else(|| Some(path("XDG_CACHE_HOME").or_else(|| Some(home?.join(".cache")))?.join("huggingface")));
        let cache = path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE"));
        let cache = cache.or_else(|| Some(hugging_face.as_ref()?.join("hub")));
        let cache = cache.ok_or_else(|| HubError::Setting {
            variable: "HF_HUB_CACHE",
            why: "there is no home folder: set it to a folder for models".into(),
        })?;
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| HUB.into()).trim_end_matches('/').to_owned();
        if super::url::origin(&endpoint).is_none() {
            let why = format!("{endpoint:?} is not the address of a Hub; it looks like {HUB}");
            return Err(HubError::Setting { variable: "HF_ENDPOINT", why });
        }
        let stored = || {
            let file = path("HF_TOKEN_PATH").or_else(|| Some(hugging_face.as_ref()?.join("token")))?;
            std::fs::read_to_string(file).ok()
        };
        let token = text("HF_TOKEN").or_else(|| text("HUGGING_FACE_HUB_TOKEN")).or_else(stored);
        let token = token.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty());
        if token.as_ref().is_some_and(|t| !t.bytes().all(|b| b.is_ascii_graphic())) {
            let why = "the access token has characters that no token has: copy it again".into();
            return Err(HubError::Setting { variable: "HF_TOKEN", why });
        }
        let offline = yes("LOGITREE_OFFLINE") || yes("HF_HUB_OFFLINE");
        Ok(Settings { endpoint, token, offline, cache, symlinks: !yes("HF_HUB_DISABLE_SYMLINKS") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Result<Settings, HubError> {
        let value = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
        Settings::of(&value, Some(Path::new("/home/me")))
    }

    #[test]
    fn the_cache_is_where_python_has_it() {
        let cache = |variables: &[(&str, &str)]| settings(variables).unwrap().cache;
        assert_eq!(cache(&[]), Path::new("/home/me/.cache/huggingface/hub"));
        assert_eq!(cache(&[("XDG_CACHE_HOME", "/x")]), Path::new("/x/huggingface/hub"));
        assert_eq!(cache(&[("XDG_CACHE_HOME", "/x"), ("HF_HOME", "~/h")]), Path::new("/home/me/h/hub"));
        assert_eq!(cache(&[("HF_HOME", "/h"), ("HUGGINGFACE_HUB_CACHE", "/o")]), Path::new("/o"));
        assert_eq!(cache(&[("HUGGINGFACE_HUB_CACHE", "/o"), ("HF_HUB_CACHE", "/c")]), Path::new("/c"));
        assert_eq!(cache(&[("HF_HOME", "")]), Path::new("/home/me/.cache/huggingface/hub"));
    }

    #[test]
    fn the_token_is_where_the_login_left_it() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_str().unwrap();
        let other = folder.path().join("other");
        std::fs::write(folder.path().join("token"), " stored\n").unwrap();
        std::fs::write(&other, "elsewhere").unwrap();
        let token = |more: &[(&str, &str)]| settings(&[&[("HF_HOME", home)], more].concat()).unwrap().token;
        assert_eq!(token(&[]).as_deref(), Some("stored"));
        assert_eq!(token(&[("HF_TOKEN_PATH", other.to_str().unwrap())]).as_deref(), Some("elsewhere"));
        assert_eq!(token(&[("HUGGING_FACE_HUB_TOKEN", "old")]).as_deref(), Some("old"));
        assert_eq!(token(&[("HUGGING_FACE_HUB_TOKEN", "old"), ("HF_TOKEN", "new ")]).as_deref(), Some("new"));
        assert!(settings(&[("HF_TOKEN", "a\r\nb")]).is_err());
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(settings(&[]).unwrap().endpoint, HUB);
        assert_eq!(settings(&[("HF_ENDPOINT", "http://mirror:81/hub/")]).unwrap().endpoint, "http://mirror:81/hub");
        for wrong in ["mirror", "ftp://mirror", "http://", "file:///etc"] {
            assert!(settings(&[("HF_ENDPOINT", wrong)]).is_err(), "{wrong}");
        }
        assert!(settings(&[("HF_HUB_OFFLINE", "1")]).unwrap().offline);
        assert!(!settings(&[("HF_HUB_OFFLINE", "0"), ("LOGITREE_OFFLINE", "False")]).unwrap().offline);
        assert!(!settings(&[("HF_HUB_DISABLE_SYMLINKS", "1")]).unwrap().symlinks);
    }
}
