//! Opens every output for results, so that all of them follow the same rules.
//!
//! * Nothing is created, truncated or removed before there is something to write. A name is still checked before the
//!   work starts, so that an error is reported at once.
//! * A file appears complete or not at all: it is written under a temporary name and then renamed. A file that grows
//!   appears with its first bytes.
//! * A file with content is replaced only with `--force`, and never if it is an input of the result.
//! * A symbolic link is followed, and the file that it leads to is replaced. Devices and pipes are written to
//!   directly.
//! * An interrupted program leaves no temporary file ([`abandon`]).

use crate::error::{Context, Result, fail};
use crate::lock;
use crate::visible::harmless;
use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, IsTerminal, Read, Seek, SeekFrom, Stdout, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use tempfile::TempPath;

/// Number of symbolic links that are followed before they count as a loop.
const LINKS: usize = 40;

/// The kind of a result, which decides whether and how it may be shown on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Text or JSON. On every output but a regular file, which may be a terminal, characters that could control it are
    /// escaped (JSON keeps its value).
    Text,
    /// A table in a format without escapes. It is written exactly; only on a terminal it is escaped all the same.
    Table,
    /// Data that is never written to a terminal.
    Binary,
}

/// An output whose name has been checked.
#[derive(Debug)]
pub struct Target {
    /// The name as the user gave it.
    name: PathBuf,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Stdout,
    /// A device or a pipe, which is written to directly.
    Straight,
    /// The path of a regular file after following links, which need not exist; and whether an existing one may be
    /// replaced.
    File(PathBuf, bool),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Place::Stdout => f.write_str("standard output"),
            _ => write!(f, "{}", self.name.display()),
        }
    }
}

/// Whether this is a regular file that is not empty.
pub fn has_content(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|m| m.is_file() && m.len() > 0)
}

impl Target {
    /// Checks a name without changing anything; `-` is standard output. With `force`, a file may be replaced, but
    /// never one of the `inputs`.
    ///
    /// # Errors
    ///
    /// If it is a folder, its folder does not exist, it is not writable, it is one of the inputs, or it is a file with
    /// content and `force` is false.
    pub fn check(path: &Path, force: bool, inputs: &[&Path]) -> Result<Target> {
        let name = path.to_owned();
        if path == Path::new("-") {
            return Ok(Target { name, place: Place::Stdout });
        }
        let place = resolve(path)?;
        let target = Target { name, place };
        target.spare(inputs)?;
        let Place::File(file, _) = &target.place else { return Ok(target) };
        if has_content(file) && !force {
            fail!(Conflict, "{target} exists: `force` overwrites it");
        }
        check_folder(file)?;
        Ok(Target { place: Place::File(file.clone(), force || file.exists()), ..target })
    }

    /// Refuses to overwrite a file that is also an input.
    ///
    /// # Errors
    ///
    /// If the target is one of the inputs.
    pub fn spare(&self, inputs: &[impl AsRef<Path>]) -> Result<()> {
        if let Place::File(file, _) = &self.place
            && inputs.iter().any(|i| same_file(file, i.as_ref()))
        {
            fail!(Input, "{self} is what this is made from: name another file");
        }
        Ok(())
    }

    /// The name as the user gave it.
    pub fn path(&self) -> &Path {
        &self.name
    }

    /// Whether this is standard output.
    pub fn is_stdout(&self) -> bool {
        matches!(self.place, Place::Stdout)
    }

    /// Writes a complete result.
    ///
    /// # Errors
    ///
    /// If `fill` fails, or the output cannot be written. Then no part of the result is left, and an old file is
    /// unchanged.
    pub fn write(&self, form: Form, fill: impl FnOnce(&mut (dyn Write + Send)) -> Result<()>) -> Result<()> {
        let to = self.open(form)?;
        let mut sink = Sink { escaped: to.is_escaped(form).then(Vec::new), to, failure: None };
        let filled = fill(&mut sink).and_then(|()| Ok(sink.end()?));
        // Some libraries hide or repeat the reason when a write fails, so the reason is taken from the sink.
        if let Some(e) = sink.failure.take() {
            return Err(e).with_context(|| format!("cannot write {self}"));
        }
        filled?;
        match sink.to {
            To::Stdout(_) | To::Straight(_) => Ok(()),
            To::File(file, path, replace) => {
                let done = || -> Result<()> {
                    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
                    file.as_file().sync_all()?;
                    // Without `replace`, a file that appeared after the check is not overwritten either.
                    if replace { file.keep(&path) } else { file.keep_new(&path).map_err(|(e, _)| e) }?;
                    Ok(())
                };
                done().with_context(|| format!("cannot write {self}"))
            }
        }
    }

