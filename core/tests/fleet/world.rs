//! A fleet machine with a platform, dispatchers and workers around it, all obeying at once unless told otherwise.
//! Every step is checked: the law that its entry fits, the state's soundness, every invariant, and that folding the
//! decisions alone gives the same state but for what was observed.

use std::collections::BTreeMap;

use openrtc_core::fleet::invariant::{self, Office};
use openrtc_core::fleet::{
    Command, Effect, Entry, Event, Facts, Fleet, Gate, Policy, Rejection, Report, Request, Run, Spec, Stage, Stamp,
    Timeouts, VersionState,
};
use openrtc_core::id::{Actor, Epoch, Incarnation, Seq, Version, WorkerId};
use openrtc_core::machine::Machine;
use openrtc_core::time::{Instant, Span};
use openrtc_core::word::Phase;

pub(crate) const V1: Version = Version::from_static("v1");
pub(crate) const V2: Version = Version::from_static("v2");
pub(crate) const V3: Version = Version::from_static("v3");
pub(crate) const ALICE: Actor = Actor::from_static("alice");
pub(crate) const CAPACITY: u32 = 10;

pub(crate) fn id(name: &str) -> WorkerId {
    WorkerId::new(name).expect("a short name")
}

/// A process as the platform sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fake {
    pub(crate) version: Version,
    pub(crate) incarnation: u64,
    pub(crate) phase: Phase,
    pub(crate) calls: u32,
    pub(crate) seq: u64,
    pub(crate) sealed: bool,
    pub(crate) obeyed: Stamp,
    /// Whether no order reaches it.
    pub(crate) deaf: bool,
    /// Whether none of its reports arrives.
    pub(crate) mute: bool,
}

impl Fake {
    pub(crate) fn facts(&self) -> Facts {
        let available = if self.phase == Phase::Serving { CAPACITY - self.calls } else { 0 };
        Facts {
            seq: Seq::new(self.seq),
            phase: self.phase,
            in_flight: self.calls,
            capacity: CAPACITY,
            available,
            sealed: self.sealed,
            obeyed: self.obeyed,
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.seq += 1;
        self.phase = phase;
        if phase == Phase::Draining && self.calls == 0 {
            self.enter(Phase::Drained);
        }
    }

    pub(crate) fn hang_up(&mut self, calls: u32) {
        self.seq += 1;
        self.calls = self.calls.saturating_sub(calls);
        if self.phase == Phase::Draining && self.calls == 0 {
            self.enter(Phase::Drained);
        }
    }
}

/// A fleet as a restart finds it.
fn forgetful(fleet: &Fleet) -> Fleet {
    let mut fleet = fleet.clone();
    fleet.forget();
    fleet
}

pub(crate) struct World {
    pub(crate) fleet: Fleet,
    pub(crate) at: Instant,
    pub(crate) entries: Vec<Entry>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) fakes: BTreeMap<WorkerId, Fake>,
    /// In which phase processes start that the platform is asked for; `None` if it starts none.
    pub(crate) starts_in: Option<Phase>,
    /// What every gate comes to that no person decides.
    pub(crate) gates_pass: bool,
    /// How often each worker was started, crashed runs included.
    runs: BTreeMap<WorkerId, u64>,
    delivered: usize,
    /// What the stored decisions alone give.
    recorded: Fleet,
}

impl World {
    pub(crate) fn new() -> Self {
        let fleet = Fleet::new(Timeouts::default()).expect("defaults work");
        Self {
            recorded: fleet.clone(),
            fleet,
            at: Instant::from_micros(1_000_000),
            entries: Vec::new(),
            effects: Vec::new(),
            fakes: BTreeMap::new(),
            starts_in: Some(Phase::Serving),
            gates_pass: true,
            runs: BTreeMap::new(),
            delivered: 0,
        }
    }

    /// A fleet with `workers` workers of v1 that serve, as a first rollout leaves it.
    pub(crate) fn serving(workers: u32) -> Self {
        let mut world = Self::new();
        world.roll_out(V1, workers, Policy::default());
        world.run(3);
        assert_eq!(world.stage(), Stage::Completed);
        assert_eq!(world.fleet.weight(V1), 100);
        world
    }

