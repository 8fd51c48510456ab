//! The scores, weights and sums of a block of positions.
//!
//! 1. Neighbouring queries of a batch often see the same rows: those runs of queries are found for each 16 positions
//!    ([`each_sharing`]), and their rows are loaded and transposed once.
//! 2. Keys are transposed, so that lanes are positions: 16 scores of a query are one vector and no sum is horizontal.
//! 3. An inner kernel takes [`WIDE`] pairs of a query and a head at once, or twice as many, so that each vector of keys or
//!    values that it loads is used that often.
//! 4. The next rows are prefetched while some are computed, because a path's rows may lie anywhere.

use crate::buffer::Buffer;
use crate::kv::{KvKind, KvPages};
use crate::math::{exp, sum, tanh};
use crate::partial::Scale;
use crate::simd::{LANES, Lanes, Simd, Task};

/// Shape and constants of a layer's attention.
#[derive(Clone, Copy, Debug)]
pub struct AttentionShape {
    /// Index of the layer in the store.
    pub layer: usize,
    /// Query heads.
    pub heads: usize,
    /// Key/value heads; divides `heads`.
    pub kv_heads: usize,
    /// Elements of a head, a multiple of 16.
    pub head_dim: usize,
    /// Multiplier of queries.
    pub scale: f32,
    /// `cap · tanh(score / cap)`.
    pub softcap: Option<f32>,
}

impl AttentionShape {
    /// Query heads that share a KV head.
    pub(super) fn group(&self) -> usize {
        self.heads / self.kv_heads
    }
}

/// One query's view of the store.
#[derive(Clone, Copy, Debug)]
pub struct Visible<'a> {
    /// Slots of the path, from the sequence's first position to the query's own.
    pub path: &'a [u32],
    /// First visible position (later than 0 in a sliding window).
    pub start: usize,
}

/// Positions of a block. It decides the order of sums, so it is the same for all batches and machines.
pub(super) const BLOCK: usize = 128;

/// Neighbouring queries and one KV head.
pub(super) struct Block<'a> {
    pub(super) shape: &'a AttentionShape,
    pub(super) kv: &'a KvPages,
    pub(super) kv_head: usize,
    /// `[queries][heads · head_dim]`, starting with the first of these queries.
    pub(super) q: &'a [f32],
    pub(super) visible: &'a [Visible<'a>],
}

