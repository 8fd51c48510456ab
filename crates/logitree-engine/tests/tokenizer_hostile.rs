//! Tokenizers made of arbitrary metadata.

use logitree_core::TokenId;
use logitree_engine::tokenizer::{GgufVocabulary, Tokenizer};
use proptest::prelude::*;

/// All tokens' bytes joined.
fn bytes(tokenizer: &Tokenizer, ids: &[TokenId]) -> Vec<u8> {
    ids.iter().flat_map(|&id| tokenizer.token_bytes(id).into_owned()).collect()
}

proptest! {
    /// Whatever the metadata says, there is an answer or an error, and no text is lost.
    #[test]
    fn vocabularies(
        entries in prop::collection::vec(("[ab▁ é<>]{0,4}|<0x[0-9A-F]{2}>", -3i8..3, 0i32..7), 0..24),
        merges in prop::collection::vec("[abé]{0,2} ?[abé]{0,2}", 0..6),
        text in "[abé ▁<>x]{0,24}",
        spm in any::<bool>(),
        parse_special in any::<bool>(),
        space in any::<bool>(),
    ) {
        let tokenizer = Tokenizer::from_gguf(GgufVocabulary {
            model: if spm { "llama" } else { "gpt2" },
            pre: Some("gpt-2"),
            tokens: entries.iter().map(|e| e.0.as_bytes()).collect(),
            scores: Some(entries.iter().map(|e| e.1.into()).collect()),
            types: Some(entries.iter().map(|e| e.2).collect()),
            merges: Some(merges.iter().map(String::as_str).collect()),
            add_space_prefix: Some(space),
            ..Default::default()
        });
        let Ok(t) = tokenizer else { return Ok(()) };
        let Ok(ids) = t.encode(&text, parse_special) else { return Ok(()) };
        prop_assert!(ids.iter().all(|id| id.index() < entries.len()));
        if ids.iter().any(|id| entries[id.index()].2 == 2) || spm && space {
            return Ok(());
        }
        let (found, text) = (bytes(&t, &ids), if spm { text.replace('▁', " ") } else { text });
        let found = if spm { String::from_utf8_lossy(&found).replace('▁', " ").into_bytes() } else { found };
        prop_assert_eq!(found, text.into_bytes());
    }
}
