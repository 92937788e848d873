//! The worker's side of LiveKit's agent protocol as a state machine without input and output, in the shape of
//! quinn-proto: what happened comes in with the time, and what to do goes out. It reads no clock, and its jitter
//! comes from a seed, so equal inputs give equal outputs.
//!
//! Whoever drives it calls, after each input: [`Session::poll`] until it gives nothing, [`Session::transmit`] for every
//! open socket that can take a frame, and [`Session::wake`] at [`Session::deadline`].
//!
//! Laws:
//! - An offer gets one answer, or none if its socket dies first. The gate alone says yes; silence becomes a no in time.
//! - An assigned job gets one terminal status, always the same. It is sent again on the next socket until a ping
//!   behind it was answered, so jobs never depend on a socket.
//! - While the gate is closed the worker is full to the server, on each socket before anything else is said there.
//! - What the server sends cannot make the session hold more than a bounded amount, or end a job that it does not name.

mod connect;
mod deliver;
mod fate;
mod jobs;
mod link;
mod notice;
mod receive;
mod registration;
mod standing;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use openrtc_runtime::time::{Instant, Span};
use openrtc_runtime::{Availability, CallId};
use prost::Message as _;

use crate::proto::{AvailabilityRequest, JobAssignment, MigrateJobRequest, ToServer, WorkerMessage, WorkerPing};
use crate::random::Jitter;

use deliver::Owed;
use fate::Fates;
use jobs::{Offered, Promised, Running};
use link::{Link, Ping, Report, Stage};
use standing::Tell;

pub use jobs::{Answer, End, Joining, OfferNo};
pub use link::LinkId;
pub use notice::{Counts, Failure, Loss, Notice};
pub(crate) use registration::check_deployment;
pub use registration::{BadDeployment, Patience, Registration};
pub use standing::Standing;

/// The largest frame that is taken, in bytes. A job's metadata has at most 512 KiB, its attributes 64 KiB.
pub const FRAME_MAX: usize = 2 * 1024 * 1024;

/// What to do next.
#[derive(Debug)]
#[non_exhaustive]
pub enum Output {
    /// Make a connection, with a fresh token. Then call [`Session::opened`] or [`Session::failed`].
    Connect(LinkId),
    /// Close the socket: with this code if there is one, else at once. The session does not know it any more.
    Close(LinkId, Option<u16>),
    /// Have the gate answer: [`Session::answer`], with the same number.
    Offered(CallId, OfferNo, Box<AvailabilityRequest>),
    /// An offer, or a promise that waits for its assignment, is off: let go of the reservation.
    Withdrawn(CallId),
    /// The job is this worker's: run it.
    Assigned(CallId, Box<JobAssignment>),
    /// The server has ended the job: end it here.
    Terminated(CallId),
    /// It is proven that the server has the job's terminal status.
    Delivered(CallId),
    /// For the log.
    Notice(Notice),
    /// There is no point in going on: no registration for too long, and no job. Comes once.
    GaveUp(Loss),
    /// After [`Session::leave`]: nothing is left to do.
    Left,
}

/// Whether and until when the worker leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    No,
    Until(Instant),
    Left,
}

/// One worker's registration with one LiveKit server, across sockets. See the [module](self).
#[derive(Debug)]
pub struct Session {
    registration: Registration,
    patience: Patience,
    jitter: Jitter,
    standing: Standing,
    has_served: bool,
    /// The load that the embedder measured, and when.
    measured: Option<(f32, Instant)>,
    links: Vec<Link>,
    next_link: u64,
    /// When the next connection is to be made; `None` while one is made or registered.
    retry_at: Option<Instant>,
    /// Attempts since the last stable registration.
    attempts: u32,
    unregistered_since: Option<Instant>,
    last_loss: Option<Loss>,
    gave_up: bool,
    offers: BTreeMap<CallId, Offered>,
    offer_count: u64,
    /// When offers must be answered, in order; those that are gone are skipped.
    answer_by: VecDeque<(Instant, OfferNo, CallId)>,
    promises: BTreeMap<CallId, Promised>,
    running: BTreeMap<CallId, Running>,
    owed: BTreeMap<CallId, Owed>,
    /// Ended jobs whose status waits for a socket.
    stranded: BTreeSet<CallId>,
    fates: Fates,
    leaving: Leaving,
    counts: Counts,
    outputs: VecDeque<Output>,
}

impl Session {
    /// A session that connects at once. `seed` spreads the waits between attempts: give each worker another one.
    ///
    /// # Errors
    /// If the server would refuse the registration's routing key.
    pub fn new(
        now: Instant,
        registration: Registration,
        patience: Patience,
        standing: Standing,
        seed: u64,
    ) -> Result<Self, BadDeployment> {
        registration.check()?;
        let mut session = Self {
            registration,
            patience,
            jitter: Jitter::new(seed),
            standing,
            has_served: standing.availability != Availability::Closed,
            measured: None,
            links: Vec::new(),
            next_link: 0,
            retry_at: Some(now),
            attempts: 0,
            unregistered_since: Some(now),
            last_loss: None,
            gave_up: false,
            offers: BTreeMap::new(),
            offer_count: 0,
            answer_by: VecDeque::new(),
            promises: BTreeMap::new(),
            running: BTreeMap::new(),
            owed: BTreeMap::new(),
            stranded: BTreeSet::new(),
            fates: Fates::default(),
            leaving: Leaving::No,
            counts: Counts::default(),
            outputs: VecDeque::new(),
        };
        session.settle(now);
        Ok(session)
    }

    /// The gate's state has changed.
    pub fn stand(&mut self, now: Instant, standing: Standing) {
        if self.leaving == Leaving::No {
            self.standing = standing;
            self.has_served |= standing.availability != Availability::Closed;
        }
        self.settle(now);
    }

