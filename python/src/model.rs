//! Models: opening them, and the methods that ask them.

use crate::call::{Call, Here, Listener};
use crate::error;
use crate::exploration::{self, Exploration};
use crate::generation::Generation;
use crate::layers;
use crate::prompt::{Prompt, conversation};
use crate::run::Run;
use crate::scores;
use crate::session::{Session, distribution};
use crate::vector::Vector;
use logitree::answers::{AnswerOptions, Pattern, Reader};
use logitree::{
    Events, ForkOptions, GenerateOptions, Given, NextOptions, NextToken, OpenOptions, ScoreOptions, Scored,
    ServerOptions,
};
use logitree_core::TokenId;
use logitree_core::layers::LayerDistributions;
use logitree_core::sampling::Sampler;
use logitree_core::spans::Unit;
use logitree_remote::ServerKind;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A model with the listener for its events.
pub struct Opened {
    /// The model.
    pub model: logitree::Model,
    /// Receives the model's notes and progress.
    pub listener: Arc<Listener>,
}

/// A language model, in this process or behind servers.
#[pyclass(frozen, module = "logitree._logitree")]
pub struct Model {
    pub opened: Here<Opened>,
}

/// The Python object that is told of progress, if there is one.
pub type Hearer<'py> = Option<Bound<'py, PyAny>>;

/// A text's tokens, their logprob together, and the rank if the text is a single token.
type Direct = (Vec<u32>, f64, Option<u32>);

/// A span of a text, as the method `spans` gives it.
type Spanned = (String, usize, usize, f64, f64, bool);

/// What reads answers: a pattern, or else choices.
pub fn reader(choices: Option<&[String]>, pattern: Option<&str>, normalize: bool) -> logitree::Result<Reader> {
    match pattern {
        Some(pattern) => Reader::pattern(pattern, normalize),
        None => {
            let choices: Vec<&str> = choices.unwrap_or_default().iter().map(String::as_str).collect();
            Reader::choices(&choices, normalize)
        }
    }
}

fn ids(tokens: Vec<u32>) -> Vec<TokenId> {
    tokens.into_iter().map(TokenId).collect()
}

fn open(
    py: Python<'_>,
    progress: Hearer<'_>,
    make: impl FnOnce(Arc<dyn Events>) -> logitree::Result<logitree::Model> + Send,
) -> PyResult<Model> {
    let listener = Arc::new(Listener::default());
    let events = listener.clone();
    let model = Call::telling(Some(&listener), progress).whole(py, move || make(events))?;
    Ok(Model { opened: Here::new(Opened { model, listener }) })
}

impl Model {
    /// The model with its listener.
    ///
    /// # Errors
    /// In a forked process.
    pub fn opened(&self, py: Python<'_>) -> PyResult<&Opened> {
        self.opened.get(py)
    }
}

/// For each fork, what its layers would have predicted, if that was asked for.
type Looked<'py> = Vec<Option<Bound<'py, PyDict>>>;

#[pymethods]
impl Model {
    /// Opens a model in this process.
    #[staticmethod]
    fn open(
        py: Python<'_>,
        name: String,
        threads: Option<usize>,
        backend: Option<String>,
        arithmetic: Option<String>,
        progress: Hearer<'_>,
    ) -> PyResult<Model> {
        if threads == Some(0) {
            return Err(error::parameter(py, "threads", "`threads` is at least 1".into()));
        }
        let named =
            |a: String| a.parse().map_err(|e| error::parameter(py, "arithmetic", format!("`arithmetic` {a:?}: {e}")));
        let arithmetic = arithmetic.map(named).transpose()?;
        open(py, progress, move |events| OpenOptions { threads, backend, arithmetic, events }.open(&name))
    }

