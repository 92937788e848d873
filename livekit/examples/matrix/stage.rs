//! A LiveKit server whose every word a case writes: it accepts workers' sockets, notes what they say, and answers what
//! a case does not want to answer itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use futures_util::{SinkExt as _, StreamExt as _};
use openrtc_livekit::proto::{
    AvailabilityRequest, Job, JobAssignment, JobStatus, JobTermination, RegisterWorkerResponse, Room, ServerMessage,
    ToServer, ToWorker, UpdateJobStatus, UpdateWorkerStatus, WorkerMessage, WorkerPong, WorkerStatus,
};
use openrtc_runtime::Clock;
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::verdict::{Verdict, until};

/// What the job's token says, so that it is found where it must not be.
pub(crate) const JOB_TOKEN: &str = "token.of.the-job";

/// How a socket ends without a close frame, and at words that the server does not know.
const BROKEN: u16 = 1006;
const UNKNOWN: u16 = 1003;

/// How a connection is met.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Door {
    /// It becomes a socket.
    Open,
    /// It becomes a socket that is closed at once.
    Slam,
    /// It becomes a socket that is closed when its registration is confirmed.
    SlamAfterRegister,
    /// It is answered with this status.
    Status(u16),
    /// It is answered with 401 and a clock that is off by so many seconds.
    Skewed(i64),
    /// It is answered with bytes that are no HTTP.
    Garbage,
    /// It is not answered.
    Hang,
}

pub(crate) struct Stage {
    pub(crate) url: String,
    core: Arc<Core>,
    _stop: DropGuard,
}

struct Core(Mutex<State>);

struct State {
    door: Door,
    /// Whether registrations are confirmed.
    registers: bool,
    attempts: Vec<Instant>,
    wires: Vec<Wire>,
}

/// What a worker did on a socket, and when.
#[derive(Clone, Debug)]
pub(crate) enum Heard {
    Said(Instant, Box<ToServer>),
    /// With this code; 1006 if there was none.
    Closed(u16),
}

enum Order {
    Send(Message),
    Mute,
    Cut,
}

/// A worker's socket, from the server's end.
#[derive(Clone)]
pub(crate) struct Wire {
    heard: Arc<Mutex<Vec<Heard>>>,
    orders: mpsc::UnboundedSender<Order>,
    pub(crate) token: String,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("ws://{}", listener.local_addr().expect("an address"));
        let (attempts, wires) = (Vec::new(), Vec::new());
        let core = Arc::new(Core(Mutex::new(State { door: Door::Open, registers: true, attempts, wires })));
        let stop = CancellationToken::new();
        let (serving, life) = (Arc::clone(&core), stop.clone());
        tokio::spawn(async move {
            while let Some(Ok((stream, _))) = life.run_until_cancelled(listener.accept()).await {
                // A connection that is gone already says so when it is read.
                let _ = stream.set_nodelay(true);
                let (core, life) = (Arc::clone(&serving), life.clone());
                lock(&core.0).attempts.push(Instant::now());
                let meet = async move { meet(&core, stream).await };
                tokio::spawn(async move { life.run_until_cancelled(Box::pin(meet)).await });
            }
        });
        Self { url, core, _stop: stop.drop_guard() }
    }

    pub(crate) fn door(&self, door: Door) {
        lock(&self.core.0).door = door;
    }

    pub(crate) fn registers(&self, registers: bool) {
        lock(&self.core.0).registers = registers;
    }

    /// When connections came.
    pub(crate) fn attempts(&self) -> Vec<Instant> {
        lock(&self.core.0).attempts.clone()
    }

    pub(crate) fn wires(&self) -> Vec<Wire> {
        lock(&self.core.0).wires.clone()
    }

    /// The socket of this number, once its worker has registered.
    pub(crate) async fn wire(&self, number: usize, secs: u64) -> Verdict<Wire> {
        let has_registered = |wire: &Wire| wire.said().iter().any(|said| matches!(said, ToServer::Register(_)));
        let found = || self.wires().get(number).is_some_and(has_registered);
        until(secs, &format!("it registers no {}. time within {secs} s", number + 1), found).await?;
        Ok(self.wires()[number].clone())
    }
}

