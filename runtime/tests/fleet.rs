//! The fleet machine in the engine that workers run in: the same control loop, the plain intake, a journal, crashes and
//! restarts. Its workers are worker machines that obey its orders. Time is virtual.
#![allow(clippy::unwrap_used)]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, pending, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use openrtc_core::fleet::{
    Command, Effect, Facts, Fleet, Policy, Report, Request, Run, Spec, Stage, Timeouts, VersionState,
};
use openrtc_core::id::{Actor, Deployment, DigestKey, IdLog, Incarnation, Seq, Version, WorkerId};
use openrtc_core::journal::{Batch, Office, Opening, Replay, replay, write_batch, write_opening};
use openrtc_core::machine::Machine;
use openrtc_core::time::{Instant, Span};
use openrtc_core::word::Phase;
use openrtc_core::worker::{self, Class, EndReason, Leave, Limits, Worker};
use openrtc_runtime::control;
use openrtc_runtime::intake::Queue;
use openrtc_runtime::ports::Ports;

const V1: Version = Version::from_static("v1");
const V2: Version = Version::from_static("v2");
const ALICE: Actor = Actor::from_static("alice");

/// A segment is closed after so many appends, so that most openings are written in the middle of a life.
const APPENDS_MAX: u32 = 2;

/// How long a rollout may take here.
const SECONDS_MAX: u32 = 60;

#[test]
fn a_rollout_through_the_engine_ends_and_its_journal_tells_the_state() {
    let mut world = World::serving();
    let call = world.admit("v1-0");
    world.roll_out(V2);
    world.run_until(|world| world.phase("v1-0") == Some(Phase::Draining));
    world.seconds(5);
    assert_eq!(world.stage(), Stage::Draining, "one call is left");
    world.hang_up("v1-0", call);
    world.run_until(|world| world.stage() == Stage::Completed);
    let state = |version| world.queue.view(|fleet| fleet.versions()[&version].state);
    assert_eq!((state(V1), state(V2)), (VersionState::Drained, VersionState::Current));
    assert!(world.shared.segments.borrow().len() > 3, "some segments were opened on the way");
}

/// The process ends between the journal and the effects of a batch, in each second of a rollout. The next one has the
/// journal and nothing else.
#[test]
fn a_coordinator_that_crashes_before_any_effect_goes_on_from_its_journal() {
    for second in 0..12 {
        let mut world = World::serving();
        let call = world.admit("v1-0");
        world.roll_out(V2);
        for _ in 0..second {
            world.second();
        }
        world.shared.deadly.set(|_| true);
        world.second();
        world.restart();
        world.seconds(20);
        assert_eq!(world.stage(), Stage::Draining, "crashed in second {second}: one call is left");
        world.hang_up("v1-0", call);
        world.run_until(|world| world.stage() == Stage::Completed);
        let tally = world.queue.view(|fleet| *fleet.tally());
        assert_eq!((tally.lost, tally.withdrawn, tally.dropped), (0, 0, 0), "crashed in second {second}");
    }
}

#[test]
fn what_a_crash_kept_from_being_done_is_owed_after_a_restart() {
    let mut world = World::serving();
    world.admit("v1-0");
    world.roll_out(V2);
    let is_drain = |effect: &Effect| matches!(effect, Effect::OrderDrain { .. });
    world.shared.deadly.set(is_drain);
    world.run_until(|world| world.shared.died.get());
    let done = world.shared.done.borrow().len();
    assert!(!world.shared.done.borrow().iter().any(is_drain), "it was decided, stored, and not done");
    world.restart();
    let owed = world.shared.done.borrow()[done..].to_vec();
    assert!(owed.iter().any(is_drain), "{owed:?}");
}

/// What lies between the control loop and the world.
struct Shared {
    now: Cell<Instant>,
    due: Cell<Option<Instant>>,
    /// The effects that the process does not live to perform.
    deadly: Cell<fn(&Effect) -> bool>,
    died: Cell<bool>,
    segments: RefCell<Vec<Vec<u8>>>,
    appends: Cell<u32>,
    done: RefCell<Vec<Effect>>,
}

/// The control loop's end of it.
struct Port(Rc<Shared>);

impl Ports<Fleet> for Port {
    fn now(&self) -> Instant {
        self.0.now.get()
    }

