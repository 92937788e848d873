//! Closes a certificate over the records of a rollout's runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use openrtc_core::journal::{CallLine, Predecessor};
use openrtc_core::time::Instant;
use openrtc_core::worker::Worker;

use super::{Call, Certificate, Drain, Format, Sums, Verdict, WorkerRun};
use crate::account::{Account, accounts};
use crate::across_runs::{Follower, Part, RunName, name};
use crate::end::RunEnd;
use crate::gap::{Gap, Untold};
use crate::journal::{Fault, JournalError, Problem};
use crate::select::{Role, Selection};
use crate::standing::Standing;

/// The runs of one directory.
struct Journal {
    /// As it was given.
    dir: PathBuf,
    /// Whether no run is in it.
    is_empty: bool,
    accounts: Vec<Account>,
}

impl Certificate {
    /// Certifies what journals tell of the runs selected, each journal named by its directory. A directory that is
    /// given twice counts once, and so does a run that is in two.
    pub fn over(journals: &[PathBuf], selection: &Selection) -> Result<Self, JournalError> {
        let journals = read(journals)?;
        let accounts: Vec<_> = journals.iter().map(|journal| journal.accounts.as_slice()).collect();
        let roles = selection.roles(&accounts);
        let with_role = |role: Role| {
            let runs = journals.iter().zip(&roles).flat_map(|(journal, roles)| {
                journal.accounts.iter().zip(roles).map(move |(account, role)| (journal, account, *role))
            });
            runs.filter(move |(_, _, is)| *is == Some(role)).map(|(journal, account, _)| (journal, account))
        };
        let settled: Option<Vec<_>> = with_role(Role::Retired).map(|(_, account)| account.settled()).collect();
        let until = settled.and_then(|all| all.into_iter().max()).map(|at| at + selection.skew);
        let runs: Vec<_> = with_role(Role::Retired).chain(with_role(Role::TakesOver)).collect();
        let retired = with_role(Role::Retired).count();
        let parts: Vec<_> =
            (0..).zip(&runs).map(|(place, (_, account))| part(account, place < retired, until)).collect();

        let mut certificate = Self::empty(until, selection);
        let nothing = journals.iter().filter(|journal| journal.is_empty);
        let nothing = nothing.map(|journal| Gap::NoJournal { path: journal.dir.display().to_string() });
        certificate.unknown.extend(nothing.map(|gap| Untold { run: None, gap }));
        for (place, ((journal, _), part)) in (0..).zip(runs.iter().zip(&parts)) {
            let mut gaps = gaps(journal, part, selection.is_ranged());
            gaps.dedup();
            certificate.unknown.extend(gaps.into_iter().map(|gap| Untold { run: Some(place), gap }));
        }
        certificate.add_runs(&parts);
        certificate.sums = certificate.sum_up();
        certificate.verdict = certificate.judge();
        Ok(certificate)
    }

    fn empty(until: Option<Instant>, selection: &Selection) -> Self {
        Self {
            format: Format::V2,
            verdict: Verdict::Unknown,
            until,
            skew: selection.skew,
            sums: Sums::default(),
            workers: Vec::new(),
            calls: Vec::new(),
            unknown: Vec::new(),
            dispatches: Vec::new(),
        }
    }

    /// Enters every run and what became of each of its promises.
    fn add_runs(&mut self, parts: &[Part<'_>]) {
        let mut follower = Follower::new(parts);
        for (place, part) in (0..).zip(parts) {
            let account = part.account;
            let is_covered = |call: &CallLine| part.until.is_none_or(|until| call.began <= until);
            let mut worker = worker(part);
            for call in account.calls.iter().filter(|call| is_covered(call)) {
                if !follower.is_promise(account, call) {
                    continue;
                }
                let (ended, end) = follower.end(place, call);
                self.calls.push(Call { id: call.id.to_string(), run: place, began: call.began, ended, end });
                if part.role == Role::TakesOver {
                    worker.calls += 1;
                }
            }
            if part.role == Role::Retired {
                let others = account.calls.iter().filter(|call| !follower.is_promise(account, call)).count() as u64;
                let promised = account.state().map_or(0, |state| state.tally().promised());
                worker.calls = promised.saturating_sub(others);
            }
            self.workers.push(worker);
        }
        self.unknown.extend(follower.into_gaps());
    }
}

/// The journals, each directory once and each run once.
fn read(dirs: &[PathBuf]) -> Result<Vec<Journal>, JournalError> {
    let mut seen = BTreeSet::new();
    let mut journals = Vec::new();
    for dir in dirs {
        if seen.insert(fs::canonicalize(dir).unwrap_or_else(|_| dir.clone())) {
            let accounts = accounts(dir)?;
            journals.push(Journal { dir: dir.clone(), is_empty: accounts.is_empty(), accounts });
        }
    }
    // Of two records of one run, the one that tells more: a copy was made while it went on.
    let mut best: BTreeMap<RunName, (_, usize)> = BTreeMap::new();
    let told = |account: &Account| {
        (account.run.faults.is_empty(), account.state().map(|state| state.word().seq()), account.standing)
    };
    for (place, journal) in (0..).zip(&journals) {
        for account in &journal.accounts {
            let Some(name) = name(account) else { continue };
            let (whole, last, standing) = told(account);
            let rank =
                (last, whole, standing != Some(Standing::OutOfSight) && standing != Some(Standing::DrainedAndGone));
            match best.get(&name) {
                Some((better, _)) if *better >= rank => {}
                _ => drop(best.insert(name, (rank, place))),
            }
        }
    }
    for (place, journal) in (0..).zip(&mut journals) {
        let is_best =
            |account: &Account| name(account).is_none_or(|name| best.get(&name).is_some_and(|(_, at)| *at == place));
        journal.accounts.retain(is_best);
    }
    Ok(journals)
}

fn part(account: &Account, is_retired: bool, until: Option<Instant>) -> Part<'_> {
    if is_retired {
        Part { account, role: Role::Retired, until: None }
    } else {
        Part { account, role: Role::TakesOver, until }
    }
}

