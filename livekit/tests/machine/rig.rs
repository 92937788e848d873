//! One session with a gate, and sockets whose other end a test plays.

use std::collections::BTreeMap;

use openrtc_core::time::{Instant, Span};
use openrtc_core::worker::Cause;
use openrtc_livekit::proto::{
    AvailabilityRequest, AvailabilityResponse, Job, JobAssignment, JobStatus, JobTermination, RegisterWorkerResponse,
    Room, ServerMessage, ToServer, ToWorker, UpdateJobStatus, UpdateWorkerStatus, WorkerMessage, WorkerPong,
    WorkerStatus,
};
use openrtc_livekit::session::{
    Answer, End, Failure, Joining, LinkId, Loss, Notice, OfferNo, Output, Patience, Registration, Session,
};
use openrtc_runtime::CallId;
use prost::Message as _;

use crate::gate::Gate;

/// The code with which a socket was closed; `None` if at once.
pub(crate) type Closed = Option<u16>;

/// A socket, as its other end sees it.
#[derive(Debug, Default)]
pub(crate) struct Socket {
    open: bool,
    pub(crate) sent: Vec<ToServer>,
    /// How it was closed by the worker.
    pub(crate) closed: Option<Closed>,
    /// Whether it takes nothing at the moment.
    pub(crate) blocked: bool,
}

pub(crate) struct Rig {
    pub(crate) now: Instant,
    pub(crate) session: Session,
    pub(crate) gate: Gate,
    pub(crate) sockets: BTreeMap<LinkId, Socket>,
    /// The links in the order in which they were asked for.
    pub(crate) links: Vec<LinkId>,
    /// Whether the server takes connections, confirms registrations and answers pings.
    pub(crate) serves: bool,
    pub(crate) answers_pings: bool,
    /// Whether whoever decides on offers does so at once, as the gate says.
    pub(crate) decides: bool,
    pub(crate) offered: Vec<(CallId, OfferNo)>,
    pub(crate) started: Vec<JobAssignment>,
    pub(crate) withdrawn: Vec<CallId>,
    pub(crate) terminated: Vec<CallId>,
    pub(crate) delivered: Vec<CallId>,
    pub(crate) notices: Vec<Notice>,
    pub(crate) gave_up: Option<Loss>,
    pub(crate) left: Option<Instant>,
}

impl Rig {
    /// A worker whose connection is not made yet.
    pub(crate) fn unconnected(capacity: u32) -> Self {
        Self::with(capacity, Registration { agent_name: "agent".to_owned(), ..Registration::default() })
    }

    /// A registered worker.
    pub(crate) fn new(capacity: u32) -> Self {
        let mut rig = Self::unconnected(capacity);
        rig.serves = true;
        rig.pump();
        rig.connect();
        assert!(rig.session.is_registered());
        rig
    }

    pub(crate) fn with(capacity: u32, registration: Registration) -> Self {
        let now = Instant::from_micros(1_700_000_000_000_000);
        let gate = Gate::new(now, capacity);
        let session = Session::new(now, registration, Patience::default(), gate.standing(), 7).expect("valid");
        Self {
            now,
            session,
            gate,
            sockets: BTreeMap::new(),
            links: vec![],
            serves: false,
            answers_pings: true,
            decides: true,
            offered: vec![],
            started: vec![],
            withdrawn: vec![],
            terminated: vec![],
            delivered: vec![],
            notices: vec![],
            gave_up: None,
            left: None,
        }
    }

    /// The newest socket.
    pub(crate) fn last(&self) -> LinkId {
        *self.links.last().expect("a connection was asked for")
    }

    pub(crate) fn socket(&self, id: LinkId) -> &Socket {
        &self.sockets[&id]
    }

    /// What was sent on the newest socket.
    pub(crate) fn sent(&self) -> &[ToServer] {
        &self.socket(self.last()).sent
    }

    /// Opens the newest socket and confirms its registration.
    pub(crate) fn connect(&mut self) {
        let id = self.last();
        self.open(id);
        self.say(id, registered("AW_1"));
    }

    pub(crate) fn open(&mut self, id: LinkId) {
        self.sockets.get_mut(&id).expect("it was asked for").open = true;
        self.session.opened(self.now, id);
        self.pump();
    }

