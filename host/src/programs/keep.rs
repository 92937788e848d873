//! Keeps a version's program running: starts it, waits until it is ready, and starts it again when it ends by itself.

use std::time::Duration;

use openrtc_core::fleet::{Command, Request, Run, Stage};
use openrtc_core::id::{Incarnation, Version, WorkerId};
use openrtc_fleet::child::{Child, Ending, Stopped};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use super::{HOST, Programs};
use crate::program::Program;
use crate::ready::NotReady;
use crate::spot::Spot;
use crate::stray::kill_strays;

/// How long is waited before a program that ended is started again: at first, and at most.
const AGAIN: Duration = Duration::from_millis(500);
const AGAIN_MAX: Duration = Duration::from_secs(30);
/// Whoever ran for this long has not failed at once: the wait begins anew.
const RAN_WELL: Duration = Duration::from_mins(1);
/// How many ports are tried for a program, if other processes take them before it listens.
const PORTS: u32 = 5;

/// How often it is looked whether what a program's first process left behind still listens.
const LOOK: Duration = Duration::from_millis(100);

impl Programs {
    /// Keeps a program of this version running, unless somebody does.
    pub(super) fn keep(&self, version: Version) {
        let mut state = self.lock();
        let is_leaving = state.is_leaving;
        let Some(plan) = state.plans.get_mut(&version).filter(|plan| !plan.is_kept && !is_leaving) else { return };
        plan.is_kept = true;
        drop(state);
        let programs = self.clone();
        tokio::spawn(async move { programs.keep_running(version).await });
    }

    async fn keep_running(self, version: Version) {
        let (mut pause, mut was_ready) = (AGAIN, false);
        while self.is_wanted(version) {
            let begun = Instant::now();
            match self.run_once(version).await {
                Ok(()) => was_ready = true,
                // Taken back meanwhile.
                Err(_) if !self.is_wanted(version) => break,
                Err(why) if was_ready => tracing::error!(%version, %why, "the program is not ready again"),
                Err(why) => return self.give_up(version, &why),
            }
            if !self.is_wanted(version) {
                break;
            }
            if begun.elapsed() >= RAN_WELL {
                pause = AGAIN;
            }
            let pause_ms = pause.as_millis();
            tracing::warn!(%version, pause_ms, "the program is started again after a pause");
            sleep(pause + jitter(pause)).await;
            pause = (pause * 2).min(AGAIN_MAX);
        }
        if let Some(plan) = self.lock().plans.get_mut(&version) {
            plan.is_kept = false;
        }
        // Somebody may have called `keep` since the last look: it found `is_kept`, and did nothing.
        if self.is_wanted(version) {
            self.keep(version);
        }
    }

    /// Whether the fleet has a use for a program of this version.
    fn is_wanted(&self, version: Version) -> bool {
        let admits =
            |fleet: &openrtc_core::fleet::Fleet| fleet.versions().get(&version).is_some_and(|info| info.state.admits());
        !self.lock().is_leaving && self.0.shell.view(admits)
    }

    /// One run of the program, from its start to its end. An error says why it never was ready; nothing of it is left.
    async fn run_once(&self, version: Version) -> Result<(), NotReady> {
        let mut tries = 0;
        let run = loop {
            tries += 1;
            match self.start(version).await {
                Ok(run) => break run,
                Err(why @ NotReady::Foreign { .. }) if tries < PORTS => {
                    tracing::warn!(%version, %why, "the program gets another port");
                }
                Err(why) => return Err(why),
            }
        };
        let Some(child) = self.with(run, |program| program.child.clone()) else { return Ok(()) };
        let ending = self.over(run, &child).await;
        let ended = self.with(run, |program| (!program.is_told_to_end).then(|| program.lost())).flatten();
        if let Some(calls) = ended {
            let pid = child.pid();
            tracing::error!(%version, pid, calls, %ending, "the program ended by itself: its calls ended with it");
            self.lock().crashes += 1;
        }
        self.forget(run).await;
        if ended.is_some() {
            self.fall_back(version);
        }
        Ok(())
    }

