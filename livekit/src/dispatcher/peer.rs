//! One worker's socket, and what is said on it.

use std::collections::BTreeSet;

use openrtc_runtime::time::Instant;
use prost::Message as _;

use super::{Asked, Dispatcher, Fault, LATE, PeerId, Progress, REGISTER, Why};
use crate::proto::{
    AvailabilityResponse, JobAssignment, JobStatus, JobTermination, JobType, RegisterWorkerRequest,
    RegisterWorkerResponse, ServerInfo, ToServer, ToWorker, UpdateWorkerStatus, WorkerMessage, WorkerPong,
    WorkerStatus,
};
use crate::session::check_deployment;

/// The version that the dispatcher behaves like.
const VERSION: &str = "1.13.5-dev";
/// How large [`Fault::Oversized`] is.
const OVERSIZED: usize = 3 * 1024 * 1024;

pub(super) struct Peer {
    pub(super) register_by: Option<Instant>,
    pub(super) registration: Option<RegisterWorkerRequest>,
    pub(super) worker_id: String,
    status: WorkerStatus,
    pub(super) load: f32,
    /// The jobs that were assigned on this socket and have not ended.
    pub(super) jobs: BTreeSet<String>,
    /// Whether nothing is sent any more.
    pub(super) silent: bool,
}

impl Peer {
    /// Whether it gets jobs: from its registration on, until it says that it is full.
    pub(super) fn is_available(&self) -> bool {
        self.registration.is_some() && self.status == WorkerStatus::Available
    }

    /// Whether it is one of those that a caller asks for.
    pub(super) fn serves(&self, asked: &Asked) -> bool {
        self.registration.as_ref().is_some_and(|registration| {
            registration.agent_name == asked.agent_name
                && registration.namespace.as_deref().unwrap_or_default().is_empty()
                && registration.r#type == i32::from(asked.kind)
                && registration.deployment == asked.deployment
        })
    }
}

impl Dispatcher {
    /// A worker's socket is open.
    pub fn opened(&mut self, now: Instant, id: PeerId) {
        let peer = Peer {
            register_by: Some(now + REGISTER),
            registration: None,
            worker_id: String::new(),
            status: WorkerStatus::Available,
            load: 0.0,
            jobs: BTreeSet::new(),
            silent: false,
        };
        self.peers.insert(id, peer);
        if self.faults.take(Fault::CloseAfterUpgrade) {
            self.close(id);
        }
    }

    /// A socket is gone. Its worker is forgotten, and with it whose jobs were whose: nobody is asked in its place.
    pub fn closed(&mut self, id: PeerId) {
        self.peers.remove(&id);
        for dispatch in self.dispatches.values_mut() {
            if matches!(dispatch.progress, Progress::Offered { to, .. } if to == id) {
                dispatch.progress = Progress::Lost(Why::WorkerGone);
            }
        }
    }

    /// A worker says something. What the server does not know, or does not expect, closes the socket without a word.
    pub fn received(&mut self, now: Instant, id: PeerId, frame: &[u8]) {
        let Some(peer) = self.peers.get(&id) else { return };
        if peer.silent {
            return;
        }
        let registered = peer.registration.is_some();
        let message = WorkerMessage::decode(frame).ok().and_then(|message| message.message);
        match (message, registered) {
            (Some(ToServer::Ping(ping)), _) => {
                let timestamp = i64::try_from(now.as_micros() / 1_000).unwrap_or(i64::MAX);
                self.send(id, ToWorker::Pong(WorkerPong { last_timestamp: ping.timestamp, timestamp }));
            }
            (Some(ToServer::Register(request)), false) => self.register(id, request),
            (Some(ToServer::Availability(answer)), true) => self.answered(now, id, &answer),
            (Some(ToServer::UpdateWorker(status)), true) => self.update_worker(id, &status),
            (Some(ToServer::UpdateJob(status)), true) => {
                self.statuses.note(&status.job_id, id, status.status);
                let is_over = [JobStatus::Success, JobStatus::Failed].map(i32::from).contains(&status.status);
                if let Some(peer) = self.peers.get_mut(&id).filter(|_| is_over) {
                    peer.jobs.remove(&status.job_id);
                }
            }
            (Some(ToServer::SimulateJob(request)), true) => self.simulate(now, id, request),
            (Some(ToServer::MigrateJob(_)), true) => {}
            (Some(_) | None, _) => self.close(id),
        }
    }