impl Block<'_> {
    /// The sums of the block that begins at `start`: weighted values, `[query][head][dim]`, and what they are relative to,
    /// `[query][head]`.
    #[inline(always)]
    pub(super) fn sums<S: Simd>(
        &self,
        s: S,
        start: usize,
        [tile, scores]: [&mut Buffer; 2],
        (acc, scales): (&mut [f32], &mut [Scale]),
    ) {
        let Block { shape, kv, kv_head, q, visible } = *self;
        let dim = shape.head_dim;
        let group = shape.group();
        let tile = tile.at_least(2 * dim * LANES).as_chunks_mut::<LANES>().0;
        let longest = visible.iter().map(|v| v.path.len()).max().unwrap_or(0).min(start + BLOCK);
        let base = start.max(visible.iter().map(|v| v.start).min().unwrap_or(0) / LANES * LANES);
        let scores = scores.at_least(visible.len() * group * BLOCK);
        acc.fill(0.0);
        scales.fill(Scale::NONE);
        // Positions that all queries see are taken 32 at a time, which saves loads and calls. Only backends with 32
        // long registers do this: on others the sums need more registers than there are.
        let pairs = if S::TILES == 4 { common(visible, base..longest) } else { 0..0 };
        let mut next = base;
        let steps = std::iter::from_fn(move || {
            let at = next;
            next += if pairs.contains(&at) { 2 * LANES } else { LANES };
            (at < longest).then_some((at, next - at > LANES))
        });

        let row = |kind, slot| kv.row(shape.layer, kind, slot, kv_head, dim);
        macro_rules! score {
            ($blocks:literal, $members:expr, $path:expr, $at:expr) => {
                let (path, at): (&[u32], usize) = ($path, $at);
                let tile = &mut tile[..$blocks * dim];
                for (b, tile) in tile.chunks_exact_mut(dim).enumerate() {
                    let at = at + b * LANES;
                    let rows: [&[f32]; LANES] = std::array::from_fn(|i| match path.get(at + i) {
                        Some(&slot) => row(KvKind::Key, slot),
                        None => &[],
                    });
                    let soon = following(path, at + $blocks * LANES);
                    s.vectorize(Transpose { rows, soon: soon.map(|slot| row(KvKind::Key, slot)), tile });
                }
                let all = ($members.start * group)..($members.end * group);
                columns(all, if S::TILES == 4 { 2 * WIDE } else { WIDE }, |first, n| {
                    let x = |c: usize| {
                        let c = first + c;
                        &q[(c / group * shape.heads + kv_head * group + c % group) * dim..][..dim]
                    };
                    let out = |c: usize| (first + c) * BLOCK + at - start;
                    if n > WIDE {
                        let x = std::array::from_fn(|c| x(c.min(n - 1)));
                        s.vectorize(Dots::<_, $blocks, { 2 * WIDE }> { tile, x, out, n, scores });
                    } else {
                        let x = std::array::from_fn(|c| x(c.min(n - 1)));
                        s.vectorize(Dots::<_, $blocks, WIDE> { tile, x, out, n, scores });
                    }
                });
            };
        }
        for (at, pair) in steps.clone() {
            if pair {
                score!(2, 0..visible.len(), visible[0].path, at);
            } else {
                each_sharing(visible, at, false, |members, path, _| {
                    score!(1, members, path, at);
                });
            }
        }
        for (c, scores) in scores.chunks_exact_mut(BLOCK).take(visible.len() * group).enumerate() {
            let v = &visible[c / group];
            let (from, to) = (v.start.max(start), v.path.len().min(start + BLOCK));
            if from < to {
                scales[c] = weights(s, shape.softcap, &mut scores[..], from - start, to - start);
            }
        }
        macro_rules! weigh {
            ($blocks:literal, $members:expr, $path:expr, $at:expr, $range:expr) => {
                let (path, at, (from, to)): (&[u32], usize, (usize, usize)) = ($path, $at, $range);
                let values: [&[f32]; $blocks * LANES] =
                    std::array::from_fn(|i| row(KvKind::Value, path[(at + i).clamp(from, to - 1)]));
                let soon: [_; $blocks * LANES] = following(path, at + $blocks * LANES);
                let soon = soon.map(|slot| row(KvKind::Value, slot));
                let mut soon = &soon[..];
                columns(($members.start * group)..($members.end * group), WIDE, |first, n| {
                    let p = std::array::from_fn(|c| {
                        let c = first + c.min(n - 1);
                        &scores[c * BLOCK + at - start..][..$blocks * LANES]
                    });
                    let acc = &mut acc[first * dim..];
                    let soon = std::mem::take(&mut soon);
                    s.vectorize(Weigh { values: &values, from: from - at, to: to - at, soon, p, n, dim, acc });
                });
            };
        }
        for (at, pair) in steps {
            if pair {
                weigh!(2, 0..visible.len(), visible[0].path, at, (at, at + 2 * LANES));
            } else {
                each_sharing(visible, at, true, |members, path, range| {
                    weigh!(1, members, path, at, range);
                });
            }
        }
    }
}

/// Those of the positions that all queries see and whose rows they share, from a multiple of 16 on and 32 at a time.
fn common(visible: &[Visible<'_>], of: std::ops::Range<usize>) -> std::ops::Range<usize> {
    let start = visible.iter().map(|v| v.start).max().unwrap_or(0).next_multiple_of(LANES).max(of.start);
    let end = visible.iter().fold(of.end, |end, v| {
        let (first, path) = (visible[0].path, v.path);
        let seen = end.min(first.len()).min(path.len());
        if first.get(start..seen) == path.get(start..seen) {
            return seen;
        }
        (start..seen).find(|&at| first[at] != path[at]).unwrap_or(start)
    });
    start..start + end.saturating_sub(start) / (2 * LANES) * (2 * LANES)
}

/// Slots of the `N` positions from `at` on. Beyond the end of the path its last slot is repeated, because a row to
/// prefetch must exist.
fn following<const N: usize>(path: &[u32], at: usize) -> [u32; N] {
    std::array::from_fn(|i| path[(at + i).min(path.len() - 1)])
}

/// Turns up to 16 key rows into `tile[d][16 keys]`; missing rows are zero.
struct Transpose<'a> {
    rows: [&'a [f32]; LANES],
    /// Rows of the next block, to prefetch.
    soon: [&'a [f32]; LANES],
    tile: &'a mut [Lanes<f32>],
}

impl Task for Transpose<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        const ZERO: Lanes<f32> = [0.0; LANES];
        for (i, tile) in self.tile.chunks_exact_mut(LANES).enumerate() {
            let mut rows = [&ZERO; LANES];
            for j in 0..LANES {
                if let Some(row) = self.rows[j].as_chunks().0.get(i) {
                    rows[j] = row;
                }
            }
            s.transpose(rows, tile.as_flattened_mut());
            for row in self.soon {
                s.prefetch_second(row.as_ptr().wrapping_add(i * LANES).cast());
            }
        }
    }
}

