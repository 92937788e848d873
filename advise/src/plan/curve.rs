//! How long calls last: the estimate of Kaplan and Meier (1958), with delayed entry and censoring (Turnbull 1976; Klein
//! and Moeschberger 2003, chapter 4).

/// What is known of one call. Times are ages of the call, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Observation {
    /// From which age on it would have been seen to end. 0: from its beginning.
    pub(super) entry: f64,
    /// The age up to which it was seen.
    pub(super) exit: f64,
    /// Whether it ended then by itself.
    pub(super) ended: bool,
    /// The block that it is resampled with: its day, or itself.
    pub(super) block: usize,
}

/// What counts beyond the longest record, where nothing is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beyond {
    /// Nothing lasts longer: the hopeful end of what the records allow.
    Nothing,
    /// One call that reaches the longest record's age stays for ever: the cautious end.
    One,
}

/// The part of calls that last longer than a time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Curve {
    /// When calls ended; ascending.
    times: Vec<f64>,
    /// The part that lasts longer than each of them.
    survival: Vec<f64>,
    /// The area below the curve from each of them on, in seconds.
    area: Vec<f64>,
    /// The longest that any call was seen.
    longest: f64,
    /// The part that one call is at the longest record's age: a call is longer than n others with probability
    /// 1/(n + 1).
    floor: f64,
}

impl Curve {
    /// The curve of observations ordered by their exit, each counted as often as `weight` says.
    pub(super) fn of(sorted: &[Observation], weight: impl Fn(&Observation) -> f64) -> Self {
        let mut late: Vec<(f64, f64)> = sorted
            .iter()
            .filter(|seen| seen.entry > 0.0 && seen.entry < seen.exit)
            .map(|seen| (seen.entry, weight(seen)))
            .collect();
        late.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut late = late.into_iter().peekable();
        let mut at_risk: f64 = sorted.iter().filter(|seen| seen.entry <= 0.0).map(&weight).sum();
        let (mut left, mut floor, mut longest) = (1.0, 1.0, 0.0);
        let (mut times, mut survival) = (Vec::new(), Vec::new());
        for group in sorted.chunk_by(|a, b| a.exit.total_cmp(&b.exit).is_eq()) {
            let exit = group[0].exit;
            while let Some((_, entered)) = late.next_if(|(entry, _)| *entry < exit) {
                at_risk += entered;
            }
            let counted = group.iter().filter(|seen| seen.entry <= 0.0 || seen.entry < seen.exit);
            let (mut leaving, mut ending) = (0.0, 0.0);
            for seen in counted {
                let weight = weight(seen);
                leaving += weight;
                ending += if seen.ended { weight } else { 0.0 };
            }
            if leaving > 0.0 {
                (longest, floor) = (exit, left / at_risk.max(1.0));
                // That all who are at risk end, and others come later, says nothing of those others.
                let is_last = at_risk - leaving < 0.5 && late.peek().is_none();
                if ending > 0.0 && (is_last || at_risk - ending > 0.5) {
                    left *= ((at_risk - ending) / at_risk).max(0.0);
                    times.push(exit);
                    survival.push(left);
                }
            }
            at_risk -= leaving;
        }
        // The rest of rounding is not a part of calls.
        if let Some(last) = survival.last_mut().filter(|last| **last < 1e-12) {
            *last = 0.0;
        } else {
            floor = left;
        }
        Self { area: areas(&times, &survival, longest), times, survival, longest, floor }
    }

    /// The longest that any call was seen, in seconds.
    pub(super) const fn longest(&self) -> f64 {
        self.longest
    }

    /// The part of calls that last longer than `age`.
    pub(super) fn at(&self, age: f64, beyond: Beyond) -> f64 {
        if age >= self.longest {
            return if beyond == Beyond::One { self.floor } else { 0.0 };
        }
        match self.times.partition_point(|time| *time <= age) {
            0 => 1.0,
            after => self.survival[after - 1],
        }
    }

    /// The area below the curve between two ages, in seconds.
    pub(super) fn between(&self, from: f64, to: f64, beyond: Beyond) -> f64 {
        let known = (self.from(from) - self.from(to)).max(0.0);
        let unknown = (to - from.max(self.longest)).max(0.0);
        if beyond == Beyond::One { known + unknown * self.floor } else { known }
    }

    /// The age that so large a part of calls reach at most; `None` where the curve does not come down to it.
    pub(super) fn quantile(&self, part: f64) -> Option<f64> {
        let place = self.survival.iter().position(|left| 1.0 - left >= part - 1e-12)?;
        self.times.get(place).copied()
    }

