//! The model that the server has loaded, and the models that a client may load in its place.

use logitree::models::{self, KNOWN, megabytes};
use logitree::{Error, ErrorKind, Events, Model, OpenOptions, Progress, Result, ServerOptions};
use serde::Serialize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use utoipa::ToSchema;

/// From where, and how, another model is loaded.
pub struct Choice {
    /// How a model is opened.
    pub open: OpenOptions,
    /// A folder with models, besides those that logitree knows by name.
    pub folder: Option<PathBuf>,
    /// Servers that the program was started with. Clients cannot name others: a request to an address of theirs would
    /// come from this machine.
    pub engine: Option<Engine>,
}

/// Servers that may be asked in the place of a model in this process.
pub struct Engine {
    /// How they are reached.
    pub servers: ServerOptions,
    /// Their model, as it was at the start.
    pub model: String,
}

impl Engine {
    /// The name by which clients ask for them.
    fn name(&self) -> String {
        format!("{} at {}", self.model, self.servers.urls.join(", "))
    }
}

/// A model that can be loaded.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Candidate {
    /// The name to load it by.
    pub name: String,
    /// What it is, if that is known.
    pub about: String,
    /// Size of its files, in bytes.
    pub bytes: u64,
    /// Whether its files are on this machine. If not, they are fetched when it is loaded.
    pub here: bool,
    /// Whether it is behind servers, which the program was started with.
    pub engine: bool,
}

/// The loading of a model.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Loading {
    /// Name of the model.
    pub name: String,
    /// What is being done.
    pub message: String,
    /// Why the model could not be loaded; the one before is still there then. Absent while it is being loaded.
    pub error: Option<String>,
}

/// The state of the loading that requests read while the engine's thread works.
type Told = Arc<Mutex<Option<Loading>>>;

fn lock(told: &Told) -> MutexGuard<'_, Option<Loading>> {
    // The value is replaced as a whole, so it is whole even if another thread panicked.
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The model of the moment.
pub struct Current {
    model: RwLock<Option<Model>>,
    choice: Option<Choice>,
    loading: Told,
}

impl Current {
    /// Begins with a model; without a choice, it stays the model.
    pub fn new(model: Option<Model>, choice: Option<Choice>) -> Current {
        Current { model: RwLock::new(model), choice, loading: Told::default() }
    }

