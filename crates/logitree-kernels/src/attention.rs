//! Attention of a batch of tree nodes, each over its own path.
//!
//! ```text
//! for chunk of up to 8 neighbouring queries, for KV head:      handed out to threads
//!   for block of 16 positions (or two, if all of the chunk see them):
//!     transpose the 16 key rows once for all queries that share them
//!     scores[query][head][16] = q · keys                       d in order
//!   softmax of each query and head
//!   for block of 16 positions:
//!     out[query][head][d] += p · values                        positions in order
//! ```
//!
//! Blocks are aligned to positions of the sequence and every sum runs in order of `d` or of positions, so
//! it does not matter which queries share a block, how the path is laid out in memory, or
//! when its rows were written.
//!
//! 1. Neighbouring queries of a batch often see the same rows: those runs of queries are found for each block
//!    ([`each_sharing`]), and their rows are loaded and transposed once.
//! 2. Keys are transposed, so that lanes are positions: 16 scores of a query are one vector and no sum is horizontal.
//! 3. An inner kernel takes [`WIDE`] pairs of a query and a head at once, so that each vector of keys or values that it
//!    loads is used that often.
//! 4. The rows of the next block are prefetched while one is computed, because a path's rows may lie anywhere.

use crate::buffer::Buffer;
use crate::compute::{Compute, Scratch};
use crate::kv::{KvKind, KvPages};
use crate::math::{exp, sum, tanh};
use crate::pack::RUN;
use crate::panels::Panels;
use crate::simd::{LANES, Lanes, Simd, Task};

/// Most queries that a thread computes together.
const CHUNK: usize = 8;

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

/// One query's view of the store.
#[derive(Clone, Copy, Debug)]
pub struct Visible<'a> {
    /// Slots of the path, from the sequence's first position to the query's own.
    pub path: &'a [u32],
    /// First visible position (later than 0 in a sliding window).
    pub start: usize,
}

/// Attention of all columns: `q` is `[columns][heads · head_dim]`, already scaled; `visible` has
/// one entry per column; the result goes to `out`, `[columns][heads · head_dim]`.
///
/// # Panics
/// If shapes do not match or the head size is not a multiple of 16.
pub fn attention(
    compute: &mut Compute,
    shape: &AttentionShape,
    kv: &KvPages,
    q: &[f32],
    visible: &[Visible<'_>],
    out: &mut Panels,
) {
    let width = shape.heads * shape.head_dim;
    assert_eq!(q.len(), visible.len() * width, "length of the queries");
    assert!(out.columns() == visible.len() && out.shape.k == width, "output of attention");
    assert!(visible.iter().all(|v| v.start < v.path.len()), "a query must see a position");
    assert!(shape.head_dim.is_multiple_of(LANES) && shape.heads.is_multiple_of(shape.kv_heads));
    // Each thread gets as many chunks as the others, of about the same size.
    let chunks = visible.len().div_ceil(CHUNK).next_multiple_of(compute.team.threads()).min(visible.len());
    let group = shape.heads / shape.kv_heads;
    let size = group * shape.head_dim;
    // Panels are written in runs of 32 elements. If the elements of a KV head's queries are not whole runs, two KV
    // heads share one and are computed together.
    let together = if width.is_multiple_of(RUN) && !size.is_multiple_of(RUN) { 2 } else { 1 };
    let tasks = chunks * shape.kv_heads / together;
    let (backend, scratch, writer) = (compute.backend, &compute.scratch, out.writer());
    // Later queries of a prompt see more rows. They are taken first, so that no thread begins the largest chunk last.
    compute.team.each(tasks, |thread, i| {
        let i = tasks - 1 - i;
        let parts = shape.kv_heads / together;
        let (chunk, kv_head) = (i / parts, i % parts * together);
        let [first, end] = [chunk, chunk + 1].map(|chunk| chunk * visible.len() / chunks);
        let visible = &visible[first..end];
        // SAFETY: `thread` is this thread's own index.
        let Scratch { weights, work, more, rows, .. } = unsafe { scratch.get(thread) };
        let rows = rows.at_least(visible.len() * together * size);
        for h in 0..together {
            let (q, kv_head) = (&q[first * width..], kv_head + h);
            backend.dispatch(Chunk { shape, kv, kv_head, q, visible, tile: weights, scores: work, acc: more });
            for (row, acc) in rows.chunks_exact_mut(together * size).zip(more.chunks_exact(size)) {
                row[h * size..][..size].copy_from_slice(acc);
            }
        }
        for (n, row) in rows.chunks_exact(together * size).enumerate() {
            // SAFETY: each chunk and KV head is handed out once; they cover disjoint elements.
            unsafe { writer.set(first + n, kv_head * size, row) };
        }
    });
}

/// Attention of neighbouring queries to one KV head.
struct Chunk<'a> {
    shape: &'a AttentionShape,
    kv: &'a KvPages,
    kv_head: usize,
    /// `[queries][heads · head_dim]`, starting with the chunk's first.
    q: &'a [f32],
    visible: &'a [Visible<'a>],
    tile: &'a mut Buffer,
    scores: &'a mut Buffer,
    acc: &'a mut Buffer,
}

