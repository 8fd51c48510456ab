//! Tests of the generator with a model whose distributions are hashes of paths: which text waits for which, and what
//! is computed twice.

use super::desk::{BEHIND, SEATS};
use super::*;
use logitree_core::sampling::Sampler;
use logitree_core::{Distribution, Exactness, NodeHandle, Query, Session, TokenId, TokenStats};
use std::borrow::Cow;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc::Receiver;

const VOCAB: u32 = 16;
const END: TokenId = TokenId(1);

/// Counts of what sessions were asked.
#[derive(Default)]
pub struct Seen {
    sessions: usize,
    pushed: usize,
    live: usize,
    most_live: usize,
    /// Number of queries in each batch.
    batches: Vec<usize>,
    fails: bool,
    /// Whether the next step panics.
    pub panics: bool,
}

/// A model whose distributions are hashes of paths.
#[derive(Clone, Default)]
pub struct Fake(Arc<Mutex<Seen>>);

impl Fake {
    /// Reads the counts, or changes how sessions behave.
    pub fn seen<R>(&self, look: impl FnOnce(&mut Seen) -> R) -> R {
        look(&mut self.0.lock().unwrap())
    }
}

impl LanguageModel for Fake {
    fn vocab_size(&self) -> usize {
        VOCAB as usize
    }
    fn context_length(&self) -> usize {
        100_000
    }
    fn end_tokens(&self) -> &[TokenId] {
        &[END]
    }
    fn bos(&self) -> Option<TokenId> {
        None
    }
    fn token_bytes(&self, id: TokenId) -> Cow<'_, [u8]> {
        Cow::Owned(vec![b'a' + id.0 as u8])
    }
    fn is_special(&self, _: TokenId) -> bool {
        false
    }
    fn tokenize(&self, _: &str, _: bool) -> Result<Vec<TokenId>, ModelError> {
        Ok(Vec::new())
    }
    fn session(&self) -> Result<Box<dyn Session>, ModelError> {
        self.seen(|s| (s.sessions += 1, s.live = 0));
        Ok(Box::new(FakeSession { fake: self.clone(), hashes: Vec::new() }))
    }
}

struct FakeSession {
    fake: Fake,
    hashes: Vec<u64>,
}

/// The last step of the Splitmix64 generator.
fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl Session for FakeSession {
    fn push(&mut self, parent: Option<NodeHandle>, token: TokenId) -> Result<NodeHandle, ModelError> {
        let above = parent.map_or(1, |p| self.hashes[p.0 as usize]);
        self.hashes.push(mix(above.wrapping_mul(31).wrapping_add(u64::from(token.0) + 7)));
        self.fake.seen(|s| {
            s.pushed += 1;
            s.live += 1;
            s.most_live = s.most_live.max(s.live);
        });
        Ok(NodeHandle(self.hashes.len() as u32 - 1))
    }

    fn evaluate(&mut self, queries: &[Query<'_>]) -> Result<Vec<Distribution>, ModelError> {
        if self.fake.seen(|s| s.fails) {
            return Err(ModelError::Engine("broken".into()));
        }
        assert!(!self.fake.seen(|s| s.panics), "a step's fault");
        self.fake.seen(|s| s.batches.push(queries.len()));
        let answer = |q: &Query<'_>| {
            let hash = self.hashes[q.node.0 as usize];
            let logit = |t: u32| (mix(hash ^ u64::from(t)) % 1000) as f32 / 100.0;
            let logits: Vec<f32> = (0..VOCAB).map(logit).collect();
            let logsumexp = logits.iter().map(|l| f64::from(*l).exp()).sum::<f64>().ln();
            let stats =
                |id: u32| TokenStats { id: TokenId(id), logprob: f64::from(logits[id as usize]) - logsumexp, rank: 0 };
            let mut order: Vec<u32> = (0..VOCAB).collect();
            order.sort_by(|&a, &b| logits[b as usize].total_cmp(&logits[a as usize]).then(a.cmp(&b)));
            Distribution {
                top: order.into_iter().take(q.top).map(stats).collect(),
                tokens: q.tokens.iter().map(|t| stats(t.0)).collect(),
                logsumexp,
                entropy: 0.0,
                varentropy: 0.0,
                exactness: Exactness::Exact,
                logits: q.logits.then(|| logits.clone()),
                logits_sha256: None,
            }
        };
        Ok(queries.iter().map(answer).collect())
    }

    fn release(&mut self, _: NodeHandle) {
        self.fake.seen(|s| s.live -= 1);
    }
}