    /// Waits until nothing of a program is left. Where its first process has ended and nothing of the rest listens, no
    /// new call can be served: the rest is ended once it has no call, so that the program can start again.
    async fn over(&self, run: Run, child: &Child) -> Ending {
        child.left().await;
        loop {
            let found = self.with(run, |program| program.addr.map(|addr| (addr, program.spot.clone()))).flatten();
            let listens = match &found {
                Some((_, spot)) => spot.is_served(child).await,
                None => false,
            };
            let is_useless = self.with(run, |program| {
                program.addr = found.map(|(addr, _)| addr).filter(|_| listens);
                program.looks.note(listens);
                !listens && !program.is_told_to_end && program.in_flight() == 0
            });
            if is_useless == Some(true) {
                child.stop(self.0.settings.stop_within).await;
            }
            tokio::select! {
                biased;
                ending = child.over() => return ending,
                () = sleep(LOOK) => {}
            }
        }
    }

    /// Starts the program and waits until it listens.
    async fn start(&self, version: Version) -> Result<Run, NotReady> {
        let not_started = |error: std::io::Error| NotReady::NotStarted(error.to_string());
        let Some(mut launch) = self.launch(version) else {
            return Err(NotReady::NotStarted("nobody said how".into()));
        };
        let spot = self.0.settings.reach.spot().map_err(not_started)?;
        spot.tell(&mut launch);
        launch.set.push(("OPENRTC_DEPLOYMENT_VERSION".into(), version.to_string().into()));
        let program = launch.program.to_string_lossy().into_owned();
        let named = |error: std::io::Error| NotReady::NotStarted(format!("{program}: {error}"));
        // It waits for the new process to begin, and looks at the disk: not on a thread that calls need.
        let starting = spawn_blocking(move || launch.start(version.as_str()));
        let child = starting.await.map_err(|error| not_started(error.into()))?.map_err(named)?;
        let run = match self.enrol(version, &child, &spot).await {
            Ok(run) => run,
            Err(error) => {
                let _ = child.kill().await;
                return Err(not_started(error));
            }
        };
        match spot.ready(&child, self.0.settings.ready_within).await {
            Ok(addr) => {
                let (pid, now) = (child.pid(), self.0.shell.now());
                tracing::info!(%version, pid, %addr, "the program is ready");
                self.with(run, |program| program.stand_by(now, addr));
                self.report(run);
                Ok(run)
            }
            Err(why) => {
                self.with(run, |program| program.is_told_to_end = true);
                // It never had a call.
                let _ = child.kill().await;
                let (name, value) = spot.variable();
                kill_strays(&child, &format!("{name}={value}")).await;
                self.forget(run).await;
                Err(why)
            }
        }
    }

    /// The fleet hears of a program that starts.
    async fn enrol(&self, version: Version, child: &Child, spot: &Spot) -> std::io::Result<Run> {
        let invalid = |error: String| std::io::Error::new(std::io::ErrorKind::InvalidInput, error);
        let worker = WorkerId::new(version.as_str()).map_err(|error| invalid(error.to_string()))?;
        let run = {
            let mut state = self.lock();
            if state.is_leaving {
                return Err(invalid("the host is leaving".into()));
            }
            state.runs += 1;
            let run = Run { worker, incarnation: Incarnation::new(state.runs) };
            let program = Program::new(run, version, child.clone(), spot.clone(), self.0.settings.capacity);
            state.programs.insert(worker, program.map_err(|error| invalid(error.to_string()))?);
            run
        };
        self.write_record().await;
        self.submit(Command::Register { run, version });
        self.report(run);
        Ok(run)
    }

    /// A program is gone.
    async fn forget(&self, run: Run) {
        // First: whoever waits until it is forgotten finds its end in the fleet.
        self.submit(Command::Gone { run });
        self.lock().programs.retain(|_, program| program.run != run);
        self.write_record().await;
        self.0.changed.send_replace(());
    }

