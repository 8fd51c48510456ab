//! Block formats of quantised weights, as the GGUF specification defines them.
//!
//! A block is unpacked into integer codes and scales, `weight = scale · code + offset`. Products of
//! the stored half-precision scale, the integer sub-scale and the code need at most 25 bits and
//! are followed by at most one rounding, so a fused multiply-add gives the format's exact value.

use crate::DType;
use half::{bf16, f16};

/// Elements of a row that share one unpacked [`Block`].
pub(crate) const MAX_BLOCK: usize = 256;

/// How a format spreads its code bits and scales.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Layout {
    /// Low bits of a code: 8 (signed), 4 or 2.
    pub low: usize,
    /// High bits stored apart: 0, 1 or 2.
    pub high: usize,
    /// Subtracted from an unsigned code.
    pub bias: f32,
    /// Elements per sub-scale: 16 or 32.
    pub scale_len: usize,
    /// True if there is a second half-precision number: an offset (legacy formats) or the scale of the minima (K
    /// formats).
    pub has_min: bool,
    /// True if sub-blocks have integer scales (K formats and IQ4_XS).
    pub sub_scales: bool,
    /// True if the scale is a power of two of any size, which is kept as f32 (MXFP4).
    pub power_scale: bool,
}

/// What the 4-bit codes of IQ4_NL and IQ4_XS stand for: levels that lie closer together near zero. They are kept as
/// signed bytes, so these formats take twice as much memory as in the file.
const IQ4_LEVELS: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// What the 4-bit codes of MXFP4 stand for: the numbers of E2M1, doubled so that all are whole.
const E2M1_DOUBLED: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

impl Layout {
    /// `None` for the unquantised formats.
    pub(crate) const fn of(dtype: DType) -> Option<Layout> {
        const fn l(
            low: usize,
            high: usize,
            bias: f32,
            scale_len: usize,
            has_min: bool,
            sub_scales: bool,
        ) -> Option<Layout> {
            Some(Layout { low, high, bias, scale_len, has_min, sub_scales, power_scale: false })
        }
        match dtype {
            DType::F32 | DType::F16 | DType::BF16 => None,
            DType::Q4_0 => l(4, 0, 8.0, 32, false, false),
            DType::Q4_1 => l(4, 0, 0.0, 32, true, false),
            DType::Q5_0 => l(4, 1, 16.0, 32, false, false),
            DType::Q5_1 => l(4, 1, 0.0, 32, true, false),
            DType::Q8_0 => l(8, 0, 0.0, 32, false, false),
            DType::Q2_K => l(2, 0, 0.0, 16, true, true),
            DType::Q3_K => l(2, 1, 4.0, 16, false, true),
            DType::Q4_K => l(4, 0, 0.0, 32, true, true),
            DType::Q5_K => l(4, 1, 0.0, 32, true, true),
            DType::Q6_K => l(4, 2, 32.0, 16, false, true),
            DType::IQ4_NL => l(8, 0, 0.0, 32, false, false),
            DType::IQ4_XS => l(8, 0, 0.0, 32, false, true),
            DType::MXFP4 => match l(8, 0, 0.0, 32, false, false) {
                Some(layout) => Some(Layout { power_scale: true, ..layout }),
                None => None,
            },
        }
    }
}

/// One unpacked block of a row.
pub(crate) struct Block {
    /// Codes, unsigned (signed for 8-bit formats).
    pub codes: [u8; MAX_BLOCK],
    /// Half-precision scale, as bits.
    pub d: u16,
    /// The scale, in formats with a [`Layout::power_scale`].
    pub power: f32,
    /// Half-precision offset or scale of the minima, as bits.
    pub m: u16,
    /// Integer scales of sub-blocks.
    pub scales: [i8; 16],
    /// Integer minima of sub-blocks.
    pub mins: [u8; 16],
}

impl Default for Block {
    fn default() -> Self {
        Block { codes: [0; MAX_BLOCK], d: 0, power: 0.0, m: 0, scales: [0; 16], mins: [0; 16] }
    }
}

fn half_bits(b: &[u8]) -> u16 {
    u16::from_le_bytes([b[0], b[1]])
}

