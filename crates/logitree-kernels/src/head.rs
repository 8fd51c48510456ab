//! The output matrix, fused with the statistics of the distribution.
//!
//! Logits are made in chunks of 1024 rows and reduced at once to maximum, sums, top-k and counts;
//! the logits themselves are dropped unless asked for. Memory is O(batch · (chunk + k)).
//!
//! ```text
//! logits of the wanted tokens, from their own tiles
//! for chunk of 1024 rows:                          handed out to threads
//!   logits[column][1024] = products, soft-capped
//!   for column:
//!     M, Σ e^{l-M}, Σ e^{l-M}(l-M), Σ e^{l-M}(l-M)²
//!     offer logits above the bar to this thread's list of the most likely
//!     count logits above each wanted one           its rank
//!     hash the logits                              if that is wanted
//! combine the chunks' sums in order; merge the threads' lists and counts
//! ```
//!
//! With `l` the logits and `M` a maximum, the sums `Σ e^{l-M}`, `Σ e^{l-M}(l-M)`, `Σ e^{l-M}(l-M)²` give
//! log-sum-exp, entropy and varentropy. Chunks are fixed and combined in order, in f64.

use crate::compute::{Compute, Scratch};
use crate::math::{exp, sum, tanh};
use crate::panels::Panels;
use crate::pieces::Registers;
use crate::simd::{LANES, Simd, Task};
use crate::strips::{Sizes, Strip, TileRange, strips};
use crate::team::{Parts, PerThread};
use crate::{Backend, PackedMatrix};
use sha2::{Digest, Sha256};

/// Rows of the output matrix reduced together.
const CHUNK: usize = 1024;
/// Distance between the chunks of two columns. It is not a power of two, because then all columns would fall into the
/// same sets of the caches.
const STRIDE: usize = CHUNK + 2 * LANES;
/// Columns that are computed at once; the logits of a chunk are held for all of them.
const COLUMNS: usize = 128;

/// What is wanted of one column's distribution.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// Number of most likely tokens.
    pub top: usize,
    /// Tokens whose logit and rank are wanted.
    pub tokens: &'a [u32],
    /// True if all logits are wanted.
    pub logits: bool,
    /// True if the hash of all logits is wanted.
    pub hash: bool,
}

/// The statistics of one column's distribution, and logits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Natural log of the sum of exponentials of all logits.
    pub logsumexp: f64,
    /// Entropy in nats.
    pub entropy: f64,
    /// Variance of surprisal in nats².
    pub varentropy: f64,
    /// Ids and logits of the most likely tokens, ties by smaller id.
    pub top: Vec<(u32, f32)>,
    /// Logit and rank of each wanted token, in the order of [`Wanted::tokens`]. The most likely token has rank 1.
    pub tokens: Vec<(f32, u32)>,
    /// All logits, if wanted.
    pub logits: Option<Vec<f32>>,
    /// SHA-256 of all logits, if wanted: [`logits_sha256`].
    pub hash: Option<[u8; 32]>,
}

/// The hash of a distribution's logits: the SHA-256 of the SHA-256s of each 1024 logits in order of ids (the last ones
/// may be fewer), which are little-endian f32. So any part of the vocabulary can be hashed where it is computed.
pub fn logits_sha256(logits: &[f32]) -> [u8; 32] {
    let chunks = logits.chunks(CHUNK).map(chunk_sha256);
    chunks.fold(Sha256::new(), |hash, chunk| hash.chain_update(chunk)).finalize().into()
}

/// The SHA-256 of up to [`CHUNK`] logits.
fn chunk_sha256(logits: &[f32]) -> [u8; 32] {
    let mut bytes = [0; 4 * CHUNK];
    for (out, logit) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(logits) {
        *out = logit.to_le_bytes();
    }
    Sha256::digest(&bytes[..4 * logits.len()]).into()
}

