//! `openrtc journal`: read a worker's journal, and judge whether it is whole.

use std::fmt::{self, Display};
use std::io::ErrorKind::BrokenPipe;
use std::io::{self, BufWriter, Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::anyhow;
use clap::{Args, Subcommand};
use openrtc_core::id::Incarnation;
use openrtc_core::worker::{Entry, Outcome};
use openrtc_evidence::journal::{Fault, History, histories, runs};
use openrtc_records::Run;
use openrtc_runtime::Exit;
use serde::Serialize;
use serde_json::json;

use crate::Usage;

/// Read a worker's journal.
#[derive(Args, Clone, Debug)]
pub(crate) struct JournalArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Print every entry.
    Show(DirArgs),
    /// Check that every run is whole and follows the one before; name the calls that were open when one ended.
    ///
    /// Exits 1 if bytes were altered, lost or do not fit. The cut-short end that a crash leaves is told, and no fault.
    Verify(DirArgs),
}

#[derive(Args, Clone, Debug)]
struct DirArgs {
    /// The journal's directory.
    dir: PathBuf,
    /// Print JSON: for `show` a line per entry.
    #[arg(long)]
    json: bool,
}

/// Does what was asked.
pub(crate) fn run(args: &JournalArgs) -> anyhow::Result<ExitCode> {
    match &args.action {
        Action::Show(args) => show(args),
        Action::Verify(args) => verify(args),
    }
}

/// The runs of a journal, at least one.
pub(crate) fn find(dir: &Path) -> Result<Vec<Run>, Usage> {
    let found = runs(dir).map_err(Usage::new)?;
    if found.is_empty() {
        let dir = dir.display();
        return Err(Usage(anyhow!("{dir} holds no journal segment (*.ortcj): is this the right directory?")));
    }
    Ok(found)
}

fn show(args: &DirArgs) -> anyhow::Result<ExitCode> {
    match print_entries(args, &mut BufWriter::new(stdout().lock())) {
        // Whoever reads has seen enough (`| head`).
        Err(error) if error.downcast_ref().is_some_and(|error: &io::Error| error.kind() == BrokenPipe) => {}
        done => done?,
    }
    Ok(ExitCode::SUCCESS)
}

fn print_entries(args: &DirArgs, out: &mut impl Write) -> anyhow::Result<()> {
    for segment in find(&args.dir)?.iter().flat_map(|run| &run.segments) {
        let incarnation = segment.incarnation;
        let mut written = Ok(());
        let replayed = segment.replay(|_, entry| {
            if written.is_ok() {
                written = if args.json {
                    writeln!(out, "{}", json!({ "incarnation": incarnation, "entry": entry }))
                } else {
                    writeln!(out, "{:>8}  {}  {entry}", entry.seq, time(entry))
                };
            }
        })?;
        written?;
        if let Some(torn) = replayed.torn {
            out.flush()?;
            eprintln!("{}: {torn}", segment.path.display());
        }
    }
    Ok(out.flush()?)
}

fn time(entry: &Entry) -> humantime::Rfc3339Timestamp {
    humantime::format_rfc3339_micros(SystemTime::UNIX_EPOCH + Duration::from_micros(entry.at.as_micros()))
}

fn verify(args: &DirArgs) -> anyhow::Result<ExitCode> {
    let runs: Vec<_> = histories(&find(&args.dir)?, |(), _, _| {})?.iter().map(|(run, ())| Line::of(run)).collect();
    let whole = runs.iter().all(|run| run.faults.is_empty());
    if args.json {
        println!("{}", serde_json::to_string_pretty(&json!({ "whole": whole, "runs": runs }))?);
    } else {
        for run in &runs {
            print!("{run}");
        }
        println!("{}", if whole { "the journal is whole" } else { "the journal is NOT whole" });
    }
    Ok(if whole { ExitCode::SUCCESS } else { Exit::FAILURE.into() })
}

/// What is printed of one run.
#[derive(Debug, Serialize)]
struct Line {
    incarnation: Incarnation,
    worker: String,
    version: String,
    segments: usize,
    entries: u64,
    calls: u64,
    outcome: Option<Outcome>,
    /// Calls that were open when the journal ended: dropped by a forced exit, or taken by a crash.
    open_calls: Vec<String>,
    /// A cut-short end.
    torn: Option<String>,
    /// What is wrong; empty when nothing is.
    faults: Vec<String>,
}

impl Line {
    fn of(run: &History) -> Self {
        let last = run.last.as_ref();
        Self {
            incarnation: run.incarnation,
            worker: last.map_or_else(|| "?".into(), |last| last.opening.identity.worker.to_string()),
            version: last.map_or_else(|| "?".into(), |last| last.opening.identity.version.to_string()),
            segments: run.segments,
            entries: run.entries,
            calls: last.map_or(0, |last| last.state.tally().promised()),
            outcome: last.and_then(|last| last.state.outcome()),
            open_calls: last.map_or_else(Vec::new, |last| last.open_calls().map(|call| call.to_string()).collect()),
            torn: run.cut_short.as_ref().map(tell),
            faults: run.faults.iter().map(tell).collect(),
        }
    }
}

fn tell(fault: &Fault) -> String {
    let name = fault.path.file_name().unwrap_or_default().to_string_lossy();
    format!("{name}: {}", fault.problem)
}

impl Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { incarnation, worker, version, segments, entries, calls, open_calls, .. } = self;
        write!(f, "run {incarnation} of {worker} {version}: {segments} segments, {entries} entries, {calls} calls, ")?;
        match self.outcome {
            Some(Outcome::Clean) => writeln!(f, "drained, 0 dropped"),
            Some(Outcome::Forced { dropped }) => writeln!(f, "forced, {dropped} dropped"),
            Some(Outcome::Rejected) => writeln!(f, "rejected"),
            None => writeln!(f, "still running, or ended without a word with {} calls open", open_calls.len()),
        }?;
        open_calls.iter().try_for_each(|call| writeln!(f, "  open at the end: {call}"))?;
        self.torn.iter().try_for_each(|torn| writeln!(f, "  cut short: {torn}"))?;
        self.faults.iter().try_for_each(|fault| writeln!(f, "  FAULT: {fault}"))
    }
}
