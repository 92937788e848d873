//! The programs of one host, and what carries out the effects of the host's fleet.
//!
//! A *program* is to the host what a worker is to a fleet. Each version has one, named like it; each time that it is
//! started anew it is another run. The fleet machine says which version gets new calls, which program drains, and which
//! may end. What it says is done here, and what came of it is reported back, at once and every second.

mod keep;
mod slot;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use openrtc_core::fleet::{Alert, Command, Effect, Fleet, Policy, Report, Run, Spec, Timeouts};
use openrtc_core::id::{Actor, Version, WorkerId};
use openrtc_core::order::Order;
use openrtc_core::word::Phase;
use openrtc_fleet::child::{Launch, Stopped};
use openrtc_fleet::shell::{Performer, Running, Shell};
use openrtc_runtime::WorkerView;
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::left_behind::Record;
use crate::program::Program;
use crate::spot::Reach;

pub(crate) use slot::Slot;

/// Who acts when nobody asked for it.
pub(crate) const HOST: Actor = Actor::from_static("host");

/// How often every program is reported.
const REPORT: Duration = Duration::from_secs(1);

/// How much longer than the host the fleet waits for a program to be ready.
const SLACK: Duration = Duration::from_mins(1);

/// How long the host waits for plain requests that are under way when it leaves.
pub(crate) const REQUESTS: Duration = Duration::from_secs(30);

/// How programs are started and ended.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// How programs are reached.
    pub(crate) reach: Reach,
    /// The most calls of one program: those of the host.
    pub(crate) capacity: u32,
    /// How long a program may take to listen.
    pub(crate) ready_within: Duration,
    /// How long a program is left alone after its last call: to hang up elsewhere, to upload, to write.
    pub(crate) settle: Duration,
    /// How long it may take to end after SIGTERM, before it is killed.
    pub(crate) stop_within: Duration,
    /// Where it is kept which programs run, for the next start; `None`: nowhere.
    pub(crate) record: Option<Record>,
}

/// All programs. Cheap to clone; all clones are the same programs.
#[derive(Clone, Debug)]
pub(crate) struct Programs(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shell: Shell,
    settings: Settings,
    state: Mutex<State>,
    /// The host's own worker, once it serves.
    host: OnceLock<WorkerView>,
    /// Rung whenever a call may find a program that it did not find before.
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    plans: BTreeMap<Version, Plan>,
    programs: BTreeMap<WorkerId, Program>,
    /// The share of new calls of each version, per cent.
    weights: BTreeMap<Version, u8>,
    runs: u64,
    /// How many programs ended by themselves.
    crashes: u64,
    /// Whether no program is started any more.
    is_leaving: bool,
}

/// A version that was asked for.
#[derive(Clone, Debug)]
struct Plan {
    launch: Launch,
    /// Whether somebody keeps a program of it running.
    is_kept: bool,
    /// Why its program was not ready, if that is so.
    failure: Option<String>,
}

/// A program as people are shown it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Shown {
    pub(crate) version: Version,
    pub(crate) pid: i32,
    pub(crate) phase: Phase,
    pub(crate) calls: u32,
    /// Plain requests that it answers just now.
    pub(crate) requests: u32,
    pub(crate) addr: Option<SocketAddr>,
    /// Bytes of its output that were not passed on.
    pub(crate) output_cut: u64,
}

impl Programs {
    /// No programs yet, and what runs their fleet.
    pub(crate) fn new(settings: Settings) -> (Self, Running) {
        let fleet = Fleet::new(Timeouts::default()).expect("the defaults are valid");
        let (shell, running) = Shell::new(fleet);
        let (state, host, changed) = (Mutex::default(), OnceLock::new(), watch::Sender::new(()));
        let inner = Inner { shell, settings, state, host, changed };
        (Self(Arc::new(inner)), running)
    }

