//! Call records: when each call began and how long it lasted, as telephone systems and spreadsheets export them.
//!
//! The file is CSV. Its first row names the columns: `start_s` and `duration_s` are needed, in any order, and others
//! are ignored. Both are in seconds. Starts count from any origin: Unix times are fine.

use std::io;

use csv::{Position, ReaderBuilder, StringRecord, Trim};
use openrtc_core::time::{Instant, Span};

/// The column of starts.
pub const START: &str = "start_s";

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
    /// It is not a number.
    #[error("{0:?} is not a number of seconds")]
    NotANumber(String),
}

/// Reads call records, and orders them by their start.
pub fn read(input: impl io::Read) -> Result<Vec<CallRecord>, RecordsError> {
    let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(input);
    let header = reader.headers()?;
    let columns = [(START, column(header, START)?), (DURATION, column(header, DURATION)?)];
    let mut calls = Vec::new();
    for record in reader.records() {
        let record = record?;
        let row = record.position().map_or(0, Position::line);
        let [start, duration] = columns.map(|(column, index)| {
            micros(record.get(index).unwrap_or_default()).map_err(|fault| RecordsError::Value { row, column, fault })
        });
        let (start, duration) = (Instant::from_micros(start?), Span::from_micros(duration?));
        if calls.len() == CALLS_MAX {
            return Err(RecordsError::TooMany);
        }
        calls.push(CallRecord { row, start, duration });
    }
    if calls.is_empty() {
        return Err(RecordsError::Empty);
    }
    calls.sort_by_key(|call| call.start);
    Ok(calls)
}

/// Where a column stands.
fn column(header: &StringRecord, name: &'static str) -> Result<usize, RecordsError> {
    let mut found = header.iter().enumerate().filter(|(_, title)| *title == name).map(|(index, _)| index);
    match (found.next(), found.next()) {
        (None, _) => Err(RecordsError::NoColumn(name)),
        (Some(index), None) => Ok(index),
        (Some(_), Some(_)) => Err(RecordsError::ColumnTwice(name)),
    }
}

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
                CallRecord { row: 3, start, duration: short },
                CallRecord { row: 2, start: later, duration: Span::from_secs(10) }
            ]
        );
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