    /// The model, if there is one.
    pub fn model(&self) -> Option<Model> {
        self.model.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether another model can be loaded.
    pub fn can_choose(&self) -> bool {
        self.choice.is_some()
    }

    /// How the last loading gets on; `None` if none was asked for, or the model is there.
    pub fn loading(&self) -> Option<Loading> {
        lock(&self.loading).clone()
    }

    /// The name of the model that is being loaded now.
    pub fn coming(&self) -> Option<String> {
        self.loading().filter(|l| l.error.is_none()).map(|l| l.name)
    }

    /// Does some work during which `model` stays the current one; `None` if it is not, or will soon be another.
    pub fn during<T>(&self, model: &Model, work: impl FnOnce() -> T) -> Option<T> {
        let now = self.model.read().unwrap_or_else(PoisonError::into_inner);
        let stays = now.as_ref().is_some_and(|now| now.is(model)) && self.coming().is_none();
        stays.then(work)
    }

    /// The models that can be loaded: that of the servers, the known ones, then those of the folder.
    ///
    /// # Errors
    /// If there is no folder for known models.
    pub fn candidates(&self) -> Result<Vec<Candidate>> {
        let Some(choice) = &self.choice else { return Ok(Vec::new()) };
        let mut all = Vec::new();
        if let Some(engine) = &choice.engine {
            let about = "asked from servers".into();
            all.push(Candidate { name: engine.name(), about, bytes: 0, here: true, engine: true });
        }
        for known in KNOWN {
            let here = models::path_of(known)?.exists();
            let (name, about) = (known.name.into(), known.about.into());
            all.push(Candidate { name, about, bytes: known.bytes, here, engine: false });
        }
        for found in choice.folder.iter().flat_map(|folder| models::in_folder(folder)) {
            let about = String::new();
            all.push(Candidate { name: found.name, about, bytes: found.bytes, here: true, engine: false });
        }
        Ok(all)
    }

    /// Notes that a model is asked for. The engine's thread loads it later, with [`Current::load`].
    ///
    /// # Errors
    /// If it is none of the candidates, or another is being loaded.
    pub fn ask(&self, name: &str) -> Result<Loading> {
        if !self.can_choose() {
            return Err(Error::new(ErrorKind::Unsupported, "this server keeps the model that it was started with"));
        }
        if !self.candidates()?.iter().any(|c| c.name == name) {
            let message = format!("`name`: there is no model {name:?} to load here: the list has those that are");
            return Err(Error::new(ErrorKind::Parameter("name"), message));
        }
        let mut loading = lock(&self.loading);
        if let Some(other) = loading.as_ref().filter(|l| l.error.is_none()) {
            let message = format!("{} is being loaded: wait until it is there", other.name);
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        Ok(loading
            .insert(Loading { name: name.into(), message: "waiting for the model to be free".into(), error: None })
            .clone())
    }

    /// Loads a model and puts it in the place of the current one, which stays if anything fails. `replaced` is called
    /// before any client can use the new model.
    pub fn load(&self, name: &str, replaced: impl FnOnce()) {
        match self.open(name) {
            Ok(model) => {
                let mut now = self.model.write().unwrap_or_else(PoisonError::into_inner);
                *now = Some(model);
                *lock(&self.loading) = None;
                replaced();
            }
            Err(e) => self.fail(&e),
        }
    }

    /// Records that the model that was asked for could not be loaded.
    pub fn fail(&self, error: &Error) {
        if let Some(loading) = lock(&self.loading).as_mut() {
            loading.error = Some(format!("{error:#}"));
        }
    }

    fn open(&self, name: &str) -> Result<Model> {
        let Some(choice) = &self.choice else {
            return Err(Error::new(ErrorKind::Internal, "no model can be chosen here"));
        };
        let teller = Teller { to: self.loading.clone(), also: choice.open.events.clone() };
        let teller = Arc::new(teller);
        let model = match choice.engine.as_ref().filter(|engine| engine.name() == name) {
            Some(engine) => {
                teller.tell("asking the servers what they are".into());
                engine.servers.connect(teller)?
            }
            None => {
                teller.tell("reading the weights".into());
                let model = OpenOptions { events: teller.clone(), ..choice.open.clone() }.open(name)?;
                teller.tell("computing the hash of the weights".into());
                model
            }
        };
        // Every run needs the model's record. Making it hashes the weights, which is better done now than in the first
        // run.
        model.record()?;
        // A model that can open no session is of no use: then the one before stays.
        model.session()?;
        Ok(model)
    }
}

/// Passes on what the library reports while a model is loaded, and keeps it for clients that ask.
struct Teller {
    to: Told,
    also: Arc<dyn Events>,
}

impl Teller {
    fn tell(&self, message: String) {
        if let Some(loading) = lock(&self.to).as_mut() {
            loading.message = message;
        }
    }
}

impl Events for Teller {
    fn note(&self, text: &str) {
        self.also.note(text);
    }

    fn status(&self, text: &str) {
        self.tell(text.into());
        self.also.status(text);
    }

    fn progress(&self, progress: Progress<'_>) {
        match progress {
            Progress::Bytes { done, total, .. } => {
                self.tell(format!("fetched {} of {}", megabytes(done), megabytes(total)));
            }
            Progress::Words(words) => self.tell(words()),
            Progress::Ended => {}
        }
        self.also.progress(progress);
    }

    fn stop(&self) -> bool {
        self.also.stop()
    }
}
