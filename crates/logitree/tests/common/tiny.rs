/// A folder with a tiny random Gemma 3 and its tokenizer, whose texts mean nothing. It is removed with the value.
pub fn tiny_model() -> tempfile::TempDir {
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tiny");
    let folder = tempfile::tempdir().unwrap();
    for file in ["gemma3/config.json", "gemma3/model.safetensors", "tokenizer/tokenizer.json"] {
        let from = fixtures.join(file);
        std::fs::copy(&from, folder.path().join(from.file_name().unwrap())).unwrap();
    }
    folder
}
