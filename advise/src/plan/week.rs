//! When to roll: what a drain would take that begins in each hour of the week.

use serde::Serialize;

use super::curve::Beyond;
use super::evidence::{Evidence, HOURS};
use super::kinds::Kinds;
use super::left::{Flight, Reading};
use super::number::float;

/// At how many times a drain is looked at.
const TIMES: usize = 60;

/// Hours that are named as the best.
const BEST: usize = 3;

/// The hours of the week, from Monday 00:00 on.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Week {
    /// Every hour.
    pub hours: Vec<Hour>,
    /// The hours to roll at, best first.
    pub best: Vec<usize>,
    /// The hour not to roll at.
    pub worst: usize,
    /// The part of drains that the times are for: the highest that the records know for every hour. `None`: for none,
    /// and hours are compared by their calls in flight.
    pub part: Option<f64>,
    /// The most calls in flight at any hour, on average.
    pub peak: f64,
}

/// An hour of the week.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Hour {
    /// Whether the records have such an hour. If not, others stand for it.
    pub is_seen: bool,
    /// Calls in flight when it begins, on average.
    pub in_flight: f64,
    /// How long a drain takes that begins then, in seconds.
    pub drain_s: Option<f64>,
}

impl Hour {
    /// What hours are compared by: the time that a drain takes, or where that is not known the calls in flight.
    fn value(&self) -> f64 {
        self.drain_s.unwrap_or(self.in_flight)
    }
}

impl Week {
    /// The least and the most of the hours that the records have, and where an hour is between them: from 0 to 1.
    pub(super) fn scale(&self) -> (f64, f64, impl Fn(&Hour) -> f64) {
        let seen = || self.hours.iter().filter(|hour| hour.is_seen).map(Hour::value);
        let (least, most) = (seen().fold(f64::INFINITY, f64::min), seen().fold(0.0, f64::max));
        (least, most, move |hour: &Hour| (hour.value() - least) / (most - least).max(1e-9))
    }

    pub(super) fn of(evidence: &Evidence, kinds: &Kinds, point: &Reading) -> Self {
        let laws: Vec<_> = (0..HOURS).map(|hour| Law::of(point, kinds, hour)).collect();
        let times = |part: f64| laws.iter().map(|law| law.at(part)).collect::<Option<Vec<_>>>();
        let known = [0.95, 0.5].into_iter().find_map(|part| Some((part, times(part)?)));
        let hour = |hour: usize| Hour {
            is_seen: evidence.has(hour),
            in_flight: laws[hour].in_flight,
            drain_s: known.as_ref().map(|(_, times)| times[hour]),
        };
        let hours: Vec<_> = (0..HOURS).map(hour).collect();
        let mut order: Vec<_> = (0..HOURS).filter(|hour| hours[*hour].is_seen).collect();
        let cost = |hour: &usize| (hours[*hour].drain_s.unwrap_or(0.0), hours[*hour].in_flight);
        order.sort_by(|a, b| cost(a).partial_cmp(&cost(b)).unwrap_or(std::cmp::Ordering::Equal));
        let worst = order.last().copied().unwrap_or(0);
        order.truncate(BEST);
        let peak = hours.iter().map(|hour| hour.in_flight).fold(0.0, f64::max);
        let best = if order.is_empty() { vec![0] } else { order };
        Self { hours, best, worst, part: known.map(|(part, _)| part), peak }
    }
}

/// The drain of one hour, as the records themselves have it.
struct Law {
    in_flight: f64,
    /// When it is over, with which probability.
    over: Vec<(f64, f64)>,
}

impl Law {
    fn of(point: &Reading, kinds: &Kinds, hour: usize) -> Self {
        let left = |after, beyond| Flight::Expected(hour).left(point, kinds, after, beyond);
        let longest = point.longest();
        let step = 1_000.0_f64.ln() / float(TIMES - 1);
        let times = (0..TIMES).map(|time| longest / 1_000.0 * (step * float(time)).exp());
        let over = times.map(|time| (time, left(time, Beyond::One).none(1.0))).collect();
        Self { in_flight: left(0.0, Beyond::Nothing).mean(1.0), over }
    }

    fn at(&self, part: f64) -> Option<f64> {
        self.over.iter().find(|(_, over)| *over >= part).map(|(time, _)| *time)
    }
}