/// Logits of every token after each column of `x` and their statistics.
///
/// # Panics
/// If a wanted token is outside the matrix or shapes do not match.
pub fn head(
    compute: &mut Compute,
    matrix: &PackedMatrix,
    softcap: Option<f32>,
    x: &[&[f32]],
    wanted: &[Wanted<'_>],
) -> Vec<Summary> {
    assert_eq!(x.len(), wanted.len());
    let mut panels = Panels::default();
    let mut out = Vec::with_capacity(x.len());
    for (x, wanted) in x.chunks(COLUMNS).zip(wanted.chunks(COLUMNS)) {
        panels.reset(compute, x.len(), matrix.cols(), &[matrix]);
        for (column, x) in x.iter().enumerate() {
            panels.set(column, x);
        }
        out.extend(batch(compute, matrix, softcap, &panels, wanted));
    }
    out
}

/// Maximum and sums of one chunk of one column: `Σ e^x`, `Σ e^x x` and `Σ e^x x²`, where `x` is the logit less the
/// maximum.
#[derive(Clone, Copy)]
struct Sums {
    max: f32,
    zeroth: f64,
    first: f64,
    second: f64,
}

fn batch(
    compute: &mut Compute,
    matrix: &PackedMatrix,
    softcap: Option<f32>,
    x: &Panels,
    wanted: &[Wanted<'_>],
) -> Vec<Summary> {
    let (vocab, columns) = (matrix.rows(), x.columns());
    let chunks = vocab.div_ceil(CHUNK);
    // Ranks are counted while the chunks stream by, so the wanted logits must be known before.
    let targets = wanted_logits(compute, matrix, softcap, x, wanted);
    let mut sums = vec![Sums { max: 0.0, zeroth: 0.0, first: 0.0, second: 0.0 }; chunks * columns];
    let mut logits: Vec<f32> = Vec::new();
    let mut next = 0..;
    let kept: Vec<Option<usize>> = wanted.iter().map(|w| if w.logits { next.next() } else { None }).collect();
    logits.resize(kept.iter().flatten().count() * vocab, 0.0);
    let mut next = 0..;
    let hashed: Vec<Option<usize>> = wanted.iter().map(|w| if w.hash { next.next() } else { None }).collect();
    // The hashes of the chunks: [hashed column][chunk].
    let mut hashes = vec![[0; 32]; hashed.iter().flatten().count() * chunks];

    let mut found = PerThread::new(compute.threads(), |_| {
        wanted
            .iter()
            .zip(&targets)
            .map(|(w, t)| Found { top: Top::new(w.top.min(vocab)), above: vec![0; t.len()] })
            .collect::<Vec<_>>()
    });
    {
        let (sums, logits, hashes) = (Parts::new(&mut sums), Parts::new(&mut logits), Parts::new(&mut hashes));
        let (backend, scratch, found) = (compute.backend, &compute.scratch, &found);
        let sizes = Sizes::of(matrix, compute.arithmetic(), backend.tiles(columns));
        let (targets, kept, hashed) = (&targets, &kept, &hashed);
        compute.team.each(chunks, |thread, chunk| {
            // SAFETY: `thread` is this thread's own index; each chunk is handed out once.
            let (scratch, found, sums) =
                unsafe { (scratch.get(thread), found.get(thread), sums.part(chunk * columns, columns)) };
            let rows = chunk_logits(backend, matrix, x, sizes, chunk, scratch);
            for column in 0..columns {
                let row = &mut scratch.work[column * STRIDE..][..CHUNK];
                let first = (chunk * CHUNK) as u32;
                sums[column] = backend.dispatch(Reduce {
                    logits: row,
                    rows,
                    first,
                    softcap,
                    targets: &targets[column],
                    found: &mut found[column],
                });
                if let Some(i) = kept[column] {
                    // SAFETY: each chunk is handed out once.
                    unsafe { logits.part(i * vocab + first as usize, rows) }.copy_from_slice(&row[..rows]);
                }
                if let Some(i) = hashed[column] {
                    // SAFETY: each chunk is handed out once.
                    unsafe { hashes.part(i * chunks + chunk, 1) }.fill(chunk_sha256(&row[..rows]));
                }
            }
        });
    }
    (0..columns)
        .map(|column| {
            let mut top = Top::new(wanted[column].top.min(vocab));
            let mut above = vec![0; targets[column].len()];
            for found in found.all() {
                top.merge(&found[column].top);
                above.iter_mut().zip(&found[column].above).for_each(|(a, b)| *a += b);
            }
            let (logsumexp, entropy, varentropy) = combine((0..chunks).map(|c| sums[c * columns + column]));
            Summary {
                logsumexp,
                entropy,
                varentropy,
                top: top.sorted(),
                tokens: targets[column].iter().zip(above).map(|(t, above)| (t.1, 1 + above)).collect(),
                logits: kept[column].map(|i| logits[i * vocab..][..vocab].to_vec()),
                hash: hashed[column].map(|i| Sha256::digest(hashes[i * chunks..][..chunks].as_flattened()).into()),
            }
        })
        .collect()
}

/// Computes the logits of one chunk for all columns into `scratch.work`, `[column][STRIDE]`. Returns how many rows it
/// has.
fn chunk_logits(
    backend: Backend,
    matrix: &PackedMatrix,
    x: &Panels,
    sizes: Sizes,
    chunk: usize,
    scratch: &mut Scratch,
) -> usize {
    let first = chunk * CHUNK / LANES;
    let tiles = (CHUNK / LANES).min(matrix.tiles() - first);
    let out = Parts::new(scratch.work.at_least(x.columns() * STRIDE));
    let registers = &mut Registers::new(backend);
    for tiles in strips(matrix, first, tiles, sizes) {
        let (weights, acc) = (&mut scratch.weights, &mut scratch.acc);
        let strip = Strip { tiles, next: tiles.neighbours(), x, registers, weights, acc };
        // SAFETY: `out` is this thread's own.
        unsafe { strip.run_into(backend, out, (tiles.first - first) * LANES, STRIDE) };
    }
    CHUNK.min(matrix.rows() - chunk * CHUNK)
}

/// Ids and logits of the wanted tokens. They are computed from their own tiles before all others; a logit is the same
/// sum there, so it has the same bits.
fn wanted_logits(
    compute: &mut Compute,
    matrix: &PackedMatrix,
    softcap: Option<f32>,
    x: &Panels,
    wanted: &[Wanted<'_>],
) -> Vec<Vec<(u32, f32)>> {
    let mut targets: Vec<Vec<(u32, f32)>> =
        wanted.iter().map(|w| w.tokens.iter().map(|&id| (id, 0.0)).collect()).collect();
    let mut tiles: Vec<usize> = wanted.iter().flat_map(|w| w.tokens).map(|&id| id as usize / LANES).collect();
    tiles.sort_unstable();
    tiles.dedup();
    // The accumulators of all tiles: [tile][column][16].
    let mut logits = vec![0.0; tiles.len() * x.columns() * LANES];
    let size = x.columns() * LANES;
    let parts = Parts::new(&mut logits);
    let (backend, scratch) = (compute.backend, &compute.scratch);
    compute.team.each(tiles.len(), |thread, i| {
        assert!(tiles[i] < matrix.tiles(), "wanted token outside the vocabulary");
        // SAFETY: `thread` is this thread's own index; each tile is handed out once.
        let (scratch, out) = unsafe { (scratch.get(thread), parts.part(i * size, size)) };
        let (weights, acc) = (&mut scratch.weights, &mut scratch.acc);
        let registers = &mut Registers::new(backend);
        Strip { tiles: TileRange { matrix, first: tiles[i], count: 1 }, next: None, x, registers, weights, acc }
            .run(backend);
        backend.dispatch(Softcap { logits: &mut acc[..size], cap: softcap });
        out.copy_from_slice(&acc[..size]);
    });
    for (column, targets) in targets.iter_mut().enumerate() {
        for (id, logit) in targets {
            assert!((*id as usize) < matrix.rows(), "wanted token outside the vocabulary");
            let i = tiles.binary_search(&(*id as usize / LANES)).expect("its tile was computed above");
            *logit = logits[i * size + column * LANES + *id as usize % LANES];
        }
    }
    targets
}

/// `cap · tanh(l / cap)`, in place.
struct Softcap<'a> {
    logits: &'a mut [f32],
    cap: Option<f32>,
}

impl Task for Softcap<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Some(cap) = self.cap else { return };
        for v in self.logits.as_chunks_mut::<LANES>().0 {
            let x = s.mul(tanh(s, s.div(s.load(v), s.splat(cap))), s.splat(cap));
            s.store(v, x);
        }
    }
}

