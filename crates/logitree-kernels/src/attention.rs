//! Attention of a batch of tree nodes, each over its own path.
//!
//! ```text
//! for block of 128 positions:
//!   for 16 positions (or 32, if all queries of the chunk see them):
//!     transpose the key rows once for all queries that share them
//!     scores[query][head][16] = q · keys                       d in order
//!   weights of each query and head: exp(score - the block's largest score)
//!   for 16 positions (or 32):
//!     sums[query][head][d] += weight · values                  positions in order
//! result = the blocks' sums, added in order: each of two is scaled to the larger one's largest score
//! ```
//!
//! Blocks are aligned to positions of the sequence, and every sum runs in order of `d`, of positions or of blocks, so it
//! does not matter which queries share a block, which thread takes it, how the path is laid out in memory, or when its
//! rows were written.
//!
//! 1. Few queries, as of a tree or of one sequence: blocks are handed out to threads, and their sums are added
//!    afterwards. So each row is read once, by one thread, for all queries.
//! 2. Many queries, as of a prompt: chunks of queries are handed out, and a chunk's blocks are added as they come. The
//!    scores of a block stay in the fast caches until they are used.

mod block;

use crate::compute::{Compute, Scratch};
use crate::kv::KvPages;
use crate::pack::RUN;
use crate::panels::Panels;
use crate::partial::{Scale, add, finish};
use crate::simd::{LANES, Simd, Task};
use crate::team::Parts;
use block::{BLOCK, Block};

pub use block::{AttentionShape, Visible};

/// Most queries of a large batch that a thread computes together.
const CHUNK: usize = 16;
/// Most queries of a batch whose blocks are handed out to threads.
const FEW: usize = 32;
/// Queries of a thread that are enough to share what it loads.
const SHARED: usize = 4;
/// Blocks for each thread that are many.
const MANY: usize = 16;
/// Pieces of work for each thread, at least: they are of different sizes.
const PER_THREAD: usize = 4;

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
    let blocks = blocks_of(visible).len();
    let threads = compute.team.threads();
    // With chunks of queries, each thread reads all rows. That is worse if there are many of them, or if a thread has too
    // few queries to share what it loads.
    let pays = visible.len() <= SHARED * threads || blocks * shape.kv_heads >= MANY * threads;
    if blocks > 1 && visible.len() <= FEW && pays {
        return by_blocks(compute, shape, kv, q, visible, out);
    }
    // Each thread gets as many chunks as the others, of about the same size.
    let chunks = visible.len().div_ceil(CHUNK).next_multiple_of(threads).min(visible.len());
    let size = shape.group() * shape.head_dim;
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
        let scratch = unsafe { scratch.get(thread) };
        let mut rows = std::mem::take(&mut scratch.rows);
        let results = rows.at_least(visible.len() * together * size);
        for h in 0..together {
            let q = &q[first * width..];
            let block = Block { shape, kv, kv_head: kv_head + h, q, visible };
            let blocks = blocks_of(visible);
            let results = (&mut results[h * size..], together * size);
            backend.dispatch(InOrder { block, blocks, scratch: &mut *scratch, results });
        }
        for (n, row) in results.chunks_exact(together * size).enumerate() {
            // SAFETY: each chunk and KV head is handed out once; they cover disjoint elements.
            unsafe { writer.set(first + n, kv_head * size, row) };
        }
        scratch.rows = rows;
    });
}

