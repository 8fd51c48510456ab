//! The matrices of queries, keys and values as one: some GGUF files have `attn_qkv` with the rows of all three, in this order, in place
//! of `attn_q`, `attn_k` and `attn_v`.

use super::role::Role;
use super::view::TensorView;
use super::{Source, Weights};
use crate::error::WeightsError;
use std::ops::Range;

impl Weights {
    /// The name of the tensor that holds this role's among others, if that is how the file has it.
    pub(super) fn fused_name(&self, role: Role, layer: Option<usize>) -> Option<String> {
        let end = match role {
            Role::Q | Role::K | Role::V => "weight",
            Role::QBias | Role::KBias | Role::VBias => "bias",
            _ => return None,
        };
        let Source::Gguf(gguf) = &self.source else { return None };
        let name = format!("blk.{}.attn_qkv.{end}", layer?);
        (gguf.has(&name) && !gguf.has(&self.name(role, layer))).then_some(name)
    }

    /// The part of the tensor `name` that is this role's.
    pub(super) fn of_fused(
        &self,
        name: &str,
        role: Role,
        layer: Option<usize>,
    ) -> Result<TensorView<'_>, WeightsError> {
        let whole = self.named(name)?;
        // Queries are as long as what the output matrix takes; keys and values share the rest equally.
        let queries = self.tensor(Role::O, layer)?.cols;
        let is_bias = matches!(role, Role::QBias | Role::KBias | Role::VBias);
        let length = if is_bias { whole.cols } else { whole.rows };
        let Some(rest) = length.checked_sub(queries).filter(|rest| rest.is_multiple_of(2) && *rest > 0) else {
            let problem = format!(
                "has {length} rows for queries of {queries} and keys and values of equal length; use a file whose metadata fits its weights"
            );
            return Err(whole.error(problem));
        };
        let part: Range<usize> = match role {
            Role::Q | Role::QBias => 0..queries,
            Role::K | Role::KBias => queries..queries + rest / 2,
            _ => queries + rest / 2..length,
        };
        if is_bias { whole.element_range(part) } else { Ok(whole.row_range(part)) }
    }
}
