//! The one source of choice: what a run does not read from its plan, it draws here.
//!
//! The same generator of plans runs over a seed, over a recorded tape, or over a fuzzer's bytes.

/// Answers every question that a run leaves open.
pub trait Choice {
    /// A number below `bound`, which is above zero.
    fn below(&mut self, bound: u64) -> u64;

    /// A number from `low` to `high`, both included.
    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1).max(1))
    }

    /// Yes in `yes` of `of` cases.
    fn odds(&mut self, yes: u64, of: u64) -> bool {
        self.below(of) < yes
    }
}

/// One round of `SplitMix64` (Steele, Lea, Flood 2014): a good mix of 64 bits.
#[must_use]
pub const fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A generator seeded with one number: xoshiro256++ (Blackman and Vigna 2019), its state filled by `SplitMix64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seeded {
    state: [u64; 4],
}

impl Seeded {
    /// The generator of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let step = |n: u64| mix(seed.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        Self { state: [step(0), step(1), step(2), step(3)] }
    }

    /// The next 64 bits.
    pub const fn next(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }
}

impl Choice for Seeded {
    /// Multiply and shift (Lemire 2019); the bias is below 2⁻³² for the bounds used here.
    fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }
}

/// Choices read from bytes, as a fuzzer hands them out; past the end every answer is the first one.
#[derive(Clone, Debug)]
pub struct Bytes<'a> {
    bytes: &'a [u8],
}

impl<'a> Bytes<'a> {
    /// Choices from these bytes.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }
}

impl Choice for Bytes<'_> {
    fn below(&mut self, bound: u64) -> u64 {
        let width = (64 - bound.leading_zeros()).div_ceil(8) as usize;
        let (head, rest) = self.bytes.split_at(width.min(self.bytes.len()));
        self.bytes = rest;
        head.iter().fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte)) % bound.max(1)
    }
}

/// Choices that another source makes, recorded so that they can be made again.
#[derive(Clone, Debug)]
pub struct Recorded<C> {
    /// Who chooses.
    pub source: C,
    /// What was chosen so far.
    pub tape: Vec<u64>,
}

impl<C: Choice> Choice for Recorded<C> {
    fn below(&mut self, bound: u64) -> u64 {
        let chosen = self.source.below(bound);
        self.tape.push(chosen);
        chosen
    }
}

/// Choices read back from a tape; past its end every answer is the first one.
#[derive(Clone, Debug)]
pub struct Replay<'a> {
    tape: core::slice::Iter<'a, u64>,
}

impl<'a> Replay<'a> {
    /// The choices on `tape`, in order.
    #[must_use]
    pub fn new(tape: &'a [u64]) -> Self {
        Self { tape: tape.iter() }
    }
}

impl Choice for Replay<'_> {
    fn below(&mut self, bound: u64) -> u64 {
        self.tape.next().map_or(0, |chosen| chosen % bound.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mix_gives_the_published_numbers() {
        let published = [0xe220_a839_7b1d_cdaf_u64, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f];
        let ours = [0, 1, 2].map(|n: u64| mix(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        assert_eq!(ours, published);
    }

    #[test]
    fn the_generator_gives_the_published_numbers() {
        let mut seeded = Seeded { state: [1, 2, 3, 4] };
        let published = [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386];
        assert_eq!([(); 4].map(|()| seeded.next()), published);
    }

    #[test]
    fn a_tape_gives_back_what_was_recorded() {
        let mut recorded = Recorded { source: Seeded::new(7), tape: Vec::new() };
        let first: Vec<_> = (1..50).map(|bound| recorded.below(bound)).collect();
        let mut replay = Replay::new(&recorded.tape);
        let again: Vec<_> = (1..50).map(|bound| replay.below(bound)).collect();
        assert_eq!(first, again);
        assert_eq!(replay.below(9), 0);
    }

    #[test]
    fn bytes_never_choose_out_of_bounds() {
        let bytes: Vec<u8> = (0..=255).collect();
        let mut choice = Bytes::new(&bytes);
        for bound in [1, 2, 255, 256, 257, 1 << 40, u64::MAX] {
            assert!(choice.below(bound) < bound);
        }
        assert_eq!(Bytes::new(&[]).below(10), 0);
    }
}
