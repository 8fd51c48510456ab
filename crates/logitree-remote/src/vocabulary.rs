//! Texts of tokens and tokens of texts: from a local tokenizer, from the server, or by text alone.

use crate::dialect::ServerKind;
use crate::http::{Failure, Http, most};
use logitree_core::TokenId;
use logitree_core::end_tokens::{NAMES, union};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A model's vocabulary. A local tokenizer is one; else the server is asked.
pub trait Vocabulary: Send + Sync {
    /// Number of tokens, where it is known.
    fn size(&self) -> Option<usize>;
    /// What kind of vocabulary this is, for run files.
    fn kind(&self) -> &str;
    /// The token put before every text, if the model wants one.
    fn bos(&self) -> Option<TokenId>;
    /// Every id that ends a generation.
    fn end_tokens(&self) -> Vec<TokenId>;
    /// Raw bytes of a token; empty if they are not known.
    fn token_bytes(&self, id: TokenId) -> Cow<'_, [u8]>;
    /// Whether the token is a control token rather than text.
    fn is_special(&self, id: TokenId) -> bool;
    /// Splits text into tokens, without BOS.
    ///
    /// # Errors
    /// Says why the text cannot be split.
    fn tokenize(&self, text: &str, parse_special: bool) -> Result<Vec<TokenId>, String>;
}

impl<V: Vocabulary + ?Sized> Vocabulary for Arc<V> {
    fn size(&self) -> Option<usize> {
        (**self).size()
    }
    fn kind(&self) -> &str {
        (**self).kind()
    }
    fn bos(&self) -> Option<TokenId> {
        (**self).bos()
    }
    fn end_tokens(&self) -> Vec<TokenId> {
        (**self).end_tokens()
    }
    fn token_bytes(&self, id: TokenId) -> Cow<'_, [u8]> {
        (**self).token_bytes(id)
    }
    fn is_special(&self, id: TokenId) -> bool {
        (**self).is_special(id)
    }
    fn tokenize(&self, text: &str, parse_special: bool) -> Result<Vec<TokenId>, String> {
        (**self).tokenize(text, parse_special)
    }
}

/// Where the texts of tokens come from: a local tokenizer, the server's tokenizer, or texts alone without ids.
pub(crate) enum Words {
    Local(Box<dyn Vocabulary>),
    Asked(Asked),
    Texts(Texts),
}

impl Words {
    pub(crate) fn get(&self) -> &dyn Vocabulary {
        match self {
            Words::Local(v) => &**v,
            Words::Asked(v) => v,
            Words::Texts(v) => v,
        }
    }
}

/// Names of end tokens that are looked for in a server's vocabulary.
fn end_names() -> impl Iterator<Item = &'static str> {
    NAMES.iter().filter(|n| n.asked_for).map(|n| n.name)
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(|e| e.into_inner())
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(|e| e.into_inner())
}

/// What is learned of a vocabulary by asking the server: token ids with their texts.
pub(crate) struct Asked {
    http: Http,
    kind: ServerKind,
    model: String,
    size: Option<usize>,
    bos: Option<TokenId>,
    ends: Vec<TokenId>,
    /// A token to put in front when another one's text is asked for: the first token of a text may lose its leading
    /// space.
    anchor: (TokenId, String),
    bytes: RwLock<HashMap<TokenId, Vec<u8>>>,
}

impl Asked {
    /// Asks the server for the anchor, BOS and end tokens.
    pub(crate) fn new(http: Http, kind: ServerKind, model: &str, size: Option<usize>) -> Result<Asked, Failure> {
        let anchor = (TokenId(0), String::new());
        let bytes = RwLock::default();
        let mut v = Asked { http, kind, model: model.into(), size, bos: None, ends: Vec::new(), anchor, bytes };
        let plain = v.split("a", false, false)?;
        let last = *plain.last().ok_or_else(|| Failure::Broken("it splits \"a\" into no tokens".into()))?;
        v.anchor = (last, v.join(&[last])?);
        let front = v.split("a", true, false)?;
        v.bos = front.first().copied().filter(|_| front.len() == plain.len() + 1);
        for name in end_names() {
            if let [one] = v.split(name, false, true)?[..]
                && (name != "</s>" || v.ends.is_empty())
            {
                write(&v.bytes).insert(one, name.into());
                v.ends.push(one);
            }
        }
        v.ends = union(v.ends);
        if let Some(bos) = v.bos {
            let name = v.join(&[bos]).unwrap_or_default();
            write(&v.bytes).insert(bos, name.into());
        }
        Ok(v)
    }