    /// The embedder has measured the worker's load: 0 is idle, 1 is all it can do. It counts for
    /// [`Patience::load_fresh`]. With a free slot it only makes the worker less preferred; one that is no number says
    /// that the worker can take no more.
    pub fn measure(&mut self, now: Instant, load: f32) {
        self.measured = Some((load, now));
        self.settle(now);
    }

    /// Time has passed.
    pub fn wake(&mut self, now: Instant) {
        self.settle(now);
    }

    /// When to call [`Session::wake`] at the latest.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let links = self.links.iter().map(|link| link.deadline(&self.patience));
        let leave = match self.leaving {
            Leaving::No => self.give_up_at(),
            Leaving::Until(until) => Some(until),
            Leaving::Left => return None,
        };
        let answer = self.answer_by.front().map(|(at, ..)| *at);
        links.chain(self.retry_at).chain(leave).chain(answer).min()
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The next frame for an open socket, if there is one. Ask only when the socket can take it: what waits here is the
    /// newest, and bounded.
    pub fn transmit(&mut self, now: Instant, id: LinkId) -> Option<Vec<u8>> {
        let message = self.next_message(now, id)?;
        let frame = WorkerMessage { message: Some(message) }.encode_to_vec();
        self.settle(now);
        Some(frame)
    }

    /// What happened so far.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Whether the server has confirmed a registration that still stands.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        self.links.iter().any(Link::is_registered)
    }

    /// Whether the server gives jobs: a registration stands, the last status on it was not that the worker is full, and
    /// the server has answered a ping behind the first such status.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.links.iter().any(|link| link.is_registered() && !link.is_retiring() && link.teller.is_heard())
    }

    /// Why the last socket is gone, until a registration is confirmed.
    #[must_use]
    pub const fn last_loss(&self) -> Option<&Loss> {
        self.last_loss.as_ref()
    }

    /// Terminal statuses whose arrival is not proven.
    #[must_use]
    pub fn unproven(&self) -> usize {
        self.owed.len()
    }

    fn next_message(&mut self, now: Instant, id: LinkId) -> Option<ToServer> {
        let tell = self.tell(now);
        let patience = self.patience;
        let link = self.links.iter_mut().find(|link| link.id == id)?;
        if matches!(link.stage, Stage::Connecting { .. }) {
            return None;
        }
        if !link.registered {
            link.registered = true;
            link.teller.update(now, &tell, &patience);
            return Some(ToServer::Register(self.registration.message()));
        }
        // Right behind the registration, before it is confirmed: from then on the server would give jobs.
        if link.teller.is_urgent(&tell) {
            return Some(ToServer::UpdateWorker(link.tell(now, tell, &patience)));
        }
        if !link.is_registered() {
            return None;
        }
        if let Some(answer) = link.answers.pop_front() {
            *(if answer.available { &mut self.counts.accepted } else { &mut self.counts.refused }) += 1;
            if answer.available
                && let Some(promise) = CallId::new(&answer.job_id).ok().and_then(|job| self.promises.get_mut(&job))
            {
                promise.told = true;
            }
            return Some(ToServer::Availability(answer));
        }
        if std::mem::take(&mut link.migrate) {
            let job_ids: Vec<_> = self.running.keys().map(ToString::to_string).collect();
            if !job_ids.is_empty() {
                return Some(ToServer::MigrateJob(MigrateJobRequest { job_ids }));
            }
        }
        if link.teller.is_due() {
            return Some(ToServer::UpdateWorker(link.tell(now, tell, &patience)));
        }
        while let Some(report) = link.reports.pop_front() {
            let status = match &report {
                Report::Running(job) => self.running.get(job).map(|_| deliver::running(job)),
                Report::Ended(job) => self.owed.get(job).map(|owed| owed.status.clone()),
            };
            if let (Report::Ended(job), true) = (report, status.is_some()) {
                link.sent_end(now, job);
            }
            if let Some(status) = status {
                return Some(ToServer::UpdateJob(status));
            }
        }
        link.send_ping(now).map(|timestamp| ToServer::Ping(WorkerPing { timestamp }))
    }

    fn tell(&self, now: Instant) -> Tell {
        let fresh = self.measured.filter(|(_, at)| now.since(*at) < self.patience.load_fresh);
        Tell::of(self.standing, fresh.map(|(load, _)| load), self.has_served)
    }

    /// Does what time or the latest input made due. Ends every input.
    fn settle(&mut self, now: Instant) {
        if self.leaving == Leaving::Left {
            return;
        }
        self.refuse_overdue(now);
        self.drop_overdue(now);
        let (tell, patience) = (self.tell(now), self.patience);
        for link in self.links.iter_mut().filter(|link| link.registered) {
            link.teller.update(now, &tell, &patience);
            if let Ping::Idle { next_at } = link.ping
                && next_at <= now
                && link.is_registered()
            {
                link.ping = Ping::Due { since: now };
            }
        }
        self.retire(now);
        self.connect_if_due(now);
        self.give_up_if_due(now);
        self.part(now);
    }

    fn emit(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    fn notice(&mut self, notice: Notice) {
        self.emit(Output::Notice(notice));
    }

    fn link(&mut self, id: LinkId) -> Option<&mut Link> {
        self.links.iter_mut().find(|link| link.id == id)
    }

    fn give_up_at(&self) -> Option<Instant> {
        let limit: Span = self.patience.unregistered.filter(|_| !self.gave_up && !self.has_jobs())?;
        self.unregistered_since.map(|since| since + limit)
    }

    fn has_jobs(&self) -> bool {
        !(self.offers.is_empty() && self.promises.is_empty() && self.running.is_empty())
    }
}
