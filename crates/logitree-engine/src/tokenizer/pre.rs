//! How text is cut into words before byte-level BPE merges within each.
//!
//! GGUF files name the rule in `tokenizer.ggml.pre`; the names are llama.cpp's. The patterns are
//! those of the models' published tokenizer.json, which are what the models were trained with;
//! those of `default` are llama.cpp's own.

use super::TokenizerError;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::SplitDelimiterBehavior;

/// Values of `tokenizer.ggml.pre` that are understood.
pub(super) const KNOWN: [&str; 8] = ["smollm", "llama-bpe", "llama3", "llama-v3", "qwen2", "gpt-2", "gpt2", "default"];

/// GPT-2's pattern, which `ByteLevel` also has built in.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
/// Llama 3: digits in groups of up to three.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Qwen 2 and 3: each digit alone.
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Whether the rule is that of Llama 3, which also takes whole words from the vocabulary before
/// trying merges.
pub(super) fn is_llama3(pre: &str) -> bool {
    matches!(pre, "llama-bpe" | "llama3" | "llama-v3")
}

/// Whether the text is put into Unicode normal form C first, as Qwen's tokenizer does.
/// (llama.cpp leaves that out; the published tokenizer is followed.)
pub(super) fn normalises(pre: &str) -> bool {
    pre == "qwen2"
}

/// The pre-tokenizer with this name; its words are in the byte alphabet.
pub(super) fn pre_tokenizer(pre: &str) -> Result<PreTokenizerWrapper, TokenizerError> {
    let steps = match pre {
        _ if is_llama3(pre) => vec![split(LLAMA3)?],
        "qwen2" => vec![split(QWEN2)?],
        "gpt-2" | "gpt2" => vec![split(GPT2)?],
        "smollm" => vec![PreTokenizerWrapper::Digits(Digits::new(true)), split(GPT2)?],
        "default" => {
            vec![split(r"[\p{P}\$\+<=>\^~\|]+")?, split(GPT2)?, split(r"\p{N}+")?, split("[0-9][0-9][0-9]")?]
        }
        _ => return Err(TokenizerError::UnknownPreTokenizer(pre.to_owned())),
    };
    let bytes = PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, false, false));
    Ok(PreTokenizerWrapper::Sequence(Sequence::new(steps.into_iter().chain([bytes]).collect())))
}

/// Longest run of white space that is surely cut right. The patterns look ahead from within such
/// runs; the regex engine remembers every position of one and gives up at a million, after which the
/// library takes the rest of the text for a single word without saying so.
pub(super) const LONGEST_SPACE: usize = 100_000;

/// Refuses text that the patterns might cut wrongly.
pub(super) fn check_space(text: &str) -> Result<(), TokenizerError> {
    let mut run = 0;
    let mut longest = 0;
    for c in text.chars() {
        run = if c.is_whitespace() { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    if longest > LONGEST_SPACE { Err(TokenizerError::TooMuchSpace(longest)) } else { Ok(()) }
}

fn split(pattern: &str) -> Result<PreTokenizerWrapper, TokenizerError> {
    let pattern = SplitPattern::Regex(pattern.to_owned());
    let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false);
    split.map(PreTokenizerWrapper::Split).map_err(|e| TokenizerError::Library(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

    fn words(pre: &str, text: &str) -> Vec<String> {
        let mut s = PreTokenizedString::from(text);
        pre_tokenizer(pre).unwrap().pre_tokenize(&mut s).unwrap();
        let splits = s.get_splits(OffsetReferential::Original, OffsetType::Byte);
        splits.into_iter().map(|(_, range, _)| text[range.0..range.1].to_owned()).collect()
    }

    #[test]
    fn every_known_name_has_a_rule_and_no_other_does() {
        for pre in KNOWN {
            assert_eq!(words(pre, "a b").concat(), "a b");
        }
        let error = pre_tokenizer("tekken").unwrap_err().to_string();
        assert!(error.contains("`tekken`") && error.contains("llama-bpe"), "{error}");
    }

    #[test]
    fn digits_are_grouped_as_each_family_does() {
        assert_eq!(words("smollm", "x 12345"), ["x", " ", "1", "2", "3", "4", "5"]);
        assert_eq!(words("qwen2", "x 12345"), ["x", " ", "1", "2", "3", "4", "5"]);
        assert_eq!(words("llama-bpe", "x 12345"), ["x", " ", "123", "45"]);
        assert_eq!(words("gpt-2", "x 12345"), ["x", " 12345"]);
        assert_eq!(words("default", "x 12345"), ["x", " ", "123", "45"]);
    }

    #[test]
    fn contractions_newlines_and_punctuation() {
        assert_eq!(words("gpt-2", "DON'T don't\n\n x!?"), ["DON", "'", "T", " don", "'t", "\n\n", " x", "!?"]);
        assert_eq!(words("llama-bpe", "DON'T don't\n\n x!?\n"), ["DON", "'T", " don", "'t", "\n\n", " x", "!?\n"]);
        assert_eq!(words("default", "a+=b c"), ["a", "+=", "b", " c"]);
    }

    #[test]
    fn long_runs_of_space_are_cut_right_or_refused() {
        let text = " ".repeat(LONGEST_SPACE) + "x  y";
        check_space(&text).unwrap();
        for pre in KNOWN {
            let lengths: Vec<usize> = words(pre, &text).iter().map(String::len).collect();
            assert_eq!(lengths, [LONGEST_SPACE - 1, 2, 1, 2], "{pre}");
        }
        let error = check_space(&(" ".to_owned() + &text)).unwrap_err();
        assert!(matches!(error, TokenizerError::TooMuchSpace(n) if n == LONGEST_SPACE + 1));
        // Many runs are no run.
        check_space(&"\n\nx".repeat(LONGEST_SPACE)).unwrap();
    }
}