async fn meet(core: &Core, mut stream: TcpStream) {
    let door = lock(&core.0).door;
    let answer = match door {
        Door::Open | Door::Slam | Door::SlamAfterRegister => return carry(core, stream, door).await,
        // The connection stays for as long as this waits.
        Door::Hang => return std::future::pending().await,
        Door::Garbage => "\u{15}\u{3}\u{1} this is no HTTP".to_owned(),
        Door::Status(status) => refusal(status, 0),
        Door::Skewed(ahead) => refusal(401, ahead),
    };
    // A worker that is gone already needs no answer.
    let _ = stream.read(&mut [0; 8 * 1024]).await;
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// From a server whose clock is ahead by so many seconds.
fn refusal(status: u16, ahead: i64) -> String {
    let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(now_secs().saturating_add_signed(ahead)));
    format!(
        "HTTP/1.1 {status} Broken\r\nDate: {date}\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 6\r\n\
         Connection: close\r\n\r\nbroken"
    )
}

pub(crate) fn now_secs() -> u64 {
    Clock::wall().as_micros() / 1_000_000
}

async fn carry(core: &Core, stream: TcpStream, door: Door) {
    let mut token = String::new();
    #[expect(clippy::result_large_err, reason = "tungstenite's own type")]
    let look = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        let header = request.headers().get("authorization").and_then(|header| header.to_str().ok());
        header.and_then(|header| header.strip_prefix("Bearer ")).unwrap_or_default().clone_into(&mut token);
        Ok(response)
    };
    let Ok(socket) = tokio_tungstenite::accept_hdr_async(stream, look).await else { return };
    if matches!(door, Door::Slam) {
        return;
    }
    let (orders, ordered) = mpsc::unbounded_channel();
    let wire = Wire { heard: Arc::default(), orders, token };
    lock(&core.0).wires.push(wire.clone());
    let end = talk(core, &wire, socket, ordered, door).await;
    lock(&wire.heard).push(Heard::Closed(end));
}

/// Carries both sides' words to the end, and returns the code with which the worker closed.
async fn talk(
    core: &Core,
    wire: &Wire,
    mut socket: WebSocketStream<TcpStream>,
    mut ordered: mpsc::UnboundedReceiver<Order>,
    door: Door,
) -> u16 {
    loop {
        let message = tokio::select! {
            order = ordered.recv() => match order {
                // A worker that is gone hears nothing.
                Some(Order::Send(message)) => { let _ = socket.send(message).await; continue }
                Some(Order::Mute) => std::future::pending().await,
                Some(Order::Cut) | None => return BROKEN,
            },
            message = socket.next() => message,
        };
        let frame = match message {
            Some(Ok(Message::Binary(frame))) => frame,
            Some(Ok(Message::Close(frame))) => return frame.map_or(BROKEN, |frame| frame.code.into()),
            Some(Ok(_)) => continue,
            Some(Err(_)) | None => return BROKEN,
        };
        let said = WorkerMessage::decode(frame).ok().and_then(|message| message.message);
        let Some(said) = said else { return UNKNOWN };
        lock(&wire.heard).push(Heard::Said(Instant::now(), Box::new(said.clone())));
        match said {
            ToServer::Register(_) if lock(&core.0).registers => {
                wire.say(registered("AW_matrix"));
                if matches!(door, Door::SlamAfterRegister) {
                    wire.order(Order::Cut);
                }
            }
            ToServer::Ping(ping) => {
                wire.say(ToWorker::Pong(WorkerPong { last_timestamp: ping.timestamp, timestamp: ping.timestamp }));
            }
            _ => {}
        }
    }
}

impl Wire {
    /// When it said such things.
    pub(crate) fn moments(&self, is_it: impl Fn(&ToServer) -> bool) -> Vec<Instant> {
        let moment = |heard: &Heard| match heard {
            Heard::Said(at, said) if is_it(said) => Some(*at),
            Heard::Said(..) | Heard::Closed(_) => None,
        };
        lock(&self.heard).iter().filter_map(moment).collect()
    }

