//! Writes numbers and strings exactly as Python's `json` module does.

use std::fmt::Write;

/// A float as Python's `repr` writes it: the shortest digits, with an exponent below 1e-4 and from 1e16 on.
pub fn float(x: f64, out: &mut String) {
    if x.is_nan() {
        out.push_str("NaN");
    } else if x.is_infinite() {
        out.push_str(if x > 0.0 { "Infinity" } else { "-Infinity" });
    } else if x != 0.0 && !(1e-4..1e16).contains(&x.abs()) {
        let text = format!("{x:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |e| ('-', e));
        let _ = write!(out, "{digits}e{sign}{exponent:0>2}");
    } else {
        let start = out.len();
        let _ = write!(out, "{x}");
        if !out[start..].contains('.') {
            out.push_str(".0");
        }
    }
}

/// Python's `round(x, digits)`.
pub fn round(x: f64, digits: usize) -> f64 {
    // Formatting rounds the exact binary value correctly, as Python does.
    format!("{x:.digits$}").parse().unwrap_or(x)
}

/// A JSON string literal; with `ascii`, all other characters are escaped.
pub fn string(s: &str, ascii: bool, out: &mut String) {
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || (ascii && (c as u32) >= 0x7f) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_read_as_python_writes_them() {
        for (x, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (1e16, "1e+16"),
            (123456789012345680.0, "1.2345678901234568e+17"),
            (1e-300, "1e-300"),
            (87.51340470900752, "87.51340470900752"),
        ] {
            let mut out = String::new();
            float(x, &mut out);
            assert_eq!(out, text);
        }
    }

    #[test]
    fn rounding_is_of_the_exact_value() {
        assert_eq!(round(2.675, 2), 2.67);
        assert_eq!(round(0.36914062, 6), 0.369141);
        assert_eq!(round(0.5, 0), 0.0);
    }

    #[test]
    fn strings_are_escaped_as_python_does() {
        let mut out = String::new();
        string("a\"\\\n\u{1}é🙂\u{7f}", true, &mut out);
        assert_eq!(out, r#""a\"\\\n\u0001\u00e9\ud83d\ude42\u007f""#);
        out.clear();
        string("é\u{1}\u{7f}", false, &mut out);
        assert_eq!(out, "\"é\\u0001\u{7f}\"");
    }
}
