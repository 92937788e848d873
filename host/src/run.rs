//! `openrtc run`: the host's whole life around its programs.

use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use openrtc_core::fleet::{Fleet, Request, Stage};
use openrtc_core::id::{Actor, BadName, Version};
use openrtc_fleet::child::Launch;
use openrtc_fleet::shell::Running;
#[cfg(feature = "livekit")]
use openrtc_livekit::{Unregistered, Upstream};
use openrtc_runtime::{
    AgentPool, Call, CallSource, Config, Ending, Exit, Offer, ServeError, Start, StartError, VARIABLES, process,
};

use crate::before;
use crate::entrance::Entrance;
use crate::front::{self, CONNECTIONS_MAX, carry};
use crate::left_behind::{Record, end_left_behind};
#[cfg(feature = "livekit")]
use crate::livekit;
use crate::programs::{HOST, Programs, REQUESTS, Settings};
use crate::upgrade::Upgrades;

/// How long the host may stay beyond the time that its programs have to end.
const MARGIN: Duration = Duration::from_secs(10);

/// How much longer a call's reservation lasts than the program may take to answer, so that the caller hears that it is
/// too late.
const SLACK: Duration = Duration::from_secs(1);

/// What callers speak.
#[derive(Clone, Debug)]
pub enum Front {
    /// Any protocol over TCP: each connection is a call.
    Tcp,
    /// HTTP/1: a request that becomes a WebSocket is a call, and any other one is forwarded.
    Http {
        /// The path that the host answers as the platform's health check; `None`: the program answers every path.
        health: Option<String>,
        /// The proxies in front, which may say where a request comes from.
        proxies: Vec<IpAddr>,
    },
    /// Nobody connects: the program is a worker of this LiveKit server, and a job is a call.
    #[cfg(feature = "livekit")]
    LiveKit(Upstream),
}

/// What a host runs, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where callers connect, if they do.
    pub listen: SocketAddr,
    /// What callers speak.
    pub front: Front,
    /// The most programs that may run at once.
    pub programs: usize,
    /// The program's version. `None`: `1`, and each upgrade counts on.
    pub version: Option<String>,
    /// The program and its arguments; `{port}` in one stands for the port that it must listen on.
    pub command: Vec<OsString>,
    /// How long a program may take until it listens.
    pub ready_within: Duration,
    /// How long a program is left alone after its last call.
    pub settle: Duration,
    /// How long a program may take to end after SIGTERM, before it is killed.
    pub stop_within: Duration,
    /// How long a call of which one direction is closed may be silent in the other.
    pub half_open: Duration,
}

impl Options {
    /// A host for HTTP with the defaults: 4 programs at once, 30 s to be ready, 10 s to settle, 10 s to end, and a
    /// minute for a half-closed call.
    #[must_use]
    pub fn new(listen: SocketAddr, command: Vec<OsString>) -> Self {
        Self {
            listen,
            front: Front::Http { health: None, proxies: Vec::new() },
            programs: 4,
            version: None,
            command,
            ready_within: Duration::from_secs(30),
            settle: Duration::from_secs(10),
            stop_within: Duration::from_secs(10),
            half_open: Duration::from_mins(1),
        }
    }
}

/// Why a host does not run, or did not run well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// There is no command.
    #[error("no program is named: give it after `--`, as in `openrtc run --listen 127.0.0.1:8080 -- python3 agent.py`")]
    NoCommand,
    /// The version is no name.
    #[error("the version {version:?} cannot be used: {error}")]
    Version {
        /// What was given.
        version: String,
        /// What is wrong with it.
        error: BadName,
    },
    /// Somebody else is to say when the host takes calls.
    #[error("OPENRTC_COORDINATOR is set, and a host does not dial in to a coordinator: unset it for `openrtc run`")]
    Coordinator,
    /// Nobody can connect.
    #[error("cannot listen for calls on {addr}: {error} (is another host there? port 0 picks a free one)")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The host's own worker does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The program is not ready.
    #[error("program {version} is not ready: {why}")]
    NotReady {
        /// Its version.
        version: Version,
        /// Why it is not.
        why: String,
    },
    /// For too long, LiveKit has not let the host register.
    #[cfg(feature = "livekit")]
    #[error(transparent)]
    Unregistered(#[from] Unregistered),
    /// The host's own worker was lost.
    #[error("the host's control loop was lost")]
    Lost,
}

