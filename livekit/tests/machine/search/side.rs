//! One worker: a session and its gate, and what must be true of what they say.

use std::collections::{BTreeMap, BTreeSet};

use openrtc_core::time::Instant;
use openrtc_livekit::ServerUrl;
use openrtc_livekit::proto::{JobAssignment, JobStatus, ToServer, ToWorker, WorkerMessage, WorkerStatus};
use openrtc_livekit::session::{Answer, End, LinkId, Notice, OfferNo, Output, Patience, Registration, Session};
use openrtc_runtime::{Availability, CallId};
use prost::Message as _;

use crate::gate::Gate;

/// What was said on one socket.
#[derive(Debug, Default)]
pub(crate) struct Said {
    registered: bool,
    /// Whether the worker has heard that its registration is confirmed.
    pub(crate) confirmed: bool,
    pub(crate) full: bool,
    seq: u64,
    offers: BTreeMap<String, u32>,
    answers: BTreeMap<String, u32>,
    ends: BTreeSet<String>,
}

pub(crate) struct Side {
    pub(crate) session: Session,
    pub(crate) gate: Gate,
    pub(crate) said: BTreeMap<LinkId, Said>,
    /// Every job that the gate ever reserved.
    reserved: BTreeSet<CallId>,
    /// Every job that was promised to a server: a yes went out.
    promised: BTreeSet<CallId>,
    /// Every job that was promised, still reserved when a whole assignment of it came, and so must run.
    must_run: BTreeSet<CallId>,
    /// Every job whose assignment came.
    pub(crate) assigned: BTreeSet<String>,
    pub(crate) started: BTreeSet<CallId>,
    pub(crate) undelivered: BTreeSet<String>,
    pub(crate) ends: BTreeMap<String, i32>,
    pub(crate) has_left: bool,
}

impl Side {
    pub(crate) fn new(now: Instant, capacity: u32, seed: u64) -> Self {
        let gate = Gate::new(now, capacity);
        let registration = Registration { agent_name: "agent".to_owned(), ..Registration::default() };
        let session = Session::new(now, registration, Patience::default(), gate.standing(), seed).expect("valid");
        Self {
            session,
            gate,
            said: BTreeMap::new(),
            reserved: BTreeSet::new(),
            promised: BTreeSet::new(),
            must_run: BTreeSet::new(),
            assigned: BTreeSet::new(),
            started: BTreeSet::new(),
            undelivered: BTreeSet::new(),
            ends: BTreeMap::new(),
            has_left: false,
        }
    }

    fn reserve(&mut self, now: Instant, job: &CallId) -> bool {
        let closed = self.gate.standing().availability != Availability::Open;
        let yes = self.gate.reserve(now, job);
        assert!(!(yes && closed), "a closed gate admitted {job}");
        if yes {
            self.reserved.insert(job.clone());
            // A promise that has lapsed is not one of this reservation.
            self.promised.remove(job);
        }
        yes
    }

    /// The worker begins a job.
    fn begin(&mut self, job: &CallId) {
        assert!(self.reserved.contains(job), "{job} runs and was never reserved");
        assert!(self.started.insert(job.clone()), "{job} runs twice");
    }

    /// Whoever decides on an offer has. A reservation that is refused is let go.
    pub(crate) fn decide(&mut self, now: Instant, job: &CallId, number: OfferNo, answer: Answer) {
        let no = !matches!(answer, Answer::Yes(_));
        if self.session.answer(now, job, number, answer) && no {
            self.gate.withdraw(now, job);
        }
    }

    pub(crate) fn end(&mut self, now: Instant, job: &CallId, end: End) {
        self.gate.end(now, job);
        self.session.ended(now, job, end);
    }

    /// Does what is the same in every world. Returns what is left: offers that the gate took, jobs that begin, sockets.
    pub(crate) fn perform(&mut self, now: Instant, output: Output) -> Option<Output> {
        let is_left = match &output {
            Output::Offered(job, number, _) => {
                let yes = self.reserve(now, job);
                if !yes {
                    // It does not count if the socket died in this very instant.
                    self.session.answer(now, job, *number, Answer::No);
                }
                yes
            }
            Output::Assigned(job, _) => {
                let yes = self.gate.assign(now, job);
                if yes {
                    self.begin(job);
                } else {
                    self.session.ended(now, job, End::Lapsed);
                }
                yes
            }
            Output::Withdrawn(job) => {
                self.gate.withdraw(now, job);
                false
            }
            Output::Notice(Notice::Undelivered(job)) => {
                self.undelivered.insert(job.to_string());
                false
            }
            Output::Left => {
                self.has_left = true;
                false
            }
            _ => true,
        };
        is_left.then_some(output)
    }

