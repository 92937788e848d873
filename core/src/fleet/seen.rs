//! What a coordinator observes of a worker: never stored, and forgotten in a restart or a take-over.

use super::command::Facts;
use super::member::Member;
use crate::time::Instant;

/// What this coordinator has seen of a worker since it began to watch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// What it said last.
    pub heard: Option<Heard>,
    /// Whether that is still good.
    pub fresh: bool,
    /// Whether it was there when the watch began and has not been heard since. Then it may hold any number of calls.
    pub awaited: bool,
    /// When its order was last sent again.
    pub resent: Option<Instant>,
}

impl Seen {
    pub(super) const fn hear(&mut self, at: Instant, facts: Facts) {
        self.heard = Some(Heard { at, facts });
        self.fresh = true;
        self.awaited = false;
    }
}

/// A report that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// When it was said.
    pub at: Instant,
    /// What the worker said.
    pub facts: Facts,
}

/// How much of a worker is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum View {
    /// Its last report is fresh.
    Known,
    /// It has not reported for too long, or not yet.
    Unknown,
    /// Its lease expired: this is a decision, and no observation.
    Lost,
}

impl Member {
    /// How much of it is known.
    #[must_use]
    pub const fn view(&self) -> View {
        match (self.is_lost(), self.seen.fresh) {
            (true, _) => View::Lost,
            (false, true) => View::Known,
            (false, false) => View::Unknown,
        }
    }

    /// What it said last; `None` before its first report to this coordinator.
    #[must_use]
    pub fn facts(&self) -> Option<&Facts> {
        self.seen.heard.as_ref().map(|heard| &heard.facts)
    }

    /// What it said last, if that is still good.
    #[must_use]
    pub fn fresh(&self) -> Option<&Facts> {
        self.facts().filter(|_| self.view() == View::Known)
    }

    /// Whether the coordinator has yet to hear from it, and cannot know how many calls it has until then.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        self.seen.awaited && !self.is_lost() && !self.is_told_to_stop()
    }
}
