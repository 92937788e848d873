//! Workers at a real LiveKit server, which these tests start. `.ci/run` installs it; by hand:
//!
//! ```sh
//! go install github.com/livekit/livekit-server/cmd/server@v1.13.5
//! OPENRTC_LIVEKIT_SERVER=$(go env GOPATH)/bin/server \
//!     cargo test -p openrtc-livekit --test real_server -- --ignored --test-threads=1
//! ```
#![cfg(all(feature = "guard", feature = "worker"))]

mod cases;
mod guard;
mod network;
mod server;

use std::time::Duration;

use openrtc_livekit::{Api, ApiKey, Guard, Job, Monitor, Unregistered, Worker, WorkerBuilder};
use openrtc_runtime::{Actor, AgentPool, AgentPoolBuilder, Call, Exit, ServeError};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use server::Server;

/// The server loses dispatches by itself when they come faster.
const PACE: Duration = Duration::from_millis(60);

/// A worker whose jobs last until all are told to hang up.
struct Running {
    pool: AgentPool,
    monitor: Monitor,
    hang_up: watch::Sender<bool>,
    life: JoinHandle<Result<Exit, ServeError<Unregistered>>>,
}

impl Running {
    async fn new(server: &Server, version: &str, capacity: u32) -> Self {
        Self::with(pool(capacity).deployment_version(version), builder(&server.url)).await
    }

    async fn with(pool: AgentPoolBuilder, worker: WorkerBuilder) -> Self {
        let mut running = Self::unregistered(pool, worker);
        timeout(Duration::from_secs(10), running.monitor.available()).await.expect("the server confirms it");
        running
    }

    fn unregistered(pool: AgentPoolBuilder, worker: WorkerBuilder) -> Self {
        let (pool, worker) = (pool.build().expect("a pool"), worker.build().expect("a worker"));
        let (monitor, hang_up) = (worker.monitor(), watch::Sender::new(false));
        let (serving, until) = (pool.clone(), hang_up.subscribe());
        let handler = move |call: Call<Job>| {
            let mut until = until.clone();
            async move {
                let Call { session: job, guard, .. } = call;
                assert!(job.token().split('.').count() == 3 && !job.room().is_empty(), "{job:?}");
                let result = tokio::select! {
                    // An error says that the test is over.
                    _ = until.wait_for(|now| *now) => Ok(()),
                    () = job.terminated() => Ok(()),
                    _ = guard.cancelled() => Err("cut".to_owned()),
                };
                match job.metadata() {
                    "fails" => job.finish(guard, Err("broken")).await,
                    "panics" => panic!("on purpose"),
                    _ => job.finish(guard, result).await,
                }
            }
        };
        let life = tokio::spawn(async move { worker.serve(&serving, handler).await });
        Self { pool, monitor, hang_up, life }
    }

    fn assigned(&self) -> u64 {
        self.monitor.health().counts.assigned
    }

    fn drain(&self) {
        self.pool.begin_drain(Actor::from_static("test")).expect("it drains");
    }

    /// Ends its jobs and waits until it has left.
    async fn exit(self) -> Monitor {
        self.exit_with(0).await
    }

    /// Drains it; the server hears how each of its jobs ended.
    async fn leave_told(self) {
        self.drain();
        let counts = self.exit().await.health().counts;
        assert_eq!((counts.delivered, counts.undelivered), (counts.assigned, 0));
    }

    async fn exit_with(self, code: u8) -> Monitor {
        self.hang_up.send_replace(true);
        let exit = timeout(Duration::from_secs(15), self.life).await.expect("it leaves");
        assert_eq!(exit.expect("no panic").expect("no error").code(), code);
        self.monitor
    }
}

fn pool(capacity: u32) -> AgentPoolBuilder {
    AgentPool::builder().deployment_version("v1").capacity(capacity).signals(false)
}

fn builder(url: &str) -> WorkerBuilder {
    Worker::builder().url(url).api_key("devkey", "secret").agent_name("agent")
}