    fn split(&self, text: &str, front: bool, special: bool) -> Result<Vec<TokenId>, Failure> {
        let broken = |what: &str| Failure::Broken(format!("/tokenize: {what}"));
        let body = match self.kind {
            ServerKind::LlamaServer => {
                json!({ "content": text, "add_special": front, "parse_special": special, "with_pieces": true })
            }
            _ => json!({ "model": self.model, "prompt": text, "add_special_tokens": front }),
        };
        let body = body.to_string();
        // At worst the answer has a token, with its text, for every byte.
        let room = most(body.len(), 1, body.len());
        let answer = self.http.post("/tokenize", body, room)?;
        let tokens = answer["tokens"].as_array().ok_or_else(|| broken("no `tokens`"))?;
        let mut ids = Vec::with_capacity(tokens.len());
        for t in tokens {
            let id = t.as_u64().or_else(|| t["id"].as_u64()).and_then(|id| u32::try_from(id).ok());
            let id = TokenId(id.ok_or_else(|| broken("a token without id"))?);
            let piece = match &t["piece"] {
                Value::String(text) => Some(text.as_bytes().to_vec()),
                Value::Array(bytes) => Some(bytes.iter().filter_map(|b| Some(b.as_u64()? as u8)).collect()),
                _ => None,
            };
            if let Some(piece) = piece {
                write(&self.bytes).insert(id, piece);
            }
            ids.push(id);
        }
        Ok(ids)
    }

    fn join(&self, ids: &[TokenId]) -> Result<String, Failure> {
        let body = json!({ "model": self.model, "tokens": ids }).to_string();
        let room = most(body.len(), 1, ids.len());
        let answer = self.http.post("/detokenize", body, room)?;
        let text = ["prompt", "content", "text"].iter().find_map(|key| answer[*key].as_str());
        text.map(str::to_owned).ok_or_else(|| Failure::Broken("/detokenize: no text".into()))
    }

    /// Remembers a token's bytes, unless they are known already.
    pub(crate) fn learn(&self, id: TokenId, bytes: &[u8]) {
        if !self.knows(id) {
            write(&self.bytes).insert(id, bytes.to_vec());
        }
    }

    pub(crate) fn knows(&self, id: TokenId) -> bool {
        read(&self.bytes).contains_key(&id)
    }

    /// Asks the server for a token's text and remembers it.
    pub(crate) fn ask(&self, http: &Http, id: TokenId) -> Result<(), Failure> {
        let body = json!({ "model": self.model, "tokens": [self.anchor.0, id] });
        let answer = http.post("/detokenize", body.to_string(), most(0, 1, 0))?;
        let text = ["prompt", "content", "text"].iter().find_map(|key| answer[*key].as_str());
        let text = text.ok_or_else(|| Failure::Broken("/detokenize: no text".into()))?;
        self.learn(id, text.strip_prefix(&self.anchor.1).unwrap_or(text).as_bytes());
        Ok(())
    }
}

impl Vocabulary for Asked {
    fn size(&self) -> Option<usize> {
        self.size
    }
    fn kind(&self) -> &str {
        "the server's"
    }
    fn bos(&self) -> Option<TokenId> {
        self.bos
    }
    fn end_tokens(&self) -> Vec<TokenId> {
        self.ends.clone()
    }
    fn token_bytes(&self, id: TokenId) -> Cow<'_, [u8]> {
        read(&self.bytes).get(&id).cloned().unwrap_or_default().into()
    }
    fn is_special(&self, id: TokenId) -> bool {
        self.bos == Some(id) || self.ends.contains(&id)
    }
    fn tokenize(&self, text: &str, parse_special: bool) -> Result<Vec<TokenId>, String> {
        let told = |e| format!("{}: {e}", self.http.root());
        let ids = self.split(text, false, parse_special).map_err(told)?;
        // Some servers give ids without texts, so the texts are asked for.
        let unknown: BTreeSet<TokenId> = ids.iter().copied().filter(|&id| !self.knows(id)).collect();
        unknown.into_iter().try_for_each(|id| self.ask(&self.http, id)).map_err(told)?;
        Ok(ids)
    }
}

/// Ids by text, and texts by id.
#[derive(Default)]
struct Interned {
    ids: HashMap<Vec<u8>, TokenId>,
    texts: HashMap<TokenId, Vec<u8>>,
}

/// The id that a text gets if no other text has it. It is the same in every process, so that run files can be resumed.
fn hashed(bytes: &[u8]) -> u32 {
    // FNV-1a; the upper half of its bits is the better mixed one.
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325u64, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    (hash >> 33) as u32 % i32::MAX as u32
}

/// The vocabulary of a server that gives no ids: tokens are known by their text, and ids are made here.
pub(crate) struct Texts {
    /// The server, which splits texts if it can repeat them with its tokens.
    http: Http,
    model: String,
    echoes: bool,
    ids: RwLock<Interned>,
    /// For a token that begins a path, how many tokens the server counts in its text alone, BOS included.
    fronts: RwLock<HashMap<TokenId, usize>>,
}

