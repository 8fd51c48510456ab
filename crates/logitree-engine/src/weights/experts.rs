//! Finds the matrices of experts in the files.
//!
//! A GGUF file has three tensors per layer, with the gate, up and down matrices of all experts; newer files have the
//! gate and up matrices in one tensor. A folder has the latter, or one tensor for each matrix of each expert.

use super::role::{ExpertMatrix, Role};
use super::view::TensorView;
use super::{Source, Weights};
use crate::error::WeightsError;

/// Sizes of the experts of a layer.
#[derive(Clone, Copy)]
pub(crate) struct ExpertSizes {
    /// Number of experts.
    pub(crate) count: usize,
    /// Width of the residual stream.
    pub(crate) hidden: usize,
    /// Width of each expert's feed-forward layer.
    pub(crate) intermediate: usize,
}

impl Weights {
    /// A matrix of one expert. Fails unless it has the shape that the configuration requires.
    pub(crate) fn expert(
        &self,
        layer: usize,
        ExpertSizes { count, hidden, intermediate: inner }: ExpertSizes,
        expert: usize,
        matrix: ExpertMatrix,
    ) -> Result<TensorView<'_>, WeightsError> {
        let (rows, cols) = if matrix == ExpertMatrix::Down { (hidden, inner) } else { (inner, hidden) };
        let of_all = |role: Role, rows: usize| {
            let view = self.tensor(role, Some(layer))?;
            view.expect_experts(count, rows, cols)?;
            Ok::<_, WeightsError>(view.expert(expert))
        };
        if let Some(name) = self.expert_name(layer, expert, matrix) {
            let view = self.named(&name)?;
            view.expect_shape(rows, cols)?;
            return Ok(view);
        }
        match matrix {
            ExpertMatrix::Down => of_all(Role::ExpertsDown, hidden),
            ExpertMatrix::Gate if self.is_fused(layer) => {
                Ok(of_all(Role::ExpertsGateUp, 2 * inner)?.row_range(0..inner))
            }
            ExpertMatrix::Up if self.is_fused(layer) => {
                Ok(of_all(Role::ExpertsGateUp, 2 * inner)?.row_range(inner..2 * inner))
            }
            ExpertMatrix::Gate => of_all(Role::ExpertsGate, inner),
            ExpertMatrix::Up => of_all(Role::ExpertsUp, inner),
        }
    }

    /// Names of all tensors that hold matrices of a layer's experts.
    pub(crate) fn expert_tensors(&self, layer: usize, count: usize) -> Vec<String> {
        let by_expert = (0..count)
            .flat_map(|expert| ExpertMatrix::ALL.map(|matrix| self.expert_name(layer, expert, matrix)))
            .flatten()
            .collect::<Vec<String>>();
        if !by_expert.is_empty() {
            return by_expert;
        }
        let gates: &[Role] =
            if self.is_fused(layer) { &[Role::ExpertsGateUp] } else { &[Role::ExpertsGate, Role::ExpertsUp] };
        gates.iter().chain(&[Role::ExpertsDown]).map(|&role| self.name(role, Some(layer))).collect()
    }

    fn is_fused(&self, layer: usize) -> bool {
        self.has(Role::ExpertsGateUp, Some(layer)) || matches!(self.source, Source::Folder(_))
    }

    /// The name of one expert's matrix, if the layer's matrices are stored as separate tensors.
    fn expert_name(&self, layer: usize, expert: usize, matrix: ExpertMatrix) -> Option<String> {
        match &self.source {
            Source::Folder(f) if !self.has(Role::ExpertsDown, Some(layer)) => {
                Some(f.expert_name(layer, expert, matrix))
            }
            _ => None,
        }
    }
}