/// Pairs of a query and a head that one call of an inner kernel takes.
const WIDE: usize = 4;
/// Vectors of a value row that are taken at once, if there are enough registers for their sums.
const PIECE: usize = 4;

/// Cuts a range into pieces of at most `wide`: `f(first, count)`.
#[inline(always)]
fn columns(range: std::ops::Range<usize>, wide: usize, mut f: impl FnMut(usize, usize)) {
    let end = range.end;
    for first in range.step_by(wide) {
        f(first, wide.min(end - first));
    }
}

/// Calls `f(members, path, (from, to))` for maximal runs of neighbouring queries that see the same
/// rows in the block of positions at `at`; with `exact`, also the same range `from..to` of them.
/// `path` is the longest of the members' paths.
#[inline(always)]
fn each_sharing<'a>(
    visible: &[Visible<'a>],
    at: usize,
    exact: bool,
    mut f: impl FnMut(std::ops::Range<usize>, &'a [u32], (usize, usize)),
) {
    let range = |v: &Visible<'_>| (v.start.max(at), v.path.len().min(at + LANES));
    let mut first = 0;
    while first < visible.len() {
        let (from, to) = range(&visible[first]);
        if from >= to {
            first += 1;
            continue;
        }
        let mut path = visible[first].path;
        let mut end = first + 1;
        while end < visible.len() {
            let v = &visible[end];
            let (f2, t2) = range(v);
            // Rows are compared as far as both paths go. If this member's path is longer, those after it are compared
            // with it.
            let common = path.len().min(at + LANES).min(t2);
            let same_rows = f2 < t2 && path[at..common] == v.path[at..common];
            if !same_rows || (exact && (f2, t2) != (from, to)) {
                break;
            }
            if v.path.len() > path.len() {
                path = v.path;
            }
            end += 1;
        }
        f(first..end, path, (from, to));
        first = end;
    }
}

/// `scores[out(c)..][..16 B] = Σ_d tile[d] · x[c][d]` for `B` blocks of positions, `tile` being `[B][dim][16]`.
struct Dots<'a, F, const B: usize, const W: usize> {
    tile: &'a [Lanes<f32>],
    x: [&'a [f32]; W],
    out: F,
    n: usize,
    scores: &'a mut [f32],
}

impl<F: Fn(usize) -> usize, const B: usize, const W: usize> Task for Dots<'_, F, B, W> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Dots { tile, mut x, out, n, scores } = self;
        let dim = tile.len() / B;
        let mut tiles = [tile; B];
        for b in 0..B {
            tiles[b] = &tile[b * dim..][..dim];
        }
        for c in 0..W {
            x[c] = &x[c][..dim];
        }
        let mut acc = [[s.splat(0.0); B]; W];
        for d in 0..dim {
            let mut keys = [s.splat(0.0); B];
            for b in 0..B {
                keys[b] = s.load(&tiles[b][d]);
            }
            for c in 0..W {
                let x = s.splat(x[c][d]);
                for b in 0..B {
                    acc[c][b] = s.fma(keys[b], x, acc[c][b]);
                }
            }
        }
        for c in 0..n {
            let out = scores[out(c)..][..B * LANES].as_chunks_mut::<LANES>().0;
            for b in 0..B {
                s.store(&mut out[b], acc[c][b]);
            }
        }
    }
}

/// `acc[c][d] += Σ_i p[c][i] · values[i][d]` for `i` in `from..to`, in order.
struct Weigh<'a> {
    values: &'a [&'a [f32]],
    from: usize,
    to: usize,
    /// Rows of the next block, to prefetch.
    soon: &'a [&'a [f32]],
    p: [&'a [f32]; WIDE],
    n: usize,
    dim: usize,
    acc: &'a mut [f32],
}

