//! Models split over several files, `NAME-00001-of-00003.gguf`.

use std::path::{Path, PathBuf};

/// A part of a split model, by its file name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Split {
    stem: PathBuf,
    /// Index of the part, from 0.
    pub(crate) index: usize,
    pub(crate) count: usize,
}

impl Split {
    /// Reads the part's index and the number of parts from the file name; `None` for a file that is not split.
    pub(crate) fn of(path: &Path) -> Option<Split> {
        let name = path.file_name()?.to_str()?.strip_suffix(".gguf")?;
        let (rest, count) = name.rsplit_once("-of-")?;
        let (stem, number) = rest.rsplit_once('-')?;
        let (number, count) = (five_digits(number)?, five_digits(count)?);
        (1..=count).contains(&number).then(|| Split { stem: path.with_file_name(stem), index: number - 1, count })
    }

    /// The path of part `index`, counted from 0.
    pub(crate) fn part(&self, index: usize) -> PathBuf {
        let mut path = self.stem.clone().into_os_string();
        path.push(format!("-{:05}-of-{:05}.gguf", index + 1, self.count));
        path.into()
    }
}

fn five_digits(text: &str) -> Option<usize> {
    // The digits are checked first, because `parse` alone would accept "+0001".
    (text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}
