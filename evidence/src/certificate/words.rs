//! The certificate as a person reads it.

use std::fmt::{self, Write as _};

use super::{Certificate, Verdict};
use crate::dispatch::{Dispatch, DispatchSums};
use crate::select::Role;

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.verdict.sentence())?;
        writeln!(f, "  {}", self.totals())?;
        if !self.dispatches.is_empty() {
            writeln!(f, "  {}", DispatchSums::of(&self.dispatches))?;
        }
        for (worker, verdict) in self.workers.iter().zip(self.verdicts()) {
            if verdict >= Verdict::Open && worker.role == Role::Retired {
                writeln!(f, "  {}: {} {} {}", verdict.word(), worker.name, worker.version, worker.standing)?;
            }
        }
        for call in self.drops() {
            let (worker, version) = self.worker(call).map_or(("?", "?"), |run| (&run.name, &run.version));
            writeln!(f, "  dropped: {} on {worker} {version}: {}", call.id, call.end)?;
        }
        for loss in self.dispatches.iter().filter_map(Dispatch::loss) {
            writeln!(f, "  lost: {loss}")?;
        }
        self.unknown.iter().try_for_each(|untold| writeln!(f, "  unknown: {}", untold.gap))
    }
}

impl Certificate {
    /// What the calls add up to, in a line.
    #[must_use]
    pub fn totals(&self) -> String {
        let sums = &self.sums;
        let mut text = format!("{} calls promised, {} ended, {} dropped", sums.promised, sums.ended, sums.dropped);
        for (count, what) in [
            (sums.open, "still up on workers that are to leave"),
            (sums.in_progress, "in progress on workers that take over"),
            (sums.untold, "whose end is not told"),
        ] {
            if count > 0 {
                // Writing to a string cannot fail.
                let _ = write!(text, ", {count} {what}");
            }
        }
        let least = if sums.declined_exact { "" } else { "at least " };
        text + &format!("; {least}{} offers declined", sums.declined)
    }
}

impl Verdict {
    /// The verdict as a person reads it.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Proven => "PROVEN: every call is told to its end, none was dropped",
            Self::Dropped => "DROPPED: every call is told to its end; those that were dropped are named",
            Self::Open => "OPEN: not all that is to be retired has left yet",
            Self::Unknown => "UNKNOWN: the evidence does not tell every call's end",
        }
    }

    /// The verdict in a word, as the file has it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Dropped => "dropped",
            Self::Open => "open",
            Self::Unknown => "unknown",
        }
    }
}
