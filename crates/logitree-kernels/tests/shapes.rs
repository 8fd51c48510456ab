//! Arguments whose shapes do not match are refused with a message that names them, whatever they would do otherwise.

use logitree_kernels::*;

const COLUMNS: usize = 2;
const K: usize = 32;

fn compute() -> Compute {
    Compute::new(Backend::default(), 1)
}

/// Activations of shape `[COLUMNS][K]`.
fn panels(compute: &Compute) -> Panels {
    let mut panels = Panels::default();
    panels.reset(compute, COLUMNS, K, &[]);
    panels
}

#[test]
#[should_panic(expected = "length of an activation vector")]
fn an_activation_vector_that_is_too_short_is_refused() {
    panels(&compute()).set(0, &[1.0; K - 1]);
}

#[test]
#[should_panic(expected = "length of an activation vector")]
fn an_activation_vector_that_is_too_long_is_refused() {
    panels(&compute()).set(0, &[1.0; K + 1]);
}

/// Runs [`gated`] with inputs of these lengths.
fn gate(gate: usize, up: usize) {
    let mut compute = compute();
    let mut panels = panels(&compute);
    gated(&mut compute, Gate::Silu, &mut vec![1.0; gate], &vec![1.0; up], &mut panels);
}

#[test]
fn a_gate_of_the_shape_of_the_panels_is_taken() {
    gate(COLUMNS * K, COLUMNS * K);
}

#[test]
#[should_panic(expected = "input of the activation function")]
fn a_gate_of_another_length_than_the_panels_is_refused() {
    gate(COLUMNS * (K - 1), COLUMNS * (K - 1));
}

#[test]
#[should_panic(expected = "input of the activation function")]
fn a_gate_with_a_remainder_is_refused() {
    gate(COLUMNS * K + 1, COLUMNS * K + 1);
}

#[test]
#[should_panic(expected = "what the activation is multiplied with")]
fn a_gate_without_its_other_half_is_refused() {
    gate(COLUMNS * K, COLUMNS * K - 1);
}

/// Runs [`Residual`] with these lengths of x, y and the weights of both norms.
fn residual(x: usize, y: usize, post: usize, next: usize) {
    let mut compute = compute();
    let mut panels = panels(&compute);
    let (post, next) = (vec![1.0; post], vec![1.0; next]);
    let [post, next] = [&post, &next].map(|weight| RmsNorm { weight, eps: 1e-6 });
    Residual { x: &mut vec![1.0; x], y: Some(&mut vec![1.0; y]), post: Some(post), scale: None, next: Some(next) }
        .run(&mut compute, &mut panels);
}

#[test]
fn a_residual_step_of_the_shape_of_the_panels_is_taken() {
    residual(COLUMNS * K, COLUMNS * K, K, K);
}

#[test]
#[should_panic(expected = "residual stream")]
fn a_residual_stream_of_another_length_than_the_panels_is_refused() {
    residual(COLUMNS * (K - 1), COLUMNS * (K - 1), K - 1, K - 1);
}

#[test]
#[should_panic(expected = "what is added to the residual stream")]
fn a_longer_sum_than_the_residual_stream_is_refused() {
    residual(COLUMNS * K, COLUMNS * K + 1, K, K);
}

#[test]
#[should_panic(expected = "weights of a norm of the residual stream")]
fn a_norm_before_the_sum_that_is_too_short_is_refused() {
    residual(COLUMNS * K, COLUMNS * K, K - 1, K);
}

#[test]
#[should_panic(expected = "weights of a norm of the residual stream")]
fn a_norm_after_the_sum_that_is_too_long_is_refused() {
    residual(COLUMNS * K, COLUMNS * K, K, K + 1);
}

/// Lengths of everything that [`Projections`] takes; the default is right.
struct Lens {
    q: usize,
    k: usize,
    v: usize,
    bias: [usize; 3],
    norms: [usize; 3],
    angles: usize,
    cos: usize,
    sin: usize,
    width: usize,
    slots: [u32; COLUMNS],
}

impl Default for Lens {
    fn default() -> Lens {
        let (q, kv, norms) = (COLUMNS * 2 * 16, COLUMNS * 16, [16; 3]);
        let bias = [32, 16, 16];
        Lens { q, k: kv, v: kv, bias, norms, angles: COLUMNS, cos: 8, sin: 8, width: 16, slots: [0, 1] }
    }
}

