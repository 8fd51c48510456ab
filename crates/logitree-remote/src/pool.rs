//! Requests side by side, over several servers.
//!
//! Every server has workers that take jobs from its queue, and from the longest other queue when theirs is empty, so
//! that all servers stay busy until the end of a level. A failing request is repeated after a pause. A server that goes
//! on failing is left alone for a while and its jobs go to the others, so no job is lost as long as one server works.

use crate::RemoteError;
use crate::http::{Failure, Http};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How often a request is tried on one server.
const TRIES: u32 = 4;
/// First pause before a request is repeated; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(250);
/// Longest pause that a server may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long a failing server is left alone.
const REST: Duration = Duration::from_secs(30);

/// A server, and whether it is left alone after a failure.
pub(crate) struct Server {
    pub(crate) http: Http,
    /// How many prompts the server is given at once.
    slots: usize,
    /// When the server failed. `None` if it may be asked.
    down_since: Mutex<Option<Instant>>,
}

impl Server {
    pub(crate) fn slots(&self) -> usize {
        self.slots
    }
}

/// How many requests went to the servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests that were answered.
    pub requests: u64,
    /// Requests that had to be repeated.
    pub repeated: u64,
}

/// Servers of one model.
pub(crate) struct Pool {
    pub(crate) servers: Vec<Server>,
    requests: AtomicU64,
    repeated: AtomicU64,
    interrupted: Arc<dyn Fn() -> bool + Send + Sync>,
    note: Box<dyn Fn(&str) + Send + Sync>,
}

/// The jobs of one call that have no answer yet, and the workers that have no job.
struct Work {
    /// The jobs that wait for each server.
    queues: Vec<VecDeque<usize>>,
    /// For each server, how many workers have no job.
    free: Vec<usize>,
    /// How many jobs have no answer yet.
    left: usize,
    failed: Option<RemoteError>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that panicked while it held the lock left plain data, which is valid at any moment.
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

impl Pool {
    pub(crate) fn new(
        servers: Vec<(Http, usize)>,
        interrupted: Arc<dyn Fn() -> bool + Send + Sync>,
        note: Box<dyn Fn(&str) + Send + Sync>,
    ) -> Pool {
        let server = |(http, slots): (Http, usize)| Server { http, slots: slots.max(1), down_since: Mutex::new(None) };
        let servers = servers.into_iter().map(server).collect();
        Pool { servers, requests: AtomicU64::new(0), repeated: AtomicU64::new(0), interrupted, note }
    }

    pub(crate) fn traffic(&self) -> Traffic {
        let read = |n: &AtomicU64| n.load(Ordering::Relaxed);
        Traffic { requests: read(&self.requests), repeated: read(&self.repeated) }
    }

    pub(crate) fn note(&self, text: &str) {
        (self.note)(text);
    }

    /// Whether a server may be asked. One that failed may be asked again after [`REST`].
    pub(crate) fn is_up(&self, server: usize) -> bool {
        let mut down = lock(&self.servers[server].down_since);
        if down.is_some_and(|since| since.elapsed() >= REST) {
            *down = None;
        }
        down.is_none()
    }

    /// Asks about jobs `0 .. places.len()` and returns their answers in this order. Job `i` goes to server `places[i]`
    /// if that is up, otherwise to another. `ask` sends one request about up to `chunk` jobs and returns an answer per
    /// job.
    pub(crate) fn run<T: Send>(&self, places: &[usize], chunk: usize, ask: Ask<'_, T>) -> Result<Vec<T>, RemoteError> {
        let n = self.servers.len();
        if !(0..n).any(|s| self.is_up(s)) {
            // If all servers are down, all are tried again, since the alternative is to give up.
            self.servers.iter().for_each(|s| *lock(&s.down_since) = None);
        }
        let up: Vec<usize> = (0..n).filter(|&s| self.is_up(s)).collect();
        let mut queues = vec![VecDeque::new(); n];
        for (job, &place) in places.iter().enumerate() {
            let server = if up.contains(&place) { place } else { up[job % up.len()] };
            queues[server].push_back(job);
        }
        let wide = places.len().div_ceil(chunk).max(1);
        let workers = |s: usize| if up.contains(&s) { (self.servers[s].slots / chunk).clamp(1, wide) } else { 0 };
        let free: Vec<usize> = (0..n).map(workers).collect();
        let call = Call {
            pool: self,
            chunk,
            ask,
            work: Mutex::new(Work { queues, free, left: places.len(), failed: None }),
            changed: Condvar::new(),
            answers: places.iter().map(|_| Mutex::new(None)).collect(),
        };
        std::thread::scope(|scope| {
            let call = &call;
            for &s in &up {
                for _ in 0..workers(s) {
                    scope.spawn(move || call.serve(s));
                }
            }
        });
        if let Some(failed) = lock(&call.work).failed.take() {
            return Err(failed);
        }
        let answers = call.answers.into_iter().map(|a| a.into_inner().unwrap_or_else(|e| e.into_inner()));
        answers.collect::<Option<_>>().ok_or_else(|| RemoteError::Unreachable("no server answers".into()))
    }

