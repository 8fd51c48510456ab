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
    /// `[columns][kv_heads · head_dim]`.
    pub k: &'a mut [f32],
    /// `[columns][kv_heads · head_dim]`.
    pub v: &'a mut [f32],
    /// Biases of q, k and v, `[heads · head_dim]` and twice `[kv_heads · head_dim]`.
    pub bias: Option<[&'a [f32]; 3]>,
    /// Norms of each query head and of each key head, with `[head_dim]` weights.
    pub norms: Option<[RmsNorm<'a>; 2]>,
    /// Cosines and sines of each column's position, `[columns]` of `[pairs]`. Elements of a head beyond its first `2 · pairs`
    /// are not rotated.
    pub angles: &'a [(&'a [f32], &'a [f32])],
    /// Which elements of a head are rotated together.
    pub pairs: RopePairs,
    /// The slot in which each column's key and value are stored.
    pub slots: &'a [u32],
}

impl Projections<'_> {
    /// Adds biases, norms heads, rotates, scales queries, and writes key and value rows.
    ///
    /// # Panics
    /// If a slot does not exist, two columns have the same slot, or shapes do not match.
    pub fn run(self, compute: &mut Compute, shape: &AttentionShape, kv: &mut KvPages) {
        let columns = self.slots.len();
        let (q_len, kv_len) = (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
        assert_eq!(self.q.len(), columns * q_len, "length of the queries");
        assert_eq!(self.k.len(), columns * kv_len, "length of the keys");
        assert_eq!(self.v.len(), columns * kv_len, "length of the values");
        assert_eq!(kv.width(), kv_len, "width of the stored rows");
        for (bias, len) in self.bias.iter().flatten().zip([q_len, kv_len, kv_len]) {
            assert_eq!(bias.len(), len, "length of a bias");
        }
        for norm in self.norms.iter().flatten() {
            assert_eq!(norm.weight.len(), shape.head_dim, "weights of a norm of heads");
        }
        assert_eq!(self.angles.len(), columns, "angles of each column");
        let fits = |(cos, sin): &(&[f32], &[f32])| cos.len() == sin.len() && 2 * cos.len() <= shape.head_dim;
        assert!(self.angles.iter().all(fits), "a cosine and a sine for each pair of a head's elements");
        assert!(self.slots.iter().all(|&slot| (slot as usize) < kv.slots()), "a slot that does not exist");
        let mut sorted = self.slots.to_vec();
        sorted.sort_unstable();
        assert!(sorted.windows(2).all(|w| w[0] != w[1]), "two columns share a slot");
        let (q, k, v) = (Parts::new(self.q), Parts::new(self.k), Parts::new(self.v));
        let (backend, kv) = (compute.backend, &*kv);
        let (bias, norms, angles, pairs, slots) = (self.bias, self.norms, self.angles, self.pairs, self.slots);
        compute.team.each(columns, |_, column| {
            // SAFETY: each column is handed out once and slots differ, so no row is shared.
            unsafe {
                backend.dispatch(Project {
                    qkv: [
                        q.part(column * q_len, q_len),
                        k.part(column * kv_len, kv_len),
                        v.part(column * kv_len, kv_len),
                    ],
                    bias,
                    norms,
                    angles: angles[column],
                    pairs,
                    shape,
                    rows: [
                        kv.row_mut(shape.layer, KvKind::Key, slots[column]),
                        kv.row_mut(shape.layer, KvKind::Value, slots[column]),
                    ],
                });
            }
        });
    }
}

struct Project<'a> {
    qkv: [&'a mut [f32]; 3],
    bias: Option<[&'a [f32]; 3]>,
    norms: Option<[RmsNorm<'a>; 2]>,
    angles: (&'a [f32], &'a [f32]),
    pairs: RopePairs,
    shape: &'a AttentionShape,
    rows: [&'a mut [f32]; 2],
}

impl Task for Project<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let [q, k, v] = self.qkv;
        if let Some(bias) = self.bias {
            for (x, b) in [&mut *q, &mut *k, &mut *v].into_iter().zip(bias) {
                x.iter_mut().zip(b).for_each(|(x, b)| *x += b);
            }
        }
        for (i, x) in [&mut *q, &mut *k].into_iter().enumerate() {
            for head in x.chunks_exact_mut(self.shape.head_dim) {
                if let Some(norms) = &self.norms {
                    norms[i].apply(s, head);
                }
                rope(head, self.angles.0, self.angles.1, self.pairs);
            }
        }
        q.iter_mut().for_each(|q| *q *= self.shape.scale);
        let [key, value] = self.rows;
        key.copy_from_slice(k);
        value.copy_from_slice(v);
    }
}
