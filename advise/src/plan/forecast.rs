//! What a drain will take: quantiles of its time, what each deadline would cut, waves; each with the range that the
//! records leave open. The records are resampled (whole days, because calls of one day are not independent), and what
//! is said is the mean over all of them, so that little evidence makes wide ranges.

use serde::Serialize;

use super::curve::Beyond;
use super::evidence::Evidence;
use super::kinds::Kinds;
use super::left::{Flight, Left, Reading};
use super::number::{Draws, float, quantile, whole};

/// How often the records are resampled.
const RESAMPLES: usize = 40;

/// At how many times a drain is looked at.
const TIMES: usize = 160;

/// How many numbers are drawn of each resample.
const NUMBERS: usize = 25;

/// How many rollouts in waves are drawn.
const ROLLOUTS: usize = 2_000;

/// The quantiles that are told.
const QUANTILES: [f64; 3] = [0.5, 0.95, 0.99];

/// What a drain will take. All times are in seconds; `None` is "not known": it lies beyond the longest record.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Forecast {
    /// How many calls are in flight when it begins.
    pub in_flight: Number,
    /// Half of all drains, 95 % and 99 % of them are over after so long.
    pub quantiles: Vec<Quantile>,
    /// The shortest of the nine in ten drains that this interval is to hold.
    pub from_s: f64,
    /// The longest of them.
    pub to_s: Option<f64>,
    /// Until when the records say something.
    pub known_until_s: f64,
    /// What each deadline would cut.
    pub deadlines: Vec<Cut>,
    /// The deadline that cuts no call, with the confidence that was asked for.
    pub none_cut: Quantile,
    /// What the calls of the old version still take, in hours of one call.
    pub call_hours: f64,
    /// The same rollout in waves, one after the other.
    pub waves: Vec<Waves>,
}

/// A number with the interval that holds it in nine of ten cases.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Number {
    /// Its mean.
    pub mean: f64,
    /// The least of nine in ten.
    pub low: f64,
    /// The most of nine in ten.
    pub high: f64,
}

/// A quantile of the time that a drain takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Quantile {
    /// The part of drains that are over by then.
    pub part: f64,
    /// The time.
    pub at_s: Option<f64>,
    /// Where it lies at least, by nine in ten resamples.
    pub low_s: Option<f64>,
    /// Where it lies at most.
    pub high_s: Option<f64>,
}

/// What a deadline cuts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Cut {
    /// The deadline.
    pub deadline_s: f64,
    /// The calls that it cuts; `None` past the longest record.
    pub calls: Option<Number>,
    /// The probability that it cuts none; `None` past the longest record.
    pub none: Option<f64>,
}

/// A rollout in waves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Waves {
    /// How many.
    pub waves: u32,
    /// The workers that must be there besides, if the fleet's size is known.
    pub spare_workers: Option<u32>,
    /// Half of such rollouts have drained after so long.
    pub p50_s: Option<f64>,
    /// 95 % of them have.
    pub p95_s: Option<f64>,
}

/// What a forecast is made of.
pub(super) struct Matter<'a> {
    pub(super) evidence: &'a Evidence,
    pub(super) kinds: &'a Kinds,
    /// The reading that the records themselves give.
    pub(super) point: &'a Reading,
    pub(super) flight: &'a Flight,
    pub(super) deadlines: &'a [f64],
    pub(super) confidence: f64,
    pub(super) workers: Option<u32>,
    pub(super) waves: &'a [u32],
}

/// The reading that the records themselves give, and those of resamples.
pub(super) fn read(evidence: &Evidence, kinds: &Kinds, weights: Option<&[f64]>) -> Reading {
    let curves = kinds.curves(evidence, |block| weights.map_or(1.0, |weights| weights[block]));
    let drawn = |block: usize| weights.filter(|_| evidence.summary.by_days).map_or(1.0, |weights| weights[block]);
    Reading { curves, rates: evidence.rates(drawn) }
}