    /// The area below the curve from an age on.
    fn from(&self, age: f64) -> f64 {
        if age >= self.longest {
            return 0.0;
        }
        let next = self.times.partition_point(|time| *time <= age);
        let height = if next == 0 { 1.0 } else { self.survival[next - 1] };
        match self.times.get(next) {
            Some(time) => (time - age) * height + self.area[next],
            None => (self.longest - age) * height,
        }
    }
}

fn areas(times: &[f64], survival: &[f64], longest: f64) -> Vec<f64> {
    let (mut area, mut until) = (0.0, longest);
    let mut areas: Vec<f64> = times
        .iter()
        .zip(survival)
        .rev()
        .map(|(time, left)| {
            area += (until - time) * left;
            until = *time;
            area
        })
        .collect();
    areas.reverse();
    areas
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::plan::number::float;

    fn curve(mut seen: Vec<(f64, f64, bool)>) -> Curve {
        seen.sort_by(|a, b| a.1.total_cmp(&b.1));
        let seen: Vec<_> =
            seen.into_iter().map(|(entry, exit, ended)| Observation { entry, exit, ended, block: 0 }).collect();
        Curve::of(&seen, |_| 1.0)
    }

    #[expect(clippy::float_cmp, reason = "these are the very numbers that were put in")]
    #[test]
    fn a_small_example_worked_by_hand() {
        // At 1: 1 of 4 ends. At 2: one is censored. At 3: 1 of 2. At 5, where a late one was at risk from 4 on: 1 of 2.
        let curve =
            curve(vec![(0.0, 1.0, true), (0.0, 2.0, false), (0.0, 3.0, true), (0.0, 5.0, true), (4.0, 6.0, true)]);
        let at = |age| curve.at(age, Beyond::Nothing);
        assert_eq!([at(0.5), at(1.0), at(2.5), at(3.0), at(5.0), at(6.0)], [1.0, 0.75, 0.75, 0.375, 0.1875, 0.0]);
        assert_eq!(curve.at(7.0, Beyond::One), 0.1875, "what one call was before the last one ended");
        assert_eq!(curve.between(0.0, 6.0, Beyond::Nothing), 1.0 + 2.0 * 0.75 + 2.0 * 0.375 + 0.1875);
        assert_eq!(curve.between(5.5, 8.0, Beyond::One), 2.5 * 0.1875);
        assert_eq!((curve.quantile(0.5), curve.longest()), (Some(3.0), 6.0));
    }

    #[test]
    fn a_curve_that_ends_in_a_censored_call_does_not_come_down() {
        let curve = curve(vec![(0.0, 1.0, true), (0.0, 9.0, false)]);
        assert_eq!((curve.at(8.0, Beyond::Nothing), curve.at(9.0, Beyond::One)), (0.5, 0.5));
        assert_eq!((curve.quantile(0.5), curve.quantile(0.6)), (Some(1.0), None));
    }

    #[test]
    fn a_cap_that_many_calls_reach_leaves_one_call_in_doubt() {
        let capped = curve((0..100).map(|call| (0.0, f64::from(call).min(50.0) + 1.0, true)).collect());
        assert!((capped.at(60.0, Beyond::One) - 0.01).abs() < 1e-12);
    }

    proptest! {
        /// Without censoring and delayed entry it is the share of calls that last longer.
        #[test]
        fn whole_records_give_the_share_that_lasts_longer(
            lengths in prop::collection::vec(1_u16..500, 1..200),
            age in 0_u16..600,
        ) {
            let seen = lengths.iter().map(|length| (0.0, f64::from(*length), true)).collect();
            let share = |length: u16|
                float(lengths.iter().filter(|other| **other > length).count()) / float(lengths.len());
            let curve = curve(seen);
            prop_assert!((curve.at(f64::from(age), Beyond::Nothing) - share(age)).abs() < 1e-9);
            let mean = lengths.iter().map(|length| f64::from(*length)).sum::<f64>() / float(lengths.len());
            prop_assert!((curve.between(0.0, 1e6, Beyond::Nothing) - mean).abs() < 1e-6 * mean);
        }

        /// It never rises, stays between 0 and 1, and the cautious end is never below the hopeful one.
        #[test]
        fn it_never_rises(seen in prop::collection::vec((0_u16..400, 1_u16..500, any::<bool>()), 1..100)) {
            let seen = seen.into_iter().map(|(entry, exit, ended)| (entry.into(), exit.into(), ended)).collect();
            let curve = curve(seen);
            let mut before = 1.0;
            for age in (0..600).map(f64::from) {
                let (low, high) = (curve.at(age, Beyond::Nothing), curve.at(age, Beyond::One));
                prop_assert!((0.0..=1.0).contains(&low) && low <= high + 1e-12 && high <= before + 1e-12);
                before = high;
            }
        }
    }
}