    /// Opens the model that servers have.
    #[staticmethod]
    #[allow(clippy::too_many_arguments)]
    fn connect(
        py: Python<'_>,
        urls: Vec<String>,
        kind: Option<String>,
        model: Option<String>,
        key: Option<String>,
        concurrency: Option<usize>,
        list: usize,
        seconds: f64,
        tokenizer: Option<String>,
        end_tokens: Vec<String>,
        progress: Hearer<'_>,
    ) -> PyResult<Model> {
        let named = |k: String| {
            ServerKind::ALL.into_iter().find(|kind| kind.name() == k).ok_or_else(|| {
                let names = ServerKind::ALL.map(ServerKind::name).join(", ");
                error::parameter(py, "engine_kind", format!("`engine_kind` {k:?}: there are {names}"))
            })
        };
        let kind = kind.map(named).transpose()?;
        let deadline = Duration::try_from_secs_f64(seconds)
            .map_err(|e| error::parameter(py, "request_timeout", format!("`request_timeout`: {e}")))?;
        let wobble = false;
        let options =
            ServerOptions { urls, kind, model, key, concurrency, list, deadline, tokenizer, end_tokens, wobble };
        open(py, progress, move |events| options.connect(events))
    }

    #[getter]
    fn name(&self) -> &str {
        self.opened.model.name()
    }

    #[getter]
    fn engine(&self) -> String {
        self.opened.model.engine()
    }

