//! Cosines and sines of rotary embeddings by position.

use crate::config::Rope;
use std::sync::Mutex;

/// Cosines and sines of one rotary embedding by position, made when first needed.
pub(crate) struct Angles {
    /// Radians per position of each pair.
    frequencies: Vec<f32>,
    /// Multiplier of cosines and sines.
    magnitude: f32,
    /// `[position][cos of all pairs, sin of all pairs]`.
    table: Mutex<Vec<f32>>,
}

/// The rows of an [`Angles`] table that a batch needs.
pub(crate) struct AngleRows {
    pairs: usize,
    /// `[inputs][cos of all pairs, sin of all pairs]`
    rows: Vec<f32>,
}

impl Angles {
    pub(crate) fn new(rope: &Rope) -> Angles {
        Angles { frequencies: rope.frequencies(), magnitude: rope.magnitude(), table: Mutex::default() }
    }

    /// The rows of these positions.
    pub(crate) fn rows(&self, positions: impl Iterator<Item = usize> + Clone) -> AngleRows {
        let pairs = self.frequencies.len();
        let size = 2 * pairs;
        let needed = positions.clone().max().map_or(0, |last| last + 1);
        // A poisoned lock holds a table that is whole up to its length: safe to go on with.
        let mut table = self.table.lock().unwrap_or_else(|e| e.into_inner());
        for position in table.len() / size.max(1)..needed {
            // The angle is rounded to f32 as the reference does; its cosine is not rounded twice.
            let angles: Vec<f64> = self.frequencies.iter().map(|f| f64::from(position as f32 * f)).collect();
            let magnified = |x: f64| x as f32 * self.magnitude;
            table.extend(angles.iter().map(|a| magnified(a.cos())).chain(angles.iter().map(|a| magnified(a.sin()))));
        }
        let rows = positions.flat_map(|position| table[position * size..][..size].to_vec()).collect();
        AngleRows { pairs, rows }
    }
}

impl AngleRows {
    /// Cosines and sines of these inputs.
    pub(crate) fn of(&self, inputs: &[usize]) -> Vec<(&[f32], &[f32])> {
        let size = 2 * self.pairs;
        inputs.iter().map(|&i| self.rows[i * size..][..size].split_at(self.pairs)).collect()
    }
}
