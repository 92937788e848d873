//! `openrtc journal`: read a worker's journal, and judge whether it is whole.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind::BrokenPipe;
use std::io::{self, BufWriter, Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use openrtc_core::id::Incarnation;
use openrtc_core::journal::{Replay, Torn, TornFault, replay};
use openrtc_core::worker::{Entry, Outcome, Worker};
use openrtc_records::{Segment, segments};
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

/// The segments of a journal, at least one.
pub(crate) fn find(dir: &Path) -> Result<Vec<Segment>, Usage> {
    find_segments(dir).map_err(Usage)
}

fn find_segments(dir: &Path) -> anyhow::Result<Vec<Segment>> {
    let fix = "name what the worker's OPENRTC_JOURNAL_DIR says";
    let found = segments(dir).with_context(|| format!("the journal directory {} ({fix})", dir.display()))?;
    ensure!(!found.is_empty(), "{} holds no journal segment (*.ortcj): is this the right directory?", dir.display());
    Ok(found)
}

fn fold(segment: &Segment, each: impl FnMut(&Worker, &Entry)) -> anyhow::Result<Replay> {
    let bytes = fs::read(&segment.path).with_context(|| segment.path.display().to_string())?;
    replay(&bytes, each).with_context(|| segment.path.display().to_string())
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
    for segment in find(&args.dir)? {
        let incarnation = segment.incarnation;
        let mut written = Ok(());
        let replayed = fold(&segment, |_, entry| {
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

/// What one run of a worker left.
#[derive(Debug, Serialize)]
struct Run {
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

impl Run {
    /// Enters where a segment stops making sense. The cut-short end of a run's last one is what a crash leaves; all
    /// else is a fault.
    fn enter(&mut self, fault: Option<TornFault>, is_last: bool, text: String) {
        match fault {
            Some(TornFault::Short) if is_last => self.torn = Some(text),
            Some(_) | None => self.faults.push(text),
        }
    }
}

fn verify(args: &DirArgs) -> anyhow::Result<ExitCode> {
    let runs = verify_all(find(&args.dir)?);
    let whole = runs.iter().all(|run| run.faults.is_empty());
    if args.json {
        println!("{}", serde_json::to_string_pretty(&json!({ "whole": whole, "runs": runs }))?);
    } else {
        runs.iter().for_each(print_run);
        println!("{}", if whole { "the journal is whole" } else { "the journal is NOT whole" });
    }
    Ok(if whole { ExitCode::SUCCESS } else { Exit::FAILURE.into() })
}

fn verify_all(found: Vec<Segment>) -> Vec<Run> {
    let mut by_run: BTreeMap<Incarnation, Vec<Segment>> = BTreeMap::new();
    for segment in found {
        by_run.entry(segment.incarnation).or_default().push(segment);
    }
    let mut runs = Vec::new();
    let mut before: Option<Replay> = None;
    for segments in by_run.values() {
        let (run, last) = verify_run(segments, before.as_ref());
        runs.push(run);
        // A run that a crash ended before its first word is not there for the next one.
        before = last.or(before);
    }
    runs
}

fn verify_run(segments: &[Segment], before: Option<&Replay>) -> (Run, Option<Replay>) {
    let mut run = Run {
        incarnation: segments[0].incarnation,
        worker: "?".into(),
        version: "?".into(),
        segments: segments.len(),
        entries: 0,
        calls: 0,
        outcome: None,
        open_calls: Vec::new(),
        torn: None,
        faults: Vec::new(),
    };
    let mut last: Option<Replay> = None;
    for (index, segment) in segments.iter().enumerate() {
        let is_last = index + 1 == segments.len();
        let name = segment.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let replayed = match fold(segment, |_, _| {}) {
            Ok(replayed) => replayed,
            Err(error) => {
                let fault = error.downcast_ref::<Torn>().map(|torn| torn.fault);
                run.enter(fault, is_last, format!("{error:#}"));
                continue;
            }
        };
        if let Err(error) = follows(&replayed, last.as_ref(), before) {
            run.faults.push(format!("{name}: {error}"));
        }
        if let Some(torn) = replayed.torn {
            run.enter(Some(torn.fault), is_last, format!("{name}: {torn}"));
        }
        run.entries += replayed.entries;
        run.worker = replayed.opening.identity.worker.to_string();
        run.version = replayed.opening.identity.version.to_string();
        last = Some(replayed);
    }
    if let Some(replayed) = &last {
        run.calls = replayed.state.tally().promised();
        run.outcome = replayed.state.outcome();
        run.open_calls = replayed.open_calls().map(|call| call.to_string()).collect();
    }
    (run, last)
}

/// Whether a segment opens with what the one before it left, and a run with what the run before it did.
fn follows(replayed: &Replay, last: Option<&Replay>, before: Option<&Replay>) -> anyhow::Result<()> {
    match (last, before) {
        (Some(last), _) if last.state.word().seq() > replayed.opening.state.word().seq() => {
            bail!("it opens before the segment before it ends")
        }
        (Some(last), _) if last.state.word().seq() < replayed.opening.state.word().seq() => {
            let missing = replayed.opening.state.word().seq().get() - last.state.word().seq().get();
            bail!("{missing} entries before it are missing (never written, or deleted)")
        }
        (Some(last), _) => ensure!(last.state == replayed.opening.state, "it opens with another state than was left"),
        (None, Some(before)) => {
            let told = replayed.opening.predecessor;
            ensure!(
                told == Some(before.as_predecessor()),
                "it tells another story of the run before than that run's journal"
            );
        }
        (None, None) => {}
    }
    Ok(())
}

fn print_run(run: &Run) {
    let Run { incarnation, worker, version, segments, entries, calls, .. } = run;
    println!(
        "run {incarnation} of {worker} {version}: {segments} segments, {entries} entries, {calls} calls, {}",
        ending(run)
    );
    for call in &run.open_calls {
        println!("  open at the end: {call}");
    }
    if let Some(torn) = &run.torn {
        println!("  cut short: {torn}");
    }
    for fault in &run.faults {
        println!("  FAULT: {fault}");
    }
}

fn ending(run: &Run) -> String {
    match run.outcome {
        Some(Outcome::Clean) => "drained, 0 dropped".into(),
        Some(Outcome::Forced { dropped }) => format!("forced, {dropped} dropped"),
        Some(Outcome::Rejected) => "rejected".into(),
        None => format!("still running, or ended without a word with {} calls open", run.open_calls.len()),
    }
}

#[cfg(test)]
mod tests {
    use openrtc_core::worker::EndReason;
    use tempfile::tempdir;

    use super::*;
    use crate::scribe::Scribe;

    fn runs(dir: &Path) -> Vec<Run> {
        verify_all(find(dir).expect("segments"))
    }

    fn last_replay(dir: &Path) -> Replay {
        fold(find(dir).expect("segments").last().expect("one"), |_, _| {}).expect("whole")
    }

    /// A run of two segments with one call that ended and one that was left open.
    fn crashed(dir: &Path) -> Scribe {
        let mut scribe = Scribe::start(dir, 1, None);
        let ended = scribe.admit("ended");
        scribe.roll();
        scribe.end(ended, EndReason::CallerHangup);
        scribe.admit("taken");
        scribe.save();
        scribe
    }

    #[test]
    fn a_crashed_run_and_the_next_one_are_whole_and_its_open_call_is_named() {
        let dir = tempdir().expect("a directory");
        crashed(dir.path());
        let predecessor = last_replay(dir.path()).as_predecessor();
        let mut next = Scribe::start(dir.path(), 2, Some(predecessor));
        next.drain_and_exit();
        next.save();
        let runs = runs(dir.path());
        assert!(runs.iter().all(|run| run.faults.is_empty()), "{runs:?}");
        assert_eq!(runs[0].open_calls, ["taken"]);
        assert_eq!((runs[0].outcome, runs[1].outcome), (None, Some(Outcome::Clean)));
    }

    #[test]
    fn a_cut_short_end_is_told_and_is_no_fault() {
        let dir = tempdir().expect("a directory");
        let path = crashed(dir.path()).save();
        let bytes = fs::read(&path).expect("read");
        for len in [bytes.len() - 1, 30, 0] {
            fs::write(&path, &bytes[..len]).expect("written");
            let runs = runs(dir.path());
            assert!(runs[0].faults.is_empty() && runs[0].torn.is_some(), "{len} bytes: {runs:?}");
        }
    }

    #[test]
    fn a_run_cut_short_at_its_first_word_does_not_break_the_chain() {
        let dir = tempdir().expect("a directory");
        crashed(dir.path());
        let predecessor = last_replay(dir.path()).as_predecessor();
        let stillborn = Scribe::start(dir.path(), 2, Some(predecessor)).save();
        fs::write(stillborn, b"OpenR").expect("written");
        Scribe::start(dir.path(), 3, Some(predecessor)).save();
        let runs = runs(dir.path());
        assert_eq!(runs.len(), 3);
        assert!(runs.iter().all(|run| run.faults.is_empty()), "{runs:?}");
    }

    #[test]
    fn what_was_altered_removed_or_does_not_follow_is_a_fault() {
        let dir = tempdir().expect("a directory");
        let last = crashed(dir.path()).save();
        let first = find(dir.path()).expect("segments").remove(0).path;
        let (whole_first, whole_last) = (fs::read(&first).expect("read"), fs::read(&last).expect("read"));
        let flipped = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            *bytes.last_mut().expect("not empty") ^= 1;
            bytes
        };
        for (first_bytes, last_bytes, says) in [
            (flipped(&whole_first), whole_last.clone(), "the checksum does not match"),
            (whole_first.clone(), flipped(&whole_last), "the checksum does not match"),
            (whole_first[..whole_first.len() - 1].to_vec(), whole_last.clone(), "entries before it are missing"),
            (whole_first.clone(), whole_first.clone(), "it opens before the segment before it ends"),
            (whole_first.clone(), b"not a segment".to_vec(), "not a journal segment"),
        ] {
            fs::write(&first, first_bytes).expect("written");
            fs::write(&last, last_bytes).expect("written");
            let told = runs(dir.path())[0].faults.join("\n");
            assert!(told.contains(says), "{told:?} should say {says:?}");
        }
        fs::write(&first, whole_first).expect("written");
        fs::write(&last, whole_last).expect("written");
        Scribe::start(dir.path(), 2, None).save();
        let told = runs(dir.path())[1].faults.join("\n");
        assert!(told.contains("another story of the run before"), "{told:?}");
    }
}
