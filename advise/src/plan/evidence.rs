//! From call records to observations: which calls count, from which age on, and what they are resampled with.
//!
//! A file of records leaves calls out, and which ones depends on how it was made. Selected by their ends, calls that
//! began before the file does are there only if they were long, and calls that were running when it ends are not there
//! at all. So calls that began before the first end in the file enter late, at their age then; and unless the file has
//! calls that were still running, those that began so late that the longest one would not have ended are left out.

use openrtc_core::time::Instant;

use super::curve::Observation;
use super::number::{float, seconds, whole};
use crate::records::CallRecord;

/// An hour, in seconds.
pub(super) const HOUR: f64 = 3_600.0;

/// Hours of a week.
pub(super) const HOURS: usize = 168;

/// Starts before this are not Unix times: the year 2000, in seconds.
const REAL_TIMES: f64 = 946_684_800.0;

/// With fewer whole days than this, calls are resampled one by one.
const DAYS_MIN: usize = 5;

/// What the records say, in a form to reckon with. Hours count from Monday, 00:00.
#[derive(Clone, Debug)]
pub(super) struct Evidence {
    /// Every call that counts, by its exit.
    pub(super) seen: Vec<Observation>,
    /// The hour of the week in which each of them began.
    pub(super) hours: Vec<usize>,
    /// How many blocks they are resampled in.
    pub(super) blocks: usize,
    /// Starts by block and hour of the week. One by one, they are all in block 0.
    pub(super) starts: Vec<[f64; HOURS]>,
    /// For how long calls of each hour of the week could start in each block, in hours.
    pub(super) exposure: Vec<[f64; HOURS]>,
    pub(super) summary: Summary,
}

/// What the records are.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// How many calls are in them.
    pub calls: usize,
    /// Of these, how many began too late in them to be counted on: longer ones that began then are not there.
    pub left_out: usize,
    /// How many did not end by themselves.
    pub censored: usize,
    /// The time between the first start and the last end, in seconds.
    pub span_s: f64,
    /// Whether starts are times. If not, hours of the week count from the file's own origin.
    pub has_times: bool,
    /// Whether whole days were resampled. If not, each call was for itself.
    pub by_days: bool,
    /// Whether the file is too short to show how long its calls are: most of them began so late that a longer one
    /// would not be in it.
    pub is_short: bool,
}

impl Evidence {
    /// What records ordered by their start say. `utc_offset` is what local time is ahead of the file's, in seconds.
    pub(super) fn of(calls: &[CallRecord], utc_offset: f64) -> Self {
        let start = |call: &CallRecord| seconds(call.start.since(Instant::EPOCH));
        let end = |call: &CallRecord| start(call) + seconds(call.duration);
        let first = calls.first().map_or(0.0, start);
        let since = calls.iter().map(end).fold(f64::INFINITY, f64::min);
        let until = calls.iter().map(end).fold(0.0, f64::max);
        let longest = calls.iter().map(|call| seconds(call.duration)).fold(0.0, f64::max);
        let censored = calls.iter().filter(|call| call.censored).count();
        let last_start = if censored > 0 { until } else { until - longest };
        let counted = calls.iter().filter(|call| start(call) <= last_start).count();
        let is_short = counted * 2 < calls.len();
        let (counted, last_start) = if is_short { (calls.len(), until) } else { (counted, last_start) };

        let has_times = first >= REAL_TIMES;
        let clock = Clock { ahead: if has_times { utc_offset } else { -first } };
        let first_day = clock.day(since.min(first));
        let days = clock.day(last_start) - first_day + 1;
        let by_days = days >= DAYS_MIN;
        let mut seen = Vec::with_capacity(counted);
        let mut starts = vec![[0.0; HOURS]; if by_days { days } else { 1 }];
        for (number, call) in calls[..counted].iter().enumerate() {
            let (began, length) = (start(call), seconds(call.duration));
            let (hour, day) = (clock.hour(began), clock.day(began.max(since)).saturating_sub(first_day));
            let block = if by_days { day } else { number };
            if began >= since {
                starts[if by_days { day } else { 0 }][hour] += 1.0;
            }
            let entry = (since - began).max(0.0);
            seen.push((Observation { entry, exit: length, ended: !call.censored, block }, hour));
        }
        seen.sort_by(|a, b| a.0.exit.total_cmp(&b.0.exit));
        let (seen, hours) = seen.into_iter().unzip();
        let exposure = exposures(&clock, since, last_start, starts.len(), first_day);
        let (calls, left_out) = (calls.len(), calls.len() - counted);
        let summary = Summary { calls, left_out, censored, span_s: until - first, has_times, by_days, is_short };
        Self { seen, hours, blocks: if by_days { days } else { counted }, starts, exposure, summary }
    }

    /// Lengths of which nothing else is known.
    pub(super) fn of_lengths(mut seen: Vec<Observation>) -> Self {
        seen.sort_by(|a, b| a.exit.total_cmp(&b.exit));
        let (hours, blocks) = (vec![0; seen.len()], seen.len());
        let longest = seen.last().map_or(0.0, |seen| seen.exit);
        let summary = Summary {
            calls: blocks,
            left_out: 0,
            censored: 0,
            span_s: longest,
            has_times: false,
            by_days: false,
            is_short: false,
        };
        let table = vec![[0.0; HOURS]];
        Self { seen, hours, blocks, starts: table.clone(), exposure: table, summary }
    }

