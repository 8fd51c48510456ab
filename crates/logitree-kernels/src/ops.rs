//! Norms, activations and rotary embeddings: everything between the matrix products.

use crate::compute::Compute;
use crate::math::{Binary, exp, map2, sum, tanh, vectors};
use crate::panels::Panels;
use crate::simd::{Simd, Task};
use crate::team::Parts;

/// Root-mean-square norm: `x · w / sqrt(mean(x²) + eps)`.
#[derive(Clone, Copy)]
pub struct RmsNorm<'a> {
    /// Multiplier, `[k]`.
    pub weight: &'a [f32],
    /// Added to the mean square.
    pub eps: f32,
}

impl RmsNorm<'_> {
    #[inline(always)]
    pub(crate) fn apply<S: Simd>(&self, s: S, x: &mut [f32]) {
        let mut squares = s.splat(0.0);
        let (whole, rest) = vectors(x);
        for v in whole.iter().chain(&rest) {
            let v = s.load(v);
            squares = s.fma(v, v, squares);
        }
        let mean = sum(s, squares) / x.len() as f64;
        let scale = (1.0 / (mean + f64::from(self.eps)).sqrt()) as f32;
        map2(s, x, self.weight, ScaleBy(scale));
    }
}

/// `x · scale · weight`.
#[derive(Clone, Copy)]
struct ScaleBy(f32);

impl Binary for ScaleBy {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F, weight: S::F) -> S::F {
        s.mul(s.mul(x, s.splat(self.0)), weight)
    }
}

/// `x + y`.
#[derive(Clone, Copy)]
struct Add;

impl Binary for Add {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F, y: S::F) -> S::F {
        s.add(x, y)
    }
}

/// The step between two sublayers: `x += post(y)` (or `x += y` without `post`), `x *= scale`, then `panels = next(x)`
/// (or `panels = x` without `next`).
///
/// With `y = None` nothing is added to `x`.
pub struct Residual<'a> {
    /// Residual stream, `[columns][k]`.
    pub x: &'a mut [f32],
    /// Output of the layer's last product, `[columns][k]`.
    pub y: Option<&'a mut [f32]>,
    /// Norm of `y` before the sum (Gemma 2 and 3).
    pub post: Option<RmsNorm<'a>>,
    /// Multiplier of the sum (Gemma 4).
    pub scale: Option<f32>,
    /// Norm of what goes to the panels. If `None`, `x` goes there without a norm.
    pub next: Option<RmsNorm<'a>>,
}

impl Residual<'_> {
    /// Runs the step for all columns of `panels`.
    ///
    /// # Panics
    /// If shapes do not match.
    pub fn run(self, compute: &mut Compute, panels: &mut Panels) {
        let (columns, k) = (panels.shape.columns, panels.shape.k);
        assert_eq!(self.x.len(), columns * k, "residual stream");
        assert!(self.y.as_ref().is_none_or(|y| y.len() == columns * k), "what is added to the residual stream");
        let norms = [self.next, self.post];
        assert!(norms.iter().flatten().all(|norm| norm.weight.len() == k), "weights of a norm of the residual stream");
        let (x, y) = (Parts::new(self.x), self.y.map(Parts::new));
        let writer = panels.writer();
        let (backend, scratch) = (compute.backend, &compute.scratch);
        let (post, scale, next) = (self.post, self.scale, self.next);
        compute.team.each(columns, |thread, column| {
            // SAFETY: each column is handed out once; `thread` is this thread's own index.
            let (x, y, scratch) =
                unsafe { (x.part(column * k, k), y.as_ref().map(|y| y.part(column * k, k)), scratch.get(thread)) };
            let out = scratch.work.at_least(k);
            backend.dispatch(ResidualColumn { x, y, post, scale, next, out });
            // SAFETY: as above.
            unsafe { writer.set(column, 0, out) };
        });
    }
}

struct ResidualColumn<'a> {
    x: &'a mut [f32],
    y: Option<&'a mut [f32]>,
    post: Option<RmsNorm<'a>>,
    scale: Option<f32>,
    next: Option<RmsNorm<'a>>,
    out: &'a mut [f32],
}

