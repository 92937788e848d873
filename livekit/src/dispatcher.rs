//! LiveKit's side of the agent protocol as a state machine without input and output: how a self-hosted server 1.13
//! treats its workers, as read in its source and seen on a running one. The dev server is a shell around it, and the
//! search for faults in [`session`](crate::session) runs beside it.
//!
//! What matters most: a dispatch has 3 s in all; a worker that stays silent loses it for good; a refusal goes to the
//! next worker within the same 3 s; a worker gets jobs from its registration on; and nobody tells the caller.

mod choose;
mod fault;
mod ledger;
mod peer;

use std::collections::{BTreeMap, VecDeque};

use openrtc_runtime::time::{Instant, Span};
use prost::Message as _;

use crate::proto::{
    AvailabilityResponse, GoAway, Job, JobAssignment, JobTermination, Room, ServerMessage, SimulateJobRequest, ToWorker,
};
use crate::random::Jitter;
use fault::Faults;
use peer::Peer;

pub use fault::{Fault, NoSuchFault};
pub use ledger::{Asked, Dispatch, Progress, Statuses, Why};

/// Names a worker's socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u64);

/// All the time that a dispatch has, less the fifth of a second that the server needs to find its node.
const WINDOW: Span = Span::from_millis(2_800);
/// How long a socket may stay without a registration.
const REGISTER: Span = Span::from_secs(10);
/// How late [`Fault::LateAssignment`] is.
const LATE: Span = Span::from_secs(12);

/// An action that the dispatcher asks whoever drives it to take.
#[derive(Debug)]
pub enum Do {
    /// Send this binary frame.
    Send(PeerId, Vec<u8>),
    /// Close the socket without a close frame.
    Close(PeerId),
}

/// Makes the token of a job: what it is for, and how its agent joins.
pub type Mint = Box<dyn FnMut(&Job, &AvailabilityResponse) -> String + Send>;

/// The server's side. See the [module](self).
pub struct Dispatcher {
    peers: BTreeMap<PeerId, Peer>,
    dispatches: BTreeMap<String, Dispatch>,
    statuses: Statuses,
    /// Assignments that come later than they should.
    late: VecDeque<(Instant, PeerId, JobAssignment)>,
    faults: Faults,
    jitter: Jitter,
    count: u64,
    mint: Mint,
    outputs: VecDeque<Do>,
}

impl Dispatcher {
    /// A dispatcher without workers. `seed` is what its choices come from.
    #[must_use]
    pub fn new(seed: u64, mint: Mint) -> Self {
        Self {
            peers: BTreeMap::new(),
            dispatches: BTreeMap::new(),
            statuses: Statuses::default(),
            late: VecDeque::new(),
            faults: Faults::default(),
            jitter: Jitter::new(seed),
            count: 0,
            mint,
            outputs: VecDeque::new(),
        }
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Do> {
        self.outputs.pop_front()
    }

    /// When to call [`Dispatcher::wake`].
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let peers = self.peers.values().filter_map(|peer| peer.register_by);
        let offers = self.dispatches.values().filter_map(|dispatch| match dispatch.progress {
            Progress::Offered { until, .. } => Some(until),
            _ => None,
        });
        peers.chain(offers).chain(self.late.front().map(|(at, ..)| *at)).min()
    }

    /// Time has passed: offers run out, and so does the patience with sockets that do not register.
    pub fn wake(&mut self, now: Instant) {
        let late = |peer: &Peer| peer.register_by.is_some_and(|by| by <= now);
        let silent: Vec<_> = self.peers.iter().filter(|(_, peer)| late(peer)).map(|(id, _)| *id).collect();
        for id in silent {
            self.close(id);
        }
        for dispatch in self.dispatches.values_mut() {
            if matches!(dispatch.progress, Progress::Offered { until, .. } if until <= now) {
                dispatch.progress = Progress::Lost(Why::Silence);
            }
        }
        while let Some((_, id, assignment)) = self.late.pop_front_if(|(at, ..)| *at <= now) {
            self.send(id, ToWorker::Assignment(assignment));
        }
    }

    /// Does one thing wrong, this many times from now on.
    pub fn break_next(&mut self, fault: Fault, times: u32) {
        self.faults.set(fault, times);
    }

    /// Whether to do a thing wrong that the shell must do: it uses up one time.
    pub fn is_broken(&mut self, fault: Fault) -> bool {
        self.faults.take(fault)
    }

