//! Jitter from a seed, so that a session with the same inputs does the same.

use openrtc_runtime::time::Span;

/// `SplitMix64` (Steele, Lea and Flood 2014): enough to spread waits.
#[derive(Clone, Debug)]
pub(crate) struct Jitter(u64);

impl Jitter {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Between half of `span` and all of it.
    pub(crate) fn spread(&mut self, span: Span) -> Span {
        let half = span.as_micros() / 2;
        Span::from_micros(half + self.below(half + 1))
    }

    /// Between nothing and `span`.
    pub(crate) fn within(&mut self, span: Span) -> Span {
        Span::from_micros(self.below(span.as_micros() + 1))
    }

    /// Below `bound`; zero if that is zero.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        mixed.checked_rem(bound).unwrap_or(0)
    }
}