    fn open(&self, form: Form) -> Result<To> {
        let terminal = || fail!(Input, "this format is not text: name a file with `output`");
        let cannot = || format!("cannot write {self}");
        Ok(match &self.place {
            Place::Stdout if form == Form::Binary && io::stdout().is_terminal() => return terminal(),
            Place::Stdout => To::Stdout(BufWriter::new(io::stdout())),
            Place::Straight => {
                let file = File::options().write(true).open(&self.name).with_context(cannot)?;
                if form == Form::Binary && file.is_terminal() {
                    return terminal();
                }
                To::Straight(BufWriter::new(file))
            }
            Place::File(path, replace) => {
                To::File(BufWriter::new(Temporary::beside(path).with_context(cannot)?), path.clone(), *replace)
            }
        })
    }

    /// Creates a file that grows, with its first bytes. No other process can write to it until it is closed.
    ///
    /// # Errors
    ///
    /// If it cannot be written, or another process is writing the existing file.
    pub fn begin(&self, first: &[u8]) -> Result<File> {
        let cannot = || format!("cannot write {self}");
        match &self.place {
            Place::Stdout => fail!(Internal, "internal error: standard output is no file"),
            Place::Straight => {
                let mut file = File::options().write(true).open(&self.name).with_context(cannot)?;
                file.write_all(first).with_context(cannot)?;
                Ok(file)
            }
            Place::File(path, replace) => {
                // Lock the old file until the new one has its name: a process that is still writing it must not lose
                // it.
                let old = File::open(path).ok();
                if let Some(old) = &old {
                    lock::own(old, &self.name)?;
                }
                let file = Temporary::beside(path).and_then(|f| f.filled(first)).with_context(cannot)?;
                lock::own(file.as_file(), &self.name)?;
                let kept = if *replace { file.keep(path) } else { file.keep_new(path).map_err(|(e, _)| e) };
                kept.with_context(cannot)
            }
        }
    }
}

/// A file to which any number of processes append lines.
#[derive(Debug)]
pub struct Appended(PathBuf);

/// Largest number of bytes of the first line that is looked at.
const FIRST_LINE: u64 = 1 << 24;

impl Appended {
    /// Checks a file without changing it. If it has content, its first line must satisfy `same_kind`.
    ///
    /// # Errors
    ///
    /// If it is a folder, its folder does not exist, it is not writable, or its content is of another kind.
    pub fn check(path: &Path, same_kind: impl Fn(&str) -> bool) -> Result<Appended> {
        if let Place::File(file, _) = resolve(path)? {
            if has_content(&file) {
                let mut line = String::new();
                let begin = BufReader::new(File::open(&file).with_context(|| path.display().to_string())?);
                let read = begin.take(FIRST_LINE).read_line(&mut line);
                if read.is_err() || !same_kind(&line) {
                    fail!(Input, "{} holds something else: name another file", path.display());
                }
                // Opening to append does not change the file.
                let writable = File::options().append(true).open(&file);
                writable.with_context(|| format!("cannot write {}", path.display()))?;
            } else if !file.exists() {
                check_folder(&file)?;
            }
        }
        Ok(Appended(path.into()))
    }

    /// Appends lines in a single write, so that lines of two processes do not mix.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn append(self, lines: &str) -> Result<()> {
        let append = || -> io::Result<()> {
            let straight = matches!(resolve(&self.0), Ok(Place::Straight));
            let mut options = File::options();
            let options = if straight { options.write(true) } else { options.append(true).create(true).read(true) };
            let mut file = options.open(&self.0)?;
            // A process that was killed may have left a line without its end: begin a new line.
            let mut last = [b'\n'];
            if !straight && file.metadata()?.len() > 0 {
                file.seek(SeekFrom::End(-1))?;
                file.read_exact(&mut last)?;
            }
            let break_line = if last == [b'\n'] { "" } else { "\n" };
            file.write_all(format!("{break_line}{lines}").as_bytes())
        };
        append().with_context(|| format!("cannot write {}", self.0.display()))
    }
}

/// Creates a file that grows, with its first bytes, under the first of these names that does not exist.
///
/// # Errors
///
/// If the folder cannot be written to, or all names exist.
pub fn begin_new(names: impl Iterator<Item = PathBuf>, first: &[u8]) -> Result<(File, PathBuf)> {
    let mut file = None;
    for path in names {
        let cannot = || format!("cannot write {}", path.display());
        let new = match file.take() {
            Some(file) => file,
            None => Temporary::beside(&path).and_then(|f| f.filled(first)).with_context(cannot)?,
        };
        lock::own(new.as_file(), &path)?;
        match new.keep_new(&path) {
            Ok(kept) => return Ok((kept, path)),
            Err((e, new)) if e.kind() == ErrorKind::AlreadyExists => file = Some(new),
            Err((e, _)) => return Err(e).with_context(cannot),
        }
    }
    fail!(Conflict, "too many files of this name in this folder: name one with `output`")
}

