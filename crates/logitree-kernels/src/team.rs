//! A small team of threads that stays hot.
//!
//! A forward pass is a chain of some hundred short parallel steps; waking a sleeping thread for each
//! would cost more than the smaller ones take. The members spin for a moment after each step
//! and park only when the model rests.
//!
//! Another program may keep a core busy, so that a member does not run when it is wanted. The leader, which is the calling
//! thread, does not wait for it then: it takes the indices of a late member itself and closes the step, and a member
//! that comes after that finds it closed ([`gate`]). Only an index that a member has begun must be waited for, and this
//! would take as long as the other program's turn on that core. So while cores are short, a member leaves its core at
//! the end of a step, of its own will, before the system takes it away amid the next ([`turns`]).

mod gate;
mod turns;

use gate::Gate;
use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};
use turns::{Shortage, Turn};

/// How long a thread spins for others before it lets other threads have its core.
const SPIN: Duration = Duration::from_micros(200);

/// The step that is being run: called once by every member that joins it, with its index.
type Job = *const (dyn Fn(usize) + Sync);

struct Shared {
    gate: Gate,
    job: UnsafeCell<Option<Job>>,
    shortage: Shortage,
    quit: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    asleep: Vec<AtomicBool>,
}

// SAFETY: `job` is written only by the leader while the gate is closed and nobody is at work, and read only by members
// that have passed the gate; the pointee is Sync and outlives the step (see `Team::step`).
unsafe impl Sync for Shared {}
// SAFETY: as above; the pointer is only a loan to the members for the length of a step.
unsafe impl Send for Shared {}

/// Threads that run one closure together; the calling thread is one of them.
pub(crate) struct Team {
    shared: Arc<Shared>,
    members: Vec<(Thread, Option<JoinHandle<()>>)>,
    /// For each thread, the first index of its run that is not handed out yet.
    next: Vec<Counter>,
}

/// A counter that fills a cache line, so that threads which count in different ones do not wait for each other.
#[repr(align(64))]
struct Counter(AtomicUsize);

impl Team {
    /// A team of `threads` (at least one, at most [`gate::MOST`] more), the calling thread included.
    pub(crate) fn new(threads: usize) -> Team {
        Team::of((threads.max(1) - 1).min(gate::MOST), member)
    }

    /// A team with `extra` members, each of which runs `life` with its index.
    fn of(extra: usize, life: impl Fn(&Shared, usize) + Clone + Send + 'static) -> Team {
        let shared = Arc::new(Shared {
            gate: Gate::new(),
            job: UnsafeCell::new(None),
            shortage: Shortage::new(),
            quit: AtomicBool::new(false),
            panic: Mutex::new(None),
            asleep: (0..extra).map(|_| AtomicBool::new(false)).collect(),
        });
        let members = (0..extra)
            .map_while(|i| {
                let (shared, life) = (shared.clone(), life.clone());
                // If the system refuses more threads, the team has fewer: it is slower, but results are the same.
                let handle =
                    thread::Builder::new().name(format!("team-{}", i + 1)).spawn(move || life(&shared, i)).ok()?;
                Some((handle.thread().clone(), Some(handle)))
            })
            .collect::<Vec<_>>();
        let next = (0..=members.len()).map(|_| Counter(AtomicUsize::new(0))).collect();
        Team { shared, members, next }
    }

    /// A team with a thread for every core that this process may use.
    pub(crate) fn all_cores() -> Team {
        Team::new(thread::available_parallelism().map_or(1, |n| n.get()))
    }

    /// Number of threads, the caller included.
    pub(crate) fn threads(&self) -> usize {
        self.members.len() + 1
    }

    /// Calls `f(0) … f(threads - 1)`, each on its own thread, and returns when all have ended.
    /// If one of them panics, so does this function.
    pub(crate) fn run(&mut self, f: &(dyn Fn(usize) + Sync)) {
        self.step(self.members.len(), f);
    }