fn options(max_tokens: usize) -> Options {
    let sampler = Sampler::default();
    Options { max_tokens, sampler, stop: Vec::new(), ignore_eos: true, prompt_logprobs: false, top: 0 }
}

/// A prompt whose first tokens encode `number`, so that prompts of different numbers differ.
fn prompt(number: usize, len: usize) -> Vec<TokenId> {
    let own = (0..4).map(|i| (number >> (4 * i)) as u32 % VOCAB);
    own.chain((4..).map(|i| i * i % VOCAB)).map(TokenId).take(len).collect()
}

fn task(prompt: Vec<TokenId>) -> Vec<Task> {
    vec![Task { index: 0, prompt, seed: 5 }]
}

/// All that was received for one text, with its steps joined.
#[derive(Default)]
struct Got {
    prompt: Vec<Scored>,
    tokens: Vec<TokenId>,
    text: String,
    finish: Option<Finish>,
}

impl Got {
    fn take(&mut self, events: &mut Receiver<Event>) {
        while let Ok(event) = events.try_recv() {
            let step = event.unwrap();
            self.prompt.extend(step.prompt);
            self.tokens.extend(step.token.map(|t| t.token));
            self.text += &step.text;
            assert!(self.finish.is_none(), "nothing comes after the end");
            self.finish = step.finish;
        }
    }
}

/// Steps the generator until all these texts have ended.
fn finish(generator: &mut Generator<'_>, all: &mut [Receiver<Event>]) -> Vec<Got> {
    let mut got: Vec<Got> = all.iter().map(|_| Got::default()).collect();
    while got.iter().any(|g| g.finish.is_none()) {
        assert!(generator.step());
        got.iter_mut().zip(&mut *all).for_each(|(g, e)| g.take(e));
    }
    got
}

fn alone(options: Options, prompt: Vec<TokenId>) -> Got {
    let fake = Fake::default();
    let (desk, orders) = Desk::new();
    let mut generator = Generator::new(&fake, &orders).unwrap();
    let events = desk.submit(options, task(prompt)).unwrap();
    finish(&mut generator, &mut [events]).pop().unwrap()
}

#[test]
fn what_begins_alike_is_computed_once_and_kept_for_the_next() {
    let fake = Fake::default();
    let (desk, orders) = Desk::new();
    let mut generator = Generator::new(&fake, &orders).unwrap();
    let mut all: Vec<_> = (0..8).map(|_| desk.submit(options(10), task(prompt(3, 300))).unwrap()).collect();
    finish(&mut generator, &mut all);
    // The last token is never evaluated, since nothing follows it.
    assert_eq!(fake.seen(|s| s.pushed), 300 + 9);
    assert!(fake.seen(|s| s.batches.iter().all(|&n| n == 1)), "one question for all");
    // A prompt that continues the conversation: only the new tokens are computed. The same prompt again needs no
    // computing.
    let batches = fake.seen(|s| s.batches.len());
    let before = alone(options(10), prompt(3, 300)).tokens;
    let longer: Vec<TokenId> = prompt(3, 300).into_iter().chain(before.iter().copied()).chain([TokenId(9)]).collect();
    finish(&mut generator, &mut [desk.submit(options(1), task(longer)).unwrap()]);
    assert_eq!(fake.seen(|s| (s.pushed, s.batches.len())), (300 + 9 + 2, batches + 1));
    let again = finish(&mut generator, &mut [desk.submit(options(10), task(prompt(3, 300))).unwrap()]);
    assert_eq!((&again[0].tokens, fake.seen(|s| s.batches.len())), (&before, batches + 1));
    assert_eq!((desk.taken(), generator.paths.pinned(), generator.is_busy()), (0, 0, false));
}

