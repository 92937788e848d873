//! How many calls are left some time after a drain began, and whether any is.
//!
//! With known ages, a call of age a is still there after d with probability S(a + d) / S(a). Without them, calls that
//! arrive at a rate λ that changes over the week leave M(d) = ∫ λ(T − u) S(u + d) du at time T + d, a Poisson number
//! (`M_t/G/∞`; Eick, Massey and Whitt 1993). A snapshot of ages alone tells the rest of the calls as well: in a steady
//! state the time that a call has had and the time that it still has follow the same law (Cox 1962, chapter 5).

use super::curve::{Beyond, Curve};
use super::evidence::{HOUR, HOURS};
use super::kinds::Kinds;
use super::number::{Draws, float};

/// More ages than this are reckoned with in groups of neighbours.
const AGES_MAX: usize = 400;

/// Calls older than this count as so old, in hours: longer ones are not what a drain waits for.
const OLDEST: usize = 24 * 90;

/// The calls that a drain begins with.
#[derive(Clone, Debug)]
pub(super) enum Flight {
    /// So many as the records let expect at this hour of the week.
    Expected(usize),
    /// These, with the hour of the week in which they began if that is known.
    Ages(Vec<Aged>),
}

/// A call in flight, or several of nearly the same age.
#[derive(Clone, Copy, Debug)]
pub(super) struct Aged {
    /// How long ago it began, in seconds. `None`: nothing is known but the curve of what is left.
    pub(super) age: Option<f64>,
    pub(super) hour: usize,
    /// How many.
    pub(super) count: f64,
}

/// What one way to read the records says: the curves and the rates.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) curves: Vec<Curve>,
    pub(super) rates: [f64; HOURS],
}

/// What is left at a time.
pub(super) enum Left {
    /// A Poisson number with this mean.
    Poisson(f64),
    /// Each call with its own probability; several at once.
    Each(Vec<(f64, f64)>),
}

impl Flight {
    /// Calls with known ages: (age in seconds, hour of the week in which it began).
    pub(super) fn of_ages(mut ages: Vec<(f64, usize)>) -> Self {
        ages.sort_by(|a, b| a.0.total_cmp(&b.0));
        let group = ages.len().div_ceil(AGES_MAX).max(1);
        let middle = |group: &[(f64, usize)]| {
            let (age, hour) = group[group.len() / 2];
            Aged { age: Some(age), hour, count: float(group.len()) }
        };
        Self::Ages(ages.chunks(group).map(middle).collect())
    }

    /// How many calls are left `after` seconds, on average and as a law.
    pub(super) fn left(&self, reading: &Reading, kinds: &Kinds, after: f64, beyond: Beyond) -> Left {
        match self {
            Self::Expected(hour) => Left::Poisson(expected(reading, kinds, *hour, after, beyond)),
            Self::Ages(ages) => {
                let stays = |call: &Aged| (reading.stays(kinds, call, after, beyond), call.count);
                Left::Each(ages.iter().map(stays).collect())
            }
        }
    }
}

impl Reading {
    /// The longest that any call was seen, in seconds.
    pub(super) fn longest(&self) -> f64 {
        self.curves.iter().map(Curve::longest).fold(0.0, f64::max)
    }

    /// The probability that a call is still there after so many seconds.
    fn stays(&self, kinds: &Kinds, call: &Aged, after: f64, beyond: Beyond) -> f64 {
        let curve = &self.curves[kinds.at(call.hour)];
        let Some(age) = call.age else { return curve.at(after, beyond) };
        // A call that is older than all records is a case of its own: it may stay, and nobody knows.
        let (now, then) = (curve.at(age, beyond), curve.at(age + after, beyond));
        match beyond {
            Beyond::Nothing if now <= 0.0 => 0.0,
            Beyond::One if age >= curve.longest() => 1.0,
            Beyond::Nothing | Beyond::One => (then / now).min(1.0),
        }
    }
}

/// The mean of what is left, `after` seconds from the beginning of an hour.
fn expected(reading: &Reading, kinds: &Kinds, hour: usize, after: f64, beyond: Beyond) -> f64 {
    let oldest = reading.longest();
    (1..=OLDEST)
        .map(|ago| (ago, HOUR * float(ago - 1)))
        .take_while(|(_, youngest)| *youngest < oldest)
        .map(|(ago, youngest)| {
            let began = (hour + OLDEST.next_multiple_of(HOURS) - ago) % HOURS;
            let curve = &reading.curves[kinds.at(began)];
            // A call beyond the longest record is not among those that are in flight.
            let old = (youngest + HOUR).min(curve.longest().max(youngest));
            reading.rates[began] / HOUR * curve.between(youngest + after, old + after, beyond)
        })
        .sum()
}

