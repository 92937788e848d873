//! When callers call and for how long they talk: from a file of call records, or drawn at random.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use openrtc_advise::records::{self, CallRecord, DURATION, RecordsError, START};
use openrtc_core::time::{Instant, Span};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, Exp, LogNormal};

use crate::error::DemoError;

/// No call in a file may start later, or last longer, than a day.
const DAY: Span = Span::from_secs(86_400);

/// Calls are as long as lognormal draws: so Brown, Gans, Mandelbaum, Sakov, Shen, Zeltyn and Zhao found service times
/// to be at a bank's call centre ("Statistical Analysis of a Telephone Call Center: A Queueing-Science Perspective",
/// JASA 100 (2005) 36–50). The mean and the standard deviation are chosen here: a few minutes, some of them many. One
/// draw in fifty is longer than [`LONGEST_S`] and drawn again, which makes them 175 s and 160 s.
const SERVICE_MEAN_S: f64 = 200.0;
const SERVICE_SD_S: f64 = 249.0;

/// No drawn call is longer: whoever watches would wait for it at the end, with nothing else to see.
const LONGEST_S: f64 = 900.0;

/// Callers a second, as a Poisson process: the same paper's model of arrivals within a short time.
const ARRIVALS_PER_S: f64 = 0.45;

/// How long they keep arriving.
const ARRIVE_FOR_S: f64 = 840.0;

/// When all drawn calls have ended, if they can be ordered so.
const END_S: f64 = 900.0;

/// One call to be made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PlannedCall {
    /// When, from the start.
    pub(crate) start: Duration,
    /// How long the caller talks.
    pub(crate) talk: Duration,
}

/// Why call records cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum CallsError {
    /// The file cannot be opened.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A call starts too late or lasts too long.
    #[error("row {row}, column {column}: {time} is more than a day: give seconds up to 86400")]
    Long {
        /// The row of the file.
        row: u64,
        /// Its column.
        column: &'static str,
        /// What it says.
        time: Span,
    },
    /// They are no call records.
    #[error(transparent)]
    Records(#[from] RecordsError),
}

/// Calls drawn with a seed. Those that would last beyond the end begin earlier.
fn draw(seed: u64) -> Vec<PlannedCall> {
    let spread = (1.0 + (SERVICE_SD_S / SERVICE_MEAN_S).powi(2)).ln();
    let service = LogNormal::new(SERVICE_MEAN_S.ln() - spread / 2.0, spread.sqrt()).expect("the spread is a number");
    let gap = Exp::new(ARRIVALS_PER_S).expect("callers arrive");
    let mut random = StdRng::seed_from_u64(seed);
    let mut calls = Vec::new();
    let mut start_s = 0.0;
    while start_s < ARRIVE_FOR_S {
        let mut talk_s = service.sample(&mut random);
        while talk_s > LONGEST_S {
            talk_s = service.sample(&mut random);
        }
        calls.push(PlannedCall { start: Duration::from_secs_f64(start_s), talk: Duration::from_secs_f64(talk_s) });
        start_s += gap.sample(&mut random);
    }
    end_in_time(&mut calls);
    calls
}

/// Lets calls that would last beyond the end change places with earlier ones, the longest first. All calls stay, and
/// so do the moments when they begin.
fn end_in_time(calls: &mut [PlannedCall]) {
    let end = Duration::from_secs_f64(END_S);
    let mut late: Vec<_> = (0..calls.len()).filter(|at| calls[*at].start + calls[*at].talk > end).collect();
    late.sort_by_key(|at| std::cmp::Reverse(calls[*at].talk));
    for at in late {
        let (start, talk) = (calls[at].start, calls[at].talk);
        let earlier = calls[..at].iter().position(|call| call.start + talk <= end && start + call.talk <= end);
        if let Some(earlier) = earlier {
            calls[at].talk = std::mem::replace(&mut calls[earlier].talk, talk);
        }
    }
}

/// What calls are made: from a file, or drawn.
#[derive(Clone, Debug)]
pub struct Load {
    /// Call records to replay; without them calls are drawn at random.
    pub calls: Option<PathBuf>,
    /// Times real time at which calls arrive and end; audio always runs in real time.
    pub speed: f64,
    /// Seed of the drawn calls.
    pub seed: u64,
}

impl Load {
    /// The calls, as fast as they are made.
    pub(crate) fn plan(&self) -> Result<Vec<PlannedCall>, DemoError> {
        let mut calls = match &self.calls {
            Some(path) => read(path).map_err(|source| DemoError::Calls { path: path.clone(), source })?,
            None => draw(self.seed),
        };
        for call in &mut calls {
            call.start = call.start.div_f64(self.speed);
            call.talk = call.talk.div_f64(self.speed);
        }
        Ok(calls)
    }