    fn order(&self, order: Order) {
        // A socket that is gone takes no orders.
        let _ = self.orders.send(order);
    }

    pub(crate) fn say(&self, message: ToWorker) {
        self.frame(ServerMessage { message: Some(message) }.encode_to_vec());
    }

    pub(crate) fn frame(&self, bytes: Vec<u8>) {
        self.message(Message::binary(bytes));
    }

    pub(crate) fn message(&self, message: Message) {
        self.order(Order::Send(message));
    }

    /// The connection breaks.
    pub(crate) fn cut(&self) {
        self.order(Order::Cut);
    }

    /// Nothing is read and nothing is said any more, and the connection stays.
    pub(crate) fn mute(&self) {
        self.order(Order::Mute);
    }

    pub(crate) fn close(&self, code: u16) {
        self.message(Message::Close(Some(CloseFrame { code: code.into(), reason: "".into() })));
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        lock(&self.heard).clone()
    }

    pub(crate) fn said(&self) -> Vec<ToServer> {
        let said = |heard| match heard {
            Heard::Said(_, message) => Some(*message),
            Heard::Closed(_) => None,
        };
        self.heard().into_iter().filter_map(said).collect()
    }

    /// How the worker closed, if it did.
    pub(crate) fn closed(&self) -> Option<u16> {
        self.heard().into_iter().find_map(|heard| match heard {
            Heard::Closed(code) => Some(code),
            Heard::Said(..) => None,
        })
    }

    /// The answers to a job's offers: whether each was yes.
    pub(crate) fn answers(&self, job: &str) -> Vec<bool> {
        let answer = |said| match said {
            ToServer::Availability(answer) if answer.job_id == job => Some(answer.available),
            _ => None,
        };
        self.said().into_iter().filter_map(answer).collect()
    }

    pub(crate) fn statuses(&self, job: &str) -> Vec<UpdateJobStatus> {
        let status = |said| match said {
            ToServer::UpdateJob(status) if status.job_id == job => Some(status),
            _ => None,
        };
        self.said().into_iter().filter_map(status).collect()
    }

    /// A job's terminal statuses.
    pub(crate) fn ends(&self, job: &str) -> Vec<JobStatus> {
        let terminal = |status: &JobStatus| matches!(status, JobStatus::Success | JobStatus::Failed);
        self.statuses(job).iter().map(UpdateJobStatus::status).filter(terminal).collect()
    }

    /// What the worker said of itself.
    pub(crate) fn told(&self) -> Vec<UpdateWorkerStatus> {
        let told = |said| match said {
            ToServer::UpdateWorker(told) => Some(told),
            _ => None,
        };
        self.said().into_iter().filter_map(told).collect()
    }

    pub(crate) fn is_full(&self) -> bool {
        let status = self.told().iter().rev().find_map(|told| told.status);
        status == Some(WorkerStatus::Full.into())
    }
}

pub(crate) fn registered(id: &str) -> ToWorker {
    ToWorker::Register(RegisterWorkerResponse { worker_id: id.to_owned(), server_info: None })
}

/// A job whose metadata tells the worker what to do.
pub(crate) fn job(id: &str, metadata: &str) -> Job {
    let room = Room { sid: format!("RM_{id}"), name: format!("room-{id}"), ..Room::default() };
    Job { id: id.to_owned(), room: Some(room), metadata: metadata.to_owned(), ..Job::default() }
}

pub(crate) fn offer(id: &str, metadata: &str) -> ToWorker {
    ToWorker::Availability(AvailabilityRequest { job: Some(job(id, metadata)), resuming: false })
}

pub(crate) fn assignment(id: &str) -> ToWorker {
    ToWorker::Assignment(JobAssignment { job: Some(job(id, "")), url: None, token: JOB_TOKEN.to_owned() })
}

pub(crate) fn termination(id: &str) -> ToWorker {
    ToWorker::Termination(JobTermination { job_id: id.to_owned() })
}