/// The 6-bit scales and minima of Q4_K and Q5_K: eight of each in twelve bytes.
fn scales_and_mins(packed: &[u8], block: &mut Block) {
    for j in 0..4 {
        block.scales[j] = (packed[j] & 63) as i8;
        block.mins[j] = packed[j + 4] & 63;
        block.scales[j + 4] = ((packed[j + 8] & 15) | (packed[j] >> 6) << 4) as i8;
        block.mins[j + 4] = packed[j + 8] >> 4 | (packed[j + 4] >> 6) << 4;
    }
}

/// Unpacks one block of `dtype` from its [`DType::block_bytes`] bytes.
pub(crate) fn unpack(dtype: DType, b: &[u8], block: &mut Block) {
    match dtype {
        DType::F32 | DType::F16 | DType::BF16 => unreachable!("unquantised formats have no blocks"),
        DType::Q4_0 | DType::Q4_1 | DType::Q5_0 | DType::Q5_1 => unpack_legacy(dtype, b, block),
        DType::Q8_0 => {
            block.d = half_bits(b);
            block.codes[..32].copy_from_slice(&b[2..34]);
        }
        DType::Q2_K => {
            let (scales, codes) = (&b[..16], &b[16..80]);
            (block.d, block.m) = (half_bits(&b[80..]), half_bits(&b[82..]));
            for j in 0..16 {
                (block.scales[j], block.mins[j]) = ((scales[j] & 15) as i8, scales[j] >> 4);
            }
            // Each half of the block spreads four planes of 2 bits over 32 bytes.
            spread::<2>(codes, 32, &mut block.codes);
        }
        DType::Q3_K => {
            let (high, codes, packed) = (&b[..32], &b[32..96], &b[96..108]);
            block.d = half_bits(&b[108..]);
            for j in 0..16 {
                let low = packed[j % 8] >> (j / 8 * 4) & 15;
                let top = packed[8 + j % 4] >> (j / 4 * 2) & 3;
                block.scales[j] = (low | top << 4) as i8 - 32;
            }
            spread::<2>(codes, 32, &mut block.codes);
            add_high::<1>(high, 2, &mut block.codes);
        }
        DType::Q4_K | DType::Q5_K => {
            (block.d, block.m) = (half_bits(b), half_bits(&b[2..]));
            scales_and_mins(&b[4..16], block);
            let (high, codes) = if dtype == DType::Q4_K { (&b[..0], &b[16..144]) } else { (&b[16..48], &b[48..176]) };
            spread::<4>(codes, 32, &mut block.codes);
            if !high.is_empty() {
                add_high::<1>(high, 4, &mut block.codes);
            }
        }
        DType::Q6_K => {
            let (low, high, scales) = (&b[..128], &b[128..192], &b[192..208]);
            block.d = half_bits(&b[208..]);
            for j in 0..16 {
                block.scales[j] = scales[j] as i8;
            }
            spread::<4>(low, 64, &mut block.codes);
            add_high::<2>(high, 4, &mut block.codes);
        }
        DType::IQ4_NL => {
            block.d = half_bits(b);
            levels(&b[2..18], &IQ4_LEVELS, &mut block.codes);
        }
        DType::IQ4_XS => {
            block.d = half_bits(b);
            let high = half_bits(&b[2..]);
            for j in 0..8 {
                let low = b[4 + j / 2] >> (j % 2 * 4) & 15;
                block.scales[j] = (low | ((high >> (2 * j) & 3) as u8) << 4) as i8 - 32;
            }
            levels(&b[8..136], &IQ4_LEVELS, &mut block.codes);
        }
        DType::MXFP4 => {
            // The scale is 2^(e - 128). It is made from bits, in which the two smallest scales are not normal numbers.
            let bits = match u32::from(b[0]) {
                small @ 0..2 => 0x0020_0000 << small,
                e => (e - 1) << 23,
            };
            block.power = f32::from_bits(bits);
            levels(&b[1..17], &E2M1_DOUBLED, &mut block.codes);
        }
    }
}

/// Signed codes from 4-bit ones that are indices of `levels`; each 16 bytes hold the low and then the high halves of
/// 32.
fn levels(bytes: &[u8], levels: &[i8; 16], codes: &mut [u8; MAX_BLOCK]) {
    for (bytes, codes) in bytes.chunks_exact(16).zip(codes.chunks_exact_mut(32)) {
        let (low, high) = codes.split_at_mut(16);
        for ((byte, low), high) in bytes.iter().zip(low).zip(high) {
            *low = levels[usize::from(byte & 15)] as u8;
            *high = levels[usize::from(byte >> 4)] as u8;
        }
    }
}

