//! Storage formats as types, and how numbers are read from packed bytes.

use super::{block_bytes, group_bytes, header_bytes, scale_bytes};
use crate::DType;
use crate::quant::Layout;
use crate::simd::{LANES, Lanes, Simd};

/// A storage format as a type: kernels are compiled once per format, so that no shift, offset or choice is left to run
/// time.
pub(super) trait Format {
    const DTYPE: DType;
    const LAYOUT: Layout = match Layout::of(Self::DTYPE) {
        Some(layout) => layout,
        None => panic!("unquantised formats have no layout"),
    };
    /// Packed bytes of a block of 16 rows; for the layout see the parent module.
    const BLOCK: usize = block_bytes(Self::DTYPE);
    /// Packed bytes of a block's header.
    const HEADER: usize = header_bytes(&Self::LAYOUT);
    /// Packed bytes of the sub-scales and sub-minima of a group of 32 columns.
    const SCALES: usize = scale_bytes(&Self::LAYOUT);
    /// Packed bytes of a group of 32 columns.
    const GROUP: usize = group_bytes(&Self::LAYOUT);
    /// Bits of a code.
    const BITS: usize = Self::LAYOUT.low + Self::LAYOUT.high;
    /// Subtracted from an unsigned code.
    const BIAS: f32 = if Self::BITS == 8 { 128.0 } else { Self::LAYOUT.bias };
    /// Columns whose low bits share a word, which the innermost loop takes per turn.
    const UNIT: usize = 32 / Self::LAYOUT.low;
}

macro_rules! formats {
    ($($name:ident)+) => {
        $(
            #[allow(non_camel_case_types)]
            pub(super) struct $name;
            impl Format for $name {
                const DTYPE: DType = DType::$name;
            }
        )+
    };
}

formats! { F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS MXFP4 }

/// Shifts each lane so that bit `from` becomes bit `to`.
#[inline(always)]
pub(super) fn shifted<S: Simd>(s: S, x: S::I, from: usize, to: usize) -> S::I {
    if from > to { s.shr(x, (from - to) as u32) } else { s.shl(x, (to - from) as u32) }
}

/// Scale and offset of a sub-block of the group at `group` of the block at `block`. They are those of
/// `weight = scale · code + offset` for a code without its bias. Without minima the offset is zero.
///
/// # Safety
/// The block must lie within `bytes`.
#[inline(always)]
pub(super) unsafe fn scale_of<S: Simd, F: Format>(
    s: S,
    bytes: &[u8],
    block: usize,
    group: usize,
    sub: usize,
) -> (S::F, S::F) {
    let l = const { F::LAYOUT };
    // SAFETY: the caller promises that the block lies within `bytes`.
    unsafe {
        if l.power_scale {
            return (s.load(lanes(bytes, block)), s.splat(0.0));
        }
        let mut scale = s.load_f16(lanes(bytes, block));
        if l.sub_scales {
            scale = s.mul(scale, s.to_f32(s.load_i8(lanes(bytes, group + sub * LANES))));
        }
        if !l.has_min {
            return (scale, s.splat(0.0));
        }
        let mut offset = s.load_f16(lanes(bytes, block + 2 * LANES));
        if l.sub_scales {
            let min = s.load_u8(lanes(bytes, group + (32 / l.scale_len + sub) * LANES));
            offset = s.mul(s.sub(s.splat(0.0), offset), s.to_f32(min));
        }
        (scale, offset)
    }
}

/// Numbers for which all bytes are valid, so that they may be read from packed bytes.
pub(super) trait Plain {}
impl Plain for f32 {}
impl Plain for u32 {}
impl Plain for u16 {}
impl Plain for u8 {}
impl Plain for i8 {}

/// Views the 16 numbers at `at`. They are aligned: packed data starts on a cache line, and all of its parts are
/// multiples of 16 bytes long.
///
/// # Safety
/// They must lie within `bytes`.
#[inline(always)]
pub(super) unsafe fn lanes<T: Plain>(bytes: &[u8], at: usize) -> &Lanes<T> {
    debug_assert!(at + size_of::<Lanes<T>>() <= bytes.len());
    // SAFETY: the caller promises that they lie within `bytes`; any bytes are valid numbers, and their order is that of
    // all targets with a SIMD backend, little-endian.
    unsafe {
        let start = bytes.as_ptr().add(at).cast::<Lanes<T>>();
        debug_assert!(start.is_aligned());
        &*start
    }
}
