//! `openrtc audit`: check an audit trail, and that it says what the journal says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow, ensure};
use clap::{Args, Subcommand};
use openrtc_core::audit::{Fault, Findings, verify};
use openrtc_evidence::trail::{Difference, compare};
use openrtc_records::trail::{Whose, lineage, owner_of};
use openrtc_runtime::{Exit, read_public_key};
use serde_json::{Value, json};

use crate::{Usage, journal};

/// Check audit trails.
#[derive(Args, Clone, Debug)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Recompute chain, numbers and signatures; name every record that was altered, moved or removed.
    ///
    /// Files of one worker are one trail, in the order they are given; those of several workers are checked each for
    /// itself, with a verdict for each. With --journal also derive the records again and compare. Exits 1 if anything
    /// is wrong with any of them, 2 if a file or the journal is not there. A trail that is not closed is of a worker
    /// that still runs or that ended without a word; that is told, and no fault.
    Verify(VerifyArgs),
}

#[derive(Args, Clone, Debug)]
struct VerifyArgs {
    /// The trails: each a file, with which the parts beside it are checked that were rotated away from it, or several
    /// files in the order they were written; or directories, whose *.jsonl files are taken.
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// The journal's directory to compare with: for the trail of one worker.
    #[arg(long, value_name = "DIR")]
    journal: Option<PathBuf>,
    /// A public key's file (`openrtc keygen`) to check signatures with; may be repeated.
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
    /// Print JSON: of several trails a list.
    #[arg(long)]
    json: bool,
}

/// Does what was asked.
pub(crate) fn run(args: &AuditArgs) -> anyhow::Result<ExitCode> {
    let Action::Verify(args) = &args.action;
    let trails = read_all(&args.paths).map_err(Usage)?;
    let keys: Vec<_> =
        args.key.iter().map(|file| read_public_key(file)).collect::<Result<_, _>>().map_err(Usage::new)?;
    let journal = args.journal.as_deref();
    if journal.is_some() && trails.len() > 1 {
        let whose: Vec<_> = trails.iter().map(|(whose, _)| whose.as_str()).collect();
        let message = format!("--journal is of one worker, and these are trails of {}", whose.join(", "));
        return Err(Usage(anyhow!("{message}: name one worker's trail")).into());
    }
    let mut verdicts = Vec::new();
    for (whose, trail) in trails {
        let findings = verify(&trail.text, None, &keys);
        let mut faults: Vec<String> = findings.faults.iter().map(|fault| trail.tell(*fault)).collect();
        if let Some(journal) = journal {
            let difference = compare(&trail.text, &journal::find(journal)?)?;
            faults.extend(difference.map(|difference| trail.tell_difference(&difference)));
        }
        verdicts.push((whose, findings, faults));
    }
    if args.json {
        let mut found: Vec<_> =
            verdicts.iter().map(|(whose, findings, faults)| summary(whose, findings, faults)).collect();
        let found = if let [_] = found[..] { found.remove(0) } else { found.into() };
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        print_all(&verdicts);
    }
    let whole = verdicts.iter().all(|(_, _, faults)| faults.is_empty());
    Ok(if whole { ExitCode::SUCCESS } else { Exit::FAILURE.into() })
}

/// Every trail, and whose it is. Files that do not tell are trails of their own, by their names.
fn read_all(paths: &[PathBuf]) -> anyhow::Result<Vec<(String, Trail)>> {
    let mut named: Vec<(String, Vec<PathBuf>)> = Vec::new();
    for path in paths {
        for file in files(path)? {
            let whose = owner_of(&file).map(|Whose { deployment, worker }| format!("{deployment}/{worker}"));
            let whose = whose.unwrap_or_else(|| file.display().to_string());
            match named.iter_mut().find(|(known, _)| *known == whose) {
                Some((_, files)) => files.push(file),
                None => named.push((whose, vec![file])),
            }
        }
    }
    named.into_iter().map(|(whose, files)| Ok((whose, Trail::read(&whole(&files))?))).collect()
}

/// What a path stands for.
fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let name = path.display();
    let entries = fs::read_dir(path).with_context(|| format!("the directory {name}"))?;
    let mut files = Vec::new();
    for entry in entries {
        let file = entry.with_context(|| format!("the directory {name}"))?.path();
        if file.extension().is_some_and(|extension| extension == "jsonl") {
            files.push(file);
        }
    }
    ensure!(!files.is_empty(), "{name} holds no audit trail (*.jsonl): name the files, or the directory they are in");
    files.sort();
    Ok(files)
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

fn summary(whose: &str, findings: &Findings, faults: &[String]) -> Value {
    json!({
        "trail": whose,
        "whole": faults.is_empty(),
        "records": findings.records,
        "signatures": findings.signatures,
        "vouched": findings.vouched,
        "closed": findings.closed,
        "head": findings.end.head.to_string(),
        "faults": faults,
    })
}

fn print_all(verdicts: &[(String, Findings, Vec<String>)]) {
    let several = verdicts.len() > 1;
    for (whose, findings, faults) in verdicts {
        if several {
            println!("{whose}");
        }
        print(findings, faults);
        if several {
            println!();
        }
    }
    let broken = verdicts.iter().filter(|(_, _, faults)| !faults.is_empty()).count();
    if several {
        println!("{} trails, {broken} of them NOT whole", verdicts.len());
    }
}

fn print(findings: &Findings, faults: &[String]) {
    let Findings { records, signatures, vouched, closed, .. } = findings;
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
