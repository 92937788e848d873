//! Call records: when each call began and how long it lasted, as telephone systems and spreadsheets export them.
//!
//! The file is CSV. Its first row names the columns, in any order; columns that are not named here are ignored.
//!
//! | column | what is in it |
//! |---|---|
//! | `start_s` or `start` | when the call began: seconds from any origin, or `2026-11-02T08:15:30+01:00` (ISO 8601) |
//! | `duration_s` | how long it lasted, in seconds |
//! | `censored` | may be left out; `1`, `true` or `yes`: the call was still running then, or was cut |

use std::io;
use std::time::UNIX_EPOCH;

use csv::{Position, ReaderBuilder, StringRecord, Trim};
use openrtc_core::time::{Instant, Span};

/// The column of starts.
pub const START: &str = "start_s";

/// The same column, where a file has times in it.
const START_TIME: &str = "start";

/// The column that says whether a call was still running, or was cut.
const CENSORED: &str = "censored";

/// The column of durations.
pub const DURATION: &str = "duration_s";

/// The most calls that a file may hold.
pub const CALLS_MAX: usize = 5_000_000;

/// The latest start and the longest duration, in seconds: Unix times of this century are not later.
pub const SECONDS_MAX: f64 = 4e9;

/// One call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallRecord {
    /// The row of the file that it is in; the row of column names is 1.
    pub row: u64,
    /// When it began, from the file's own origin.
    pub start: Instant,
    /// How long it lasted.
    pub duration: Span,
    /// Whether it did not end by itself then: it was still running, or was cut.
    pub censored: bool,
}