/// A run without its calls.
fn worker(part: &Part<'_>) -> WorkerRun {
    let Part { account, role, until } = *part;
    let identity = account.run.last.as_ref().map(|last| last.opening.about.identity);
    let (state, standing) = (account.state(), account.standing.unwrap_or(Standing::OutOfSight));
    let is_now = |at: &Instant| until.is_none_or(|until| *at <= until);
    // Whatever a run that takes over did later: then it was up.
    let standing = if part.was_up() { Standing::Running } else { standing };
    let last_heard = account.last_heard();
    let ended = until.filter(|_| standing == Standing::Running).unwrap_or(last_heard);
    let tally: u64 = state.map_or(0, |state| state.tally().declined.iter().sum());
    let declined = match until {
        None => tally,
        Some(_) => account.declines.iter().filter(|(at, _)| is_now(at)).map(|(_, count)| count).sum(),
    };
    let drain = state.and_then(Worker::drain).filter(|drain| is_now(&drain.begun));
    WorkerRun {
        name: identity.map_or_else(|| "?".into(), |identity| identity.worker.to_string()),
        version: identity.map_or_else(|| "?".into(), |identity| identity.version.to_string()),
        incarnation: account.run.incarnation,
        role,
        standing,
        outcome: state.and_then(Worker::outcome).filter(|_| standing == Standing::Exited).map(RunEnd::from),
        calls: 0,
        declined,
        began: account.began.unwrap_or_default(),
        ended,
        drained: account.drained.filter(is_now),
        drain: drain.map(|drain| Drain { cause: drain.cause, actor: drain.actor.to_string(), began: drain.begun }),
    }
}

/// What a run's records do not tell and the rollout needs.
fn gaps(journal: &Journal, part: &Part<'_>, wants_earlier: bool) -> Vec<Gap> {
    let Part { account, .. } = *part;
    let (run, dir) = (&account.run, journal.dir.display().to_string());
    let mut gaps = Vec::new();
    if run.first.get() > 1 {
        gaps.push(Gap::EntriesMissing { path: dir.clone(), before: run.first });
    }
    // A file that is being written to ends anywhere.
    let is_up = account.standing.is_some_and(Standing::is_up);
    let cut_short = run.cut_short.as_ref().filter(|_| !is_up && !part.was_up());
    let faults = run.faults.iter().filter(|_| !part.is_whole());
    for Fault { path, problem } in faults.chain(cut_short) {
        let (path, told) = (path.display().to_string(), problem.to_string());
        match problem {
            Problem::Missing { first, .. } | Problem::Overlap { first } => {
                gaps.push(Gap::EntriesMissing { path: dir.clone(), before: *first });
            }
            Problem::Torn(_) | Problem::Unopened => gaps.push(Gap::Damaged { path, problem: told }),
            Problem::Newer => gaps.push(Gap::Newer { path }),
            Problem::OtherState => gaps.push(Gap::Contradicts { path, problem: told }),
            // That is about the run before.
            Problem::OtherPredecessor => {}
        }
    }
    if let Some(problem) = contradiction(journal, account) {
        gaps.push(Gap::Contradicts { path: dir.clone(), problem });
    }
    let before = run.last.as_ref().and_then(|last| last.opening.about.predecessor);
    let is_here = |lost: &Predecessor| journal.accounts.iter().any(|other| other.run.incarnation == lost.incarnation);
    if let Some(lost) = before.filter(|before| wants_earlier && !before.exited && !is_here(before)) {
        let Predecessor { incarnation: missing, open_calls, .. } = lost;
        gaps.push(Gap::RunMissing { path: dir, missing, open_calls });
    }
    gaps
}

/// What the next run says of this one, if that is not what this one's own journal says.
fn contradiction(journal: &Journal, account: &Account) -> Option<String> {
    let at = journal.accounts.iter().position(|other| other.run.incarnation == account.run.incarnation)?;
    let format = account.run.last.as_ref()?.format;
    let is_reader = |later: &&Account| later.run.last.as_ref().is_some_and(|last| last.format >= format);
    let next = journal.accounts[at + 1..].iter().find(is_reader)?;
    let fault = next.run.faults.iter().find(|fault| fault.problem == Problem::OtherPredecessor)?;
    Some(format!("{}: {}", fault.path.file_name()?.to_string_lossy(), fault.problem))
}