    pub(crate) fn command(&mut self, command: Command) -> Result<Event, Rejection> {
        let before = self.fleet.clone();
        let due = before.deadline();
        let outcome = before.decide(self.at, command);
        if command == Command::Wake {
            assert_eq!(
                outcome.is_ok(),
                due.is_some_and(|(due, _)| due <= self.at.max(before.now())),
                "woken at {due:?}: {outcome:?}"
            );
        }
        let entry = outcome?;
        let mut effects = Vec::new();
        self.fleet.apply(&entry);
        self.fleet.react(&entry, &mut |effect| effects.push(effect));
        if !entry.event.is_observation() {
            self.recorded.fits(&entry).unwrap_or_else(|misfit| panic!("{entry:?}: {misfit}"));
            self.recorded.apply(&entry);
        }
        assert_eq!(forgetful(&self.fleet), self.recorded);
        let verdict = invariant::entry(&before, &entry)
            .and_then(|()| invariant::outcome(Office::from(&before), &entry, &self.fleet, &effects));
        verdict.unwrap_or_else(|breach| panic!("after {:?}: {breach}", entry.event));
        assert!(self.fleet.is_sound(), "after {:?}", entry.event);
        let mut owed = Vec::new();
        self.fleet.obligations(&mut |effect| owed.push(effect));
        // A rejection is an answer: whoever did not get it asks again.
        let is_order = |effect: &Effect| effect.epoch().is_some() && !matches!(effect, Effect::Reject { .. });
        let forgotten = effects.iter().find(|effect| is_order(effect) && !owed.contains(effect));
        assert_eq!(forgotten, None, "an order just given is owed");
        self.entries.push(entry);
        self.effects.extend(effects);
        Ok(entry.event)
    }

    /// The coordinator's process ends and another starts from what was stored: it does again what it owes.
    pub(crate) fn restart(&mut self) {
        self.fleet = self.recorded.clone();
        let mut owed = Vec::new();
        self.fleet.obligations(&mut |effect| owed.push(effect));
        self.effects.extend(owed);
    }

    pub(crate) fn request(&mut self, request: Request) -> Result<Event, Rejection> {
        let epoch = self.fleet.epoch();
        self.command(Command::Request { epoch, actor: ALICE, request })
    }

    pub(crate) fn roll_out(&mut self, version: Version, workers: u32, policy: Policy) {
        self.request(Request::RollOut(Spec { version, workers, policy })).expect("a rollout that can be done");
    }

    pub(crate) fn start(&mut self, name: &str, version: Version, phase: Phase) {
        let run = self.runs.entry(id(name)).or_default();
        *run += 1;
        let incarnation = *run;
        let fake = Fake {
            version,
            incarnation,
            phase,
            calls: 0,
            seq: 1,
            sealed: false,
            obeyed: Stamp::default(),
            deaf: false,
            mute: false,
        };
        self.fakes.insert(id(name), fake);
        let _ = self.register(name);
    }

    pub(crate) fn register(&mut self, name: &str) -> Result<Event, Rejection> {
        let fake = self.fakes[&id(name)];
        let run = Run { worker: id(name), incarnation: Incarnation::new(fake.incarnation) };
        self.command(Command::Register { run, version: fake.version })
    }

    pub(crate) fn report(&mut self, worker: WorkerId) -> Result<Event, Rejection> {
        let fake = self.fakes[&worker];
        let run = Run { worker, incarnation: Incarnation::new(fake.incarnation) };
        self.command(Command::Report(Report { run, version: fake.version, facts: fake.facts() }))
    }

    /// Wakes the machine for as long as something is due.
    pub(crate) fn settle(&mut self) {
        for _ in 0..10_000 {
            if self.command(Command::Wake).is_err() {
                return;
            }
        }
        panic!("the machine does not come to rest: {:?}", self.fleet.deadline());
    }