    /// The worker hears something on a socket that it knows.
    pub(crate) fn hears(&mut self, link: LinkId, message: Option<ToWorker>) {
        let said = self.said.entry(link).or_default();
        match message {
            Some(ToWorker::Register(_)) => said.confirmed |= said.registered,
            Some(ToWorker::Availability(request)) if said.confirmed => {
                let id = request.job.map(|job| job.id).unwrap_or_default();
                *said.offers.entry(id).or_default() += 1;
            }
            Some(ToWorker::Assignment(assignment)) if said.confirmed => {
                let whole = is_whole(&assignment);
                let id = assignment.job.map(|job| job.id).unwrap_or_default();
                if let Ok(job) = CallId::new(&id) {
                    self.assigned.insert(id);
                    if whole && self.promised.contains(&job) && self.gate.holds(&job) {
                        self.must_run.insert(job);
                    }
                }
            }
            _ => {}
        }
    }

    /// The worker says something: the laws of what it may say.
    pub(crate) fn says(&mut self, link: LinkId, frame: &[u8]) {
        let closed = self.gate.standing().availability == Availability::Closed || self.gate.has_left();
        let said = self.said.entry(link).or_default();
        let message = WorkerMessage::decode(frame).expect("a message").message.expect("of a known kind");
        let register = matches!(message, ToServer::Register(_));
        assert_eq!(register, !said.registered, "a socket begins with its registration, and has one: {message:?}");
        said.registered = true;
        let full = matches!(&message, ToServer::UpdateWorker(told) if told.status() == WorkerStatus::Full);
        assert!(said.confirmed || register || full, "only FULL goes out before the confirmation: {message:?}");
        assert!(
            !closed || said.full || register || full,
            "a closed worker says FULL before anything else: {message:?}"
        );
        match message {
            ToServer::UpdateWorker(told) => {
                assert!(told.seq > said.seq, "statuses are numbered");
                assert!(told.status() == WorkerStatus::Full || (0.0..0.7).contains(&told.load), "load {}", told.load);
                (said.seq, said.full) = (told.seq, full);
            }
            ToServer::Availability(answer) => {
                let offers = said.offers.get(&answer.job_id).copied().unwrap_or_default();
                let answers = said.answers.entry(answer.job_id.clone()).or_default();
                *answers += 1;
                assert!(*answers <= offers, "{} is answered {answers} times and was offered {offers}", answer.job_id);
                if answer.available {
                    let job = CallId::new(&answer.job_id).expect("a job that can be promised has an id");
                    assert!(self.reserved.contains(&job), "a yes to {job} without a reservation");
                    self.promised.insert(job);
                }
            }
            ToServer::UpdateJob(status) if status.status() != JobStatus::Running => {
                let job = status.job_id.clone();
                assert!(self.assigned.contains(&job), "{job} has an end and was not assigned");
                assert!(said.ends.insert(job.clone()), "{job} has two ends on one socket");
                let first = *self.ends.entry(job.clone()).or_insert(status.status);
                assert_eq!(first, status.status, "{job} has two different ends");
            }
            _ => {}
        }
    }

    /// What must be true when the worker has left, or at the end.
    pub(crate) fn close_books(&self, ended: impl Fn(&str) -> bool) {
        let counts = self.session.counts();
        assert_eq!(counts.offers, counts.accepted + counts.refused + counts.unanswered, "every offer has one fate");
        for job in &self.assigned {
            assert!(self.ends.contains_key(job) || self.undelivered.contains(job), "{job} was assigned and has no end");
            assert!(
                ended(job) || self.undelivered.contains(job),
                "the end of {job} did not arrive, and nobody says so"
            );
        }
        for job in &self.must_run {
            assert!(self.started.contains(job), "{job} was promised and assigned, and does not run");
        }
        for job in &self.started {
            assert!(self.assigned.contains(job.as_str()), "{job} runs and was not assigned");
        }
    }
}

/// Whether an assignment has all that a job needs.
fn is_whole(assignment: &JobAssignment) -> bool {
    let room = assignment.job.as_ref().and_then(|job| job.room.as_ref());
    room.is_some_and(|room| !room.name.is_empty())
        && !assignment.token.is_empty()
        && assignment.url.as_ref().is_none_or(|url| url.is_empty() || ServerUrl::parse(url).is_ok())
}