/// A host that listens. Its program is started by [`Host::serve`].
#[derive(Debug)]
pub struct Host {
    half_open: Duration,
    version: Version,
    entrance: Entrance,
    answer_within: Duration,
    pool: AgentPool,
    programs: Programs,
    running: Running,
    is_to_serve: bool,
}

impl Host {
    /// Listens, and builds the host's worker, which takes no calls before its program is ready. `config` is that of any
    /// worker. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// As [`HostError`] says; nothing was started then.
    pub async fn start(options: Options, mut config: Config) -> Result<Self, HostError> {
        let name = options.version.clone().unwrap_or_else(|| "1".into());
        let version = Version::new(&name).map_err(|error| HostError::Version { version: name.clone(), error })?;
        let launch = launch(&options.command).ok_or(HostError::NoCommand)?;
        if config.coordinator.is_some() {
            return Err(HostError::Coordinator);
        }
        let entrance = Entrance::open(&options).await?;
        config.deployment_version = name;
        let is_to_serve = config.start == Start::Serving;
        config.start = Start::Standby;
        entrance.set(&mut config);
        config.exit_watchdog = REQUESTS + options.settle + options.stop_within + MARGIN;
        let answer_within = config.reservation_ttl;
        config.reservation_ttl += SLACK;
        let settings = Settings {
            reach: entrance.reach(),
            // Plain requests are no calls of the host, and take a program's time all the same.
            capacity: config.capacity.saturating_add(CONNECTIONS_MAX.into()),
            ready_within: options.ready_within,
            settle: options.settle,
            stop_within: options.stop_within,
            record: config.journal.as_ref().map(|journal| Record::in_dir(&journal.dir)),
        };
        let (record, stop_within) = (settings.record.clone(), settings.stop_within);
        let journal = config.journal.clone();
        let (programs, mut running) = Programs::new(settings);
        programs.plan(version, launch);
        let orders = Upgrades::new(programs.clone(), options.programs).routes();
        let pool = AgentPool::builder().config(config).ops_orders(orders).build()?;
        if let Some(journal) = journal {
            running = match before::keep(running, journal, &pool, version) {
                Ok(running) => running,
                Err(error) => {
                    leave(&pool, const { Actor::from_static("journal") });
                    pool.retired().await;
                    return Err(StartError::from(error).into());
                }
            };
        }
        // The journal is locked by now: no other host of it lives.
        if let Some(record) = &record {
            end_left_behind(record.file(), stop_within).await;
        }
        let half_open = options.half_open;
        Ok(Self { half_open, version, entrance, answer_within, pool, programs, running, is_to_serve })
    }

    /// Where callers connect, with the port that the system chose if it was 0; `None` if nobody does.
    ///
    /// # Errors
    /// What the system said.
    pub fn local_addr(&self) -> io::Result<Option<SocketAddr>> {
        match &self.entrance {
            Entrance::Callers(listener, _) => listener.local_addr().map(Some),
            #[cfg(feature = "livekit")]
            Entrance::Jobs(_) => Ok(None),
        }
    }

    /// The host's worker.
    #[must_use]
    pub const fn pool(&self) -> &AgentPool {
        &self.pool
    }

    /// Runs the program and passes calls to it, until the host has drained and its programs have ended. `ready` is
    /// called once, when calls are taken.
    ///
    /// # Errors
    /// [`HostError::NotReady`] if the first program does not become ready; nothing of it is left then.
    ///
    /// # Cancellation
    /// Dropped, the host cuts its calls and leaves its programs running.
    pub async fn serve(self, ready: impl FnOnce(&AgentPool)) -> Result<Exit, HostError> {
        let Self { half_open, version, entrance, answer_within, pool, programs, running, is_to_serve } = self;
        let life = Life { version, pool, programs, running, is_to_serve };
        match entrance {
            Entrance::Callers(listener, speaks) => {
                let front = front::Front::new(listener, speaks, life.programs.clone(), answer_within);
                Box::pin(life.live(front, move |call| carry(call, half_open), ready, |never| match never {})).await
            }
            #[cfg(feature = "livekit")]
            Entrance::Jobs(hub) => {
                let front = livekit::Front::new(hub.clone(), life.programs.clone());
                let served = Box::pin(life.live(front, livekit::carry, ready, HostError::from)).await;
                hub.left().await;
                served
            }
        }
    }
}