/// Spreads codes of `BITS` bits from bytes that hold `8 / BITS` planes each: every `run` bytes give one run of codes
/// per plane. The loops go over whole runs, so that the compiler can use vectors.
fn spread<const BITS: usize>(bytes: &[u8], run: usize, codes: &mut [u8; MAX_BLOCK]) {
    let planes = 8 / BITS;
    for (bytes, codes) in bytes.chunks_exact(run).zip(codes.chunks_exact_mut(run * planes)) {
        for (plane, codes) in codes.chunks_exact_mut(run).enumerate() {
            for (code, byte) in codes.iter_mut().zip(bytes) {
                *code = byte >> (plane * BITS) & ((1 << BITS) - 1);
            }
        }
    }
}

/// Sets the `BITS` bits of codes that follow their `low` lowest ones, from planes in runs of 32.
fn add_high<const BITS: usize>(bytes: &[u8], low: usize, codes: &mut [u8; MAX_BLOCK]) {
    let planes = 8 / BITS;
    for (bytes, codes) in bytes.chunks_exact(32).zip(codes.chunks_exact_mut(32 * planes)) {
        for (plane, codes) in codes.chunks_exact_mut(32).enumerate() {
            for (code, byte) in codes.iter_mut().zip(bytes) {
                *code |= (byte >> (plane * BITS) & ((1 << BITS) - 1)) << low;
            }
        }
    }
}

/// The 32-element formats: scale, optional offset, optional fifth bits, nibbles.
fn unpack_legacy(dtype: DType, b: &[u8], block: &mut Block) {
    block.d = half_bits(b);
    let mut at = 2;
    if matches!(dtype, DType::Q4_1 | DType::Q5_1) {
        block.m = half_bits(&b[2..]);
        at = 4;
    }
    let mut fifth = None;
    if matches!(dtype, DType::Q5_0 | DType::Q5_1) {
        fifth = b[at..].first_chunk::<4>();
        at += 4;
    }
    spread::<4>(&b[at..at + 16], 16, &mut block.codes);
    for (byte, codes) in fifth.into_iter().flatten().zip(block.codes.as_chunks_mut::<8>().0) {
        *codes = (u64::from_le_bytes(*codes) | FIFTH_BITS[usize::from(*byte)]).to_le_bytes();
    }
}

/// For each byte, its eight bits as the fifth bits of eight codes. Shifts of one bit each would take most of the time of
/// packing such a matrix.
static FIFTH_BITS: [u64; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut bit = 0;
        while bit < 8 {
            table[byte] |= ((byte as u64 >> bit) & 1) << (8 * bit + 4);
            bit += 1;
        }
        byte += 1;
    }
    table
};

/// De-quantises one row, exactly as its format defines.
///
/// # Panics
/// If `bytes` is not [`DType::row_bytes`]`(out.len())` long.
pub fn dequantise_row(dtype: DType, bytes: &[u8], out: &mut [f32]) {
    assert_eq!(Some(bytes.len()), dtype.row_bytes(out.len()), "row of {} {dtype} elements", out.len());
    let Some(layout) = Layout::of(dtype) else {
        let widen = |b: &[u8]| match dtype {
            DType::F32 => f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
            DType::F16 => f16::from_bits(half_bits(b)).to_f32(),
            _ => bf16::from_bits(half_bits(b)).to_f32(),
        };
        for (x, b) in out.iter_mut().zip(bytes.chunks_exact(dtype.block_bytes())) {
            *x = widen(b);
        }
        return;
    };
    let mut block = Block::default();
    let blocks = bytes.chunks_exact(dtype.block_bytes());
    for (out, bytes) in out.chunks_exact_mut(dtype.block_len()).zip(blocks) {
        unpack(dtype, bytes, &mut block);
        let (d, m) = (f16::from_bits(block.d).to_f32(), f16::from_bits(block.m).to_f32());
        for (i, x) in out.iter_mut().enumerate() {
            let (scale, offset) = if layout.sub_scales {
                let j = i / layout.scale_len;
                (d * f32::from(block.scales[j]), -(m * f32::from(block.mins[j])))
            } else if layout.power_scale {
                (block.power, 0.0)
            } else {
                (d, m)
            };
            let code = if layout.low == 8 { f32::from(block.codes[i] as i8) } else { f32::from(block.codes[i]) };
            *x = scale * (code - layout.bias);
            if layout.has_min {
                *x += offset;
            }
        }
    }
}
