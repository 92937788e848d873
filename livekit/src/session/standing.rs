//! What the worker tells the server of itself: whether it takes jobs, and how busy it is.

use openrtc_runtime::Availability;
use openrtc_runtime::time::Instant;

use super::Patience;
use crate::proto::{UpdateWorkerStatus, WorkerStatus};

/// The worker as its gate sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether it takes calls.
    pub availability: Availability,
    /// Calls in flight, reserved ones included.
    pub in_flight: u32,
    /// The most calls in flight.
    pub capacity: u32,
}

/// The highest load that is told while a slot is free. LiveKit gives nothing to workers at 0.7 and above, and loses the
/// dispatch if all are.
const LOAD_OPEN_MAX: f32 = 0.69;

/// What one status says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tell {
    status: WorkerStatus,
    load: f32,
    job_count: u32,
    draining: bool,
}

impl Tell {
    /// What the standing and a load that the embedder measured come to. A load that is no number says that the worker
    /// cannot take more.
    pub(super) fn of(standing: Standing, measured: Option<f32>, has_served: bool) -> Self {
        let Standing { availability, in_flight, capacity } = standing;
        let open = availability == Availability::Open && !measured.is_some_and(f32::is_nan);
        #[expect(clippy::cast_precision_loss, reason = "a share of slots needs no more than f32 has")]
        let used = in_flight as f32 / capacity.max(1) as f32;
        let busy = used.max(measured.unwrap_or(0.0)).clamp(0.0, 1.0);
        Self {
            status: if open { WorkerStatus::Available } else { WorkerStatus::Full },
            load: if open { busy * LOAD_OPEN_MAX } else { 1.0 },
            job_count: in_flight,
            // One that waits to be admitted is closed as well, and drains nothing.
            draining: availability == Availability::Closed && has_served,
        }
    }

    /// Whether the server must not give jobs.
    pub(super) fn is_full(&self) -> bool {
        self.status == WorkerStatus::Full
    }
}

/// Whether the server is known to have heard that it may give jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Heard {
    /// It may not give jobs, or may not know yet that it may.
    #[default]
    No,
    /// A ping behind that status waits for its answer.
    Asked,
    Yes,
}

/// What was told on one socket, and when to tell again.
#[derive(Debug, Default)]
pub(super) struct Teller {
    seq: u64,
    told: Option<(Tell, Instant)>,
    heard: Heard,
    /// Whether to tell as soon as the socket takes it.
    due: bool,
    /// When it is due otherwise.
    at: Option<Instant>,
}

impl Teller {
    /// Notes what there is to tell now.
    pub(super) fn update(&mut self, now: Instant, tell: &Tell, patience: &Patience) {
        match &self.told {
            None => self.due = true,
            Some((told, at)) => {
                self.due |= told.status != tell.status || told.draining != tell.draining;
                let wait = if told == tell { patience.status_every } else { patience.load_every };
                self.due |= now.since(*at) >= wait;
                self.at = Some(*at + wait);
            }
        }
    }

    /// Whether nothing may be sent before it: the server would go on giving jobs.
    pub(super) fn is_urgent(&self, tell: &Tell) -> bool {
        self.due
            && tell.is_full()
            && self.told.is_none_or(|(told, _)| !told.is_full() || told.draining != tell.draining)
    }

    /// Whether a ping must follow: the server was told that it may give jobs, and may not have heard it.
    pub(super) fn wants_ping(&self) -> bool {
        self.heard == Heard::No && self.told.is_some_and(|(told, _)| !told.is_full())
    }

    /// A ping goes out.
    pub(super) fn pinged(&mut self) {
        if self.wants_ping() {
            self.heard = Heard::Asked;
        }
    }

    /// The ping was answered, so the server has heard what was told before it, because frames keep their order.
    pub(super) fn ponged(&mut self) {
        if self.heard == Heard::Asked {
            self.heard = Heard::Yes;
        }
    }

    /// Whether the server has heard that it may give jobs, and was told nothing else since.
    pub(super) fn is_heard(&self) -> bool {
        self.heard == Heard::Yes
    }

    pub(super) const fn is_due(&self) -> bool {
        self.due
    }

    /// When it becomes due by itself; `None` when it is.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.at.filter(|_| !self.due)
    }

    pub(super) fn tell(&mut self, now: Instant, tell: Tell, patience: &Patience) -> UpdateWorkerStatus {
        self.seq += 1;
        if tell.is_full() {
            self.heard = Heard::No;
        }
        self.told = Some((tell, now));
        self.due = false;
        self.at = Some(now + patience.status_every);
        UpdateWorkerStatus {
            status: Some(tell.status.into()),
            load: tell.load,
            job_count: tell.job_count,
            draining: tell.draining,
            seq: self.seq,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tell(availability: Availability, in_flight: u32, measured: Option<f32>) -> (bool, f32) {
        let tell = Tell::of(Standing { availability, in_flight, capacity: 10 }, measured, true);
        (tell.is_full(), tell.load)
    }

    #[test]
    fn with_a_free_slot_the_load_stays_below_what_livekit_gives_jobs_to() {
        for in_flight in 0..=10 {
            for measured in [None, Some(-1.0), Some(0.5), Some(7.0), Some(f32::INFINITY), Some(f32::NEG_INFINITY)] {
                let (full, load) = tell(Availability::Open, in_flight, measured);
                assert!(!full && (0.0..0.7).contains(&load), "{in_flight} {measured:?}: {load}");
            }
        }
        assert!(tell(Availability::Open, 5, None).1 > tell(Availability::Open, 4, None).1);
    }

    #[test]
    fn no_slot_no_number_and_a_drain_are_full() {
        assert_eq!(tell(Availability::Full, 10, None), (true, 1.0));
        assert_eq!(tell(Availability::Closed, 3, None), (true, 1.0));
        assert_eq!(tell(Availability::Open, 0, Some(f32::NAN)), (true, 1.0));
    }
}