impl Task for Chunk<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Chunk { shape, kv, kv_head, q, visible, tile, scores, acc } = self;
        let dim = shape.head_dim;
        let group = shape.heads / shape.kv_heads;
        let tile = tile.at_least(2 * dim * LANES).as_chunks_mut::<LANES>().0;
        // Scores are indexed by position, beginning with the first block that one of the queries sees.
        let base = visible.iter().map(|v| v.start).min().unwrap_or(0) / LANES * LANES;
        let longest = visible.iter().map(|v| v.path.len()).max().unwrap_or(0);
        let stride = (longest - base).div_ceil(LANES) * LANES;
        let scores = scores.at_least(visible.len() * group * stride);
        let acc = acc.at_least(visible.len() * group * dim);
        acc.fill(0.0);
        // Blocks that all queries see from end to end are taken in pairs, which saves loads and calls. Only backends
        // with 32 long registers do this: on others the sums of two blocks need more registers than there are.
        let pairs = if S::TILES == 4 { common(visible) } else { 0..0 };
        let mut next = base;
        let blocks = std::iter::from_fn(move || {
            let at = next;
            next += if pairs.contains(&at) { 2 * LANES } else { LANES };
            (at < longest).then_some((at, next - at > LANES))
        });

        let row = |kind, slot| &kv.row(shape.layer, kind, slot)[kv_head * dim..][..dim];
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
                columns(($members.start * group)..($members.end * group), |first, n| {
                    let x = |c: usize| {
                        let c = first + c;
                        &q[(c / group * shape.heads + kv_head * group + c % group) * dim..][..dim]
                    };
                    let out = |c: usize| (first + c) * stride + at - base;
                    let x = std::array::from_fn(|c| x(c.min(n - 1)));
                    s.vectorize(Dots::<_, $blocks> { tile, x, out, n, scores });
                });
            };
        }
        for (at, pair) in blocks.clone() {
            if pair {
                score!(2, 0..visible.len(), visible[0].path, at);
            } else {
                each_sharing(visible, at, false, |members, path, _| {
                    score!(1, members, path, at);
                });
            }
        }
        for (c, scores) in scores.chunks_exact_mut(stride).take(visible.len() * group).enumerate() {
            let v = &visible[c / group];
            softmax(s, shape.softcap, &mut scores[..], v.start - base, v.path.len() - base);
        }
        macro_rules! weigh {
            ($blocks:literal, $members:expr, $path:expr, $at:expr, $range:expr) => {
                let (path, at, (from, to)): (&[u32], usize, (usize, usize)) = ($path, $at, $range);
                let values: [&[f32]; $blocks * LANES] =
                    std::array::from_fn(|i| row(KvKind::Value, path[(at + i).clamp(from, to - 1)]));
                let soon: [_; $blocks * LANES] = following(path, at + $blocks * LANES);
                let soon = soon.map(|slot| row(KvKind::Value, slot));
                let mut soon = &soon[..];
                columns(($members.start * group)..($members.end * group), |first, n| {
                    let p = std::array::from_fn(|c| {
                        let c = first + c.min(n - 1);
                        &scores[c * stride + at - base..][..$blocks * LANES]
                    });
                    let acc = &mut acc[first * dim..];
                    let soon = std::mem::take(&mut soon);
                    s.vectorize(Weigh { values: &values, from: from - at, to: to - at, soon, p, n, dim, acc });
                });
            };
        }
        for (at, pair) in blocks {
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

/// The positions that all queries see and whose rows they share, cut to pairs of whole blocks.
fn common(visible: &[Visible<'_>]) -> std::ops::Range<usize> {
    let start = visible.iter().map(|v| v.start).max().unwrap_or(0).next_multiple_of(LANES);
    let end = visible.iter().fold(usize::MAX, |end, v| {
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

/// Cuts a range into pieces of at most [`WIDE`]: `f(first, count)`.
#[inline(always)]
fn columns(range: std::ops::Range<usize>, mut f: impl FnMut(usize, usize)) {
    let end = range.end;
    for first in range.step_by(WIDE) {
        f(first, WIDE.min(end - first));
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
struct Dots<'a, F, const B: usize> {
    tile: &'a [Lanes<f32>],
    x: [&'a [f32]; WIDE],
    out: F,
    n: usize,
    scores: &'a mut [f32],
}

impl<F: Fn(usize) -> usize, const B: usize> Task for Dots<'_, F, B> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Dots { tile, mut x, out, n, scores } = self;
        let dim = tile.len() / B;
        let mut tiles = [tile; B];
        for b in 0..B {
            tiles[b] = &tile[b * dim..][..dim];
        }
        for c in 0..WIDE {
            x[c] = &x[c][..dim];
        }
        let mut acc = [[s.splat(0.0); B]; WIDE];
        for d in 0..dim {
            let mut keys = [s.splat(0.0); B];
            for b in 0..B {
                keys[b] = s.load(&tiles[b][d]);
            }
            for c in 0..WIDE {
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
        // A row is read several cache lines at a time rather than one by one: processors fetch neighbouring lines
        // together, and a probability that is loaded into all lanes serves several vectors.
        let wide = if const { S::TILES == 4 } { self.dim / (PIECE * LANES) * (PIECE * LANES) } else { 0 };
        for d in (0..wide).step_by(PIECE * LANES) {
            self.piece::<S, PIECE>(s, d);
        }
        for d in (wide..self.dim).step_by(LANES) {
            self.piece::<S, 1>(s, d);
        }
    }
}

impl Weigh<'_> {
    /// Elements `d .. d + 16 N`.
    #[inline(always)]
    fn piece<S: Simd, const N: usize>(&mut self, s: S, d: usize) {
        let mut acc = [[s.splat(0.0); N]; WIDE];
        for c in 0..self.n {
            let from = self.acc[c * self.dim + d..][..N * LANES].as_chunks().0;
            for j in 0..N {
                acc[c][j] = s.load(&from[j]);
            }
        }
        for i in self.from..self.to {
            if let Some(row) = self.soon.get(i) {
                for j in 0..N {
                    s.prefetch_second(row.as_ptr().wrapping_add(d + j * LANES).cast());
                }
            }
            let row = self.values[i][d..][..N * LANES].as_chunks().0;
            let mut v = [s.splat(0.0); N];
            for j in 0..N {
                v[j] = s.load(&row[j]);
            }
            for c in 0..WIDE {
                let p = s.splat(self.p[c][i]);
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

/// Turns scores at `from..to` into probabilities.
#[inline(always)]
fn softmax<S: Simd>(s: S, softcap: Option<f32>, scores: &mut [f32], from: usize, to: usize) {
    let blocks = scores.as_chunks_mut::<LANES>().0;
    let (first, last) = (from / LANES, (to - 1) / LANES);
    // The first and the last block may hold scores of keys that only other queries see. They are left out of the
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
    let top = s.splat(s.array(top).into_iter().fold(f32::MIN, f32::max));
    let mut total = s.splat(0.0);
    for b in first..=last {
        let e = exp(s, s.sub(s.load(&blocks[b]), top));
        s.store(&mut blocks[b], e);
        hide(b, &mut blocks[b], 0.0);
        total = s.add(total, s.load(&blocks[b]));
    }
    let scale = s.splat((1.0 / sum(s, total)) as f32);
    for block in &mut blocks[first..=last] {
        let p = s.mul(s.load(block), scale);
        s.store(block, p);
    }
}
