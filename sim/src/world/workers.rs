//! The workers: each the one model of a process, and the host that it runs on.

use openrtc_core::fleet::Run;
use openrtc_core::id::{CallNo, Incarnation, WorkerId};
use openrtc_core::time::{Instant, Span};
use openrtc_core::worker::{Leave, Limits, Worker};

use super::runtime::Shell;
use super::scene::Scene;
use super::surroundings::Surroundings;
use super::uplink::Uplink;
use super::{Context, Life};
use crate::clock::Clock;
use crate::id::{AttemptIndex, Colour, WorkerIndex};
use crate::plan::Plan;
use crate::process::{Process, Promise, Promises, Running, Stage};
use crate::subject::{Level, Subject};

/// What a process knows of its offers, each called by its attempt. There may be a million: they are in order, and come
/// nearly in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Offers {
    promises: Vec<(AttemptIndex, Promise)>,
    by_number: Vec<Option<AttemptIndex>>,
}

impl Offers {
    fn place(&self, offer: AttemptIndex) -> Result<usize, usize> {
        self.promises.binary_search_by_key(&offer, |(known, _)| *known)
    }
}

impl Promises for Offers {
    type Offer = AttemptIndex;

    fn get(&self, offer: AttemptIndex) -> Promise {
        self.place(offer).map(|place| self.promises[place].1).unwrap_or_default()
    }

    fn set(&mut self, offer: AttemptIndex, promise: Promise) {
        match self.place(offer) {
            Ok(place) => self.promises[place].1 = promise,
            Err(place) => self.promises.insert(place, (offer, promise)),
        }
        if promise.stage == Stage::Reserved {
            let place = place_of(promise.number);
            if self.by_number.len() <= place {
                self.by_number.resize(place + 1, None);
            }
            self.by_number[place] = Some(offer);
        }
    }

    fn offer_of(&self, number: CallNo) -> Option<AttemptIndex> {
        self.by_number.get(place_of(number)).copied().flatten()
    }
}

fn place_of(number: CallNo) -> usize {
    usize::try_from(number.get()).expect("a run has no more entries than there is memory")
}

/// One worker.
#[derive(Debug)]
pub struct Node {
    pub(super) process: Process<Offers>,
    pub(super) host: Host,
}

/// What a worker's process runs on, and what those around it know of the worker.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) worker: WorkerIndex,
    pub(super) id: WorkerId,
    pub(super) colour: Colour,
    pub(super) incarnation: Incarnation,
    /// At level 1, the runtime's gate and shell.
    pub(super) shell: Option<Shell>,
    pub(super) uplink: Uplink,
    pub(super) clock: Clock,
    /// How long its records take to flush.
    pub(super) flush: Span,
    /// Whether the end of its journal is lost if it dies.
    pub(super) torn: bool,
    /// When it is woken next.
    pub(super) wake_at: Option<Instant>,
    pub(super) drain_begun: Option<Instant>,
    pub(super) runs: Vec<(Instant, Option<Instant>)>,
}

impl Host {
    fn new(plan: &Plan, worker: WorkerIndex, incarnation: Incarnation) -> Self {
        let id = WorkerId::new(&plan.worker_name(worker)).expect("a colour and a number make a name");
        let colour = plan.colour(worker);
        Self {
            worker,
            id,
            colour,
            incarnation,
            shell: None,
            uplink: Uplink::new(Run { worker: id, incarnation }, colour),
            clock: Clock::default(),
            flush: plan.flush,
            torn: false,
            wake_at: None,
            drain_begun: None,
            runs: Vec::new(),
        }
    }
}

impl Node {
    fn new(scene: &Scene<'_>, worker: WorkerIndex) -> Self {
        Self { process: new_process(scene), host: Host::new(scene.plan, worker, Incarnation::default()) }
    }

    /// A new run begins: nothing is left of the one before but the clock and its place.
    pub(super) fn start(&mut self, scene: &Scene<'_>) {
        self.process = new_process(scene);
        self.process.life = Life::Booting;
        let Subject { level, bug } = scene.subject;
        let shell = (level == Level::Shell).then(|| Shell::start(&self.process.machine, bug));
        let before = &mut self.host;
        before.runs.push((scene.now, None));
        self.host = Host {
            shell,
            clock: before.clock,
            runs: core::mem::take(&mut before.runs),
            ..Host::new(scene.plan, before.worker, Incarnation::new(before.incarnation.get() + 1))
        };
    }

    /// Its process in its surroundings.
    pub(super) fn running<'a, 'p>(
        &'a mut self,
        context: &'a mut Context<'p>,
    ) -> Running<'a, Offers, Surroundings<'a, 'p>> {
        Running { process: &mut self.process, env: Surroundings { host: &mut self.host, context } }
    }

    /// Whether this run of it runs.
    pub(super) fn runs_as(&self, incarnation: Incarnation) -> bool {
        self.host.incarnation == incarnation && self.process.is_up()
    }

    /// The worker machine.
    #[must_use]
    pub const fn machine(&self) -> &Worker {
        &self.process.machine
    }

    /// Where its process is.
    #[must_use]
    pub const fn life(&self) -> Life {
        self.process.life
    }

    /// Which version it runs.
    #[must_use]
    pub const fn colour(&self) -> Colour {
        self.host.colour
    }

    /// When its runs began and ended.
    #[must_use]
    pub fn runs(&self) -> &[(Instant, Option<Instant>)] {
        &self.host.runs
    }

    /// When its last drain began.
    #[must_use]
    pub const fn drain_begun(&self) -> Option<Instant> {
        self.host.drain_begun
    }
}

fn new_process(scene: &Scene<'_>) -> Process<Offers> {
    let limits = Limits { capacity: scene.plan.capacity, leave: Leave::Parked, ..Limits::default() };
    Process::absent(limits, scene.subject.bug).with_record()
}

/// All workers.
#[derive(Debug)]
pub(super) struct Workers {
    pub(super) list: Vec<Node>,
}

impl Workers {
    pub(super) fn new(scene: &Scene<'_>) -> Self {
        Self { list: scene.plan.every_worker().map(|worker| Node::new(scene, worker)).collect() }
    }

    /// This run of a worker, if it runs.
    pub(super) fn up(&mut self, worker: WorkerIndex, incarnation: Incarnation) -> Option<&mut Node> {
        Some(&mut self.list[worker]).filter(|node| node.runs_as(incarnation))
    }
}