    /// Asks one server up to [`TRIES`] times, with a pause in between. A refusal is final: it is not repeated.
    pub(crate) fn ask_again<T>(
        &self,
        server: usize,
        ask: &mut dyn FnMut() -> Result<T, Failure>,
    ) -> Result<T, RemoteError> {
        let root = self.servers[server].http.root();
        let mut pause = PAUSE;
        let mut tries = 1;
        loop {
            if (self.interrupted)() {
                return Err(RemoteError::Interrupted);
            }
            let (why, wait) = match ask() {
                Ok(answer) => {
                    self.requests.fetch_add(1, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(Failure::Refused { status, message }) => {
                    return Err(RemoteError::Refused { server: root.into(), status, message });
                }
                Err(Failure::Busy { after, message }) => (message, after.unwrap_or(pause).clamp(pause, LONGEST_PAUSE)),
                Err(Failure::Broken(why)) => (why, pause),
            };
            if tries >= TRIES {
                let why = format!("{root} does not answer as it should, {tries} times in a row: {why}");
                return Err(RemoteError::Unreachable(why));
            }
            self.repeated.fetch_add(1, Ordering::Relaxed);
            // The pause is made of short ones, so that Ctrl-C does not have to wait for its end.
            let until = Instant::now() + wait;
            while Instant::now() < until && !(self.interrupted)() {
                std::thread::sleep(Duration::from_millis(20));
            }
            pause *= 2;
            tries += 1;
        }
    }
}

/// Sends one request about some jobs and gives an answer per job.
type Ask<'a, T> = &'a (dyn Fn(&Http, &[usize]) -> Result<Vec<T>, Failure> + Sync);

/// One call of [`Pool::run`], which its workers share.
struct Call<'a, T> {
    pool: &'a Pool,
    chunk: usize,
    ask: Ask<'a, T>,
    work: Mutex<Work>,
    changed: Condvar,
    answers: Vec<Mutex<Option<T>>>,
}

impl<T> Call<'_, T> {
    /// Works for `server`: takes jobs and asks about them, until all jobs are answered, the call failed or the server
    /// is down.
    fn serve(&self, server: usize) {
        let http = &self.pool.servers[server].http;
        loop {
            let Some(jobs) = self.take(server) else { return };
            let outcome = self.pool.ask_again(server, &mut || (self.ask)(http, &jobs));
            let mut w = lock(&self.work);
            w.free[server] += 1;
            match outcome {
                Ok(found) if found.len() == jobs.len() => {
                    w.left -= jobs.len();
                    for (&job, answer) in jobs.iter().zip(found) {
                        *lock(&self.answers[job]) = Some(answer);
                    }
                }
                Ok(found) => {
                    let why = format!("{}: {} answers for {} questions", http.root(), found.len(), jobs.len());
                    w.failed = Some(RemoteError::Unreachable(why));
                }
                Err(RemoteError::Unreachable(why)) => {
                    let first = lock(&self.pool.servers[server].down_since).replace(Instant::now()).is_none();
                    let others: Vec<usize> = (0..self.pool.servers.len()).filter(|&s| self.pool.is_up(s)).collect();
                    w.queues[server].extend(&jobs);
                    if others.is_empty() {
                        w.failed = Some(RemoteError::Unreachable(why));
                    } else {
                        if first {
                            self.pool.note(&format!("{why}; its paths go to the other servers"));
                        }
                        let orphans = std::mem::take(&mut w.queues[server]);
                        for (i, job) in orphans.into_iter().enumerate() {
                            w.queues[others[i % others.len()]].push_back(job);
                        }
                    }
                }
                Err(e) => w.failed = Some(e),
            }
            drop(w);
            self.changed.notify_all();
        }
    }

    /// The next jobs for a worker of `server`. While other workers are busy it waits, because their jobs return to the
    /// queues if their server fails. `None` if all jobs are answered, the call failed or the server is down.
    fn take(&self, server: usize) -> Option<Vec<usize>> {
        let mut w = lock(&self.work);
        loop {
            if w.left == 0 || w.failed.is_some() || !self.pool.is_up(server) && self.pool.servers.len() > 1 {
                return None;
            }
            let own = w.queues[server].len();
            if own > 0 {
                w.free[server] -= 1;
                return Some(w.queues[server].drain(..self.chunk.min(own)).collect());
            }
            // A job stays with its own server, whose cache has its path, as long as that server has a worker without a
            // job.
            let others = (0..w.queues.len()).filter(|&s| w.free[s] == 0);
            if let Some(from) = others.max_by_key(|&s| w.queues[s].len()).filter(|&s| !w.queues[s].is_empty()) {
                // At most half of the jobs that wait there are taken, so that both servers end at about the same time.
                let waiting = w.queues[from].len();
                w.free[server] -= 1;
                return Some(w.queues[from].drain(waiting - self.chunk.min(waiting.div_ceil(2))..).collect());
            }
            w = self.changed.wait(w).unwrap_or_else(|e| e.into_inner());
        }
    }
}
