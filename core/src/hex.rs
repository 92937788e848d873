//! Bytes as hexadecimal digits. One text for the same bytes: small letters only, so that a changed letter is a change.

use alloc::vec::Vec;
use core::fmt;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Bytes that are shown as digits.
#[derive(Clone, Copy)]
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().flat_map(|byte| digits(*byte)).try_for_each(|digit| fmt::Write::write_char(f, digit.into()))
    }
}

/// Appends the digits of `bytes` to `out`.
pub fn append(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        out.extend_from_slice(&digits(*byte));
    }
}

/// The bytes that `text` shows, if it is exactly `2 * N` digits.
#[must_use]
pub fn read<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    (text.len() == 2 * N).then_some(bytes)
}

fn digits(byte: u8) -> [u8; 2] {
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn bytes_are_read_back_and_nothing_else_is_read() {
        let bytes = [0x00, 0x1f, 0xa7, 0xff];
        let text = Hex(&bytes).to_string();
        assert_eq!(text, "001fa7ff");
        let mut appended = Vec::new();
        append(&bytes, &mut appended);
        assert_eq!(appended, text.as_bytes());
        assert_eq!(read(text.as_bytes()), Some(bytes));
        for text in ["", "001fa7f", "001fa7ff0", "001fa7ff00", "001FA7FF", "001fa7fg", "0x1fa7ff", "+01fa7ff"] {
            assert_eq!(read::<4>(text.as_bytes()), None, "{text}");
        }
    }
}
