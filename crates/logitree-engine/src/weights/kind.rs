//! Recognises files that hold something other than a model that gives next-token distributions.

use super::gguf::Gguf;

const PROJECTOR: &str = "the image or audio projector that comes beside a model; give the model's own .gguf file";
const DRAFT: &str = "a draft head, which needs the states of the large model that it was made for; give that model";
const ENCODER: &str = "an encoder, which gives no next-token distributions; use a generative model";
const DIFFUSION: &str = "a diffusion model, which does not write token after token; use another model";
const SPEECH: &str = "a speech model; use a model of text";

/// Architectures of such files. Names are those of GGUF files; those of config.json are the same with underscores in
/// place of hyphens.
const NAMES: [(&str, &str); 38] = [
    ("clip", PROJECTOR),
    ("mmproj", PROJECTOR),
    ("gemma4-assistant", DRAFT),
    ("gemma4-unified-assistant", DRAFT),
    ("eagle3", DRAFT),
    ("dflash", DRAFT),
    ("bert", ENCODER),
    ("nomic-bert", ENCODER),
    ("nomic-bert-moe", ENCODER),
    ("jina-bert", ENCODER),
    ("jina-bert-v2", ENCODER),
    ("jina-bert-v3", ENCODER),
    ("modern-bert", ENCODER),
    ("modernbert", ENCODER),
    ("neo-bert", ENCODER),
    ("eurobert", ENCODER),
    ("roberta", ENCODER),
    ("xlm-roberta", ENCODER),
    ("distilbert", ENCODER),
    ("gemma-embedding", ENCODER),
    ("embedding-gemma2", ENCODER),
    ("llama-embed", ENCODER),
    ("t5", ENCODER),
    ("mt5", ENCODER),
    ("umt5", ENCODER),
    ("t5encoder", ENCODER),
    ("t5gemma", ENCODER),
    ("t5gemma2", ENCODER),
    ("llada", DIFFUSION),
    ("llada-moe", DIFFUSION),
    ("llada2", DIFFUSION),
    ("dream", DIFFUSION),
    ("rnd1", DIFFUSION),
    ("diffusion-gemma", DIFFUSION),
    ("wavtokenizer-dec", SPEECH),
    ("pockettts", SPEECH),
    ("qwen3tts", SPEECH),
    ("qwen3-tts", SPEECH),
];

/// Describes an architecture that is not a generative text model, with advice for the user; `None` if it may be one.
pub(crate) fn of_architecture(name: &str) -> Option<&'static str> {
    let name = name.replace('_', "-");
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, what)| *what)
}

/// Describes a GGUF file that is not a model: the metadata key that tells, and a description with advice for the user.
pub(crate) fn other_than_model(g: &Gguf) -> Option<(String, &'static str)> {
    let kind = match g.str("general.type") {
        Some("mmproj") => Some(PROJECTOR),
        Some("adapter") => Some("an adapter (LoRA), which changes another model; give a whole model"),
        Some("imatrix") => Some("an importance matrix, made for quantising; give the model's own .gguf file"),
        _ => None,
    };
    if let Some(what) = kind {
        return Some(("general.type".into(), what));
    }
    let arch = g.str("general.architecture")?;
    if let Some(what) = of_architecture(arch) {
        return Some(("general.architecture".into(), what));
    }
    let pooling = format!("{arch}.pooling_type");
    if g.u64(&pooling).is_some_and(|kind| kind > 0) {
        return Some((pooling, "a model of embeddings, not of next tokens; use a generative model"));
    }
    let causal = format!("{arch}.attention.causal");
    if g.bool(&causal) == Some(false) {
        return Some((causal, ENCODER));
    }
    let empty = g.tensor_names().next().is_none();
    empty.then(|| ("tensors".into(), "a vocabulary without weights; give the model's own .gguf file"))
}
