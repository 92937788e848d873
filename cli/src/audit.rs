//! `openrtc audit`: check an audit trail, and that it says what the journal says.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use openrtc_core::audit::{Fault, Report, verify};
use openrtc_evidence::trail::{Difference, compare};
use openrtc_records::trail::lineage;
use openrtc_runtime::{Exit, read_public_key};
use serde_json::json;

use crate::{Usage, journal};

/// Check an audit trail.
#[derive(Args, Clone, Debug)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Recompute chain, numbers and signatures; name every record that was altered, moved or removed.
    ///
    /// With --journal also derive the records again and compare. Exits 1 if anything is wrong, 2 if a file or the
    /// journal is not there. A trail that is not closed is of a worker that still runs or that ended without a word;
    /// that is told, and no fault.
    Verify(VerifyArgs),
}

#[derive(Args, Clone, Debug)]
struct VerifyArgs {
    /// The trail: its file, with which the parts beside it are checked that were rotated away from it; or several files
    /// in the order they were written.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The journal's directory to compare with.
    #[arg(long, value_name = "DIR")]
    journal: Option<PathBuf>,
    /// A public key's file (`openrtc keygen`) to check signatures with; may be repeated.
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Does what was asked.
pub(crate) fn run(args: &AuditArgs) -> anyhow::Result<ExitCode> {
    let Action::Verify(args) = &args.action;
    let trail = Trail::read(&whole(&args.files)).map_err(Usage)?;
    let keys: Vec<_> =
        args.key.iter().map(|file| read_public_key(file)).collect::<Result<_, _>>().map_err(Usage::new)?;
    let report = verify(&trail.text, None, &keys);
    let mut faults: Vec<String> = report.faults.iter().map(|fault| trail.tell(*fault)).collect();
    if let Some(journal) = &args.journal {
        let difference = compare(&trail.text, &journal::find(journal)?)?;
        faults.extend(difference.map(|difference| trail.tell_difference(&difference)));
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&summary(&report, &faults))?);
    } else {
        print(&report, &faults);
    }
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { Exit::FAILURE.into() })
}

/// The files that were named, or one and those that were rotated away from it. What cannot be read is told when it is.
fn whole(files: &[PathBuf]) -> Vec<PathBuf> {
    match files {
        [file] => lineage(file).unwrap_or_else(|_| files.to_vec()),
        several => several.to_vec(),
    }
}

/// A trail in one or more files.
struct Trail {
    text: Vec<u8>,
    /// Each file, and how many lines are before it.
    files: Vec<(PathBuf, usize)>,
}

impl Trail {
    fn read(files: &[PathBuf]) -> anyhow::Result<Self> {
        let mut trail = Self { text: Vec::new(), files: Vec::new() };
        for file in files {
            // A file that was cut short must not swallow the next one's first line.
            if trail.text.last().is_some_and(|last| *last != b'\n') {
                trail.text.push(b'\n');
            }
            let lines = trail.text.split_inclusive(|byte| *byte == b'\n').count();
            trail.files.push((file.clone(), lines));
            let name = file.display();
            let fix = "name what the worker's OPENRTC_AUDIT_FILE says";
            let text = fs::read(file).with_context(|| format!("the audit file {name} ({fix})"))?;
            ensure!(!text.is_empty(), "the audit file {name} is empty: {fix}");
            trail.text.extend(text);
        }
        Ok(trail)
    }

    /// Where a line is.
    fn place(&self, line: usize) -> String {
        match self.files.iter().rfind(|(_, before)| *before < line) {
            Some((file, before)) => format!("{}, line {}", file.display(), line - before),
            None => format!("line {line}"),
        }
    }

    fn tell(&self, fault: Fault) -> String {
        let Fault { line, record, kind } = fault;
        format!("{}, record {record}: {kind}", self.place(line))
    }

    fn tell_difference(&self, difference: &Difference) -> String {
        match difference.line() {
            Some(line) => format!("{}: {difference}", self.place(line)),
            None => difference.to_string(),
        }
    }
}

fn summary(report: &Report, faults: &[String]) -> serde_json::Value {
    json!({
        "whole": faults.is_empty(),
        "records": report.records,
        "signatures": report.signatures,
        "vouched": report.vouched,
        "closed": report.closed,
        "head": report.end.head.to_string(),
        "faults": faults,
    })
}

fn print(report: &Report, faults: &[String]) {
    let Report { records, signatures, vouched, closed, .. } = report;
    println!("{records} records, {signatures} signatures hold and vouch for the first {vouched}");
    println!(
        "{}",
        if *closed { "closed in good order" } else { "not closed: the worker runs, or ended without a word" }
    );
    for fault in faults {
        println!("FAULT: {fault}");
    }
    println!("{}", if faults.is_empty() { "the trail is whole" } else { "the trail is NOT whole" });
}
