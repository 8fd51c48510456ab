//! Any bytes as a GGUF file: opened, every tensor looked at, configuration and tokenizer made.
#![no_main]

use libfuzzer_sys::fuzz_target;
use logitree_engine::tokenizer_of;
use logitree_engine::weights::{Role, Weights};

fuzz_target!(|data: &[u8]| {
    // The reader maps files; one per process, in memory where the system has such a place.
    let folder = if std::path::Path::new("/dev/shm").is_dir() { "/dev/shm".into() } else { std::env::temp_dir() };
    let path = folder.join(format!("logitree-fuzz-{}.gguf", std::process::id()));
    std::fs::write(&path, data).expect("write the input");
    if let Ok(weights) = Weights::open(&path) {
        let _ = weights.config();
        let _ = weights.end_tokens();
        let _ = weights.parameters();
        for role in [Role::TokenEmbedding, Role::Output, Role::OutputNorm] {
            let _ = weights.tensor(role, None).map(|t| t.data.len());
        }
        if let Ok(tokenizer) = tokenizer_of(&weights) {
            let _ = tokenizer.encode("Hello <eos> \u{2581} wörld\n\n", true);
        }
    }
});
