//! `openrtc journal`: read the journal of a worker or a fleet, and judge whether a worker's is whole.

use std::fmt::{self, Display};
use std::io::ErrorKind::BrokenPipe;
use std::io::{self, BufWriter, Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::anyhow;
use clap::{Args, Subcommand};
use openrtc_core::fleet::Fleet;
use openrtc_core::id::{CallId, CallNo, Ids, Incarnation};
use openrtc_core::journal::{Head, IdsSoFar, Journaled, Replay};
use openrtc_core::machine;
use openrtc_core::time::Instant;
use openrtc_core::worker::{Entry, Event, Outcome, Worker};
use openrtc_evidence::journal::{Fault, Problem, runs};
use openrtc_evidence::{Account, Standing, accounts};
use openrtc_records::{ReadError, Run};
use openrtc_runtime::Exit;
use serde::Serialize;
use serde_json::{Value, json};

use crate::Usage;

/// Read a worker's journal, or that of a fleet.
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
    /// Exits 1 if bytes were altered, lost or do not fit, or if a newer build wrote some of them, which this one cannot
    /// judge. The cut-short end that a crash leaves is told, and no fault.
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

/// The runs of a worker's journal, at least one.
pub(crate) fn find(dir: &Path) -> Result<Vec<Run>, Usage> {
    let found = find_any(dir)?;
    if is_fleets(&found) {
        let dir = dir.display();
        return Err(Usage(anyhow!(
            "{dir} holds the journal of a fleet, which has no calls: `openrtc journal show` reads it"
        )));
    }
    Ok(found)
}

/// Whether it is the journal of a fleet.
fn is_fleets(runs: &[Run]) -> bool {
    runs.iter().flat_map(|run| &run.segments).any(|segment| segment.head() == Some(Head::Fleet))
}

/// The runs of a journal, at least one.
fn find_any(dir: &Path) -> Result<Vec<Run>, Usage> {
    let found = runs(dir).map_err(Usage::new)?;
    if found.is_empty() {
        let dir = dir.display();
        return Err(Usage(anyhow!("{dir} holds no journal segment (*.orj): is this the right directory?")));
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
    let runs = find_any(&args.dir)?;
    if is_fleets(&runs) {
        return print_runs::<Fleet>(&runs, args.json, out, |_, entry| (entry.event.to_string(), json!(entry)));
    }
    print_runs::<Worker>(&runs, args.json, out, |ids, entry| {
        let id = begun_call(ids, entry);
        let named = id.as_ref().map_or_else(String::new, |id| format!(" ({id})"));
        (format!("{entry}{named}"), with_id(entry, id.as_ref()))
    })
}

/// Prints the entries of a machine, each in words and as JSON as `tell` says.
fn print_runs<M: Journaled>(
    runs: &[Run],
    is_json: bool,
    out: &mut impl Write,
    tell: impl Fn(&IdsSoFar<'_>, &machine::Entry<M::Event>) -> (String, Value),
) -> anyhow::Result<()> {
    for ledger in runs.iter().flat_map(|run| &run.ledgers) {
        eprintln!("{}: older entries had to make room; this has their calls", ledger.path.display());
    }
    for segment in runs.iter().flat_map(|run| &run.segments) {
        let mut written = Ok(());
        let replayed = segment.replay::<M>(|_, ids, entry| {
            if written.is_ok() {
                let (words, fields) = tell(ids, entry);
                written = if is_json {
                    writeln!(out, "{}", json!({ "incarnation": segment.incarnation, "entry": fields }))
                } else {
                    writeln!(out, "{:>8}  {}  {words}", entry.seq, time(entry.at))
                };
            }
        });
        written?;
        let torn = match replayed {
            Ok(Replay { newer, torn, .. }) => {
                if newer > 0 {
                    out.flush()?;
                    eprintln!("{}: {newer} records were written by a newer build", segment.path.display());
                }
                torn
            }
            // The runs after it tell on.
            Err(ReadError::Torn { torn, .. }) if torn.fault.is_newer() => Some(torn),
            Err(error) => return Err(error.into()),
        };
        if let Some(torn) = torn {
            out.flush()?;
            eprintln!("{}: {torn}", segment.path.display());
        }
    }
    Ok(out.flush()?)
}

/// What the call is called that an entry begins. The entry itself has only its digest.
fn begun_call(ids: &impl Ids, entry: &Entry) -> Option<CallId> {
    let (Event::CallReserved { id: digest, .. }
    | Event::CallAdmitted { id: digest, .. }
    | Event::CallTakenOver { id: digest, .. }) = entry.event
    else {
        return None;
    };
    Some(ids.id(CallNo::new(entry.seq.get())).unwrap_or_else(|| CallId::unnamed(digest)))
}

/// The entry as JSON, with the id of the call that it begins in place of the digest.
fn with_id(entry: &Entry, id: Option<&CallId>) -> Value {
    let mut entry = json!(entry);
    if let (Some(id), Some(event)) = (id, entry["event"].as_object_mut()) {
        event.values_mut().for_each(|fields| fields["id"] = json!(id));
    }
    entry
}

fn time(at: Instant) -> humantime::Rfc3339Timestamp {
    humantime::format_rfc3339_micros(SystemTime::UNIX_EPOCH + Duration::from_micros(at.as_micros()))
}

fn verify(args: &DirArgs) -> anyhow::Result<ExitCode> {
    find(&args.dir)?;
    let runs: Vec<_> = accounts(&args.dir)?.iter().map(Line::of).collect();
    let verdict = match (runs.iter().all(|run| run.faults.is_empty()), runs.iter().any(|run| run.newer.is_some())) {
        (true, false) => "the journal is whole",
        (true, true) => "the journal cannot be judged: a newer build wrote some of it",
        (false, _) => "the journal is NOT whole",
    };
    let whole = runs.iter().all(|run| run.faults.is_empty() && run.newer.is_none());
    if args.json {
        println!("{}", serde_json::to_string_pretty(&json!({ "whole": whole, "runs": runs }))?);
    } else {
        for run in &runs {
            print!("{run}");
        }
        println!("{verdict}");
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
    /// What is known of its end.
    standing: Option<Standing>,
    /// Calls that were open when the journal ended: dropped by a forced exit, or taken by a crash.
    open_calls: Vec<String>,
    /// A cut-short end.
    torn: Option<String>,
    /// The first segment that a newer build wrote, in whole or in part.
    newer: Option<String>,
    /// What is wrong; empty when nothing is.
    faults: Vec<String>,
}

impl Line {
    fn of(account: &Account) -> Self {
        let run = &account.run;
        let last = run.last.as_ref();
        let identity = last.map(|last| last.opening.about.identity);
        // Which calls were open is in what a newer build wrote.
        let told = last.filter(|_| !run.has_newer());
        let (newer, faults): (Vec<_>, _) = run.faults.iter().partition(|fault| fault.problem == Problem::Newer);
        Self {
            incarnation: run.incarnation,
            worker: identity.map_or_else(|| "?".into(), |identity| identity.worker.to_string()),
            version: identity.map_or_else(|| "?".into(), |identity| identity.version.to_string()),
            segments: run.segments,
            entries: run.entries,
            calls: last.map_or(0, |last| last.state.tally().promised()),
            outcome: last.and_then(|last| last.state.outcome()),
            standing: account.standing,
            open_calls: told.map_or_else(Vec::new, |last| last.open_calls().map(|(_, id)| id.to_string()).collect()),
            torn: run.cut_short.as_ref().map(tell),
            newer: newer.first().copied().map(tell),
            faults: faults.into_iter().map(tell).collect(),
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
            None if self.newer.is_some() => writeln!(f, "as far as this build can read it"),
            None => match self.standing {
                Some(Standing::Running) => writeln!(f, "still running, {} calls open", open_calls.len()),
                Some(standing) => writeln!(f, "{standing}; {} calls open", open_calls.len()),
                None => writeln!(f, "its end cannot be read"),
            },
        }?;
        open_calls.iter().try_for_each(|call| writeln!(f, "  open at the end: {call}"))?;
        self.torn.iter().try_for_each(|torn| writeln!(f, "  cut short: {torn}"))?;
        self.newer.iter().try_for_each(|newer| writeln!(f, "  newer: {newer}"))?;
        self.faults.iter().try_for_each(|fault| writeln!(f, "  FAULT: {fault}"))
    }
}
