//! De-quantisation against the Python package `gguf`, bit for bit (fixtures/make_quant_vectors.py).

use super::*;
use logitree_kernels::{DType, dequantise_row};

#[test]
fn every_format_de_quantises_as_the_reference_does() {
    // F32 is not quantised, so there are no vectors for it.
    for dtype in DType::ALL.into_iter().filter(|&d| d != DType::F32) {
        let path = fixtures().join("quant").join(format!("{dtype}.safetensors"));
        let file = std::fs::read(&path).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&file).unwrap();
        let (raw, expected) = (tensors.tensor("raw").unwrap(), tensors.tensor("expected").unwrap());
        let (rows, cols) = (expected.shape()[0], expected.shape()[1]);
        let row_bytes = dtype.row_bytes(cols).unwrap();
        assert_eq!(raw.shape(), [rows, row_bytes], "{dtype}");
        let mut out = vec![0.0; cols];
        for row in 0..rows {
            dequantise_row(dtype, &raw.data()[row * row_bytes..][..row_bytes], &mut out);
            let want = expected.data()[row * cols * 4..][..cols * 4].as_chunks::<4>().0;
            for (i, (got, want)) in out.iter().zip(want).enumerate() {
                let want = f32::from_le_bytes(*want);
                // 0.0 and -0.0 are the same weight.
                let same = got.to_bits() == want.to_bits() || (*got == 0.0 && want == 0.0);
                assert!(same, "{dtype} row {row} column {i}: {got:e}, the reference has {want:e}");
            }
        }
    }
}
