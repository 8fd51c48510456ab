//! The step between the products that make queries, keys and values, and attention.

use crate::attention::AttentionShape;
use crate::compute::Compute;
use crate::kv::{KvKind, KvPages};
use crate::ops::{RmsNorm, RopePairs, rope};
use crate::simd::{Simd, Task};
use crate::team::Parts;

/// The batch's queries, keys and values as products have made them, and what finishes them.
pub struct Projections<'a> {
    /// `[columns][heads · head_dim]`.
    pub q: &'a mut [f32],
    /// Keys and values; `None` in a layer that attends to the rows of an earlier one.
    pub kv: Option<KeysValues<'a>>,
    /// Biases of q, k and v, `[heads · head_dim]` and twice `[kv_heads · head_dim]`.
    pub bias: Option<[&'a [f32]; 3]>,
    /// Norms of each query head, of each key head and of each value head, with `[head_dim]` weights.
    pub norms: [Option<RmsNorm<'a>>; 3],
    /// Cosines and sines of each column's position, `[columns]` of `[pairs]`. Elements of a head beyond its first `2 ·
    /// pairs` are not rotated.
    pub angles: &'a [(&'a [f32], &'a [f32])],
    /// Which elements of a head are rotated together.
    pub pairs: RopePairs,
}

/// Keys and values of a batch, and where they are stored.
pub struct KeysValues<'a> {
    /// `[columns][kv_heads · head_dim]`.
    pub k: &'a mut [f32],
    /// `[columns][kv_heads · head_dim]`.
    pub v: &'a mut [f32],
    /// The slot in which each column's key and value are stored.
    pub slots: &'a [u32],
}

impl Projections<'_> {
    /// Adds biases, norms heads, rotates queries and keys, scales queries, and writes key and value rows.
    ///
    /// # Panics
    /// If a slot does not exist, two columns have the same slot, or shapes do not match.
    pub fn run(self, compute: &mut Compute, shape: &AttentionShape, kv: &mut KvPages) {
        let columns = self.angles.len();
        let (q_len, kv_len) = (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
        assert_eq!(self.q.len(), columns * q_len, "length of the queries");
        for (bias, len) in self.bias.iter().flatten().zip([q_len, kv_len, kv_len]) {
            assert_eq!(bias.len(), len, "length of a bias");
        }
        for norm in self.norms.iter().flatten() {
            assert_eq!(norm.weight.len(), shape.head_dim, "weights of a norm of heads");
        }
        let fits = |(cos, sin): &(&[f32], &[f32])| cos.len() == sin.len() && 2 * cos.len() <= shape.head_dim;
        assert!(self.angles.iter().all(fits), "a cosine and a sine for each pair of a head's elements");
        if let Some(KeysValues { k, v, slots }) = &self.kv {
            assert_eq!(k.len(), columns * kv_len, "length of the keys");
            assert_eq!(v.len(), columns * kv_len, "length of the values");
            assert_eq!(slots.len(), columns, "a slot for each column");
            assert_eq!(kv.width(shape.layer), kv_len, "width of the stored rows");
            assert!(slots.iter().all(|&slot| (slot as usize) < kv.slots()), "a slot that does not exist");
            let mut sorted = slots.to_vec();
            sorted.sort_unstable();
            assert!(sorted.windows(2).all(|w| w[0] != w[1]), "two columns share a slot");
        }
        let q = Parts::new(self.q);
        let rows = self.kv.map(|KeysValues { k, v, slots }| (Parts::new(k), Parts::new(v), slots));
        let (backend, kv) = (compute.backend, &*kv);
        let (bias, norms, angles, pairs) = (self.bias, self.norms, self.angles, self.pairs);
        compute.team.each(columns, |_, column| {
            let rotation = Rotation { angles: angles[column], pairs };
            // SAFETY: each column is handed out once.
            let q = unsafe { q.part(column * q_len, q_len) };
            let bias = |i: usize| bias.map(|bias| bias[i]);
            let head_dim = shape.head_dim;
            let (rotation, scale) = (Some(rotation), Some(shape.scale));
            backend.dispatch(Project { x: q, bias: bias(0), norm: norms[0], rotation, scale, head_dim });
            let Some((k, v, slots)) = &rows else { return };
            for (i, kind, x) in [(1, KvKind::Key, k), (2, KvKind::Value, v)] {
                // SAFETY: each column is handed out once.
                let x = unsafe { x.part(column * kv_len, kv_len) };
                let rotation = rotation.filter(|_| kind == KvKind::Key);
                backend.dispatch(Project {
                    x: &mut *x,
                    bias: bias(i),
                    norm: norms[i],
                    rotation,
                    scale: None,
                    head_dim,
                });
                // SAFETY: each column is handed out once and slots differ, so no row is shared.
                unsafe { kv.write(shape.layer, kind, slots[column], head_dim, x) };
            }
        });
    }
}

/// The rotation of a position.
#[derive(Clone, Copy)]
struct Rotation<'a> {
    angles: (&'a [f32], &'a [f32]),
    pairs: RopePairs,
}

/// Finishes the heads of one column: of its queries, its keys or its values.
struct Project<'a> {
    x: &'a mut [f32],
    bias: Option<&'a [f32]>,
    norm: Option<RmsNorm<'a>>,
    rotation: Option<Rotation<'a>>,
    scale: Option<f32>,
    head_dim: usize,
}

impl Task for Project<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if let Some(bias) = self.bias {
            self.x.iter_mut().zip(bias).for_each(|(x, b)| *x += b);
        }
        for head in self.x.chunks_exact_mut(self.head_dim) {
            if let Some(norm) = &self.norm {
                norm.apply(s, head);
            }
            if let Some(Rotation { angles: (cos, sin), pairs }) = self.rotation {
                rope(head, cos, sin, pairs);
            }
        }
        if let Some(scale) = self.scale {
            self.x.iter_mut().for_each(|x| *x *= scale);
        }
    }
}
