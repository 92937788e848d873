//! The bars the design set itself, and whether this run meets them.

use std::fmt;
use std::time::Duration;

use benches::gates::{LIMIT, TRACKER, WORD};
use benches::measure::Cost;

use crate::Measured;

/// How many times as fast as `TaskTracker` the bare gate should be.
pub(crate) const FASTER_THAN_TRACKER: f64 = 1.5;

/// One line per bar.
pub(crate) struct Bars(Vec<Bar>);

struct Bar {
    what: &'static str,
    asked: String,
    measured: String,
    met: bool,
}

impl Bars {
    pub(crate) fn judge(measured: &Measured) -> Self {
        let Measured { alone, busy, refuse, pool, journal, bytes_per_call, last_hang_ups, .. } = measured;
        let word = least(alone, WORD);
        let crates = busy.iter().filter(|cost| is_crate(cost.name)).map(|cost| cost.median).fold(f64::MAX, f64::min);
        let p99 = last_hang_ups[last_hang_ups.len() * 99 / 100];
        let per_second = |cost: &Cost| 1e3 / cost.least;
        Self(vec![
            at_most("bare gate, 1 thread, × two fetch_add", word / least(alone, LIMIT), 1.3),
            at_least("TaskTracker / bare gate, 1 thread", least(alone, TRACKER) / word, FASTER_THAN_TRACKER),
            at_most("bare gate / fastest crate, 2 threads with work", median(busy, WORD) / crates, 1.0),
            at_most("whole pool / assembled by hand", pool[0].least / pool[1].least, 0.5),
            at_most("refusal, ns above one fetch_add", refuse[1].least - refuse[0].least, 5.0),
            at_most("last hang-up to drained, median, ms", millis(last_hang_ups[last_hang_ups.len() / 2]), 1.0),
            at_most("last hang-up to drained, p99, ms", millis(p99), 1.0),
            at_most(
                "bytes per call in flight, at a million",
                f64::from(u32::try_from(*bytes_per_call).unwrap_or(u32::MAX)),
                128.0,
            ),
            at_least("journal, million events appended per second", per_second(&journal[0]), 5.0),
            at_least("journal, million events replayed per second", per_second(&journal[1]), 10.0),
        ])
    }
}

fn is_crate(name: &str) -> bool {
    !name.starts_with("**") && name != LIMIT && !name.contains("lock around")
}

pub(crate) fn least(costs: &[Cost], name: &str) -> f64 {
    costs.iter().find(|cost| cost.name == name).map_or(f64::NAN, |cost| cost.least)
}

fn median(costs: &[Cost], name: &str) -> f64 {
    costs.iter().find(|cost| cost.name == name).map_or(f64::NAN, |cost| cost.median)
}

fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

fn at_most(what: &'static str, measured: f64, bar: f64) -> Bar {
    Bar { what, asked: format!("≤ {bar}"), measured: format!("{measured:.2}"), met: measured <= bar }
}

fn at_least(what: &'static str, measured: f64, bar: f64) -> Bar {
    Bar { what, asked: format!("≥ {bar}"), measured: format!("{measured:.2}"), met: measured >= bar }
}

impl fmt::Display for Bars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("| what | bar | measured | |\n|---|--:|--:|---|\n")?;
        for Bar { what, asked, measured, met } in &self.0 {
            let verdict = if *met { "met" } else { "**short**" };
            writeln!(f, "| {what} | {asked} | {measured} | {verdict} |")?;
        }
        Ok(())
    }
}
