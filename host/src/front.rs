//! Where calls come from: connections to an address, each offered to the host's gate and then passed to a program.

mod hangup;
pub(crate) mod head;
pub(crate) mod http;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openrtc_fleet::child::Child;
use openrtc_runtime::http::{Peer, Seat, accept_until};
use openrtc_runtime::process::Reserve;
use openrtc_runtime::{BadCallId, Call, CallId, CallSource, EndReason, Listening, Offer, Refusal, WorkerView};
use rustix::net::sockopt::{set_socket_keepalive, set_tcp_keepcnt, set_tcp_keepidle, set_tcp_keepintvl};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};

use crate::program::Served;
use crate::programs::{Programs, Slot};
use crate::relay::{Early, Parted, Side, relay};
use hangup::Hangup;
use head::Kind;
use http::Request;

/// The most connections that are no calls, or not yet.
pub(crate) const CONNECTIONS_MAX: u16 = 4_096;
/// Descriptors held back, so that a caller gets its no when the process has none left.
const RESERVE: usize = 8;
/// How long a call waits for a program, while the one that takes new calls is being started again.
const PROGRAM: Duration = Duration::from_secs(5);
/// How long a program may refuse a connection while its queue is full.
const CONNECT: Duration = Duration::from_secs(2);
/// How long until it is tried again.
const RETRY: Duration = Duration::from_millis(20);
/// How long a caller may be silent before it is asked whether it is there.
const SILENT: Duration = Duration::from_mins(1);
/// How long until it is asked again.
const ASK_EVERY: Duration = Duration::from_secs(10);
/// How often it is asked before it counts as gone.
const ASKED: u32 = 6;

/// What a connection to the front is.
#[derive(Clone, Debug)]
pub(crate) enum Speaks {
    /// A call, whatever is said on it.
    Tcp,
    /// A request, which may become a call.
    Http(Arc<http::Settings>),
}

/// Takes calls from a listener.
pub(crate) struct Front {
    listener: Option<(TcpListener, Reserve)>,
    speaks: Speaks,
    programs: Programs,
    /// How long a program may take to take a call.
    answer_within: Duration,
    yielded: mpsc::Sender<Incoming>,
    offers: mpsc::Receiver<Incoming>,
}

impl Front {
    pub(crate) fn new(listener: TcpListener, speaks: Speaks, programs: Programs, answer_within: Duration) -> Self {
        let (yielded, offers) = mpsc::channel(64);
        Self { listener: Some((listener, Reserve::of(RESERVE))), speaks, programs, answer_within, yielded, offers }
    }
}

impl CallSource for Front {
    type Offer = Incoming;
    type Error = Infallible;
    type Reporter = ();

    fn attach(&mut self, worker: WorkerView) {
        self.programs.belong_to(worker.clone());
        if let Some((listener, reserve)) = self.listener.take() {
            let door = Door {
                speaks: self.speaks.clone(),
                programs: self.programs.clone(),
                answer_within: self.answer_within,
                yielded: self.yielded.clone(),
                worker: worker.clone(),
                numbers: Arc::new(AtomicU64::new(0)),
            };
            tokio::spawn(accept(listener, reserve, door, worker.listening()));
        }
    }

    async fn next(&mut self) -> Result<Option<Incoming>, Infallible> {
        Ok(self.offers.recv().await)
    }
}

/// Accepts connections until the host is about to leave.
async fn accept(listener: TcpListener, reserve: Reserve, door: Door, listening: Listening) {
    accept_until(listening.closing(), listener, CONNECTIONS_MAX.into(), reserve, move |caller, peer, seat| {
        door.clone().enter(caller, peer, seat, listening.clone())
    })
    .await;
}

/// What each connection needs.
#[derive(Clone)]
struct Door {
    speaks: Speaks,
    programs: Programs,
    answer_within: Duration,
    yielded: mpsc::Sender<Incoming>,
    worker: WorkerView,
    numbers: Arc<AtomicU64>,
}

impl Door {
    async fn enter(self, mut caller: TcpStream, peer: Peer, seat: Arc<Seat>, listening: Listening) {
        let Peer::Tcp(from) = peer else { return };
        attend(&caller);
        let request = match &self.speaks {
            Speaks::Tcp => None,
            Speaks::Http(settings) => {
                let Some(request) = Request::read(&mut caller, from, settings).await else { return };
                // It has asked for something, so it gets an answer.
                seat.keep(());
                if request.head.kind == Kind::Plain {
                    return http::serve(caller, request, &self.programs, &self.worker, listening, settings).await;
                }
                Some((request, settings.half_open))
            }
        };
        seat.keep(());
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        // A call is named by where it comes from, and a number that tells it from others that came from there.
        let id = CallId::new(&format!("{from}/{number}"));
        let answer_by = Instant::now() + self.answer_within;
        let incoming = Incoming { id, caller, request, programs: self.programs, answer_by, listening };
        drop(self.yielded.send(incoming).await);
    }
}

/// Makes a connection fit for a call: no delay, and it is found out if the other end is gone. What fails on a
/// connection that is gone already, its first read tells.
fn attend(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = set_socket_keepalive(stream, true);
    let _ = set_tcp_keepidle(stream, SILENT);
    let _ = set_tcp_keepintvl(stream, ASK_EVERY);
    let _ = set_tcp_keepcnt(stream, ASKED);
}

