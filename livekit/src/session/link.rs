//! One socket: how far it is, and what waits to be sent on it.

use std::collections::VecDeque;

use openrtc_runtime::CallId;
use openrtc_runtime::time::Instant;

use super::Patience;
use super::jobs::no;
use super::standing::{Tell, Teller};
use crate::proto::{AvailabilityResponse, UpdateWorkerStatus};

/// Names a socket within its session. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub(super) u64);

/// How far a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The connection is being made.
    Connecting {
        until: Instant,
    },
    /// It is made; the registration is not confirmed.
    Registering {
        until: Instant,
    },
    Ready {
        since: Instant,
    },
    /// The server told the worker to leave it. It has until then, once there is another.
    Retiring {
        until: Option<Instant>,
    },
}

/// The last ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ping {
    /// Answered, or none yet.
    Idle { next_at: Instant },
    /// It waits to be sent.
    Due { since: Instant },
    /// It waits for its answer.
    Sent { stamp: i64, since: Instant },
}

/// A status of a job that waits to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Report {
    Running(CallId),
    Ended(CallId),
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: LinkId,
    pub(super) stage: Stage,
    /// Whether the registration was sent.
    pub(super) registered: bool,
    pub(super) teller: Teller,
    pub(super) answers: VecDeque<AvailabilityResponse>,
    /// Whether to name the jobs that run, for a server that can take them over.
    pub(super) migrate: bool,
    pub(super) reports: VecDeque<Report>,
    pub(super) ping: Ping,
    last_stamp: i64,
    /// Ended jobs whose status was sent after the last ping.
    unproven: Vec<CallId>,
    /// Ended jobs whose status was sent before it.
    proving: Vec<CallId>,
}

impl Link {
    pub(super) fn new(id: LinkId, now: Instant, patience: &Patience) -> Self {
        Self {
            id,
            stage: Stage::Connecting { until: now + patience.register },
            registered: false,
            teller: Teller::default(),
            answers: VecDeque::new(),
            migrate: false,
            reports: VecDeque::new(),
            ping: Ping::Idle { next_at: now + patience.ping_every },
            last_stamp: 0,
            unproven: Vec::new(),
            proving: Vec::new(),
        }
    }

    /// Whether the server has confirmed the registration.
    pub(super) const fn is_registered(&self) -> bool {
        matches!(self.stage, Stage::Ready { .. } | Stage::Retiring { .. })
    }

    pub(super) const fn is_retiring(&self) -> bool {
        matches!(self.stage, Stage::Retiring { .. })
    }

    /// Whether everything that was begun here has been sent, and what must be proven is proven.
    pub(super) fn is_settled(&self) -> bool {
        self.answers.is_empty() && self.reports.is_empty() && self.unproven.is_empty() && self.proving.is_empty()
    }

    /// A yes to this job that waits to be sent goes out as a no.
    pub(super) fn take_back(&mut self, job: &CallId) {
        for answer in self.answers.iter_mut().filter(|answer| answer.available && answer.job_id == job.as_str()) {
            *answer = no(job.as_str(), false);
        }
    }

    /// Notes that an ended job's status was sent. A ping behind it proves its arrival, because frames keep their order.
    pub(super) fn sent_end(&mut self, now: Instant, job: CallId) {
        self.unproven.push(job);
        self.prove(now);
    }

    /// The worker's status, as it goes out. If it lets the server give jobs, a ping behind it proves its arrival.
    pub(super) fn tell(&mut self, now: Instant, tell: Tell, patience: &Patience) -> UpdateWorkerStatus {
        let update = self.teller.tell(now, tell, patience);
        if self.teller.wants_ping() {
            self.prove(now);
        }
        update
    }

    /// Sends a ping behind what was sent, unless one is on its way: its answer has the next one sent.
    fn prove(&mut self, now: Instant) {
        if matches!(self.ping, Ping::Idle { .. }) {
            self.ping = Ping::Due { since: now };
        }
    }

    /// Sends the ping that is due, and returns its stamp.
    pub(super) fn send_ping(&mut self, now: Instant) -> Option<i64> {
        let Ping::Due { since } = self.ping else { return None };
        let millis = i64::try_from(now.as_micros() / 1_000).unwrap_or(i64::MAX);
        let stamp = millis.max(self.last_stamp.saturating_add(1));
        self.last_stamp = stamp;
        self.proving.append(&mut self.unproven);
        self.teller.pinged();
        self.ping = Ping::Sent { stamp, since };
        Some(stamp)
    }

    /// Takes the answer to a ping. Returns the ended jobs that it proves, or `None` if it answers no ping.
    pub(super) fn pong(&mut self, now: Instant, stamp: i64, patience: &Patience) -> Option<Vec<CallId>> {
        match self.ping {
            Ping::Sent { stamp: sent, .. } if sent == stamp => {}
            Ping::Sent { .. } | Ping::Due { .. } | Ping::Idle { .. } => return None,
        }
        self.teller.ponged();
        self.ping = Ping::Idle { next_at: now + patience.ping_every };
        if !self.unproven.is_empty() || self.teller.wants_ping() {
            self.prove(now);
        }
        Some(std::mem::take(&mut self.proving))
    }

    /// The ended jobs whose status was to be sent here, or was sent and not proven.
    pub(super) fn into_unproven(self) -> impl Iterator<Item = CallId> {
        let waiting = self.reports.into_iter().filter_map(|report| match report {
            Report::Ended(job) => Some(job),
            Report::Running(_) => None,
        });
        waiting.chain(self.unproven).chain(self.proving)
    }

    /// What ends by time on this socket, at the earliest.
    pub(super) fn deadline(&self, patience: &Patience) -> Instant {
        let stage = match self.stage {
            Stage::Connecting { until } | Stage::Registering { until } => return until,
            Stage::Ready { .. } => None,
            Stage::Retiring { until } => until,
        };
        let ping = match self.ping {
            Ping::Idle { next_at } => next_at,
            Ping::Due { since } | Ping::Sent { since, .. } => since + patience.ping_limit,
        };
        [stage, self.teller.deadline()].into_iter().flatten().fold(ping, Instant::min)
    }
}