/// What is wrong with call records. Rows count from 1.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// A column stands twice.
    #[error("row 1: there are two columns `{0}`: which one is meant?")]
    ColumnTwice(&'static str),
    /// The file cannot be read, or is no CSV.
    #[error("malformed")]
    Csv(#[from] csv::Error),
    /// There is no call.
    #[error("the file has no calls: give at least one row below the header")]
    Empty,
    /// A column is missing.
    #[error("row 1: there is no column `{0}` (needed: {START}, {DURATION})")]
    NoColumn(&'static str),
    /// There are too many calls.
    #[error("the file has more than {CALLS_MAX} calls: give a part of it")]
    TooMany,
    /// A value is no time.
    #[error("row {row}, column {column}: {fault}")]
    Value {
        /// The row.
        row: u64,
        /// The column.
        column: &'static str,
        /// What is wrong with the value.
        fault: ValueFault,
    },
}

/// Why a value is no time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueFault {
    /// It is a number out of range.
    #[error("{0} is not a possible time: give seconds from 0 to {SECONDS_MAX}")]
    Impossible(String),
    /// It is neither yes nor no.
    #[error("{0:?} is neither `true` nor `false`")]
    NotABool(String),
    /// It is not a number.
    #[error("{0:?} is not a number of seconds")]
    NotANumber(String),
    /// It is neither a number nor a time.
    #[error("{0:?} is not a number of seconds, and not a time like 2026-11-02T08:15:30Z or 2026-11-02T08:15:30+01:00")]
    NotATime(String),
}

/// Reads call records, and orders them by their start.
pub fn read(input: impl io::Read) -> Result<Vec<CallRecord>, RecordsError> {
    let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(input);
    let columns = Columns::of(reader.headers()?)?;
    let mut calls = Vec::new();
    let mut record = StringRecord::new();
    while reader.read_record(&mut record)? {
        if calls.len() == CALLS_MAX {
            return Err(RecordsError::TooMany);
        }
        calls.push(columns.call(&record)?);
    }
    if calls.is_empty() {
        return Err(RecordsError::Empty);
    }
    calls.sort_by_key(|call| call.start);
    Ok(calls)
}

/// Where the columns stand, each under the name that the file gives it.
struct Columns {
    start: (&'static str, usize),
    duration: (&'static str, usize),
    censored: Option<(&'static str, usize)>,
}

impl Columns {
    fn of(header: &StringRecord) -> Result<Self, RecordsError> {
        let start = match (column(header, START)?, column(header, START_TIME)?) {
            (Some(_), Some(_)) => return Err(RecordsError::ColumnTwice(START)),
            (start, time) => start.or(time).ok_or(RecordsError::NoColumn(START))?,
        };
        let duration = column(header, DURATION)?.ok_or(RecordsError::NoColumn(DURATION))?;
        Ok(Self { start, duration, censored: column(header, CENSORED)? })
    }

    fn call(&self, record: &StringRecord) -> Result<CallRecord, RecordsError> {
        let row = record.position().map_or(0, Position::line);
        let value = |(_, index): (&str, usize)| record.get(index).unwrap_or_default();
        let at = |(column, _): (&'static str, usize)| move |fault| RecordsError::Value { row, column, fault };
        let start = time(value(self.start)).map_err(at(self.start))?;
        let duration = micros(value(self.duration)).map_err(at(self.duration))?;
        let censored = self.censored.map(|column| flag(value(column)).map_err(at(column))).transpose()?;
        let (start, duration) = (Instant::from_micros(start), Span::from_micros(duration));
        Ok(CallRecord { row, start, duration, censored: censored.unwrap_or(false) })
    }
}

/// Where a column stands, if there is one of this name.
fn column(header: &StringRecord, name: &'static str) -> Result<Option<(&'static str, usize)>, RecordsError> {
    let mut found = header.iter().enumerate().filter(|(_, title)| *title == name).map(|(index, _)| (name, index));
    match (found.next(), found.next()) {
        (found, None) => Ok(found),
        (_, Some(_)) => Err(RecordsError::ColumnTwice(name)),
    }
}

fn flag(text: &str) -> Result<bool, ValueFault> {
    match text {
        "" | "0" | "false" | "no" => Ok(false),
        "1" | "true" | "yes" => Ok(true),
        other => Err(ValueFault::NotABool(other.into())),
    }
}

/// A number of seconds, or a time, in microseconds.
fn time(text: &str) -> Result<u64, ValueFault> {
    match micros(text) {
        Err(ValueFault::NotANumber(text)) => iso(&text).ok_or(ValueFault::NotATime(text)),
        number => number,
    }
}

/// An ISO 8601 time with its zone (RFC 3339, with a blank for the `T` if need be), in microseconds since 1970.
fn iso(text: &str) -> Option<u64> {
    let (text, ahead) = if let Some(utc) = text.strip_suffix(['Z', 'z']) { (utc, 0) } else { offset(text)? };
    let time = humantime::parse_rfc3339_weak(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    let micros = i64::try_from(time.as_micros()).ok()? - ahead * 60_000_000;
    u64::try_from(micros).ok().filter(|micros| *micros <= MICROS_MAX)
}

/// A time without its offset, and by how many minutes its clock is ahead of UTC.
fn offset(text: &str) -> Option<(&str, i64)> {
    // Behind the date, whose own dashes come earlier.
    let (time, zone) = text.split_at_checked(text.get(10..)?.find(['+', '-'])? + 10)?;
    let minutes = zone.get(1..3)?.parse::<i64>().ok()? * 60 + zone.get(3..)?.trim_matches(':').parse::<i64>().ok()?;
    Some((time, if zone.starts_with('-') { -minutes } else { minutes }))
}

/// [`SECONDS_MAX`] in microseconds.
const MICROS_MAX: u64 = 4_000_000_000_000_000;

/// Seconds as a person writes them, in whole microseconds.
fn micros(text: &str) -> Result<u64, ValueFault> {
    let seconds: f64 = text.parse().map_err(|_| ValueFault::NotANumber(text.into()))?;
    if !(0.0..=SECONDS_MAX).contains(&seconds) {
        return Err(ValueFault::Impossible(text.into()));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked just above")]
    Ok((seconds * 1e6).round() as u64)
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    fn read_text(text: &str) -> Result<Vec<CallRecord>, String> {
        let chain = |error: RecordsError| match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        read(text.as_bytes()).map_err(chain)
    }

    #[test]
    fn records_are_read_in_any_column_order_and_sorted() {
        let calls = read_text("duration_s,agent,start_s\n10,a,1700000010.000001\n0.25,b,1700000010\n").expect("valid");
        let start = Instant::from_micros(1_700_000_010_000_000);
        let (later, short) = (start + Span::from_micros(1), Span::from_millis(250));
        assert_eq!(
            calls,
            [
                CallRecord { row: 3, start, duration: short, censored: false },
                CallRecord { row: 2, start: later, duration: Span::from_secs(10), censored: false }
            ]
        );
    }

    #[test]
    fn times_of_every_zone_are_read_and_calls_that_did_not_end() {
        let text = "start,duration_s,censored\n2026-11-02T08:15:30.5+01:00,1,yes\n2026-11-02 07:15:30.5Z,2,\n\
                    2026-11-02T02:45:30.5-0430,3,0\n1793603730.5,4,false\n";
        let calls = read_text(text).expect("valid");
        let start = Instant::from_micros(1_793_603_730_500_000);
        assert!(calls.iter().all(|call| call.start == start), "{calls:?}");
        assert_eq!(calls.iter().map(|call| call.censored).collect::<Vec<_>>(), [true, false, false, false]);
    }

    #[test]
    fn what_spreadsheets_write_is_read() {
        let text = "\u{feff}\"start_s\" , duration_s\r\n\r\n\"0.5\",\"2\"\r\n0,1";
        assert_eq!(read_text(text).expect("valid").len(), 2);
    }

    #[test]
    fn a_bad_record_is_named_by_row_and_column() {
        for (text, says) in [
            ("", "row 1: there is no column `start_s` (needed: start_s, duration_s)"),
            ("a,b\n1,2\n", "row 1: there is no column `start_s`"),
            ("start_s,duration_s\n", "the file has no calls"),
            ("start_s,length\n1,2\n", "row 1: there is no column `duration_s`"),
            ("start_s,duration_s\n1,2\n3,x\n", "row 3, column duration_s: \"x\" is not a number"),
            ("start_s,start,duration_s\n1,2,3\n", "row 1: there are two columns `start_s`"),
            (
                "start,duration_s\n2026-11-02T08:15:30,2\n",
                "row 2, column start: \"2026-11-02T08:15:30\" is not a number",
            ),
            ("start,duration_s\n2026-13-02T08:15:30Z,2\n", "row 2, column start: \"2026-13-02T08:15:30Z\" is not"),
            ("start,duration_s\n2026-11-02T08:15:30+é1,2\n", "row 2, column start: \"2026-11-02T08:15:30+é1\" is not"),
            ("start_s,duration_s,censored\n1,2,maybe\n", "row 2, column censored: \"maybe\" is neither"),
            ("start_s,duration_s\n-1,2\n", "row 2, column start_s: -1 is not a possible time"),
            ("start_s,duration_s\n1,NaN\n", "row 2, column duration_s: NaN is not a possible time"),
            ("start_s,duration_s\n1,1e10\n", "row 2, column duration_s: 1e10 is not a possible time"),
            ("start_s,duration_s\n1\n", "malformed: CSV error: record 1 (line: 2"),
            ("start_s,duration_s\n1,2,3\n", "malformed: CSV error: record 1 (line: 2"),
            ("start_s,duration_s,start_s\n1,2,3\n", "row 1: there are two columns `start_s`"),
            ("start_s,duration_s\n0,1e308\n", "row 2, column duration_s: 1e308 is not a possible time"),
        ] {
            let error = read_text(text).expect_err(text);
            assert!(error.starts_with(says), "{error:?} should say {says:?}");
        }
    }
}