impl Left {
    /// The mean number, of `part` of the calls.
    pub(super) fn mean(&self, part: f64) -> f64 {
        part * match self {
            Self::Poisson(mean) => *mean,
            Self::Each(calls) => calls.iter().map(|(stays, count)| stays * count).sum(),
        }
    }

    /// The probability that none is left, of `part` of the calls.
    pub(super) fn none(&self, part: f64) -> f64 {
        match self {
            Self::Poisson(mean) => (-mean * part).exp(),
            Self::Each(calls) => {
                calls.iter().map(|(stays, count)| (1.0 - stays * part).max(0.0).powf(*count)).product()
            }
        }
    }

    /// A number drawn from the law.
    pub(super) fn draw(&self, draws: &mut Draws) -> f64 {
        match self {
            Self::Poisson(mean) => draws.poisson(*mean),
            Self::Each(calls) => calls.iter().map(|(stays, count)| binomial(draws, *stays, *count)).sum(),
        }
    }
}

/// How many of `count` stay. Of many, as a normal law has it.
fn binomial(draws: &mut Draws, stays: f64, count: f64) -> f64 {
    if count > 30.0 {
        let number = count * stays + (count * stays * (1.0 - stays)).sqrt() * draws.normal();
        return number.round().clamp(0.0, count);
    }
    let mut left = 0.0;
    let mut tried = 0.0;
    while tried < count {
        left += if draws.unit() < stays { 1.0 } else { 0.0 };
        tried += 1.0;
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::curve::Observation;

    /// Calls with quantiles of an exponential law with a mean of 240 s.
    fn exponential() -> Reading {
        let mut seen: Vec<_> = (1..20_000)
            .map(|n| Observation { entry: 0.0, exit: -240.0 * (f64::from(n) / 2e4).ln(), ended: true, block: 0 })
            .collect();
        seen.sort_by(|a, b| a.exit.total_cmp(&b.exit));
        Reading { curves: vec![Curve::of(&seen, |_| 1.0)], rates: [1500.0; HOURS] }
    }

    #[test]
    fn the_textbook_case_comes_out() {
        // λ m = 1500 per hour × 240 s = 100 in flight; M(d) = 100 e^(−d/240) (operators' rule: 37 min for 99 %).
        let (reading, kinds) = (exponential(), Kinds::one());
        let left = |after| Flight::Expected(30).left(&reading, &kinds, after, Beyond::Nothing);
        for after in [0.0, 240.0, 600.0, 1200.0_f64] {
            let exact = 100.0 * (-after / 240.0).exp();
            let mean = left(after).mean(1.0);
            assert!((mean - exact).abs() < 0.02 * exact + 0.02, "after {after}: {mean}, not {exact}");
        }
        let none = left(240.0 * (100.0 / -0.5_f64.ln()).ln()).none(1.0);
        assert!((none - 0.5).abs() < 0.02, "{none}");
    }

    #[test]
    fn a_known_age_of_an_exponential_call_changes_nothing_and_an_unknown_future_is_said() {
        let (reading, kinds) = (exponential(), Kinds::one());
        let stays =
            |age, after, beyond| reading.stays(&kinds, &Aged { age: Some(age), hour: 0, count: 1.0 }, after, beyond);
        let exact = (-1.0_f64).exp();
        for age in [0.0, 100.0, 500.0] {
            assert!((stays(age, 240.0, Beyond::Nothing) - exact).abs() < 0.01, "{age}");
        }
        assert!(stays(1e5, 1.0, Beyond::One) > 0.99 && stays(1e5, 1.0, Beyond::Nothing) < 0.01);
    }

    #[test]
    fn numbers_are_drawn_from_the_law() {
        let mut draws = Draws::new(1);
        for left in [Left::Poisson(3.0), Left::Poisson(300.0), Left::Each(vec![(0.5, 4.0), (0.1, 100.0), (1.0, 2.0)])] {
            let mean = (0..4000).map(|_| left.draw(&mut draws)).sum::<f64>() / 4000.0;
            assert!((mean / left.mean(1.0) - 1.0).abs() < 0.05, "{mean} for {}", left.mean(1.0));
        }
    }
}
