//! Products in fixed point: exact sums of integers, as precise as f32, for CPUs whose units for bytes are many times as fast as
//! their multiply-adds.
//!
//! A column of activations is brought to whole numbers of 32 bits by a power of two, and a row of weights to 23 bits: the first
//! so many because activations have outliers, beside which an f32 would still be precise. Both are cut into digits of 8 bits,
//! `x = 2^24 x3 + 2^16 x2 + 2^8 x1 + x0`, `w = 2^16 w2 + 2^8 w1 + w0`. Products of digits are summed as integers, over the
//! whole length, by their power:
//!
//! ```text
//! s0 = Σ x3·w2    s1 = Σ x3·w1 + x2·w2    s2 = Σ x3·w0 + x2·w1 + x1·w2    s3 = Σ x2·w0 + x1·w1 + x0·w2
//! out = (2^24 s0 + 2^16 s1 + 2^8 s2 + s3) · 2^16 · unit of the row · unit of the column
//! ```
//!
//! The three other products lie below the precision of the weights. Sums of integers are the same in any order, so the bits
//! depend neither on the batch nor on threads nor on the instruction set: any backend computes them, AMX fast.
//!
//! Digits of weights are unsigned bytes `u` in the fraction of an f32: one multiply-add by a power of two, with [`OFFSET`]
//! added, rounds a weight to them. `w = u - BIAS` digit by digit, so the sums begin with `-BIAS · Σ x` (see [`Digits::start`]).

use crate::Backend;
use crate::buffer::Buffer;
use crate::matmul::{Panels, Shape, Strip};
use crate::micro::Place;
use crate::pack::{CHUNK, CHUNK_LANES, Decode, IntoDigits, Meanwhile, PackedMatrix};
use crate::simd::{LANES, Lanes, Simd, Task};
use crate::team::{Parts, Team};

/// Signed weight digits, lowest first, are unsigned ones less this.
const BIAS: [i32; 3] = [128, 128, 64];
/// The largest sizes that their digits can hold.
const LARGEST_WEIGHT: f32 = 4_161_407.0;
const LARGEST_ACTIVATION: f32 = 2_139_062_016.0;
/// 2^23 + 2^16 · 64 + 2^8 · 128 + 128: with it a weight of the other sign of the bias is a positive 23-bit fraction.
const OFFSET: f32 = 12_615_808.0;
/// Rows of weights up to this length cannot overflow the 32-bit sums: three products of at most 2^14 each a column.
pub(crate) const MAX_COLS: usize = 32768;

/// Digits of an activation, and powers that are summed.
pub(crate) const DIGITS: usize = 4;

/// Vectors of four columns in a chunk.
const QUADS: usize = CHUNK / 4;

/// A row of a tile register: 64 bytes or 16 integers.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Row([u8; CHUNK]);

/// Digits of up to 16 columns of activations in a chunk, highest first, or what the sums of their products begin with, by power.
type Rows = [Row; DIGITS * LANES];
/// Digits of a chunk of 16 rows of weights.
type Chunk = [Lanes<f32>; CHUNK_LANES];
/// Sums of products, `[power][column][16]`, as bits.
type Sums = [Lanes<f32>; DIGITS * LANES];

/// The largest power of two, as far as f32 has it and its inverse, that keeps numbers of this size at or below `limit`;
/// NaN if they are not finite.
fn power(most: f32, limit: f32) -> f32 {
    if !most.is_finite() {
        return f32::NAN;
    }
    let exponent = (most.to_bits() >> 23) as i32 - 127;
    let exponent = (limit.to_bits() >> 23) as i32 - 127 - exponent;
    let power = |exponent: i32| f32::from_bits(((exponent.clamp(-126, 126) + 127) as u32) << 23);
    if most * power(exponent) <= limit { power(exponent) } else { power(exponent - 1) }
}

/// The powers of two that bring the rows of a tile, whose largest sizes are given, to fixed point.
pub(crate) fn row_scales(largest: &Lanes<f32>) -> Lanes<f32> {
    largest.map(|most| power(most, LARGEST_WEIGHT))
}

/// Activations in fixed point.
#[derive(Default)]
pub(crate) struct Digits {
    shape: Shape,
    /// `[group][chunk]`.
    digits: Vec<Rows>,
    /// What the sums begin with, `[group]`: each row 16 times the same.
    start: Vec<Rows>,
    /// Unit of each column.
    units: Vec<f32>,
}