async fn until(what: &str, is_true: impl Fn() -> bool) {
    let wait = async {
        while !is_true() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(timeout(Duration::from_secs(20), wait).await.is_ok(), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real LiveKit server"]
async fn a_job_of_a_real_server_is_taken_and_its_end_is_acknowledged() {
    let server = Server::start().await;
    let worker = Running::new(&server, "v1", 4).await;
    server.dispatch("one").await;
    until("the job is assigned", || worker.assigned() == 1).await;
    worker.drain();
    let counts = worker.exit().await.health().counts;
    assert_eq!((counts.accepted, counts.delivered, counts.undelivered), (1, 1, 0));
    assert_eq!((counts.losses, counts.ignored, counts.undecodable), (0, 0, 0), "it knows all that the server says");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real LiveKit server"]
async fn a_rollout_from_two_blue_workers_to_two_green_ones_loses_no_dispatch() {
    let server = Server::start().await;
    let blue = [Running::new(&server, "v1", 20).await, Running::new(&server, "v1", 20).await];
    let assigned = |workers: &[Running]| workers.iter().map(Running::assigned).sum::<u64>();
    for room in 0..10 {
        server.dispatch(&format!("before-{room}")).await;
        sleep(PACE).await;
    }
    until("blue has the first ten", || assigned(&blue) == 10).await;
    let green = [Running::new(&server, "v2", 20).await, Running::new(&server, "v2", 20).await];
    blue.iter().for_each(Running::drain);
    for room in 0..10 {
        server.dispatch(&format!("after-{room}")).await;
        sleep(PACE).await;
    }
    until("green has the next ten", || assigned(&green) == 10).await;
    assert_eq!(assigned(&blue), 10, "a draining worker takes nothing");
    for worker in blue {
        let counts = worker.exit().await.health().counts;
        assert_eq!((counts.delivered, counts.undelivered, counts.terminated), (counts.assigned, 0, 0));
    }
    for worker in green {
        worker.leave_told().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real LiveKit server"]
async fn a_full_worker_is_passed_over_and_a_deleted_room_ends_nothing_else() {
    let server = Server::start().await;
    let (small, large) = (Running::new(&server, "v1", 1).await, Running::new(&server, "v1", 20).await);
    for room in 0..8 {
        server.dispatch(&format!("room-{room}")).await;
        sleep(PACE).await;
    }
    until("all eight are assigned", || small.assigned() + large.assigned() == 8).await;
    assert!(small.assigned() <= 1);
    server.api().delete_room("room-0").await.expect("it is there");
    assert_eq!(server.api().list_rooms().await.expect("it answers").len(), 7);
    for worker in [small, large] {
        worker.leave_told().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real LiveKit server"]
async fn of_two_guards_one_makes_a_dispatch_again_that_came_before_its_worker() {
    let server = Server::start().await;
    for room in 0..5 {
        server.dispatch(&format!("early-{room}")).await;
    }
    // A server that knows no worker of this name keeps the dispatch, and never offers it.
    let worker = Running::new(&server, "v1", 20).await;
    let guard = || Guard::new(server.api(), Duration::from_secs(1));
    let (mut one, mut other) = (guard(), guard());
    let watch = async {
        while worker.assigned() < 5 {
            let rounds = tokio::join!(one.round(), other.round());
            assert!(rounds.0.is_ok() && rounds.1.is_ok(), "{rounds:?}");
            sleep(Duration::from_millis(200)).await;
        }
    };
    assert!(timeout(Duration::from_secs(20), watch).await.is_ok(), "{:?} {:?}", one.counts(), other.counts());
    assert_eq!(one.counts().repeated + other.counts().repeated, 5, "{:?} {:?}", one.counts(), other.counts());
    worker.drain();
    worker.exit().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real LiveKit server"]
async fn a_wrong_secret_is_named_and_not_shown() {
    let server = Server::start().await;
    let pool = AgentPool::builder().deployment_version("v1").signals(false).build().expect("a pool");
    let worker = Worker::builder().url(&server.url).api_key("devkey", "hidden-and-wrong").build().expect("a worker");
    let (monitor, serving) = (worker.monitor(), pool.clone());
    let life = tokio::spawn(async move { worker.serve(&serving, |_: Call<Job>| async {}).await });
    until("it is refused", || monitor.health().trouble.is_some()).await;
    let trouble = monitor.health().trouble.expect("a trouble");
    assert!(trouble.contains("LIVEKIT_API_SECRET") && !trouble.contains("hidden"), "{trouble}");
    assert!(!trouble.contains("eyJ"), "the server repeats the token, we do not: {trouble}");
    let api = Api::new(&server.url, ApiKey::new("devkey", "hidden-and-wrong")).expect("a good URL");
    let refused = api.list_rooms().await.expect_err("the secret is wrong").to_string();
    assert!(refused.contains("LIVEKIT_API_SECRET") && !refused.contains("eyJ"), "{refused}");
    pool.begin_drain(Actor::from_static("test")).expect("it drains");
    assert_eq!(life.await.expect("no panic").expect("no error").code(), 0);
}
