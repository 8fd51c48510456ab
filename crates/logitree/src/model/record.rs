//! What a run file says of its model, and the check whether a model is the one that made a run.

use super::{Engine, Model};
use crate::error::{Result, fail};
use crate::models;
use logitree_core::sampled::Sampled;
use logitree_core::sampling::Sampler;
use logitree_core::{Exactness, LanguageModel, Session, run};
use logitree_engine::{Arithmetic, SUMMATION_ORDER};

impl Model {
    /// The description of the model in a run file. The weights of a server cannot be hashed, so its hash is made from
    /// what the server says it is.
    ///
    /// # Errors
    /// If the tokenizer's file cannot be read.
    pub fn record(&self) -> Result<run::Model> {
        if let Some(record) = self.inner.record.get() {
            return Ok(record.clone());
        }
        let record = self.make_record()?;
        Ok(self.inner.record.get_or_init(|| record).clone())
    }

    fn make_record(&self) -> Result<run::Model> {
        let model = match &self.inner.engine {
            Engine::Local(model) => model,
            #[cfg(feature = "remote")]
            Engine::Remote(remote) => return Ok(remote.record(self.name())),
            Engine::Custom(_, record) => return Ok((**record).clone()),
        };
        let weights = model.weights();
        let tokenizer = weights.path().join("tokenizer.json");
        let own_tokenizer = weights.gguf().is_none() && tokenizer.is_file();
        Ok(run::Model {
            name: self.name().into(),
            sha256: models::weights_sha256(weights),
            architecture: model.config().architecture.clone(),
            dtype: weights.quantisation(),
            tokenizer: model.tokenizer().map_or("none", |t| t.kind()).into(),
            tokenizer_sha256: if own_tokenizer { Some(models::sha256(&tokenizer)?) } else { None },
            vocab: model.vocab_size(),
            context: model.context_length(),
            end_tokens: model.end_tokens().to_vec(),
            arithmetic: match model.arithmetic() {
                Arithmetic::F32 => None,
                other => Some(other.name().into()),
            },
            summation_orders: vec![SUMMATION_ORDER],
        })
    }

    /// Refuses to compare a run that another model made. `what` names the run in messages. Sums in another order are no
    /// reason; [`Model::check_continuable`] looks at them.
    ///
    /// # Errors
    /// If another model made the run, or the same one in another arithmetic or in an order of sums that this version
    /// does not know, or the weights cannot be read.
    pub fn check_made(&self, what: &str, recorded: &run::Model) -> Result<()> {
        let now = self.record()?;
        if recorded.sha256 != now.sha256 {
            fail!(
                Conflict,
                "{what} was made with other weights (sha256 {}, not {}): name the right model with `model`",
                recorded.sha256,
                now.sha256
            );
        }
        if recorded.arithmetic != now.arithmetic {
            let [was, is] = [recorded, &now].map(|m| m.arithmetic.as_deref().unwrap_or(Arithmetic::F32.name()));
            refuse_arithmetic(what, was, is)?;
        }
        check_known_order(what, recorded, &now)?;
        let kind = |m: &run::Model| (m.vocab, m.tokenizer.clone(), m.tokenizer_sha256.clone());
        if kind(recorded) != kind(&now) {
            fail!(
                Conflict,
                "{what} was made with another tokenizer ({}, {} tokens; this is {}, {}, with another content or size): name the right model with `model`",
                recorded.tokenizer,
                recorded.vocab,
                now.tokenizer,
                now.vocab
            );
        }
        Ok(())
    }