    #[getter]
    fn exactness(&self) -> &'static str {
        self.opened.model.exactness().name()
    }

    #[getter]
    fn arithmetic(&self) -> Option<&'static str> {
        self.opened.model.local().map(|m| m.arithmetic().name())
    }

    #[getter]
    fn vocab_size(&self) -> usize {
        self.opened.model.vocab_size()
    }

    #[getter]
    fn context_length(&self) -> usize {
        self.opened.model.context_length()
    }

    #[getter]
    fn bos(&self) -> Option<u32> {
        self.opened.model.bos().map(|t| t.0)
    }

    #[getter]
    fn end_tokens(&self) -> Vec<u32> {
        self.opened.model.end_tokens().iter().map(|t| t.0).collect()
    }

    #[getter]
    fn chats(&self) -> bool {
        self.opened.model.chats()
    }

    /// The model's record in run files, as JSON.
    fn record(&self, py: Python<'_>) -> PyResult<String> {
        let Opened { model, listener } = self.opened.get(py)?;
        Call::new(Some(listener)).whole(py, || Ok(json!(model.record()?).to_string()))
    }

    fn tokenize(&self, py: Python<'_>, text: &str, special: bool) -> PyResult<Vec<u32>> {
        let Opened { model, listener } = self.opened.get(py)?;
        let found = Call::new(Some(listener)).whole(py, || Ok(model.tokenize(text, special)?))?;
        Ok(found.into_iter().map(|t| t.0).collect())
    }

    fn token_bytes<'py>(&self, py: Python<'py>, id: u32) -> PyResult<Bound<'py, PyBytes>> {
        let model = &self.opened.model;
        if self.opened.model.local().is_some() && id as usize >= model.vocab_size() {
            let unknown = logitree_core::ModelError::UnknownToken { id: TokenId(id), vocab: model.vocab_size() };
            return Err(error::exception(py, &unknown.into()));
        }
        Ok(PyBytes::new(py, &model.token_bytes(TokenId(id))))
    }

    fn is_special(&self, id: u32) -> bool {
        self.opened.model.is_special(TokenId(id))
    }

    /// A prompt from a text.
    fn prompt(&self, py: Python<'_>, text: String, special: bool) -> PyResult<Prompt> {
        self.prepare(py, if special { Given::Special(text) } else { Given::Text(text) })
    }

    /// A prompt from a conversation.
    fn chat(&self, py: Python<'_>, messages: Vec<(String, String)>, arguments: &str) -> PyResult<Prompt> {
        self.prepare(py, conversation(py, messages, arguments)?)
    }

    /// A prompt from tokens.
    fn prompt_of_tokens(&self, py: Python<'_>, tokens: Vec<u32>) -> PyResult<Prompt> {
        let Opened { model, listener } = self.opened.get(py)?;
        let tokens = ids(tokens);
        let prompt = Call::new(Some(listener)).whole(py, || model.prompt_of_tokens(&tokens))?;
        Ok(Prompt { prompt, given: None })
    }

    /// What may come next after each prompt.
    #[allow(clippy::too_many_arguments)]
    fn next<'py>(
        &self,
        py: Python<'py>,
        prompts: Vec<Py<Prompt>>,
        top: usize,
        tokens: Vec<u32>,
        watch: Vec<String>,
        logits: bool,
        layers: bool,
    ) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let Opened { model, listener } = self.opened.get(py)?;
        let options = NextOptions { top, watch, tokens: ids(tokens), logits };
        let prompts: Vec<logitree::Prompt> = prompts.iter().map(|p| p.get().prompt.clone()).collect();
        let (found, watch, layers) = Call::new(Some(listener)).whole(py, || {
            let (found, watch) = model.next_tokens(&prompts, &options)?;
            let of = |_| model.layers_after(&prompts, &watch, &options.tokens);
            let layers = Some(()).filter(|()| layers).map(of).transpose()?.unwrap_or_default();
            Ok((found, watch, layers))
        })?;
        let mut layers = layers.iter().zip(&prompts);
        let fields = |n: NextToken| {
            let fields = distribution(py, model, n.distribution)?;
            let layers = layers.next().map(|(found, prompt)| layers::fields(py, model, prompt.text.clone(), found));
            fields.set_item("layers", layers.transpose()?)?;
            fields.set_item("top_p", n.nuclei.iter().map(|n| (n.mass, n.tokens, n.exact)).collect::<Vec<_>>())?;
            let watched = watch.iter().zip(&n.watched).map(|(w, at)| {
                let ids: Vec<u32> = w.tokens.iter().map(|t| t.id.0).collect();
                (w.text.as_str(), ids, at.logprob, at.rank)
            });
            fields.set_item("watch", watched.collect::<Vec<_>>())?;
            Ok(fields)
        };
        found.into_iter().map(fields).collect()
    }

    /// A prompt, what joins, and a text as one prompt, and the index of the text's first token in it.
    fn following(&self, py: Python<'_>, prompt: &Prompt, join: &str, text: &str) -> PyResult<(Prompt, usize)> {
        let Opened { model, listener } = self.opened.get(py)?;
        let given = prompt.text(py, "score")?;
        let (prompt, first) = Call::new(Some(listener)).whole(py, || {
            model.need_tokens("score")?;
            model.guide(given, join, text)
        })?;
        Ok((Prompt { prompt, given: None }, first))
    }

    /// Scores texts, each from the token with its index in `firsts`: their columns, the number of tokens that each
    /// should have, and whether the work was stopped.
    #[allow(clippy::too_many_arguments)]
    fn score<'py>(
        &self,
        py: Python<'py>,
        prompts: Vec<Py<Prompt>>,
        firsts: Vec<usize>,
        top: usize,
        watch: Vec<String>,
        full: bool,
        layers: bool,
        progress: Hearer<'py>,
    ) -> PyResult<(Vec<Bound<'py, PyDict>>, Vec<usize>, bool)> {
        let Opened { model, listener } = self.opened.get(py)?;
        let options = ScoreOptions { top, watch, full, ..Default::default() };
        let given: Vec<&logitree::Prompt> = prompts.iter().map(|p| &p.get().prompt).collect();
        let texts: Vec<_> = given.iter().copied().zip(firsts.into_iter().map(Some)).collect();
        let ((found, seen), stopped) = Call::telling(Some(listener), progress).partial(py, || {
            model.need_tokens("score")?;
            let found = model.score_all(&texts, &options)?;
            let look = |(prompt, s): (&&logitree::Prompt, &Scored)| {
                let first = prompt.tokens.len() - s.asked;
                model.layers_of(&prompt.tokens, first..first + s.tokens.len(), &s.watch)
            };
            let wanted = given.iter().zip(&found).filter(|_| layers);
            let seen = wanted.map(look).collect::<logitree::Result<Vec<_>>>()?;
            Ok((found, seen))
        })?;
        let asked = found.iter().map(|s| s.asked).collect();
        let mut seen = seen.iter();
        let columns = |s: Scored| {
            let columns = scores::columns(py, model, &s.tokens, &s.watch, top)?;
            columns.set_item("full", full.then(|| Vector::from(s.full)))?;
            let layers = seen.next().map(|places| {
                let places = places.iter().enumerate();
                places
                    .map(|(i, found)| layers::fields(py, model, (i + 1).to_string(), found))
                    .collect::<PyResult<Vec<_>>>()
            });
            columns.set_item("layers", layers.transpose()?)?;
            Ok(columns)
        };
        Ok((found.into_iter().map(columns).collect::<PyResult<_>>()?, asked, stopped))
    }

    /// A text's words, lines or sentences from the token with this index: text, index of the first scored token, number
    /// of tokens, logprob, sum of the tokens' logprobs, and whether the logprob is exact. The second value says whether
    /// the work was stopped.
    fn spans(
        &self,
        py: Python<'_>,
        prompt: &Prompt,
        from: Option<usize>,
        by: &str,
        progress: Hearer<'_>,
    ) -> PyResult<(Vec<Spanned>, bool)> {
        let Opened { model, listener } = self.opened.get(py)?;
        let by = match by {
            "word" => Unit::Word,
            "line" => Unit::Line,
            "sentence" => Unit::Sentence,
            _ => return Err(error::parameter(py, "by", format!("`by` {by:?}: there are word, line, sentence"))),
        };
        let options = ScoreOptions { top: 0, from, words: by == Unit::Word, ..Default::default() };
        Call::telling(Some(listener), progress).partial(py, || {
            model.need_tokens("score")?;
            let scored = model.score(&prompt.prompt, &options)?;
            let spans = model.spans(&prompt.prompt, &scored, by);
            Ok(spans
                .into_iter()
                .map(|s| (s.text, s.tokens.start, s.tokens.len(), s.logprob, s.token_logprob, s.exact))
                .collect())
        })
    }

    /// Begins to generate.
    #[allow(clippy::too_many_arguments)]
    fn generate(
        &self,
        py: Python<'_>,
        prompt: &Prompt,
        max_new_tokens: usize,
        top: usize,
        temperature: f64,
        top_k: usize,
        top_p: f64,
        min_p: f64,
        seed: u64,
        watch: Vec<String>,
        guide: Option<(String, String)>,
    ) -> PyResult<Generation> {
        let Opened { model, listener } = self.opened.get(py)?;
        let sampler = Sampler { temperature, top_k, top_p, min_p };
        let mut options = GenerateOptions { max_new_tokens, top, sampler, seed, watch, forced_from: None };
        let given = guide.as_ref().map(|_| prompt.text(py, "guide")).transpose()?;
        let made = Call::new(Some(listener)).whole(py, || {
            let forced = match (&guide, given) {
                (Some((join, prefix)), Some(given)) => {
                    model.need_tokens("guide")?;
                    let (prompt, start) = model.guide(given, join, prefix)?;
                    options.forced_from = Some(start);
                    Some(prompt)
                }
                _ => None,
            };
            model.generate(forced.as_ref().unwrap_or(&prompt.prompt), &options)
        })?;
        Ok(Generation::new(made, model.clone(), listener.clone(), top))
    }

    /// Begins to explore.
    #[allow(clippy::too_many_arguments)]
    fn explore(
        &self,
        py: Python<'_>,
        prompt: &Prompt,
        strategy: &str,
        parameters: &str,
        max_nodes: Option<usize>,
        max_seconds: Option<f64>,
        store_top: &str,
        hash_logits: bool,
        watch: Vec<String>,
        path: Option<PathBuf>,
        force: bool,
    ) -> PyResult<Exploration> {
        let Opened { model, listener } = self.opened.get(py)?;
        let order = exploration::Order {
            strategy,
            parameters,
            max_nodes,
            max_seconds,
            store_top,
            hash_logits,
            watch,
            path,
            force,
        };
        let made = Call::new(Some(listener)).whole(py, || order.begin(model, &prompt.prompt))?;
        Ok(Exploration::new(made, listener.clone()))
    }

    /// Goes on with a run in its own file.
    fn resume(
        &self,
        py: Python<'_>,
        path: PathBuf,
        max_nodes: Option<usize>,
        max_seconds: Option<f64>,
    ) -> PyResult<Exploration> {
        let Opened { model, listener } = self.opened.get(py)?;
        let made = Call::new(Some(listener)).whole(py, || exploration::resume(model, &path, max_nodes, max_seconds))?;
        Ok(Exploration::new(made, listener.clone()))
    }

    /// How likely each answer is, as JSON; the second value says whether it was stopped.
    #[allow(clippy::too_many_arguments)]
    fn answers(
        &self,
        py: Python<'_>,
        prompt: &Prompt,
        choices: Option<Vec<String>>,
        pattern: Option<String>,
        normalize: bool,
        tolerance: Option<f64>,
        max_depth: usize,
        max_seconds: f64,
        max_nodes: usize,
        batch: usize,
        progress: Hearer<'_>,
    ) -> PyResult<(String, bool)> {
        let Opened { model, listener } = self.opened.get(py)?;
        let max_time = Duration::try_from_secs_f64(max_seconds)
            .map_err(|e| error::parameter(py, "max_seconds", format!("`max_seconds`: {e}")))?;
        let options = AnswerOptions { tolerance, max_depth, max_time, max_nodes, batch };
        let call = Call::telling(Some(listener), progress);
        call.partial(py, || {
            let reader = reader(choices.as_deref(), pattern.as_deref(), normalize)?;
            let found = model.answers(&prompt.prompt, &reader, &options)?;
            let bounds = found.ledger.bounds();
            // With a single choice there is no other to be ahead of, so no winner is named.
            let winner = found.ledger.winner().filter(|_| reader.names().len() != 1);
            let answers = bounds.iter().map(|b| json!({ "answer": b.answer, "lower": b.lower, "upper": b.upper }));
            let object = json!({
                "answers": answers.collect::<Vec<_>>(),
                "no_answer": found.ledger.none(),
                "undecided": found.ledger.undecided(),
                "winner": winner.map(|w| w.answer),
                "ended_by": found.ended_by,
                "steps": found.steps,
                "nodes": found.nodes,
                "seconds": found.seconds,
            });
            Ok(object.to_string())
        })
    }

    /// Texts' own tokens right after a prompt: ids, logprob, and rank of a text of one token.
    fn direct(&self, py: Python<'_>, prompt: &Prompt, texts: Vec<String>) -> PyResult<Vec<Direct>> {
        let Opened { model, listener } = self.opened.get(py)?;
        let found = Call::new(Some(listener)).whole(py, || {
            model.need_tokens("direct")?;
            model.direct(&prompt.prompt, &texts)
        })?;
        Ok(found.into_iter().map(|(ids, w)| (ids.iter().map(|t| t.0).collect(), w.logprob, w.rank)).collect())
    }

    /// Where a continuation might have gone another way, as JSON; for each fork that was tested what its layers would have
    /// predicted, if asked for; and whether it was stopped.
    #[allow(clippy::too_many_arguments)]
    fn forks<'py>(
        &self,
        py: Python<'py>,
        prompt: &Prompt,
        text: Option<String>,
        pattern: Option<String>,
        max_new_tokens: usize,
        top: usize,
        looked: bool,
        progress: Hearer<'_>,
    ) -> PyResult<(String, Looked<'py>, bool)> {
        let Opened { model, listener } = self.opened.get(py)?;
        let given = prompt.text(py, "forks")?;
        let options = ForkOptions { max_new_tokens, top, layers: looked };
        let call = Call::telling(Some(listener), progress);
        let ((told, layers), stopped) = call.partial(py, || {
            let pattern = pattern.as_deref().map(Pattern::new).transpose()?;
            let found = model.forks(given, text.as_deref(), pattern.as_ref(), &options)?;
            let token =
                |t: &logitree_core::TokenStats| json!({ "id": t.id, "text": model.text(t.id), "logprob": t.logprob });
            let tested = found.tested.iter().map(|t| {
                let at = &found.positions[t.fork.position];
                json!({
                    "position": t.fork.position,
                    "token": token(&at.token),
                    "other": token(&at.other),
                    "gap": at.gap,
                    "entropy": at.entropy,
                    "flips": t.flips,
                    "answer": t.answer,
                    "rejoins": t.rejoins,
                    "finished": t.fork.finished,
                    "text": t.text,
                })
            });
            let positions = found.positions.iter().map(
                |p| json!({ "token": token(&p.token), "other": token(&p.other), "gap": p.gap, "entropy": p.entropy }),
            );
            let object = json!({
                "text": found.text,
                "answer": found.answer,
                "forks": tested.collect::<Vec<_>>(),
                "positions": positions.collect::<Vec<_>>(),
            });
            let layers = found.tested.into_iter().map(|t| (t.fork.position + 1, t.layers)).collect::<Vec<_>>();
            Ok((object.to_string(), layers))
        })?;
        let fields = |(place, found): &(usize, Option<LayerDistributions>)| {
            found.as_ref().map(|found| layers::fields(py, model, place.to_string(), found)).transpose()
        };
        let layers = layers.iter().map(fields).collect::<PyResult<_>>()?;
        Ok((told, layers, stopped))
    }

    /// Runs a run's steps again, and gives as JSON what is otherwise; the second value says whether it was stopped.
    fn verify(&self, py: Python<'_>, run: &Run, progress: Hearer<'_>) -> PyResult<(String, bool)> {
        let Opened { model, listener } = self.opened.get(py)?;
        let call = Call::telling(Some(listener), progress);
        call.partial(py, || {
            let found = model.verify("the run", &run.run)?;
            let report = &found.report;
            let numbers = report
                .numbers
                .iter()
                .map(|(number, count)| (json!(number).as_str().unwrap_or_default().to_string(), json!(count)));
            let object = json!({
                "identical": found.is_identical(),
                "confirmed": found.is_confirmed(),
                "complete": found.complete,
                "recorded_orders": found.recorded_orders,
                "other_order": found.other_order,
                "steps": report.nodes,
                "numbers": numbers.collect::<serde_json::Map<_, _>>(),
                "max_difference": report.max_difference(),
                "largest": report.largest,
                "first": report.first,
                "reordered": report.reordered,
                "statements": found.statements,
            });
            Ok(object.to_string())
        })
    }

    /// An empty session.
    fn session(&self, py: Python<'_>) -> PyResult<Session> {
        let Opened { model, listener } = self.opened.get(py)?;
        let made = Call::new(Some(listener)).whole(py, || Ok(model.session()?))?;
        Ok(Session::new(made, model.clone(), listener.clone()))
    }
}

impl Model {
    fn prepare(&self, py: Python<'_>, given: Given) -> PyResult<Prompt> {
        let Opened { model, listener } = self.opened.get(py)?;
        let prompt = Call::new(Some(listener)).whole(py, || {
            model.note_names(&given, "");
            model.prepare(&given, "")
        })?;
        Ok(Prompt { prompt, given: Some(given) })
    }
}
