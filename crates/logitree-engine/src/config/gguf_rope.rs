//! Rotary embeddings in GGUF metadata.

use super::family::Family;
use super::gguf_keys::Keys;
use super::rope::{Rope, RopeScaling, yarn_growth};
use crate::error::WeightsError;
use logitree_kernels::dequantise_row;

/// Reads the rotary embeddings. The first is for layers with full attention; in families where layers with a window
/// have their own, that is the second.
pub(super) fn ropes(keys: &Keys<'_>, family: Family, head_dim: usize) -> Result<Vec<Rope>, WeightsError> {
    let dims = keys.optional("rope.dimension_count")?.unwrap_or(head_dim);
    let base = keys.float("rope.freq_base")?;
    let scaling = scaling(keys)?;
    if !family.has_local_rope() {
        // Files of models with the original base, 10000, may omit the key.
        return Ok(vec![Rope { base: base.unwrap_or(10_000.0), dims, scaling }]);
    }
    let base = base.ok_or_else(|| keys.error("rope.freq_base", "is missing"))?;
    // All Gemma 3 models have this base in layers with a window; only newer files give it.
    let local = keys.float("rope.freq_base_swa")?.unwrap_or(10_000.0);
    let local_dims = keys.optional("rope.dimension_count_swa")?.unwrap_or(dims);
    Ok(vec![Rope { base, dims, scaling }, Rope { base: local, dims: local_dims, scaling: RopeScaling::Default }])
}

/// Reads the frequency scaling. A factor without a type means linear scaling, as in llama.cpp, because the first files
/// had only a factor. Llama 3.1 and later models store their smooth scaling as a table of divisors. If a file has both
/// a factor and a table, both apply.
fn scaling(keys: &Keys<'_>) -> Result<RopeScaling, WeightsError> {
    let kind = keys.gguf.read::<&str>(&keys.key("rope.scaling.type"))?;
    // `scale_linear` is the former name of the key.
    let factor = keys.float("rope.scaling.factor")?.map_or_else(|| keys.float("rope.scale_linear"), |f| Ok(Some(f)))?;
    // An absent factor and the factor 0 count as 1. Files with the type `none` may contain a factor, which must be
    // ignored.
    let factor = factor.filter(|&f| f != 0.0 && kind != Some("none")).unwrap_or(1.0);
    let divisors = |name: &str| -> Result<Option<Vec<f32>>, WeightsError> {
        let Some(table) = keys.gguf.tensor(name)? else { return Ok(None) };
        table.expect_shape(1, table.cols)?;
        let mut divisors = vec![0.0; table.cols];
        dequantise_row(table.dtype, table.data, &mut divisors);
        divisors.iter_mut().for_each(|d| *d *= factor);
        Ok(Some(divisors))
    };
    // Files give only a multiplier of the model's own; the growth that follows from the factor is not included and is
    // computed.
    let multiplier = keys.float("rope.scaling.attn_factor")?.unwrap_or(1.0);
    let original = |name: &str| keys.optional(name)?.map_or_else(|| keys.size("context_length"), Ok);
    match kind {
        None | Some("none" | "linear") => {}
        Some("yarn") => {
            let all = keys.float("rope.scaling.yarn_log_multiplier")?.filter(|&all| all != 0.0);
            let growth = yarn_growth(factor, 1.0) / all.map_or(1.0, |all| yarn_growth(factor, f64::from(all)));
            return Ok(RopeScaling::Yarn {
                factor,
                beta_fast: keys.float("rope.scaling.yarn_beta_fast")?.unwrap_or(32.0),
                beta_slow: keys.float("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0),
                original_context: original("rope.scaling.original_context_length")? as f32,
                truncate: true,
                magnitude: growth as f32 * multiplier,
            });
        }
        Some("longrope") => {
            let name = "rope_factors_short.weight";
            let missing = || WeightsError::MissingTensor { path: keys.gguf.path().into(), name: name.into() };
            return Ok(RopeScaling::Longrope {
                divisors: divisors(name)?.ok_or_else(missing)?,
                magnitude: multiplier,
                original_context: original("rope.scaling.original_context_length")?,
            });
        }
        Some(kind) => {
            let problem = format!(
                "scaling `{kind}` is not supported; supported are none, linear, yarn, longrope, and a table of factors"
            );
            return Err(keys.gguf.error(&keys.key("rope.scaling.type"), problem, "use another model"));
        }
    }
    Ok(match divisors("rope_freqs.weight")? {
        Some(divisors) => RopeScaling::Factors(divisors),
        None if factor == 1.0 => RopeScaling::Default,
        None => RopeScaling::Linear(factor),
    })
}
