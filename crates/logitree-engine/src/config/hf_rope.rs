//! Rotary embeddings in `config.json`: `rope_parameters` of transformers 5, or the older `rope_theta`,
//! `rope_scaling` and `rope_local_base_freq`.

use super::family::Family;
use super::rope::{Rope, RopeScaling, yarn_growth};
use crate::error::WeightsError;
use crate::json::{CORRECT, Fields, UNSUPPORTED};

const KINDS: [&str; 2] = ["full_attention", "sliding_attention"];

/// Reads the one rotary embedding, or the two of Gemma 3 and 4: first that of layers with full attention, then that of
/// layers with a window. `head_dims` are the head sizes of these two kinds of layers.
pub(super) fn ropes(text: &Fields<'_>, family: Family, head_dims: [usize; 2]) -> Result<Vec<Rope>, WeightsError> {
    let dims = head_dims[0];
    let parameters = text.object("rope_parameters")?;
    let scaling = text.object("rope_scaling")?;
    let theta = text.float("rope_theta")?;
    let nested = parameters.as_ref().is_some_and(|p| KINDS.iter().any(|kind| p.has(kind)));
    if text.float("partial_rotary_factor")?.is_some_and(|f| f != 1.0) {
        return Err(text.error("partial_rotary_factor", "is not 1", UNSUPPORTED));
    }
    if !family.has_local_rope() {
        if nested {
            return Err(text.error("rope_parameters", "differ by kind of layer", UNSUPPORTED));
        }
        // If a file has both keys, the reference implementation prefers the older one, `rope_scaling`.
        return Ok(vec![rope(text, scaling.or(parameters).as_ref(), theta.unwrap_or(10_000.0), dims)?]);
    }
    if !nested && parameters.as_ref().is_some_and(|p| p.iter().next().is_some()) {
        let problem = "do not tell full_attention from sliding_attention";
        return Err(text.error("rope_parameters", problem, "download config.json again, or correct it"));
    }
    let of_kind = |kind: &str| parameters.as_ref().map_or(Ok(None), |p| p.object(kind));
    let global = of_kind(KINDS[0])?;
    let base = global.as_ref().map_or(Ok(None), |p| p.float("rope_theta"))?.or(theta).unwrap_or(1e6);
    let local_base = text.float("rope_local_base_freq")?.unwrap_or(10_000.0);
    // In the reference implementation the older key scales only the layers with full attention.
    let mut global = rope(text, scaling.or(global).as_ref(), base, dims)?;
    if family == Family::Gemma4 && parameters.is_none() {
        // This is what the reference implementation uses if the file gives no parameters.
        global.scaling = RopeScaling::Proportional { pairs: dims / 8, factor: 1.0 };
    }
    Ok(vec![global, rope(text, of_kind(KINDS[1])?.as_ref(), local_base, head_dims[1])?])
}

/// Reads one embedding from its parameters; `base` is used if they give none.
fn rope(text: &Fields<'_>, parameters: Option<&Fields<'_>>, base: f64, dims: usize) -> Result<Rope, WeightsError> {
    let Some(p) = parameters else { return Ok(Rope { base: base as f32, dims, scaling: RopeScaling::Default }) };
    let base = p.float("rope_theta")?.unwrap_or(base) as f32;
    let kind = p.str("rope_type")?.map_or_else(|| p.str("type"), |kind| Ok(Some(kind)))?;
    let part = p.float("partial_rotary_factor")?;
    if kind != Some("proportional") && part.is_some_and(|f| f != 1.0) {
        return Err(p.error("partial_rotary_factor", "is not 1", UNSUPPORTED));
    }
    let number = |key: &str| -> Result<f32, WeightsError> { Ok(p.require(key, p.float(key)?)? as f32) };
    let scaling = match kind {
        None | Some("default") => RopeScaling::Default,
        Some("linear") => RopeScaling::Linear(number("factor")?),
        Some("llama3") => RopeScaling::Llama3 {
            factor: number("factor")?,
            low_freq_factor: number("low_freq_factor")?,
            high_freq_factor: number("high_freq_factor")?,
            original_context: number("original_max_position_embeddings")?,
        },
        Some("proportional") => RopeScaling::Proportional {
            pairs: (part.unwrap_or(1.0) * dims as f64 / 2.0) as usize,
            factor: p.float("factor")?.unwrap_or(1.0) as f32,
        },
        Some("yarn") => yarn(p, number("factor")?)?,
        // `su` is the former name of `longrope`.
        Some("longrope" | "su") => longrope(text, p)?,
        Some(other) => {
            let problem = format!("`{other}` is not one of default, linear, llama3, longrope, proportional, yarn");
            return Err(p.error("rope_type", problem, UNSUPPORTED));
        }
    };
    Ok(Rope { base, dims, scaling })
}

/// Reads YaRN's parameters. What the file does not give is computed as transformers does.
fn yarn(p: &Fields<'_>, factor: f32) -> Result<RopeScaling, WeightsError> {
    let number = |key: &str| p.float(key);
    let growth = |multiplier: f64| yarn_growth(factor, multiplier);
    let magnitude = match (number("attention_factor")?, number("mscale")?, number("mscale_all_dim")?) {
        (Some(given), _, _) => given,
        (None, Some(one), Some(all)) if one != 0.0 && all != 0.0 => growth(one) / growth(all),
        _ => growth(1.0),
    };
    let original = "original_max_position_embeddings";
    Ok(RopeScaling::Yarn {
        factor,
        beta_fast: number("beta_fast")?.unwrap_or(32.0) as f32,
        beta_slow: number("beta_slow")?.unwrap_or(1.0) as f32,
        original_context: p.require(original, number(original)?)? as f32,
        truncate: p.bool("truncate")?.unwrap_or(true),
        magnitude: magnitude as f32,
    })
}

/// Reads LongRoPE's parameters. What the file does not give is computed as transformers does. The original context may
/// be a top-level key of the model or one of the parameters.
fn longrope(text: &Fields<'_>, p: &Fields<'_>) -> Result<RopeScaling, WeightsError> {
    let key = "original_max_position_embeddings";
    let original = p.size(key)?.map_or_else(|| text.size(key), |n| Ok(Some(n)))?;
    let original_context = p.require(key, original)?;
    let longest = "max_position_embeddings";
    let factor = match p.float("factor")? {
        Some(factor) => factor,
        None => text.require(longest, text.size(longest)?)? as f64 / original_context as f64,
    };
    let magnitude = match p.float("attention_factor")? {
        Some(given) => given,
        None if factor <= 1.0 => 1.0,
        None => (1.0 + factor.ln() / (original_context as f64).ln()).sqrt(),
    };
    let key = "short_factor";
    let divisors = p.require(key, p.array(key)?)?.iter().map(|divisor| {
        let problem = || p.error(key, format!("{divisor} is not a number"), CORRECT);
        divisor.as_f64().map(|d| d as f32).ok_or_else(problem)
    });
    Ok(RopeScaling::Longrope {
        divisors: divisors.collect::<Result<_, _>>()?,
        magnitude: magnitude as f32,
        original_context,
    })
}
