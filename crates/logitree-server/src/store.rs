//! The runs in the data folder: one file each, and their status.

use logitree::{Context, Error, ErrorKind, Events, Result, lock, output, slug};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use tokio::sync::watch;
use utoipa::ToSchema;

/// The kind of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A run.
    Run,
    /// The notebook's logprobs records.
    Records,
}

/// The state of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The run waits for its turn.
    Queued,
    /// The model explores the run.
    Running,
    /// The user paused the run.
    Paused,
    /// The run ended early: it was stopped or killed, or the server was shut down. It can be resumed.
    Interrupted,
    /// The run has nothing more to do, or has reached a budget.
    Finished,
    /// The model failed.
    Failed,
    /// The run was made elsewhere and imported.
    Imported,
}

impl State {
    /// Whether the engine works on the run, or will.
    pub fn is_busy(self) -> bool {
        matches!(self, State::Queued | State::Running)
    }
}

/// The progress of a run.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Status {
    pub state: State,
    pub nodes: usize,
    /// Number of paths that reached an end token.
    pub completed: usize,
    /// Number of open paths, while the run is growing.
    pub queue: usize,
    /// The branch threshold, while the run is growing.
    pub threshold: Option<f64>,
    /// Speed in nodes per second.
    pub rate: f64,
    /// What went wrong.
    pub message: Option<String>,
    /// Length of the file in bytes when this status was set.
    pub length: u64,
    /// Number of requests made by hand that the model is working on.
    pub writing: usize,
}

impl Status {
    pub fn new(state: State) -> Status {
        Status {
            state,
            nodes: 1,
            completed: 0,
            queue: 0,
            threshold: None,
            rate: 0.0,
            message: None,
            length: 0,
            writing: 0,
        }
    }
}

/// A run as it is listed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Info {
    /// Id of the run in URLs.
    pub id: String,
    /// Name of the run, shown to people.
    pub name: String,
    pub kind: Kind,
    pub prompt: String,
    pub model: String,
    pub strategy: String,
    pub created: String,
    /// The run's budget of nodes, if it has one.
    pub max_nodes: Option<usize>,
    /// The model that made the run; `None` for records.
    #[serde(skip)]
    pub made_by: Option<logitree_core::run::Model>,
    pub status: Status,
}

struct Entry {
    info: Info,
    status: watch::Sender<Status>,
}

/// All runs of the data folder.
pub struct Store {
    dir: PathBuf,
    entries: Mutex<BTreeMap<String, Entry>>,
}

const RUN: &str = ".run.jsonl";
const RECORDS: &str = ".records.jsonl";
const NAMES: &str = "names.json";

/// Names that users gave to runs, by id.
#[derive(Default, Serialize, Deserialize)]
struct Names(BTreeMap<String, String>);

impl Store {
    /// Opens a data folder, which is made if it does not exist. Runs that were interrupted are repaired.
    ///
    /// # Errors
    /// If the folder cannot be read or made.
    pub fn open(dir: &Path, events: &dyn Events) -> Result<Store> {
        std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        let store = Store { dir: dir.into(), entries: Mutex::default() };
        let names = std::fs::read(dir.join(NAMES)).ok().and_then(|b| serde_json::from_slice::<Names>(&b).ok());
        let mut names = names.unwrap_or_default().0;
        for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
            let path = entry?.path();
            let file = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            let Some((id, kind)) = id_of(&file) else { continue };
            match store.read_info(&id, kind) {
                Ok(mut info) => {
                    info.name = names.remove(&id).unwrap_or(info.name);
                    store.insert(info);
                }
                Err(e) => events.note(&format!("{}: {e:#}; it is left alone", path.display())),
            }
        }
        Ok(store)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn insert(&self, info: Info) {
        let (status, _) = watch::channel(info.status.clone());
        self.lock().insert(info.id.clone(), Entry { info, status });
    }

    /// The path of a run's file. Only ids of this store are accepted, so no other file can be named.
    pub fn path(&self, id: &str) -> Result<PathBuf> {
        let entries = self.lock();
        let entry = entries.get(id).ok_or_else(|| unknown(id))?;
        Ok(self.file(id, entry.info.kind))
    }

    fn file(&self, id: &str, kind: Kind) -> PathBuf {
        self.dir.join(format!("{id}{}", if kind == Kind::Run { RUN } else { RECORDS }))
    }

    pub fn list(&self) -> Vec<Info> {
        let mut list: Vec<Info> = self.lock().values().map(|e| e.info.clone()).collect();
        list.sort_by(|a, b| b.created.cmp(&a.created).then(b.id.cmp(&a.id)));
        list
    }

    /// The id of a run whose file has exactly this content.
    pub fn same(&self, bytes: &[u8]) -> Option<String> {
        let entries = self.lock();
        let alike = entries.values().filter(|e| e.info.status.length == bytes.len() as u64);
        let found = alike.map(|e| &e.info).find(|i| std::fs::read(self.file(&i.id, i.kind)).is_ok_and(|b| b == bytes));
        found.map(|i| i.id.clone())
    }

    pub fn get(&self, id: &str) -> Result<Info> {
        let entries = self.lock();
        entries.get(id).map(|e| e.info.clone()).ok_or_else(|| unknown(id))
    }

    /// Changes the status of a run, and notifies everybody who watches it.
    pub fn update(&self, id: &str, change: impl FnOnce(&mut Status)) {
        if let Some(entry) = self.lock().get_mut(id) {
            change(&mut entry.info.status);
            entry.status.send_replace(entry.info.status.clone());
        }
    }