impl Texts {
    pub(crate) fn new(http: Http, model: &str, echoes: bool) -> Texts {
        let texts = Texts { http, model: model.into(), echoes, ids: RwLock::default(), fronts: RwLock::default() };
        for name in end_names() {
            texts.id(name.as_bytes());
        }
        texts
    }

    pub(crate) fn id(&self, bytes: &[u8]) -> TokenId {
        if let Some(&id) = read(&self.ids).ids.get(bytes) {
            return id;
        }
        let Interned { ids, texts } = &mut *write(&self.ids);
        *ids.entry(bytes.to_vec()).or_insert_with(|| {
            let mut id = TokenId(hashed(bytes));
            while texts.contains_key(&id) {
                id = TokenId((id.0 + 1) % i32::MAX as u32);
            }
            texts.insert(id, bytes.to_vec());
            id
        })
    }

    /// Whether a text has this id.
    pub(crate) fn knows(&self, id: TokenId) -> bool {
        read(&self.ids).texts.contains_key(&id)
    }

    /// Takes over the id that a text has in a file. False if the text has another id here, or the id another text.
    pub(crate) fn learn(&self, id: TokenId, bytes: &[u8]) -> bool {
        let Interned { ids, texts } = &mut *write(&self.ids);
        let (free, new) = (!texts.contains_key(&id), !ids.contains_key(bytes));
        if free && new {
            texts.insert(id, bytes.to_vec());
            ids.insert(bytes.to_vec(), id);
        }
        free && new || ids.get(bytes) == Some(&id)
    }

    /// How many tokens the server counts in the text of a path's first token.
    pub(crate) fn front(&self, first: TokenId) -> Option<usize> {
        read(&self.fronts).get(&first).copied()
    }

    pub(crate) fn set_front(&self, first: TokenId, count: usize) {
        write(&self.fronts).insert(first, count);
    }

    /// Whether texts are split as the server splits them; else a text is one token.
    pub(crate) fn splits(&self) -> bool {
        self.echoes
    }
}

/// Splits a text into the server's tokens, by asking it to repeat the text (`echo`). BOS is left out, because it is no
/// part of the text.
pub(crate) fn echoed(http: &Http, model: &str, text: &str) -> Result<Vec<String>, Failure> {
    let body =
        json!({ "model": model, "prompt": text, "max_tokens": 1, "echo": true, "logprobs": 1, "temperature": 1 });
    let body = body.to_string();
    // The answer has two entries for every token, and each token has at least one byte.
    let room = most(body.len(), 1, 2 * body.len());
    let answer = http.post("/v1/completions", body, room)?;
    let missing = || Failure::Refused { status: 200, message: "it repeats no tokens".into() };
    let tokens = answer.pointer("/choices/0/logprobs/tokens").and_then(Value::as_array).ok_or_else(missing)?;
    let mut rest = text;
    let mut out = Vec::new();
    for t in tokens.iter().filter_map(Value::as_str) {
        if rest.is_empty() {
            break;
        }
        if let Some(after) = rest.strip_prefix(t).filter(|_| !t.is_empty()) {
            out.push(t.to_owned());
            rest = after;
        } else if !out.is_empty() {
            // The token is a part of a character, or the server repeats another text: it cannot be matched with `text`.
            return Err(missing());
        }
    }
    if rest.is_empty() { Ok(out) } else { Err(missing()) }
}

impl Vocabulary for Texts {
    fn size(&self) -> Option<usize> {
        None
    }
    fn kind(&self) -> &str {
        "texts of tokens"
    }
    fn bos(&self) -> Option<TokenId> {
        None
    }
    fn end_tokens(&self) -> Vec<TokenId> {
        end_names().map(|name| self.id(name.as_bytes())).collect()
    }
    fn token_bytes(&self, id: TokenId) -> Cow<'_, [u8]> {
        read(&self.ids).texts.get(&id).cloned().unwrap_or_default().into()
    }
    fn is_special(&self, id: TokenId) -> bool {
        end_names().any(|name| read(&self.ids).ids.get(name.as_bytes()) == Some(&id))
    }
    fn tokenize(&self, text: &str, _: bool) -> Result<Vec<TokenId>, String> {
        if !self.echoes {
            return Ok(vec![self.id(text.as_bytes())]);
        }
        let tokens = echoed(&self.http, &self.model, text).map_err(|e| format!("{}: {e}", self.http.root()))?;
        Ok(tokens.iter().map(|t| self.id(t.as_bytes())).collect())
    }
}
