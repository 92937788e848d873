//! Follows calls from the run that promised them to the run in which they ended.

use std::collections::{BTreeMap, BTreeSet};

use openrtc_core::id::{CallNo, Deployment, Incarnation, WorkerId};
use openrtc_core::journal::{CallLine, Left};
use openrtc_core::time::Instant;
use openrtc_core::worker::EndReason;

use crate::account::Account;
use crate::end::CallEnd;
use crate::gap::{Gap, Untold};
use crate::select::Role;
use crate::standing::Standing;

/// Which run: runs of one worker are told apart by their incarnation.
pub(crate) type RunName = (Deployment, WorkerId, Incarnation);

/// A run's part in a rollout.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    pub(crate) account: &'a Account,
    pub(crate) role: Role,
    /// What became true later is nothing to the rollout.
    pub(crate) until: Option<Instant>,
}

/// The parts of a rollout, and where their calls go on.
pub(crate) struct Follower<'a> {
    parts: &'a [Part<'a>],
    runs: BTreeMap<RunName, usize>,
    /// Calls that were taken over, by the run and the number that they had before.
    onward: BTreeMap<(RunName, CallNo), (Part<'a>, &'a CallLine)>,
    /// Those of them that a promise led to, by their own run and number.
    reached: BTreeSet<(RunName, CallNo)>,
    gaps: Vec<Untold>,
}

impl<'a> Follower<'a> {
    pub(crate) fn new(parts: &'a [Part<'a>]) -> Self {
        let runs = (0..).zip(parts).filter_map(|(at, part)| Some((name(part.account)?, at))).collect();
        let taken_over = parts.iter().flat_map(|part| part.account.calls.iter().map(move |call| (*part, call)));
        let onward = taken_over.filter_map(|(part, call)| Some((before(part.account, call)?, (part, call)))).collect();
        Self { parts, runs, onward, reached: BTreeSet::new(), gaps: Vec::new() }
    }

    /// Whether a call counts as a promise of the run that accounts for it. One that was taken over is a promise of the
    /// run before, if that is here.
    pub(crate) fn is_promise(&self, account: &Account, call: &CallLine) -> bool {
        before(account, call).is_none_or(|(run, _)| !self.runs.contains_key(&run))
    }

    /// How a promise of the part in this place ended, in whichever run, and when; no time if it did not.
    pub(crate) fn end(&mut self, place: usize, mut call: &'a CallLine) -> (Option<Instant>, CallEnd) {
        let mut part = self.parts[place];
        // Ends: a call has one origin at most, so that no two ways lead to it, and the first has none.
        loop {
            let Some(run) = name(part.account) else { return (None, CallEnd::Unknown) };
            let left = part.left(call);
            let onward = self.onward.get(&(run, call.number)).copied();
            let goes_on = onward.filter(|(next, taken)| match left {
                Left::Ended { .. } | Left::Lapsed { .. } => false,
                Left::HandedOver { to, .. } => next.account.run.incarnation == to,
                // It was found alive after its run had ended without a word.
                Left::Open => {
                    part.account.standing == Some(Standing::Died) && taken.origin.is_some_and(|origin| !origin.given)
                }
            });
            match (left, goes_on) {
                (_, Some((next, taken))) => {
                    self.reached.extend(name(next.account).map(|run| (run, taken.number)));
                    (part, call) = (next, taken);
                }
                (Left::Ended { .. }, None) if part.account.dropped_last.contains(&call.number) && !part.exited() => {
                    return (None, CallEnd::Unknown);
                }
                (Left::Ended { at, reason }, None) => return (Some(at), CallEnd::Recorded(reason)),
                (Left::Lapsed { at }, None) => return (Some(at), CallEnd::Lapsed),
                (Left::HandedOver { to, .. }, None) => {
                    let (call, worker) = (call.id.to_string(), run.1.to_string());
                    self.gaps.push(Untold { run: Some(place), gap: Gap::WentTo { call, worker, to } });
                    return (None, CallEnd::Unknown);
                }
                (Left::Open, None) => return part.end_of_open_calls(),
            }
        }
    }

    /// What the journals do not tell of calls that went from run to run, once every promise was followed.
    pub(crate) fn into_gaps(self) -> Vec<Untold> {
        let Self { runs, onward, reached, mut gaps, .. } = self;
        for ((before, _), (part, call)) in onward {
            let reached = name(part.account).is_some_and(|run| reached.contains(&(run, call.number)));
            if let (Some(place), false) = (runs.get(&before), reached) {
                let (call, worker) = (call.id.to_string(), before.1.to_string());
                gaps.push(Untold { run: Some(*place), gap: Gap::CameFrom { call, worker, from: before.2 } });
            }
        }
        gaps
    }
}

impl Part<'_> {
    /// Whether a moment is none of the rollout's business.
    fn is_after(&self, at: Instant) -> bool {
        self.until.is_some_and(|until| at > until)
    }

    /// Whether the run had exited by then.
    fn exited(&self) -> bool {
        self.account.standing == Some(Standing::Exited)
    }

    /// How the run had left a call by then.
    fn left(&self, call: &CallLine) -> Left {
        if call.left.at().is_some_and(|at| self.is_after(at)) { Left::Open } else { call.left }
    }

    /// Whether the run wrote something after that, so that it was up until then.
    pub(crate) fn was_up(&self) -> bool {
        self.is_after(self.account.last_heard())
    }

    /// Whether everything is told that the rollout needs.
    pub(crate) fn is_whole(&self) -> bool {
        self.account.run.whole_until.is_none_or(|until| self.is_after(until))
    }

    /// Whether an append was cut short at the end that the rollout needs. Either a crash did that, or a disk that was
    /// full; then more may have happened than what is lost.
    fn is_cut_short(&self) -> bool {
        self.account.run.cut_short.is_some() && !self.was_up()
    }

    /// How the calls ended that were open when the run's story did, and when.
    fn end_of_open_calls(&self) -> (Option<Instant>, CallEnd) {
        let at = Some(self.account.last_heard());
        let is_told = self.is_whole() && !self.is_cut_short();
        let Some(standing) = self.account.standing.filter(|_| is_told) else { return (None, CallEnd::Unknown) };
        let up = match self.role {
            Role::Retired => CallEnd::Open,
            Role::TakesOver => CallEnd::InProgress,
        };
        match standing {
            _ if self.was_up() => (None, up),
            Standing::Running | Standing::Parked => (None, up),
            Standing::Exited => (at, CallEnd::Recorded(EndReason::DrainForced)),
            // It may have died only after that.
            Standing::Died
                if self
                    .until
                    .is_none_or(|until| self.account.next.is_some_and(|next| next.get() <= until.as_micros())) =>
            {
                (at, CallEnd::PlatformForced)
            }
            Standing::Died | Standing::DrainedAndGone | Standing::OutOfSight => (None, CallEnd::Unknown),
        }
    }
}

/// Which run it is; `None` if nothing of it can be read.
pub(crate) fn name(account: &Account) -> Option<RunName> {
    let identity = account.run.last.as_ref()?.opening.about.identity;
    Some((identity.deployment, identity.worker, identity.incarnation))
}

/// Which call of which run a call was before.
fn before(account: &Account, call: &CallLine) -> Option<(RunName, CallNo)> {
    let ((deployment, worker, _), origin) = (name(account)?, call.origin?);
    Some(((deployment, worker, origin.run), origin.call))
}

#[cfg(test)]
mod tests;