/// What a thread has found out about one column.
struct Found {
    top: Top,
    /// For each target the number of tokens that rank above it.
    above: Vec<u32>,
}

/// Reduces one chunk of one column.
struct Reduce<'a> {
    /// `[CHUNK]`, of which the first `rows` are rows of the matrix.
    logits: &'a mut [f32],
    rows: usize,
    first: u32,
    softcap: Option<f32>,
    targets: &'a [(u32, f32)],
    found: &'a mut Found,
}

impl Task for Reduce<'_> {
    type Output = Sums;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Sums {
        let Reduce { logits, rows, first, softcap, targets, found } = self;
        Softcap { logits: &mut *logits, cap: softcap }.run(s);
        // Padding gets the smallest number, so that it is never the most likely token and adds nothing to the sums.
        let padded = rows.div_ceil(LANES) * LANES;
        logits[rows..padded].fill(f32::MIN);
        let blocks = logits[..padded].as_chunks::<LANES>().0;

        let mut max = s.splat(f32::MIN);
        for b in blocks {
            max = s.max(max, s.load(b));
        }
        let max = s.array(max).into_iter().fold(f32::MIN, f32::max);
        let mut sums = [s.splat(0.0); 3];
        for b in blocks {
            // Below -200, where e^x adds nothing to the sums anyway, x is clamped so that x² stays finite. NaN is not
            // clamped and spoils the sums, as it should.
            let x = s.max(s.splat(-200.0), s.sub(s.load(b), s.splat(max)));
            // Below -87.3, `exp` stops at about 1e-38, so from -87 down e^x counts as zero.
            let e = s.zero_where_gt(s.splat(-87.0), x, exp(s, x));
            let ex = s.mul(e, x);
            sums = [s.add(sums[0], e), s.add(sums[1], ex), s.fma(ex, x, sums[2])];
        }
        for (i, b) in blocks.iter().enumerate() {
            let bits = s.ge(s.load(b), s.splat(found.top.bar));
            if bits != 0 {
                found.top.offer(bits, b, first + (i * LANES) as u32);
            }
        }
        for (t, &(id, logit)) in targets.iter().enumerate() {
            let bar = s.splat(logit);
            for (i, b) in blocks.iter().enumerate() {
                // Equal logits are ranked by id, so those with smaller ids count as above the target.
                let earlier = (i64::from(id) - i64::from(first) - (i * LANES) as i64).clamp(0, LANES as i64);
                let ties = s.ge(s.load(b), bar) & ((1u32 << earlier) - 1);
                found.above[t] += (s.gt(s.load(b), bar) | ties).count_ones();
            }
        }
        Sums { max, zeroth: sum(s, sums[0]), first: sum(s, sums[1]), second: sum(s, sums[2]) }
    }
}

