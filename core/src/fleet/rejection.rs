//! Why a command changed nothing, by who is at fault.

use core::fmt;

use super::command::BadPlan;
use super::{VERSIONS_MAX, WORKERS_MAX};
use crate::id::Epoch;

/// Why a command changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Nobody is at fault: it was true already.
    Repeat(Repeat),
    /// Nobody is at fault: the answer is no.
    Refused(Refused),
    /// The caller is at fault: the command makes no sense here.
    Misuse(Misuse),
}

/// A command that was true already; sending it again is harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// The worker has no call left.
    AlreadyDrained,
    /// The worker is fenced.
    AlreadyFenced,
    /// The worker's calls are being ended, or it is written off.
    AlreadyForced,
    /// No such process is known.
    AlreadyGone,
    /// No steps are taken.
    AlreadyPaused,
    /// The rollout goes there.
    AlreadyPlanned,
    /// The worker is a member.
    AlreadyRegistered,
    /// The rollout is being taken back.
    AlreadyRollingBack,
    /// The demand is as stated.
    DemandNoted,
    /// Steps are taken.
    NotPaused,
    /// The same was reported a moment ago.
    ReportNoted,
}

/// A command answered with no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A later coordinator is in office.
    Fenced {
        /// Its term.
        by: Epoch,
    },
    /// The worker's lease expired.
    LeaseExpired,
    /// There is no version to go back to.
    NothingBefore,
    /// The worker is not a member.
    NotRegistered,
    /// The rollout is over.
    RolloutOver,
    /// A later run of the worker, or a later report of this one, was heard.
    Stale,
    /// Nothing is known of the worker now, but its lease has not expired.
    Unknown,
    /// The fleet has as many versions as it can tell apart.
    VersionsFull,
    /// The fleet has as many workers as it can follow.
    WorkersFull,
}

/// A command that makes no sense here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misuse {
    /// The version takes all calls.
    AlreadyCurrent,
    /// The plan cannot work.
    BadPlan(BadPlan),
    /// A later term than the coordinator's own, which it has not taken over with.
    EpochAhead,
    /// No such worker.
    NoSuchWorker,
    /// The worker does not drain.
    NotDraining,
    /// No deadline has been reached.
    NotDue,
    /// There is no rollout.
    NoRollout,
    /// No worker can be as reported.
    ReportImpossible,
    /// One run cannot change its version.
    VersionChanged,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Repeat(repeat) => match repeat {
                Repeat::AlreadyDrained => "the worker has no call left",
                Repeat::AlreadyFenced => "the worker is fenced already",
                Repeat::AlreadyForced => "the worker is forced or written off already",
                Repeat::AlreadyGone => "no such process is known: it is gone already",
                Repeat::AlreadyPaused => "the rollout is paused already",
                Repeat::AlreadyPlanned => "the rollout goes to that version already",
                Repeat::AlreadyRegistered => "the worker is registered already",
                Repeat::AlreadyRollingBack => "the rollout is being taken back already",
                Repeat::DemandNoted => "the demand is noted already",
                Repeat::NotPaused => "the rollout is not paused",
                Repeat::ReportNoted => "the same was reported a moment ago",
            },
            Self::Refused(refused) => match refused {
                Refused::Fenced { by } => return write!(f, "a coordinator of epoch {by} is in office: ask that one"),
                Refused::LeaseExpired => "the worker's lease expired: register again",
                Refused::NothingBefore => "there is no version to go back to: plan a rollout to another one",
                Refused::NotRegistered => "the worker is not registered: register first",
                Refused::RolloutOver => "the rollout is over: plan a rollout to the version wanted",
                Refused::Stale => "a later run of the worker, or a later report of it, was heard",
                Refused::Unknown => "the worker is silent: wait for its report or for its lease to expire",
                Refused::VersionsFull => {
                    return write!(f, "the fleet has {VERSIONS_MAX} versions: let the workers of an old one leave");
                }
                Refused::WorkersFull => {
                    return write!(f, "the fleet has {WORKERS_MAX} workers: let some leave, or split the deployment");
                }
            },
            Self::Misuse(misuse) => match misuse {
                Misuse::AlreadyCurrent => "this version takes all calls already",
                Misuse::BadPlan(bad) => return bad.fmt(f),
                Misuse::EpochAhead => "the epoch is ahead of the coordinator's: take over with it first",
                Misuse::NoSuchWorker => "no worker has this name",
                Misuse::NotDraining => "the worker does not drain: only a draining or lost one can be forced",
                Misuse::NotDue => "no deadline has been reached",
                Misuse::NoRollout => "there is no rollout: plan one first",
                Misuse::ReportImpossible => "no worker can be as reported: check its counts and phase",
                Misuse::VersionChanged => "one run cannot change its version: register as a new incarnation",
            },
        };
        f.write_str(text)
    }
}

impl core::error::Error for Rejection {}

impl From<Repeat> for Rejection {
    fn from(repeat: Repeat) -> Self {
        Self::Repeat(repeat)
    }
}

impl From<Refused> for Rejection {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Misuse> for Rejection {
    fn from(misuse: Misuse) -> Self {
        Self::Misuse(misuse)
    }
}

impl From<BadPlan> for Rejection {
    fn from(bad: BadPlan) -> Self {
        Self::Misuse(Misuse::BadPlan(bad))
    }
}