/// A connection that offers a call.
pub(crate) struct Incoming {
    id: Result<CallId, BadCallId>,
    caller: TcpStream,
    /// What it asked for, over HTTP, and how long the answer may be silent.
    request: Option<(Request, Duration)>,
    programs: Programs,
    /// When the program must have taken it: before its reservation lapses.
    answer_by: Instant,
    /// Until it is answered.
    listening: Listening,
}

impl Offer for Incoming {
    type Session = Leg;

    fn id(&self) -> CallId {
        self.id.clone().expect("only an offer that has one is asked for it")
    }

    fn invalid(&self) -> Option<BadCallId> {
        self.id.as_ref().err().copied()
    }

    async fn accept(self) -> Option<Leg> {
        let Self { caller, request, programs, answer_by, listening, .. } = self;
        drop(listening);
        let Some((request, half_open)) = request else {
            // Too late, and there is no answer but to hang up.
            let reached = timeout_at(answer_by, reach(&programs, Served::Call)).await.ok()?;
            let early = Early::default();
            let program = reached.map(|(slot, program)| Reached { slot, program, early, hangup: None });
            return Some(Leg { caller, program });
        };
        http::ask(caller, request, &programs, half_open, answer_by).await
    }

    async fn decline(mut self, refusal: Refusal) {
        if self.request.is_some() {
            http::refuse(&mut self.caller, &refusal.to_string()).await;
        }
        // To hang up is the one answer that every other protocol has.
    }
}

/// Why no program took a call.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unserved {
    #[error("no program takes calls: the one that has to is not running, or is full")]
    NoProgram,
    #[error("program {version} does not answer on {addr}: {error}")]
    NotConnected { version: String, addr: SocketAddr, error: io::Error },
}

/// A call between its two ends.
pub(crate) struct Leg {
    caller: TcpStream,
    program: Result<Reached, Unserved>,
}

/// A program that took a call.
pub(crate) struct Reached {
    slot: Slot,
    program: TcpStream,
    /// What was said before it was a call.
    early: Early,
    /// Who hung up, over a WebSocket.
    hangup: Option<Mutex<Hangup>>,
}

/// Connects to the program that has to take what comes next. One that has just ended is none: the next one is waited
/// for.
pub(crate) async fn reach(programs: &Programs, served: Served) -> Result<(Slot, TcpStream), Unserved> {
    let by = Instant::now() + PROGRAM;
    loop {
        let patience = by.saturating_duration_since(Instant::now());
        let slot = programs.slot(served, patience).await.ok_or(Unserved::NoProgram)?;
        match connect(slot.addr, &slot.fate.child).await {
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
                return Ok((slot, stream));
            }
            Err(_) if slot.fate.child.is_ending() && Instant::now() < by => {
                drop(slot);
                sleep(RETRY).await;
            }
            Err(error) => {
                let (version, addr) = (slot.version.to_string(), slot.addr);
                return Err(Unserved::NotConnected { version, addr, error });
            }
        }
    }
}

/// Connects to a program, also if its queue is full for a moment.
async fn connect(addr: SocketAddr, child: &Child) -> io::Result<TcpStream> {
    let until = Instant::now() + CONNECT;
    loop {
        match TcpStream::connect(addr).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && Instant::now() < until => {
                if child.is_ending() {
                    return Err(error);
                }
                sleep(RETRY).await;
            }
            connected => return connected,
        }
    }
}

/// Sees a call to its end: passes its bytes on, and says who ended it.
pub(crate) async fn carry(call: Call<Leg>, half_open: Duration) -> Result<(), String> {
    let Call { session, guard, .. } = call;
    let Leg { caller, program } = session;
    let Reached { slot, program, early, hangup } = program.map_err(|unserved| unserved.to_string())?;
    guard.served_by(slot.version);
    let moved = |side: Side, bytes: &[u8]| {
        guard.progress();
        if let Some(hangup) = &hangup {
            lock(hangup).saw(side, bytes);
        }
    };
    let cancelled = guard.cancelled();
    let parted = tokio::select! {
        biased;
        parted = relay(&caller, &program, early, half_open, moved, slot.fate.is_gone()) => parted,
        _ = cancelled => {
            drop((caller, program, slot));
            guard.end(EndReason::DrainForced).await;
            return Ok(());
        }
    };
    let first = hangup.and_then(|hangup| lock(&hangup).first());
    let closed = match parted {
        Parted::Closed(side) | Parted::Silent(side) => Some(side),
        Parted::Broken(_) => None,
    };
    let broke = parted == Parted::Broken(Side::Program);
    // The caller hears of it at once; whose doing it is, is known a moment later.
    drop((caller, program));
    if first.is_none() && (broke || closed == Some(Side::Program)) {
        let (version, pid) = (slot.version, slot.fate.child.pid());
        let is_gone = slot.fate.is_gone().await;
        if is_gone {
            slot.lose();
        }
        if is_gone || broke {
            return Err(format!("program {version} (process {pid}) broke the call off"));
        }
    }
    let reason = match first.or(closed) {
        Some(Side::Caller) => EndReason::CallerHangup,
        Some(Side::Program) => EndReason::AgentHangup,
        None => EndReason::Disconnected,
    };
    guard.end(reason).await;
    Ok(())
}

fn lock(hangup: &Mutex<Hangup>) -> MutexGuard<'_, Hangup> {
    // What was seen before a panic is as good as ever.
    hangup.lock().unwrap_or_else(PoisonError::into_inner)
}
