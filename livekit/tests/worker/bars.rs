//! How much a rollout bears: figures to be run by hand, on a machine that is quiet.
//!
//! ```sh
//! cargo test --release -p openrtc-livekit --test worker bars -- --ignored --nocapture
//! ```
use std::time::Duration;

use openrtc_livekit::DevServer;
use tokio::time::{Instant, sleep};

use crate::{Running, SUCCESS, asked, assigned, builder, pool, server};

const WORKERS: usize = 4;
const CAPACITY: u32 = 300;
const LIVE: usize = 1_000;
const ROLLOUTS: usize = 10;
/// Dispatches at a time.
const BATCH: usize = 25;

async fn fleet(server: &DevServer, version: usize) -> Vec<Running> {
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push(Running::new(pool(CAPACITY).deployment_version(format!("v{version}")), builder(server)).await);
    }
    workers
}

/// Dispatches `count` jobs, and waits until these workers have them.
async fn fill(server: &DevServer, workers: &[Running], count: usize) {
    let taken = || workers.iter().map(|worker| worker.monitor.health().counts.assigned).sum::<u64>();
    for batch in 1..=count.div_ceil(BATCH) {
        for _ in 0..BATCH {
            server.dispatch(asked());
        }
        while taken() < (batch * BATCH) as u64 {
            sleep(Duration::from_millis(2)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "ten thousand jobs: by hand"]
async fn ten_rollouts_under_a_thousand_live_jobs_drop_none() {
    let begun = Instant::now();
    let server = server().await;
    let mut old = fleet(&server, 0).await;
    fill(&server, &old, LIVE).await;
    for rollout in 1..=ROLLOUTS {
        let new = fleet(&server, rollout).await;
        for worker in &old {
            worker.drain();
        }
        // The new version takes as many, while the old one still has all of its own.
        fill(&server, &new, LIVE).await;
        for worker in old {
            worker.hang_up.add_permits(LIVE);
            let exit = worker.served.await.expect("no panic").expect("no error");
            let counts = worker.monitor.health().counts;
            assert_eq!((exit.code(), counts.undelivered, counts.delivered), (0, 0, counts.assigned), "{counts:?}");
        }
        old = new;
    }
    for worker in old {
        worker.drain();
        worker.hang_up.add_permits(LIVE);
        assert_eq!(worker.served.await.expect("no panic").expect("no error").code(), 0);
    }
    let dispatches = server.dispatches();
    let assigned = dispatches.iter().filter(|(_, seen)| assigned(seen)).count();
    let once = |job: &str| server.ends(job).iter().map(|(_, status)| *status).eq([SUCCESS]);
    let ended = dispatches.iter().filter(|(_, seen)| once(&seen.job.id)).count();
    let made = dispatches.len();
    println!("{made} dispatches, {assigned} assigned, {ended} ended well and once, in {:?}", begun.elapsed());
    assert_eq!((assigned, ended), (made, made));
}
