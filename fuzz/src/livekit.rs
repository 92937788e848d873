//! Arbitrary bytes as the life of a LiveKit session: what a hostile server sends and when, when sockets break, what the
//! gate decides, when jobs end. The laws are those of the search in `livekit/tests/machine`.

use std::collections::BTreeMap;

use openrtc_core::time::{Instant, Span};
use openrtc_core::worker::Cause;
use openrtc_livekit::proto::{
    AvailabilityRequest, GoAway, Job, JobAssignment, JobTermination, RegisterWorkerResponse, Room, ServerMessage,
    ToServer, ToWorker, WorkerMessage, WorkerPong,
};
use openrtc_livekit::session::{Answer, End, Failure, Joining, LinkId, OfferNo, Output};
use openrtc_runtime::CallId;
use prost::Message as _;

use crate::side::Side;

/// How long a session that leaves may take in a world that is kind.
const REST: Span = Span::from_secs(120);
/// More rounds at one instant are a loop that spins.
const ROUNDS_MAX: u32 = 10_000;

/// Leads the life, then lets the worker drain in peace, and closes its books.
pub fn check(bytes: &[u8]) {
    let Some(([capacity, seed], mut rest)) = bytes.split_first_chunk::<2>().map(|(head, rest)| (*head, rest)) else {
        return;
    };
    let mut life = Life::new(u32::from(capacity % 4) + 1, u64::from(seed));
    while let Some(([kind, how], more)) = rest.split_first_chunk::<2>() {
        rest = life.step(*kind, *how, more);
        life.pump();
    }
    life.rest();
}

/// The server's end of a socket.
#[derive(Default)]
struct Line {
    open: bool,
    blocked: bool,
    /// The stamp of the last ping.
    ping: i64,
}

struct Life {
    now: Instant,
    side: Side,
    lines: BTreeMap<LinkId, Line>,
    /// Offers that wait for whoever decides.
    open: Vec<(CallId, OfferNo)>,
    running: Vec<CallId>,
    /// Whether decisions come at once.
    decides: bool,
    /// Whether the server does all that it should.
    kind: bool,
}

impl Life {
    fn new(capacity: u32, seed: u64) -> Self {
        let now = Instant::from_micros(1_700_000_000_000_000);
        let side = Side::new(now, capacity, seed);
        let (lines, open, running) = (BTreeMap::new(), Vec::new(), Vec::new());
        let mut life = Self { now, side, lines, open, running, decides: true, kind: false };
        life.pump();
        life
    }