/// What a host lives on, whatever its calls are.
struct Life {
    version: Version,
    pool: AgentPool,
    programs: Programs,
    running: Running,
    is_to_serve: bool,
}

impl Life {
    /// From the first program's start to the last one's end.
    async fn live<S, H, F>(
        self,
        front: S,
        handler: H,
        ready: impl FnOnce(&AgentPool),
        broken: impl FnOnce(S::Error) -> HostError,
    ) -> Result<Exit, HostError>
    where
        S: CallSource,
        H: Fn(Call<<S::Offer as Offer>::Session>) -> F + Send + Sync + 'static,
        F: Future + Send + 'static,
        F::Output: Ending,
    {
        let Self { version, pool, programs, running, is_to_serve } = self;
        let serve = pool.serve(front, handler);
        let open = open(&programs, version, &pool, is_to_serve, ready);
        let served = async {
            let mut serve = pin!(serve);
            let (served, opened) = tokio::select! {
                // Told to leave before the program was ready.
                served = &mut serve => (served, Ok(())),
                opened = open => (serve.await, opened),
            };
            programs.end_all().await;
            opened?;
            served.map_err(|error| match error {
                ServeError::Source(error) => broken(error),
                _ => HostError::Lost,
            })
        };
        tokio::select! {
            () = programs.run(running) => Err(HostError::Lost),
            () = programs.tell_serving(|version| pool.serves(version)) => Err(HostError::Lost),
            served = served => served,
        }
    }
}

/// Starts the first program, and has the host take calls once that does. If it does not, the host leaves.
async fn open(
    programs: &Programs,
    version: Version,
    pool: &AgentPool,
    is_to_serve: bool,
    ready: impl FnOnce(&AgentPool),
) -> Result<(), HostError> {
    let started = begin(programs, version).await;
    if started.is_err() {
        leave(pool, const { Actor::from_static("program-not-ready") });
    } else {
        if is_to_serve {
            // Refused only by a worker that drains already.
            let _ = pool.promote();
        }
        ready(pool);
    }
    started
}

/// Has a worker without calls leave.
fn leave(pool: &AgentPool, why: Actor) {
    // Refused only by a worker that leaves already.
    let _ = pool.begin_drain(why);
    let _ = pool.leave();
}

/// Starts the first program, and resolves once it takes calls.
async fn begin(programs: &Programs, version: Version) -> Result<(), HostError> {
    let not_ready = |why: String| HostError::NotReady { version, why };
    let asked = programs.fleet().request(HOST, Request::RollOut(programs.spec(version)));
    asked.map_err(|rejection| not_ready(rejection.to_string()))?;
    let stage = |fleet: &Fleet| fleet.rollout().map(|rollout| rollout.stage);
    programs.fleet().until(|fleet| stage(fleet).is_some_and(Stage::is_over)).await;
    let stage = programs.fleet().view(stage);
    match stage {
        Some(Stage::Completed) => Ok(()),
        _ => Err(not_ready(programs.failure(version).unwrap_or_else(|| "it was told to leave".into()))),
    }
}

/// How a command is started; `None` if there is none.
fn launch(command: &[OsString]) -> Option<Launch> {
    let (program, args) = command.split_first()?;
    Some(Launch {
        program: program.clone(),
        args: args.to_vec(),
        set: Vec::new(),
        // Settings and secrets of the host's own.
        unset: VARIABLES.iter().map(|variable| variable.name.to_owned()).collect(),
        descriptors: process::descriptors_given(),
    })
}
