//! When callers call and for how long they talk: from a file of call records, or drawn at random.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use openrtc_advise::records::{self, CallRecord, DURATION, RecordsError, START};
use openrtc_core::time::{Instant, Span};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, Exp, LogNormal};

/// No call in a file may start later, or last longer, than a day.
const DAY: Span = Span::from_secs(86_400);

/// Calls are as long as lognormal draws: so Brown, Gans, Mandelbaum, Sakov, Shen, Zeltyn and Zhao found service times
/// to be at a bank's call centre ("Statistical Analysis of a Telephone Call Center: A Queueing-Science Perspective",
/// JASA 100 (2005) 36–50). The mean and the standard deviation are chosen here: a few minutes, some of them many.
const SERVICE_MEAN_S: f64 = 200.0;
const SERVICE_SD_S: f64 = 249.0;

/// Callers a second, as a Poisson process: the same paper's model of arrivals within a short time.
const ARRIVALS_PER_S: f64 = 0.45;

/// How long they keep arriving.
const ARRIVE_FOR_S: f64 = 840.0;

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

/// Calls drawn with a seed.
pub(crate) fn draw(seed: u64) -> Vec<PlannedCall> {
    let spread = (1.0 + (SERVICE_SD_S / SERVICE_MEAN_S).powi(2)).ln();
    let service = LogNormal::new(SERVICE_MEAN_S.ln() - spread / 2.0, spread.sqrt()).expect("the spread is a number");
    let gap = Exp::new(ARRIVALS_PER_S).expect("callers arrive");
    let mut random = StdRng::seed_from_u64(seed);
    let mut calls = Vec::new();
    let mut start_s = 0.0;
    while start_s < ARRIVE_FOR_S {
        let talk_s = service.sample(&mut random);
        calls.push(PlannedCall { start: Duration::from_secs_f64(start_s), talk: Duration::from_secs_f64(talk_s) });
        start_s += gap.sample(&mut random);
    }
    calls
}

/// Calls from a file of call records, ordered by their start.
pub(crate) fn read(path: &Path) -> Result<Vec<PlannedCall>, CallsError> {
    records::read(File::open(path)?)?.into_iter().map(plan).collect()
}

fn plan(record: CallRecord) -> Result<PlannedCall, CallsError> {
    let times = [(START, record.start.since(Instant::EPOCH)), (DURATION, record.duration)];
    match times.into_iter().find(|(_, time)| *time > DAY) {
        Some((column, time)) => Err(CallsError::Long { row: record.row, column, time }),
        None => Ok(PlannedCall { start: times[0].1.into(), talk: times[1].1.into() }),
    }
}

/// The same calls `speed` times as fast.
pub(crate) fn hurry(calls: &mut [PlannedCall], speed: f64) {
    for call in calls {
        call.start = call.start.div_f64(speed);
        call.talk = call.talk.div_f64(speed);
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
    fn drawn_calls_have_the_published_mean_and_spread() {
        let talks: Vec<f64> = (0..200).flat_map(draw).map(|call| call.talk.as_secs_f64()).collect();
        #[expect(clippy::cast_precision_loss, reason = "a few ten thousand calls")]
        let count = talks.len() as f64;
        let mean = talks.iter().sum::<f64>() / count;
        let sd = (talks.iter().map(|talk| (talk - mean).powi(2)).sum::<f64>() / count).sqrt();
        assert!((mean - SERVICE_MEAN_S).abs() < 6.0, "mean {mean}");
        assert!((sd - SERVICE_SD_S).abs() < 25.0, "standard deviation {sd}");
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
