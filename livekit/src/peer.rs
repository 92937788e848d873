//! The server's side of the agent protocol for one worker: a program that takes somebody else for its LiveKit server.
//!
//! Whoever stands between a worker and its server has a [`Peer`] for each worker: it gives it the worker's sockets,
//! offers it the real server's jobs, and learns how they end. A worker's jobs do not depend on its socket: it may
//! connect again, and go on reporting them.

mod socket;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prost::Message as _;
use tokio::sync::{mpsc, oneshot, watch};

use crate::proto::{
    AvailabilityRequest, AvailabilityResponse, Job, JobAssignment, JobStatus, JobTermination, RegisterWorkerRequest,
    RegisterWorkerResponse, ServerInfo, ServerMessage, ToServer, ToWorker, UpdateJobStatus, WorkerMessage, WorkerPong,
};
use crate::worker::now_secs;

/// What is kept of the error that a worker tells with a job's end, in characters.
const ERROR_MAX: usize = 500;

/// Judges a registration: an error says why it is refused.
type Judge = dyn Fn(&RegisterWorkerRequest) -> Result<(), String> + Send + Sync;

/// One worker program, as a LiveKit server sees it. Cheap to clone; all clones are the same worker.
#[derive(Clone)]
pub struct Peer(Arc<Inner>);

struct Inner {
    judge: Box<Judge>,
    state: Mutex<State>,
    /// Rung when the worker has registered, was refused, or is gone.
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    /// How many sockets have registered.
    registrations: u64,
    /// The newest of them, while it is open, and what goes out on it.
    socket: Option<(u64, mpsc::Sender<Vec<u8>>)>,
    /// Why the last registration was refused.
    refusal: Option<String>,
    asked: BTreeMap<String, oneshot::Sender<AvailabilityResponse>>,
    jobs: BTreeMap<String, Live>,
}

/// A job that was assigned to the worker and has not ended.
struct Live {
    /// Whether the worker has reported it: there are some that report none.
    is_reported: bool,
    /// Whether it is to end.
    is_terminated: bool,
    ended: oneshot::Sender<Result<(), String>>,
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Peer").field("socket", &state.socket.as_ref().map(|(number, _)| number)).finish_non_exhaustive()
    }
}

impl Peer {
    /// A worker that has yet to connect. `judge` sees each registration, and says why one is refused.
    pub fn new(judge: impl Fn(&RegisterWorkerRequest) -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner { judge: Box::new(judge), state: Mutex::default(), changed: watch::Sender::new(()) }))
    }

    /// Whether the worker is registered.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        self.lock().socket.is_some()
    }

    /// Resolves once the worker is registered, or was refused, which is told why. Cancel-safe.
    pub async fn registered(&self) -> Result<(), String> {
        let mut changed = self.0.changed.subscribe();
        loop {
            {
                let state = self.lock();
                if state.socket.is_some() {
                    return Ok(());
                }
                if let Some(refusal) = &state.refusal {
                    return Err(refusal.clone());
                }
            }
            // The sender lives as long as this.
            let _ = changed.changed().await;
        }
    }

    /// Offers a job. `None` if the worker is not connected, or its socket goes before it has answered; it has no time
    /// limit of its own. Cancel-safe: an answer that comes later counts for nothing.
    pub async fn ask(&self, job: Job) -> Option<AvailabilityResponse> {
        let id = job.id.clone();
        let (answer, answered) = oneshot::channel();
        {
            let mut state = self.lock();
            // An offer that comes again takes the place of the one before it.
            state.asked.insert(id.clone(), answer);
            let offer = AvailabilityRequest { job: Some(job), resuming: false };
            if !state.send(ToWorker::Availability(offer)) {
                state.asked.remove(&id);
                return None;
            }
        }
        let _forget = Forget { peer: self, job: &id };
        answered.await.ok()
    }

    /// Assigns a job that the worker has said yes to.
    #[must_use]
    pub fn begin(&self, id: String, assignment: JobAssignment) -> Assigned {
        let (ended, end) = oneshot::channel();
        let mut state = self.lock();
        if state.send(ToWorker::Assignment(assignment)) {
            state.jobs.insert(id.clone(), Live { is_reported: false, is_terminated: false, ended });
        } else {
            // Nobody else waits for it.
            let _ = ended.send(Err("the worker was not connected when the job was assigned".to_owned()));
        }
        drop(state);
        Assigned { peer: self.clone(), id, end }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Its maps are whole after every call of their methods.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a message from a socket. `number` is that of its registration, and until it has one `frames` is what goes
    /// out on it. `false`: the socket is to be closed.
    fn heard(&self, number: &mut Option<u64>, frames: &mut Option<mpsc::Sender<Vec<u8>>>, frame: &[u8]) -> bool {
        let message = WorkerMessage::decode(frame).ok().and_then(|message| message.message);
        match (message, *number) {
            (Some(ToServer::Ping(ping)), _) => {
                let timestamp = i64::try_from(now_secs() * 1_000).unwrap_or(i64::MAX);
                let answer = ToWorker::Pong(WorkerPong { last_timestamp: ping.timestamp, timestamp });
                match frames {
                    Some(frames) => frames.try_send(encode(answer)).is_ok(),
                    None => self.lock().send(answer),
                }
            }
            (Some(ToServer::Register(request)), None) => {
                let Some(frames) = frames.take() else { return false };
                *number = self.register(&request, frames);
                number.is_some()
            }
            (Some(ToServer::Availability(answer)), Some(_)) => {
                if let Some(asked) = self.lock().asked.remove(&answer.job_id) {
                    // Whoever asked may have given up.
                    let _ = asked.send(answer);
                }
                true
            }
            (Some(ToServer::UpdateJob(status)), Some(_)) => {
                self.lock().told(&status);
                true
            }
            // How busy it is, and which jobs it has, is known here; what it simulates is its own affair.
            (Some(ToServer::UpdateWorker(_) | ToServer::MigrateJob(_) | ToServer::SimulateJob(_)), Some(_)) => true,
            (Some(_) | None, _) => false,
        }
    }

    fn register(&self, request: &RegisterWorkerRequest, frames: mpsc::Sender<Vec<u8>>) -> Option<u64> {
        let judged = (self.0.judge)(request);
        let mut state = self.lock();
        let number = match judged {
            Ok(()) => {
                state.registrations += 1;
                let number = state.registrations;
                state.socket = Some((number, frames));
                // Answers die with the socket that was asked.
                state.asked.clear();
                let info = ServerInfo { agent_protocol: 1, ..ServerInfo::default() };
                let worker_id = format!("AW_openrtc{number}");
                state.send(ToWorker::Register(RegisterWorkerResponse { worker_id, server_info: Some(info) }));
                let terminated = state.jobs.iter().filter(|(_, live)| live.is_terminated);
                for job_id in terminated.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
                    state.send(ToWorker::Termination(JobTermination { job_id }));
                }
                Some(number)
            }
            Err(refusal) => {
                state.refusal = Some(refusal);
                None
            }
        };
        drop(state);
        self.0.changed.send_replace(());
        number
    }

    /// A socket is gone.
    fn parted(&self, number: Option<u64>) {
        let mut state = self.lock();
        if state.socket.as_ref().is_some_and(|(open, _)| Some(*open) == number) {
            state.socket = None;
            state.asked.clear();
        }
        drop(state);
        self.0.changed.send_replace(());
    }
}

