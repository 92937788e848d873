//! Planted bugs: each breaks one rule of a worker's shell, its adapter, the platform or the coordinator's shell, most
//! of them as some system in the field really does. A checker that does not catch them is a defect.

use crate::subject::Level;

macro_rules! bugs {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal,)*) => {
        /// One rule broken. The machines themselves are never changed: a bug sits in what is around them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Bug {
            $($(#[doc = $doc])* $name,)*
        }

        impl Bug {
            /// Every planted bug.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The name on the command line and in plans.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What it does.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc,)*),)* }
            }
        }
    };
}

bugs! {
    /// A worker counts its calls from their assignment: what is reserved is not waited for.
    CountsFromActive = "counts-from-active",
    /// A worker that drains still says yes to offers.
    YesWhileDraining = "yes-while-draining",
    /// A worker that drains refuses calls it had said yes to.
    RefusesReserved = "refuses-reserved",
    /// A drain is not announced, so the dispatcher goes on offering.
    SilentDrain = "silent-drain",
    /// A worker that is drained never leaves.
    NeverExits = "never-exits",
    /// Reports say `serving` while a drain by signal runs.
    ReportsServing = "reports-serving",
    /// A forced end is reported as a clean one.
    ForcedIsClean = "forced-is-clean",
    /// A second SIGTERM ends the process at once.
    SecondSignalKills = "second-signal-kills",
    /// SIGTERM reaches the calls too, and ends them.
    SignalKillsCalls = "signal-kills-calls",
    /// SIGTERM is swallowed while a call runs.
    SignalSwallowed = "signal-swallowed",
    /// The end of one call during a drain ends the others.
    FirstEndKillsOthers = "first-end-kills-others",
    /// A hang-up during a drain is lost.
    HangupLost = "hangup-lost",
    /// Timers never fire: nothing lapses, nothing is overdue, nothing stalls.
    NoTimers = "no-timers",
    /// No drain time-out means none at all: calls are cut at once.
    ZeroMeansNow = "zero-means-now",
    /// An offer that arrives twice is reserved twice.
    DoubleReserve = "double-reserve",
    /// A call cut by force is recorded as hung up by its caller.
    ForcedIsHangup = "forced-is-hangup",
    /// Effects come before the journal.
    EffectsFirst = "effects-first",
    /// A worker leaves before its records are flushed.
    ExitsUnflushed = "exits-unflushed",
    /// A cancelled drain leaves the worker closed to the dispatcher.
    CancelStaysClosed = "cancel-stays-closed",
    /// A worker reports drained as soon as it drains.
    DrainingIsDrained = "draining-is-drained",
    /// The coordinator's shell reads silence as drained.
    UnknownIsDrained = "unknown-is-drained",
    /// The platform stops old workers on a timer, drained or not.
    TimerForDrained = "timer-for-drained",
    /// A worker obeys orders of a coordinator out of office.
    EpochIgnored = "epoch-ignored",
    /// A worker serves without asking to join.
    NoRegistration = "no-registration",
    /// A report says who sends it by worker only, so an old run speaks for a new one.
    AnyIncarnation = "any-incarnation",
    /// Handlers that fail end without a trace.
    FailureUnrecorded = "failure-unrecorded",
    /// More calls are answered with yes than the worker may hold.
    OverCapacity = "over-capacity",
    /// The routes of a rollback never reach the dispatcher.
    RollbackUnrouted = "rollback-unrouted",
    /// Nobody ends the workers of a version that is out of use.
    OldNeverStopped = "old-never-stopped",
    /// An assignment that is not confirmed in time is made to another worker as well.
    AssignsElsewhere = "assigns-elsewhere",
    /// Every letter between workers and coordinators is sent on twice when it arrives.
    MailBreeds = "mail-breeds",
    /// A coordinator that crashed does not come back.
    CoordinatorStaysDown = "coordinator-stays-down",
    /// The coordinator's shell stores half of the share that its machine decided on.
    HalfTheShare = "half-the-share",
    /// The coordinator's shell asks the platform for more workers than its machine decided on.
    AsksForTooMany = "asks-for-too-many",
    /// The coordinator's shell stores that a worker obeyed where its machine decided to tell it to drain.
    UnsentIsObeyed = "unsent-is-obeyed",
    /// The coordinator's shell stores a wave one worker larger than its machine decided on.
    WaveMiscounted = "wave-miscounted",
    /// The coordinator's shell stores that a cordoned worker is to take calls again.
    CordonOverruled = "cordon-overruled",
    /// The coordinator's shell never sends a cordoned worker its order.
    CordonUnsent = "cordon-unsent",
    /// The coordinator's shell takes a gate that failed for one that passed.
    GateFailsOpen = "gate-fails-open",
    /// The coordinator's shell stores a result of a gate with another step than was judged.
    ResultMisfiled = "result-misfiled",
    /// The coordinator's shell counts a worker that is not there when it sends one away.
    ScaleInMiscounted = "scale-in-miscounted",
    /// The coordinator's store loses that a worker drained.
    DrainedLost = "drained-lost",
    /// Level 1: the runtime's gate hears of every hang-up as of a handler that failed.
    GateMishears = "gate-mishears",
    /// Level 1: an offer is reserved twice at the runtime's gate.
    GateReservesTwice = "gate-reserves-twice",
    /// Level 1: the journal takes only the first entry of a batch.
    BatchCut = "batch-cut",
    /// Level 1: the control loop hears no bell and sleeps until its next time-out.
    BellUnheard = "bell-unheard",
}

impl Bug {
    /// The lowest level at which it can show.
    #[must_use]
    pub const fn level(self) -> Level {
        match self {
            Self::BatchCut | Self::BellUnheard | Self::GateMishears | Self::GateReservesTwice => Level::Shell,
            _ => Level::Machine,
        }
    }
}

impl core::str::FromStr for Bug {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .iter()
            .copied()
            .find(|bug| bug.as_str() == text)
            .ok_or_else(|| format!("there is no planted bug `{text}`: `sim bugs` lists them"))
    }
}

impl core::fmt::Display for Bug {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.as_str())
    }
}
