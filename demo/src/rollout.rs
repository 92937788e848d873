//! The rollout: old version up, new version up, old version drained.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, sleep_until};

use crate::accounts::Moments;
use crate::dispatch::{Dispatcher, make_calls};
use crate::error::{DemoError, WorkerFault};
#[cfg(feature = "livekit")]
use crate::livekit::Exchange;
use crate::load::PlannedCall;
use crate::membership::Membership;
use crate::process::{self, Recipe, Worker, WorkerCommand};
use crate::progress::Progress;
use crate::summary::{RejectedWorker, Summary};
use crate::{BLUE, GREEN, Options};

/// When, of the time in which calls arrive, the new version is started; SIGTERM follows as soon as it is ready.
const SWITCH_AT: f64 = 0.4;
/// How long after the SIGTERM --kill-one kills.
const KILL_AFTER: Duration = Duration::from_millis(500);
/// Calls made to see whether a worker still takes calls: how long, how often, how many at most.
const PROBE: Duration = Duration::from_millis(500);
const PROBE_EVERY: Duration = Duration::from_millis(2);
/// The same on LiveKit, whose server loses dispatches by itself when they come much faster.
const DISPATCH_EVERY: Duration = Duration::from_millis(40);
const PROBES_MAX: u32 = 1_000;
/// How many of them are made after the worker has refused one, so that one it took all the same would show.
const PROBES_AFTER: u32 = 25;

/// A rollout in progress. Workers are known by their place in the list: first the old version's, then the new one's.
pub(crate) struct Rollout<'a> {
    pub(crate) options: &'a Options,
    worker: WorkerCommand,
    pub(crate) dir: &'a Path,
    pub(crate) membership: Membership,
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) workers: Vec<Worker>,
    /// Every worker's journal, also of those that were not admitted.
    pub(crate) journals: Vec<PathBuf>,
    pub(crate) rejected: Vec<RejectedWorker>,
    calls: JoinSet<()>,
    progress: Progress,
    pub(crate) begun: Instant,
}

impl<'a> Rollout<'a> {
    pub(crate) fn new(
        options: &'a Options,
        worker: &WorkerCommand,
        dir: &'a Path,
        membership: Membership,
        dispatcher: Dispatcher,
    ) -> Self {
        let worker = worker.clone();
        #[cfg(feature = "livekit")]
        let worker = match dispatcher.exchange() {
            Some(exchange) => exchange.command(worker),
            None => worker,
        };
        let dispatcher = Arc::new(dispatcher);
        let progress = Progress::start(Arc::clone(&dispatcher));
        Self {
            options,
            worker,
            dir,
            membership,
            dispatcher,
            workers: Vec::new(),
            journals: Vec::new(),
            rejected: Vec::new(),
            calls: JoinSet::new(),
            progress,
            begun: Instant::now(),
        }
    }

    /// The story: old version up, callers calling, new version up, calls shifted, old version drained, all calls ended.
    pub(crate) async fn perform(mut self, calls: Vec<PlannedCall>) -> Result<Summary, DemoError> {
        let arriving = calls.last().map_or(Duration::ZERO, |call| call.start);
        self.options.load.describe(&calls).iter().for_each(|line| self.progress.say(line));
        self.membership.allow(&[BLUE]);
        self.start(self.options.blue, "blue", BLUE).await?;
        self.begun = Instant::now();
        let callers = tokio::spawn(make_calls(Arc::clone(&self.dispatcher), calls));

        sleep_until(self.begun + arriving.mul_f64(SWITCH_AT)).await;
        self.membership.allow(&[BLUE, GREEN]);
        self.start(self.options.green, "green", GREEN).await?;
        let blue = usize::from(self.options.blue);
        self.dispatcher.shift_to(blue);
        self.membership.allow(&[GREEN]);
        self.progress.say(&self.who_gets_calls());

        let sigterm = self.drain_blue()?;
        if self.options.kill_one {
            self.kill_one().await?;
        }
        let mut exits = self.await_exits(0..blue).await?;
        self.progress.say(&format!("every {BLUE} worker has exited"));
        if self.options.leftover {
            self.start_leftover().await?;
        }
        callers.await.expect("making calls does not panic").join_all().await;
        while self.calls.join_next().await.is_some() {}

        self.progress.say("all calls have ended; stopping the new version");
        for worker in &self.workers[blue..] {
            worker.signal(Signal::TERM)?;
        }
        exits.extend(self.await_exits(blue..self.workers.len()).await?);
        self.progress.finish();
        self.summary(&Moments { sigterm, exits })
    }