impl Matter<'_> {
    pub(super) fn forecast(&self) -> Forecast {
        let longest = self.point.longest();
        let times = times(longest);
        let parts: Vec<_> = self.waves.iter().map(|waves| 1.0 / f64::from(*waves)).collect();
        let mut draws = Draws::new(0x0D1A1);
        let mut seen = Seen::new(self.deadlines.len(), parts.len());
        for _ in 0..RESAMPLES {
            let weights = draws.resample(self.evidence.blocks);
            let reading = read(self.evidence, self.kinds, Some(&weights));
            self.look(&reading, &times, &parts, &mut seen, &mut draws);
        }
        let cautious = Law::mean(&times, &seen.cautious);
        let hopeful = Law::mean(&times, &seen.hopeful);
        let at = |part| seen.quantile(part, &cautious);
        let cut = |(deadline, numbers): (&f64, &Numbers)| {
            let is_known = *deadline < longest;
            let left = self.flight.left(self.point, self.kinds, *deadline, Beyond::One);
            Cut {
                deadline_s: *deadline,
                calls: is_known.then(|| numbers.number(&left)),
                none: is_known.then(|| left.none(1.0)),
            }
        };
        let waves = self.waves.iter().zip(&seen.parts).map(|(waves, laws)| {
            let law = Law::mean(&times, laws);
            self.in_waves(*waves, &law, &mut draws)
        });
        Forecast {
            in_flight: seen.start.number(&self.flight.left(self.point, self.kinds, 0.0, Beyond::Nothing)),
            quantiles: QUANTILES.map(at).to_vec(),
            from_s: hopeful.at(0.05).unwrap_or(longest),
            to_s: cautious.at(0.95),
            known_until_s: longest,
            deadlines: self.deadlines.iter().zip(&seen.cuts).map(cut).collect(),
            none_cut: at(self.confidence),
            call_hours: self.call_hours(&times),
            waves: waves.collect(),
        }
    }

    /// What one reading says, added to what the others said.
    fn look(&self, reading: &Reading, times: &[f64], parts: &[f64], seen: &mut Seen, draws: &mut Draws) {
        let left = |after, beyond| self.flight.left(reading, self.kinds, after, beyond);
        let cautious: Vec<_> = times.iter().map(|time| left(*time, Beyond::One)).collect();
        seen.cautious.push(cautious.iter().map(|left| left.none(1.0)).collect());
        seen.hopeful.push(times.iter().map(|time| left(*time, Beyond::Nothing).none(1.0)).collect());
        for (part, laws) in parts.iter().zip(&mut seen.parts) {
            laws.push(cautious.iter().map(|left| left.none(*part)).collect());
        }
        let start = left(0.0, Beyond::Nothing);
        seen.start.draw(&start, &start, draws);
        for (deadline, numbers) in self.deadlines.iter().zip(&mut seen.cuts) {
            numbers.draw(&left(*deadline, Beyond::Nothing), &left(*deadline, Beyond::One), draws);
        }
    }

    /// Waves one after the other: the next one begins when the one before has drained.
    fn in_waves(&self, waves: u32, law: &Law<'_>, draws: &mut Draws) -> Waves {
        let mut one = || law.at(draws.unit()).unwrap_or(f64::INFINITY);
        let mut rollouts: Vec<f64> = (0..ROLLOUTS).map(|_| (0..waves).map(|_| one()).sum()).collect();
        rollouts.sort_by(f64::total_cmp);
        let known = |part| Some(quantile(&rollouts, part)).filter(|time| time.is_finite());
        let spare_workers = self.workers.map(|workers| workers.div_ceil(waves));
        Waves { waves, spare_workers, p50_s: known(0.5), p95_s: known(0.95) }
    }

    /// The area below what is left.
    fn call_hours(&self, times: &[f64]) -> f64 {
        let left = |time: f64| self.flight.left(self.point, self.kinds, time, Beyond::Nothing).mean(1.0);
        let steps = times.windows(2).map(|pair| (pair[1] - pair[0]) * f64::midpoint(left(pair[0]), left(pair[1])));
        steps.sum::<f64>() / 3_600.0
    }
}