impl Task for ResidualColumn<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if let Some(y) = self.y {
            if let Some(post) = self.post {
                post.apply(s, y);
            }
            map2(s, self.x, y, Add);
        }
        if let Some(scale) = self.scale {
            self.x.iter_mut().for_each(|x| *x *= scale);
        }
        self.out.copy_from_slice(self.x);
        if let Some(next) = self.next {
            next.apply(s, self.out);
        }
    }
}

/// Activation function of a gated feed-forward layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// `x / (1 + e^-x)`.
    Silu,
    /// `x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³)))`.
    GeluTanh,
}

/// `panels = activation(gate) · up`, all `[columns][k]`; `gate` is overwritten.
///
/// # Panics
/// If shapes do not match.
pub fn gated(compute: &mut Compute, activation: Gate, gate: &mut [f32], up: &[f32], panels: &mut Panels) {
    let (columns, k) = (panels.shape.columns, panels.shape.k);
    assert_eq!(gate.len(), columns * k, "input of the activation function");
    assert_eq!(up.len(), columns * k, "what the activation is multiplied with");
    // The work is cut into pieces of columns, so that one column still keeps all threads busy. A piece is computed for
    // all columns of a group by one thread, because they lie next to each other in the panels.
    const PIECE: usize = 256;
    let pieces = k.div_ceil(PIECE);
    let gate = Parts::new(gate);
    let shape = panels.shape;
    let writer = panels.writer();
    let backend = compute.backend;
    compute.team.each(shape.groups * pieces, |_, i| {
        let ((first, width), k0) = (shape.group(i / pieces), i % pieces * PIECE);
        let n = PIECE.min(k - k0);
        for column in first..first + width {
            // SAFETY: each piece of a group is handed out once.
            let gate = unsafe { gate.part(column * k + k0, n) };
            backend.dispatch(GatePiece { activation, gate, up: &up[column * k + k0..][..n] });
            // SAFETY: as above.
            unsafe { writer.set(column, k0, gate) };
        }
    });
}

struct GatePiece<'a> {
    activation: Gate,
    gate: &'a mut [f32],
    up: &'a [f32],
}

impl Task for GatePiece<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.activation {
            Gate::Silu => map2(s, self.gate, self.up, Silu),
            Gate::GeluTanh => map2(s, self.gate, self.up, GeluTanh),
        }
    }
}

#[derive(Clone, Copy)]
struct Silu;

impl Binary for Silu {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F, up: S::F) -> S::F {
        let e = exp(s, s.sub(s.splat(0.0), x));
        s.mul(s.div(x, s.add(s.splat(1.0), e)), up)
    }
}

#[derive(Clone, Copy)]
struct GeluTanh;

impl Binary for GeluTanh {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F, up: S::F) -> S::F {
        let cubic = s.mul(s.mul(s.splat(0.044_715), s.mul(x, x)), x);
        let t = tanh(s, s.mul(s.splat(0.797_884_6), s.add(x, cubic)));
        s.mul(s.mul(s.mul(s.splat(0.5), x), s.add(s.splat(1.0), t)), up)
    }
}

/// How the elements of a head pair up for rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RopePairs {
    /// `(i, i + n)`: Hugging Face's layout.
    Halves,
    /// `(2i, 2i + 1)`: GGUF's layout for Llama and Mistral.
    Neighbours,
}

/// Rotates the first `2 · n` elements of a head by `n` angles, given as cosines and sines.
pub(crate) fn rope(head: &mut [f32], cos: &[f32], sin: &[f32], pairs: RopePairs) {
    let n = cos.len();
    for i in 0..n {
        let (a, b) = match pairs {
            RopePairs::Halves => (i, i + n),
            RopePairs::Neighbours => (2 * i, 2 * i + 1),
        };
        let (x, y) = (head[a], head[b]);
        // Products and sums are rounded separately, as in the reference implementation; the compiler does not fuse
        // them.
        head[a] = x * cos[i] - y * sin[i];
        head[b] = y * cos[i] + x * sin[i];
    }
}
