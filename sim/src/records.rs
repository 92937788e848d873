//! A user's own call records as the calls of a plan.

use anyhow::bail;
use openrtc_advise::records;
use openrtc_core::time::Instant;

use crate::clock::second;
use crate::plan::{CALLS_MAX, Call, Kind, TIME_MAX};

/// When the earliest call comes.
const FIRST: Instant = Instant::from_micros(5_000_000);

/// Reads call records. The earliest call comes five seconds into the run.
pub fn read(text: &str) -> anyhow::Result<Vec<Call>> {
    const { assert!(records::CALLS_MAX <= CALLS_MAX, "whatever is read fits a plan") };
    let records = records::read(text.as_bytes())?;
    let first = records[0].start;
    let calls: Vec<_> = records
        .iter()
        .map(|record| Call { at: FIRST + record.start.since(first), lasts: record.duration, kind: Kind::Plain })
        .collect();
    if let Some(end) = calls.iter().map(Call::ends).find(|end| end.since(Instant::EPOCH) > TIME_MAX) {
        bail!("a call ends {} s after the first begins: more than the ten days a run may last", second(end));
    }
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use openrtc_core::time::Span;

    use super::*;

    #[test]
    fn rows_become_calls_in_order() {
        let calls = read("start_s,duration_s\n1700000010.5,3\n1700000010,0.25\n").unwrap();
        assert_eq!(
            calls.iter().map(|call| (call.at, call.lasts)).collect::<Vec<_>>(),
            [(FIRST, Span::from_millis(250)), (FIRST + Span::from_millis(500), Span::from_secs(3))]
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
