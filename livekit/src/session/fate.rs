//! What became of jobs that are gone, for as long as the server may still speak of them.

use std::collections::{BTreeMap, VecDeque};

use openrtc_runtime::CallId;
use openrtc_runtime::time::Instant;

use super::LinkId;

/// How many are remembered, the latest ones.
const FATES_MAX: usize = 4_096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Its offer was refused.
    Refused { on: LinkId, at: Instant },
    /// It was promised, and the reservation is gone.
    Lapsed,
    /// The server took it back before it was assigned.
    Cancelled,
    /// It ran and ended, or it could not be taken.
    Ended,
}

#[derive(Debug, Default)]
pub(super) struct Fates {
    known: BTreeMap<CallId, (Fate, u64)>,
    order: VecDeque<(CallId, u64)>,
    count: u64,
}

impl Fates {
    pub(super) fn get(&self, job: &CallId) -> Option<Fate> {
        self.known.get(job).map(|(fate, _)| *fate)
    }

    pub(super) fn note(&mut self, job: CallId, fate: Fate) {
        self.count += 1;
        self.order.push_back((job.clone(), self.count));
        self.known.insert(job, (fate, self.count));
        while self.order.len() > FATES_MAX {
            let Some((oldest, count)) = self.order.pop_front() else { break };
            if self.known.get(&oldest).is_some_and(|(_, latest)| *latest == count) {
                self.known.remove(&oldest);
            }
        }
    }
}
