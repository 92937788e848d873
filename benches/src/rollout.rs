//! One rollout, two blue and two green workers, as a plan of the simulator and as what a user of turmoil would write.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use sim::plan::{Call, Plan};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::{JoinSet, spawn_local};
use tokio::time::{Instant, sleep, sleep_until};
use turmoil::net::{TcpListener, TcpStream};

const PLAN: &str = "# Two blue, two green, 200 calls, one drain.
sim-plan 1
workers blue 2 green 2 capacity 200
load 200 from 5s over 30s lasting 5s..60s
at 20s rollout
";
const ROLLOUT: Duration = Duration::from_secs(20);
const BLUE: [&str; 2] = ["blue-0", "blue-1"];
const GREEN: [&str; 2] = ["green-0", "green-1"];
const PORT: u16 = 9_000;

/// What the sides say to each other, a byte each.
mod say {
    pub(super) const OFFER: u8 = 1;
    pub(super) const YES: u8 = 2;
    pub(super) const NO: u8 = 3;
    pub(super) const ASSIGN: u8 = 4;
    pub(super) const STARTED: u8 = 5;
    pub(super) const HANG_UP: u8 = 6;
    pub(super) const BYE: u8 = 7;
    pub(super) const DRAIN: u8 = 8;
    pub(super) const DRAINED: u8 = 9;
}

/// The plan.
#[must_use]
pub fn plan() -> Plan {
    PLAN.parse().expect("the plan is one")
}

/// The same rollout under turmoil; returns how many calls ran to their hang-up, which must be all.
#[must_use]
pub fn in_turmoil(plan: &Plan) -> usize {
    let mut world = turmoil::Builder::new()
        .simulation_duration(Duration::from_mins(10))
        .min_message_latency(plan.latency.0.into())
        .max_message_latency(plan.latency.1.into())
        .rng_seed(plan.seed)
        .build();
    for name in BLUE.into_iter().chain(GREEN) {
        world.host(name, || async { Ok(work().await?) });
    }
    let ended = Rc::new(Cell::new(0));
    let (count, calls) = (Rc::clone(&ended), plan.calls.clone());
    world.client("dispatcher", async move {
        count.set(dispatch(calls).await?);
        Ok(())
    });
    world.run().expect("the rollout ends");
    ended.get()
}

/// A worker's state.
#[derive(Default)]
struct Worker {
    draining: Cell<bool>,
    held: Cell<usize>,
    changed: Notify,
}

async fn work() -> io::Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    let worker = Rc::new(Worker::default());
    loop {
        let (mut stream, _) = listener.accept().await?;
        let worker = Rc::clone(&worker);
        spawn_local(async move {
            match stream.read_u8().await? {
                say::DRAIN => drain(&worker, stream).await,
                _ => take(&worker, stream).await,
            }
        });
    }
}

async fn take(worker: &Worker, mut stream: TcpStream) -> io::Result<()> {
    if worker.draining.get() {
        return stream.write_u8(say::NO).await;
    }
    worker.held.set(worker.held.get() + 1);
    let talked = talk(&mut stream).await;
    worker.held.set(worker.held.get() - 1);
    worker.changed.notify_one();
    talked
}

async fn talk(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_u8(say::YES).await?;
    expect(stream, say::ASSIGN).await?;
    stream.write_u8(say::STARTED).await?;
    expect(stream, say::HANG_UP).await?;
    stream.write_u8(say::BYE).await
}

async fn drain(worker: &Worker, mut stream: TcpStream) -> io::Result<()> {
    worker.draining.set(true);
    while worker.held.get() > 0 {
        worker.changed.notified().await;
    }
    stream.write_u8(say::DRAINED).await
}

async fn dispatch(calls: Vec<Call>) -> io::Result<usize> {
    let begun = Instant::now();
    let shifted = Rc::new(Cell::new(false));
    let mut made = JoinSet::new();
    for (number, call) in calls.into_iter().enumerate() {
        let shifted = Rc::clone(&shifted);
        made.spawn_local(async move {
            sleep_until(begun + Duration::from_micros(call.at.as_micros())).await;
            loop {
                let workers = if shifted.get() { GREEN } else { BLUE };
                if make(workers[number % 2], call.lasts.into()).await? {
                    return io::Result::Ok(());
                }
            }
        });
    }
    sleep_until(begun + ROLLOUT).await;
    shifted.set(true);
    for worker in BLUE {
        let mut stream = TcpStream::connect((worker, PORT)).await?;
        stream.write_u8(say::DRAIN).await?;
        made.spawn_local(async move { expect(&mut stream, say::DRAINED).await });
    }
    let done = made.join_all().await;
    Ok(done.into_iter().flatten().count() - BLUE.len())
}

/// A call from its offer to its hang-up; whether the worker took it.
async fn make(worker: &str, lasts: Duration) -> io::Result<bool> {
    let mut stream = TcpStream::connect((worker, PORT)).await?;
    stream.write_u8(say::OFFER).await?;
    if stream.read_u8().await? == say::NO {
        return Ok(false);
    }
    stream.write_u8(say::ASSIGN).await?;
    expect(&mut stream, say::STARTED).await?;
    sleep(lasts).await;
    stream.write_u8(say::HANG_UP).await?;
    expect(&mut stream, say::BYE).await?;
    Ok(true)
}

async fn expect(stream: &mut TcpStream, said: u8) -> io::Result<()> {
    match stream.read_u8().await? {
        heard if heard == said => Ok(()),
        heard => Err(io::Error::other(format!("heard {heard} instead of {said}"))),
    }
}