/// When a drain is looked at: at its beginning, and then ever less often.
fn times(longest: f64) -> Vec<f64> {
    let first = (longest / 5_000.0).max(1e-3);
    let factor = (longest / first).max(1.0).ln() / float(TIMES - 2);
    let later = (0..TIMES - 1).map(|step| first * (factor * float(step)).exp());
    std::iter::once(0.0).chain(later).collect()
}

/// What was seen in all resamples.
struct Seen {
    /// The probability that the drain is over at each time, per resample.
    cautious: Vec<Vec<f64>>,
    hopeful: Vec<Vec<f64>>,
    /// The same of a part of the calls.
    parts: Vec<Vec<Vec<f64>>>,
    start: Numbers,
    cuts: Vec<Numbers>,
}

impl Seen {
    fn new(deadlines: usize, parts: usize) -> Self {
        let cuts = (0..deadlines).map(|_| Numbers::default()).collect();
        Self { cautious: vec![], hopeful: vec![], parts: vec![vec![]; parts], start: Numbers::default(), cuts }
    }

    /// A quantile of the mean law, between those of nine in ten resamples.
    fn quantile(&self, part: f64, law: &Law<'_>) -> Quantile {
        let each = |laws: &[Vec<f64>]| -> Vec<f64> {
            let at = |over: &Vec<f64>| Law { times: law.times, over: over.clone() }.at(part).unwrap_or(f64::INFINITY);
            let mut at: Vec<_> = laws.iter().map(at).collect();
            at.sort_by(f64::total_cmp);
            at
        };
        let known = |at: f64| at.is_finite().then_some(at);
        let low_s = known(quantile(&each(&self.hopeful), 0.05));
        Quantile { part, at_s: law.at(part), low_s, high_s: known(quantile(&each(&self.cautious), 0.95)) }
    }
}

/// Numbers drawn of both ends of what the records allow.
#[derive(Default)]
struct Numbers {
    hopeful: Vec<f64>,
    cautious: Vec<f64>,
}

impl Numbers {
    fn draw(&mut self, hopeful: &Left, cautious: &Left, draws: &mut Draws) {
        for _ in 0..NUMBERS {
            self.hopeful.push(hopeful.draw(draws));
            self.cautious.push(cautious.draw(draws));
        }
    }

    fn number(&self, point: &Left) -> Number {
        let at = |numbers: &[f64], part| {
            let mut sorted = numbers.to_vec();
            sorted.sort_by(f64::total_cmp);
            quantile(&sorted, part)
        };
        Number { mean: point.mean(1.0), low: at(&self.hopeful, 0.05), high: at(&self.cautious, 0.95) }
    }
}

/// The probability that a drain is over, by time.
struct Law<'a> {
    times: &'a [f64],
    over: Vec<f64>,
}

impl<'a> Law<'a> {
    fn mean(times: &'a [f64], laws: &[Vec<f64>]) -> Self {
        let mean = |at: usize| laws.iter().map(|law| law[at]).sum::<f64>() / float(laws.len().max(1));
        Self { times, over: (0..times.len()).map(mean).collect() }
    }

    /// When it is over with this probability.
    fn at(&self, part: f64) -> Option<f64> {
        let after = self.over.iter().position(|over| *over >= part)?;
        let Some(before) = after.checked_sub(1) else { return Some(0.0) };
        let (low, high) = (self.over[before], self.over[after]);
        let step = (part - low) / (high - low);
        Some(self.times[before] + step * (self.times[after] - self.times[before]))
    }
}

/// How many workers so many calls need, with so many on each.
pub(super) fn workers_for(calls: f64, capacity: u32) -> u32 {
    u32::try_from(whole((calls / f64::from(capacity.max(1))).ceil())).unwrap_or(u32::MAX).max(1)
}
