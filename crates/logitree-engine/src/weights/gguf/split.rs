//! Models split over several files, `NAME-00001-of-00003.gguf`.

use std::path::{Path, PathBuf};

/// A part of a split model, by its file name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Split {
    stem: PathBuf,
    /// From 0.
    pub(crate) index: usize,
    pub(crate) count: usize,
}

impl Split {
    /// What the name says; `None` for a file that is whole.
    pub(crate) fn of(path: &Path) -> Option<Split> {
        let name = path.file_name()?.to_str()?.strip_suffix(".gguf")?;
        let (rest, count) = name.rsplit_once("-of-")?;
        let (stem, number) = rest.rsplit_once('-')?;
        let (number, count) = (five_digits(number)?, five_digits(count)?);
        (1..=count).contains(&number).then(|| Split { stem: path.with_file_name(stem), index: number - 1, count })
    }

    /// File of part `index`, from 0.
    pub(crate) fn part(&self, index: usize) -> PathBuf {
        let mut path = self.stem.clone().into_os_string();
        path.push(format!("-{:05}-of-{:05}.gguf", index + 1, self.count));
        path.into()
    }
}

fn five_digits(text: &str) -> Option<usize> {
    // `parse` alone would take "+0001".
    (text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}
