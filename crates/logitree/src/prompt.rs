//! What a model is to go on from: as it is given, and as the tokens that it becomes.

use crate::Model;
use crate::error::{Context, Error, ErrorKind, Result, fail};
use logitree_core::TokenId;
use logitree_core::run::{self, Message};
use logitree_engine::chat::{self, Arguments};

/// What the model is to go on from, as the user gives it.
#[derive(Clone, Debug, PartialEq)]
pub enum Given {
    /// A text as it is: names of control tokens in it are letters.
    Text(String),
    /// A text in which names of control tokens, such as `<start_of_turn>`, are these tokens.
    Special(String),
    /// A conversation, for the model's chat template, with the template's variables.
    Chat(Vec<Message>, Arguments),
}

impl From<&str> for Given {
    fn from(text: &str) -> Given {
        Given::Text(text.into())
    }
}

impl Given {
    /// Whether a run was given this; the date that its template saw counts only if one is asked for.
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

    /// What a run was given.
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

/// A prompt as the tokens that the model goes on from.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// What the user says, of a conversation the last message.
    pub text: String,
    /// All tokens, with the template's and with BOS.
    pub tokens: Vec<TokenId>,
    /// Whether the first token is a BOS that was put there.
    pub bos: bool,
    /// Whether names of control tokens in the text were taken as these tokens.
    pub special: bool,
    /// The conversation, if it is one.
    pub messages: Vec<Message>,
    /// The arguments for its template, with the date that it saw, if it asked for it.
    pub template_args: Arguments,
}

impl Prompt {
    /// As run files have it.
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
    /// A text as a prompt, with BOS in front if the model wants one. Names of control tokens in it are letters.
    ///
    /// # Errors
    /// If it is empty, is no text, or does not fit the model's context, or the tokenizer fails.
    pub fn prompt(&self, text: &str) -> Result<Prompt> {
        self.prepare(&text.into(), "")
    }

    /// A conversation in the model's chat template, ready for the model's answer.
    ///
    /// # Errors
    /// If the model has no template, or it does not accept these messages; or as for [`Model::prompt`].
    pub fn chat(&self, messages: &[Message]) -> Result<Prompt> {
        self.prepare(&Given::Chat(messages.to_vec(), Arguments::new()), "")
    }

    /// Tokens as a prompt, exactly these: a BOS that the model wants must be among them.
    ///
    /// # Errors
    /// If there are none, one is not in the vocabulary, or they do not fit the model's context.
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

    /// Refuses a prompt of so many tokens if the model's context is smaller.
    fn check_length(&self, tokens: usize) -> Result<()> {
        let limit = self.context_length();
        if tokens > limit {
            fail!(Input, "the prompt has {tokens} tokens but the model's context is {limit}: shorten it");
        }
        Ok(())
    }

    /// Tokens of what is given, in the chat template if it is a conversation, with BOS if the model wants it; `suffix` goes
    /// behind what the template wrote.
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

    /// Says what becomes of names of control tokens in a prompt, if it has any, as a note.
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

    /// Strings to watch, as tokens; none may be empty. A special token's name means that token.
    ///
    /// # Errors
    /// If one is empty, is no text, or is nothing in this model's vocabulary.
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

/// The same words, about this parameter.
fn about(parameter: &'static str, e: &Error) -> Error {
    Error::new(ErrorKind::Parameter(parameter), e.to_string())
}

/// Refuses what cannot be a prompt; `what` names it in errors.
///
/// # Errors
/// If it is empty or has a NUL character.
pub fn check_text(text: &str, what: &str) -> Result<()> {
    if text.is_empty() {
        fail!(Input, "{what} is empty");
    }
    if let Some(at) = text.find('\0') {
        fail!(Input, "{what} has a NUL character at byte {at}: is it text?");
    }
    Ok(())
}

/// Ids of watched strings.
pub fn watched_ids(watch: &[run::Watch]) -> Vec<Vec<TokenId>> {
    watch.iter().map(|w| w.tokens.iter().map(|t| t.id).collect()).collect()
}
