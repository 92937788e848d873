//! What must hold, in one table: safety at every step, liveness once the faults are over.

use core::fmt;
use core::str::FromStr;

use openrtc_core::time::Instant;

use crate::id::WorkerIndex;

macro_rules! invariants {
    ($($number:ident $name:ident: $statement:literal,)*) => {
        /// What must hold. `docs/design.md` lists the same numbers, names and statements.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Invariant {
            $(#[doc = $statement] $name,)*
        }

        impl Invariant {
            /// Every invariant.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its number: S for safety, L for liveness, R for the simulator's own rules.
            #[must_use]
            pub const fn number(self) -> &'static str {
                match self { $(Self::$name => stringify!($number),)* }
            }

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// Number and name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => concat!(stringify!($number), " ", stringify!($name)),)* }
            }

            /// What it says, in a sentence.
            #[must_use]
            pub const fn statement(self) -> &'static str {
                match self { $(Self::$name => $statement,)* }
            }
        }
    };
}

invariants! {
    S1 ZeroDrop: "No call is dropped but by a recorded force or by the platform.",
    S2 NoMove: "A call runs on one worker from its reservation to its end.",
    S3 ShiftClosed: "A worker that drains takes no call.",
    S4 OfferConservation: "A call that was answered with yes is taken; every call offered has one fate.",
    S5 Capacity: "No worker holds more calls than it may, and weight moves only where there is room.",
    S6 DrainedSound: "Drained means that no call is left.",
    S7 KillSafety: "Only drained workers, and those given up, are stopped.",
    S8 SingleWriter: "Only the coordinator in office is obeyed.",
    S9 KeepOut: "A worker that may not join gets no calls.",
    S10 OneCurrent: "At most one version is current and at most one ramps.",
    S11 AuditFaithful: "Journal, reports and exit code say what happened.",
    S13 Bounds: "No more workers drain or start at a time than allowed.",
    S14 AckedDrain: "Nothing follows from a drain that the worker has not confirmed.",
    S15 CordonHolds: "A worker that a person cordoned takes no calls until a person takes that back.",
    S16 GatesHold: "No rollout goes on before each of its gates has passed for the step that it is at.",
    L1 DrainEnds: "A drain comes to its end once the calls have.",
    L2 DrainedLeaves: "A drained worker leaves.",
    L3 RolloutEnds: "A rollout comes to an end or stops with an alert, also after its coordinator crashed.",
    L4 OverdueAlerts: "An overdue drain is noticed.",
    L5 CancelServes: "A cancelled drain leads back to serving.",
    L7 StallFlagged: "A stalled call is flagged.",
    L8 CallsFollow: "Calls follow a rollout to its end, and a rollback to where it began.",
    L9 OldVersionLeaves: "The processes of a version that is out of use leave.",
    R1 LevelsAgree: "The runtime's shell journals what the machine decides.",
    R2 MailBounded: "Messages between workers and coordinators do not breed.",
}

/// The numbers that are retired, each with its reason. A number is never given to another invariant.
pub const RETIRED: &[(&str, &str)] = &[
    ("S12", "It spoke of the time limits in a configuration. The runtime refuses those before a worker starts."),
    ("L6", "It spoke of a rollout whose coordinator crashed. L3 judges every rollout by that."),
];

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Invariant {
    type Err = String;

    /// By its number, its name, or both.
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .iter()
            .copied()
            .find(|invariant| [invariant.number(), invariant.name(), invariant.as_str()].contains(&text))
            .ok_or_else(|| format!("there is no invariant `{text}`: use a number such as S1 or L3"))
    }
}

impl From<openrtc_core::fleet::invariant::Invariant> for Invariant {
    fn from(invariant: openrtc_core::fleet::invariant::Invariant) -> Self {
        use openrtc_core::fleet::invariant::Invariant as Fleet;
        match invariant {
            Fleet::ShiftClosed => Self::ShiftClosed,
            Fleet::Capacity => Self::Capacity,
            Fleet::DrainedSound => Self::DrainedSound,
            Fleet::KillSafety => Self::KillSafety,
            Fleet::SingleWriter => Self::SingleWriter,
            Fleet::KeepOut => Self::KeepOut,
            Fleet::OneCurrent => Self::OneCurrent,
            Fleet::Bounds => Self::Bounds,
            Fleet::AckedDrain => Self::AckedDrain,
            Fleet::CordonHolds => Self::CordonHolds,
            Fleet::GatesHold => Self::GatesHold,
        }
    }
}

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The invariant that is broken.
    pub invariant: Invariant,
    /// When it happened.
    pub at: Instant,
    /// After how many steps.
    pub step: u64,
    /// On account of which worker.
    pub worker: Option<WorkerIndex>,
    /// What happened, in words.
    pub what: String,
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every invariant held at every step and everything came to its end.
    Proven,
    /// An invariant does not hold.
    Violated(Violation),
    /// Nothing broke, but this cannot be known, or has not ended through nobody's fault.
    Unknown(String),
}

impl Verdict {
    /// The invariant that does not hold.
    #[must_use]
    pub const fn broken(&self) -> Option<Invariant> {
        match self {
            Self::Violated(violation) => Some(violation.invariant),
            Self::Proven | Self::Unknown(_) => None,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proven => f.write_str("PROVEN"),
            Self::Violated(violation) => write!(f, "VIOLATED {}: {}", violation.invariant, violation.what),
            Self::Unknown(why) => write!(f, "UNKNOWN: {why}"),
        }
    }
}