    fn register(&mut self, id: PeerId, request: RegisterWorkerRequest) {
        let kind = JobType::try_from(request.r#type);
        if kind.is_err() || check_deployment(&request.deployment).is_err() {
            return self.close(id);
        }
        if self.faults.take(Fault::OfferBeforeRegister) {
            let early = self.job(&Asked { room: "early".to_owned(), ..Asked::default() }, "AD_early");
            let offer = crate::proto::AvailabilityRequest { job: Some(early), resuming: false };
            self.send(id, ToWorker::Availability(offer));
        }
        let worker_id = if self.faults.take(Fault::EmptyWorkerId) { String::new() } else { self.name("AW") };
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.register_by = None;
        peer.registration = Some(request);
        peer.worker_id.clone_from(&worker_id);
        if self.faults.take(Fault::NoRegisterReply) {
            peer.silent = true;
            return;
        }
        let info = ServerInfo { version: VERSION.to_owned(), agent_protocol: 1, ..ServerInfo::default() };
        let reply = RegisterWorkerResponse { worker_id, server_info: Some(info) };
        let times = if self.faults.take(Fault::RegisterTwice) { 2 } else { 1 };
        for _ in 0..times {
            self.send(id, ToWorker::Register(reply.clone()));
        }
        self.disturb(id);
    }

    /// Does wrong what is done wrong behind a registration.
    fn disturb(&mut self, id: PeerId) {
        let unknown = vec![0x7a, 0x02, 0x08, 0x01];
        let frames = [
            (Fault::UnknownMessage, unknown),
            (Fault::EmptyMessage, Vec::new()),
            (Fault::Garbage, vec![0xff; 9]),
            (Fault::Oversized, Vec::new()),
        ];
        for (fault, frame) in frames {
            if self.faults.take(fault) {
                let frame = if fault == Fault::Oversized { vec![0; OVERSIZED] } else { frame };
                self.send_raw(id, frame);
            }
        }
        if self.faults.take(Fault::GoAway) {
            self.go_away(id);
        }
        if self.faults.take(Fault::CloseAfterRegister) {
            self.close(id);
        } else if self.faults.take(Fault::Blackhole)
            && let Some(peer) = self.peers.get_mut(&id)
        {
            peer.silent = true;
        }
    }

    fn update_worker(&mut self, id: PeerId, update: &UpdateWorkerStatus) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.load = if update.load.is_nan() { 1.0 } else { update.load };
        if let Some(status) = update.status.and_then(|status| WorkerStatus::try_from(status).ok()) {
            peer.status = status;
        }
    }

    fn answered(&mut self, now: Instant, id: PeerId, answer: &AvailabilityResponse) {
        let waits = |(_, dispatch): &(&String, &mut super::Dispatch)| {
            let to_it = matches!(dispatch.progress, Progress::Offered { to, until } if to == id && until > now);
            to_it && dispatch.job.id == answer.job_id
        };
        // A second answer, a late one, or one to nothing.
        let Some((dispatch_id, dispatch)) = self.dispatches.iter_mut().find(waits) else { return };
        let dispatch_id = dispatch_id.clone();
        let Progress::Offered { until, .. } = dispatch.progress else { return };
        dispatch.answers.push((id, answer.clone()));
        if answer.available {
            self.assign(now, id, &dispatch_id, answer);
        } else if answer.terminate {
            dispatch.progress = Progress::Terminated;
        } else {
            if self.faults.take(Fault::AssignRefused) {
                let job = dispatch.job.clone();
                self.send(id, ToWorker::Assignment(JobAssignment { job: Some(job), url: None, token: "t".to_owned() }));
            }
            self.ask_next(&dispatch_id, until);
        }
    }

    fn assign(&mut self, now: Instant, id: PeerId, dispatch_id: &str, answer: &AvailabilityResponse) {
        if self.faults.take(Fault::CloseAfterAnswer) {
            return self.close(id);
        }
        let Some(dispatch) = self.dispatches.get_mut(dispatch_id) else { return };
        dispatch.progress = Progress::Assigned(id);
        let job = dispatch.job.clone();
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.jobs.insert(job.id.clone());
        }
        let token = (self.mint)(&job, answer);
        let mut assignment = JobAssignment { job: Some(job.clone()), url: None, token };
        if self.faults.take(Fault::NoAssignment) {
            return;
        }
        if self.faults.take(Fault::LateAssignment) {
            return self.late.push_back((now + LATE, id, assignment));
        }
        if self.faults.take(Fault::TerminateBeforeAssignment) {
            self.send(id, ToWorker::Termination(JobTermination { job_id: job.id.clone() }));
        }
        if self.faults.take(Fault::AssignWithoutToken) {
            assignment.token.clear();
        }
        if self.faults.take(Fault::AssignBadUrl) {
            assignment.url = Some("not a url".to_owned());
        }
        if self.faults.take(Fault::AssignWithoutRoom)
            && let Some(job) = &mut assignment.job
        {
            job.room = None;
        }
        self.send(id, ToWorker::Assignment(assignment.clone()));
        self.misassign(id, &assignment);
    }

    /// Does wrong what is done wrong behind an assignment.
    fn misassign(&mut self, id: PeerId, assignment: &JobAssignment) {
        if self.faults.take(Fault::AssignTwice) {
            self.send(id, ToWorker::Assignment(assignment.clone()));
        }
        if self.faults.take(Fault::AssignOtherToken) {
            let other = JobAssignment { token: format!("{}x", assignment.token), ..assignment.clone() };
            self.send(id, ToWorker::Assignment(other));
        }
        if self.faults.take(Fault::AssignUnknown) {
            let job = self.job(&Asked { room: "unknown".to_owned(), ..Asked::default() }, "AD_unknown");
            self.send(id, ToWorker::Assignment(JobAssignment { job: Some(job), ..assignment.clone() }));
        }
        if self.faults.take(Fault::TerminateUnknown) {
            self.send(id, ToWorker::Termination(JobTermination { job_id: "AJ_unknown".to_owned() }));
        }
        if self.faults.take(Fault::CloseAfterAssignment) {
            self.close(id);
        }
    }
}
