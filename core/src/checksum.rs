//! CRC-32C (Castagnoli; iSCSI, RFC 3720 appendix B.4), sixteen bytes at a time. Journal frames are short, so the bytes
//! after the last block matter for the speed, and so does every call in between.

/// The polynomial 0x1EDC6F41, reflected.
const POLYNOMIAL: u32 = 0x82F6_3B78;

/// A checksum under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checksum(u32);

impl Checksum {
    pub(crate) const fn new() -> Self {
        Self(u32::MAX)
    }

    /// Goes on with `bytes`.
    #[inline]
    #[must_use]
    pub(crate) fn then(self, bytes: &[u8]) -> Self {
        let (blocks, rest) = bytes.as_chunks::<16>();
        let crc = blocks.iter().fold(self.0, step);
        let (words, rest) = rest.as_chunks::<4>();
        let crc = words.iter().fold(crc, step);
        let one = |crc: u32, byte: &u8| (crc >> 8) ^ TABLES[0][usize::from(crc.to_le_bytes()[0] ^ byte)];
        Self(rest.iter().fold(crc, one))
    }

    pub(crate) const fn get(self) -> u32 {
        !self.0
    }
}

/// Goes on with `N` bytes at once, four or more. Each byte contributes what the bytes after it in the block make of it.
#[inline]
fn step<const N: usize>(crc: u32, block: &[u8; N]) -> u32 {
    let before = crc.to_le_bytes();
    block.iter().enumerate().fold(0, |after, (at, byte)| {
        let byte = byte ^ before.get(at).copied().unwrap_or(0);
        after ^ TABLES[N - 1 - at][usize::from(byte)]
    })
}

/// `TABLES[n][byte]`: what `byte` makes of a register of zeros with `n` bytes of zeros after it.
static TABLES: [[u32; 256]; 16] = tables();

const fn tables() -> [[u32; 256]; 16] {
    let mut tables = [[0; 256]; 16];
    let mut index = 0;
    while index < 16 * 256 {
        let (table, byte) = (index / 256, index % 256);
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let mut crc = if table == 0 { byte as u32 } else { tables[table - 1][byte] };
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[table][byte] = crc;
        index += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_published_one() {
        let zeros = Checksum::new().then(&[0; 32]);
        let check = Checksum::new().then(b"123456789");
        assert_eq!((zeros.get(), check.get()), (0x8A91_36AA, 0xE306_9283));
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        let bytes: [u8; 100] = core::array::from_fn(|at| at.to_le_bytes()[0].wrapping_mul(37));
        let whole = bytes.iter().fold(Checksum::new(), |sum, byte| sum.then(&[*byte])).get();
        for middle in 0..bytes.len() {
            let (first, second) = bytes.split_at(middle);
            assert_eq!(Checksum::new().then(first).then(second).get(), whole, "in two at {middle}");
        }
    }
}
