//! Which runs a certificate is about: those that a rollout retires, and those that take over.

use openrtc_core::id::Incarnation;
use openrtc_core::time::{Instant, Span};
use openrtc_core::word::Phase;
use openrtc_core::worker::{Outcome, Worker};
use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::standing::Standing;

/// What a run is to a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The rollout retires it: every call of it counts.
    Retired,
    /// It takes over: what it promised until the last retired run had drained counts.
    TakesOver,
}

/// Which runs a certificate is about. By default the last run in each directory that was admitted: of these, those
/// whose version has begun to leave are retired, and the others take over. With a time, or with all runs, every run in
/// view is to be told to its end, unless the version that is retired is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// These runs are retired.
    pub runs: Vec<Incarnation>,
    /// Runs of these versions are retired: the last in each directory, or all in the time that is given.
    pub versions: Vec<String>,
    /// Only runs that were up at or after this.
    pub since: Option<Instant>,
    /// Only runs that were up at or before this.
    pub until: Option<Instant>,
    /// Every run in each directory.
    pub all: bool,
    /// By how much the clocks of two machines may differ: a call that began so much after the last retired run had
    /// drained counts.
    pub skew: Span,
}

impl Default for Selection {
    fn default() -> Self {
        let skew = Span::from_secs(1);
        Self { runs: Vec::new(), versions: Vec::new(), since: None, until: None, all: false, skew }
    }
}

impl Selection {
    /// Every run there is.
    #[must_use]
    pub fn everything() -> Self {
        Self { all: true, ..Self::default() }
    }

    /// The role of each run of `journals`, each of which holds the runs of one directory, oldest first.
    pub(crate) fn roles(&self, journals: &[&[Account]]) -> Vec<Vec<Option<Role>>> {
        let every = |is: &dyn Fn(&[Account], usize) -> bool| -> Vec<Vec<bool>> {
            journals.iter().map(|runs| (0..runs.len()).map(|at| is(runs, at)).collect()).collect()
        };
        let is_named =
            |run: &Account| run.version().is_some_and(|name| self.versions.iter().any(|named| named == name));
        let in_time = |run: &Account| !self.is_ranged() || self.is_in_time(run);
        let retired = if !self.runs.is_empty() {
            every(&|runs, at| self.runs.contains(&runs[at].run.incarnation))
        } else if !self.versions.is_empty() {
            let is_last = |runs: &[Account], at: usize| Some(at) == runs.iter().rposition(is_named);
            every(&|runs, at| is_named(&runs[at]) && in_time(&runs[at]) && (self.is_ranged() || is_last(runs, at)))
        } else if self.is_ranged() {
            let role = |run: &Account| self.is_in_time(run).then_some(Role::Retired);
            return journals.iter().map(|runs| runs.iter().map(role).collect()).collect();
        } else {
            return infer(&every(&|runs, at| Some(at) == last(runs)), journals);
        };
        take_over(&retired, journals)
    }

    /// Whether more than the last run in each directory is looked at.
    pub(crate) const fn is_ranged(&self) -> bool {
        self.all || self.since.is_some() || self.until.is_some()
    }

    fn is_in_time(&self, run: &Account) -> bool {
        let ended = run.settled().map(|_| run.last_heard());
        self.since.is_none_or(|since| ended.is_none_or(|ended| ended >= since))
            && self.until.is_none_or(|until| run.began.is_none_or(|began| began <= until))
    }
}

/// Of the last runs, those of a version that has begun to leave are retired, and the others take over. If all have,
/// what began last took over from the others. If none has, nobody takes over yet.
fn infer(last: &[Vec<bool>], journals: &[&[Account]]) -> Vec<Vec<Option<Role>>> {
    let viewed = || journals.iter().copied().flatten().zip(last.iter().flatten()).filter(|(_, is)| **is);
    let mut leaving: Vec<_> = viewed().filter(|(run, _)| is_leaving(run)).map(|(run, _)| run.version()).collect();
    if viewed().all(|(run, _)| leaving.contains(&run.version())) {
        let newest = viewed().max_by_key(|(run, _)| run.began).and_then(|(run, _)| run.version());
        leaving.retain(|version| *version != newest);
    }
    let role = |run: &Account| {
        let retires = leaving.is_empty() || leaving.contains(&run.version());
        if retires { Role::Retired } else { Role::TakesOver }
    };
    let roles = |(runs, is_last): (&&[Account], &Vec<bool>)| {
        runs.iter().zip(is_last).map(|(run, is_last)| is_last.then(|| role(run))).collect()
    };
    journals.iter().zip(last).map(roles).collect()
}

/// With the retired runs named, those of other versions take over that are the last in their directory or were up when
/// the first drain began or later, and those that calls were handed to.
fn take_over(retired: &[Vec<bool>], journals: &[&[Account]]) -> Vec<Vec<Option<Role>>> {
    let leaving =
        || journals.iter().copied().flatten().zip(retired.iter().flatten()).filter(|(_, is)| **is).map(|(run, _)| run);
    let versions: Vec<_> = leaving().map(Account::version).collect();
    let begun =
        |run: &Account| run.state().and_then(Worker::drain).map_or_else(|| run.last_heard(), |drain| drain.begun);
    let from = leaving().map(begun).min().unwrap_or_default();
    let role = |run: &Account, is_last: bool| {
        let is_over_by = run.settled().map(|_| run.last_heard());
        let is_there = is_last || is_over_by.is_none_or(|ended| ended >= from);
        let origins = run.calls.iter().filter_map(|call| call.origin);
        let follows = || origins.clone().any(|origin| leaving().any(|run| run.run.incarnation == origin.run));
        let takes_over = (is_there && !versions.contains(&run.version())) || follows();
        takes_over.then_some(Role::TakesOver)
    };
    let roles = |(runs, retired): (&&[Account], &Vec<bool>)| {
        let last = last(runs);
        let role = |(at, (run, is_retired)): (usize, (&Account, &bool))| {
            if *is_retired { Some(Role::Retired) } else { role(run, Some(at) == last) }
        };
        runs.iter().zip(retired).enumerate().map(role).collect()
    };
    journals.iter().zip(retired).map(roles).collect()
}

/// The place of the last run in a directory that was admitted, or of the last at all.
fn last(runs: &[Account]) -> Option<usize> {
    runs.iter().rposition(was_admitted).or_else(|| runs.len().checked_sub(1))
}

/// Whether a run has begun to leave, or is gone.
fn is_leaving(run: &Account) -> bool {
    !run.standing.is_some_and(Standing::is_up)
        || run.state().is_none_or(|state| matches!(state.phase(), Phase::Draining | Phase::Drained | Phase::Exited))
}

/// Whether a run was admitted; one that was not had no part in anything.
fn was_admitted(run: &Account) -> bool {
    run.state().is_none_or(|state| state.outcome() != Some(Outcome::Rejected))
}
