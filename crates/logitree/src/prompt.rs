//! What a model continues: as the user gives it, and as tokens.

use crate::Model;
use crate::error::{Context, Error, ErrorKind, Result, fail};
use logitree_core::TokenId;
use logitree_core::run::{self, Message};
use logitree_engine::chat::{self, Arguments};

/// What the model is to continue, as the user gives it.
#[derive(Clone, Debug, PartialEq)]
pub enum Given {
    /// A plain text: names of control tokens in it are ordinary letters.
    Text(String),
    /// A text in which names of control tokens, such as `<start_of_turn>`, become these tokens.
    Special(String),
    /// A conversation for the model's chat template, and the template's variables.
    Chat(Vec<Message>, Arguments),
}

impl From<&str> for Given {
    fn from(text: &str) -> Given {
        Given::Text(text.into())
    }
}

impl Given {
    /// Whether a run has this prompt. The date that its template saw is compared only if a date is given here.
    pub fn is_of(&self, prompt: &run::Prompt) -> bool {
        match (self, Given::of(prompt)) {
            (Given::Chat(messages, arguments), Given::Chat(recorded, mut seen)) => {
                if !arguments.contains_key(chat::DATE) {
                    seen.remove(chat::DATE);
                }
                *messages == recorded && *arguments == seen
            }
            (given, recorded) => *given == recorded,
        }
    }

    /// What the user gave for a run.
    pub fn of(prompt: &run::Prompt) -> Given {
        match prompt {
            run::Prompt { chat: true, messages, template_args, .. } => {
                Given::Chat(messages.clone(), template_args.clone())
            }
            run::Prompt { special: true, text, .. } => Given::Special(text.clone()),
            run::Prompt { text, .. } => Given::Text(text.clone()),
        }
    }
}

/// A prompt as tokens, ready for the model.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// The user's text; of a conversation, the last message.
    pub text: String,
    /// All tokens, with those of the template and BOS.
    pub tokens: Vec<TokenId>,
    /// Whether the first token is a BOS that was added.
    pub bos: bool,
    /// Whether names of control tokens in the text became these tokens.
    pub special: bool,
    /// The messages, if the prompt is a conversation.
    pub messages: Vec<Message>,
    /// The arguments of the template, with the current date if the template asked for it.
    pub template_args: Arguments,
}

impl Prompt {
    /// The prompt as it is written in run files.
    pub(crate) fn record(&self, model: &Model) -> run::Prompt {
        let Prompt { text, tokens, bos, special, messages, template_args } = self.clone();
        run::Prompt {
            text,
            tokens: tokens.iter().map(|&t| model.token(t)).collect(),
            bos,
            chat: !messages.is_empty(),
            special,
            messages,
            template_args,
        }
    }
}

impl Model {
    /// Makes a prompt from a text, with BOS in front if the model wants it. Names of control tokens in it are ordinary
    /// letters.
    ///
    /// # Errors
    /// If the text is empty, contains a NUL character, or does not fit the model's context, or the tokenizer fails.
    pub fn prompt(&self, text: &str) -> Result<Prompt> {
        self.prepare(&text.into(), "")
    }

    /// Makes a prompt from a conversation with the model's chat template, ready for the model's answer.
    ///
    /// # Errors
    /// If the model has no template, or the template does not accept these messages; or as for [`Model::prompt`].
    pub fn chat(&self, messages: &[Message]) -> Result<Prompt> {
        self.prepare(&Given::Chat(messages.to_vec(), Arguments::new()), "")
    }

    /// Makes a prompt from exactly these tokens. If the model wants BOS, it must be among them.
    ///
    /// # Errors
    /// If there are no tokens, one is not in the vocabulary, or they do not fit the model's context.
    pub fn prompt_of_tokens(&self, tokens: &[TokenId]) -> Result<Prompt> {
        if tokens.is_empty() {
            fail!(Parameter("prompt"), "`prompt` has no tokens");
        }
        if let Some(&id) = tokens.iter().find(|id| id.index() >= self.vocab_size()) {
            return Err(logitree_core::ModelError::UnknownToken { id, vocab: self.vocab_size() }.into());
        }
        self.check_length(tokens.len())?;
        Ok(Prompt {
            text: self.text_of(tokens.iter().copied()),
            tokens: tokens.to_vec(),
            bos: self.bos().is_some_and(|bos| tokens.first() == Some(&bos)),
            special: true,
            messages: Vec::new(),
            template_args: Arguments::new(),
        })
    }