/// Up to 16 columns of [`Digits`], which are multiplied together.
struct Group<'a> {
    first: usize,
    columns: usize,
    /// By chunk.
    digits: &'a [Rows],
    start: &'a Rows,
}

impl Digits {
    /// Takes all columns of `x`, each of which must lie in one piece.
    pub(crate) fn set(&mut self, backend: Backend, team: &mut Team, x: &Panels) {
        let Shape { columns, k, .. } = x.shape;
        let shape = Shape::new(columns, k, LANES);
        let (chunks, empty) = (k.div_ceil(CHUNK), [Row([0; CHUNK]); DIGITS * LANES]);
        self.shape = shape;
        self.digits.resize(shape.groups * chunks, empty);
        self.start.resize(shape.groups, empty);
        self.units.resize(columns, 0.0);
        let digits = Parts::new(self.digits.as_flattened_mut());
        let (start, units) = (Parts::new(self.start.as_flattened_mut()), Parts::new(&mut self.units));
        team.each(columns, |_, column| {
            let (g, first, _) = shape.group_of(column);
            backend.dispatch(SetColumn {
                x: &x.data[column * k..][..k],
                digits,
                first_digit: g * chunks * DIGITS * LANES + column - first,
                start,
                first_start: g * DIGITS * LANES + column - first,
                // SAFETY: each column is handed out once.
                unit: unsafe { &mut units.part(column, 1)[0] },
            });
        });
    }

    fn group(&self, g: usize) -> Group<'_> {
        let (first, columns) = self.shape.group(g);
        let chunks = self.shape.k.div_ceil(CHUNK);
        Group { first, columns, digits: &self.digits[g * chunks..][..chunks], start: &self.start[g] }
    }
}

/// Brings one column to fixed point, in rows that nobody else touches.
struct SetColumn<'a> {
    x: &'a [f32],
    digits: Parts<'a, Row>,
    /// The column's row of the first chunk's highest digit.
    first_digit: usize,
    start: Parts<'a, Row>,
    /// Its row of what the highest power's sums begin with.
    first_start: usize,
    unit: &'a mut f32,
}

impl Task for SetColumn<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        // Bits of positive numbers are ordered as the numbers are, and infinity and NaN come last.
        let most = f32::from_bits(self.x.iter().fold(0, |most, x| most.max(x.abs().to_bits())));
        let scale = power(most, LARGEST_ACTIVATION);
        *self.unit = 1.0 / scale;
        let scale = if scale.is_nan() { 0.0 } else { scale };
        let mut totals = [0i32; DIGITS];
        for (chunk, x) in self.x.chunks(CHUNK).enumerate() {
            let mut rest = [0i32; CHUNK];
            for (rest, x) in rest.iter_mut().zip(x) {
                let x = (x * scale).round_ties_even();
                // SAFETY: it is at most LARGEST_ACTIVATION, or zero or NaN times zero.
                *rest = if x.is_nan() { 0 } else { unsafe { x.to_int_unchecked() } };
            }
            for d in (0..DIGITS).rev() {
                // SAFETY: the column's own row.
                let row = unsafe { self.digits.part(self.first_digit + (chunk * DIGITS + d) * LANES, 1) };
                for (rest, digit) in rest.iter_mut().zip(&mut row[0].0) {
                    let low = *rest as i8;
                    *digit = low as u8;
                    totals[d] += i32::from(low);
                    *rest = (*rest - i32::from(low)) >> 8;
                }
            }
        }
        for power in 0..DIGITS {
            // With each of the weights' digits, from the highest on, the activations' digit that makes this power.
            let bias: i32 = (0..=power.min(2)).map(|d| totals[power - d] * BIAS[2 - d]).sum();
            // SAFETY: the column's own row.
            let row = unsafe { self.start.part(self.first_start + power * LANES, 1) };
            for integer in row[0].0.as_chunks_mut::<4>().0 {
                *integer = (-bias).to_ne_bytes();
            }
        }
    }
}

/// A [`Strip`] in fixed point.
pub(crate) struct FixedStrip<'a, 'b> {
    pub(crate) strip: Strip<'a>,
    pub(crate) x: &'a Digits,
    /// Powers of two of the rows, by tile.
    pub(crate) scales: &'a [Lanes<f32>],
    pub(crate) backend: Backend,
    pub(crate) out: Option<Place<'b>>,
}

