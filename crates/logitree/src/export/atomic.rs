//! Outputs that appear whole or not at all.

use anyhow::{Context, Result, bail};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// An output that is created before the work starts, so that a bad path fails at once, and takes its
/// name when the work is done. `-` is standard output.
pub enum Output {
    Stdout,
    File(BufWriter<NamedTempFile>, PathBuf),
}

impl Output {
    pub fn create(path: &Path) -> Result<Output> {
        if path == Path::new("-") {
            return Ok(Output::Stdout);
        }
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if path.is_dir() {
            bail!("{} is a folder: name a file in it", path.display());
        }
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // As any new file, less the umask: a temporary file would be the owner's alone.
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let file = builder.tempfile_in(folder).with_context(|| format!("cannot write to {}", path.display()))?;
        Ok(Output::File(BufWriter::new(file), path.into()))
    }

    /// Gives the file its name.
    pub fn finish(self) -> Result<()> {
        match self {
            Output::Stdout => io::stdout().flush().context("standard output"),
            Output::File(file, path) => {
                let done = || -> Result<()> {
                    let file = file.into_inner()?;
                    file.as_file().sync_all()?;
                    file.persist(&path)?;
                    Ok(())
                };
                done().with_context(|| format!("cannot write {}", path.display()))
            }
        }
    }
}

impl Write for Output {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Output::Stdout => io::stdout().lock().write(data),
            Output::File(file, _) => file.write(data),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Output::Stdout => io::stdout().lock().flush(),
            Output::File(file, _) => file.flush(),
        }
    }
}
