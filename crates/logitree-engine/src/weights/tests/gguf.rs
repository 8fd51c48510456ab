//! Correct GGUF files: the reader returns what they contain.

use super::builder::*;
use super::*;
use crate::weights::{Gguf, Role};
use logitree_kernels::DType;

fn open(b: &Builder) -> (tempfile::TempDir, Gguf) {
    let (dir, path) = file("m.gguf", &b.build());
    let gguf = Gguf::open(&path).unwrap();
    (dir, gguf)
}

#[test]
fn every_value_type_is_read() {
    let scalar = |kind: u32, bytes: &[u8]| [&kind.to_le_bytes()[..], bytes].concat();
    let mut b = Builder::new()
        .with("u8", scalar(0, &[200]))
        .with("i8", scalar(1, &[0x80]))
        .with("u16", scalar(2, &60_000u16.to_le_bytes()))
        .with("i16", scalar(3, &(-3i16).to_le_bytes()))
        .with("u32", u32_(4_000_000_000))
        .with("i32", scalar(5, &7i32.to_le_bytes()))
        .with("f32", f32_(0.1))
        .with("bool", bool_(1))
        .with("str", str_("héllo"))
        .with("u64", scalar(10, &(1u64 << 40).to_le_bytes()))
        .with("i64", scalar(11, &(-(1i64 << 40)).to_le_bytes()))
        .with("f64", scalar(12, &0.5f64.to_le_bytes()))
        .with("strs", strings(&[b"a", b"", b"\xff"]))
        .with("bools", array(7, 2, &[1, 0]))
        .with("i16s", array(3, 2, &[0xff, 0xff, 5, 0]))
        .with("u64s", array(10, 1, &(1u64 << 33).to_le_bytes()))
        .with("f64s", array(12, 1, &2.5f64.to_le_bytes()))
        // The array [[1, 2], []] of u8 with another key after it.
        .with(
            "nested",
            array(9, 2, &[&[0; 4][..], &2u64.to_le_bytes(), &[1, 2], &[0; 4], &0u64.to_le_bytes()].concat()),
        )
        .with("after", u32_(9));
    for version in [2, 3] {
        b.version = version;
        let (_dir, g) = open(&b);
        assert_eq!(g.read::<u32>("u8").unwrap(), Some(200));
        assert_eq!(g.get("i8"), Some(&crate::weights::Value::Signed(-128)));
        assert_eq!(g.read::<u32>("u16").unwrap(), Some(60_000));
        assert_eq!(g.get("i16"), Some(&crate::weights::Value::Signed(-3)));
        assert_eq!(g.read::<u32>("u32").unwrap(), Some(4_000_000_000));
        assert_eq!(g.read::<u32>("i32").unwrap(), Some(7));
        assert_eq!(g.f32("f32"), Some(0.1));
        assert_eq!(g.bool("bool"), Some(true));
        assert_eq!(g.str("str"), Some("héllo"));
        assert_eq!(g.u64("u64"), Some(1 << 40));
        assert_eq!(g.get("i64"), Some(&crate::weights::Value::Signed(-(1 << 40))));
        assert_eq!(g.f32("f64"), Some(0.5));
        assert_eq!(g.read::<crate::weights::Strings<'_>>("strs").unwrap().unwrap().len(), 3);
        assert_eq!(g.strings("strs"), Some(vec![&b"a"[..], b"", b"\xff"]));
        assert_eq!(g.read::<Vec<bool>>("bools").unwrap(), Some(vec![true, false]));
        assert_eq!(g.i64s("i16s"), Some(vec![-1, 5]));
        assert_eq!(g.f32s("f64s"), Some(vec![2.5]));
        assert_eq!(g.read::<u32>("after").unwrap(), Some(9), "the nested array was skipped exactly");
        assert_eq!(g.read::<u32>("absent").unwrap(), None);
        assert_eq!(g.metadata().count(), b.metadata.len());
    }
}

#[test]
fn a_value_of_another_type_is_an_error_not_an_absence() {
    let (_dir, g) = open(&Builder::new().with("s", str_("x")).with("n", u32_(1)).with("big", array(10, 1, &[255; 8])));
    let message = |e: WeightsError| e.to_string();
    assert!(
        message(g.read::<u32>("s").unwrap_err()).contains("m.gguf: s: is a string, expected a non-negative 32-bit")
    );
    assert!(message(g.read::<&str>("n").unwrap_err()).contains("n: is the integer 1, expected a UTF-8 string"));
    assert!(message(g.read::<f32>("s").unwrap_err()).contains("expected a number"));
    assert_eq!(g.read::<f32>("n").unwrap(), Some(1.0), "whole numbers are numbers");
    assert!(
        message(g.read::<crate::weights::Strings<'_>>("n").err().unwrap()).contains("expected an array of strings")
    );
    assert!(message(g.read::<Vec<i64>>("big").unwrap_err()).contains("expected an array of integers"));
    assert!(message(g.read::<Vec<f32>>("s").unwrap_err()).contains("expected an array of floats"));
    assert!(g.read::<Vec<f32>>("absent").unwrap().is_none());
}

#[test]
fn keys_of_the_tokenizer_are_checked_when_the_file_is_opened() {
    for (key, value, expected) in [
        ("tokens", u32_(1), "is the integer 1, expected an array of strings"),
        ("tokens", array(4, 1, &[0; 4]), "is an array, expected an array of strings"),
        ("scores", strings(&[b"1"]), "expected an array of floats"),
        ("token_type", array(6, 1, &[0; 4]), "expected an array of 32-bit integers"),
        ("bos_token_id", f32_(1.0), "is the float 1, expected a non-negative 32-bit integer"),
        ("add_bos_token", u32_(1), "expected a boolean"),
        ("model", [&8u32.to_le_bytes()[..], &string(b"\xff")].concat(), "expected a UTF-8 string"),
    ] {
        let key = format!("tokenizer.ggml.{key}");
        let (_dir, path) = file("m.gguf", &Builder::new().with(&key, value).build());
        let message = Gguf::open(&path).err().unwrap().to_string();
        assert!(message.contains(&format!("m.gguf: {key}: ")) && message.contains(expected), "{message}");
    }
}

#[test]
fn tensors_come_with_rows_of_contiguous_inputs() {
    let mut b = Builder::new();
    b.alignment = 64;
    let b = b
        .with("general.alignment", u32_(64))
        .tensor("vector", &[5], DType::F32)
        .tensor("matrix", &[32, 3], DType::Q8_0)
        .tensor("deep", &[2, 3, 1, 1], DType::F16)
        .tensor("cube", &[2, 3, 4], DType::F16)
        .tensor("more", &[2, 3, 2, 2], DType::F16);
    let (_dir, g) = open(&b);
    let view = |name: &str| g.tensor(name).unwrap().unwrap();
    assert_eq!((view("vector").rows, view("vector").cols, view("vector").data.len()), (1, 5, 20));
    let matrix = view("matrix");
    assert_eq!((matrix.rows, matrix.cols, matrix.dtype), (3, 32, DType::Q8_0));
    // The matrix's offset is 64, and the builder's data counts up from 0.
    assert_eq!(&matrix.data[..3], [64, 65, 66]);
    assert_eq!(matrix.data.len(), 3 * 34);
    assert_eq!((view("deep").rows, view("deep").cols), (3, 2));
    // A tensor with the matrices of several experts must not be taken for one matrix.
    let cube = view("cube");
    assert_eq!((cube.experts, cube.rows, cube.cols), (4, 3, 2));
    assert_eq!(cube.expert(3).data, &cube.data[36..]);
    assert_eq!(cube.expert(1).row_range(1..3).data, &cube.data[16..24]);
    let wrong = cube.expect_shape(3, 2).unwrap_err().to_string();
    assert!(wrong.contains("shape is [4, 3, 2] but the model's configuration asks for [3, 2]"), "{wrong}");
    let more = g.tensor("more").unwrap_err().to_string();
    assert!(more.contains("`more`: shape [2, 2, 3, 2] is neither"), "{more}");
    assert!(g.tensor("none").unwrap().is_none());
    let wrong = matrix.expect_shape(32, 3).unwrap_err().to_string();
    assert!(wrong.contains("tensor `matrix`: shape is [3, 32]") && wrong.contains("asks for [32, 3]"), "{wrong}");
    matrix.expect_shape(3, 32).unwrap();
}

#[test]
fn released_pages_read_the_same_again() {
    let (_dir, path) = file("m.gguf", &model("gemma3", 7).build());
    let weights = Weights::open(&path).unwrap();
    let view = weights.tensor(Role::Q, Some(5)).unwrap();
    let before = view.data.to_vec();
    weights.release_pages(view.data);
    assert_eq!(view.data, before);
}

/// Splits a model's tensors over three files.
fn split(dir: &Path) -> Vec<PathBuf> {
    let whole = model("qwen3", 2);
    let path = |i: usize| dir.join(format!("m-0000{}-of-00003.gguf", i + 1));
    for (i, chunk) in whole.tensors.chunks(10).enumerate() {
        let mut part = if i == 0 { whole.clone() } else { Builder::new() };
        (part.tensors, part.data) = (Vec::new(), 0);
        part = part.with("split.no", u32_(i as u32)).with("split.count", u32_(3));
        part = part.with("split.tensors.count", u32_(whole.tensors.len() as u32));
        for t in chunk {
            part = part.tensor(&t.name, &t.dims, DType::from_ggml(t.kind).unwrap());
        }
        std::fs::write(path(i), part.build()).unwrap();
    }
    (0..3).map(path).collect()
}

#[test]
fn split_files_load_as_one_from_any_part() {
    let dir = tempfile::tempdir().unwrap();
    let parts = split(dir.path());
    for start in parts.iter().chain([&dir.path().to_path_buf()]) {
        let weights = Weights::open(start).unwrap();
        assert_eq!(weights.files(), parts);
        assert_eq!(weights.config().unwrap().layers.len(), 2);
        assert_eq!(weights.gguf().unwrap().tensor_names().count(), model("qwen3", 2).tensors.len());
        // The tensor is in the last file.
        assert_eq!(weights.tensor(Role::Down, Some(1)).unwrap().file, parts[2]);
    }
}

#[test]
fn split_files_that_do_not_belong_together_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let parts = split(dir.path());
    let first = std::fs::read(&parts[0]).unwrap();
    std::fs::copy(&parts[1], &parts[2]).unwrap();
    let message = Weights::open(&parts[0]).err().unwrap().to_string();
    assert!(message.contains("m-00003-of-00003.gguf: split.no: is Unsigned(1)"), "{message}");
    std::fs::remove_file(&parts[2]).unwrap();
    let message = Weights::open(&parts[0]).err().unwrap().to_string();
    assert!(message.contains("m-00003-of-00003.gguf: "), "{message}");
    // If the first part is renamed, it must not be taken for the whole model.
    let alone = dir.path().join("alone.gguf");
    std::fs::write(&alone, first).unwrap();
    let message = Weights::open(&alone).err().unwrap().to_string();
    assert!(message.contains("split.count: is Unsigned(3)") && message.contains("original names"), "{message}");
}