    /// Refuses to continue a run that another model made. `what` names the run in messages.
    ///
    /// A run whose sums had another order is gone on with: exact numbers of two orders differ in their last bits only,
    /// and the file says that it has both. Activations rounded to 8 bits are another matter, as a different last bit
    /// rounds some of them to another number, and what follows differs as much as approximate numbers are off.
    ///
    /// # Errors
    /// As for [`Model::check_made`], or if the run is approximate and its sums had another order.
    pub fn check_continuable(&self, what: &str, recorded: &run::Model) -> Result<()> {
        self.check_made(what, recorded)?;
        if let Some(order) = self.other_order(recorded)?
            && recorded.arithmetic.as_deref() == Some(Arithmetic::Bits8.name())
        {
            fail!(
                Conflict,
                "{what} was made with 8-bit activations and order {order} of sums, and this version has order {SUMMATION_ORDER}: rounded numbers of two orders do not fit together; begin it anew, or go on with the version that made it"
            );
        }
        Ok(())
    }

    /// An order of sums, other than the model's own, in which steps of a run of this model were computed.
    ///
    /// # Errors
    /// As for [`Model::record`].
    pub(crate) fn other_order(&self, recorded: &run::Model) -> Result<Option<u32>> {
        let now = self.record()?;
        Ok(recorded.orders().iter().copied().find(|order| !now.orders().contains(order)))
    }

    /// Opens an empty session that gives the distributions which a run has: the model's own, or those of the run's
    /// sampler.
    ///
    /// # Errors
    /// If the run has a sampler's distributions, and the model is on servers; or the engine cannot open a session.
    pub(crate) fn session_of(&self, header: &run::Header) -> Result<Box<dyn Session>> {
        let sampler = header.sampler();
        self.check_sampler(sampler)?;
        let session = self.session()?;
        Ok(match sampler {
            Some(sampler) => Box::new(Sampled::new(session, sampler)),
            None => session,
        })
    }

    /// Refuses a sampler's own distributions where the model does not give all logits.
    ///
    /// # Errors
    /// If there is a sampler, and the model is on servers.
    pub(crate) fn check_sampler(&self, sampler: Option<Sampler>) -> Result<()> {
        match sampler {
            Some(sampler) if self.exactness() != Exactness::Exact => fail!(
                Unsupported,
                "a sampler's own distribution ({sampler}) needs the logits of all tokens, and servers list only some: \
                 name a model with -m in place of --engine, or leave the sampler out"
            ),
            _ => Ok(()),
        }
    }
}

/// Refuses a run whose sums have an order that is newer than all that this version knows.
fn check_known_order(what: &str, recorded: &run::Model, now: &run::Model) -> Result<()> {
    match recorded.orders().iter().max() {
        Some(order) if Some(order) > now.orders().iter().max() => fail!(
            Input,
            "{what} was made with sums in order {order}, and this version knows orders up to {SUMMATION_ORDER}: update logitree"
        ),
        _ => Ok(()),
    }
}

fn refuse_arithmetic(what: &str, was: &str, is: &str) -> Result<()> {
    fail!(
        Conflict,
        "{what} was made with {was} activations, and this model runs with {is} ones: start with `arithmetic` {was}"
    )
}

/// Whether a run was made by servers instead of a model in the process.
fn is_remote(recorded: &run::Model) -> bool {
    recorded.architecture == run::REMOTE
}

/// The arithmetic in which a run was made; `None` if servers made it. `what` names the run in messages.
///
/// # Errors
/// If this version does not know the arithmetic.
pub fn arithmetic_of(what: &str, recorded: &run::Model) -> Result<Option<Arithmetic>> {
    if is_remote(recorded) {
        return Ok(None);
    }
    let name = recorded.arithmetic.as_deref().unwrap_or(Arithmetic::F32.name());
    match name.parse() {
        Ok(arithmetic) => Ok(Some(arithmetic)),
        Err(_) => fail!(Input, "{what} was made with {name} activations, which this version does not know"),
    }
}

/// Refuses to continue a run in another arithmetic than it was made in.
///
/// # Errors
/// If the run was made in another arithmetic, or in one that this version does not know.
pub fn check_arithmetic(what: &str, recorded: &run::Model, asked: Arithmetic) -> Result<()> {
    match arithmetic_of(what, recorded)? {
        Some(made_in) if made_in != asked => refuse_arithmetic(what, made_in.name(), asked.name()),
        _ => Ok(()),
    }
}