    pub(crate) fn say(&mut self, id: LinkId, message: ToWorker) {
        self.bytes(id, &ServerMessage { message: Some(message) }.encode_to_vec());
    }

    pub(crate) fn bytes(&mut self, id: LinkId, frame: &[u8]) {
        self.session.received(self.now, id, frame);
        self.pump();
    }

    pub(crate) fn offer(&mut self, job: &str) {
        self.say(self.last(), offer(job));
    }

    pub(crate) fn assign(&mut self, job: &str) {
        self.say(self.last(), assignment(job));
    }

    pub(crate) fn terminate(&mut self, job: &str) {
        self.say(self.last(), ToWorker::Termination(JobTermination { job_id: job.to_owned() }));
    }

    /// Answers the newest offer. Returns whether that counts.
    pub(crate) fn answer(&mut self, answer: Answer) -> bool {
        let (job, number) = self.offered.last().expect("an offer").clone();
        let counts = self.session.answer(self.now, &job, number, answer);
        self.pump();
        counts
    }

    /// Runs one call: offered, assigned, up.
    pub(crate) fn call(&mut self, job: &str) {
        self.offer(job);
        self.assign(job);
        assert!(self.started.iter().any(|started| started.job.as_ref().is_some_and(|j| j.id == job)), "{job} is up");
    }

    /// The newest socket dies.
    pub(crate) fn cut(&mut self) {
        self.close(self.last(), None);
    }

    pub(crate) fn close(&mut self, id: LinkId, code: Option<u16>) {
        self.sockets.get_mut(&id).expect("a socket").open = false;
        self.session.closed(self.now, id, code);
        self.pump();
    }

    pub(crate) fn fail(&mut self, failure: Failure) {
        self.session.failed(self.now, self.last(), failure);
        self.pump();
    }

    pub(crate) fn end(&mut self, job: &str, end: End) {
        let job = id(job);
        self.gate.end(self.now, &job);
        self.session.ended(self.now, &job, end);
        self.pump();
    }

    pub(crate) fn drain(&mut self) {
        self.gate.drain(self.now, Cause::Signal);
        self.pump();
    }

    /// Time passes, and whatever is due in it happens at its time.
    pub(crate) fn pass(&mut self, span: Span) {
        let until = self.now + span;
        loop {
            let due = [self.session.deadline(), self.gate.deadline()].into_iter().flatten().min();
            let Some(at) = due.filter(|at| *at <= until) else { break };
            self.now = self.now.max(at);
            self.session.wake(self.now);
            self.pump();
            assert!(self.session.deadline().is_none_or(|at| at > self.now), "it spins");
        }
        self.now = until;
        self.session.wake(until);
        self.pump();
    }

    /// Does what the session and the gate ask for until they ask for nothing.
    pub(crate) fn pump(&mut self) {
        loop {
            self.gate.inform(self.now, &mut self.session);
            let mut quiet = true;
            while let Some(output) = self.session.poll() {
                quiet = false;
                self.perform(output);
            }
            let open: Vec<_> = self.sockets.iter().filter(|(_, s)| s.open && !s.blocked).map(|(id, _)| *id).collect();
            for link in open {
                while let Some(frame) = self.session.transmit(self.now, link) {
                    quiet = false;
                    self.hear(link, &frame);
                }
            }
            if quiet {
                return;
            }
        }
    }