    /// Ends a program that has drained.
    pub(super) fn end(&self, run: Run) {
        if self.with(run, |program| program.in_flight()) == Some(0) {
            let programs = self.clone();
            tokio::spawn(async move { programs.finish(run).await });
        }
    }

    /// Ends a program: it is left alone for a while, told once, and killed if it takes too long. `None`: it ended by
    /// itself, which is told as that, or somebody else has told it.
    pub(super) async fn finish(&self, run: Run) -> Option<Stopped> {
        let fate = self.with(run, |program| program.fate())?;
        if fate.is_gone().await {
            return None;
        }
        let told = self.with(run, |program| {
            let is_told = std::mem::replace(&mut program.is_told_to_end, true);
            // One that never was ready has nothing to finish.
            let settle = if program.addr.is_some() { self.0.settings.settle } else { Duration::ZERO };
            (!is_told).then_some((program.version, settle))
        });
        let (version, settle) = told.flatten()?;
        Some(end(&fate.child, version, settle, self.0.settings.stop_within).await)
    }

    /// A version that was never ready is given up: its rollout is taken back, and whoever asked hears why.
    fn give_up(&self, version: Version, why: &NotReady) {
        tracing::error!(%version, %why, "the program is not ready, and is given up");
        if let Some(plan) = self.lock().plans.get_mut(&version) {
            // Before anybody hears of it, and asks for it again.
            (plan.is_kept, plan.failure) = (false, Some(why.to_string()));
        }
        let is_coming = self.0.shell.view(|fleet| {
            fleet.rollout().is_some_and(|rollout| rollout.green() == version && !rollout.stage.is_over())
        });
        if is_coming {
            self.ask_back(version);
        }
    }

    /// A new version that ends by itself while the old one still drains: new calls go back to the old one.
    fn fall_back(&self, version: Version) {
        let has_old = self.0.shell.view(|fleet| {
            let rollout = fleet.rollout().filter(|rollout| rollout.green() == version);
            let rollout = rollout.filter(|rollout| matches!(rollout.stage, Stage::Shifting | Stage::Draining));
            rollout.and_then(|rollout| rollout.blue)
        });
        let lives = |old: &Version| {
            let state = self.lock();
            state.programs.values().any(|program| program.version == *old && !program.is_told_to_end)
        };
        if has_old.as_ref().is_some_and(lives) {
            self.ask_back(version);
        }
    }

    fn ask_back(&self, version: Version) {
        match self.0.shell.request(HOST, Request::Rollback) {
            Ok(_) => tracing::warn!(%version, "the upgrade is taken back"),
            Err(rejection) if rejection.is_repeat() => {}
            Err(rejection) => tracing::error!(%version, %rejection, "the upgrade cannot be taken back"),
        }
    }

    /// Keeps on disk which programs run.
    async fn write_record(&self) {
        let Some(record) = self.0.settings.record.clone() else { return };
        let programs = self.clone();
        let listed = |program: &Program| (program.version, program.child.clone());
        let writing = spawn_blocking(move || record.write(|| programs.lock().programs.values().map(listed).collect()));
        // It does not panic, and a runtime that ends has no use for it.
        let _ = writing.await;
    }
}

/// Ends a program that has no calls.
async fn end(child: &Child, version: Version, settle: Duration, stop_within: Duration) -> Stopped {
    let pid = child.pid();
    tokio::select! {
        _ = child.over() => return Stopped::InTime,
        () = sleep(settle) => {}
    }
    let stopped = child.stop(stop_within).await;
    match stopped {
        Stopped::InTime => tracing::info!(%version, pid, "the program has ended"),
        Stopped::Killed => tracing::warn!(%version, pid, "the program did not end within {stop_within:?}: killed"),
        Stopped::Survives => tracing::error!(%version, pid, "the program was killed, and something of it is left"),
    }
    stopped
}

/// Up to a quarter more, so that hosts which fail together do not try again together.
fn jitter(pause: Duration) -> Duration {
    let part = getrandom::u32().unwrap_or_default() % 250;
    pause * part / 1_000
}
