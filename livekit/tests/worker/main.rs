//! A worker and its pool against the dev server, over real sockets.
#![cfg(feature = "server")]

mod bars;

use std::sync::Arc;
use std::time::Duration;

use openrtc_livekit::dispatcher::{Asked, Dispatch, Fault, Progress, Why};
use openrtc_livekit::proto::JobStatus;
use openrtc_livekit::{ApiKey, Decision, DevServer, Health, Job, Monitor, Unregistered, Worker, WorkerBuilder};
use openrtc_runtime::{Actor, AgentPool, AgentPoolBuilder, Call, Exit, OnDeadline, ServeError};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

const SUCCESS: i32 = JobStatus::Success as i32;
const FAILED: i32 = JobStatus::Failed as i32;

async fn server() -> DevServer {
    DevServer::start("127.0.0.1:0".parse().expect("an address"), ApiKey::new("devkey", "secret"), 1)
        .await
        .expect("listens")
}

fn builder(server: &DevServer) -> WorkerBuilder {
    Worker::builder().url(server.url()).api_key("devkey", "secret").agent_name("agent")
}

fn pool(capacity: u32) -> AgentPoolBuilder {
    AgentPool::builder().deployment_version("v1").capacity(capacity).signals(false)
}

fn asked() -> Asked {
    Asked { room: "room".to_owned(), agent_name: "agent".to_owned(), ..Asked::default() }
}

/// A worker at work, whose jobs last until they are told to end.
struct Running {
    pool: AgentPool,
    monitor: Monitor,
    hang_up: Arc<Semaphore>,
    served: JoinHandle<Result<Exit, ServeError<Unregistered>>>,
}

impl Running {
    async fn new(pool: AgentPoolBuilder, worker: WorkerBuilder) -> Self {
        let mut running = Self::unregistered(pool, worker);
        running.monitor.available().await;
        running
    }

    fn unregistered(pool: AgentPoolBuilder, worker: WorkerBuilder) -> Self {
        let (pool, worker) = (pool.build().expect("a pool"), worker.build().expect("a worker"));
        let (monitor, hang_up) = (worker.monitor(), Arc::new(Semaphore::new(0)));
        let (serving, permits) = (pool.clone(), Arc::clone(&hang_up));
        let handler = move |call: Call<Job>| {
            let permits = Arc::clone(&permits);
            async move {
                let Call { session: job, guard, .. } = call;
                let result: Result<(), String> = tokio::select! {
                    permit = permits.acquire() => { permit.expect("open").forget(); Ok(()) }
                    () = job.terminated() => Ok(()),
                    _ = guard.cancelled(), if job.metadata() == "obeys" => Err("cut".to_owned()),
                };
                match job.metadata() {
                    "fails" => return Err("broken".to_owned()),
                    "panics" => panic!("on purpose"),
                    "returns" => return result,
                    _ => job.finish(guard, result).await,
                }
                Ok(())
            }
        };
        let served = tokio::spawn(async move { worker.serve(&serving, handler).await });
        Self { pool, monitor, hang_up, served }
    }

    fn drain(&self) {
        self.pool.begin_drain(Actor::from_static("test")).expect("it drains");
    }

    async fn exit(self) -> Exit {
        timeout(Duration::from_secs(30), self.served).await.expect("it leaves").expect("no panic").expect("no error")
    }

    async fn has(&self, calls: u32) {
        until(|| self.pool.view().in_flight() == calls).await;
    }
}

