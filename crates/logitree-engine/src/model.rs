//! A model loaded from files: weights, tokenizer and chat template.

use crate::chat::{ChatError, ChatTemplate};
use crate::config::Config;
use crate::network::Network;
use crate::session::LocalSession;
use crate::tokenizer::{GgufVocabulary, Tokenizer, TokenizerError};
use crate::weights::{Weights, WeightsError};
use logitree_core::end_tokens::union;
use logitree_core::{LanguageModel, ModelError, Session, TokenId};
use logitree_kernels::{Arithmetic, Compute, PackedMatrix};
use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

/// Why a model could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// Its weights or configuration.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Its tokenizer.
    #[error("tokenizer: {0}")]
    Tokenizer(crate::tokenizer::TokenizerError),
    /// Weights and tokenizer do not belong together.
    #[error(
        "every text starts with the token {bos}, but the model's matrices have only {rows} rows: files of different models?"
    )]
    Vocabulary {
        /// The token.
        bos: u32,
        /// Rows of the matrices.
        rows: usize,
    },
}

// By hand: derived, it would also be the error's source, and reports of the whole chain would say it twice.
impl From<TokenizerError> for LoadError {
    fn from(e: TokenizerError) -> LoadError {
        LoadError::Tokenizer(e)
    }
}

/// The tokenizer of open weights: from a GGUF file's metadata, or a folder's tokenizer.json.
///
/// # Errors
/// If there is none that is understood.
pub fn tokenizer_of(weights: &Weights) -> Result<Tokenizer, TokenizerError> {
    let Some(g) = weights.gguf() else { return Tokenizer::from_folder(weights.path()) };
    let key = |name: &str| format!("tokenizer.ggml.{name}");
    let merges =
        g.strings(&key("merges")).map(|m| m.into_iter().map(|m| std::str::from_utf8(m).unwrap_or("")).collect());
    Tokenizer::from_gguf(GgufVocabulary {
        architecture: g.str("general.architecture").unwrap_or_default(),
        model: g.str(&key("model")).unwrap_or("(none)"),
        pre: g.str(&key("pre")),
        tokens: g.strings(&key("tokens")).unwrap_or_default(),
        scores: g.f32s(&key("scores")),
        types: g.i64s(&key("token_type")).map(|t| t.into_iter().map(|t| t as i32).collect()),
        merges,
        bos: g.token_id("bos"),
        eos: g.token_id("eos"),
        unknown: g.token_id("unknown"),
        add_bos: g.bool(&key("add_bos_token")),
        add_space_prefix: g.bool(&key("add_space_prefix")),
    })
}

/// How far the approximate mode was from the float32 reference, in nats, for all tokens of a probability of at least 1e-4 on the
/// prompts of `fixtures/gguf`; `tests/real.rs` holds it to that.
const MEASURED: &str = "on test prompts off by 0.1 nats on average, 1.0 at most";

/// Weights that every token is multiplied with, and the memory they take.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Weights of all layers: a token needs twice as many floating-point operations.
    pub layers: usize,
    /// Weights of the layers that a token passes through if its distribution is not asked for: in some models fewer.
    pub prefix_layers: usize,
    /// Weights of the output matrix.
    pub output: usize,
    /// Bytes of the layers' weights in memory.
    pub layer_bytes: usize,
    /// Bytes of the output matrix in memory.
    pub output_bytes: usize,
}

/// A model that runs in this process.
pub struct LocalModel {
    network: Arc<Network>,
    tokenizer: Option<Tokenizer>,
    /// Compiled when the model is loaded; an error waits for who asks for it.
    template: Result<Box<ChatTemplate>, Arc<ChatError>>,
    end_tokens: Vec<TokenId>,
    notes: Vec<String>,
}

/// The chat template of open weights.
fn template_of(weights: &Weights, tokenizer: Option<&Tokenizer>) -> Result<ChatTemplate, ChatError> {
    let Some(gguf) = weights.gguf() else {
        return ChatTemplate::from_folder(weights.path());
    };
    let bos = tokenizer.and_then(Tokenizer::bos_name);
    let eos = tokenizer.and_then(Tokenizer::eos_name);
    let model = weights.path().display().to_string();
    ChatTemplate::of_model(gguf.str("tokenizer.chat_template"), &model, bos.as_deref(), eos.as_deref())
}

impl LocalModel {
    /// Loads a GGUF file or a safetensors folder, with its tokenizer.
    ///
    /// # Errors
    /// If the files are damaged, describe a model that the engine does not run, or are of different models.
    pub fn load(path: &Path, compute: Compute) -> Result<LocalModel, LoadError> {
        let weights = Weights::open(path)?;
        // The tokenizer's tables and the weights are independent work.
        let (packed, tokenizer) = std::thread::scope(|scope| {
            let tokenizer = scope.spawn(|| tokenizer_of(&weights));
            (Network::pack(&weights, compute), tokenizer.join())
        });
        let packed = packed?;
        let tokenizer = tokenizer.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let rows = packed.0.config.vocab;
        if let Some(bos) = tokenizer.bos().filter(|t| t.index() >= rows) {
            return Err(LoadError::Vocabulary { bos: bos.0, rows });
        }
        let mut notes = weights.notes();
        notes.extend_from_slice(tokenizer.notes());
        if tokenizer.vocab_size() > rows {
            notes.push(format!(
                "the tokenizer has {} tokens and the model {rows} rows: tokens beyond them are never produced, and refused \
                 in texts",
                tokenizer.vocab_size()
            ));
        }
        let mut tokenizer = tokenizer;
        tokenizer.restrict(rows);
        let mut end_tokens = union(weights.end_tokens()?.into_iter().chain(tokenizer.end_tokens()));
        if let Some(beyond) = end_tokens.iter().find(|t| t.index() >= rows) {
            notes.push(format!("the end token {} is none of the model's {rows}: it is never produced", beyond.0));
        }
        end_tokens.retain(|t| t.index() < rows);
        let template = template_of(&weights, Some(&tokenizer)).map(Box::new).map_err(Arc::new);
        let network = Arc::new(Network::new(weights, packed));
        Ok(LocalModel { network, tokenizer: Some(tokenizer), template, end_tokens, notes })
    }

