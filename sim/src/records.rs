//! A user's own call records as the calls of a plan.

use anyhow::bail;
use openrtc_advise::records;

use crate::plan::{CALLS_MAX, Call, Kind, SECOND, TIME_MAX};

/// Reads call records. The earliest call comes five seconds into the run.
pub fn read(text: &str) -> anyhow::Result<Vec<Call>> {
    const { assert!(records::CALLS_MAX <= CALLS_MAX, "whatever is read fits a plan") };
    let records = records::read(text.as_bytes())?;
    let first = records[0].start;
    let calls: Vec<_> = records
        .iter()
        .map(|record| Call {
            at: record.start.since(first).as_micros() + 5 * SECOND,
            lasts: record.duration.as_micros(),
            kind: Kind::Plain,
        })
        .collect();
    if let Some(call) = calls.iter().find(|call| call.at + call.lasts > TIME_MAX) {
        bail!(
            "a call ends {} s after the first begins: more than the ten days a run may last",
            (call.at + call.lasts) / SECOND
        );
    }
    Ok(calls)
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
    fn bad_records_are_named() {
        for (text, expected) in [
            ("start_s,duration_s\n1,2\n3,x\n", "row 3, column duration_s"),
            ("start_s,duration_s\n1,-2\n", "row 2, column duration_s: -2"),
            ("start_s,duration_s\nNaN,2\n", "row 2, column start_s: NaN"),
            ("start_s,duration_s\n1\n", "line: 2"),
            ("a,b\n1,2\n", "start_s, duration_s"),
            ("start_s,duration_s\n", "no calls"),
            ("start_s,duration_s\n0,1\n3000000000,1\n", "ten days"),
        ] {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }
}