    async fn next(&mut self, deadline: Option<Instant>, work: impl Future<Output = ()>) {
        self.0.due.set(deadline);
        let mut work = pin!(work);
        poll_fn(|context| {
            let is_due = deadline.is_some_and(|at| at <= self.0.now.get());
            if is_due || work.as_mut().poll(context).is_ready() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    async fn append(&mut self, before: &Fleet, batch: &Batch<Fleet>) -> io::Result<()> {
        let mut segments = self.0.segments.borrow_mut();
        if self.0.appends.get().is_multiple_of(APPENDS_MAX) {
            let mut opened = Vec::new();
            write_opening(&Opening { about: office(), state: before.clone() }, &IdLog::default(), &mut opened);
            segments.push(opened);
        }
        self.0.appends.set(self.0.appends.get() + 1);
        write_batch(batch, segments.last_mut().unwrap());
        Ok(())
    }

    fn publish(&mut self, settled: Seq, state: &Fleet) {
        let stored = self.0.stored().state;
        assert_eq!((stored.seq(), &stored), (settled, &forgetful(state)), "the journal tells another state");
    }

    async fn perform(&mut self, effect: Effect) {
        if self.0.deadly.get()(&effect) {
            self.0.died.set(true);
            pending::<()>().await;
        }
        self.0.done.borrow_mut().push(effect);
    }
}

impl Shared {
    /// What the newest segment tells, as a restart reads it.
    fn stored(&self) -> Replay<Fleet> {
        let segments = self.segments.borrow();
        let replayed = replay::<Fleet>(segments.last().unwrap(), |_, _, _| {}).unwrap();
        assert_eq!(replayed.torn, None);
        replayed
    }
}

const fn office() -> Office {
    Office {
        deployment: Deployment::from_static("voice"),
        coordinator: WorkerId::from_static("coordinator-0"),
        incarnation: Incarnation::new(1),
    }
}

/// The fleet as a restart finds it.
fn forgetful(fleet: &Fleet) -> Fleet {
    let mut fleet = fleet.clone();
    fleet.forget();
    fleet
}

/// A coordinator, and workers that obey it.
struct World {
    queue: Rc<Queue<Fleet>>,
    running: Pin<Box<dyn Future<Output = Fleet>>>,
    shared: Rc<Shared>,
    workers: BTreeMap<WorkerId, (Version, Worker)>,
    performed: usize,
}

impl World {
    fn new() -> Self {
        let shared = Rc::new(Shared {
            now: Cell::new(Instant::from_micros(1_000_000)),
            due: Cell::new(None),
            deadly: Cell::new(|_| false),
            died: Cell::new(false),
            segments: RefCell::default(),
            appends: Cell::new(0),
            done: RefCell::default(),
        });
        let (queue, running) = start(Fleet::new(Timeouts::default()).unwrap(), &shared);
        Self { queue, running, shared, workers: BTreeMap::new(), performed: 0 }
    }

    /// Two workers of v1 that serve.
    fn serving() -> Self {
        let mut world = Self::new();
        world.roll_out(V1);
        world.run_until(|world| world.stage() == Stage::Completed);
        world
    }

    /// The process is gone, and another begins with what it stored.
    fn restart(&mut self) {
        self.shared.deadly.set(|_| false);
        self.shared.died.set(false);
        self.shared.appends.set(0);
        let stored = self.shared.stored().state;
        (self.queue, self.running) = start(stored, &self.shared);
        self.performed = self.performed.min(self.shared.done.borrow().len());
        self.poll();
    }

    fn roll_out(&self, version: Version) {
        let spec = Spec { version, workers: 2, policy: Policy { wave: 1, shift_step: 50, ..Policy::default() } };
        let epoch = self.queue.view(Fleet::epoch);
        self.submit(Command::Request { epoch, actor: ALICE, request: Request::RollOut(spec) });
    }

    fn submit(&self, command: Command) {
        let _ = self.queue.submit(self.shared.now.get(), command);
    }

    /// Lets the control loop run until it waits for a later instant.
    fn poll(&mut self) {
        assert!(self.running.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(), "a fleet has no end");
    }

    /// A second in which everybody reports, and what is due is done when it is due.
    fn second(&mut self) {
        let end = self.shared.now.get() + Span::from_secs(1);
        for (worker, (version, machine)) in &self.workers {
            let report = Report { run: run(*worker), version: *version, facts: Facts::of(machine.life()) };
            self.submit(Command::Report(report));
        }
        loop {
            self.poll();
            self.obey();
            match self.shared.due.get().filter(|due| *due < end && !self.shared.died.get()) {
                Some(due) => self.shared.now.set(self.shared.now.get().max(due)),
                None => break,
            }
        }
        self.shared.now.set(end);
        self.poll();
    }

    fn seconds(&mut self, count: u32) {
        (0..count).for_each(|_| self.second());
    }

    fn run_until(&mut self, is_done: impl Fn(&Self) -> bool) {
        for _ in 0..SECONDS_MAX {
            if is_done(self) {
                return;
            }
            self.second();
        }
        panic!("it does not come to that: {:?}", self.queue.view(Clone::clone));
    }

    /// Workers and platform do what the effects say.
    fn obey(&mut self) {
        loop {
            let effect = self.shared.done.borrow().get(self.performed).copied();
            let Some(effect) = effect else { return };
            self.performed += 1;
            self.carry_out(effect);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        let now = self.shared.now.get();
        if let Some((run, order)) = effect.order(ALICE) {
            if let Some((_, worker)) = self.workers.get_mut(&run.worker) {
                let _ = worker.step(now, worker::Command::Obey(order));
                while worker.step(now, worker::Command::Wake).is_ok() {}
            }
            return;
        }
        match effect {
            Effect::Provision { version, workers, .. } => {
                for number in 0..workers {
                    let worker = WorkerId::new(&format!("{version}-{number}")).unwrap();
                    self.workers.entry(worker).or_insert_with(|| (version, serving_worker()));
                    self.submit(Command::Register { run: run(worker), version });
                }
            }
            Effect::StopWorker { run, .. } => {
                if let Some((_, worker)) = self.workers.remove(&run.worker) {
                    assert_eq!(worker.phase(), Phase::Drained, "{run} was stopped");
                }
                self.submit(Command::Gone { run });
            }
            _ => {}
        }
    }

    fn admit(&mut self, worker: &str) -> Seq {
        let id = DigestKey::default().digest("call");
        self.command(worker, worker::Command::Admit { id, class: Class::default() })
    }

    fn hang_up(&mut self, worker: &str, call: Seq) {
        let call = openrtc_core::id::CallNo::new(call.get());
        self.command(worker, worker::Command::End { call, reason: EndReason::CallerHangup });
        let now = self.shared.now.get();
        let (_, machine) = self.workers.get_mut(&WorkerId::new(worker).unwrap()).unwrap();
        while machine.step(now, worker::Command::Wake).is_ok() {}
    }

    fn command(&mut self, worker: &str, command: worker::Command) -> Seq {
        let now = self.shared.now.get();
        self.workers.get_mut(&WorkerId::new(worker).unwrap()).unwrap().1.step(now, command).unwrap().seq
    }

    fn phase(&self, worker: &str) -> Option<Phase> {
        self.workers.get(&WorkerId::new(worker).unwrap()).map(|(_, worker)| worker.phase())
    }

    fn stage(&self) -> Stage {
        self.queue.view(|fleet| fleet.rollout().map_or(Stage::Planned, |rollout| rollout.stage))
    }
}

type Running = Pin<Box<dyn Future<Output = Fleet>>>;

/// The process of a coordinator in this state.
fn start(fleet: Fleet, shared: &Rc<Shared>) -> (Rc<Queue<Fleet>>, Running) {
    let queue = Rc::new(Queue::new(fleet.clone()));
    let (intake, mut port) = (Rc::clone(&queue), Port(Rc::clone(shared)));
    let running = Box::pin(async move { control::resume(&*intake, fleet, &mut port).await });
    (queue, running)
}

const fn run(worker: WorkerId) -> Run {
    Run { worker, incarnation: Incarnation::new(1) }
}

fn serving_worker() -> Worker {
    let mut worker = Worker::new(Limits { leave: Leave::Parked, ..Limits::default() }).unwrap();
    worker.step(Instant::EPOCH, worker::Command::Serve).unwrap();
    worker
}