    /// Loads weights alone: [`LanguageModel::tokenize`] fails and tokens have no text.
    ///
    /// # Errors
    /// Those of [`LocalModel::load`] that concern weights.
    pub fn load_without_tokenizer(path: &Path, compute: Compute) -> Result<LocalModel, LoadError> {
        let weights = Weights::open(path)?;
        let packed = Network::pack(&weights, compute)?;
        let mut end_tokens = weights.end_tokens()?;
        end_tokens.retain(|t| t.index() < packed.0.config.vocab);
        let notes = weights.notes();
        let template = template_of(&weights, None).map(Box::new).map_err(Arc::new);
        let network = Arc::new(Network::new(weights, packed));
        Ok(LocalModel { network, tokenizer: None, template, end_tokens, notes })
    }

    /// What the model is.
    pub fn config(&self) -> &Config {
        &self.network.transformer.config
    }

    /// Its files.
    pub fn weights(&self) -> &Weights {
        &self.network.weights
    }

    /// What in its files is not as it seems, and what was made of it: sentences for whoever chose the model.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Its tokenizer.
    pub fn tokenizer(&self) -> Option<&Tokenizer> {
        self.tokenizer.as_ref()
    }

    /// Its chat template; `name` is what to call the model in errors.
    ///
    /// # Errors
    /// If it has none, or one that does not compile.
    pub fn chat_template(&self, name: &str) -> Result<&ChatTemplate, Arc<ChatError>> {
        self.template.as_deref().map_err(|e| match &**e {
            ChatError::Missing { .. } => Arc::new(ChatError::Missing { model: name.into() }),
            _ => Arc::clone(e),
        })
    }

    /// What a token costs, attention aside: [`Config::attention_flops`] and [`Config::attention_bytes`] say what that adds.
    pub fn cost(&self) -> Cost {
        let t = &self.network.transformer;
        let weights = |wanted| t.matrices(wanted).map(|m| m.rows() * m.cols()).sum();
        Cost {
            layers: weights(true),
            prefix_layers: weights(false),
            output: t.output.rows() * t.output.cols(),
            layer_bytes: t.matrices(true).map(PackedMatrix::bytes).sum(),
            output_bytes: t.output.bytes(),
        }
    }

    /// Runs work on the model's own threads, as the probes of a benchmark do.
    pub fn with_compute<R>(&self, work: impl FnOnce(&mut Compute) -> R) -> R {
        work(&mut self.network.compute())
    }

    /// Arithmetic, instruction set and threads, for reports: `exact f32, avx2, 2 threads`.
    pub fn engine(&self) -> String {
        let arithmetic = match self.arithmetic() {
            Arithmetic::F32 => "exact f32".into(),
            Arithmetic::Bf16x3 => "exact bf16x3".into(),
            Arithmetic::Bits8 => format!("approximate: 8-bit activations ({MEASURED})"),
        };
        let compute = self.network.compute();
        let threads = compute.threads();
        format!("{arithmetic}, {}, {threads} thread{}", compute.backend().name(), if threads == 1 { "" } else { "s" })
    }

    /// How its products are computed: in f32, if its weights have nothing of the arithmetic it was to run in.
    pub fn arithmetic(&self) -> Arithmetic {
        self.network.compute().arithmetic()
    }

    /// A new session with its concrete type.
    pub fn local_session(&self) -> LocalSession {
        LocalSession::new(Arc::clone(&self.network))
    }
}

impl LanguageModel for LocalModel {
    fn vocab_size(&self) -> usize {
        self.network.transformer.config.vocab
    }

    fn context_length(&self) -> usize {
        self.network.transformer.config.context
    }

    fn end_tokens(&self) -> &[TokenId] {
        &self.end_tokens
    }

    fn bos(&self) -> Option<TokenId> {
        self.tokenizer.as_ref().and_then(Tokenizer::bos)
    }

    fn token_bytes(&self, id: TokenId) -> Cow<'_, [u8]> {
        self.tokenizer.as_ref().map_or(Cow::Borrowed(&[]), |t| t.token_bytes(id))
    }

    fn is_special(&self, id: TokenId) -> bool {
        self.tokenizer.as_ref().is_some_and(|t| t.is_special(id))
    }

    fn tokenize(&self, text: &str, parse_special: bool) -> Result<Vec<TokenId>, ModelError> {
        let tokenizer = self.tokenizer.as_ref().ok_or_else(|| ModelError::Tokenizer("the model has none".into()))?;
        tokenizer.encode(text, parse_special).map_err(|e| ModelError::Tokenizer(e.to_string()))
    }

    fn session(&self) -> Result<Box<dyn Session>, ModelError> {
        Ok(Box::new(self.local_session()))
    }
}
