//! Cuts text into words, before byte-level BPE merges within each word.
//!
//! GGUF files give the rule's name in `tokenizer.ggml.pre`; the names are llama.cpp's. The patterns are those of the
//! models' published tokenizer.json, with which the models were trained; only those of `default` are llama.cpp's own.

use crate::tokenizer::error::{LONGEST_SPACE, TokenizerError};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::SplitDelimiterBehavior;

/// GPT-2's pattern. The library's `ByteLevel` has the same one built in.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
/// Llama 3's pattern cuts digits into groups of up to three.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// The pattern of Qwen 2 and 3 is Llama 3's with each digit on its own.
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Qwen 3.5's pattern is Qwen 2's, but keeps combining marks (`\p{M}`) together with letters.
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// The pattern of Mistral's Tekken also ends a word where a capital letter follows a small one.
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// The pattern of OpenAI's o200k and Llama 4 is Tekken's, but keeps contractions with the word before them and groups
/// digits by three.
const O200K: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// The last pattern of DeepSeek 3, which first cuts off digits in groups of three, and runs of Chinese and Japanese.
const DEEPSEEK3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;
/// Seed-Coder's pattern is Qwen 2's, but never joins line ends to punctuation.
const SEED_CODER: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+";

/// A rule for cutting text, with its names in GGUF files.
#[derive(Debug)]
pub(in crate::tokenizer) struct Rule {
    names: &'static [&'static str],
    /// Whether each digit is cut off on its own before the patterns are applied.
    digits: bool,
    patterns: &'static [&'static str],
    /// Whether a word that is a token becomes that token without trying merges.
    pub(in crate::tokenizer) whole_words: bool,
    /// Whether texts start with BOS if the file does not say so or otherwise.
    pub(in crate::tokenizer) bos: bool,
    /// Whether the text is first converted to Unicode normal form C, as in Qwen's published tokenizer. (llama.cpp does
    /// not do this.)
    pub(in crate::tokenizer) normalises: bool,
}

/// A rule with patterns and no other settings.
const fn plain(names: &'static [&'static str], patterns: &'static [&'static str]) -> Rule {
    Rule { names, digits: false, patterns, whole_words: false, bos: false, normalises: false }
}

const RULES: [Rule; 14] = [
    Rule {
        whole_words: true,
        bos: true,
        ..plain(&["llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral", "midm-2.0", "lfm2"], &[LLAMA3])
    },
    Rule { whole_words: true, ..plain(&["glm4", "glm5"], &[LLAMA3]) },
    plain(&["dbrx", "smaug-bpe", "chatglm-bpe"], &[LLAMA3]),
    Rule { whole_words: true, bos: true, ..plain(&["tekken"], &[TEKKEN]) },
    plain(&["gpt-4o", "llama4"], &[O200K]),
    Rule { normalises: true, ..plain(&["qwen2", "deepseek-r1-qwen"], &[QWEN2]) },
    Rule { normalises: true, ..plain(&["qwen35"], &[QWEN35]) },
    plain(&["stablelm2", "megrez", "kormo", "hunyuan"], &[QWEN2]),
    plain(&["seed-coder"], &[SEED_CODER]),
    plain(
        &[
            "gpt-2",
            "gpt2",
            "phi-2",
            "olmo",
            "jais",
            "mpt",
            "trillion",
            "exaone4",
            "granite-docling",
            "gigachat",
            "mellum",
        ],
        &[GPT2],
    ),
    Rule {
        digits: true,
        ..plain(&["smollm", "refact", "starcoder", "command-r", "codeshell", "exaone", "minerva-7b"], &[GPT2])
    },
    plain(
        &["deepseek-v3", "hunyuan-dense"],
        &[r"\p{N}{1,3}", "[\u{4E00}-\u{9FA5}\u{3040}-\u{309F}\u{30A0}-\u{30FF}]+", DEEPSEEK3],
    ),
    plain(
        &["deepseek-coder"],
        &["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[\u{4E00}-\u{9FA5}\u{0800}-\u{4E00}\u{AC00}-\u{D7FF}]+", r"\p{N}"],
    ),
    plain(&["default"], &[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"]),
];

/// Supported values of `tokenizer.ggml.pre`.
fn known() -> impl Iterator<Item = &'static str> {
    RULES.iter().flat_map(|rule| rule.names).copied()
}

impl Rule {
    /// The rule with this name.
    pub(in crate::tokenizer) fn named(name: &str) -> Result<&'static Rule, TokenizerError> {
        let found = RULES.iter().find(|rule| rule.names.contains(&name));
        found.ok_or_else(|| {
            let known = known().collect::<Vec<_>>().join(", ");
            TokenizerError::UnknownPreTokenizer { name: name.to_owned(), known }
        })
    }

    /// The rule as a pre-tokenizer of the library. Its words are written in the byte alphabet.
    pub(super) fn pre_tokenizer(&self) -> tokenizers::Result<PreTokenizerWrapper> {
        let digits = self.digits.then(|| Ok(PreTokenizerWrapper::Digits(Digits::new(true))));
        let bytes = PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, false, false));
        let steps = digits.into_iter().chain(self.patterns.iter().map(|p| split(p))).chain([Ok(bytes)]);
        Ok(PreTokenizerWrapper::Sequence(Sequence::new(steps.collect::<tokenizers::Result<_>>()?)))
    }
}

