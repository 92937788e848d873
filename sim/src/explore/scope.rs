//! How large an explored world is.

use core::fmt;

use openrtc_core::worker::OnDeadline;

use crate::bug::Bug;

/// The most workers and calls; beyond them no machine has the memory, and the hostile the time.
const WORKERS_MAX: u8 = 3;
const CALLS_MAX: u8 = 6;
const FAULTS_MAX: u8 = 3;

/// How large a world is, and how often what may strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Workers. The first is told to drain.
    pub workers: u8,
    /// Calls. They are alike, so they come in order.
    pub calls: u8,
    /// The most calls a worker holds.
    pub capacity: u8,
    /// How often the dispatcher offers one call.
    pub offers: u8,
    /// SIGTERMs to the first worker.
    pub signals: u8,
    /// Drains by a person that can be taken back, and taken back as often.
    pub drains: u8,
    /// What happens at the drain's deadline; there is one only if it forces.
    pub on_deadline: OnDeadline,
    /// Workers that are killed, or die between a journal entry and its effects.
    pub crashes: u8,
    /// Messages that arrive twice.
    pub duplicates: u8,
    /// Messages that overtake those before them.
    pub reorders: u8,
    /// Handlers that fail.
    pub failures: u8,
}

impl Default for Scope {
    /// Two workers, two calls, a drain by SIGTERM, one crash, one duplicated and one reordered message.
    fn default() -> Self {
        Self {
            workers: 2,
            calls: 2,
            capacity: 2,
            offers: 1,
            signals: 1,
            drains: 0,
            on_deadline: OnDeadline::Wait,
            crashes: 1,
            duplicates: 1,
            reorders: 1,
            failures: 0,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workers, calls, capacity, offers, .. } = self;
        write!(f, "workers {workers}, calls {calls}, calls at a time {capacity}, offers of a call {offers}")?;
        for (most, what) in [
            (self.signals, "SIGTERMs"),
            (self.drains, "drains by a person"),
            (self.crashes, "crashes"),
            (self.duplicates, "duplicated messages"),
            (self.reorders, "reordered messages"),
            (self.failures, "failing handlers"),
        ] {
            if most > 0 {
                write!(f, ", {what} {most}")?;
            }
        }
        if self.on_deadline == OnDeadline::Force { f.write_str(", forced at the deadline") } else { Ok(()) }
    }
}

/// Why a scope cannot be explored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadScope {
    what: &'static str,
    given: u8,
    least: u8,
    most: u8,
}

impl fmt::Display for BadScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, given, least, most } = self;
        write!(f, "{given} {what} cannot be explored: give {least} to {most}")
    }
}

impl core::error::Error for BadScope {}

impl Scope {
    /// A scope in which a planted bug can show, or why there is none.
    pub fn showing(bug: Bug) -> Result<Self, &'static str> {
        let scope = Self { signals: 2, drains: 1, failures: 1, ..Self::default() };
        match bug {
            Bug::AssignsElsewhere => Err("sits in the dispatcher"),
            Bug::MailBreeds => Err("sits in the network to the coordinators"),
            Bug::AnyIncarnation => Err("needs a worker that is started again and a coordinator"),
            Bug::BatchCut | Bug::BellUnheard | Bug::GateMishears | Bug::GateReservesTwice => {
                Err("sits in the runtime's shell: level 1")
            }
            Bug::DrainingIsDrained | Bug::ReportsServing => Err("sits in reports to a coordinator"),
            Bug::EpochIgnored => Err("needs two coordinators"),
            Bug::ForcedIsClean | Bug::ForcedIsHangup | Bug::NoTimers => {
                Ok(Self { on_deadline: OnDeadline::Force, ..scope })
            }
            Bug::NoRegistration => Err("needs a coordinator to register with"),
            Bug::OverCapacity => Ok(Self { capacity: 1, ..scope }),
            Bug::AsksForTooMany
            | Bug::CordonOverruled
            | Bug::CordonUnsent
            | Bug::GateFailsOpen
            | Bug::ResultMisfiled
            | Bug::CoordinatorStaysDown
            | Bug::HalfTheShare
            | Bug::OldNeverStopped
            | Bug::DrainedLost
            | Bug::RollbackUnrouted
            | Bug::ScaleInMiscounted
            | Bug::TimerForDrained
            | Bug::UnknownIsDrained
            | Bug::UnsentIsObeyed
            | Bug::WaveMiscounted => Err("sits in the coordinator's shell"),
            _ => Ok(scope),
        }
    }

    /// Refuses what is empty or too large.
    pub fn check(&self) -> Result<(), BadScope> {
        for (what, given, least, most) in [
            ("workers", self.workers, 1, WORKERS_MAX),
            ("calls", self.calls, 1, CALLS_MAX),
            ("calls at a time", self.capacity, 1, CALLS_MAX),
            ("offers of a call", self.offers, 1, FAULTS_MAX),
            ("signals", self.signals, 0, FAULTS_MAX),
            ("drains", self.drains, 0, FAULTS_MAX),
            ("crashes", self.crashes, 0, FAULTS_MAX),
            ("duplicates", self.duplicates, 0, FAULTS_MAX),
            ("reorders", self.reorders, 0, FAULTS_MAX),
            ("failures", self.failures, 0, FAULTS_MAX),
        ] {
            if !(least..=most).contains(&given) {
                return Err(BadScope { what, given, least, most });
            }
        }
        Ok(())
    }
}