    /// Calls `f(0)` here and `f(1) … f(threads - 1)` on the members, at least on `wanted` of them: members that have not
    /// joined when `f(0)` has ended are not called. Returns when all calls have ended, and panics if one of them did.
    ///
    /// It takes `&self`, because [`Team::each_with`] lends `next` to the closure; the public functions take
    /// `&mut self`, so only one step runs at a time.
    fn step(&self, wanted: usize, f: &(dyn Fn(usize) + Sync)) {
        if self.members.is_empty() {
            return f(0);
        }
        let shared = &*self.shared;
        // SAFETY: the lifetime is erased, but this function returns only after the gate was closed and every member that
        // passed it has left the closure, also when `f(0)` panics.
        let job: Job = unsafe { std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), Job>(f) };
        // SAFETY: the gate is closed and nobody is at work between steps, so nobody reads `job` now.
        unsafe { *shared.job.get() = Some(job) };
        let began = Instant::now();
        shared.gate.open();
        for (i, (thread, _)) in self.members.iter().enumerate() {
            if shared.asleep[i].load(Ordering::SeqCst) {
                thread.unpark();
            }
        }
        let mine = catch_unwind(AssertUnwindSafe(|| f(0)));
        wait(began, || shared.gate.joined() >= wanted);
        shared.gate.close();
        let late = wait(began, || shared.gate.at_work() == 0);
        shared.shortage.step(late);
        // The members' panic is taken even if this thread has panicked too, or the next step would pass it on.
        let theirs = shared.panic.lock().unwrap_or_else(|e| e.into_inner()).take();
        if let Err(panic) = mine {
            resume_unwind(panic);
        }
        if let Some(panic) = theirs {
            resume_unwind(panic);
        }
    }

    /// Calls `f(thread, index)` once for each index of `0..count`. Each thread takes a run of neighbouring indices, in
    /// order, because their memory often shares cache lines and is fetched ahead. A thread that has finished its run
    /// takes indices from the runs of others.
    pub(crate) fn each(&mut self, count: usize, f: impl Fn(usize, usize) + Sync) {
        let threads = self.threads();
        let ends: Vec<usize> = (1..=threads).map(|run| count * run / threads).collect();
        self.each_with(&ends, || (), |(), thread, index| f(thread, index));
    }

    /// Does what [`Team::each`] does, with runs that end at `ends`. A thread calls `make` before its first index,
    /// passes the value to each of its calls, and drops it after its last.
    pub(crate) fn each_with<T>(
        &mut self,
        ends: &[usize],
        make: impl Fn() -> T + Sync,
        f: impl Fn(&mut T, usize, usize) + Sync,
    ) {
        let threads = self.threads();
        assert!(ends.len() == threads && ends.is_sorted());
        let count = ends[threads - 1];
        if count <= 1 {
            // A single index has nothing to share. Waking the others would take longer than most such steps.
            return (0..count).for_each(|index| f(&mut make(), 0, index));
        }
        let starts = [0].iter().chain(ends);
        for (next, start) in self.next.iter_mut().zip(starts) {
            *next.0.get_mut() = *start;
        }
        let next = &self.next;
        self.step(0, &|thread| {
            let mut made = None;
            for run in (thread..threads).chain(0..thread) {
                loop {
                    let index = next[run].0.fetch_add(1, Ordering::Relaxed);
                    if index >= ends[run] {
                        break;
                    }
                    f(made.get_or_insert_with(&make), thread, index);
                }
            }
        });
    }
}

/// Waits until `done`, in a step that began at `began`. It spins for as long as this thread has worked on the step or
/// [`SPIN`], whichever is longer, and then lets others have the core between two looks. It does not sleep: a thread that
/// has moved to this core meanwhile would keep it. Returns true if spinning was not enough.
fn wait(began: Instant, done: impl Fn() -> bool) -> bool {
    if done() {
        return false;
    }
    let now = Instant::now();
    let patience = SPIN.max(now - began);
    while !done() {
        if now.elapsed() > patience {
            while !done() {
                thread::yield_now();
            }
            return true;
        }
        std::hint::spin_loop();
    }
    false
}

fn member(shared: &Shared, index: usize) {
    let mut seen = 0;
    let mut turn = Turn::new();
    while let Some(step) = next_step(shared, index, seen) {
        seen = step;
        turn.begin(&shared.shortage);
        if !shared.gate.join(step) {
            continue;
        }
        // SAFETY: the leader wrote `job` before it opened the gate, and writes again only after we have left.
        let job = unsafe { *shared.job.get() };
        if let Some(job) = job {
            // SAFETY: `Team::step` keeps the closure alive until everyone has left.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| unsafe { (*job)(index + 1) })) {
                *shared.panic.lock().unwrap_or_else(|e| e.into_inner()) = Some(panic);
            }
        }
        shared.gate.leave();
        turn.end(&shared.shortage);
    }
}

/// Waits for a step after the step `seen`, and returns its number; `None` if the team is dissolved.
fn next_step(shared: &Shared, index: usize, seen: u32) -> Option<u32> {
    let came = || shared.gate.step() != seen || shared.quit.load(Ordering::SeqCst);
    let start = Instant::now();
    while !came() && start.elapsed() < SPIN {
        std::hint::spin_loop();
    }
    while !came() {
        // The flag is set before the last look at the step: a leader that steps after that look sees it and unparks.
        shared.asleep[index].store(true, Ordering::SeqCst);
        while !came() {
            thread::park();
        }
        shared.asleep[index].store(false, Ordering::SeqCst);
    }
    (!shared.quit.load(Ordering::Relaxed)).then(|| shared.gate.step())
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.quit.store(true, Ordering::SeqCst);
        for (thread, handle) in &mut self.members {
            thread.unpark();
            if let Some(handle) = handle.take() {
                let _ = handle.join();
            }
        }
    }
}

