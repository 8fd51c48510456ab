//! Every fuzz target on its seeds and on simple changes of them: what a fuzzer would find within seconds is found here.

#[path = "../../../fuzz/src/lib.rs"]
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use targets::{TARGETS, Target};

/// Changed inputs for each target, unless `LOGITREE_FUZZ_INPUTS` says how many.
const CHANGED: usize = 2000;

/// What readers of numbers, texts and nested things trip over.
const WORDS: [&[u8]; 28] = [
    b"0",
    b"-1",
    b"1e999",
    b"-0.0",
    b"NaN",
    b"null",
    b"true",
    b"\"\"",
    b"[]",
    b"{}",
    b"4294967295",
    b"18446744073709551615",
    b"9223372036854775808",
    b"1e-320",
    b"[[[[[[[[",
    b"{{",
    b"}}",
    b"{%",
    b"%}",
    b"\n",
    b"\r\n",
    b"\"",
    b"\\ud800",
    b"\xff",
    b"\0\0\0\0",
    b"\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\xe2\x96\x81",
    b",",
];

/// Numbers that are the same in every run (xorshift).
struct Dice(u64);

impl Dice {
    /// A number below `n`, which is not 0.
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

/// One to four changes: of a bit, a byte or a number, by a word or a part of another seed, of length or order.
fn changed(seeds: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut input = seeds[dice.below(seeds.len())].clone();
    for _ in 0..=dice.below(4) {
        let at = dice.below(input.len() + 1);
        let end = (at + 1 + dice.below(24)).min(input.len());
        let rest = at..end.max(at);
        match dice.below(8) {
            0 if at < input.len() => input[at] ^= 1 << dice.below(8),
            1 if at < input.len() => input[at] = b"0919-.eE\"{}[],: "[dice.below(16)],
            2 => drop(input.splice(at..at, WORDS[dice.below(WORDS.len())].iter().copied())),
            3 => drop(input.splice(rest, WORDS[dice.below(WORDS.len())].iter().copied())),
            4 => drop(input.drain(rest)),
            5 => {
                let twice = input[rest].to_vec();
                drop(input.splice(at..at, twice));
            }
            6 => {
                let other = &seeds[dice.below(seeds.len())];
                let from = dice.below(other.len() + 1);
                let part = other[from..(from + dice.below(200)).min(other.len())].to_vec();
                drop(input.splice(at..at, part));
            }
            // A whole number in the text: another one.
            _ => {
                let digits = input[at..].iter().position(u8::is_ascii_digit).map(|i| at + i);
                if let Some(start) = digits {
                    let more = input[start..].iter().take_while(|b| b.is_ascii_digit()).count();
                    let number = [0, 1, 2, 3, 7, 255, 65536, u32::MAX as usize][dice.below(8)].to_string();
                    drop(input.splice(start..start + more, number.into_bytes()));
                }
            }
        }
    }
    input
}

fn check((name, target): Target) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/fuzz").join(name);
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let seeds: Vec<Vec<u8>> = files.iter().map(|f| std::fs::read(f).unwrap()).collect();
    let accepted = seeds.iter().filter(|seed| target(seed)).count();
    // What refuses all its seeds tests nothing.
    assert!(accepted > 0, "{name}: no seed is accepted");
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut accepted = 0;
    let inputs = std::env::var("LOGITREE_FUZZ_INPUTS").map_or(CHANGED, |n| n.parse().unwrap());
    for i in 0..inputs {
        let input = changed(&seeds, &mut dice);
        match catch_unwind(AssertUnwindSafe(|| target(&input))) {
            Ok(good) => accepted += usize::from(good),
            Err(_) => {
                let found = std::env::temp_dir().join(format!("logitree-{name}-{i}"));
                std::fs::write(&found, &input).unwrap();
                panic!("{name}: input {i} fails, see {}", found.display());
            }
        }
    }
    println!("{name}: {accepted} of {inputs} changed inputs are accepted");
}

/// One test for each target, so that they run side by side and are named where one fails.
macro_rules! tests {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            check(*TARGETS.iter().find(|(name, _)| *name == stringify!($name)).unwrap());
        })*

        #[test]
        fn every_target_is_tested() {
            assert_eq!(TARGETS.map(|(name, _)| name), [$(stringify!($name)),*]);
        }
    };
}

tests!(chat_template experiment gguf model_folder records reply run_file tokenizer tree_json);
