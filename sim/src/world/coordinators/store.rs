//! A coordinator's process, and what it stored.

use openrtc_core::fleet::{Entry, Fleet, Timeouts};
use openrtc_core::machine::{Machine, fold};
use openrtc_core::time::Instant;

/// One coordinator.
#[derive(Debug)]
pub(super) struct Coordinator {
    pub(super) fleet: Fleet,
    /// When something is due of the fleet next. Asked often, and it costs much to find.
    pub(super) due: Option<Instant>,
    /// Every decision so far: all that is left of it after a crash.
    store: Vec<Entry>,
    pub(super) is_up: bool,
    /// When it is woken next.
    pub(super) wake_at: Option<Instant>,
}

impl Coordinator {
    pub(super) fn new() -> Self {
        Self::start(Vec::new())
    }

    /// A process that starts from what is stored.
    fn start(store: Vec<Entry>) -> Self {
        let mut fleet = Fleet::new(Timeouts::default()).expect("the defaults work");
        fold(&mut fleet, &store);
        Self { due: due(&fleet), fleet, store, is_up: true, wake_at: None }
    }

    pub(super) fn apply(&mut self, entry: &Entry) {
        self.fleet.apply(entry);
        self.due = due(&self.fleet);
    }

    /// Another process, which starts from the same store.
    pub(super) fn standby(&self) -> Self {
        Self::start(self.store.clone())
    }

    /// The process crashed and starts again. False if it does not come to what it had decided.
    pub(super) fn restart(&mut self) -> bool {
        let again = Self::start(core::mem::take(&mut self.store));
        self.fleet.forget();
        let is_whole = again.fleet == self.fleet;
        *self = again;
        is_whole
    }

    pub(super) fn keep(&mut self, decision: &Entry) {
        self.store.push(*decision);
    }
}

fn due(fleet: &Fleet) -> Option<Instant> {
    fleet.deadline().map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use openrtc_core::fleet::Command;

    use super::*;

    #[test]
    fn what_is_due_follows_every_entry() {
        let mut coordinator = Coordinator::new();
        assert_eq!(coordinator.due, Some(Instant::EPOCH), "it has yet to begin to listen");
        let entry = coordinator.fleet.decide(Instant::EPOCH, Command::Wake).expect("it is due");
        coordinator.apply(&entry);
        assert_eq!(coordinator.due, None, "an empty fleet waits for nothing");
    }
}
