//! Numbers: counts as floating point and back, times in seconds, and a generator for resampling.

use openrtc_core::time::Span;

/// A count as a number to reckon with.
#[expect(clippy::cast_precision_loss, reason = "no count here comes near 2⁵²")]
pub(super) const fn float(count: usize) -> f64 {
    count as f64
}

/// A number as a count, rounded down; 0 below 0.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` stops at both ends, which is meant")]
pub(super) const fn whole(number: f64) -> usize {
    number as usize
}

/// A span in seconds.
pub(super) fn seconds(span: Span) -> f64 {
    std::time::Duration::from(span).as_secs_f64()
}

/// The value below which so large a part of sorted values lies.
pub(super) fn quantile(sorted: &[f64], part: f64) -> f64 {
    let place = whole((part * float(sorted.len())).ceil()).clamp(1, sorted.len().max(1)) - 1;
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

/// Draws for resampling: the same ones at each run. `SplitMix64` (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub(super) struct Draws(u64);

impl Draws {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are what a number holds")]
    pub(super) const fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// How often each of `count` blocks is drawn when as many are drawn with replacement.
    pub(super) fn resample(&mut self, count: usize) -> Vec<f64> {
        let mut weights = vec![0.0; count];
        for _ in 0..count {
            let drawn = whole(self.unit() * float(count));
            weights[drawn] += 1.0;
        }
        weights
    }

    /// How many of a Poisson law's events happen (Knuth for few; for many a normal law, which is as good then).
    pub(super) fn poisson(&mut self, mean: f64) -> f64 {
        if mean > 50.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0);
        }
        let (mut product, mut count) = (self.unit(), 0.0);
        let limit = (-mean).exp();
        while product > limit {
            product *= self.unit();
            count += 1.0;
        }
        count
    }

    /// A draw of the standard normal law (Box and Muller 1958).
    pub(super) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}
