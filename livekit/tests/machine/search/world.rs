//! The world: workers, the dispatcher, and a network between them that is slow and breaks.

use std::collections::BTreeMap;

use openrtc_core::time::{Instant, Span};
use openrtc_core::worker::Cause;
use openrtc_livekit::dispatcher::{Asked, Dispatcher, Do, Fault, PeerId};
use openrtc_livekit::proto::ServerMessage;
use openrtc_livekit::session::{Answer, End, Failure, Joining, LinkId, OfferNo, Output};
use openrtc_runtime::CallId;
use prost::Message as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::side::Side;

/// How long the world is hostile, and how long it then has to come to rest.
const CHAOS: Span = Span::from_secs(90);
const REST: Span = Span::from_secs(120);
/// More events than this in one run are a loop that spins.
const EVENTS_MAX: u32 = 200_000;

enum Event {
    Opened(usize, LinkId),
    ToWorker(usize, LinkId, Vec<u8>),
    ToServer(PeerId, Vec<u8>),
    WorkerSeesClose(usize, LinkId, Option<u16>),
    ServerSeesClose(PeerId),
    Decide(usize, CallId, OfferNo),
    End(usize, CallId, End),
    Mishap,
    Calm,
}

/// A socket between a worker and the dispatcher.
struct Wire {
    worker: usize,
    link: LinkId,
    open: bool,
    /// When the last frame arrives each way: they keep their order.
    to_worker: Instant,
    to_server: Instant,
}