/// Waits until something is true, looking again every few milliseconds.
async fn until(mut is_true: impl FnMut() -> bool) {
    let wait = async {
        while !is_true() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(Duration::from_secs(20), wait).await.expect("it becomes true");
}

async fn settled(server: &DevServer, id: &str) -> Dispatch {
    let look = || server.dispatches().into_iter().find(|(known, _)| known == id).expect("a dispatch").1;
    until(|| !matches!(look().progress, Progress::Offered { .. })).await;
    look()
}

async fn ends(server: &DevServer, dispatch: &Dispatch) -> Vec<i32> {
    let look = || server.ends(&dispatch.job.id);
    until(|| !look().is_empty()).await;
    look().into_iter().map(|(_, status)| status).collect()
}

fn assigned(dispatch: &Dispatch) -> bool {
    matches!(dispatch.progress, Progress::Assigned(_))
}

async fn health(monitor: &Monitor, is: impl Fn(&Health) -> bool) -> Health {
    until(|| is(&monitor.health())).await;
    monitor.health()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_offered_taken_run_and_its_result_told() {
    let server = server().await;
    let worker = Running::new(pool(4), builder(&server)).await;
    for (metadata, status) in [("", SUCCESS), ("returns", SUCCESS), ("fails", FAILED), ("panics", FAILED)] {
        let id = server.dispatch(Asked { metadata: metadata.to_owned(), ..asked() });
        let dispatch = settled(&server, &id).await;
        assert!(assigned(&dispatch), "{dispatch:?}");
        let (_, answer) = &dispatch.answers[0];
        assert_eq!(answer.participant_identity, format!("agent-{}", dispatch.job.id));
        assert_eq!(answer.participant_attributes["lk.agent.name"], "agent");
        assert_eq!(answer.participant_attributes["openrtc.version"], "v1");
        worker.hang_up.add_permits(1);
        assert_eq!(ends(&server, &dispatch).await, [status], "{metadata}");
    }
    worker.drain();
    assert_eq!(worker.exit().await.code(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_refuses_keeps_what_runs_and_leaves_once_the_last_status_is_there() {
    let server = server().await;
    let blue = Running::new(pool(4), builder(&server)).await;
    let running = settled(&server, &server.dispatch(asked())).await;
    let green = Running::new(pool(4), builder(&server)).await;
    blue.drain();
    // In this order: a new worker is full until its gate has opened, so one open worker may still be the old one.
    until(|| server.workers().iter().map(|(_, open)| *open).eq([false, true])).await;
    for _ in 0..4 {
        let dispatch = settled(&server, &server.dispatch(asked())).await;
        assert!(assigned(&dispatch) && dispatch.progress != running.progress, "{dispatch:?}");
        assert_eq!(dispatch.tried.len(), 1, "a full worker is not even asked");
    }
    // Nothing of this touches what runs; then it ends.
    assert!(server.ends(&running.job.id).is_empty());
    blue.hang_up.add_permits(1);
    let left = blue.monitor.clone();
    assert_eq!(blue.exit().await.code(), 0);
    assert_eq!(server.ends(&running.job.id).len(), 1, "its status was there before the worker had left");
    let counts = left.health().counts;
    assert_eq!((counts.delivered, counts.undelivered), (1, 0));
    green.drain();
    green.hang_up.add_permits(4);
    assert_eq!(green.exit().await.code(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_500_offers_at_once_exactly_as_many_are_taken_as_there_is_room() {
    let server = server().await;
    let worker = Running::new(pool(100), builder(&server)).await;
    for _ in 0..500 {
        server.dispatch(asked());
    }
    until(|| server.dispatches().iter().all(|(_, dispatch)| !matches!(dispatch.progress, Progress::Offered { .. })))
        .await;
    let counts = || worker.monitor.health().counts;
    until(|| counts().accepted + counts().refused == counts().offers).await;
    assert_eq!(counts().accepted, 100, "{:?}", counts());
    let seen: Vec<_> = server.dispatches().into_iter().map(|(_, dispatch)| dispatch).collect();
    // On a machine that is busy an answer may come too late for the server; its promise lapses.
    let taken = seen.iter().filter(|dispatch| assigned(dispatch)).count();
    worker.drain();
    worker.hang_up.add_permits(100);
    assert_eq!(worker.exit().await.code(), 0);
    let told = |dispatch: &&Dispatch| server.ends(&dispatch.job.id).iter().any(|(_, status)| *status == SUCCESS);
    assert_eq!(seen.iter().filter(told).count(), taken);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_drain_tells_the_server_that_its_jobs_failed() {
    let server = server().await;
    let terms = pool(4).drain_timeout(Duration::from_millis(1)).on_deadline(OnDeadline::Force);
    let worker = Running::new(terms, builder(&server)).await;
    let obeys = Asked { metadata: "obeys".to_owned(), ..asked() };
    let dispatches =
        [settled(&server, &server.dispatch(asked())).await, settled(&server, &server.dispatch(obeys)).await];
    worker.drain();
    let exit = worker.exit().await;
    assert_eq!(exit.code(), 3, "{exit}");
    assert!(exit.to_string().contains('2'), "both were cut, whether their handlers heard it or not: {exit}");
    for dispatch in &dispatches {
        assert_eq!(ends(&server, dispatch).await, [FAILED]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_decides_may_refuse_panic_or_hang_and_every_offer_is_answered() {
    let server = server().await;
    let never = Arc::new(Notify::new());
    let decide = move |request: openrtc_livekit::Request| {
        let never = Arc::clone(&never);
        async move {
            match request.metadata() {
                "reject" => Decision::Reject,
                "terminate" => Decision::Terminate,
                "panic" => panic!("on purpose"),
                "hang" => {
                    never.notified().await;
                    Decision::Accept
                }
                _ => Decision::Accept,
            }
        }
    };
    let worker = Running::new(pool(2), builder(&server).decide(decide)).await;
    for (metadata, progress) in [
        ("reject", Progress::Lost(Why::Refused)),
        ("terminate", Progress::Terminated),
        ("panic", Progress::Lost(Why::Refused)),
        ("hang", Progress::Lost(Why::Refused)),
    ] {
        let dispatch = settled(&server, &server.dispatch(Asked { metadata: metadata.to_owned(), ..asked() })).await;
        assert_eq!(dispatch.progress, progress, "{metadata}");
        worker.has(0).await;
    }
    let dispatch = settled(&server, &server.dispatch(asked())).await;
    assert!(assigned(&dispatch), "the slot is free after all of them: {dispatch:?}");
    worker.hang_up.add_permits(1);
    worker.drain();
    assert_eq!(worker.exit().await.code(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_is_named_and_asked_again() {
    let server = server().await;
    for (fault, says) in [
        (Fault::Refuse404, "LIVEKIT_URL"),
        (Fault::Refuse401, "LIVEKIT_API_SECRET"),
        (Fault::SkewClock, "clock skew"),
        (Fault::Refuse503, "503"),
    ] {
        server.break_next(fault, 1);
        let worker = Running::unregistered(pool(1), builder(&server));
        let trouble = health(&worker.monitor, |health| health.trouble.is_some()).await.trouble.expect("a trouble");
        assert!(trouble.contains(says), "{fault}: {trouble}");
        if fault == Fault::Refuse503 {
            health(&worker.monitor, |health| health.registered).await;
        }
        worker.drain();
        assert_eq!(worker.exit().await.code(), 0);
    }
    let wrong = builder(&server).api_key("devkey", "hidden-and-wrong");
    let worker = Running::unregistered(pool(1), wrong);
    let trouble = health(&worker.monitor, |health| health.trouble.is_some()).await.trouble.expect("a trouble");
    assert!(trouble.contains("signature is wrong") && trouble.contains("LIVEKIT_API_SECRET"), "{trouble}");
    assert!(!trouble.contains("hidden") && !trouble.contains("eyJ"), "neither the secret nor a token: {trouble}");
    worker.drain();
    assert_eq!(worker.exit().await.code(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_whatever_a_server_does_wrong_the_next_job_is_taken() {
    for fault in Fault::ALL.iter().filter(|fault| !SLOW.contains(fault)) {
        let server = server().await;
        server.break_next(*fault, 1);
        // Half of the faults meet the registration, the others the first dispatch.
        let worker = Running::new(pool(8), builder(&server)).await;
        server.dispatch(asked());
        let good = async { while !assigned(&settled(&server, &server.dispatch(asked())).await) {} };
        assert!(timeout(Duration::from_secs(20), good).await.is_ok(), "no job after {fault}");
        worker.hang_up.add_permits(8);
        worker.drain();
        // A promise that nobody kept would hold it until it lapses, ten seconds later.
        if *fault != Fault::CloseAfterAnswer {
            assert_eq!(worker.exit().await.code(), 0, "{fault}");
        }
    }
}

/// What takes longer than a test may, or makes the worker wait long: the machine's tests have it in virtual time.
const SLOW: [Fault; 7] = [
    Fault::Blackhole,
    Fault::NoRegisterReply,
    Fault::LateAssignment,
    Fault::NoAssignment,
    Fault::Refuse401,
    Fault::Refuse404,
    Fault::SkewClock,
];
