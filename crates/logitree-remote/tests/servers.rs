//! Trees grown on servers: as the same model's here, whatever goes wrong on the way.

mod common;

use common::{Behaviour, Fault, Here, Server, VOCAB, connect, logprobs, options, patience};
use logitree_core::explore::{Dynamic, DynamicParameters, Explorer};
use logitree_core::wobble::{Way, measure};
use logitree_core::{Bounds, Exactness, LanguageModel, ModelError, NodeId, Query, TokenId, Tree};
use logitree_remote::{ConnectOptions, RemoteError, RemoteModel, ServerKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

fn parameters(depth: usize) -> DynamicParameters {
    DynamicParameters { max_depth: depth, max_completed_paths: 1000, soft_queue_limit: 60, ..Default::default() }
}

fn grow(model: &dyn LanguageModel, prompt: &str, p: DynamicParameters) -> Result<Tree, String> {
    let prompt: Vec<TokenId> =
        model.bos().into_iter().chain(model.tokenize(prompt, false).map_err(|e| e.to_string())?).collect();
    let session = model.session().unwrap();
    let tree = Tree::new(Bounds::new(model.end_tokens(), 0, 0));
    let policy = Dynamic::new(p).unwrap();
    let mut e = Explorer::new(session, model.vocab_size(), &prompt, policy, tree, 10).unwrap();
    loop {
        while e.visit().is_some() {}
        if e.evaluate().map_err(|e| e.to_string())? == 0 {
            return Ok(e.tree);
        }
    }
}

/// A tree by its texts and numbers: ids differ where tokens are texts.
fn shape(model: &dyn LanguageModel, tree: &Tree) -> Vec<(String, Option<NodeId>, i64)> {
    let text = |n: NodeId| {
        tree.token(n).map_or(String::new(), |t| String::from_utf8_lossy(&model.token_bytes(t)).into_owned())
    };
    tree.nodes().map(|n| (text(n), tree.parent(n), (tree.logprob(n) * 1e6).round() as i64)).collect()
}

fn expect(model: &RemoteModel, depth: usize) {
    let (there, here) =
        (grow(model, "abc", parameters(depth)).unwrap(), grow(&Here, "abc", parameters(depth)).unwrap());
    assert!(here.len() > 20, "{}", here.len());
    assert_eq!(shape(model, &there), shape(&Here, &here));
    for n in here.nodes() {
        let (Some(a), Some(b)) = (there.expansion(n), here.expansion(n)) else { continue };
        assert_eq!(a.exactness, Exactness::LowerBound);
        assert!(a.entropy <= b.entropy + 1e-9 && a.entropy > 0.7 * b.entropy, "{} {}", a.entropy, b.entropy);
        assert!((a.top.len(), a.logsumexp) == (10, None));
        assert!(!there.possibly_more(n));
    }
}

#[test]
fn every_kind_is_recognised_and_grows_the_same_tree() {
    for kind in ServerKind::ALL {
        let server = Server::start(Behaviour::good(kind));
        let model = connect(&[&server]).unwrap();
        let p = &model.probes()[0];
        assert_eq!((p.kind, &p.model[..], p.list), (kind, "tiny", 12));
        assert_eq!(p.raw, kind != ServerKind::Sglang);
        assert_eq!(p.echoes, kind == ServerKind::OpenAi);
        if kind.takes_ids() {
            assert_eq!(model.bos(), Some(TokenId(0)));
            assert_eq!(model.end_tokens(), [TokenId(1)]);
        }
        expect(&model, 6);
        // A level is few requests, where arrays are taken.
        if matches!(kind, ServerKind::Vllm | ServerKind::Sglang) {
            let paths = server.log.lock().unwrap().paths.len();
            assert!(server.steps() * 2 < paths, "{} requests for {paths} paths", server.steps());
        }
    }
}

#[test]
fn several_servers_share_the_paths_and_each_keeps_its_own() {
    for kind in [ServerKind::Vllm, ServerKind::LlamaServer] {
        let servers: Vec<Server> = (0..3).map(|_| Server::start(Behaviour::good(kind))).collect();
        let model = connect(&servers.iter().collect::<Vec<_>>()).unwrap();
        expect(&model, 9);
        let (mut near, mut all) = (0, 0);
        for s in &servers {
            let log = s.log.lock().unwrap();
            let known: std::collections::HashSet<&[u32]> = log.paths.iter().map(Vec::as_slice).collect();
            let deep = || log.paths.iter().filter(|p| p.len() > 5);
            assert!(deep().count() > 10, "{}", deep().count());
            all += deep().count();
            near += deep().filter(|p| known.contains(&p[..p.len() - 1])).count();
        }
        // Chance would be a third; taking over another's rest costs some.
        assert!(near * 2 > all, "{near} of {all}");
    }
}

#[test]
fn what_goes_wrong_once_changes_nothing() {
    for kind in ServerKind::ALL {
        for fault in Fault::ALL {
            if matches!(fault, Fault::Impossible | Fault::Huge) && kind == ServerKind::Sglang {
                // Its numbers of the probe are tiny anyway; the others show it.
                continue;
            }
            let fault_at = move |n: usize| (n == 6 || n == 20).then_some(fault);
            let server = Server::start(Behaviour { fault: Box::new(fault_at), ..Behaviour::good(kind) });
            let model =
                RemoteModel::connect(ConnectOptions { deadline: patience(fault), ..options(&[&server]) }).unwrap();
            expect(&model, 4);
            let t = model.traffic();
            assert!(t.repeated >= 1 && t.requests > t.repeated, "{kind} {fault:?} {t:?}");
        }
    }
}

#[test]
fn what_stays_wrong_is_told() {
    let says = |fault: Fault| {
        let server = Server::start(Behaviour {
            fault: Box::new(move |n| (n > 8).then_some(fault)),
            ..Behaviour::good(ServerKind::Vllm)
        });
        let model = RemoteModel::connect(ConnectOptions { deadline: patience(fault), ..options(&[&server]) }).unwrap();
        let why = grow(&model, "abc", parameters(9)).unwrap_err();
        assert!(why.contains("4 times in a row") && why.contains("http://127.0.0.1"), "{why}");
        why
    };
    assert!(says(Fault::Busy).contains("slow down"));
    assert!(says(Fault::Failure).contains("out of luck"));
    assert!(says(Fault::NotJson).contains("not JSON"));
    assert!(says(Fault::CutOff).contains("breaks off"));
    assert!(says(Fault::Silence).contains("timeout"));
    let nothing = says(Fault::NoLogprobs);
    assert!(nothing.contains("choices for") || nothing.contains("no log probabilities"), "{nothing}");
    assert!(says(Fault::Fewer).contains("choices for"));
    assert!(says(Fault::Impossible).contains("log probability of"));
    assert!(says(Fault::Huge).contains("log probability of"));
    assert!(says(Fault::Endless).contains("more than was asked for"));
}

#[test]
fn numbers_that_vary_are_found_out() {
    for kind in ServerKind::ALL {
        let measured = |fault: fn(usize) -> Option<Fault>| {
            let server = Server::start(Behaviour { fault: Box::new(fault), ..Behaviour::good(kind) });
            let model = connect(&[&server]).unwrap();
            let prompts: Vec<_> = ["abcd", "bad cab", "h"].map(|text| model.tokenize(text, false).unwrap()).into();
            measure(&model, &prompts, 8).unwrap()
        };
        for w in measured(|_| None) {
            assert_eq!((w.distributions, w.compared, w.largest, w.flips), (7, 56, 0.0, 0), "{kind} {:?}", w.way);
        }
        let found = measured(|step| (step % 2 == 1).then_some(Fault::Drift));
        assert_eq!(found.iter().map(|w| w.way).collect::<Vec<_>>(), [Way::Alone, Way::Batch, Way::Cached]);
        assert!(found.iter().any(|w| w.largest > 0.1 && w.mean > 0.0), "{kind} {found:?}");
        assert!(found.iter().all(|w| w.largest <= 0.9 + 1e-9 && w.mean <= w.largest), "{kind} {found:?}");
    }
}

#[test]
fn a_token_that_nobody_named_is_refused_and_not_left_out_of_the_text() {
    // Where tokens are texts, an id of another model's table means nothing here.
    let [one, other] = [0, 1].map(|_| Server::start(Behaviour::good(ServerKind::OpenAi)));
    let ids = connect(&[&one]).unwrap().tokenize("abcd", false).unwrap();
    let model = connect(&[&other]).unwrap();
    let mut session = model.session().unwrap();
    let error = session.push_all(None, &ids).unwrap_err();
    assert!(matches!(error, ModelError::UnknownToken { .. }), "{error}");
    // Once the text was read, its tokens are known.
    assert_eq!(model.tokenize("abcd", false).unwrap(), ids);
    assert_eq!(session.push_all(None, &ids).unwrap().len(), 4);
}

#[test]
fn a_server_that_dies_loses_nothing() {
    let dead = Arc::new(AtomicBool::new(false));
    let seen = dead.clone();
    let dies = move |n: usize| {
        if n > 12 {
            seen.store(true, Ordering::SeqCst);
        }
        seen.load(Ordering::SeqCst).then_some(Fault::Failure)
    };
    let bad = Server::start(Behaviour { fault: Box::new(dies), ..Behaviour::good(ServerKind::LlamaServer) });
    let good = Server::start(Behaviour::good(ServerKind::LlamaServer));
    static NOTES: AtomicUsize = AtomicUsize::new(0);
    let mut o = options(&[&bad, &good]);
    o.note = Box::new(|text| {
        assert!(text.contains("go to the other servers"), "{text}");
        NOTES.fetch_add(1, Ordering::SeqCst);
    });
    let model = RemoteModel::connect(o).unwrap();
    expect(&model, 8);
    assert!(dead.load(Ordering::SeqCst));
    assert_eq!(NOTES.load(Ordering::SeqCst), 1);
}

#[test]
fn a_short_list_is_found_out_and_what_it_hides_is_marked() {
    for kind in [ServerKind::Vllm, ServerKind::Sglang, ServerKind::OpenAi] {
        let server = Server::start(Behaviour { most: 5, ..Behaviour::good(kind) });
        let model = connect(&[&server]).unwrap();
        assert_eq!(model.probes()[0].list, 5);
        let low = |t: f64| DynamicParameters { min_branch_threshold: t, max_branch_threshold: t, ..parameters(3) };
        // No token beyond the five most likely is above a fifth.
        let tree = grow(&model, "abc", low(0.2)).unwrap();
        assert!(tree.nodes().all(|n| !tree.possibly_more(n)));
        // Some are above a hundredth: every node whose list ends above it is marked, and no other.
        let tree = grow(&model, "abc", low(0.01)).unwrap();
        let here = grow(&Here, "abc", low(0.01)).unwrap();
        let marked = tree.nodes().filter(|&n| tree.possibly_more(n)).count();
        assert!(marked > 0 && here.len() > tree.len());
        for n in tree.nodes().filter(|&n| tree.expansion(n).is_some()) {
            let e = tree.expansion(n).unwrap();
            let path: Vec<u32> = [0, 2, 3, 4].into_iter().chain(tree.path(n).iter().map(|t| t.0)).collect();
            let above = logprobs(&path).iter().filter(|l| l.exp() > 0.01).count();
            if kind != ServerKind::OpenAi && above > e.children.len() {
                assert!(tree.possibly_more(n), "{above} branches, {} shown", e.children.len());
            }
        }
    }
}

#[test]
fn tokens_behind_the_list_are_asked_for() {
    let path = [0u32, 2, 3];
    let truth = logprobs(&path);
    for kind in ServerKind::ALL {
        let server = Server::start(Behaviour { most: 5, ..Behaviour::good(kind) });
        let model = connect(&[&server]).unwrap();
        let prompt: Vec<TokenId> = model.bos().into_iter().chain(model.tokenize("ab", false).unwrap()).collect();
        assert_eq!(*model.token_bytes(*prompt.last().unwrap()), *b"b");
        let all: Vec<TokenId> =
            (2..VOCAB as u32).map(|id| model.tokenize(&common::text(id), false).unwrap()[0]).collect();
        let mut session = model.session().unwrap();
        let node = *session.push_all(None, &prompt).unwrap().last().unwrap();
        let found = session.evaluate(&[Query { tokens: &all, ..Query::top(node, 3) }]).unwrap();
        assert_eq!((found.len(), found[0].top.len()), (1, 3));
        for (t, id) in found[0].tokens.iter().zip(2..) {
            assert!((t.logprob - truth[id]).abs() < 1e-6, "{kind}: {} {}", t.logprob, truth[id]);
            assert_eq!(*model.token_bytes(t.id), *common::text(id as u32).as_bytes());
            let rank = 1 + truth.iter().filter(|l| **l > truth[id]).count();
            match kind {
                ServerKind::Vllm | ServerKind::LlamaServer => assert_eq!(t.rank as usize, rank),
                // A bound, where nobody tells.
                _ => assert!(t.rank as usize <= rank && t.rank > 0),
            }
        }
    }
    // A server that does not say gives bounds.
    let server = Server::start(Behaviour { most: 5, echoes: false, ..Behaviour::good(ServerKind::Vllm) });
    let model = connect(&[&server]).unwrap();
    let mut session = model.session().unwrap();
    let node = *session.push_all(None, &path.map(TokenId)).unwrap().last().unwrap();
    let all: Vec<TokenId> = (0..VOCAB as u32).map(TokenId).collect();
    let found = session.evaluate(&[Query { tokens: &all, ..Query::top(node, 5) }]).unwrap();
    for (t, l) in found[0].tokens.iter().zip(&truth) {
        assert!(t.logprob >= l - 1e-6 && t.rank <= 6);
    }
}

#[test]
fn a_list_of_the_whole_vocabulary_is_exact() {
    let server = Server::start(Behaviour::good(ServerKind::LlamaServer));
    let model = RemoteModel::connect(ConnectOptions { list: 1000, ..options(&[&server]) }).unwrap();
    let prompt = [0u32, 5, 6].map(TokenId);
    let ask = |model: &dyn LanguageModel| {
        let mut session = model.session().unwrap();
        let node = *session.push_all(None, &prompt).unwrap().last().unwrap();
        session.evaluate(&[Query::top(node, VOCAB)]).unwrap().remove(0)
    };
    let (there, here) = (ask(&model), ask(&Here));
    assert_eq!((there.exactness, there.top.len()), (Exactness::Exact, VOCAB));
    assert!((there.entropy - here.entropy).abs() < 1e-9);
}

#[test]
fn texts_that_are_read_as_other_tokens_are_marked() {
    let server = Server::start(Behaviour { merges: true, ..Behaviour::good(ServerKind::OpenAi) });
    let model = connect(&[&server]).unwrap();
    let mut session = model.session().unwrap();
    // "b" behind "a" is read as one token; "d" is not.
    let a = session.push(None, model.tokenize("a", false).unwrap()[0]).unwrap();
    let b = session.push(Some(a), model.tokenize("b", false).unwrap()[0]).unwrap();
    let d = session.push(Some(a), model.tokenize("d", false).unwrap()[0]).unwrap();
    let found = session.evaluate(&[Query::top(b, 3), Query::top(d, 3)]).unwrap();
    assert_eq!(found[0].exactness, Exactness::Retokenized);
    assert_eq!(found[1].exactness, Exactness::LowerBound);
}

#[test]
fn a_server_that_repeats_nothing_takes_a_prompt_as_one_token() {
    let server = Server::start(Behaviour { echoes: false, ..Behaviour::good(ServerKind::OpenAi) });
    let model = connect(&[&server]).unwrap();
    assert!(!model.splits_text());
    assert_eq!(model.tokenize("abc", false).unwrap().len(), 1);
    let (there, here) = (grow(&model, "abc", parameters(5)).unwrap(), grow(&Here, "abc", parameters(5)).unwrap());
    assert_eq!(shape(&model, &there), shape(&Here, &here));
    assert!(there.nodes().filter_map(|n| there.expansion(n)).all(|e| e.exactness == Exactness::LowerBound));
}

#[test]
fn a_file_of_another_process_can_be_gone_on_with() {
    for kind in [ServerKind::Vllm, ServerKind::OpenAi] {
        let server = Server::start(Behaviour::good(kind));
        let (first, second) = (connect(&[&server]).unwrap(), connect(&[&server]).unwrap());
        let tree = grow(&first, "abc", parameters(4)).unwrap();
        let texts: Vec<(TokenId, Vec<u8>)> =
            tree.nodes().filter_map(|n| tree.token(n)).map(|t| (t, first.token_bytes(t).into_owned())).collect();
        // In another order than they were seen in.
        second.tokenize("tsrqp", false).unwrap();
        second.learn(texts.iter().rev().map(|(id, b)| (*id, &b[..]))).unwrap();
        for (id, bytes) in &texts {
            assert!(!bytes.is_empty());
            assert_eq!(*second.token_bytes(*id), bytes[..]);
        }
        if kind == ServerKind::OpenAi {
            let id = second.tokenize("k", false).unwrap()[0];
            let wrong = second.learn([(TokenId(id.0 ^ 1), &b"k"[..])]).unwrap_err().to_string();
            assert!(wrong.contains("another here"), "{wrong}");
        }
    }
}

#[test]
fn what_cannot_work_is_said_at_once() {
    let vllm = Server::start(Behaviour::good(ServerKind::Vllm));
    let llama = Server::start(Behaviour::good(ServerKind::LlamaServer));
    let says = |r: Result<RemoteModel, RemoteError>| r.err().expect("an error").to_string();
    assert!(says(connect(&[&vllm, &llama])).contains("differ"));
    let mut o = options(&[&vllm]);
    o.model = Some("other".into());
    assert!(says(RemoteModel::connect(o)).contains("serves no model \"other\", but tiny"));
    let mut o = options(&[&vllm]);
    o.urls = vec![format!("http://127.0.0.1:{}/elsewhere", llama.port())];
    assert!(says(RemoteModel::connect(o)).contains("refuses (404)"));
    let mut o = options(&[]);
    o.urls = vec!["http://127.0.0.1:9/v1".into()];
    assert!(says(RemoteModel::connect(o)).contains("4 times in a row"));
    let mut o = options(&[&vllm]);
    o.interrupted = std::sync::Arc::new(|| true);
    assert!(matches!(RemoteModel::connect(o), Err(RemoteError::Interrupted)));
    let mut o = options(&[&vllm]);
    o.key = Some("secret".into());
    RemoteModel::connect(o).unwrap();
    assert!(vllm.log.lock().unwrap().keys.contains("Bearer secret"));
    // Longer than the server takes.
    let model = connect(&[&vllm]).unwrap();
    let mut session = model.session().unwrap();
    assert!(session.push_all(None, &[TokenId(2); 1000]).unwrap_err().to_string().contains("context of 1000"));
    assert!(session.push(None, TokenId(u32::MAX)).is_err());
}