    /// Refuses a prompt with more tokens than the model's context.
    fn check_length(&self, tokens: usize) -> Result<()> {
        let limit = self.context_length();
        if tokens > limit {
            fail!(Input, "the prompt has {tokens} tokens but the model's context is {limit}: shorten it");
        }
        Ok(())
    }

    /// Makes a prompt from what the user gave, using the chat template for a conversation, with BOS if the model wants
    /// it. `suffix` is appended to what the user gave, after the text that the template wrote.
    ///
    /// # Errors
    /// As for [`Model::prompt`] and [`Model::chat`].
    pub fn prepare(&self, given: &Given, suffix: &str) -> Result<Prompt> {
        let bos = self.bos();
        let special = matches!(given, Given::Special(_));
        let (text, body, messages, template_args) = match given {
            Given::Text(text) | Given::Special(text) => {
                check_text(text, "the prompt").map_err(|e| about("prompt", &e))?;
                let body = self.body(&format!("{text}{suffix}"), special)?;
                (text.clone(), body, Vec::new(), Arguments::new())
            }
            Given::Chat(messages, arguments) => {
                for m in messages {
                    check_text(&m.content, &format!("the {} message", m.role)).map_err(|e| about("messages", &e))?;
                }
                let last = messages.last().filter(|m| m.role == "user");
                let last = last.context("a conversation must end with what the user says")?;
                let (body, arguments) = self.lay_out(messages, arguments, suffix)?;
                (last.content.clone(), body, messages.clone(), arguments)
            }
        };
        let tokens: Vec<TokenId> = bos.into_iter().chain(body).collect();
        self.check_length(tokens.len())?;
        Ok(Prompt { text, tokens, bos: bos.is_some(), special, messages, template_args })
    }

    /// If a prompt contains names of control tokens, sends a note that says how they are treated.
    pub fn note_names(&self, given: &Given, suffix: &str) {
        let (texts, taken) = match given {
            Given::Special(_) => return,
            Given::Text(text) => (format!("{text}{suffix}"), false),
            Given::Chat(messages, _) => (messages.iter().map(|m| &m.content[..]).collect::<Vec<_>>().join("\n"), true),
        };
        let names = self.control_names(&texts);
        if names.is_empty() {
            return;
        }
        let names = names.join(", ");
        self.events().note(&if taken {
            format!("the prompt names control tokens ({names}): in a conversation they are these tokens")
        } else {
            format!(
                "the text names control tokens ({names}), which are taken as letters: `special` takes them as tokens"
            )
        });
    }

    /// Converts strings to watch to tokens. The name of a special token means that token.
    ///
    /// # Errors
    /// If a string is empty, contains a NUL character, or has no tokens in this model.
    pub fn watch(&self, texts: &[String]) -> Result<Vec<run::Watch>> {
        let watch = |text: &String| {
            check_text(text, "`watch`").map_err(|e| about("watch", &e))?;
            let ids = self.tokenize(text, true)?;
            if ids.is_empty() {
                fail!(Parameter("watch"), "`watch` {text:?} is nothing in this model's vocabulary");
            }
            Ok(run::Watch { text: text.clone(), tokens: ids.into_iter().map(|id| self.token(id)).collect() })
        };
        texts.iter().map(watch).collect()
    }
}

/// The same message as an error about this parameter.
fn about(parameter: &'static str, e: &Error) -> Error {
    Error::new(ErrorKind::Parameter(parameter), e.to_string())
}

/// Refuses a text that cannot be a prompt; `what` names it in errors.
///
/// # Errors
/// If the text is empty or contains a NUL character.
pub fn check_text(text: &str, what: &str) -> Result<()> {
    if text.is_empty() {
        fail!(Input, "{what} is empty");
    }
    if let Some(at) = text.find('\0') {
        fail!(Input, "{what} has a NUL character at byte {at}: is it text?");
    }
    Ok(())
}

/// The first token of each watched string: what can be said of it at a single place.
pub fn first_ids(watch: &[run::Watch]) -> impl Iterator<Item = TokenId> {
    watch.iter().filter_map(|w| w.tokens.first()).map(|t| t.id)
}

/// The token ids of watched strings.
pub fn watched_ids(watch: &[run::Watch]) -> Vec<Vec<TokenId>> {
    watch.iter().map(|w| w.tokens.iter().map(|t| t.id).collect()).collect()
}
