//! Converts conversations to tokens.

use crate::error::Result;
use logitree_core::TokenId;
use logitree_core::run::Message;
use logitree_engine::chat::{Arguments, ChatTemplate};
use logitree_engine::tokenizer::Tokenizer;

/// Renders a conversation with its chat template and splits the text into tokens.
pub fn lay_out(
    template: &ChatTemplate,
    tokenizer: &Tokenizer,
    messages: &[Message],
    arguments: &Arguments,
    suffix: &str,
) -> Result<(Vec<TokenId>, Arguments)> {
    let rendered = template.render(messages, arguments, true)?;
    Ok((tokenizer.encode_chat(&(rendered.text + suffix))?, rendered.arguments))
}