    /// Asks for an agent. Returns the dispatch's id, whatever becomes of it.
    pub fn dispatch(&mut self, now: Instant, asked: Asked) -> String {
        let id = self.name("AD");
        let job = self.job(&asked, &id);
        let dispatch =
            Dispatch { asked, at: now, job, progress: Progress::Lost(Why::NoWorker), tried: vec![], answers: vec![] };
        self.dispatches.insert(id.clone(), dispatch);
        if self.faults.take(Fault::LoseSearch) {
            self.set(&id, Progress::Lost(Why::Search));
        } else {
            self.ask_next(&id, now + WINDOW);
        }
        id
    }

    /// Takes a dispatch back; a job that was assigned is terminated. Returns whether there was one.
    pub fn delete(&mut self, id: &str) -> bool {
        let Some(dispatch) = self.dispatches.get_mut(id) else { return false };
        let job_id = dispatch.job.id.clone();
        if let Progress::Assigned(to) = std::mem::replace(&mut dispatch.progress, Progress::Deleted)
            && self.peers.get_mut(&to).is_some_and(|peer| peer.jobs.contains(&job_id))
        {
            let times = if self.faults.take(Fault::TerminateTwice) { 2 } else { 1 };
            for _ in 0..times {
                self.send(to, ToWorker::Termination(JobTermination { job_id: job_id.clone() }));
            }
        }
        true
    }

    /// Tells a worker to register elsewhere. Only LiveKit's cloud does so today.
    pub fn go_away(&mut self, id: PeerId) {
        self.send(id, ToWorker::GoAway(GoAway { reason: 0 }));
    }

    /// Every dispatch, by id.
    pub fn dispatches(&self) -> impl Iterator<Item = (&str, &Dispatch)> {
        self.dispatches.iter().map(|(id, dispatch)| (id.as_str(), dispatch))
    }

    /// What the workers said became of their jobs.
    #[must_use]
    pub const fn statuses(&self) -> &Statuses {
        &self.statuses
    }

    /// Whether a registered worker serves what is asked for.
    #[must_use]
    pub fn serves(&self, asked: &Asked) -> bool {
        self.peers.values().any(|peer| peer.serves(asked))
    }

    /// The sockets whose registration stands.
    pub fn registered(&self) -> impl Iterator<Item = PeerId> {
        self.peers.iter().filter(|(_, peer)| peer.registration.is_some()).map(|(id, _)| *id)
    }

    /// Whether a socket's worker gets jobs.
    #[must_use]
    pub fn is_available(&self, id: PeerId) -> bool {
        self.peers.get(&id).is_some_and(Peer::is_available)
    }

    /// Offers a job that the worker itself asked for, to it alone.
    fn simulate(&mut self, now: Instant, id: PeerId, request: SimulateJobRequest) {
        let room = request.room.map(|room| room.name).unwrap_or_default();
        let asked = Asked { room, ..Asked::default() };
        let dispatch_id = self.name("AD");
        let job = self.job(&asked, &dispatch_id);
        let progress = Progress::Offered { to: id, until: now + REGISTER };
        let dispatch = Dispatch { asked, at: now, job, progress, tried: vec![id], answers: vec![] };
        self.dispatches.insert(dispatch_id.clone(), dispatch);
        self.offer(&dispatch_id, id);
    }

    fn job(&mut self, asked: &Asked, dispatch_id: &str) -> Job {
        Job {
            id: self.name("AJ"),
            r#type: asked.kind.into(),
            room: Some(Room { sid: self.name("RM"), name: asked.room.clone(), ..Room::default() }),
            metadata: asked.metadata.clone(),
            agent_name: asked.agent_name.clone(),
            dispatch_id: dispatch_id.to_owned(),
            deployment: asked.deployment.clone(),
            ..Job::default()
        }
    }

    fn name(&mut self, kind: &str) -> String {
        self.count += 1;
        format!("{kind}_{:06}{:06x}", self.count, self.jitter.below(1 << 24))
    }

    fn set(&mut self, id: &str, progress: Progress) {
        if let Some(dispatch) = self.dispatches.get_mut(id) {
            dispatch.progress = progress;
        }
    }

    fn send(&mut self, id: PeerId, message: ToWorker) {
        self.send_raw(id, ServerMessage { message: Some(message) }.encode_to_vec());
    }

    fn send_raw(&mut self, id: PeerId, frame: Vec<u8>) {
        if self.peers.get(&id).is_some_and(|peer| !peer.silent) {
            self.outputs.push_back(Do::Send(id, frame));
        }
    }

    fn close(&mut self, id: PeerId) {
        if self.peers.contains_key(&id) {
            self.outputs.push_back(Do::Close(id));
            self.closed(id);
        }
    }
}
