//! What must hold, by name: safety at every step, liveness once the faults are over.

use core::fmt;
use core::str::FromStr;

macro_rules! invariants {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal,)*) => {
        /// What must hold. Numbers and names are those of the design's list.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Invariant {
            $($(#[doc = $doc])* $name,)*
        }

        impl Invariant {
            /// Every invariant.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Number and name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What it says.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc,)*),)* }
            }
        }
    };
}

invariants! {
    /// No call is dropped but by a recorded force or by the platform.
    ZeroDrop = "S1 ZeroDrop",
    /// A call runs on one worker from its reservation to its end.
    NoMove = "S2 NoMove",
    /// A worker that drains takes no call.
    ShiftClosed = "S3 ShiftClosed",
    /// A call that was answered with yes is taken; every call offered has one fate.
    OfferConservation = "S4 OfferConservation",
    /// No worker holds more calls than it may, and weight moves only where there is room.
    Capacity = "S5 Capacity",
    /// Drained means that no call is left.
    DrainedSound = "S6 DrainedSound",
    /// Only drained workers, and those given up, are stopped.
    KillSafety = "S7 KillSafety",
    /// Only the coordinator in office is obeyed.
    SingleWriter = "S8 SingleWriter",
    /// A worker that may not join gets no calls.
    KeepOut = "S9 KeepOut",
    /// At most one version is current and at most one ramps.
    OneCurrent = "S10 OneCurrent",
    /// Journal, reports and exit code say what happened.
    AuditFaithful = "S11 AuditFaithful",
    /// No more workers drain or start at a time than allowed.
    Bounds = "S13 Bounds",
    /// Nothing follows from a drain that the worker has not confirmed.
    AckedDrain = "S14 AckedDrain",
    /// A drain comes to its end once the calls have.
    DrainEnds = "L1 DrainEnds",
    /// A drained worker leaves.
    DrainedLeaves = "L2 DrainedLeaves",
    /// A rollout comes to an end, or stops with an alert, also after its coordinator crashed (L6).
    RolloutEnds = "L3 RolloutEnds",
    /// An overdue drain is noticed.
    OverdueAlerts = "L4 OverdueAlerts",
    /// A cancelled drain leads back to serving.
    CancelServes = "L5 CancelServes",
    /// A stalled call is flagged.
    StallFlagged = "L7 StallFlagged",
    /// Calls follow a rollout to its end, and a rollback to where it began.
    CallsFollow = "L8 CallsFollow",
    /// The processes of a version that is out of use leave.
    OldVersionLeaves = "L9 OldVersionLeaves",
    /// The runtime's shell journals what the machine decides.
    LevelsAgree = "R1 LevelsAgree",
    /// Messages between workers and coordinators do not breed.
    MailBounded = "R2 MailBounded",
}

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
            .find(|invariant| {
                let full = invariant.as_str();
                full == text || full.split(' ').any(|part| part == text)
            })
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
        }
    }
}

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// When, in microseconds.
    pub at: u64,
    /// After how many steps.
    pub step: u64,
    /// On account of which worker.
    pub worker: Option<u32>,
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