    async fn start(&mut self, count: u8, colour: &str, version: &'static str) -> Result<(), DemoError> {
        let mut settings = self.settings();
        if let Some(timeout) = self.options.drain_timeout {
            settings.push(("OPENRTC_DRAIN_TIMEOUT", format!("{}ms", timeout.as_millis())));
        }
        if let Some(policy) = self.options.on_deadline {
            settings.push(("OPENRTC_ON_DEADLINE", policy.as_str().into()));
        }
        for number in 1..=count {
            let name = format!("{colour}-{number}");
            let journal = self.dir.join(&name);
            let recipe = Recipe {
                worker: &self.worker,
                name: &name,
                version,
                journal: &journal,
                settings: &settings,
                voice: &self.progress.voice,
            };
            let target = self.dispatcher.add(version);
            // Before it is there: LiveKit gives it jobs as soon as it is.
            #[cfg(feature = "livekit")]
            if let Some(exchange) = self.dispatcher.exchange() {
                exchange.add(&name, self.workers.len(), Arc::clone(&target));
            }
            let worker = process::start(recipe).await?;
            self.membership.check(&name, version)?;
            if let Some(calls) = worker.calls {
                target.listens(calls);
            }
            self.journals.push(worker.journal.clone());
            self.workers.push(worker);
        }
        self.progress.say(&format!("{count} workers of {version} are ready"));
        Ok(())
    }

    /// What every worker is told.
    fn settings(&self) -> Vec<(&'static str, String)> {
        let membership = self.membership.settings().into_iter();
        #[cfg(feature = "livekit")]
        let membership = membership.chain(self.dispatcher.exchange().into_iter().flat_map(Exchange::settings));
        membership.collect()
    }

    fn who_gets_calls(&self) -> String {
        if self.dispatcher.on_livekit() {
            format!("new calls go to both versions until {BLUE} drains")
        } else {
            format!("new calls go to {GREEN}")
        }
    }

    /// How often a worker that drains is offered a call all the same.
    fn probe_every(&self) -> Duration {
        if self.dispatcher.on_livekit() { DISPATCH_EVERY * u32::from(self.options.blue) } else { PROBE_EVERY }
    }

    /// Sends SIGTERM to every old worker and, as a dispatcher with an old view would, goes on offering each of them
    /// calls, until it refuses one and for a while after.
    fn drain_blue(&mut self) -> Result<Instant, DemoError> {
        let sigterm = Instant::now();
        for worker in 0..usize::from(self.options.blue) {
            self.workers[worker].signal(Signal::TERM)?;
            let (dispatcher, every) = (Arc::clone(&self.dispatcher), self.probe_every());
            self.calls.spawn(async move {
                let mut late = JoinSet::new();
                let mut pace = interval(every);
                let mut after = 0;
                for number in 0..PROBES_MAX {
                    pace.tick().await;
                    if dispatcher.first_refusal(worker).is_some() {
                        after += 1;
                    }
                    if after > PROBES_AFTER {
                        break;
                    }
                    let (dispatcher, id) = (Arc::clone(&dispatcher), format!("late-{worker}-{number}"));
                    late.spawn(async move { dispatcher.call(id, PROBE, Some(worker)).await });
                }
                late.join_all().await;
            });
        }
        self.progress.say(&format!("SIGTERM to every {BLUE} worker"));
        Ok(sigterm)
    }

    async fn kill_one(&self) -> Result<(), DemoError> {
        sleep(KILL_AFTER).await;
        let worker = &self.workers[0];
        worker.signal(Signal::KILL)?;
        self.progress.say(&format!("SIGKILL to {}", worker.name));
        Ok(())
    }

    /// Starts the first old worker again, as a platform would that does not know of the switch.
    async fn start_leftover(&mut self) -> Result<(), DemoError> {
        let name = self.workers[0].name.clone();
        let journal = self.dir.join(format!("{name}-leftover"));
        let settings = self.settings();
        let (worker, voice) = (&self.worker, &self.progress.voice);
        let recipe = Recipe { worker, name: &name, version: BLUE, journal: &journal, settings: &settings, voice };
        let status = process::run_refused(recipe).await?;
        self.journals.push(journal.clone());
        let rejected = self.membership.rejection(&name, BLUE, status.code());
        let rejected = rejected.ok_or_else(|| WorkerFault::NotRefused(status).of(&name))?;
        self.progress.say(&format!("{name} of {BLUE} was started again and not admitted: {}", rejected.message));
        self.rejected.push(rejected);
        Ok(())
    }

    async fn await_exits(&mut self, which: std::ops::Range<usize>) -> Result<Vec<(ExitStatus, Instant)>, DemoError> {
        let waits = self.workers[which].iter_mut().map(Worker::wait);
        futures_util::future::try_join_all(waits).await
    }
}