/// Refuses text with a run of white space that is longer than [`LONGEST_SPACE`].
pub(in crate::tokenizer) fn check_space(text: &str) -> Result<(), TokenizerError> {
    let mut run = 0;
    let mut longest = 0;
    for c in text.chars() {
        run = if c.is_whitespace() { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    if longest > LONGEST_SPACE { Err(TokenizerError::TooMuchSpace(longest)) } else { Ok(()) }
}

fn split(pattern: &str) -> tokenizers::Result<PreTokenizerWrapper> {
    let pattern = SplitPattern::Regex(pattern.to_owned());
    Split::new(pattern, SplitDelimiterBehavior::Isolated, false).map(PreTokenizerWrapper::Split)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

    fn words(pre: &str, text: &str) -> Vec<String> {
        let mut s = PreTokenizedString::from(text);
        Rule::named(pre).unwrap().pre_tokenizer().unwrap().pre_tokenize(&mut s).unwrap();
        let splits = s.get_splits(OffsetReferential::Original, OffsetType::Byte);
        splits.into_iter().map(|(_, range, _)| text[range.0..range.1].to_owned()).collect()
    }

    #[test]
    fn every_known_name_has_a_rule_and_no_other_does() {
        for pre in known() {
            assert_eq!(words(pre, "a b").concat(), "a b");
        }
        let error = Rule::named("kimi-k2").unwrap_err().to_string();
        assert!(error.contains("`kimi-k2`") && error.contains("llama-bpe"), "{error}");
    }

    #[test]
    fn words_are_those_of_the_published_expressions() {
        // The expected words were computed with another regex library: fixtures/make_pre_tokenizer_goldens.py.
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tokenizers/words.json");
        let golden: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let texts = golden["texts"].as_array().unwrap();
        for (name, expected) in golden["rules"].as_object().unwrap() {
            for (text, expected) in texts.iter().zip(expected.as_array().unwrap()) {
                let text = text.as_str().unwrap();
                let expected: Vec<&str> = expected.as_array().unwrap().iter().map(|w| w.as_str().unwrap()).collect();
                assert_eq!(words(name, text), expected, "{name}: {text:?}");
            }
        }
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
        for pre in known() {
            let lengths: Vec<usize> = words(pre, &text).iter().map(String::len).collect();
            assert_eq!(lengths, [LONGEST_SPACE - 1, 2, 1, 2], "{pre}");
        }
        let error = check_space(&(" ".to_owned() + &text)).unwrap_err();
        assert!(matches!(error, TokenizerError::TooMuchSpace(n) if n == LONGEST_SPACE + 1));
        // The limit is for a single run of white space, not for all white space together.
        check_space(&"\n\nx".repeat(LONGEST_SPACE)).unwrap();
    }
}
