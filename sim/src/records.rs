//! A user's own call records as the calls of a plan.

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::plan::{CALLS_MAX, Call, Kind, SECOND, TIME_MAX};

/// One row: when a call came in and how long it lasted, in seconds from any origin.
#[derive(Deserialize)]
struct Row {
    start_s: f64,
    duration_s: f64,
}

/// Reads CSV with the columns `start_s` and `duration_s`. The earliest call comes five seconds into the run.
pub fn read(text: &str) -> anyhow::Result<Vec<Call>> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let mut rows = Vec::new();
    for (number, row) in reader.deserialize().enumerate() {
        let line = number + 2;
        let row: Row =
            row.with_context(|| format!("line {line} is no call record: use the columns start_s,duration_s"))?;
        let start = micros(row.start_s).with_context(|| format!("line {line}: start_s is {}", row.start_s))?;
        let lasts = micros(row.duration_s).with_context(|| format!("line {line}: duration_s is {}", row.duration_s))?;
        if rows.len() == CALLS_MAX {
            bail!("line {line}: more than {CALLS_MAX} calls");
        }
        rows.push((start, lasts));
    }
    let Some(first) = rows.iter().map(|(start, _)| *start).min() else { bail!("there is no call record in it") };
    let mut calls: Vec<_> = rows
        .iter()
        .map(|(start, lasts)| Call { at: start - first + 5 * SECOND, lasts: *lasts, kind: Kind::Plain })
        .collect();
    calls.sort_by_key(|call| call.at);
    if let Some(call) = calls.iter().find(|call| call.at + call.lasts > TIME_MAX) {
        bail!(
            "a call ends {} s after the first begins: more than the ten days a run may last",
            (call.at + call.lasts) / SECOND
        );
    }
    Ok(calls)
}

/// Seconds as written by a person, to whole microseconds.
fn micros(seconds: f64) -> anyhow::Result<u64> {
    if !(0.0..=4e9).contains(&seconds) {
        bail!("it must be a number of seconds from 0 to 4000000000");
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked just above")]
    Ok((seconds * 1e6).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_calls_in_order() {
        let calls = read("start_s,duration_s\n1700000010.5,3\n1700000010,0.25\n").unwrap();
        assert_eq!(
            calls.iter().map(|call| (call.at, call.lasts)).collect::<Vec<_>>(),
            [(5 * SECOND, 250_000), (5 * SECOND + 500_000, 3 * SECOND)]
        );
    }

    #[test]
    fn bad_rows_are_named_by_line() {
        for (text, expected) in [
            ("start_s,duration_s\n1,2\n3,x\n", "line 3"),
            ("start_s,duration_s\n1,-2\n", "line 2: duration_s is -2"),
            ("start_s,duration_s\nNaN,2\n", "line 2: start_s is NaN"),
            ("start_s,duration_s\n1\n", "line 2"),
            ("a,b\n1,2\n", "start_s,duration_s"),
            ("start_s,duration_s\n", "no call record"),
            ("start_s,duration_s\n0,1\n3000000000,1\n", "ten days"),
        ] {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }
}