    /// Acts on what the fleet decides, without end.
    pub(crate) async fn run(&self, running: Running) {
        let report = async {
            let mut ticks = interval(REPORT);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                self.report_all();
            }
        };
        tokio::join!(running.run(self.clone()), report);
    }

    /// Says whose programs these are.
    pub(crate) fn belong_to(&self, host: WorkerView) {
        // A host serves once.
        let _ = self.0.host.set(host);
    }

    /// Where the host's own worker is in its life; `None` before it serves.
    pub(crate) fn host_phase(&self) -> Option<Phase> {
        self.0.host.get().map(WorkerView::phase)
    }

    /// The fleet that decides.
    pub(crate) fn fleet(&self) -> &Shell {
        &self.0.shell
    }

    /// Says how programs of a version are started.
    pub(crate) fn plan(&self, version: Version, launch: Launch) {
        let mut state = self.lock();
        let is_kept = state.plans.get(&version).is_some_and(|plan| plan.is_kept);
        state.plans.insert(version, Plan { launch, is_kept, failure: None });
    }

    /// Plans a version like the one that gets new calls, by another command if one is given.
    pub(crate) fn plan_next(&self, version: Version, command: Option<Vec<OsString>>) {
        let current = self.0.shell.view(Fleet::current);
        let Some(mut launch) = current.and_then(|current| self.launch(current)) else { return };
        let words = command.unwrap_or_default();
        if let Some((program, args)) = words.split_first() {
            (launch.program, launch.args) = (program.clone(), args.to_vec());
        }
        self.plan(version, launch);
    }

    /// Every version that was asked for.
    pub(crate) fn versions(&self) -> Vec<Version> {
        self.lock().plans.keys().copied().collect()
    }

    /// How a rollout to a version is done: all new calls at once, without spare room, since every program may have all
    /// of the host's calls.
    pub(crate) fn spec(&self, version: Version) -> Spec {
        // The host gives a program up by itself; the fleet waits longer before it does.
        let verify_timeout = (self.0.settings.ready_within + SLACK).into();
        Spec { version, workers: 1, policy: Policy { headroom: 0, verify_timeout, ..Policy::default() } }
    }

    /// Why a version's program was not ready, if that is so.
    pub(crate) fn failure(&self, version: Version) -> Option<String> {
        self.lock().plans.get(&version)?.failure.clone()
    }

    /// How a version's program is started.
    pub(crate) fn launch(&self, version: Version) -> Option<Launch> {
        self.lock().plans.get(&version).map(|plan| plan.launch.clone())
    }

    /// The programs that run, as they are now.
    pub(crate) fn shown(&self) -> Vec<Shown> {
        let show = |program: &Program| Shown {
            version: program.version,
            pid: program.child.pid(),
            phase: program.phase(),
            calls: program.calls(),
            requests: program.requests(),
            addr: program.addr,
            output_cut: program.child.cut(),
        };
        self.lock().programs.values().map(show).collect()
    }

    /// How many programs ended by themselves, ever.
    pub(crate) fn crashes(&self) -> u64 {
        self.lock().crashes
    }

    /// Ends every program, once the host has no calls, and waits until they are gone. Plain requests that are under way
    /// are waited for, but not for longer than [`REQUESTS`].
    pub(crate) async fn end_all(&self) {
        self.lock().is_leaving = true;
        self.0.changed.send_replace(());
        let requests = self.lock().programs.values().map(Program::requests).sum::<u32>();
        if requests > 0 {
            tracing::info!(requests, "the host takes no more calls: plain requests that are under way are waited for");
        }
        let answered = self.until(|state| state.programs.values().all(|program| program.in_flight() == 0));
        if timeout(REQUESTS, answered).await.is_err() {
            tracing::warn!("plain requests are not answered after {REQUESTS:?}: they are cut");
        }
        let runs: Vec<Run> = self.lock().programs.values().map(|program| program.run).collect();
        let mut ending = JoinSet::new();
        let now = self.0.shell.now();
        for run in runs {
            self.with(run, |program| program.leave(now, HOST));
            self.report(run);
            let programs = self.clone();
            ending.spawn(async move {
                if programs.finish(run).await != Some(Stopped::Survives) {
                    programs.until(|state| state.programs.values().all(|program| program.run != run)).await;
                }
            });
        }
        while ending.join_next().await.is_some() {}
        // So that the journal tells of their ends. A host's fleet never stands still, so there is no error.
        let _ = self.0.shell.settle().await;
    }

    /// Waits until it is so.
    async fn until(&self, reached: impl Fn(&State) -> bool) {
        let mut changed = self.0.changed.subscribe();
        while !reached(&self.lock()) {
            // The sender lives as long as this.
            let _ = changed.changed().await;
        }
    }

    fn submit(&self, command: Command) {
        if let Err(rejection) = self.0.shell.submit(command)
            && !rejection.is_repeat()
        {
            tracing::debug!(%rejection, ?command, "the host's fleet turned something away");
        }
    }

    fn report(&self, run: Run) {
        let report = self.with(run, |program| program.report());
        if let Some(report) = report {
            self.submit(Command::Report(report));
        }
        self.0.changed.send_replace(());
    }

    fn report_all(&self) {
        let reports: Vec<Report> = self.lock().programs.values().map(Program::report).collect();
        for report in reports {
            self.submit(Command::Report(report));
        }
    }

    /// Does something to the program that a run is of, if it is still there.
    fn with<T>(&self, run: Run, act: impl FnOnce(&mut Program) -> T) -> Option<T> {
        self.lock().programs.get_mut(&run.worker).filter(|program| program.run == run).map(act)
    }

    fn obey(&self, run: Run, order: Order) {
        let now = self.0.shell.now();
        self.with(run, |program| program.obey(now, order));
        self.report(run);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Its maps are whole after every call of their methods.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Performer for Programs {
    fn perform(&mut self, effect: Effect) {
        let actor = self.0.shell.view(|fleet| fleet.rollout().map_or(HOST, |rollout| rollout.actor));
        if let Some((run, order)) = effect.order(actor) {
            self.obey(run, order);
            if matches!(effect, Effect::Reject { .. }) {
                self.end(run);
            }
            return;
        }
        match effect {
            Effect::Provision { version, .. } => self.keep(version),
            Effect::Route { version, weight, .. } => {
                self.lock().weights.insert(version, weight);
                self.0.changed.send_replace(());
            }
            Effect::StopWorker { run, .. } => self.end(run),
            // `CapacityBlocked` is raised in every upgrade, between two reports. A program's end is logged with its
            // exit status. The orders were carried out above.
            Effect::Alert(Alert::CapacityBlocked | Alert::WorkerLost(_))
            | Effect::CancelDrain { .. }
            | Effect::ForceDrain { .. }
            | Effect::OrderDrain { .. }
            | Effect::Judge { .. }
            | Effect::Promote { .. }
            | Effect::Reject { .. } => {}
            Effect::Alert(alert) => tracing::warn!("of the host's programs: {alert}"),
        }
    }
}
