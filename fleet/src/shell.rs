//! The shell of the fleet machine: the engine that workers run in, with what carries a fleet's effects out behind it.
//!
//! ```text
//!  request, register, report ──► Shell ──► the fleet machine ──► Performer: start, route, order, stop
//!                                  ▲                                  │
//!                                  └──────── what came of it ─────────┘
//! ```
//!
//! Whoever runs a fleet gives it a [`Performer`], and says through the [`Shell`] what happens there. What a disk that
//! takes nothing costs depends on what the journal is for:
//!
//! - [`Shell::open`] goes on with the fleet that the journal tells of, as a coordinator does. Before an effect is
//!   handed on, the decisions that led to it are on the disk. While the disk takes nothing, the fleet stands still, and
//!   [`Shell::trouble`] says why.
//! - [`Running::journaled`] writes down a fleet that begins anew, as the programs of a host do. It is written by the
//!   rules of a worker's: a disk that is full or stalls costs entries, and holds nothing up for longer than a second.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use openrtc_core::fleet::{Command, Effect, Entry, Fleet, Rejection, Request};
use openrtc_core::id::{Actor, Epoch, Incarnation, Seq};
use openrtc_core::journal::{Batch, Office};
use openrtc_core::machine::Machine;
use openrtc_core::time::Instant;
use openrtc_runtime::intake::Queue;
use openrtc_runtime::journal::{FleetRecovered, Journal, JournalConfig, JournalError};
use openrtc_runtime::ports::Ports;
use openrtc_runtime::writer::Writer;
use openrtc_runtime::{Clock, JournalHealth, control, log};
use tokio::sync::watch;

/// Who takes over if the coordinator's name is no actor's.
const COORDINATOR: Actor = Actor::from_static("coordinator");

/// What carries a fleet's effects out.
pub trait Performer: Send {
    /// Hands an effect on. It must not wait: what takes time is for a task of its own, which says through the [`Shell`]
    /// what came of it. An effect may come twice, and must then be done once.
    fn perform(&mut self, effect: Effect);
}

/// A fleet that runs. Cheap to clone; all clones are the same fleet.
#[derive(Clone, Debug)]
pub struct Shell {
    queue: Arc<Queue<Fleet>>,
    clock: Clock,
    settled: watch::Sender<Settled>,
}

/// How far the control loop is.
#[derive(Clone, Debug, Default)]
struct Settled {
    /// The last decision that was journaled, as far as it could be.
    seq: Seq,
    journal: JournalHealth,
    /// Why it is no further.
    trouble: Option<Trouble>,
}

/// Why a fleet stands still: its journal cannot be written.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the journal in {} cannot be written: {error}", dir.display())]
pub struct Trouble {
    dir: Arc<PathBuf>,
    /// It is in the message, so it is no `source`: a chain of errors would print it twice.
    error: Arc<str>,
}

/// What becomes of a fleet whose journal holds less than was written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDamage {
    /// It does not start: somebody may have a backup.
    Refuse,
    /// It goes on with what stands before the damage.
    GoOn,
}

impl Shell {
    /// A shell for `fleet`, and what runs it. Nothing is stored.
    #[must_use]
    pub fn new(fleet: Fleet) -> (Self, Running) {
        Self::begin(fleet, Clock::start())
    }