/// Replaces a file of this program with new content, completely or not at all.
///
/// # Errors
///
/// If it cannot be written; then the old file is unchanged.
pub fn replace(path: &Path, fill: impl FnOnce(&mut (dyn Write + Send)) -> Result<()>) -> Result<()> {
    Target::check(path, true, &[])?.write(Form::Text, fill)
}

/// Finds what a name refers to, following links.
fn resolve(path: &Path) -> Result<Place> {
    let straight = |p: &Path| p.starts_with("/dev") || p.starts_with("/proc");
    let mut at = path.to_owned();
    for _ in 0..LINKS {
        // A link of the system (/dev/stdout) must not be replaced: write to what is behind it.
        if straight(&at) && fs::metadata(&at).is_ok_and(|m| !m.is_dir()) {
            return Ok(Place::Straight);
        }
        match fs::symlink_metadata(&at) {
            Ok(m) if m.is_symlink() => {
                let to = fs::read_link(&at).with_context(|| format!("cannot follow the link {}", at.display()))?;
                at = folder_of(&at).join(to);
            }
            Ok(m) if m.is_dir() => fail!(Input, "{} is a folder: name a file in it", path.display()),
            Ok(m) if m.is_file() => return Ok(Place::File(at, false)),
            Ok(_) => return Ok(Place::Straight),
            Err(e) if e.kind() == ErrorKind::NotFound && at.file_name().is_some() => return Ok(Place::File(at, false)),
            Err(e) => return Err(e).with_context(|| format!("cannot write {}", path.display())),
        }
    }
    fail!(Input, "{} is a link that leads in a circle", path.display())
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Checks that a file can be created in the folder of this one.
///
/// # Errors
///
/// If the folder does not exist, or cannot be written to.
pub fn check_folder(file: &Path) -> Result<()> {
    let folder = folder_of(file);
    if !folder.exists() {
        fail!(Input, "cannot write {}: there is no folder {}", file.display(), folder.display());
    }
    if !folder.is_dir() {
        fail!(Input, "cannot write {}: {} is no folder", file.display(), folder.display());
    }
    // A temporary file that has no name on systems that allow this, so that nothing appears in the folder.
    tempfile::tempfile_in(folder).map(drop).map_err(reason).with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(unix)]
fn identity(m: &Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    Some((m.dev(), m.ino()))
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> Option<(u64, u64)> {
    None
}

/// Whether two names refer to the same file.
fn same_file(a: &Path, b: &Path) -> bool {
    let (Ok(of_a), Ok(of_b)) = (fs::metadata(a), fs::metadata(b)) else { return false };
    match (identity(&of_a), identity(&of_b)) {
        (Some(a), Some(b)) => a == b,
        _ => matches!((fs::canonicalize(a), fs::canonicalize(b)), (Ok(a), Ok(b)) if a == b),
    }
}

/// The system's reason, without the name of the temporary file, which the user does not know.
fn reason(e: io::Error) -> io::Error {
    let inner = e.get_ref().and_then(|e| e.source()).and_then(|s| s.downcast_ref::<io::Error>());
    inner.map(copy).unwrap_or(e)
}

fn copy(e: &io::Error) -> io::Error {
    e.raw_os_error().map_or_else(|| io::Error::new(e.kind(), e.to_string()), io::Error::from_raw_os_error)
}

/// Temporary files and folders that must be removed if the program is interrupted.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn unfinished() -> MutexGuard<'static, Vec<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(|e| e.into_inner())
}

/// Removes all temporary files: for a program that is about to exit.
pub fn abandon() {
    unfinished().drain(..).for_each(|path| {
        let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
    });
}

/// A temporary file or folder, which [`abandon`] removes unless this is dropped before.
pub struct Unfinished(PathBuf);

impl Unfinished {
    /// Registers a temporary file or folder.
    pub fn new(path: &Path) -> Unfinished {
        unfinished().push(path.into());
        Unfinished(path.into())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        unfinished().retain(|p| *p != self.0);
    }
}

/// A temporary file in the folder of its later place. It is removed on drop unless it is kept.
struct Temporary {
    file: File,
    path: TempPath,
    _unfinished: Unfinished,
}

impl Temporary {
    fn beside(place: &Path) -> io::Result<Temporary> {
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // The usual permissions of a new file (the umask applies); a temporary file would otherwise be readable by
            // its owner only.
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        let (file, path) = builder.tempfile_in(folder_of(place)).map_err(reason)?.into_parts();
        let _unfinished = Unfinished::new(&path);
        // Whoever may read the old file may also read the one that replaces it.
        if let Ok(old) = fs::metadata(place) {
            file.set_permissions(old.permissions())?;
        }
        Ok(Temporary { file, path, _unfinished })
    }

    fn as_file(&self) -> &File {
        &self.file
    }

    fn filled(mut self, first: &[u8]) -> io::Result<Temporary> {
        self.file.write_all(first)?;
        Ok(self)
    }

    /// Gives the file its name, replacing any existing file.
    fn keep(self, place: &Path) -> io::Result<File> {
        self.path.persist(place).map_err(|e| e.error)?;
        Ok(self.file)
    }

    /// Gives the file its name if no file has it.
    fn keep_new(self, place: &Path) -> Result<File, (io::Error, Temporary)> {
        let Temporary { file, path, _unfinished } = self;
        let outcome = match path.persist_noclobber(place) {
            Err(e) if e.error.kind() != ErrorKind::AlreadyExists => {
                // Some file systems can rename only over an existing file: create an empty one first, which also
                // reserves the name.
                match File::options().write(true).create_new(true).open(place) {
                    Ok(_) => e.path.persist(place).map_err(|e| (e.error, e.path)),
                    Err(taken) => Err((taken, e.path)),
                }
            }
            outcome => outcome.map_err(|e| (e.error, e.path)),
        };
        match outcome {
            Ok(()) => Ok(file),
            Err((e, path)) => Err((reason(e), Temporary { file, path, _unfinished })),
        }
    }
}

impl Write for Temporary {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.file.write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// An open output.
enum To {
    Stdout(BufWriter<Stdout>),
    Straight(BufWriter<File>),
    /// The later path, and whether an existing file is replaced.
    File(BufWriter<Temporary>, PathBuf, bool),
}

impl To {
    /// Whether text is escaped on its way.
    fn is_escaped(&self, form: Form) -> bool {
        let terminal = match self {
            To::File(..) => return false,
            To::Stdout(_) => io::stdout().is_terminal(),
            To::Straight(file) => file.get_ref().is_terminal(),
        };
        form == Form::Text || terminal
    }
}

/// An open output that keeps the reason of its first failure.
struct Sink {
    to: To,
    /// If text is escaped: the bytes of an incomplete character at the end. Otherwise `None`.
    escaped: Option<Vec<u8>>,
    failure: Option<io::Error>,
}

impl Sink {
    fn out(&mut self) -> &mut dyn Write {
        match &mut self.to {
            To::Stdout(out) => out,
            To::Straight(out) => out,
            To::File(out, ..) => out,
        }
    }

    fn remember<T>(&mut self, outcome: io::Result<T>) -> io::Result<T> {
        if let Err(e) = &outcome
            && e.kind() != ErrorKind::Interrupted
        {
            self.failure.get_or_insert(copy(e));
        }
        outcome
    }

    /// Writes the complete characters of these bytes, escaping those that could control a terminal. Returns the
    /// incomplete rest.
    fn write_escaped(&mut self, mut pending: Vec<u8>, all: bool) -> io::Result<Vec<u8>> {
        let whole = match std::str::from_utf8(&pending) {
            Ok(_) => pending.len(),
            // An incomplete character at the end waits for its other bytes; bytes that cannot be a character become
            // U+FFFD.
            Err(e) if e.error_len().is_none() && !all => e.valid_up_to(),
            Err(_) => pending.len(),
        };
        let rest = pending.split_off(whole);
        let text = harmless(&String::from_utf8_lossy(&pending));
        self.out().write_all(text.as_bytes())?;
        Ok(rest)
    }

    fn end(&mut self) -> io::Result<()> {
        let ended = match self.escaped.take() {
            Some(rest) => self.write_escaped(rest, true).map(drop),
            None => Ok(()),
        };
        let flushed = ended.and_then(|()| self.out().flush());
        self.remember(flushed)
    }
}

impl Write for Sink {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let written = match self.escaped.take() {
            Some(mut pending) => {
                pending.extend_from_slice(data);
                self.write_escaped(pending, false).map(|rest| {
                    self.escaped = Some(rest);
                    data.len()
                })
            }
            None => self.out().write(data),
        };
        self.remember(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.out().flush();
        self.remember(flushed)
    }
}
