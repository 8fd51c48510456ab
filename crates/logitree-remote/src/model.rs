//! A model behind servers.

use crate::RemoteError;
use crate::dialect::ServerKind;
use crate::http::{Failure, Http, most};
use crate::pool::{Pool, Traffic};
use crate::probe::{Probe, probe};
use crate::servers::Servers;
use crate::session::RemoteSession;
use crate::vocabulary::{Asked, Texts, Vocabulary, Words};
use logitree_core::end_tokens::union;
use logitree_core::run::Message;
use logitree_core::{LanguageModel, ModelError, Session, TokenId};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// How many prompts a server is given at once if it does not say how many it works on.
const SLOTS: usize = 128;
/// A text that almost any two tokenizers split differently, so that it shows whether they are the same.
const SAMPLE: &str = "The quick brown fox's naïve 東京 🙂 x = f(1234);\n\tend";

/// Which servers, and how to ask them.
pub struct ConnectOptions {
    /// Addresses of servers of one model.
    pub urls: Vec<String>,
    /// Which interface the servers have. If absent, it is found out by asking them.
    pub kind: Option<ServerKind>,
    /// The model's name at the servers. If absent, the first model that they list is used.
    pub model: Option<String>,
    /// Key that is sent as a bearer token.
    pub key: Option<String>,
    /// How many prompts a server is given at once. If absent, twice as many as it says that it works on, or 128.
    pub concurrency: Option<usize>,
    /// How many tokens per step the servers are asked to list, at most.
    pub list: usize,
    /// How long a request may take.
    pub deadline: Duration,
    /// The model's tokenizer in this process. If absent, the server is asked.
    pub vocabulary: Option<Box<dyn Vocabulary>>,
    /// Called before requests and during pauses; returns true when the user wants to end.
    pub interrupted: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Called with what the user should know, such as that a server is down.
    pub note: Box<dyn Fn(&str) + Send + Sync>,
}

/// A model behind one or several servers.
pub struct RemoteModel {
    servers: Arc<Servers>,
    end_tokens: Vec<TokenId>,
}

impl RemoteModel {
    /// Asks every server what it is.
    ///
    /// # Errors
    /// If a server cannot be reached, servers differ in kind or model, or the local tokenizer is not the servers'.
    pub fn connect(options: ConnectOptions) -> Result<RemoteModel, RemoteError> {
        let ConnectOptions { urls, kind, model, key, concurrency, list, deadline, vocabulary, interrupted, note } =
            options;
        let mut servers = Vec::new();
        for url in &urls {
            servers.push((Http::new(url, key.clone(), deadline)?, SLOTS));
        }
        let pool = Pool::new(servers.clone(), interrupted.clone(), Box::new(|_| {}));
        let mut probes: Vec<Probe> = Vec::new();
        for (i, (http, _)) in servers.iter().enumerate() {
            probes.push(pool.ask_again(i, &mut || probe(http, kind, model.as_deref(), list))?);
        }
        let first = probes.first().cloned().ok_or_else(|| RemoteError::Unfit("no server was named".into()))?;
        if let Some(other) = probes.iter().find(|p| (p.kind, &p.model) != (first.kind, &first.model)) {
            return Err(RemoteError::Unfit(format!(
                "the servers differ: {} is {} with {}, {} is {} with {}",
                first.url, first.kind, first.model, other.url, other.kind, other.model
            )));
        }
        let http = servers[0].0.clone();
        let ask = |e: Failure| RemoteError::Unfit(format!("{}: {e}; name its tokenizer with --tokenizer", first.url));
        let words = match vocabulary {
            // Without ids, a local tokenizer cannot say which tokens the server means.
            _ if !first.kind.takes_ids() => Words::Texts(Texts::new(http, &first.model, first.echoes)),
            Some(local) => {
                same_tokenizer(&http, &first, &*local)?;
                Words::Local(local)
            }
            None => Words::Asked(Asked::new(http, first.kind, &first.model, first.vocab).map_err(ask)?),
        };
        let list = probes.iter().map(|p| p.list).min().unwrap_or(1);
        // A server is given twice as many prompts as it works on, so that the next ones wait there when the first are
        // done.
        let slots = |p: &Probe| concurrency.or(p.slots.map(|n| 2 * n)).unwrap_or(SLOTS);
        let servers = servers.into_iter().zip(&probes).map(|((http, _), p)| (http, slots(p))).collect();
        let end_tokens = words.get().end_tokens();
        let pool = Pool::new(servers, interrupted, note);
        Ok(RemoteModel { servers: Arc::new(Servers { pool, probes, words, list }), end_tokens })
    }

    /// What was found out about each server, in the order of [`ConnectOptions::urls`].
    pub fn probes(&self) -> &[Probe] {
        &self.servers.probes
    }

    /// How many requests were answered and repeated so far.
    pub fn traffic(&self) -> Traffic {
        self.servers.pool.traffic()
    }

    /// The model's name at the servers.
    pub fn name(&self) -> &str {
        self.servers.model()
    }