#[test]
fn a_text_is_the_same_alone_and_among_more_than_there_is_room_for() {
    let fake = Fake::default();
    let (desk, orders) = Desk::new();
    let mut generator = Generator::new(&fake, &orders).unwrap();
    let sampled = |top| Options { sampler: Sampler { temperature: 1.0, ..Default::default() }, top, ..options(400) };
    // Together these texts need up to 80 * 640 rows: some must release theirs and compute them again.
    let mut all: Vec<_> = (0..80).map(|i| desk.submit(sampled(i % 3), task(prompt(i, 240))).unwrap()).collect();
    assert_eq!(desk.taken(), 80);
    let got = finish(&mut generator, &mut all);
    for (i, got) in got.iter().enumerate() {
        let expected = alone(sampled(i % 3), prompt(i, 240));
        assert_eq!((&got.tokens, &got.text), (&expected.tokens, &expected.text), "{i}");
    }
    let (most, pushed) = fake.seen(|s| (s.most_live, s.pushed));
    assert!(most <= ROWS + ACTIVE + PORTION, "{most} rows at once");
    assert!(pushed > 80 * 639, "{pushed}: rows were made again");
}

#[test]
fn scoring_a_long_prompt_holds_up_nobody() {
    let fake = Fake::default();
    let (desk, orders) = Desk::new();
    let mut generator = Generator::new(&fake, &orders).unwrap();
    let mut quick = desk.submit(options(30), task(prompt(1, 5))).unwrap();
    generator.step();
    let scored = Options { prompt_logprobs: true, top: 2, ..options(0) };
    let mut slow = desk.submit(scored, task(prompt(2, 2000))).unwrap();
    let (mut a, mut b) = (Got::default(), Got::default());
    for step in 2..=16 {
        assert!(generator.step());
        a.take(&mut quick);
        b.take(&mut slow);
        assert_eq!(a.tokens.len(), step, "a token every step");
        assert_eq!(b.prompt.len(), ((step - 1) * PORTION + 1).min(2000));
    }
    assert!(fake.seen(|s| s.batches.iter().all(|&n| n <= PORTION + 1)));
    finish(&mut generator, &mut [quick]);
    b.take(&mut slow);
    generator.step();
    b.take(&mut slow);
    assert_eq!(b.finish, Some(Finish::Length));
    assert!(b.prompt[0].stats.is_none() && b.prompt[1..].iter().all(|s| s.stats.is_some() && s.top.len() == 2));
    assert!(b.prompt.iter().map(|s| s.token).eq(prompt(2, 2000)));
}

#[test]
fn nothing_is_computed_for_who_does_not_read_or_has_gone() {
    let fake = Fake::default();
    let (desk, orders) = Desk::new();
    let mut generator = Generator::new(&fake, &orders).unwrap();
    let sleeper = desk.submit(options(10_000), task(prompt(1, 5))).unwrap();
    (0..BEHIND).for_each(|_| assert!(generator.step()));
    assert!(!generator.step(), "its channel is full");
    let other = desk.submit(options(3), task(prompt(2, 5))).unwrap();
    finish(&mut generator, &mut [other]);
    assert_eq!((desk.taken(), generator.paths.pinned()), (1, 5 + BEHIND - 1));
    drop(sleeper);
    generator.step();
    assert_eq!((desk.taken(), generator.paths.pinned(), generator.is_busy()), (0, 0, false));
    // A text that still waits can be cancelled too.
    let full: Vec<_> = (0..SEATS).map(|i| desk.submit(options(5), task(prompt(i, 6))).unwrap()).collect();
    assert_eq!(desk.submit(options(1), task(prompt(1, 5))).err(), Some(Refused::Full(SEATS)));
    generator.step();
    drop(full);
    generator.step();
    assert_eq!((desk.taken(), generator.is_busy()), (0, false));
}

