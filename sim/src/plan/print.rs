//! A plan as text; what is printed reads back as the same plan.

use core::fmt;

use openrtc_core::fleet::OnGateFailure;
use openrtc_core::time::{Instant, Span};
use openrtc_core::worker::OnDeadline;

use super::{Call, Deed, Expect, GATES, Happening, Kind, Message, MessageFate, Plan, Tamper};
use crate::id::WorkerIndex;

/// A length of time in the largest unit that says it exactly.
pub(crate) struct Time(pub(crate) Span);

/// A moment, as the length of time from the begin of the run.
const fn moment(at: Instant) -> Time {
    Time(at.since(Instant::EPOCH))
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0.as_micros() {
            micros if micros % 1_000_000 == 0 => format!("{}s", micros / 1_000_000),
            micros if micros % 1_000 == 0 => format!("{}ms", micros / 1_000),
            micros => format!("{micros}us"),
        };
        f.pad(&text)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usual = Self::default();
        writeln!(f, "# {}", self.title)?;
        writeln!(f, "sim-plan 1")?;
        if !self.source.is_empty() {
            writeln!(f, "source {}", self.source)?;
        }
        writeln!(f, "seed {}", self.seed)?;
        writeln!(f, "workers blue {} green {} capacity {}", self.blue, self.green, self.capacity)?;
        writeln!(f, "latency {}..{}", Time(self.latency.0), Time(self.latency.1))?;
        match (self.on_deadline, self.drain_timeout) {
            (OnDeadline::Wait, None) => writeln!(f, "drain wait")?,
            (policy, timeout) => writeln!(f, "drain {} {}", policy.as_str(), Time(timeout.unwrap_or_default()))?,
        }
        writeln!(f, "wave {}", self.wave)?;
        if self.shift != usual.shift {
            writeln!(f, "shift {}", self.shift)?;
        }
        if self.gates != usual.gates {
            let (gates, on_failure) = self.gates;
            let then = if on_failure == OnGateFailure::Undo { "undo" } else { "pause" };
            let names = GATES.iter().filter(|(gate, _)| gates.has(*gate)).map(|(_, name)| *name);
            writeln!(f, "gates {then} {}", names.collect::<Vec<_>>().join(" "))?;
        }
        writeln!(f, "flush {}", Time(self.flush))?;
        if let Some(grace) = self.grace {
            writeln!(f, "grace {}", Time(grace))?;
        }
        if (self.patience, self.redials) != (usual.patience, usual.redials) {
            writeln!(f, "callers patience {} redial {}", Time(self.patience), self.redials)?;
        }
        if self.loads != usual.loads {
            writeln!(f, "loads {}", Time(self.loads))?;
        }
        if self.expect == Expect::Unknown {
            writeln!(f, "expect unknown")?;
        }
        for (bug, invariant) in &self.catches {
            writeln!(f, "catches {bug} {}", invariant.number())?;
        }
        for call in &self.calls {
            writeln!(f, "{call}")?;
        }
        for happening in &self.happenings {
            writeln!(f, "{}", Worded(self, happening))?;
        }
        for tamper in &self.tampers {
            writeln!(f, "{tamper}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call {} for {}", moment(self.at), Time(self.lasts))?;
        match self.kind {
            Kind::Plain => Ok(()),
            Kind::Watched => f.write_str(" watched"),
            Kind::Silent => f.write_str(" silent"),
            Kind::Phantom => f.write_str(" phantom"),
            Kind::Failing => f.write_str(" failing"),
        }
    }
}

/// A happening told with its plan's worker names.
pub(crate) struct Worded<'a>(pub(crate) &'a Plan, pub(crate) &'a Happening);

impl fmt::Display for Worded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(plan, Happening { at, deed }) = self;
        write!(f, "at {} {}", moment(*at), Done(plan, *deed))
    }
}

/// What happens, told with its plan's worker names.
pub(super) struct Done<'a>(pub(super) &'a Plan, pub(super) Deed);

impl fmt::Display for Done<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(plan, deed) = self;
        let name = |worker: &WorkerIndex| plan.worker_name(*worker);
        match deed {
            Deed::Rollout => f.write_str("rollout"),
            Deed::Rollback => f.write_str("rollback"),
            Deed::Promote => f.write_str("promote"),
            Deed::Scale(workers) => write!(f, "scale {workers}"),
            Deed::GateFails => f.write_str("gate-fails"),
            Deed::Pause => f.write_str("pause"),
            Deed::Resume => f.write_str("resume"),
            Deed::Cordon(w) => write!(f, "cordon {}", name(w)),
            Deed::Uncordon(w) => write!(f, "uncordon {}", name(w)),
            Deed::Dismiss(w) => write!(f, "dismiss {}", name(w)),
            Deed::Drain(w) => write!(f, "drain {}", name(w)),
            Deed::Cancel(w) => write!(f, "cancel {}", name(w)),
            Deed::Extend(w, by) => write!(f, "extend {} by {}", name(w), Time(*by)),
            Deed::Force(w) => write!(f, "force {}", name(w)),
            Deed::GiveUp(w) => write!(f, "give-up {}", name(w)),
            Deed::Sigterm(w) => write!(f, "sigterm {}", name(w)),
            Deed::Sigkill(w) => write!(f, "sigkill {}", name(w)),
            Deed::Restart(w) => write!(f, "restart {}", name(w)),
            Deed::CrashMidStep(w) => write!(f, "crash-mid-step {}", name(w)),
            Deed::TornDisk(w) => write!(f, "torn-disk {}", name(w)),
            Deed::Partition(w, span) => write!(f, "partition {} for {}", name(w), Time(*span)),
            Deed::ClockStep(w, by) => write!(f, "clock {} {by}", name(w)),
            Deed::SlowSink(w, span) => write!(f, "slow-sink {} for {}", name(w), Time(*span)),
            Deed::CoordinatorCrash(span) => write!(f, "coordinator-crash for {}", Time(*span)),
            Deed::SecondCoordinator => f.write_str("second-coordinator"),
        }
    }
}

impl Message {
    /// The name in plans.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Offer => "offer",
            Self::Answer => "answer",
            Self::Assign => "assign",
            Self::Started => "started",
            Self::End => "end",
        }
    }
}

impl fmt::Display for Tamper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message {} of {} ", self.message.as_str(), self.call)?;
        match self.fate {
            MessageFate::Delayed(by) => write!(f, "delayed {}", Time(by)),
            MessageFate::Duplicated => f.write_str("duplicated"),
            MessageFate::Lost => f.write_str("lost"),
        }
    }
}