/// One value per thread of a [`Team`].
pub(crate) struct PerThread<T>(Vec<UnsafeCell<T>>);

// SAFETY: `get` demands that each index is used by one thread at a time.
unsafe impl<T: Send> Sync for PerThread<T> {}

impl<T> PerThread<T> {
    pub(crate) fn new(threads: usize, make: impl FnMut(usize) -> T) -> Self {
        PerThread((0..threads).map(make).map(UnsafeCell::new).collect())
    }

    /// # Safety
    /// During a step, only thread `index` may call this with its index, and it must hold one reference at a time.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn get(&self, index: usize) -> &mut T {
        // SAFETY: the caller keeps references to one element from overlapping.
        unsafe { &mut *self.0[index].get() }
    }

    pub(crate) fn all(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().map(UnsafeCell::get_mut)
    }
}

/// A slice whose disjoint parts are written by several threads.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a, T> {
    start: *mut T,
    len: usize,
    life: std::marker::PhantomData<&'a mut [T]>,
}

// SAFETY: `part` demands disjointness, so sharing it is sharing disjoint `&mut [T]`.
unsafe impl<T: Send> Sync for Parts<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Parts<'_, T> {}

impl<'a, T> Parts<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Parts { start: slice.as_mut_ptr(), len: slice.len(), life: std::marker::PhantomData }
    }

    /// # Safety
    /// No two live parts may overlap.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn part(&self, start: usize, len: usize) -> &mut [T] {
        assert!(start <= self.len && len <= self.len - start, "part {start}+{len} of {}", self.len);
        // SAFETY: the part lies within the slice (checked above), and the caller keeps parts disjoint.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }
}

impl<T: Copy> Parts<'_, T> {
    /// Writes `values` to `start`, `start + stride`, …
    ///
    /// # Safety
    /// No live part may hold these elements, and no other thread may touch them.
    pub(crate) unsafe fn scatter(&self, start: usize, stride: usize, values: &[T]) {
        let Some(last) = values.len().checked_sub(1) else { return };
        assert!(start + last * stride < self.len, "scatter {start}+{last}*{stride} of {}", self.len);
        for (i, &value) in values.iter().enumerate() {
            // SAFETY: the index is at most the last one, which lies within the slice (checked above).
            unsafe { self.start.add(start + i * stride).write(value) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_is_handed_out_once_over_many_steps() {
        for threads in [1, 2, 5] {
            let mut team = Team::new(threads);
            for count in [0, 1, 7, 100] {
                for _ in 0..50 {
                    let hits: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
                    team.each(count, |_, i| {
                        hits[i].fetch_add(1, Ordering::Relaxed);
                    });
                    assert!(hits.iter().all(|h| h.load(Ordering::Relaxed) == 1));
                }
            }
        }
    }

    #[test]
    fn a_member_that_does_not_come_is_not_waited_for_and_may_come_later() {
        let here = Arc::new(std::sync::Barrier::new(2));
        let there = here.clone();
        let mut team = Team::of(1, move |shared, index| {
            there.wait();
            member(shared, index);
        });
        let threads = Mutex::new(vec![0; 2]);
        let mut steps = |count: usize| {
            team.each(count, |thread, _| threads.lock().unwrap()[thread] += 1);
            threads.lock().unwrap().clone()
        };
        // Were the member waited for, this would not return.
        let before = [steps(10), steps(10)];
        here.wait();
        assert_eq!(before, [[10, 0], [20, 0]]);
        // From now on the member takes part, as soon as the system lets it run.
        while steps(10)[1] == 0 {}
    }

    #[test]
    fn a_sleeping_team_wakes() {
        let mut team = Team::new(3);
        for _ in 0..3 {
            thread::sleep(std::time::Duration::from_millis(30));
            let sum = AtomicUsize::new(0);
            team.run(&|i| {
                sum.fetch_add(i + 1, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 6);
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_team_survives() {
        let mut team = Team::new(2);
        for culprits in [&[0][..], &[1], &[0, 1]] {
            let result = catch_unwind(AssertUnwindSafe(|| {
                team.run(&|i| assert!(!culprits.contains(&i), "member {i} fails"));
            }));
            assert!(result.is_err());
            team.run(&|_| {});
        }
    }
}