/// The blocks in which the queries see positions.
fn blocks_of(visible: &[Visible<'_>]) -> std::ops::Range<usize> {
    let first = visible.iter().map(|v| v.start).min().unwrap_or(0) / BLOCK;
    let longest = visible.iter().map(|v| v.path.len()).max().unwrap_or(0);
    first..longest.div_ceil(BLOCK)
}

/// Attention of few queries: threads take blocks, and then queries, whose blocks they add.
fn by_blocks(
    compute: &mut Compute,
    shape: &AttentionShape,
    kv: &KvPages,
    q: &[f32],
    visible: &[Visible<'_>],
    out: &mut Panels,
) {
    let (dim, group) = (shape.head_dim, shape.group());
    let (blocks, size) = (blocks_of(visible), group * dim);
    // Sums and scales of each block: `[block][KV head][query][head][dim]`, and the same without `dim`.
    let at = |block: usize, kv_head: usize, query: usize| (block * shape.kv_heads + kv_head) * visible.len() + query;
    let mut held = std::mem::take(&mut compute.blocks);
    let rows = at(blocks.len(), 0, 0);
    let sums = Parts::new(held.0.at_least(rows * size));
    held.1.clear();
    held.1.resize(rows * group, Scale::NONE);
    let scales = Parts::new(&mut held.1[..]);
    // Where there are few blocks, threads take some of the queries. Then more of them read the same rows, but not many.
    let wanted = PER_THREAD * compute.team.threads();
    let chunks = wanted.div_ceil(blocks.len() * shape.kv_heads).min(visible.len());
    let tasks = blocks.len() * shape.kv_heads * chunks;
    let (backend, scratch, writer) = (compute.backend, &compute.scratch, out.writer());
    // The last blocks, in which paths often have rows of their own, take longest and come first.
    compute.team.each(tasks, |thread, i| {
        let (b, kv_head) = ((tasks - 1 - i) / chunks % blocks.len(), (tasks - 1 - i) / chunks / blocks.len());
        let chunk = i % chunks;
        let [first, end] = [chunk, chunk + 1].map(|chunk| chunk * visible.len() / chunks);
        let first_row = at(b, kv_head, first);
        let q = &q[first * shape.heads * dim..];
        let block = Block { shape, kv, kv_head, q, visible: &visible[first..end] };
        // SAFETY: `thread` is this thread's own index; each block, KV head and chunk is handed out once, and they cover
        // disjoint elements.
        let (scratch, sums, scales) = unsafe {
            let n = end - first;
            (scratch.get(thread), sums.part(first_row * size, n * size), scales.part(first_row * group, n * group))
        };
        backend.dispatch(One { block, at: (blocks.start + b) * BLOCK, scratch, sums, scales });
    });
    let (sums, scales) = (&held.0, &held.1);
    compute.team.each(visible.len(), |thread, n| {
        // SAFETY: `thread` is this thread's own index.
        let rows = unsafe { scratch.get(thread) }.rows.at_least(shape.heads * dim);
        for (head, row) in rows.chunks_exact_mut(dim).enumerate() {
            let parts = (0..blocks.len()).map(|b| {
                let column = at(b, head / group, n) * group + head % group;
                (scales[column], &sums[column * dim..][..dim])
            });
            backend.dispatch(Added { parts, row });
        }
        // SAFETY: each query is handed out once.
        unsafe { writer.set(n, 0, rows) };
    });
    compute.blocks = held;
}

/// One block: its sums, `[query][head][dim]`, and what they are relative to, `[query][head]`.
struct One<'a> {
    block: Block<'a>,
    at: usize,
    scratch: &'a mut Scratch,
    sums: &'a mut [f32],
    scales: &'a mut [Scale],
}

impl Task for One<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Scratch { weights, work, .. } = self.scratch;
        self.block.sums(s, self.at, [weights, work], (self.sums, self.scales));
    }
}

/// The blocks of a chunk, added as they come. `results`: rows of `[head][dim]`, and how far apart they are.
struct InOrder<'a> {
    block: Block<'a>,
    blocks: std::ops::Range<usize>,
    scratch: &'a mut Scratch,
    results: (&'a mut [f32], usize),
}

impl Task for InOrder<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let InOrder { block, blocks, scratch, results: (results, stride) } = self;
        let Scratch { weights, work, more, scales, acc, added, .. } = scratch;
        let (dim, group) = (block.shape.head_dim, block.shape.group());
        let columns = block.visible.len() * group;
        added.clear();
        added.resize(columns, Scale::NONE);
        scales.resize(columns, Scale::NONE);
        let (sums, more) = (acc.at_least(columns * dim), more.at_least(columns * dim));
        for b in blocks {
            block.sums(s, b * BLOCK, [weights, work], (more, scales));
            for (c, sums) in sums.chunks_exact_mut(dim).enumerate() {
                add(s, (&mut added[c], sums), (scales[c], &more[c * dim..][..dim]));
            }
        }
        for (c, sums) in sums.chunks_exact_mut(dim).enumerate() {
            finish(s, added[c], sums);
            results[c / group * stride + c % group * dim..][..dim].copy_from_slice(sums);
        }
    }
}

/// Adds the blocks of one query and head.
struct Added<'a, I> {
    parts: I,
    row: &'a mut [f32],
}

impl<'a, I: Iterator<Item = (Scale, &'a [f32])>> Task for Added<'_, I> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut scale = Scale::NONE;
        for part in self.parts {
            add(s, (&mut scale, &mut *self.row), part);
        }
        finish(s, scale, self.row);
    }
}
