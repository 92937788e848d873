//! How much a rollout bears: figures to be run by hand, on a machine that is quiet.
//!
//! ```sh
//! cargo test --release -p openrtc-livekit --test bars -- --ignored --nocapture
//! ```
#![cfg(feature = "server")]

use std::sync::Arc;
use std::time::Duration;

use openrtc_livekit::dispatcher::{Asked, Progress};
use openrtc_livekit::proto::JobStatus;
use openrtc_livekit::{ApiKey, DevServer, Job, Monitor, Unregistered, Worker};
use openrtc_runtime::{Actor, AgentPool, Call, Exit, ServeError};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

const WORKERS: usize = 4;
const CAPACITY: u32 = 300;
const LIVE: usize = 1_000;
const ROLLOUTS: usize = 10;
/// Dispatches at a time.
const BATCH: usize = 25;

struct Running {
    pool: AgentPool,
    monitor: Monitor,
    hang_up: Arc<Semaphore>,
    life: JoinHandle<Result<Exit, ServeError<Unregistered>>>,
}

impl Running {
    async fn new(server: &DevServer, version: &str) -> Self {
        let pool = AgentPool::builder().deployment_version(version).capacity(CAPACITY).signals(false).build();
        let pool = pool.expect("a pool");
        let worker = Worker::builder().url(server.url()).api_key("devkey", "secret").agent_name("agent").build();
        let worker = worker.expect("a worker");
        let (mut monitor, hang_up) = (worker.monitor(), Arc::new(Semaphore::new(0)));
        let (serving, permits) = (pool.clone(), Arc::clone(&hang_up));
        let handler = move |call: Call<Job>| {
            let permits = Arc::clone(&permits);
            async move {
                let Call { session: job, guard, .. } = call;
                permits.acquire().await.expect("open").forget();
                job.finish(guard, Ok::<_, String>(())).await;
            }
        };
        let life = tokio::spawn(async move { worker.serve(&serving, handler).await });
        monitor.available().await;
        Self { pool, monitor, hang_up, life }
    }
}

async fn fleet(server: &DevServer, version: usize) -> Vec<Running> {
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push(Running::new(server, &format!("v{version}")).await);
    }
    workers
}

/// Dispatches `count` jobs, and waits until these workers have them.
async fn fill(server: &DevServer, workers: &[Running], count: usize) {
    let assigned = || workers.iter().map(|worker| worker.monitor.health().counts.assigned).sum::<u64>();
    for batch in 1..=count.div_ceil(BATCH) {
        for _ in 0..BATCH {
            server.dispatch(Asked { room: "room".to_owned(), agent_name: "agent".to_owned(), ..Asked::default() });
        }
        while assigned() < (batch * BATCH) as u64 {
            sleep(Duration::from_millis(2)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "ten thousand jobs: by hand"]
async fn ten_rollouts_under_a_thousand_live_jobs_drop_none() {
    let begun = Instant::now();
    let server = DevServer::start("127.0.0.1:0".parse().expect("an address"), ApiKey::new("devkey", "secret"), 1).await;
    let server = server.expect("listens");
    let mut old = fleet(&server, 0).await;
    fill(&server, &old, LIVE).await;
    for rollout in 1..=ROLLOUTS {
        let new = fleet(&server, rollout).await;
        for worker in &old {
            worker.pool.begin_drain(Actor::from_static("test")).expect("it drains");
        }
        // The new version takes as many, while the old one still has all of its own.
        fill(&server, &new, LIVE).await;
        for worker in old {
            worker.hang_up.add_permits(LIVE);
            let exit = worker.life.await.expect("no panic").expect("no error");
            let counts = worker.monitor.health().counts;
            assert_eq!((exit.code(), counts.undelivered, counts.delivered), (0, 0, counts.assigned), "{counts:?}");
        }
        old = new;
    }
    for worker in old {
        worker.pool.begin_drain(Actor::from_static("test")).expect("it drains");
        worker.hang_up.add_permits(LIVE);
        assert_eq!(worker.life.await.expect("no panic").expect("no error").code(), 0);
    }
    let dispatches = server.dispatches();
    let assigned = dispatches.iter().filter(|(_, seen)| matches!(seen.progress, Progress::Assigned(_))).count();
    let once = |job: &str| server.ends(job).iter().map(|(_, status)| *status).eq([JobStatus::Success as i32]);
    let ended = dispatches.iter().filter(|(_, seen)| once(&seen.job.id)).count();
    let made = dispatches.len();
    println!("{made} dispatches, {assigned} assigned, {ended} ended well and once, in {:?}", begun.elapsed());
    assert_eq!((assigned, ended), (made, made));
}
