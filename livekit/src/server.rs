//! A LiveKit server for development and tests, without media: workers register and get jobs as they do from a
//! self-hosted server 1.13, dispatches come over HTTP with the JSON that the real one takes, and every fault in
//! [`Fault`] can be switched on.
//!
//! It listens where it is told and nowhere else; anyone who has the API key may use it. There are no rooms to join: an
//! agent counts as joined from its assignment to its job's end.

mod http;
mod twirp;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openrtc_runtime::Clock;
use openrtc_runtime::time::Instant;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::dispatcher::{Asked, Dispatch, Dispatcher, Do, Fault, PeerId, Progress};
use crate::token::ApiKey;

/// How many frames may wait for a worker that does not read.
const FRAMES: usize = 4_096;

/// A LiveKit server for development. See the module. It stops when it is dropped.
#[derive(Debug)]
pub struct DevServer {
    addr: SocketAddr,
    core: Arc<Core>,
    _stop: DropGuard,
}

/// What the connections share.
struct Core {
    state: Mutex<State>,
    /// Something happened that may move the deadline.
    changed: Notify,
    key: ApiKey,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("key", &self.key).finish_non_exhaustive()
    }
}

struct State {
    dispatcher: Dispatcher,
    peers: BTreeMap<PeerId, mpsc::Sender<Vec<u8>>>,
    rooms: BTreeSet<String>,
    last_peer: u64,
}

impl DevServer {
    /// Listens on `addr` and serves. `seed` is what the choice of workers comes from.
    ///
    /// # Errors
    /// If it cannot listen there.
    pub async fn start(addr: SocketAddr, key: ApiKey, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let minter = key.clone();
        let mint = Box::new(move |job: &crate::proto::Job, answer: &crate::proto::AvailabilityResponse| {
            let room = job.room.as_ref().map_or("", |room| &room.name);
            let attributes = serde_json::json!(answer.participant_attributes);
            let now = crate::worker::now_secs();
            minter.job_token(now, room, &answer.participant_identity, &attributes).to_string()
        });
        let (peers, rooms) = (BTreeMap::new(), BTreeSet::new());
        let state = State { dispatcher: Dispatcher::new(seed, mint), peers, rooms, last_peer: 0 };
        let core = Arc::new(Core { state: Mutex::new(state), changed: Notify::new(), key });
        let stop = CancellationToken::new();
        let (life, serving) = (stop.clone(), Arc::clone(&core));
        tokio::spawn(async move {
            tokio::select! {
                () = life.cancelled() => {}
                () = http::serve(listener, &serving, &life) => {}
                () = serving.keep_time() => {}
            }
        });
        Ok(Self { addr, core, _stop: stop.drop_guard() })
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What workers set as `LIVEKIT_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}", self.addr)
    }

    /// Asks for an agent. Returns the dispatch's id, whatever becomes of it.
    #[expect(clippy::must_use_candidate, reason = "a dispatch may be made for its effect")]
    pub fn dispatch(&self, asked: Asked) -> String {
        self.core.with(|state, now| {
            state.rooms.insert(asked.room.clone());
            state.dispatcher.dispatch(now, asked)
        })
    }

    /// Takes a dispatch back. Returns whether there was one.
    #[expect(clippy::must_use_candidate, reason = "a dispatch may be deleted whether it is there or not")]
    pub fn delete(&self, id: &str) -> bool {
        self.core.with(|state, _| state.dispatcher.delete(id))
    }

    /// Does one thing wrong, this many times from now on.
    pub fn break_next(&self, fault: Fault, times: u32) {
        self.core.with(|state, _| state.dispatcher.break_next(fault, times));
    }

    /// Tells every worker to register elsewhere.
    pub fn go_away(&self) {
        self.core.with(State::go_away);
    }

    /// Every dispatch so far, with its id.
    #[must_use]
    pub fn dispatches(&self) -> Vec<(String, Dispatch)> {
        self.core
            .with(|state, _| state.dispatcher.dispatches().map(|(id, seen)| (id.to_owned(), seen.clone())).collect())
    }

    /// The terminal statuses that a job's worker sent, with the socket that each came on.
    #[must_use]
    pub fn ends(&self, job: &str) -> Vec<(PeerId, i32)> {
        self.core.with(|state, _| state.dispatcher.statuses().terminal(job).collect())
    }

    /// The sockets whose workers are registered, and whether each gets jobs.
    #[must_use]
    pub fn workers(&self) -> Vec<(PeerId, bool)> {
        self.core.with(|state, _| {
            let dispatcher = &state.dispatcher;
            dispatcher.registered().map(|peer| (peer, dispatcher.is_available(peer))).collect()
        })
    }
}

impl State {
    fn go_away(&mut self, _: Instant) {
        let peers: Vec<_> = self.dispatcher.registered().collect();
        for peer in peers {
            self.dispatcher.go_away(peer);
        }
    }

    /// Sends what there is to send.
    fn flush(&mut self) {
        while let Some(output) = self.dispatcher.poll() {
            match output {
                Do::Send(peer, frame) => {
                    // One that does not read is cut off; one that is gone needs nothing.
                    if self.peers.get(&peer).is_some_and(|frames| frames.try_send(frame).is_err()) {
                        self.peers.remove(&peer);
                    }
                }
                Do::Close(peer) => drop(self.peers.remove(&peer)),
            }
        }
    }
}

impl Core {
    /// Does something with the state, and then what follows from it.
    fn with<T>(&self, act: impl FnOnce(&mut State, Instant) -> T) -> T {
        let mut state = self.lock();
        let done = act(&mut state, Clock::wall());
        state.flush();
        drop(state);
        self.changed.notify_one();
        done
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in it is left half done by a panic in a reader.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the dispatcher when something is due.
    async fn keep_time(&self) {
        loop {
            let due = self.lock().dispatcher.deadline();
            let wait = async {
                match due {
                    Some(at) => sleep(at.since(Clock::wall()).into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.changed.notified() => {}
                () = wait => self.with(|state, now| state.dispatcher.wake(now)),
            }
        }
    }
}

/// Whether an agent counts as joined: from its assignment to its job's end.
fn is_joined(state: &State, dispatch: &Dispatch) -> bool {
    matches!(dispatch.progress, Progress::Assigned(_))
        && state.dispatcher.statuses().terminal(&dispatch.job.id).next().is_none()
}