    pub fn subscribe(&self, id: &str) -> Result<watch::Receiver<Status>> {
        let entries = self.lock();
        entries.get(id).map(|e| e.status.subscribe()).ok_or_else(|| unknown(id))
    }

    /// Makes a new file, with an id made from `about`; `fill` writes the file. Returns the id.
    pub fn create(&self, about: &str, kind: Kind, fill: impl FnOnce(&Path) -> Result<()>) -> Result<String> {
        let slug = slug(about);
        for i in 1..100_000 {
            let id = if i == 1 { slug.clone() } else { format!("{slug}-{i}") };
            let path = self.file(&id, kind);
            if self.lock().contains_key(&id) || OpenOptions::new().write(true).create_new(true).open(&path).is_err() {
                continue;
            }
            let made = fill(&path).and_then(|()| self.read_info(&id, kind));
            return match made {
                Ok(info) => {
                    self.insert(info);
                    Ok(id)
                }
                Err(e) => {
                    let _ = std::fs::remove_file(&path);
                    Err(e)
                }
            };
        }
        let message = format!("{}: no free name for {slug:?}: is the folder writable?", self.dir.display());
        Err(Error::new(ErrorKind::Io, message))
    }

    pub fn rename(&self, id: &str, name: &str) -> Result<()> {
        {
            let mut entries = self.lock();
            let entry = entries.get_mut(id).ok_or_else(|| unknown(id))?;
            entry.info.name = name.into();
        }
        self.write_names()
    }

    fn write_names(&self) -> Result<()> {
        let names = Names(self.lock().iter().map(|(id, e)| (id.clone(), e.info.name.clone())).collect());
        let names = serde_json::to_vec_pretty(&names)?;
        output::replace(&self.dir.join(NAMES), |out| Ok(out.write_all(&names)?))
    }

    pub fn remove(&self, id: &str) -> Result<()> {
        let path = self.path(id)?;
        std::fs::remove_file(&path).with_context(|| path.display().to_string())?;
        self.lock().remove(id);
        self.write_names()
    }

    /// Reads what a file says about itself. An incomplete event at its end is cut off, because clients are sent only
    /// complete events.
    fn read_info(&self, id: &str, kind: Kind) -> Result<Info> {
        let path = self.file(id, kind);
        let length = std::fs::metadata(&path)?.len();
        if kind == Kind::Records {
            let mut status = Status::new(State::Imported);
            status.length = length;
            let (name, none) = (id.to_string(), String::new);
            return Ok(Info {
                id: id.into(),
                name,
                kind,
                prompt: none(),
                model: none(),
                strategy: none(),
                created: none(),
                max_nodes: None,
                made_by: None,
                status,
            });
        }
        let run = logitree::import::run_file(&path)?;
        if run.torn {
            let file = lock::for_writing().open(&path)?;
            // An incomplete end may also mean that another process is writing the file now: then it must not be cut.
            if lock::try_own(&file) && file.metadata()?.len() == length {
                file.set_len(run.valid_bytes)?;
            }
        }
        use logitree_core::run::EndReason;
        let state = match run.end.as_ref().map(|e| e.reason) {
            _ if run.header.model.sha256.is_empty() => State::Imported,
            Some(EndReason::Finished | EndReason::MaxNodes | EndReason::MaxSeconds) => State::Finished,
            Some(EndReason::Failed) => State::Failed,
            Some(EndReason::Interrupted) | None => State::Interrupted,
        };
        let mut status = Status::new(state);
        status.nodes = run.tree.len();
        status.completed =
            run.tree.nodes().filter(|&n| run.tree.stop(n) == Some(logitree_core::Stop::EndToken)).count();
        status.length = run.valid_bytes;
        let h = &run.header;
        Ok(Info {
            id: id.into(),
            name: first_line(&h.prompt.text),
            kind,
            prompt: h.prompt.text.clone(),
            model: h.model.name.clone(),
            strategy: h.strategy.clone(),
            created: h.created.clone(),
            max_nodes: h.limits.get("max_nodes").and_then(|v| Some(v.as_u64()? as usize)),
            made_by: Some(h.model.clone()),
            status,
        })
    }
}

/// What went wrong with the file of a run that the store knows. If the file is gone, that is the server's trouble: the client's
/// address was right.
pub fn of_file(e: Error) -> Error {
    match e.kind() {
        ErrorKind::NotFound => Error::new(ErrorKind::Io, e.chain()),
        _ => e,
    }
}

/// The error for an id that no run has.
fn unknown(id: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no run {id:?}"))
}

fn first_line(text: &str) -> String {
    text.lines().find(|l| !l.trim().is_empty()).unwrap_or("(blank)").chars().take(80).collect()
}

fn id_of(file: &str) -> Option<(String, Kind)> {
    let run = file.strip_suffix(RUN).map(|id| (id.to_string(), Kind::Run));
    run.or_else(|| file.strip_suffix(RECORDS).map(|id| (id.to_string(), Kind::Records)))
}

/// Reads whole lines of a file from byte `from` on, up to about `most` bytes. Returns them and the byte where they
/// end.
pub fn lines(path: &Path, from: u64, most: usize) -> std::io::Result<(String, u64)> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::with_capacity(most.min(1 << 16));
    Read::by_ref(&mut file).take(most as u64).read_to_end(&mut bytes)?;
    let mut end = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |i| i + 1);
    if end == 0 && bytes.len() == most {
        // The first line is longer than `most`: read it to its end.
        BufReader::new(file).read_until(b'\n', &mut bytes)?;
        end = if bytes.ends_with(b"\n") { bytes.len() } else { 0 };
    }
    bytes.truncate(end);
    Ok((String::from_utf8_lossy(&bytes).into_owned(), from + end as u64))
}