    /// A shell for the fleet that the journal in `config.dir` tells of, `fresh` if it tells of none; what runs it; and
    /// what was found, if anything was. Every worker is unknown until it reports. What the fleet owes is performed
    /// first. The new run is a new term, so that no order of it is taken for one that the disk has lost. `office` says
    /// who writes; its incarnation becomes the time, or later than every one found. An end that a crash cut short is
    /// cut off, since what is missing there was answered to nobody; about any other damage `on_damage` decides. Blocks
    /// on the disk.
    ///
    /// # Errors
    /// If the journal cannot be kept: also if another process keeps it, if it is another deployment's, if it is
    /// damaged, or if a newer build wrote what it tells last. Nothing was written then.
    pub fn open(
        config: JournalConfig,
        office: Office,
        fresh: Fleet,
        on_damage: OnDamage,
    ) -> Result<(Self, Running, Found), JournalError> {
        let clock = Clock::start();
        let office = Office { incarnation: Incarnation::new(clock.now().as_micros()), ..office };
        let actor = Actor::new(office.coordinator.as_str());
        let (dir, deployment) = (config.dir.clone(), office.deployment);
        let go_on = |found: Found| {
            let holds = found.as_ref().and_then(|found| found.office).map(|office| office.deployment);
            if let Some(holds) = holds.filter(|holds| *holds != deployment) {
                return Err(JournalError::OtherDeployment { dir, holds });
            }
            if found.as_ref().is_some_and(|found| !found.newer.is_empty()) {
                return Err(JournalError::Newer { dir });
            }
            let damage = found.as_ref().and_then(|found| found.torn.clone()).filter(|(_, torn)| torn.fault.is_damage());
            if let Some((path, torn)) = damage.filter(|_| on_damage == OnDamage::Refuse) {
                return Err(JournalError::Damaged { path, torn });
            }
            // Terms that nothing tells of have given orders, too.
            let terms = 1 + found.as_ref().map_or(0, |found| found.mute);
            let mut fleet = found.and_then(|found| found.fleet).unwrap_or(fresh);
            let epoch = Epoch::new(fleet.latest_epoch().get() + terms);
            let actor = actor.unwrap_or(COORDINATOR);
            fleet.step(clock.now(), Command::TakeOver { epoch, actor }).expect("a later term takes over");
            Ok(fleet)
        };
        let insists = Some(Arc::new(config.dir.clone()));
        let (writer, fleet, found) = keep(config, office, go_on)?;
        let (shell, running) = Self::begin(fleet, clock);
        Ok((shell, Running { writer, insists, ..running }, found))
    }

    fn begin(fleet: Fleet, clock: Clock) -> (Self, Running) {
        let settled = Settled { seq: fleet.seq(), ..Settled::default() };
        let shell = Self { queue: Arc::new(Queue::new(fleet.clone())), clock, settled: watch::Sender::new(settled) };
        (shell.clone(), Running { shell, fleet, writer: Writer::none(), insists: None })
    }

    /// The fleet's time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Says what happened. Once this has returned, it holds for everyone.
    ///
    /// # Errors
    /// The rejection says why the command changed nothing; a repeat is one of them.
    pub fn submit(&self, command: Command) -> Result<Entry, Rejection> {
        self.queue.submit(self.now(), command)
    }

    /// Asks for something on behalf of `actor`.
    ///
    /// # Errors
    /// As for [`Shell::submit`].
    pub fn request(&self, actor: Actor, request: Request) -> Result<Entry, Rejection> {
        self.submit(Command::Request { epoch: self.view(Fleet::epoch), actor, request })
    }

    /// Looks at the fleet as it is now.
    pub fn view<T>(&self, look: impl FnOnce(&Fleet) -> T) -> T {
        self.queue.view(look)
    }

    /// How the fleet's journal is.
    #[must_use]
    pub fn journal(&self) -> JournalHealth {
        self.settled.borrow().journal
    }