    /// The same in two lines for whoever watches.
    pub(crate) fn describe(&self, calls: &[PlannedCall]) -> [String; 2] {
        let longest = calls.iter().map(|call| call.talk).max().unwrap_or_default();
        let (count, speed, takes) = (calls.len(), self.speed, longest.as_secs_f64());
        let long =
            format!("the longest is {takes:.1} s, {:.1} minutes at {speed} times real time", takes * speed / 60.0);
        let how = match self.calls {
            Some(_) => "from the file".to_owned(),
            None => format!("drawn with seed {}; those that would outlast the rest begin early", self.seed),
        };
        [format!("{count} calls, {how}"), long]
    }
}

/// Calls from a file of call records, ordered by their start.
fn read(path: &Path) -> Result<Vec<PlannedCall>, CallsError> {
    records::read(File::open(path)?)?.into_iter().map(plan).collect()
}

fn plan(record: CallRecord) -> Result<PlannedCall, CallsError> {
    let times = [(START, record.start.since(Instant::EPOCH)), (DURATION, record.duration)];
    match times.into_iter().find(|(_, time)| *time > DAY) {
        Some((column, time)) => Err(CallsError::Long { row: record.row, column, time }),
        None => Ok(PlannedCall { start: times[0].1.into(), talk: times[1].1.into() }),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read_text(text: &str) -> Result<Vec<PlannedCall>, String> {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(text.as_bytes()).expect("written");
        read(file.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn drawn_calls_have_the_mean_and_the_spread_of_the_published_model_cut_at_the_longest() {
        let talks: Vec<f64> = (0..200).flat_map(draw).map(|call| call.talk.as_secs_f64()).collect();
        #[expect(clippy::cast_precision_loss, reason = "a few ten thousand calls")]
        let count = talks.len() as f64;
        let mean = talks.iter().sum::<f64>() / count;
        let sd = (talks.iter().map(|talk| (talk - mean).powi(2)).sum::<f64>() / count).sqrt();
        // Of a lognormal distribution with that mean and spread, given that the draw is at most `LONGEST_S`.
        assert!((mean - 175.2).abs() < 3.0, "mean {mean}");
        assert!((sd - 160.2).abs() < 4.0, "standard deviation {sd}");
    }

    #[test]
    fn nobody_is_waited_for_at_the_end_and_nobody_is_left_out() {
        for seed in 0..50 {
            let calls = draw(seed);
            assert!(calls.is_sorted_by_key(|call| call.start));
            let across = calls.iter().filter(|call| call.start.as_secs_f64() < 0.4 * ARRIVE_FOR_S);
            let across = across.filter(|call| (call.start + call.talk).as_secs_f64() > 0.4 * ARRIVE_FOR_S).count();
            assert!(across > 60, "seed {seed}: {across} calls are there to be drained");
        }
        let late = |call: &PlannedCall| (call.start + call.talk).as_secs_f64() > END_S;
        let late = (0..50).flat_map(draw).filter(late).count();
        assert!(late <= 1, "{late} calls of fifty demos");
        let call = |start, talk| PlannedCall { start: Duration::from_secs(start), talk: Duration::from_secs(talk) };
        let mut calls = [call(0, 10), call(5, 40), call(850, 100), call(870, 800)];
        end_in_time(&mut calls);
        assert_eq!(
            calls,
            [call(0, 800), call(5, 100), call(850, 40), call(870, 10)],
            "the same calls in another order"
        );
    }

    #[test]
    fn the_same_seed_draws_the_same_calls() {
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn records_become_calls() {
        let calls = read_text("duration_s,agent,start_s\n10,a,5.5\n20,b,1\n").expect("valid");
        assert_eq!(calls[0], PlannedCall { start: Duration::from_secs(1), talk: Duration::from_secs(20) });
    }

    #[test]
    fn a_call_that_is_later_or_longer_than_a_day_is_named_by_row_and_column() {
        for (text, says) in [
            ("start_s,duration_s\n1,1e9\n", "row 2, column duration_s: 1000000000s is more than a day"),
            ("start_s,duration_s\n1700000000,1\n", "row 2, column start_s: 1700000000s is more than a day"),
        ] {
            let error = read_text(text).expect_err(text);
            assert!(error.contains(says), "{error:?} should say {says:?}");
        }
    }
}
