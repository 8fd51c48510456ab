//! Tests of the worker with a model that panics on demand: only the work that panicked ends.

use super::generate::Desk;
use super::generate::tests::Fake;
use super::*;
use crate::store::{Kind, Status};
use logitree::output::Target;
use logitree::{Destination, Limits, Prompt};
use logitree_core::TokenId;
use logitree_core::explore::Strategy;
use logitree_core::run;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

/// Events that stop when the test says so.
#[derive(Default)]
struct Told(AtomicBool);

impl Events for Told {
    fn stop(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Hears nothing, and stays.
struct Deaf;

impl guest::Listener for Deaf {
    fn progress(&self, _: String) {}
    fn note(&self, _: &str) {}
    fn is_gone(&self) -> bool {
        false
    }
}

fn record() -> run::Model {
    run::Model {
        name: "fake".into(),
        sha256: "00".into(),
        architecture: "hashes".into(),
        dtype: "none".into(),
        tokenizer: "letters".into(),
        tokenizer_sha256: None,
        vocab: 16,
        context: 100_000,
        end_tokens: vec![TokenId(1)],
        arithmetic: None,
        summation_orders: Vec::new(),
    }
}

/// Waits until a run's status satisfies `what`.
fn wait(shared: &Shared, id: &str, what: impl Fn(&Status) -> bool) -> Status {
    for _ in 0..2000 {
        let status = shared.store.get(id).unwrap().status;
        if what(&status) {
            return status;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("{:?}", shared.store.get(id).unwrap().status);
}

#[test]
fn a_panic_ends_the_run_or_the_click_that_it_happened_in() {
    let folder = tempfile::tempdir().unwrap();
    let (fake, told) = (Fake::default(), Arc::new(Told::default()));
    let model = Model::of(fake.clone(), record(), told.clone());
    let store = Store::open(folder.path(), &*told).unwrap();
    let shared = Shared { store, current: Current::new(Some(model.clone()), None), events: told.clone() };
    let prompt = Prompt {
        text: "cd".into(),
        tokens: vec![TokenId(2), TokenId(3)],
        bos: false,
        special: false,
        messages: Vec::new(),
        template_args: Default::default(),
    };
    let limits = Limits { max_nodes: Some(60), ..Limits::default() };
    let begin = || {
        let make = |path: &std::path::Path| {
            let place = Destination::Named(Target::check(path, true, &[])?);
            let strategy = Strategy::named("best-first")?;
            Exploration::begin(&model, &prompt, strategy, &[], &limits, place).map(drop)
        };
        shared.store.create("cd", Kind::Run, make).unwrap()
    };
    let (commands, receiver) = mpsc::channel();
    let (_desk, texts) = Desk::new();
    std::thread::scope(|scope| {
        scope.spawn(|| work(&shared, receiver, texts).unwrap());
        let first = begin();
        fake.seen(|s| s.panics = true);
        commands.send(Command::Explore(first.clone())).unwrap();
        let status = wait(&shared, &first, |s| s.state == State::Failed);
        let why = status.message.unwrap();
        assert!(why.contains("internal error while exploring: a step's fault"), "{why}");
        // Another run, and then the same one again, are explored as if there had been no panic.
        fake.seen(|s| s.panics = false);
        let second = begin();
        for id in [&second, &first] {
            commands.send(Command::Explore(id.clone())).unwrap();
            let status = wait(&shared, id, |s| s.state == State::Finished);
            assert!(status.nodes >= 60 && status.message.is_none(), "{status:?}");
        }
        // The user asks to continue a leaf, and that step panics: the run is unchanged, and the next request succeeds.
        let run = logitree::import::run_file(&shared.store.path(&first).unwrap()).unwrap();
        let leaf = run.tree.nodes().find(|&n| run.tree.expansion(n).is_none() && !run.tree.is_end(n)).unwrap();
        let click = || {
            let (reply, answer) = oneshot::channel();
            let request = Request { nodes: vec![leaf], token: None, how: How::Greedy { steps: 2 } };
            commands.send(Command::Expand(first.clone(), request, reply)).unwrap();
            answer.blocking_recv().unwrap().unwrap()
        };
        fake.seen(|s| s.panics = true);
        assert_eq!(click(), [leaf]);
        let status = wait(&shared, &first, |s| s.message.is_some());
        assert_eq!((status.state, status.nodes), (State::Finished, run.tree.len()));
        fake.seen(|s| s.panics = false);
        click();
        wait(&shared, &first, |s| s.nodes > run.tree.len());
        assert_eq!(shared.store.get(&second).unwrap().status.state, State::Finished);
        // A guest's panic ends the guest, and the next one is served.
        let guest = || {
            let (told, heard) = mpsc::channel();
            let done = told.clone();
            let task = Task {
                what: "visiting",
                work: Box::new(move |model, tokens| {
                    let mut session = model.session()?;
                    let nodes = session.push_all(None, &tokens[0].prompt)?;
                    assert!(!model.events().stop());
                    session.evaluate(&[logitree_core::Query::top(nodes[0], 1)])?;
                    done.send(String::new()).unwrap();
                    Ok(())
                }),
                failed: Box::new(move |e| told.send(e.to_string()).unwrap()),
                listener: Arc::new(Deaf),
            };
            let (reply, answer) = oneshot::channel();
            commands.send(Command::Host(vec![(first.clone(), NodeId::ROOT)], task, reply)).unwrap();
            answer.blocking_recv().unwrap().unwrap();
            heard.recv().unwrap()
        };
        fake.seen(|s| s.panics = true);
        let why = guest();
        assert!(why.contains("internal error while visiting: a step's fault"), "{why}");
        fake.seen(|s| s.panics = false);
        assert_eq!(guest(), "");
        told.0.store(true, Ordering::SeqCst);
    });
    // Every run file is complete.
    for info in shared.store.list() {
        let run = logitree::import::run_file(&shared.store.path(&info.id).unwrap()).unwrap();
        assert!(!run.torn && run.end.is_some());
    }
}
