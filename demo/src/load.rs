//! When callers call and for how long they talk: from a file of call records, or drawn at random.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, Exp, LogNormal};

/// No call in a file may start later, or last longer, than a day.
const DAY_S: f64 = 86_400.0;

/// A file may hold no more calls.
const CALLS_MAX: usize = 1_000_000;

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

/// Calls drawn with a seed.
pub(crate) fn draw(seed: u64) -> anyhow::Result<Vec<PlannedCall>> {
    let spread = (1.0 + (SERVICE_SD_S / SERVICE_MEAN_S).powi(2)).ln();
    let service = LogNormal::new(SERVICE_MEAN_S.ln() - spread / 2.0, spread.sqrt())?;
    let gap = Exp::new(ARRIVALS_PER_S)?;
    let mut random = StdRng::seed_from_u64(seed);
    let mut calls = Vec::new();
    let mut start_s = 0.0;
    while start_s < ARRIVE_FOR_S {
        let talk_s = service.sample(&mut random);
        calls.push(PlannedCall { start: Duration::from_secs_f64(start_s), talk: Duration::from_secs_f64(talk_s) });
        start_s += gap.sample(&mut random);
    }
    Ok(calls)
}

/// Calls from a file with the columns `start_s` and `duration_s`, in seconds; ordered by their start.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<PlannedCall>> {
    let name = path.display();
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_path(path)
        .with_context(|| format!("the call records {name} cannot be read"))?;
    let header = reader.headers().with_context(|| format!("{name}, row 1"))?.clone();
    let column = |wanted: &str| {
        let found = header.iter().position(|title| title == wanted);
        let found = found
            .with_context(|| format!("{name}, row 1: there is no column `{wanted}` (needed: start_s, duration_s)"))?;
        let twice = header.iter().skip(found + 1).any(|title| title == wanted);
        ensure!(!twice, "{name}, row 1: there are two columns `{wanted}`: which one is meant?");
        anyhow::Ok(found)
    };
    let columns = [("start_s", column("start_s")?), ("duration_s", column("duration_s")?)];
    let mut calls = Vec::new();
    for record in reader.records() {
        let record = record.with_context(|| format!("{name}: malformed"))?;
        let row = record.position().map_or(0, csv::Position::line);
        let [start, talk] = columns.map(|(title, index)| {
            parse_seconds(record.get(index).unwrap_or_default())
                .with_context(|| format!("{name}, row {row}, column {title}"))
        });
        calls.push(PlannedCall { start: start?, talk: talk? });
        ensure!(calls.len() <= CALLS_MAX, "{name} has more than {CALLS_MAX} calls: give a part of it");
    }
    ensure!(!calls.is_empty(), "{name} has no calls: give at least one row below the header");
    calls.sort_by_key(|call| call.start);
    Ok(calls)
}

fn parse_seconds(text: &str) -> anyhow::Result<Duration> {
    let Ok(seconds) = text.parse::<f64>() else { bail!("{text:?} is not a number of seconds") };
    ensure!(seconds.is_finite() && seconds >= 0.0, "{text} is not a possible time: give seconds from 0");
    ensure!(seconds <= DAY_S, "{text} s is more than a day: give seconds up to {DAY_S}");
    Ok(Duration::from_secs_f64(seconds))
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
        read(file.path()).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn drawn_calls_have_the_published_mean_and_spread() {
        let talks: Vec<f64> =
            (0..200).flat_map(|seed| draw(seed).expect("valid")).map(|call| call.talk.as_secs_f64()).collect();
        #[expect(clippy::cast_precision_loss, reason = "a few ten thousand calls")]
        let count = talks.len() as f64;
        let mean = talks.iter().sum::<f64>() / count;
        let sd = (talks.iter().map(|talk| (talk - mean).powi(2)).sum::<f64>() / count).sqrt();
        assert!((mean - SERVICE_MEAN_S).abs() < 6.0, "mean {mean}");
        assert!((sd - SERVICE_SD_S).abs() < 25.0, "standard deviation {sd}");
    }

    #[test]
    fn the_same_seed_draws_the_same_calls() {
        assert_eq!(draw(1).expect("valid"), draw(1).expect("valid"));
        assert_ne!(draw(1).expect("valid"), draw(2).expect("valid"));
    }

    #[test]
    fn records_are_read_in_any_column_order_and_sorted() {
        let calls = read_text("duration_s,agent,start_s\n10,a,5.5\n20,b,1\n").expect("valid");
        assert_eq!(calls[0], PlannedCall { start: Duration::from_secs(1), talk: Duration::from_secs(20) });
    }

    #[test]
    fn what_spreadsheets_write_is_read() {
        let text = "\u{feff}\"start_s\" , duration_s\r\n\r\n\"0.5\",\"2\"\r\n0,1";
        assert_eq!(read_text(text).expect("valid").len(), 2);
    }

    #[test]
    fn a_bad_record_is_named_by_row_and_column() {
        for (text, says) in [
            ("", "no column `start_s`"),
            ("start_s,duration_s\n", "has no calls"),
            ("start_s,length\n1,2\n", "row 1: there is no column `duration_s`"),
            ("start_s,duration_s\n1,2\n3,x\n", "row 3, column duration_s: \"x\" is not a number"),
            ("start_s,duration_s\n-1,2\n", "row 2, column start_s: -1 is not a possible time"),
            ("start_s,duration_s\n1,NaN\n", "row 2, column duration_s: NaN is not a possible time"),
            ("start_s,duration_s\n1,1e9\n", "row 2, column duration_s: 1e9 s is more than a day"),
            ("start_s,duration_s\n1,2,3\n", "malformed"),
            ("start_s,duration_s,start_s\n1,2,3\n", "row 1: there are two columns `start_s`"),
            ("start_s,duration_s\n0,1e308\n", "row 2, column duration_s: 1e308 s is more than a day"),
        ] {
            let error = read_text(text).expect_err(text);
            assert!(error.contains(says), "{error:?} should say {says:?}");
        }
    }
}