    /// Performs the effects that were not performed yet.
    pub(crate) fn deliver(&mut self) {
        while self.delivered < self.effects.len() {
            let effect = self.effects[self.delivered];
            self.delivered += 1;
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::CancelDrain { run, stamp } => self.obey(run, stamp, |fake| {
                if matches!(fake.phase, Phase::Draining | Phase::Drained) && !fake.sealed {
                    fake.enter(Phase::Serving);
                }
            }),
            Effect::OrderDrain { run, stamp, .. } => self.obey(run, stamp, |fake| {
                if fake.phase < Phase::Draining {
                    fake.enter(Phase::Draining);
                }
            }),
            Effect::ForceDrain { run, stamp } => self.obey(run, stamp, |fake| fake.hang_up(u32::MAX)),
            Effect::Promote { run, stamp } => self.obey(run, stamp, |fake| {
                if fake.phase == Phase::Standby {
                    fake.enter(Phase::Serving);
                }
            }),
            Effect::StopWorker { run, .. } => {
                if self.fakes.get(&run.worker).is_some_and(|fake| fake.incarnation == run.incarnation.get()) {
                    self.fakes.remove(&run.worker);
                }
                let _ = self.command(Command::Gone { run });
            }
            Effect::Provision { version, workers, .. } => self.provision(version, workers),
            Effect::Judge { gate, step, .. } if gate != Gate::Person => {
                let _ = self.command(Command::Judge { gate, step, passed: self.gates_pass });
            }
            Effect::Judge { .. } | Effect::Alert(_) | Effect::Reject { .. } | Effect::Route { .. } => {}
        }
    }

    /// Starts processes until there are enough of a version, or names run out.
    pub(crate) fn provision(&mut self, version: Version, workers: u32) {
        let Some(phase) = self.starts_in else { return };
        for name in (0..64).map(|number| format!("{version}-{number}")) {
            if self.fleet.members().pool(version).usable >= workers {
                break;
            }
            if !self.fakes.contains_key(&id(&name)) {
                self.start(&name, version, phase);
            }
        }
    }

    fn obey(&mut self, run: Run, stamp: Stamp, change: impl FnOnce(&mut Fake)) {
        let fake = self
            .fakes
            .get_mut(&run.worker)
            .filter(|fake| fake.incarnation == run.incarnation.get() && !fake.deaf && stamp > fake.obeyed);
        if let Some(fake) = fake {
            change(fake);
            fake.seq += 1;
            fake.obeyed = stamp;
        }
    }

    /// Lets seconds pass: in each, orders arrive, everybody reports, and whatever is due is done.
    pub(crate) fn run(&mut self, seconds: u32) {
        for _ in 0..seconds {
            self.tick();
        }
    }

    pub(crate) fn tick(&mut self) {
        self.at = self.at + Span::from_secs(1);
        self.settle();
        self.deliver();
        let heard: Vec<_> = self.fakes.iter().filter(|(_, fake)| !fake.mute).map(|(worker, _)| *worker).collect();
        for worker in heard {
            let _ = self.report(worker);
        }
        self.settle();
        self.deliver();
        self.settle();
    }

    pub(crate) fn stage(&self) -> Stage {
        self.fleet.rollout().expect("a rollout").stage
    }

    pub(crate) fn state(&self, version: Version) -> VersionState {
        self.fleet.versions()[&version].state
    }

    pub(crate) fn happened(&self, is: impl Fn(&Event) -> bool) -> usize {
        self.entries.iter().filter(|entry| is(&entry.event)).count()
    }

    /// What is stored.
    pub(crate) fn decisions(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| !entry.event.is_observation())
    }

    /// How often the platform was asked to end a process.
    pub(crate) fn stops(&self) -> usize {
        self.effects.iter().filter(|effect| matches!(effect, Effect::StopWorker { .. })).count()
    }

    pub(crate) fn fake(&mut self, name: &str) -> &mut Fake {
        self.fakes.get_mut(&id(name)).expect("a process of this name")
    }

    pub(crate) fn take_over(&mut self, epoch: u64) -> Result<Event, Rejection> {
        self.command(Command::TakeOver { epoch: Epoch::new(epoch), actor: ALICE })
    }
}