    /// Calls that start in an hour, by hour of the week, with each block counted as often as it was drawn. Where the
    /// records have no such hour, the same hour of other days stands for it, or all hours do.
    pub(super) fn rates(&self, drawn: impl Fn(usize) -> f64) -> [f64; HOURS] {
        let blocks = || (0..self.starts.len()).map(|block| (block, drawn(block)));
        let rate = |hours: &[usize]| {
            let of = |table: &[[f64; HOURS]]| -> f64 {
                blocks().map(|(block, drawn)| drawn * hours.iter().map(|hour| table[block][*hour]).sum::<f64>()).sum()
            };
            let exposure = of(&self.exposure);
            (exposure > 0.25).then(|| of(&self.starts) / exposure)
        };
        let all: Vec<_> = (0..HOURS).collect();
        std::array::from_fn(|hour| {
            let same: Vec<_> = (0..7).map(|day| day * 24 + hour % 24).collect();
            rate(&[hour]).or_else(|| rate(&same)).or_else(|| rate(&all)).unwrap_or(0.0)
        })
    }

    /// Whether the records have an hour of the week.
    pub(super) fn has(&self, hour: usize) -> bool {
        self.exposure.iter().map(|block| block[hour]).sum::<f64>() > 0.25
    }
}

/// For how long calls could start in each block and hour, in hours.
fn exposures(clock: &Clock, from: f64, to: f64, blocks: usize, first_day: usize) -> Vec<[f64; HOURS]> {
    let mut table = vec![[0.0; HOURS]; blocks];
    let mut at = from;
    while at < to {
        let next = clock.next_hour(at).min(to);
        let day = if blocks > 1 { clock.day(at).saturating_sub(first_day).min(blocks - 1) } else { 0 };
        table[day][clock.hour(at)] += (next - at) / HOUR;
        at = next;
    }
    table
}

/// The hour of the week at a Unix time, on a clock that is so far ahead of UTC.
#[must_use]
pub fn hour_at(unix_s: f64, utc_offset_s: i32) -> usize {
    Clock { ahead: f64::from(utc_offset_s) }.hour(unix_s)
}

/// From times of the file to days and hours of the week.
struct Clock {
    /// What local time is ahead, in seconds.
    ahead: f64,
}

impl Clock {
    /// The number of a day, from a Monday on.
    fn day(&self, at: f64) -> usize {
        whole(self.local(at) / (24.0 * HOUR))
    }

    fn hour(&self, at: f64) -> usize {
        whole(self.local(at) / HOUR) % HOURS
    }

    fn next_hour(&self, at: f64) -> f64 {
        let local = self.local(at);
        let next = ((local / HOUR).floor() + 1.0) * HOUR;
        at + (next - local)
    }

    /// Seconds since a Monday, 00:00. Whole weeks make it positive, whatever the offset.
    fn local(&self, at: f64) -> f64 {
        // 1 January 1970 was a Thursday. A file's own origin counts as a Monday.
        let thursday = if at + self.ahead >= REAL_TIMES { 3.0 * 24.0 * HOUR } else { 0.0 };
        at + self.ahead + thursday + float(HOURS) * HOUR
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;
    use crate::records;

    fn evidence(text: &str, offset: f64) -> Evidence {
        Evidence::of(&records::read(text.as_bytes()).expect("valid"), offset)
    }

    #[test]
    fn hours_of_the_week_are_those_of_the_clock_on_the_wall() {
        // A Monday.
        let text = "start,duration_s\n2026-11-02T08:15:00Z,1\n2026-11-08T23:59:00Z,1\n";
        let hours = |offset| {
            let mut hours = evidence(text, offset).hours;
            hours.sort_unstable();
            hours
        };
        assert_eq!(hours(0.0), [8, 167]);
        assert_eq!(hours(HOUR), [0, 9], "an hour ahead, the second one is on Monday");
        assert_eq!(evidence("start_s,duration_s\n500,1\n4100,1\n", 0.0).hours, [0, 1], "its own origin");
    }

    #[test]
    fn calls_from_before_the_file_enter_late_and_late_ones_are_left_out() {
        // Selected by their ends from 1000 on: the first one began long before.
        let mut text = String::from("start_s,duration_s\n0,1000\n");
        for start in 0..100 {
            let _ = writeln!(text, "{},50", 1000 + start * 20);
        }
        let evidence = evidence(&text, 0.0);
        let longest = evidence.seen.last().expect("calls");
        assert!((longest.entry, longest.exit) == (1000.0, 1000.0), "{longest:?}");
        assert_eq!((evidence.summary.left_out, evidence.summary.is_short), (48, false));
    }

    #[test]
    fn with_calls_that_still_run_none_is_left_out() {
        let evidence = evidence("start_s,duration_s,censored\n0,10,\n0,90,1\n80,10,1\n", 0.0);
        assert_eq!((evidence.summary.left_out, evidence.summary.censored), (0, 2));
        assert!(evidence.seen.iter().any(|seen| !seen.ended && seen.exit > 80.0));
    }

    #[test]
    fn a_rate_is_per_hour_that_the_records_have() {
        let mut text = String::from("start_s,duration_s\n");
        // Two weeks; ten calls in each first hour of a day, one in each other.
        for hour in 0..(2 * 168) {
            for call in 0..if hour % 24 == 0 { 10 } else { 1 } {
                let _ = writeln!(text, "{},20", hour * 3600 + call * 60);
            }
        }
        let evidence = evidence(&text, 0.0);
        let rates = evidence.rates(|_| 1.0);
        assert!((rates[24] - 10.0).abs() < 0.01 && (rates[25] - 1.0).abs() < 0.01, "{rates:?}");
        assert!(evidence.summary.by_days && evidence.blocks == 14);
    }
}
