//! Kinds of calls: hours of the week whose calls last alike are counted together, others apart. Places, languages or
//! machines that call at night make calls of other lengths, and one curve for all would be wrong at every hour.

use super::curve::{Curve, Observation};
use super::evidence::{Evidence, HOURS};
use super::number::float;

/// Fewer calls than this say nothing of an hour.
const CALLS_MIN: usize = 200;

/// More kinds than this are not told apart.
const KINDS_MAX: usize = 6;

/// Two kinds of call are taken for one if their lengths differ for at most this share of the calls, however sure the
/// difference is.
const ALIKE: f64 = 0.05;

/// The level of the test of Kolmogorov and Smirnov: one in a thousand pairs that are alike is taken for different.
const LEVEL: f64 = 1.949;

/// Which kind of call begins in each hour of the week.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kinds {
    of: [usize; HOURS],
    count: usize,
}

impl Kinds {
    /// The kinds that records tell apart.
    pub(super) fn of(evidence: &Evidence) -> Self {
        // What entered late or did not end says little of an hour, and is left out here.
        let whole: Vec<_> =
            evidence.seen.iter().zip(&evidence.hours).filter(|(seen, _)| seen.ended && seen.entry <= 0.0).collect();
        let cells = match whole.len() / CALLS_MIN {
            HOURS.. => HOURS,
            24.. => 24,
            _ => 1,
        };
        let mut lengths = vec![Vec::new(); cells];
        for (seen, hour) in whole {
            lengths[hour % cells].push(seen.exit);
        }
        let mut order: Vec<_> = (0..cells).collect();
        let mean = |cell: usize| lengths[cell].iter().sum::<f64>() / float(lengths[cell].len().max(1));
        order.sort_by(|a, b| mean(*a).total_cmp(&mean(*b)));
        let (mut kind_of, mut kind, mut together) = (vec![0; cells], 0, Vec::new());
        for cell in order {
            let lengths = &lengths[cell];
            if differ(&together, lengths) && kind + 1 < KINDS_MAX {
                (kind, together) = (kind + 1, Vec::new());
            }
            kind_of[cell] = kind;
            together.extend_from_slice(lengths);
            together.sort_by(f64::total_cmp);
        }
        Self { of: std::array::from_fn(|hour| kind_of[hour % cells]), count: kind + 1 }
    }

    /// All calls are of one kind.
    pub(super) const fn one() -> Self {
        Self { of: [0; HOURS], count: 1 }
    }

    /// The kind of an hour of the week.
    pub(super) const fn at(&self, hour: usize) -> usize {
        self.of[hour]
    }

    /// How many there are.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// The curve of each kind, each block counted as often as it was drawn. A kind of which nothing was drawn has the
    /// curve of all.
    pub(super) fn curves(&self, evidence: &Evidence, drawn: impl Fn(usize) -> f64) -> Vec<Curve> {
        let weight = |seen: &Observation| drawn(seen.block);
        if self.count == 1 {
            return vec![Curve::of(&evidence.seen, weight)];
        }
        let mut parts = vec![Vec::new(); self.count];
        for (seen, hour) in evidence.seen.iter().zip(&evidence.hours) {
            parts[self.of[*hour]].push(*seen);
        }
        let curve = |part: &Vec<Observation>| {
            let is_there = part.iter().any(|seen| seen.ended && weight(seen) > 0.0);
            Curve::of(if is_there { part } else { &evidence.seen }, weight)
        };
        parts.iter().map(curve).collect()
    }
}

/// Whether two sets of lengths, each sorted, differ for sure and by something that matters.
fn differ(some: &[f64], others: &[f64]) -> bool {
    if some.len() < CALLS_MIN || others.len() < CALLS_MIN {
        return false;
    }
    let (n, m) = (float(some.len()), float(others.len()));
    let (mut i, mut j, mut distance) = (0, 0, 0.0_f64);
    while let (Some(a), Some(b)) = (some.get(i), others.get(j)) {
        i += usize::from(a <= b);
        j += usize::from(b <= a);
        // Between equal lengths the steps are not at their end yet.
        let ends = |sorted: &[f64], at: usize| sorted.get(at).is_none_or(|next| *next > a.min(*b));
        if ends(some, i) && ends(others, j) {
            distance = distance.max((float(i) / n - float(j) / m).abs());
        }
    }
    distance > ALIKE.max(LEVEL * ((n + m) / (n * m)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::number::Draws;
    use crate::records::CallRecord;
    use openrtc_core::time::Instant;

    fn kinds(mean: impl Fn(usize) -> f64) -> Kinds {
        let mut draws = Draws::new(7);
        let calls: Vec<_> = (0..20_000_u64)
            .map(|row| {
                let start = row * 60;
                let length = -mean(usize::try_from(start / 3600).expect("small") % 24) * (1.0 - draws.unit()).ln();
                let duration = std::time::Duration::from_secs_f64(length).into();
                CallRecord { row, start: Instant::from_micros(start * 1_000_000), duration, censored: false }
            })
            .collect();
        Kinds::of(&Evidence::of(&calls, 0.0))
    }

    #[test]
    fn hours_that_are_alike_are_one_kind_and_others_are_told_apart() {
        assert_eq!(kinds(|_| 200.0).count(), 1);
        let mixed = kinds(|hour| if hour < 6 { 900.0 } else { 120.0 });
        assert_eq!(mixed.count(), 2);
        assert!((0..HOURS).all(|hour| mixed.at(hour) == usize::from(hour % 24 < 6)), "{mixed:?}");
    }
}