pub(crate) struct World {
    now: Instant,
    begun: Instant,
    sides: Vec<Side>,
    dispatcher: Dispatcher,
    wires: BTreeMap<PeerId, Wire>,
    due: BTreeMap<(Instant, u64), Event>,
    count: u64,
    dice: StdRng,
    /// Whether the server takes connections.
    up: bool,
    calm: bool,
    pub(crate) tells: bool,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let begun = Instant::from_micros(1_700_000_000_000_000);
        let workers = dice.random_range(1..=3);
        let sides = (0..workers).map(|_| Side::new(begun, dice.random_range(1..=4), dice.random())).collect();
        let dispatcher = Dispatcher::new(dice.random(), Box::new(|job, _| format!("token of {}", job.id)));
        let (wires, due) = (BTreeMap::new(), BTreeMap::new());
        let mut world = Self {
            now: begun,
            begun,
            sides,
            dispatcher,
            wires,
            due,
            count: 0,
            dice,
            up: true,
            calm: false,
            tells: false,
        };
        for _ in 0..world.dice.random_range(10..60) {
            let at = world.within(CHAOS);
            world.plan(at, Event::Mishap);
        }
        world.plan(CHAOS, Event::Calm);
        world
    }

    pub(crate) fn run(mut self) {
        let end = self.begun + CHAOS + REST;
        for _ in 0..EVENTS_MAX {
            self.pump();
            let sides = self.sides.iter().flat_map(|side| [side.session.deadline(), side.gate.deadline()]);
            let event = self.due.keys().next().map(|(at, _)| *at);
            let next = sides.chain([self.dispatcher.deadline(), event]).flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else { return self.judge() };
            self.now = self.now.max(next);
            self.dispatcher.wake(self.now);
            for side in &mut self.sides {
                side.session.wake(self.now);
            }
            while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let event = entry.remove();
                self.happen(event);
                // A socket that this has closed hears nothing more, even in the same instant.
                self.pump();
            }
        }
        panic!("it spins");
    }

    fn judge(self) {
        for (number, side) in self.sides.iter().enumerate() {
            assert!(side.has_left, "worker {number} did not leave: {:?}", side.session);
            side.close_books(|job| self.dispatcher.statuses().terminal(job).next().is_some());
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Opened(worker, link) if self.up => {
                self.count += 1;
                let (peer, now) = (PeerId(self.count), self.now);
                self.wires.insert(peer, Wire { worker, link, open: true, to_worker: now, to_server: now });
                self.dispatcher.opened(now, peer);
                self.sides[worker].session.opened(now, link);
            }
            Event::Opened(worker, link) => {
                let status = if self.dice.random() { Failure::Status(503) } else { Failure::TimedOut };
                self.sides[worker].session.failed(self.now, link, status);
            }
            Event::ToWorker(worker, link, frame) => {
                let message = ServerMessage::decode(&frame[..]).ok().and_then(|message| message.message);
                self.tell(|| format!("worker {worker} {link:?} hears {message:?}"));
                // A socket that the worker has closed hears nothing.
                if self.wires.values().any(|wire| wire.worker == worker && wire.link == link && wire.open) {
                    self.sides[worker].hears(link, message);
                    self.sides[worker].session.received(self.now, link, &frame);
                }
            }
            Event::ToServer(peer, frame) => self.dispatcher.received(self.now, peer, &frame),
            Event::WorkerSeesClose(worker, link, code) => {
                self.tell(|| format!("worker {worker} {link:?} sees it closed"));
                self.sides[worker].session.closed(self.now, link, code);
            }
            Event::ServerSeesClose(peer) => self.dispatcher.closed(peer),
            Event::Decide(worker, job, number) => {
                let no = self.dice.random_range(0..8) == 0;
                let answer = if no { Answer::No } else { Answer::Yes(Joining::default()) };
                self.sides[worker].decide(self.now, &job, number, answer);
            }
            Event::End(worker, job, end) => self.sides[worker].end(self.now, &job, end),
            Event::Mishap => self.mishap(),
            Event::Calm => self.rest(),
        }
    }

    /// Something happens: mostly a dispatch, sometimes a misfortune.
    fn mishap(&mut self) {
        let worker = self.dice.random_range(0..self.sides.len());
        match self.dice.random_range(0..20) {
            0..=8 => {
                let asked =
                    Asked { room: format!("r{}", self.count), agent_name: "agent".to_owned(), ..Asked::default() };
                let id = self.dispatcher.dispatch(self.now, asked);
                self.tell(|| format!("dispatch {id}"));
            }
            9 => {
                let ids: Vec<_> = self.dispatcher.dispatches().map(|(id, _)| id.to_owned()).collect();
                if !ids.is_empty() {
                    let id = &ids[self.dice.random_range(0..ids.len())];
                    self.dispatcher.delete(id);
                }
            }
            10..=12 => {
                let fault = Fault::ALL[self.dice.random_range(0..Fault::ALL.len())];
                self.tell(|| format!("fault {fault}"));
                self.dispatcher.break_next(fault, 1);
            }
            13 | 14 => self.cut(worker),
            15 => {
                self.up = !self.up;
                if !self.up {
                    (0..self.sides.len()).for_each(|worker| self.cut(worker));
                }
            }
            16 => {
                let peer =
                    self.wires.iter().find(|(_, wire)| wire.worker == worker && wire.open).map(|(peer, _)| *peer);
                if let Some(peer) = peer {
                    self.dispatcher.go_away(peer);
                }
            }
            17 => {
                let cause = if self.dice.random() { Cause::Signal } else { Cause::Api };
                self.tell(|| format!("worker {worker} drains"));
                self.sides[worker].gate.drain(self.now, cause);
            }
            18 => {
                let link = self.wires.values().find(|wire| wire.worker == worker && wire.open).map(|wire| wire.link);
                let garbage = (0..self.dice.random_range(0..40)).map(|_| self.dice.random()).collect();
                if let Some(link) = link {
                    self.plan(Span::ZERO, Event::ToWorker(worker, link, garbage));
                }
            }
            _ => {
                let load = [f32::NAN, -1.0, 0.3, 1.0, 9.0][self.dice.random_range(0..5)];
                self.sides[worker].session.measure(self.now, load);
            }
        }
    }

    /// The world is kind from now on: the server is up and does nothing wrong, and all workers drain.
    fn rest(&mut self) {
        self.tell(|| "calm".to_owned());
        self.up = true;
        self.calm = true;
        for fault in Fault::ALL {
            self.dispatcher.break_next(*fault, 0);
        }
        for side in &mut self.sides {
            side.gate.drain(self.now, Cause::Signal);
        }
    }

    /// A worker's sockets break; each end sees it in its own time, or the worker never does.
    fn cut(&mut self, worker: usize) {
        let cut: Vec<_> =
            self.wires.iter().filter(|(_, wire)| wire.worker == worker && wire.open).map(|(peer, _)| *peer).collect();
        for peer in cut {
            let link = self.wires.get_mut(&peer).map(|wire| (wire.open = false, wire.link).1).expect("a wire");
            let (soon, late) = (self.within(Span::from_millis(300)), self.within(Span::from_secs(3)));
            self.plan(soon, Event::ServerSeesClose(peer));
            if self.dice.random_range(0..5) > 0 {
                self.plan(late, Event::WorkerSeesClose(worker, link, None));
            }
        }
    }

    /// Does what everybody asks for until nobody asks for anything.
    fn pump(&mut self) {
        loop {
            let before = self.count;
            for worker in 0..self.sides.len() {
                self.pump_worker(worker);
            }
            while let Some(output) = self.dispatcher.poll() {
                self.count += 1;
                match output {
                    Do::Send(peer, frame) => self.carry_to_worker(peer, frame),
                    Do::Close(peer) => {
                        let Some(wire) = self.wires.get_mut(&peer).filter(|wire| wire.open) else { continue };
                        let (worker, link, after) = (wire.worker, wire.link, wire.to_worker);
                        self.count += 1;
                        self.due.insert((after.max(self.now), self.count), Event::WorkerSeesClose(worker, link, None));
                    }
                }
            }
            if self.count == before {
                return;
            }
        }
    }

    fn pump_worker(&mut self, worker: usize) {
        let (side, now) = (&mut self.sides[worker], self.now);
        side.gate.inform(now, &mut side.session);
        while let Some(output) = self.sides[worker].session.poll() {
            self.count += 1;
            self.perform(worker, output);
        }
        let open: Vec<_> = self
            .wires
            .iter()
            .filter(|(_, wire)| wire.worker == worker && wire.open)
            .map(|(peer, wire)| (*peer, wire.link))
            .collect();
        for (peer, link) in open {
            while let Some(frame) = self.sides[worker].session.transmit(now, link) {
                self.sides[worker].says(link, &frame);
                let latency = self.latency();
                let wire = self.wires.get_mut(&peer).expect("an open wire");
                wire.to_server = wire.to_server.max(now + latency);
                self.count += 1;
                self.due.insert((wire.to_server, self.count), Event::ToServer(peer, frame));
            }
        }
    }

    fn perform(&mut self, worker: usize, output: Output) {
        self.tell(|| format!("worker {worker}: {output:?}"));
        let now = self.now;
        let Some(output) = self.sides[worker].perform(now, output) else { return };
        match output {
            Output::Connect(link) => {
                let latency = self.latency();
                self.plan(latency, Event::Opened(worker, link));
            }
            Output::Close(link, _) => {
                let peer = self.wires.iter_mut().find(|(_, wire)| wire.worker == worker && wire.link == link);
                if let Some((peer, wire)) = peer {
                    wire.open = false;
                    let (peer, after) = (*peer, wire.to_server.max(now));
                    self.count += 1;
                    self.due.insert((after, self.count), Event::ServerSeesClose(peer));
                }
            }
            Output::Offered(job, number, _) => match self.dice.random_range(0..10) {
                0..=6 => self.happen(Event::Decide(worker, job, number)),
                7 | 8 => {
                    let wait = self.within(Span::from_secs(4));
                    self.plan(wait, Event::Decide(worker, job, number));
                }
                _ => {}
            },
            Output::Assigned(job, _) => {
                let lasts = self.within(Span::from_secs(40));
                let end = if self.dice.random() { End::Succeeded } else { End::Failed("broken".to_owned()) };
                self.plan(lasts, Event::End(worker, job, end));
            }
            Output::Terminated(job) => {
                let wait = self.within(Span::from_secs(2));
                self.plan(wait, Event::End(worker, job, End::Succeeded));
            }
            Output::GaveUp(loss) => panic!("it gave up: {loss}"),
            _ => {}
        }
    }

    fn carry_to_worker(&mut self, peer: PeerId, mut frame: Vec<u8>) {
        let latency = self.latency();
        let flip = !self.calm && !frame.is_empty() && self.dice.random_range(0..200) == 0;
        if flip {
            let at = self.dice.random_range(0..frame.len());
            frame[at] ^= 1 << self.dice.random_range(0..8);
        }
        let Some(wire) = self.wires.get_mut(&peer).filter(|wire| wire.open) else { return };
        wire.to_worker = wire.to_worker.max(self.now + latency);
        let (worker, link, at) = (wire.worker, wire.link, wire.to_worker);
        self.count += 1;
        self.due.insert((at, self.count), Event::ToWorker(worker, link, frame));
    }

    fn plan(&mut self, wait: Span, event: Event) {
        self.count += 1;
        self.due.insert((self.now + wait, self.count), event);
    }

    fn within(&mut self, span: Span) -> Span {
        Span::from_micros(self.dice.random_range(0..=span.as_micros()))
    }

    /// Mostly a few milliseconds, now and then a second.
    fn latency(&mut self) -> Span {
        let slow = !self.calm && self.dice.random_range(0..50) == 0;
        self.within(Span::from_millis(if slow { 1_000 } else { 20 }))
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        if self.tells {
            println!("{:>12?} {}", std::time::Duration::from(self.now.since(self.begun)), what());
        }
    }
}
