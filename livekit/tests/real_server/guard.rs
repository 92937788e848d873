//! The guard at a real server that loses dispatches: too many at a time, workers that stay silent, that die before
//! their agents join, that come late. Agents join their rooms, without media.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use openrtc_livekit::proto::{
    AvailabilityResponse, RegisterWorkerRequest, ServerMessage, ToServer, ToWorker, WorkerMessage,
};
use openrtc_livekit::{ApiKey, Guard, Job, Monitor, Worker};
use openrtc_runtime::{Actor, AgentPool, Call, Clock};
use prost::Message as _;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, sleep};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::server::Server;

/// Rooms, each with one dispatch; so many of them before any worker is there.
const ROOMS: usize = 300;
const EARLY: usize = 20;
/// The time between two dispatches: at this rate the server's own search loses some.
const PACE: Duration = Duration::from_millis(20);
/// How long a room may be without its agent before the guard makes its dispatch again.
const AFTER: Duration = Duration::from_secs(5);
/// Within this time of the guard's start each room has its agent.
const STATED: Duration = Duration::from_mins(1);
/// How many offers the silent worker swallows, and how often the other one dies.
const SWALLOWED: usize = 25;
const DEATHS: usize = 15;

/// A worker whose agents join, and stay until the server ends them.
struct Good {
    pool: AgentPool,
    monitor: Monitor,
    life: JoinHandle<()>,
}

impl Good {
    async fn new(server: &Server) -> Self {
        let pool = AgentPool::builder().deployment_version("v1").capacity(400).signals(false).build().expect("a pool");
        let worker = Worker::builder().url(&server.url).api_key("devkey", "secret").agent_name("agent").build();
        let worker = worker.expect("a worker");
        let (mut monitor, serving) = (worker.monitor(), pool.clone());
        let handler = |call: Call<Job>| async move {
            let Call { session: job, guard, .. } = call;
            // A room that is gone cannot be joined.
            let result = join(&job).await.map_err(|error| error.to_string());
            job.finish(guard, result).await;
        };
        let life = tokio::spawn(async move { drop(worker.serve(&serving, handler).await) });
        monitor.available().await;
        Self { pool, monitor, life }
    }
}

async fn connect(request: Request) -> Result<WebSocketStream<TcpStream>, Error> {
    let address = request.uri().authority().map(ToString::to_string).unwrap_or_default();
    let stream = TcpStream::connect(address).await?;
    Ok(client_async(request, stream).await?.0)
}

/// Joins a job's room without media, and stays until the server ends the job.
async fn join(job: &Job) -> Result<(), Error> {
    // Of a client so old that it makes the first offer of media itself: this one never does.
    let address = format!("{}/rtc?access_token={}&protocol=2&auto_subscribe=0", job.url(), job.token());
    let mut signal = connect(address.into_client_request()?).await?;
    let mut alive = interval(Duration::from_secs(4));
    loop {
        tokio::select! {
            () = job.terminated() => return Ok(()),
            // A `SignalRequest` with its field 14, a ping.
            _ = alive.tick() => signal.send(Message::binary(vec![0x70, 0x01])).await?,
            message = signal.next() => match message {
                Some(Ok(Message::Close(_))) | None => return Ok(()),
                Some(message) => drop(message?),
            },
        }
    }
}

/// A worker by hand: takes offers as `answers` says, and is gone at its first assignment.
async fn bad(url: String, answers: bool) {
    let mut request = format!("{url}/agent").into_client_request().expect("a request");
    let token = ApiKey::new("devkey", "secret").worker_token(Clock::wall().as_micros() / 1_000_000);
    let bearer = HeaderValue::from_str(&format!("Bearer {}", token.as_str())).expect("a header");
    request.headers_mut().insert("authorization", bearer);
    let mut socket = connect(request).await.expect("the server takes workers");
    let frame = |message| Message::binary(WorkerMessage { message: Some(message) }.encode_to_vec());
    let register = RegisterWorkerRequest { agent_name: "agent".to_owned(), ..RegisterWorkerRequest::default() };
    socket.send(frame(ToServer::Register(register))).await.expect("it registers");
    let mut offers = 0;
    while offers < SWALLOWED
        && let Some(Ok(message)) = socket.next().await
    {
        let message = ServerMessage::decode(message.into_data()).ok().and_then(|message| message.message);
        match message {
            Some(ToWorker::Availability(request)) if answers => {
                let job_id = request.job.map(|job| job.id).unwrap_or_default();
                let participant_identity = format!("agent-{job_id}");
                let yes = AvailabilityResponse { job_id, available: true, participant_identity, ..Default::default() };
                socket.send(frame(ToServer::Availability(yes))).await.expect("it answers");
            }
            Some(ToWorker::Availability(_)) => offers += 1,
            Some(ToWorker::Assignment(_)) => return,
            _ => {}
        }
    }
}

fn room(number: usize) -> String {
    format!("room-{number}")
}

/// How many rooms have no agent, and how many have several.
async fn look(server: &Server) -> (usize, usize) {
    let (mut none, mut several) = (0, 0);
    for number in 0..ROOMS {
        match server.api().agents(&room(number)).await.unwrap_or(0) {
            0 => none += 1,
            1 => {}
            _ => several += 1,
        }
    }
    (none, several)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real LiveKit server"]
async fn of_300_dispatches_each_room_has_one_agent_within_the_stated_time() {
    let server = Server::start().await;
    for number in 0..EARLY {
        server.dispatch(&room(number)).await;
    }
    let good = [Good::new(&server).await, Good::new(&server).await];
    let silent = tokio::spawn(bad(server.url.clone(), false));
    let url = server.url.clone();
    let dying = tokio::spawn(async move {
        for _ in 0..DEATHS {
            bad(url.clone(), true).await;
        }
    });
    for number in EARLY..ROOMS {
        server.dispatch(&room(number)).await;
        sleep(PACE).await;
    }
    // Late agents are there by then.
    sleep(Duration::from_secs(10)).await;
    let (without, _) = look(&server).await;
    println!("without a guard, {without} of {ROOMS} rooms have no agent 10 s after the last dispatch");
    assert!(without >= EARLY, "the server loses those that came before their workers");

    let begun = Instant::now();
    let mut guards = [(); 2].map(|()| Guard::new(server.api(), AFTER));
    let mut within = None;
    while begun.elapsed() < STATED && within.is_none() {
        let [one, other] = &mut guards;
        let rounds = tokio::join!(one.round(), other.round());
        assert!(rounds.0.is_ok() && rounds.1.is_ok(), "{rounds:?}");
        if look(&server).await.0 == 0 {
            within = Some(begun.elapsed());
        }
        sleep(Duration::from_secs(1)).await;
    }
    let (none, several) = look(&server).await;
    println!(
        "with two guards: {within:?} until no room was without, {none} without and {several} with several at the end"
    );
    println!("{:?}\n{:?}", guards[0].counts(), guards[1].counts());
    assert_eq!((none, several), (0, 0), "each room has one agent");
    silent.abort();
    dying.abort();
    for number in 0..ROOMS {
        server.api().delete_room(&room(number)).await.expect("it is there");
    }
    for Good { pool, monitor, life } in good {
        pool.begin_drain(Actor::from_static("test")).expect("it drains");
        life.await.expect("no panic");
        assert_eq!(monitor.health().counts.undelivered, 0);
    }
}