    /// Why the fleet stands still, if it does. What is submitted now waits, and so grows without end if nobody looks.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        self.settled.borrow().trouble.clone()
    }

    /// Resolves once everything that was decided until now is in the journal, or never will be. Cancel-safe.
    ///
    /// # Errors
    /// If the fleet stands still. It is in the journal, and done, once the fleet goes on; and never, if it ends before.
    pub async fn settle(&self) -> Result<(), Trouble> {
        let decided = self.view(Fleet::seq);
        let is_so = |settled: &Settled| settled.seq >= decided || settled.trouble.is_some();
        match self.settled.subscribe().wait_for(is_so).await.as_deref() {
            Ok(Settled { seq, trouble: Some(trouble), .. }) if *seq < decided => Err(trouble.clone()),
            // The sender lives as long as this.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Resolves once `reached` is true of the fleet. Cancel-safe.
    pub async fn until(&self, reached: impl Fn(&Fleet) -> bool) {
        let mut settled = self.settled.subscribe();
        while !self.view(&reached) {
            // The sender lives as long as this.
            let _ = settled.changed().await;
        }
    }
}

/// What runs a fleet: poll [`Running::run`] for as long as the fleet is to act.
#[derive(Debug)]
pub struct Running {
    shell: Shell,
    fleet: Fleet,
    writer: Writer<Fleet>,
    /// The journal's directory, if nothing is done that is not on the disk.
    insists: Option<Arc<PathBuf>>,
}

impl Running {
    /// Keeps a journal of this fleet, which begins anew, and returns what the run before left there. `office` says who
    /// writes; its incarnation becomes later than every one found. Blocks on the disk.
    ///
    /// # Errors
    /// As for [`Shell::open`].
    pub fn journaled(self, config: JournalConfig, office: Office) -> Result<(Self, Found), JournalError> {
        let Self { shell, fleet, .. } = self;
        let (writer, fleet, found) = keep(config, office, |_| Ok(fleet))?;
        Ok((Self { shell, fleet, writer, insists: None }, found))
    }

    /// Acts on what the fleet decides, without end. Dropped, nothing is decided any more.
    pub async fn run(self, performer: impl Performer) {
        let Self { shell, fleet, writer, insists } = self;
        let queue = Arc::clone(&shell.queue);
        control::resume(&*queue, fleet, &mut Port { shell, writer, insists, performer }).await;
    }
}

/// What the run before left in the journal; `None` if there was none.
pub type Found = Option<FleetRecovered>;

/// Opens the journal of the fleet that `start` makes of what is found there.
fn keep(
    config: JournalConfig,
    office: Office,
    start: impl FnOnce(Found) -> Result<Fleet, JournalError>,
) -> Result<(Writer<Fleet>, Fleet, Found), JournalError> {
    let (dir, config) = (config.dir.clone(), JournalConfig { say: |line| log::say(line), ..config });
    let (journal, fleet, found) = Journal::open_fleet(config, office, |found| start(found.cloned()))?;
    if let Some((path, torn)) = found.as_ref().and_then(|found| found.torn.as_ref()) {
        let what = if torn.fault.is_damage() { "is damaged" } else { "has a torn end" };
        tracing::warn!(segment = %path.display(), %torn, "the fleet's last journal segment {what}");
    }
    for segment in found.iter().flat_map(|found| &found.newer) {
        let segment = segment.display();
        tracing::warn!(%segment, "a newer build wrote this segment of the fleet's journal: it stays as it is");
    }
    let started = Writer::start(journal);
    let writer = started.map_err(|source| JournalError::Io { dir, what: "start the thread that writes it", source })?;
    Ok((writer, fleet, found))
}

struct Port<P> {
    shell: Shell,
    writer: Writer<Fleet>,
    insists: Option<Arc<PathBuf>>,
    performer: P,
}

impl<P: Performer> Ports<Fleet> for Port<P> {
    fn now(&self) -> Instant {
        self.shell.now()
    }

    async fn next(&mut self, deadline: Option<Instant>, work: impl Future<Output = ()>) {
        tokio::select! {
            () = self.shell.clock.wait(deadline, work) => {}
            () = self.writer.changed() => {
                let journal = self.writer.health();
                self.shell.settled.send_modify(|settled| settled.journal = journal);
            }
        }
    }

    async fn append(&mut self, before: &Fleet, batch: &Batch<Fleet>) -> io::Result<()> {
        let Some(dir) = &self.insists else {
            // A fleet is never over, so no batch is its last.
            return self.writer.append(before, batch, false).await;
        };
        let tell = |journal, error: &io::Error| {
            let trouble = Some(Trouble { dir: Arc::clone(dir), error: error.to_string().into() });
            self.shell.settled.send_modify(|settled| *settled = Settled { journal, trouble, ..*settled });
        };
        self.writer.insist(before, batch, tell).await;
        Ok(())
    }

    fn publish(&mut self, seq: Seq, _: &Fleet) {
        self.shell.settled.send_replace(Settled { seq, journal: self.writer.health(), trouble: None });
    }

    async fn perform(&mut self, effect: Effect) {
        self.performer.perform(effect);
    }
}