impl State {
    /// Says something to the worker. A worker that does not read is hung up on. Returns whether it is said.
    fn send(&mut self, message: ToWorker) -> bool {
        let Some((_, frames)) = &self.socket else { return false };
        let sent = frames.try_send(encode(message)).is_ok();
        if !sent {
            self.socket = None;
            self.asked.clear();
        }
        sent
    }

    fn told(&mut self, status: &UpdateJobStatus) {
        let Some(live) = self.jobs.get_mut(&status.job_id) else { return };
        live.is_reported = true;
        let end = match JobStatus::try_from(status.status) {
            Ok(JobStatus::Success) => Ok(()),
            Ok(JobStatus::Failed) => Err(status.error.chars().take(ERROR_MAX).collect()),
            Ok(JobStatus::Cancelled) => Err("the worker cancelled it".to_owned()),
            Ok(JobStatus::Pending | JobStatus::Running) | Err(_) => return,
        };
        if let Some(live) = self.jobs.remove(&status.job_id) {
            // Whoever waited may have given up.
            let _ = live.ended.send(end);
        }
    }
}

/// Forgets an offer that nobody waits for any more.
struct Forget<'a> {
    peer: &'a Peer,
    job: &'a str,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        let mut state = self.peer.lock();
        // Another offer of the same job may have taken its place, and is waited for.
        if state.asked.get(self.job).is_some_and(oneshot::Sender::is_closed) {
            state.asked.remove(self.job);
        }
    }
}

/// A job that a worker has. Dropped, its end is not waited for any more.
#[derive(Debug)]
pub struct Assigned {
    peer: Peer,
    id: String,
    end: oneshot::Receiver<Result<(), String>>,
}

impl Assigned {
    /// How the job ended, by the worker's word. Cancel-safe; not to be asked again once it has said so.
    pub async fn ended(&mut self) -> Result<(), String> {
        match (&mut self.end).await {
            Ok(end) => end,
            Err(_) => Err("the job was assigned a second time".to_owned()),
        }
    }

    /// Tells the worker that the job is over, now or when it is connected again. Returns whether the worker tells how
    /// its jobs end: one that told that this job runs does.
    #[expect(clippy::must_use_candidate, reason = "to tell it is its purpose")]
    pub fn terminate(&self) -> bool {
        let mut state = self.peer.lock();
        let Some(live) = state.jobs.get_mut(&self.id) else { return false };
        let (is_reported, was_terminated) = (live.is_reported, std::mem::replace(&mut live.is_terminated, true));
        if !was_terminated {
            state.send(ToWorker::Termination(JobTermination { job_id: self.id.clone() }));
        }
        is_reported
    }
}

impl Drop for Assigned {
    fn drop(&mut self) {
        self.peer.lock().jobs.remove(&self.id);
    }
}

fn encode(message: ToWorker) -> Vec<u8> {
    ServerMessage { message: Some(message) }.encode_to_vec()
}
