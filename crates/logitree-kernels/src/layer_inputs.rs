//! Inputs that every layer has of the token itself, beside the residual stream (Gemma 4's small models).

use crate::compute::Compute;
use crate::ops::RmsNorm;
use crate::simd::{Simd, Task};
use crate::team::Parts;

/// Makes the inputs of all layers: `(norm(scale · projected) + embedded) / √2`.
pub struct LayerInputs<'a> {
    /// The part that comes from the token's embedding, `[columns][layers][size]`. The inputs are written in its place.
    pub projected: &'a mut [f32],
    /// Multiplier of `projected`.
    pub scale: f32,
    /// Norm of each layer's part of `projected`; its weights are `[size]`.
    pub norm: RmsNorm<'a>,
    /// Each token's row of a separate embedding table, `[columns]` of `[layers][size]`.
    pub embedded: &'a [&'a [f32]],
}

impl LayerInputs<'_> {
    /// Makes the inputs in place of `projected`.
    ///
    /// # Panics
    /// If shapes do not match.
    pub fn run(self, compute: &mut Compute) {
        let LayerInputs { projected, scale, norm, embedded } = self;
        let columns = embedded.len();
        let len = projected.len() / columns.max(1);
        assert!(projected.len() == len * columns && len.is_multiple_of(norm.weight.len()), "inputs of whole layers");
        assert!(embedded.iter().all(|row| row.len() == len), "embedded inputs of all layers");
        let projected = Parts::new(projected);
        let backend = compute.backend;
        compute.team.each(columns, |_, column| {
            // SAFETY: each column is handed out once.
            let inputs = unsafe { projected.part(column * len, len) };
            backend.dispatch(ColumnInputs { inputs, scale, norm, embedded: embedded[column] });
        });
    }
}

struct ColumnInputs<'a> {
    inputs: &'a mut [f32],
    scale: f32,
    norm: RmsNorm<'a>,
    embedded: &'a [f32],
}

impl Task for ColumnInputs<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let size = self.norm.weight.len();
        for (input, embedded) in self.inputs.chunks_exact_mut(size).zip(self.embedded.chunks_exact(size)) {
            input.iter_mut().for_each(|x| *x *= self.scale);
            self.norm.apply(s, input);
            // The sum and the product are rounded separately, as in the reference implementation.
            input.iter_mut().zip(embedded).for_each(|(x, e)| *x = (*x + e) * std::f32::consts::FRAC_1_SQRT_2);
        }
    }
}