/// Log-sum-exp, entropy and varentropy from the chunks' sums.
fn combine(chunks: impl Iterator<Item = Sums> + Clone) -> (f64, f64, f64) {
    let max = f64::from(chunks.clone().map(|c| c.max).fold(f32::MIN, f32::max));
    let (mut zeroth, mut first, mut second) = (0.0, 0.0, 0.0);
    for c in chunks {
        // Shift from the chunk's maximum to the overall one: l - M = (l - m) + d.
        let d = f64::from(c.max) - max;
        let scale = d.exp();
        zeroth += scale * c.zeroth;
        first += scale * (c.first + d * c.zeroth);
        second += scale * (c.second + 2.0 * d * c.first + d * d * c.zeroth);
    }
    let (log_sum, mean) = (zeroth.ln(), first / zeroth);
    // Surprisal is log_sum - (l - M).
    ((max + log_sum), (log_sum - mean).max(0.0), (second / zeroth - mean * mean).max(0.0))
}

/// The `k` largest logits seen, ties by smaller id.
struct Top {
    k: usize,
    /// Logits below this cannot be among the `k` largest.
    bar: f32,
    seen: Vec<(u32, f32)>,
}

fn larger(a: &(u32, f32), b: &(u32, f32)) -> std::cmp::Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

impl Top {
    fn new(k: usize) -> Top {
        Top { k, bar: if k == 0 { f32::INFINITY } else { f32::NEG_INFINITY }, seen: Vec::new() }
    }

    /// Adds the lanes that `bits` marks.
    #[inline(never)]
    fn offer(&mut self, mut bits: u32, logits: &[f32; LANES], first: u32) {
        while bits != 0 {
            let i = bits.trailing_zeros();
            bits &= bits - 1;
            // Padding lanes hold f32::MIN and are no tokens.
            if logits[i as usize] > f32::MIN {
                self.seen.push((first + i, logits[i as usize]));
            }
        }
        if self.seen.len() >= 2 * self.k + 64 {
            self.shrink();
        }
    }

    /// Keeps the best `k` and raises the bar.
    fn shrink(&mut self) {
        if self.seen.len() > self.k && self.k > 0 {
            self.seen.select_nth_unstable_by(self.k - 1, larger);
            self.seen.truncate(self.k);
            self.bar = self.seen[self.k - 1].1;
        }
    }

    fn merge(&mut self, other: &Top) {
        self.seen.extend_from_slice(&other.seen);
    }

    fn sorted(mut self) -> Vec<(u32, f32)> {
        self.seen.sort_unstable_by(larger);
        self.seen.truncate(self.k);
        self.seen
    }
}
