//! Whether a plan's 90 % intervals hold: rollouts with calls whose law is known are forecast, and then run.
//!
//! Each set of records has an answer that is known beforehand. Every rollout begins with calls of its own, drawn from
//! the same law, and the whole simulator runs it. `cargo test -p sim --test coverage -- --nocapture` prints the
//! figures.

#![expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "times of some days, and counts of some hundreds"
)]

use openrtc_advise::plan::{Forecast, Plan as Advice, Question, advise};
use openrtc_advise::records::CallRecord;
use openrtc_core::time::{Instant, Span};
use sim::choice::{Choice, Seeded};
use sim::id::Colour;
use sim::oracle::Verdict;
use sim::plan::{Call, Deed, Happening, Kind, Plan};
use sim::run;
use sim::subject::Subject;

const HOUR: f64 = 3_600.0;

/// Calls that begin in an hour.
const RATE: f64 = 300.0;

/// For so many days there are records.
const DAYS: f64 = 14.0;

/// Rollouts of each set.
const ROLLOUTS: usize = 200;

/// How long a call lasts that begins in an hour of the day, in seconds.
type Law = fn(&mut Seeded, usize) -> f64;

fn unit(draws: &mut Seeded) -> f64 {
    (draws.below(1 << 52) as f64 + 0.5) / (1_u64 << 52) as f64
}

fn exponential(draws: &mut Seeded, mean: f64) -> f64 {
    -mean * unit(draws).ln()
}

/// A lognormal law with this mean.
fn lognormal(draws: &mut Seeded, mean: f64, sigma: f64) -> f64 {
    let normal = (-2.0 * unit(draws).ln()).sqrt() * (std::f64::consts::TAU * unit(draws)).cos();
    mean * (sigma * normal - sigma * sigma / 2.0).exp()
}

const SETS: [(&str, Law); 4] = [
    ("exponential, mean 4 min", |draws, _| exponential(draws, 240.0)),
    ("lognormal, σ 1.5", |draws, _| lognormal(draws, 240.0, 1.5)),
    ("two kinds mixed by the hour", |draws, hour| {
        let long = if hour < 6 { 60 } else { 5 };
        if draws.odds(long, 100) { lognormal(draws, 1_500.0, 0.6) } else { exponential(draws, 90.0) }
    }),
    ("a cap at 30 min", |draws, _| lognormal(draws, 300.0, 1.3).min(1_800.0)),
];

/// Calls that begin between two times, ordered by their start: (start, length).
fn calls(draws: &mut Seeded, law: Law, from: f64, to: f64) -> Vec<(f64, f64)> {
    let (mut calls, mut at) = (Vec::new(), from);
    loop {
        at += exponential(draws, HOUR / RATE);
        if at >= to {
            return calls;
        }
        let hour = (at / HOUR) as usize % 24;
        calls.push((at, law(draws, hour)));
    }
}

fn records(calls: &[(f64, f64)]) -> Vec<CallRecord> {
    let span = |seconds: f64| Span::from_micros((seconds * 1e6) as u64);
    let record = |(row, (start, length)): (u64, &(f64, f64))| CallRecord {
        row,
        start: Instant::EPOCH + span(*start),
        duration: span(*length),
        censored: false,
    };
    (2..).zip(calls).map(record).collect()
}

/// The calls of a fleet at `at`, and some that begin later: with all that began within a day before.
fn fleet(draws: &mut Seeded, law: Law, at: f64) -> Vec<(f64, f64)> {
    let mut calls = calls(draws, law, at - 24.0 * HOUR, at + 60.0);
    calls.retain(|(start, length)| start + length > at);
    calls
}

