//! Why a command changed nothing, by who is at fault.

use core::fmt;

use super::command::BadSpec;
use super::{VERSIONS_MAX, WORKERS_MAX};
use crate::id::{Epoch, Version};
use crate::machine;

/// Why a command changed nothing.
pub type Rejection = machine::Rejection<Repeat, Refused, Misuse>;

/// Why an entry cannot follow the ones before it.
pub type Misfit = machine::Misfit<Rejection>;

/// A command that was true already; sending it again is harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// The worker is cordoned.
    AlreadyCordoned,
    /// The worker drains on these terms, and leaves then.
    AlreadyDismissed,
    /// The worker has no call left.
    AlreadyDrained,
    /// The worker is fenced.
    AlreadyFenced,
    /// The worker's calls are being ended, or it is written off.
    AlreadyForced,
    /// No such process is known.
    AlreadyGone,
    /// The gate has this result.
    AlreadyJudged,
    /// No steps are taken.
    AlreadyPaused,
    /// The rollout goes there.
    AlreadyPlanned,
    /// The worker is a member.
    AlreadyRegistered,
    /// So many workers are asked for.
    AlreadyScaled,
    /// The rollout is being taken back.
    AlreadyRollingBack,
    /// The demand is as stated.
    DemandNoted,
    /// The gates are these.
    GatesNoted,
    /// No gate is waited for.
    NoGateWaits,
    /// Nobody keeps calls from the worker.
    NotCordoned,
    /// Steps are taken.
    NotPaused,
    /// The same was reported a moment ago.
    ReportNoted,
}

/// A command answered with no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A rollout moves calls, or is about to.
    CallsMove,
    /// A later coordinator is in office.
    Fenced {
        /// Its term.
        by: Epoch,
    },
    /// A gate of this step failed.
    GateFailed,
    /// The worker's lease expired.
    LeaseExpired,
    /// The worker's version was never deployed. It may take calls by the order of a coordinator whose records are lost,
    /// so it is not told to go.
    NeverDeployed {
        /// That version.
        version: Version,
    },
    /// There is no version to go back to.
    NothingBefore,
    /// No version takes all calls.
    NothingServes,
    /// The worker is not a member.
    NotRegistered,
    /// The rollout is not at the step that was judged.
    OtherStep,
    /// The rollout is over.
    RolloutOver,
    /// The worker was fenced, given up, or told to leave.
    SentAway,
    /// A later run of the worker, or a later report of this one, was heard.
    Stale,
    /// Nothing is known of the worker now, but its lease has not expired.
    Unknown,
    /// The worker's version gets no more calls.
    VersionRetired,
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
    /// The rollout cannot be done as specified.
    BadSpec(BadSpec),
    /// A later term than the coordinator's own, which it has not taken over with.
    EpochAhead,
    /// No step needs this gate.
    GateNotAsked,
    /// No such worker.
    NoSuchWorker,
    /// The worker does not drain.
    NotDraining,
    /// No deadline has been reached.
    NotDue,
    /// There is no rollout.
    NoRollout,
    /// A person decides this gate.
    PersonDecides,
    /// No worker can be as reported.
    ReportImpossible,
    /// One run cannot change its version.
    VersionChanged,
}

impl fmt::Display for Repeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AlreadyCordoned => "the worker is cordoned already",
            Self::AlreadyDismissed => "the worker drains on these terms already",
            Self::AlreadyDrained => "the worker has no call left",
            Self::AlreadyFenced => "the worker is fenced already",
            Self::AlreadyForced => "the worker is forced or written off already",
            Self::AlreadyGone => "no such process is known: it is gone already",
            Self::AlreadyJudged => "the gate has this result already",
            Self::AlreadyPaused => "the rollout is paused already",
            Self::AlreadyPlanned => "the rollout goes to that version already",
            Self::AlreadyRegistered => "the worker is registered already",
            Self::AlreadyScaled => "so many workers are asked for already",
            Self::AlreadyRollingBack => "the rollout is being taken back already",
            Self::DemandNoted => "the demand is noted already",
            Self::GatesNoted => "the gates are set so already",
            Self::NoGateWaits => "no gate is waited for",
            Self::NotCordoned => "the worker is not cordoned",
            Self::NotPaused => "the rollout is not paused",
            Self::ReportNoted => "the same was reported a moment ago",
        })
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fenced { by } => return write!(f, "a coordinator of epoch {by} is in office: ask that one"),
            Self::GateFailed => "a gate of this step failed: resume the rollout first, or take it back",
            Self::LeaseExpired => "the worker's lease expired: register again",
            Self::CallsMove => "a rollout moves calls: wait until the old version drains, or take it back",
            Self::NeverDeployed { version } => {
                return write!(
                    f,
                    "version {version} was never deployed here: `openrtc deploy {version}` lets this worker in"
                );
            }
            Self::NothingServes => "no version takes all calls: roll one out first",
            Self::NothingBefore => "there is no version to go back to: roll out another one",
            Self::NotRegistered => "the worker is not registered: register first",
            Self::OtherStep => "the rollout is not at the step that was judged: judge the one that it is at",
            Self::RolloutOver => "the rollout is over: roll out the version wanted",
            Self::SentAway => "the worker was fenced, given up, or told to leave: start another in its place",
            Self::Stale => "a later run of the worker, or a later report of it, was heard",
            Self::Unknown => "the worker is silent: wait for its report or for its lease to expire",
            Self::VersionRetired => "the worker's version is retired: roll back to it, or roll it out again",
            Self::VersionsFull => {
                return write!(f, "the fleet has {VERSIONS_MAX} versions: let the workers of an old one leave");
            }
            Self::WorkersFull => {
                return write!(f, "the fleet has {WORKERS_MAX} workers: let some leave, or split the deployment");
            }
        })
    }
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AlreadyCurrent => "this version takes all calls already",
            Self::BadSpec(bad) => return bad.fmt(f),
            Self::EpochAhead => "the epoch is ahead of the coordinator's: take over with it first",
            Self::GateNotAsked => "no step needs this gate: set it first",
            Self::NoSuchWorker => "no worker has this name",
            Self::NotDraining => "the worker does not drain: only a draining or lost one can be forced",
            Self::NotDue => "no deadline has been reached",
            Self::NoRollout => "there is no rollout: begin one first",
            Self::PersonDecides => "a person decides this gate: promote the rollout",
            Self::ReportImpossible => "no worker can be as reported: check its counts and phase",
            Self::VersionChanged => "one run cannot change its version: register as a new incarnation",
        })
    }
}

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

impl From<BadSpec> for Rejection {
    fn from(bad: BadSpec) -> Self {
        Self::Misuse(Misuse::BadSpec(bad))
    }
}
