//! Fused matrices of queries, keys and values. Some GGUF files have one tensor `attn_qkv`, with the rows of queries,
//! keys and values in this order, instead of `attn_q`, `attn_k` and `attn_v`.

use super::role::Role;
use super::view::TensorView;
use super::{Source, Weights};
use crate::error::WeightsError;
use std::ops::Range;

impl Weights {
    /// The name of the fused tensor that holds this role's rows, if the file has one.
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

    /// The part of the fused tensor `name` that belongs to this role.
    pub(super) fn of_fused(
        &self,
        name: &str,
        role: Role,
        layer: Option<usize>,
    ) -> Result<TensorView<'_>, WeightsError> {
        let whole = self.named(name)?;
        // The number of query rows equals the number of columns of the attention's output matrix; keys and values share
        // the remaining rows equally.
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