/// Runs [`Projections`] with two query heads and one key/value head of 16 elements.
fn project(lens: Lens) {
    let mut compute = compute();
    let shape = AttentionShape { layer: 0, heads: 2, kv_heads: 1, head_dim: 16, scale: 1.0, softcap: None };
    let mut kv = KvPages::new([lens.width]);
    kv.grow();
    let bias = lens.bias.map(|len| vec![1.0; len]);
    let norms = lens.norms.map(|len| vec![1.0; len]);
    let (cos, sin) = (vec![1.0; lens.cos], vec![0.0; lens.sin]);
    Projections {
        q: &mut vec![1.0; lens.q],
        kv: Some(KeysValues { k: &mut vec![1.0; lens.k], v: &mut vec![1.0; lens.v], slots: &lens.slots }),
        bias: Some(bias.each_ref().map(|bias| &bias[..])),
        norms: norms.each_ref().map(|weight| Some(RmsNorm { weight, eps: 1e-6 })),
        angles: &vec![(&cos[..], &sin[..]); lens.angles],
        pairs: RopePairs::Halves,
    }
    .run(&mut compute, &shape, &mut kv);
}

#[test]
fn projections_of_the_shape_of_the_attention_are_taken() {
    project(Lens::default());
}

/// A test for each length that is wrong.
macro_rules! refused {
    ($($name:ident: $message:literal, $($field:ident: $value:expr),+;)+) => {
        $(
            #[test]
            #[should_panic(expected = $message)]
            fn $name() {
                project(Lens { $($field: $value),+, ..Lens::default() });
            }
        )+
    };
}

refused! {
    longer_queries_are_refused: "length of the queries", q: COLUMNS * 32 + 1;
    shorter_queries_are_refused: "length of the queries", q: COLUMNS * 32 - 1;
    longer_keys_are_refused: "length of the keys", k: COLUMNS * 16 + 1;
    longer_values_are_refused: "length of the values", v: COLUMNS * 16 + 1;
    a_shorter_bias_of_queries_is_refused: "length of a bias", bias: [31, 16, 16];
    a_shorter_bias_of_keys_is_refused: "length of a bias", bias: [32, 15, 16];
    a_longer_bias_of_values_is_refused: "length of a bias", bias: [32, 16, 17];
    a_longer_norm_of_query_heads_is_refused: "weights of a norm of heads", norms: [17, 16, 16];
    a_shorter_norm_of_key_heads_is_refused: "weights of a norm of heads", norms: [16, 15, 16];
    a_longer_norm_of_value_heads_is_refused: "weights of a norm of heads", norms: [16, 16, 17];
    a_column_without_angles_is_refused: "length of the queries", angles: COLUMNS - 1;
    more_angles_than_columns_are_refused: "length of the queries", angles: COLUMNS + 1;
    fewer_sines_than_cosines_are_refused: "a cosine and a sine for each pair", sin: 7;
    more_sines_than_cosines_are_refused: "a cosine and a sine for each pair", sin: 9;
    more_angles_than_pairs_are_refused: "a cosine and a sine for each pair", cos: 9, sin: 9;
    rows_of_another_width_are_refused: "width of the stored rows", width: 32;
    a_slot_that_does_not_exist_is_refused: "a slot that does not exist", slots: [0, 64];
    two_columns_with_one_slot_are_refused: "two columns share a slot", slots: [1, 1];
}

/// Runs [`attention`] with two query heads and one key/value head of 16 elements, and this first visible position and length of
/// the queries.
fn attend(start: usize, q: usize, columns: usize, k: usize) {
    let mut compute = compute();
    let shape = AttentionShape { layer: 0, heads: 2, kv_heads: 1, head_dim: 16, scale: 1.0, softcap: None };
    let mut kv = KvPages::new([16]);
    kv.grow();
    let mut out = Panels::default();
    out.reset(&compute, columns, k, &[]);
    attention(&mut compute, &shape, &kv, &vec![1.0; q], &[Visible { path: &[0], start }], &mut out);
}

#[test]
fn attention_of_its_shape_is_taken() {
    attend(0, 32, 1, 32);
}

#[test]
#[should_panic(expected = "length of the queries")]
fn attention_of_longer_queries_is_refused() {
    attend(0, 33, 1, 32);
}

#[test]
#[should_panic(expected = "output of attention")]
fn attention_into_longer_columns_is_refused() {
    attend(0, 32, 1, 64);
}

#[test]
#[should_panic(expected = "output of attention")]
fn attention_into_more_columns_is_refused() {
    attend(0, 32, 2, 32);
}

#[test]
#[should_panic(expected = "a query must see a position")]
fn attention_to_nothing_is_refused() {
    attend(1, 32, 1, 32);
}
