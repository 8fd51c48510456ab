//! The byte alphabet of GPT-2's byte-level BPE.
//!
//! Every byte is written as one printable character, so that a vocabulary of byte strings can be stored as text. Bytes
//! that are printable Latin-1 characters stand for themselves; the other 68 bytes become U+0100, U+0101, … in order
//! (`bytes_to_unicode` in GPT-2's `encoder.py`).

/// Whether a byte stands for itself.
const fn is_printable(b: u8) -> bool {
    matches!(b, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF)
}

/// The bytes that do not stand for themselves, in order: the first is written as U+0100.
const SHIFTED: [u8; 68] = shifted();

const fn shifted() -> [u8; 68] {
    let mut shifted = [0; 68];
    let (mut b, mut n) = (0u32, 0);
    while b <= u8::MAX as u32 {
        if !is_printable(b as u8) {
            shifted[n] = b as u8;
            n += 1;
        }
        b += 1;
    }
    shifted
}

/// The byte that a character of the alphabet stands for.
pub(super) fn byte_of(c: char) -> Option<u8> {
    match c as u32 {
        c @ 0..=0xFF => Some(c as u8).filter(|&b| is_printable(b)),
        c => SHIFTED.get(c as usize - 0x100).copied(),
    }
}

/// The byte that a token stands for, if the token is a single character of the alphabet. A vocabulary can express any
/// text with a byte only if it has this token.
pub(super) fn single(token: &str) -> Option<u8> {
    let mut chars = token.chars();
    let first = chars.next()?;
    if chars.next().is_none() { byte_of(first) } else { None }
}

/// Appends the bytes of a token to `out`. A character outside the alphabet, which only names of special tokens contain,
/// stands for itself.
pub(super) fn decode(token: &str, out: &mut Vec<u8>) {
    for c in token.chars() {
        match byte_of(c) {
            Some(b) => out.push(b),
            None => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_is_a_bijection() {
        let mut seen = [false; 256];
        for b in (0..0x200u32).filter_map(|c| byte_of(char::from_u32(c).unwrap())) {
            assert!(!std::mem::replace(&mut seen[b as usize], true), "byte {b} twice");
        }
        assert_eq!(seen, [true; 256]);
    }

    #[test]
    fn well_known_characters() {
        assert_eq!(["Ġ", "a", " ", "", "ab"].map(single), [Some(b' '), Some(b'a'), None, None, None]);
        let mut out = Vec::new();
        decode("ĠaĊé€", &mut out);
        // Ġ and Ċ are space and newline; é is byte 0xE9; € is not in the alphabet.
        assert_eq!(out, [b" a\n\xe9".as_slice(), "€".as_bytes()].concat());
    }
}