impl Task for FixedStrip<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let FixedStrip {
            strip: Strip { matrix, x: Panels { shape, .. }, tile, tiles, weights, acc, .. },
            x,
            scales,
            backend,
            out,
        } = self;
        assert_eq!(matrix.cols(), shape.k, "inner dimension of a matrix product");
        let acc = acc.at_least(shape.columns * tiles * LANES).as_chunks_mut().0;
        let scales = &scales[tile..tile + tiles];
        let finish = Finish { units: &x.units, scales, out, acc };
        let work = FixedWork { matrix, tile, x, weights, finish };
        #[cfg(target_arch = "x86_64")]
        if let Some(unit) = backend.tile_unit() {
            return work.on_tiles(s, unit);
        }
        work.run(s, backend.has_dots());
    }
}

struct FixedWork<'a, 'b> {
    matrix: &'a PackedMatrix,
    tile: usize,
    x: &'a Digits,
    weights: &'a mut Buffer,
    finish: Finish<'a, 'b>,
}

impl FixedWork<'_, '_> {
    /// With instructions that every CPU has.
    #[inline(always)]
    fn run<S: Simd>(self, s: S, dots: bool) {
        let FixedWork { matrix, tile, x, weights, mut finish } = self;
        let k = x.shape.k;
        let (weights, [sums, ..]) = room(weights, k.div_ceil(CHUNK).next_power_of_two());
        for (t, scale) in finish.scales.iter().enumerate() {
            let target = IntoDigits { scale, offset: OFFSET, out: &mut *weights, meanwhile: () };
            Decode { matrix, tile: tile + t, k0: 0, k }.run::<S, _, 1>(s, target);
            for g in 0..x.shape.groups {
                let group = x.group(g);
                let task = Dots { group: &group, weights, sums: &mut *sums };
                if dots {
                    s.vectorize_dots(task)
                } else {
                    s.vectorize(task)
                }
                finish.put(s, &group, t, sums);
            }
        }
    }

    /// With a unit for tiles. Vector instructions make digits while it multiplies those made before; the first group's sums
    /// of a tile are used when its successor's products are under way.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn on_tiles<S: Simd>(self, s: S, unit: crate::simd::TileUnit) {
        let FixedWork { matrix, tile, x, weights, mut finish } = self;
        let k = x.shape.k;
        let chunks = k.div_ceil(CHUNK).next_power_of_two();
        // If no other group needs them again, only the chunk in work and the one being made are kept, and some to spare.
        let chunks = if x.shape.groups == 1 { chunks.min(4) } else { chunks };
        let (weights, [mut now, mut before, other]) = room(weights, chunks);
        let first = x.group(0);
        // The first group is the widest.
        let mut unit = unit.configure(first.columns);
        for (t, scale) in finish.scales.iter().enumerate() {
            unit.start(first.start);
            let meanwhile = Interleaved { unit: &mut unit, x: first.digits };
            let target = IntoDigits { scale, offset: OFFSET, out: &mut *weights, meanwhile };
            Decode { matrix, tile: tile + t, k0: 0, k }.run::<S, _, 1>(s, target);
            unit.finish(now);
            for g in 1..x.shape.groups {
                let group = x.group(g);
                unit.start(group.start);
                for (x, weights) in group.digits.iter().zip(&*weights) {
                    for step in 0..crate::simd::Tiles::STEPS {
                        unit.step(step, x, weights);
                    }
                }
                unit.finish(other);
                finish.put(s, &group, t, other);
            }
            if t > 0 {
                finish.put(s, &first, t - 1, before);
            }
            std::mem::swap(&mut now, &mut before);
        }
        let last = finish.scales.len() - 1;
        finish.put(s, &first, last, before);
    }
}

/// Room for digits of so many chunks of weights, and for three times sums.
fn room(buffer: &mut Buffer, chunks: usize) -> (&mut [Chunk], [&mut Sums; 3]) {
    let lines = buffer.at_least((chunks * CHUNK_LANES + 3 * DIGITS * LANES) * LANES).as_chunks_mut().0;
    let (weights, sums) = lines.split_at_mut(chunks * CHUNK_LANES);
    let [a, b, c] = sums.as_chunks_mut().0 else { unreachable!("room for three") };
    (weights.as_chunks_mut().0, [a, b, c])
}