impl Task for Weigh<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        // Checked once here, and not for every row and vector below.
        let positions = self.from..self.to;
        assert!(self.to <= self.values.len() && self.p.iter().all(|p| self.to <= p.len()));
        assert!(self.values[positions].iter().all(|row| row.len() == self.dim) && self.n * self.dim <= self.acc.len());
        // A row is read several cache lines at a time rather than one by one: processors fetch neighbouring lines
        // together, and a probability that is loaded into all lanes serves several vectors.
        let wide = if const { S::TILES == 4 } { self.dim / (PIECE * LANES) * (PIECE * LANES) } else { 0 };
        for d in (0..wide).step_by(PIECE * LANES) {
            if self.soon.is_empty() { self.piece::<S, PIECE, false>(s, d) } else { self.piece::<S, PIECE, true>(s, d) }
        }
        for d in (wide..self.dim).step_by(LANES) {
            self.piece::<S, 1, true>(s, d);
        }
    }
}

impl Weigh<'_> {
    /// Elements `d .. d + 16 N`; with `SOON`, also fetches the rows of the next block.
    #[inline(always)]
    fn piece<S: Simd, const N: usize, const SOON: bool>(&mut self, s: S, d: usize) {
        assert!(d + N * LANES <= self.dim);
        let mut acc = [[s.splat(0.0); N]; WIDE];
        for c in 0..self.n {
            let from = self.acc[c * self.dim + d..][..N * LANES].as_chunks().0;
            for j in 0..N {
                acc[c][j] = s.load(&from[j]);
            }
        }
        for i in self.from..self.to {
            if SOON && let Some(row) = self.soon.get(i) {
                for j in 0..N {
                    s.prefetch_second(row.as_ptr().wrapping_add(d + j * LANES).cast());
                }
            }
            // SAFETY: `run` has checked that position `i` exists in `values` and `p` and that its row has `dim` elements;
            // the piece ends within them.
            let (row, p): (&[Lanes<f32>; N], [f32; WIDE]) = unsafe {
                let row = self.values.get_unchecked(i).as_ptr().add(d);
                (&*row.cast(), std::array::from_fn(|c| *self.p[c].get_unchecked(i)))
            };
            let mut v = [s.splat(0.0); N];
            for j in 0..N {
                v[j] = s.load(&row[j]);
            }
            for c in 0..WIDE {
                let p = s.splat(p[c]);
                for j in 0..N {
                    acc[c][j] = s.fma(v[j], p, acc[c][j]);
                }
            }
        }
        for c in 0..self.n {
            let to = self.acc[c * self.dim + d..][..N * LANES].as_chunks_mut().0;
            for j in 0..N {
                s.store(&mut to[j], acc[c][j]);
            }
        }
    }
}

/// Turns scores at `from..to` into weights `exp(score - largest)`, and gives the largest score and the weights' sum.
#[inline(always)]
fn weights<S: Simd>(s: S, softcap: Option<f32>, scores: &mut [f32], from: usize, to: usize) -> Scale {
    let blocks = scores.as_chunks_mut::<LANES>().0;
    let (first, last) = (from / LANES, (to - 1) / LANES);
    // The first and the last vector may hold scores of keys that only other queries see. They are left out of the
    // maximum and count as zero in the sum.
    let hide = |b: usize, block: &mut Lanes<f32>, with: f32| {
        if b == first || b == last {
            for (i, x) in block.iter_mut().enumerate() {
                if b * LANES + i < from || b * LANES + i >= to {
                    *x = with;
                }
            }
        }
    };
    let mut top = s.splat(f32::MIN);
    for b in first..=last {
        if let Some(cap) = softcap {
            let x = tanh(s, s.div(s.load(&blocks[b]), s.splat(cap)));
            s.store(&mut blocks[b], s.mul(x, s.splat(cap)));
        }
        hide(b, &mut blocks[b], f32::MIN);
        top = s.max(top, s.load(&blocks[b]));
    }
    let largest = s.array(top).into_iter().fold(f32::MIN, f32::max);
    let top = s.splat(largest);
    let mut total = s.splat(0.0);
    for b in first..=last {
        let e = exp(s, s.sub(s.load(&blocks[b]), top));
        s.store(&mut blocks[b], e);
        hide(b, &mut blocks[b], 0.0);
        total = s.add(total, s.load(&blocks[b]));
    }
    Scale { largest, total: sum(s, total) }
}
