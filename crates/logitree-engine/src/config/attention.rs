//! The work of attention: how much a token computes and how much a pass reads, both of which grow with the text.

use super::types::{Config, LayerConfig};

impl Config {
    /// Floating-point operations of attention for the token at `position` of its path: the products of its query with
    /// the keys that it sees, and those of their weights with the values. A token whose distribution is not `wanted`
    /// passes through fewer layers in some models.
    pub fn attention_flops(&self, position: usize, wanted: bool) -> f64 {
        let layers = if wanted { self.layers.len() } else { self.layers_with_rows() };
        let of = |layer: &LayerConfig| 4.0 * (layer.q_len() * layer.visible(position + 1)) as f64;
        self.layers[..layers].iter().map(of).sum()
    }

    /// Bytes of keys and values that all layers read in one pass over `paths` open paths, each row once per layer. The
    /// paths have `shared` tokens in common, and each ends in `own` tokens that no other path has.
    pub fn attention_bytes(&self, paths: usize, shared: usize, own: usize) -> f64 {
        let rows = |layer: &LayerConfig| {
            let visible = layer.visible(shared + own);
            let own = own.min(visible);
            visible - own + paths * own
        };
        self.layers.iter().map(|layer| (layer.row_bytes() * rows(layer)) as f64).sum()
    }

    /// Bytes of the keys and values of a text of `len` tokens, in all layers that read them.
    pub fn rows_bytes(&self, len: usize) -> f64 {
        self.layers.iter().map(|layer| (layer.row_bytes() * len) as f64).sum()
    }
}

impl LayerConfig {
    /// How many tokens of a path the last of its `len` tokens sees.
    fn visible(&self, len: usize) -> usize {
        self.window.map_or(len, |window| window.min(len))
    }

    /// Bytes of the key and the value of one token.
    fn row_bytes(&self) -> usize {
        2 * self.kv_len() * size_of::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    fn tiny(name: &str) -> Config {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tiny").join(name);
        crate::config::of_folder(&folder).unwrap()
    }

    /// The rule of the forward pass.
    fn sees(layer: &LayerConfig, query: usize, key: usize) -> bool {
        key <= query && layer.window.is_none_or(|window| query - key < window)
    }

    #[test]
    fn attention_computes_with_every_key_that_a_query_sees() {
        // Windows of 12 and full attention; heads of two sizes, and layers that only wanted tokens pass through.
        for name in ["gemma3", "gemma4-e", "llama"] {
            let config = tiny(name);
            for position in [0, 5, 11, 12, 100] {
                for wanted in [false, true] {
                    let layers = if wanted { config.layers.len() } else { config.layers_with_rows() };
                    let mut flops = 0;
                    for layer in &config.layers[..layers] {
                        let keys = (0..200).filter(|&key| sees(layer, position, key)).count();
                        // A multiplication and an addition for each element of a key, and of a value.
                        flops += 2 * 2 * layer.heads * layer.head_dim * keys;
                    }
                    assert_eq!(config.attention_flops(position, wanted), flops as f64, "{name} at {position}");
                }
            }
        }
        let config = tiny("gemma4-e");
        assert!(config.attention_flops(50, true) > config.attention_flops(50, false));
    }

    #[test]
    fn attention_reads_each_row_that_some_path_sees_once_per_layer() {
        for name in ["gemma3", "gemma4-e", "llama"] {
            let config = tiny(name);
            for (paths, shared, own) in [(1, 0, 1), (1, 30, 1), (3, 4, 2), (3, 10, 5), (24, 40, 1), (5, 40, 20)] {
                let mut bytes = 0;
                for layer in &config.layers {
                    let mut rows = BTreeSet::new();
                    for path in 0..paths {
                        for key in (0..shared + own).filter(|&key| sees(layer, shared + own - 1, key)) {
                            rows.insert((if key < shared { None } else { Some(path) }, key));
                        }
                    }
                    bytes += rows.len() * layer.kv_heads * layer.head_dim * 2 * 4;
                }
                assert_eq!(config.attention_bytes(paths, shared, own), bytes as f64, "{name} {paths} {shared} {own}");
            }
        }
    }

    #[test]
    fn the_rows_of_a_text_are_those_that_a_last_token_without_windows_sees() {
        let config = tiny("llama");
        assert_eq!(config.rows_bytes(40), config.attention_bytes(1, 39, 1));
        let config = tiny("gemma3");
        assert!(config.rows_bytes(40) > config.attention_bytes(1, 39, 1));
        assert_eq!(config.rows_bytes(12), config.attention_bytes(1, 11, 1));
    }
}