/// Rolls out at `at` in the simulator, and returns how long the old version's calls took, in seconds.
fn drain(calls: &[(f64, f64)], at: f64) -> f64 {
    let zero = calls.iter().map(|(start, _)| *start).fold(at, f64::min) - 10.0;
    let instant = |time: f64| Instant::from_micros(((time - zero) * 1e6) as u64);
    let call = |(start, length): &(f64, f64)| Call {
        at: instant(*start),
        lasts: Span::from_micros((length * 1e6) as u64),
        kind: Kind::Plain,
    };
    let plan = Plan {
        capacity: 1_000,
        calls: calls.iter().map(call).collect(),
        happenings: vec![Happening { at: instant(at), deed: Deed::Rollout }],
        ..Plan::default()
    };
    let outcome = run::run(&plan, Subject::default());
    assert_eq!(outcome.verdict, Verdict::Proven);
    let old = outcome.ledger.lines().iter().filter(|line| line.worker.is_some_and(|w| plan.colour(w) == Colour::Blue));
    let last = old.filter_map(|line| line.ended).max().unwrap_or_else(|| instant(at));
    last.since(instant(at)).as_micros() as f64 / 1e6
}

/// How often the interval held, its upper end was not known, and half of the drains were over by the median.
#[derive(Default)]
struct Score {
    held: usize,
    open: usize,
    early: usize,
}

impl Score {
    fn count(&mut self, forecast: &Forecast, took: f64) {
        let is_below = forecast.to_s.is_none_or(|to| took <= to);
        self.held += usize::from(took >= forecast.from_s && is_below);
        self.open += usize::from(forecast.to_s.is_none());
        self.early += usize::from(forecast.quantiles[0].at_s.is_some_and(|median| took <= median));
    }

    fn told(&self, name: &str) -> usize {
        let Self { held, open, early } = self;
        println!("{name:<32} {held:>3} of {ROLLOUTS} held; upper end not known {open:>3}; by the median {early:>3}");
        self.held
    }
}

/// The least that a 90 % interval may hold of 200: 2.4 standard errors below.
const LEAST: usize = 170;

/// Known ages say more, and a set without an upper end holds more often. Else this is the most.
const MOST: usize = 192;

#[test]
fn intervals_from_records_hold_at_every_hour() {
    for (number, (name, law)) in (1..).zip(SETS) {
        let mut draws = Seeded::new(number);
        let records = records(&calls(&mut draws, law, 0.0, DAYS * 24.0 * HOUR));
        let hours = [3, 30, 64, 117];
        let plan = |hour| advise(&Question { records: &records, hour: Some(hour), ..Question::default() }).unwrap();
        let plans: Vec<Advice> = hours.into_iter().map(plan).collect();
        let mut score = Score::default();
        for rollout in 0..ROLLOUTS {
            let at = (hours[rollout % 4] + 168) as f64 * HOUR;
            score.count(&plans[rollout % 4].forecast, drain(&fleet(&mut draws, law, at), at));
        }
        let held = score.told(name);
        assert!((LEAST..=MOST).contains(&held), "{name}: {held}");
    }
}

#[test]
fn intervals_from_ages_hold_with_records_and_without() {
    let (name, law) = SETS[1];
    let mut draws = Seeded::new(9);
    let records = records(&calls(&mut draws, law, 0.0, DAYS * 24.0 * HOUR));
    let (mut with, mut without) = (Score::default(), Score::default());
    for rollout in 0..ROLLOUTS {
        let at = (100 + rollout) as f64 * HOUR;
        let calls = fleet(&mut draws, law, at);
        let took = drain(&calls, at);
        let ages: Vec<_> = calls.iter().filter(|(start, _)| *start <= at).map(|(start, _)| at - start).collect();
        // Ten hours of records are enough to see that it holds, and quicker.
        let records = &records[..3_000];
        with.count(&advise(&Question { records, ages: Some(&ages), ..Question::default() }).unwrap().forecast, took);
        without.count(&advise(&Question { ages: Some(&ages), ..Question::default() }).unwrap().forecast, took);
    }
    for (score, how) in [(with, "ages and ten hours of records"), (without, "a snapshot of ages alone")] {
        let held = score.told(&format!("{name}, {how}"));
        assert!(held >= LEAST, "{how}: {held}");
    }
}