#[test]
fn a_session_forgets_what_is_not_kept() {
    let fake = Fake::default();
    let (desk, orders) = Desk::new();
    let mut generator = Generator::new(&fake, &orders).unwrap();
    finish(&mut generator, &mut [desk.submit(options(1), task(prompt(1, 20_001))).unwrap()]);
    assert!(fake.seen(|s| s.live) <= 2048 + 1);
    // The cache does not grow either if there is never a pause, and the texts are still the same.
    let mut long = desk.submit(options(2000), task(prompt(1, 9))).unwrap();
    let (mut got, mut others, mut number) = (Got::default(), Vec::new(), 0);
    while got.finish.is_none() {
        while desk.taken() < 20 {
            number += 1;
            others.push(desk.submit(options(1), task(prompt(number, 150))).unwrap());
        }
        assert!(generator.step());
        got.take(&mut long);
    }
    assert_eq!(got.tokens, alone(options(2000), prompt(1, 9)).tokens);
    assert!(fake.seen(|s| s.live) <= 2048 + 20 * 150 + 2009, "{} nodes", fake.seen(|s| s.live));
    assert!(fake.seen(|s| (s.sessions, s.pushed > 200_000)) == (1, true));
}

#[test]
fn a_model_that_fails_is_told_and_asked_again() {
    let fake = Fake::default();
    let (desk, orders) = Desk::new();
    let mut generator = Generator::new(&fake, &orders).unwrap();
    fake.seen(|s| s.fails = true);
    let mut events = desk.submit(options(3), task(prompt(1, 5))).unwrap();
    generator.step();
    assert_eq!(events.try_recv().unwrap().unwrap_err(), "broken");
    assert_eq!((desk.taken(), generator.is_busy()), (0, false));
    fake.seen(|s| s.fails = false);
    let got = finish(&mut generator, &mut [desk.submit(options(3), task(prompt(1, 5))).unwrap()]);
    assert_eq!(got[0].tokens, alone(options(3), prompt(1, 5)).tokens);
}

#[test]
fn a_model_that_panics_ends_what_it_computed_and_no_more() {
    let fake = Fake::default();
    let (desk, orders) = Desk::new();
    let mut generator = Generator::new(&fake, &orders).unwrap();
    fake.seen(|s| s.panics = true);
    let mut events = desk.submit(options(3), task(prompt(1, 5))).unwrap();
    generator.step();
    assert_eq!(events.try_recv().unwrap().unwrap_err(), "internal error while generating: a step's fault");
    assert_eq!((desk.taken(), generator.is_busy()), (0, false));
    fake.seen(|s| s.panics = false);
    let got = finish(&mut generator, &mut [desk.submit(options(3), task(prompt(1, 5))).unwrap()]);
    assert_eq!(got[0].tokens, alone(options(3), prompt(1, 5)).tokens);
}

#[test]
fn texts_end_at_end_tokens_and_stop_strings() {
    let run = |o: Options| alone(o, prompt(6, 8));
    let whole = run(options(200));
    let end = whole.tokens.iter().position(|t| *t == END).expect("one of 16 tokens in 200");
    let ended = run(Options { ignore_eos: false, ..options(200) });
    assert_eq!((ended.tokens.len(), ended.finish), (end + 1, Some(Finish::Stop)));
    assert_eq!(ended.text, whole.text[..ended.text.len()]);
    let stop = &whole.text[50..55];
    let stopped = run(Options { stop: vec![stop.into()], ..options(200) });
    assert_eq!(
        (stopped.text.as_str(), stopped.finish),
        (&whole.text[..whole.text.find(stop).unwrap()], Some(Finish::Stop))
    );
    assert_eq!(run(options(0)).tokens.len(), 0);
}