    fn hear(&mut self, link: LinkId, frame: &[u8]) {
        let message =
            WorkerMessage::decode(frame).expect("the worker sends messages").message.expect("of a known kind");
        if let (ToServer::Ping(ping), true) = (&message, self.answers_pings) {
            let pong = WorkerPong { last_timestamp: ping.timestamp, timestamp: 0 };
            let pong = ServerMessage { message: Some(ToWorker::Pong(pong)) }.encode_to_vec();
            self.session.received(self.now, link, &pong);
        }
        self.sockets.get_mut(&link).expect("an open socket").sent.push(message);
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Connect(link) => {
                self.sockets.insert(link, Socket::default());
                self.links.push(link);
                if self.serves && self.links.len() > 1 {
                    self.sockets.get_mut(&link).expect("just made").open = true;
                    self.session.opened(self.now, link);
                    let reply = ServerMessage { message: Some(registered("AW_2")) }.encode_to_vec();
                    // The registration goes out before it is confirmed.
                    while let Some(frame) = self.session.transmit(self.now, link) {
                        self.hear(link, &frame);
                    }
                    self.session.received(self.now, link, &reply);
                }
            }
            Output::Close(link, code) => {
                let socket = self.sockets.get_mut(&link).expect("a socket");
                socket.open = false;
                socket.closed = Some(code);
            }
            Output::Offered(job, number, _) => {
                self.offered.push((job.clone(), number));
                if self.decides {
                    let yes = self.gate.reserve(self.now, &job);
                    let answer = if yes { Answer::Yes(Joining::default()) } else { Answer::No };
                    assert!(self.session.answer(self.now, &job, number, answer), "an answer at once counts");
                }
            }
            Output::Withdrawn(job) => {
                self.gate.withdraw(self.now, &job);
                self.withdrawn.push(job);
            }
            Output::Assigned(job, assignment) => {
                if self.gate.assign(self.now, &job) {
                    self.started.push(*assignment);
                } else {
                    self.session.ended(self.now, &job, End::Lapsed);
                }
            }
            Output::Terminated(job) => self.terminated.push(job),
            Output::Delivered(job) => self.delivered.push(job),
            Output::Notice(notice) => self.notices.push(notice),
            Output::GaveUp(loss) => self.gave_up = Some(loss),
            Output::Left => self.left = Some(self.now),
            other => panic!("an output of an unknown kind: {other:?}"),
        }
    }

    /// The answers to a job's offers, on every socket.
    pub(crate) fn answers(&self, job: &str) -> Vec<&AvailabilityResponse> {
        let answers = self.links.iter().flat_map(|link| &self.sockets[link].sent).filter_map(|message| match message {
            ToServer::Availability(answer) if answer.job_id == job => Some(answer),
            _ => None,
        });
        answers.collect()
    }

    /// Whether the answers to a job's offers were yes.
    pub(crate) fn said(&self, job: &str) -> Vec<bool> {
        self.answers(job).iter().map(|answer| answer.available).collect()
    }

    /// A job's statuses on one socket.
    pub(crate) fn statuses_on(&self, link: LinkId, job: &str) -> Vec<&UpdateJobStatus> {
        let of = self.sockets[&link].sent.iter().filter_map(|message| match message {
            ToServer::UpdateJob(status) if status.job_id == job => Some(status),
            _ => None,
        });
        of.collect()
    }

    /// A job's terminal statuses on every socket, with their errors.
    pub(crate) fn ends(&self, job: &str) -> Vec<(JobStatus, &str)> {
        let statuses = self.links.iter().flat_map(|link| self.statuses_on(*link, job));
        let ends = statuses.map(|status| (status.status(), status.error.as_str()));
        ends.filter(|(status, _)| *status != JobStatus::Running).collect()
    }

    /// The worker's own statuses on the newest socket.
    pub(crate) fn told(&self) -> Vec<&UpdateWorkerStatus> {
        told(self.sent())
    }

    pub(crate) fn is_full(&self) -> bool {
        self.told().last().is_some_and(|told| told.status() == WorkerStatus::Full)
    }
}

pub(crate) fn told(sent: &[ToServer]) -> Vec<&UpdateWorkerStatus> {
    let statuses = sent.iter().filter_map(|message| match message {
        ToServer::UpdateWorker(status) => Some(status),
        _ => None,
    });
    statuses.collect()
}

pub(crate) fn id(job: &str) -> CallId {
    CallId::new(job).expect("a valid id")
}

pub(crate) fn registered(worker_id: &str) -> ToWorker {
    ToWorker::Register(RegisterWorkerResponse { worker_id: worker_id.to_owned(), server_info: None })
}

pub(crate) fn job(id: &str) -> Job {
    let room = Room { name: format!("room of {id}"), ..Room::default() };
    Job { id: id.to_owned(), room: Some(room), ..Job::default() }
}

pub(crate) fn offer(id: &str) -> ToWorker {
    ToWorker::Availability(AvailabilityRequest { job: Some(job(id)), resuming: false })
}

pub(crate) fn assignment(id: &str) -> ToWorker {
    ToWorker::Assignment(JobAssignment { job: Some(job(id)), url: None, token: "token".to_owned() })
}

pub(crate) fn secs(secs: u64) -> Span {
    Span::from_secs(secs)
}