/// Products of a group with the chunks that are there, while later ones are made.
#[cfg(target_arch = "x86_64")]
struct Interleaved<'a> {
    unit: &'a mut crate::simd::Tiles,
    x: &'a [Rows],
}

#[cfg(target_arch = "x86_64")]
impl Interleaved<'_> {
    #[inline(always)]
    fn step(&mut self, chunk: usize, step: usize, digits: &[Chunk]) {
        self.unit.step(step, &self.x[chunk], &digits[chunk & (digits.len() - 1)]);
    }
}

/// Steps that are due before the `quad`th of a chunk.
#[cfg(target_arch = "x86_64")]
fn due(quad: usize) -> usize {
    (quad * crate::simd::Tiles::STEPS).div_ceil(QUADS)
}

#[cfg(target_arch = "x86_64")]
impl Meanwhile for Interleaved<'_> {
    #[inline(always)]
    fn after(&mut self, quad: usize, digits: &[Chunk]) {
        // The steps of the chunk before, evenly over the quads of this one.
        let (chunk, quad) = (quad / QUADS, quad % QUADS);
        let step = due(quad);
        if chunk > 0 && step < due(quad + 1) {
            self.step(chunk - 1, step, digits);
        }
    }

    #[inline(always)]
    fn finish(mut self, quads: usize, digits: &[Chunk]) {
        let last = (quads - 1) / QUADS;
        if last > 0 {
            for step in due((quads - 1) % QUADS + 1)..crate::simd::Tiles::STEPS {
                self.step(last - 1, step, digits);
            }
        }
        for step in 0..crate::simd::Tiles::STEPS {
            self.step(last, step, digits);
        }
    }
}

/// Turns sums into the strip's results.
struct Finish<'a, 'b> {
    units: &'a [f32],
    /// Powers of two of the strip's rows.
    scales: &'a [Lanes<f32>],
    out: Option<Place<'b>>,
    /// `[column][tile]`, if there is no other place.
    acc: &'a mut [Lanes<f32>],
}

impl Finish<'_, '_> {
    /// A group's sums with tile `t` of the strip.
    #[inline(always)]
    fn put<S: Simd>(&mut self, s: S, group: &Group<'_>, t: usize, sums: &Sums) {
        let unit = s.div(s.splat(65536.0), s.load(&self.scales[t]));
        for column in 0..group.columns.min(LANES) {
            let mut y = s.splat(0.0);
            for power in (0..DIGITS).rev() {
                let sum = s.to_f32(s.bits(s.load(&sums[power * LANES + column])));
                y = s.fma(sum, s.splat((1 << (8 * (DIGITS - 1 - power))) as f32), y);
            }
            let column = group.first + column;
            let y = s.mul(s.mul(y, unit), s.splat(self.units[column]));
            let place = match &self.out {
                // SAFETY: whoever made this vouches for these elements.
                Some((out, start, stride)) => unsafe { out.part(start + column * stride + t * LANES, LANES) },
                None => &mut self.acc[column * self.scales.len() + t],
            };
            s.store(place.first_chunk_mut().expect("a vector's place"), y);
        }
    }
}

/// Products of a group's digits with those of 16 rows of weights, for CPUs without a unit for them.
struct Dots<'a> {
    group: &'a Group<'a>,
    weights: &'a [Chunk],
    sums: &'a mut Sums,
}

impl Task for Dots<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Group { digits, start, columns, .. } = *self.group;
        for column in 0..columns {
            let integer = |row: &Row, i: usize| i32::from_le_bytes(row.0.as_chunks::<4>().0[i]);
            let mut sum = [s.splat_i32(0); DIGITS];
            for power in 0..DIGITS {
                sum[power] = s.splat_i32(integer(&start[power * LANES + column], 0));
            }
            for (x, w) in digits.iter().zip(self.weights) {
                for quad in 0..QUADS {
                    // Digits of weights come lowest first, those of activations highest first.
                    for d in 0..3 {
                        let w = s.bits(s.load(&w[(2 - d) * QUADS + quad]));
                        for power in d..DIGITS {
                            let x = s.splat_i32(integer(&x[(power - d) * LANES + column], quad));
                            sum[power] = s.dot(sum[power], w, x);
                        }
                    }
                }
            }
            for power in 0..DIGITS {
                s.store(&mut self.sums[power * LANES + column], s.bitcast(sum[power]));
            }
        }
    }
}