    /// Does one thing, and returns the bytes that are left.
    fn step<'a>(&mut self, kind: u8, how: u8, more: &'a [u8]) -> &'a [u8] {
        let Some(link) = self.link(how / 64) else {
            self.pass(Span::from_secs(1));
            return more;
        };
        match kind % 16 {
            0 => {
                let (frame, more) = more.split_at(more.len().min(usize::from(how)));
                self.frame(link, frame);
                return more;
            }
            1 => self.say(link, ToWorker::Availability(AvailabilityRequest { job: Some(job(how)), resuming: false })),
            2 => self.say(link, ToWorker::Assignment(assignment(how))),
            3 => self.say(link, ToWorker::Assignment(flawed(how, kind / 16))),
            4 => self.say(link, ToWorker::Termination(JobTermination { job_id: job(how).id })),
            5 => self.say(link, confirmation()),
            6 => self.say(link, ToWorker::GoAway(GoAway { reason: 0 })),
            7 => self.pong(link, i64::from(how % 2)),
            8 => self.open_line(link),
            9 => self.break_line(link, how),
            10 => self.pass(Span::from_millis(u64::from(how) * u64::from(how))),
            11 => self.gate(how),
            12 => self.end(how),
            13 => self.decide(how),
            14 => self.block(link, how),
            15.. => self.side.session.measure(self.now, [f32::NAN, -1.0, 0.5, 9.0][usize::from(how % 4)]),
        }
        more
    }

    /// The newest socket, or one before it.
    fn link(&self, back: u8) -> Option<LinkId> {
        let nth = usize::from(back % 3);
        self.lines.keys().rev().nth(nth).or_else(|| self.lines.keys().next_back()).copied()
    }

    fn say(&mut self, link: LinkId, message: ToWorker) {
        self.frame(link, &ServerMessage { message: Some(message) }.encode_to_vec());
    }

    fn frame(&mut self, link: LinkId, frame: &[u8]) {
        if self.lines.get(&link).is_some_and(|line| line.open) {
            let message = ServerMessage::decode(frame).ok().and_then(|message| message.message);
            self.side.hears(link, message);
            self.side.session.received(self.now, link, frame);
        }
    }

    fn pong(&mut self, link: LinkId, off: i64) {
        let stamp = self.lines.get(&link).map_or(0, |line| line.ping) + off;
        self.say(link, ToWorker::Pong(WorkerPong { last_timestamp: stamp, timestamp: 0 }));
    }

    fn open_line(&mut self, link: LinkId) {
        if let Some(line) = self.lines.get_mut(&link).filter(|line| !line.open) {
            line.open = true;
            self.side.session.opened(self.now, link);
        }
    }

    fn break_line(&mut self, link: LinkId, how: u8) {
        let Some(line) = self.lines.remove(&link) else { return };
        let code = [None, Some(1000), Some(1008), Some(1009)][usize::from(how % 4)];
        if line.open {
            self.side.session.closed(self.now, link, code);
        } else {
            let failure = [Failure::TimedOut, Failure::NotFound][usize::from(how % 2)].clone();
            self.side.session.failed(self.now, link, failure);
        }
    }

    fn block(&mut self, link: LinkId, how: u8) {
        if let Some(line) = self.lines.get_mut(&link) {
            line.blocked = how % 2 == 0;
        }
    }

    fn gate(&mut self, how: u8) {
        match how % 4 {
            0 => self.side.gate.drain(self.now, Cause::Api),
            1 => drop(self.side.gate.cancel_drain(self.now)),
            2 => self.decides = how & 4 == 0,
            3.. => self.side.gate.drain(self.now, Cause::Signal),
        }
    }

    fn end(&mut self, how: u8) {
        if self.running.is_empty() {
            return;
        }
        let job = self.running.swap_remove(usize::from(how) % self.running.len());
        let end = if how & 64 > 0 { End::Failed("broken".to_owned()) } else { End::Succeeded };
        self.side.end(self.now, &job, end);
    }

    fn decide(&mut self, how: u8) {
        if self.open.is_empty() {
            return;
        }
        let (job, number) = self.open.swap_remove(usize::from(how / 4) % self.open.len());
        let answer = [Answer::Yes(Joining::default()), Answer::No, Answer::Terminate][usize::from(how % 3)].clone();
        self.side.decide(self.now, &job, number, answer);
    }

    /// Time passes, and whatever is due in it happens at its time.
    fn pass(&mut self, span: Span) {
        let until = self.now + span;
        loop {
            let due = [self.side.session.deadline(), self.side.gate.deadline()].into_iter().flatten().min();
            let Some(at) = due.filter(|at| *at <= until) else { break };
            self.now = self.now.max(at);
            self.side.session.wake(self.now);
            self.pump();
            assert!(self.side.session.deadline().is_none_or(|at| at > self.now), "it spins");
        }
        self.now = until;
        self.side.session.wake(until);
        self.pump();
    }

    /// Does what everybody asks for until nobody asks for anything.
    fn pump(&mut self) {
        for _ in 0..ROUNDS_MAX {
            self.side.gate.inform(self.now, &mut self.side.session);
            let mut quiet = true;
            while let Some(output) = self.side.session.poll() {
                quiet = false;
                self.perform(output);
            }
            let takes: Vec<_> =
                self.lines.iter().filter(|(_, line)| line.open && !line.blocked).map(|(link, _)| *link).collect();
            for link in takes {
                while let Some(frame) = self.side.session.transmit(self.now, link) {
                    quiet = false;
                    self.side.says(link, &frame);
                    self.answer(link, &frame);
                }
            }
            if quiet {
                return;
            }
        }
        panic!("it spins");
    }

    /// What the server does about a worker's frame.
    fn answer(&mut self, link: LinkId, frame: &[u8]) {
        match WorkerMessage::decode(frame).ok().and_then(|message| message.message) {
            Some(ToServer::Register(_)) if self.kind => self.say(link, confirmation()),
            Some(ToServer::Ping(ping)) => {
                if let Some(line) = self.lines.get_mut(&link) {
                    line.ping = ping.timestamp;
                }
                if self.kind {
                    self.pong(link, 0);
                }
            }
            _ => {}
        }
    }

    fn perform(&mut self, output: Output) {
        let Some(output) = self.side.perform(self.now, output) else { return };
        match output {
            Output::Connect(link) => {
                self.lines.insert(link, Line::default());
                if self.kind {
                    self.open_line(link);
                }
            }
            Output::Close(link, _) => drop(self.lines.remove(&link)),
            Output::Offered(job, number, _) if self.decides => {
                self.side.session.answer(self.now, &job, number, Answer::Yes(Joining::default()));
            }
            Output::Offered(job, number, _) => self.open.push((job, number)),
            Output::Assigned(job, _) => self.running.push(job),
            // Its pool drains then.
            Output::GaveUp(_) => self.side.gate.drain(self.now, Cause::Api),
            _ => {}
        }
    }

    /// The world is kind from now on, and the worker drains.
    fn rest(mut self) {
        self.kind = true;
        self.decides = true;
        let links: Vec<_> = self.lines.keys().copied().collect();
        for link in links {
            // Whatever is half done on an old socket ends with it.
            self.break_line(link, 0);
            self.pump();
        }
        self.side.gate.drain(self.now, Cause::Signal);
        while !self.running.is_empty() {
            self.end(0);
            self.pump();
        }
        self.pass(REST);
        assert!(self.side.has_left, "it does not leave: {:?}", self.side.session);
        self.side.close_books(|job| self.side.ends.contains_key(job));
    }
}

/// One of a few jobs, so that they meet.
fn job(which: u8) -> Job {
    let room = Room { name: "room".to_owned(), ..Room::default() };
    Job { id: format!("AJ_{}", which % 6), room: Some(room), ..Job::default() }
}

fn assignment(which: u8) -> JobAssignment {
    JobAssignment { job: Some(job(which)), url: None, token: "token".to_owned() }
}

fn flawed(which: u8, how: u8) -> JobAssignment {
    let mut assignment = assignment(which);
    match how % 4 {
        0 => assignment.token.clear(),
        1 => assignment.url = Some("not a url".to_owned()),
        2 => assignment.job = Some(Job { room: None, ..job(which) }),
        3.. => assignment.job = None,
    }
    assignment
}

fn confirmation() -> ToWorker {
    ToWorker::Register(RegisterWorkerResponse { worker_id: "AW".to_owned(), server_info: None })
}