    /// Takes over the texts of tokens from a run file, before that run is resumed.
    ///
    /// # Errors
    /// If tokens are known by their texts alone, and one has another id here.
    pub fn learn<'t>(&self, texts: impl IntoIterator<Item = (TokenId, &'t [u8])>) -> Result<(), RemoteError> {
        for (id, bytes) in texts {
            let known = match &self.servers.words {
                Words::Local(_) => true,
                Words::Asked(asked) => {
                    asked.learn(id, bytes);
                    true
                }
                Words::Texts(texts) => texts.learn(id, bytes),
            };
            if !known {
                let text = String::from_utf8_lossy(bytes);
                return Err(RemoteError::Unfit(format!(
                    "the token {text:?} has id {id} in the file and another here: start the program anew, for this file alone"
                )));
            }
        }
        Ok(())
    }

    /// Number of tokens in the vocabulary, if the servers or the tokenizer tell it.
    pub fn told_vocab(&self) -> Option<usize> {
        self.servers.told_vocab()
    }

    /// Where texts of tokens come from, for records.
    pub fn tokenizer(&self) -> &str {
        self.servers.words.get().kind()
    }

    /// Whether texts can be split into tokens, in this process or by the server. If not, a prompt counts as one token.
    pub fn splits_text(&self) -> bool {
        !matches!(&self.servers.words, Words::Texts(t) if !t.splits())
    }

    /// A line for reports: `vllm at http://a:8000 and 3 more; bounds from the 100 most likely tokens`.
    pub fn engine(&self) -> String {
        let p = &self.servers.probes[0];
        let more = if self.servers.probes.len() > 1 {
            format!(" and {} more", self.servers.probes.len() - 1)
        } else {
            String::new()
        };
        let text = if p.kind.takes_ids() { "" } else { "; paths go as text" };
        format!("{} at {}{more}; bounds from the {} most likely tokens{text}", p.kind, p.url, self.servers.list)
    }

    /// Replaces the end tokens.
    pub fn set_end_tokens(&mut self, ids: Vec<TokenId>) {
        self.end_tokens = union(ids);
    }

    /// The tokens of a conversation, as the server's own chat template has it.
    ///
    /// # Errors
    /// If the server has no chat template, or refuses the conversation.
    pub fn chat(&self, messages: &[Message]) -> Result<Vec<TokenId>, RemoteError> {
        let Probe { kind, model, .. } = &self.servers.probes[0];
        let http = &self.servers.pool.servers[0].http;
        let unfit = |why: String| RemoteError::Unfit(format!("{}: {why}", http.root()));
        let ids = match kind {
            ServerKind::LlamaServer => {
                let body = json!({ "messages": messages }).to_string();
                let room = most(body.len(), 1, 0);
                let answer =
                    self.servers.pool.ask_again(0, &mut || http.post("/apply-template", body.clone(), room))?;
                let text = answer["prompt"].as_str().ok_or_else(|| unfit("/apply-template gives no prompt".into()))?;
                self.servers.words.get().tokenize(text, true).map_err(unfit)?
            }
            ServerKind::Vllm => {
                let body = json!({ "model": model, "messages": messages, "add_generation_prompt": true }).to_string();
                let room = most(body.len(), 1, 0);
                let answer = self.servers.pool.ask_again(0, &mut || http.post("/tokenize", body.clone(), room))?;
                let ids = answer["tokens"].as_array().into_iter().flatten().filter_map(Value::as_u64);
                ids.map(|id| TokenId(id as u32)).collect()
            }
            _ => {
                return Err(unfit(
                    "it lays out no conversations: name a tokenizer with a template (--tokenizer)".into(),
                ));
            }
        };
        // BOS is put in front of every prompt later, so the one that a template begins with is left out.
        let bos = self.bos();
        Ok(ids.into_iter().enumerate().filter(|&(i, id)| i > 0 || Some(id) != bos).map(|(_, id)| id).collect())
    }
}

/// Refuses a local tokenizer that splits [`SAMPLE`] differently from the server's. Nothing is checked if the server
/// does not split texts on request.
fn same_tokenizer(http: &Http, probe: &Probe, local: &dyn Vocabulary) -> Result<(), RemoteError> {
    let Ok(theirs) = Asked::new(http.clone(), probe.kind, &probe.model, probe.vocab) else { return Ok(()) };
    let (ours, theirs) = (local.tokenize(SAMPLE, false), theirs.tokenize(SAMPLE, false));
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) if ours != theirs => Err(RemoteError::Unfit(format!(
            "the tokenizer is not that of {}: it splits {SAMPLE:?} into {:?}, the server into {:?}",
            http.root(),
            ours.iter().map(|t| t.0).collect::<Vec<_>>(),
            theirs.iter().map(|t| t.0).collect::<Vec<_>>()
        ))),
        _ => Ok(()),
    }
}

impl LanguageModel for RemoteModel {
    /// Number of tokens in the vocabulary; if the server does not tell it, the largest number that ids allow.
    fn vocab_size(&self) -> usize {
        self.servers.vocab_size()
    }
    fn context_length(&self) -> usize {
        self.servers.context_length()
    }
    fn end_tokens(&self) -> &[TokenId] {
        &self.end_tokens
    }
    fn bos(&self) -> Option<TokenId> {
        self.servers.words.get().bos()
    }
    fn token_bytes(&self, id: TokenId) -> Cow<'_, [u8]> {
        self.servers.words.get().token_bytes(id)
    }
    fn is_special(&self, id: TokenId) -> bool {
        self.servers.words.get().is_special(id)
    }
    fn tokenize(&self, text: &str, parse_special: bool) -> Result<Vec<TokenId>, ModelError> {
        self.servers.words.get().tokenize(text, parse_special).map_err(ModelError::Tokenizer)
    }
    fn session(&self) -> Result<Box<dyn Session>, ModelError> {
        Ok(Box::new(RemoteSession::new(Arc::clone(&self.servers))))
    }
}
