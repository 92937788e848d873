//! The task that drives a session: feeds it what happens, and does what it says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use openrtc_runtime::time::Instant;
use openrtc_runtime::{CallId, Clock, WorkerView};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant as Monotonic, sleep_until};
use tokio_util::sync::CancellationToken;

use super::job::Job;
use super::offer::{Decide, JobOffer};
use super::socket::{self, Event, Server};
use super::{Health, Setup};
use crate::proto::JobAssignment;
use crate::session::{Answer, End, Failure, LinkId, Notice, OfferNo, Output, Session, Standing};

/// How long a handler waits at most until its result is told.
pub(super) const TELL: Duration = Duration::from_secs(2);
/// How many events of sockets may wait.
const EVENTS: usize = 256;
/// How many lines that the server causes are logged in ten seconds.
const LINES_MAX: u32 = 20;
const LINES_EVERY: Duration = Duration::from_secs(10);

/// What the others ask of the driver.
#[derive(Debug)]
pub(crate) enum Order {
    Answer {
        job: CallId,
        number: OfferNo,
        answer: Answer,
    },
    /// `done` hears when the status is delivered; an impatient one also when there is no connection to tell it on.
    End {
        job: CallId,
        end: End,
        patient: bool,
        done: oneshot::Sender<()>,
    },
    Measure(f32),
    Leave,
}

/// A job between its offer and its end.
struct Slot {
    /// Where it is awaited, until it is assigned.
    assigned: Option<oneshot::Sender<Job>>,
    terminated: CancellationToken,
}

struct Socket {
    orders: mpsc::Sender<socket::Order>,
    task: JoinHandle<()>,
}

pub(super) struct Driver {
    session: Session,
    /// When the worker's clock was read, and what it said.
    start: (Monotonic, Instant),
    server: Arc<Server>,
    own_url: String,
    decide: Option<Arc<dyn Decide>>,
    view: WorkerView,
    ordered: mpsc::UnboundedReceiver<Order>,
    orders: mpsc::UnboundedSender<Order>,
    offers: Option<mpsc::UnboundedSender<JobOffer>>,
    /// What sockets tell, and what a new socket tells it with.
    events: mpsc::Receiver<(LinkId, Event)>,
    tell: mpsc::Sender<(LinkId, Event)>,
    sockets: BTreeMap<LinkId, Socket>,
    /// Tasks that close their sockets.
    closing: Vec<JoinHandle<()>>,
    slots: BTreeMap<CallId, Slot>,
    /// Who waits for which status.
    awaited: BTreeMap<CallId, Vec<(bool, oneshot::Sender<()>)>>,
    health: watch::Sender<Health>,
    lines: (Monotonic, u32),
    left: bool,
}

impl Driver {
    pub(super) fn new(setup: Setup, view: WorkerView, orders: mpsc::UnboundedSender<Order>) -> Self {
        let Setup { server, mut registration, patience, decide, orders: ordered, offers, health } = setup;
        let identity = view.identity();
        registration.version = identity.version.to_string();
        for (name, value) in
            [("openrtc.version", registration.version.clone()), ("openrtc.worker", identity.worker.to_string())]
        {
            registration.attributes.entry(name.to_owned()).or_insert(value);
        }
        let now = Clock::wall();
        let seed = getrandom::u64().unwrap_or_else(|_| now.as_micros());
        let session = Session::new(now, registration, patience, standing(&view), seed).expect("checked by the builder");
        let own_url = server.url.to_string();
        let (tell, events) = mpsc::channel(EVENTS);
        Self {
            session,
            start: (Monotonic::now(), now),
            server: Arc::new(server),
            own_url,
            decide,
            view,
            ordered,
            orders,
            offers: Some(offers),
            events,
            tell,
            sockets: BTreeMap::new(),
            closing: Vec::new(),
            slots: BTreeMap::new(),
            awaited: BTreeMap::new(),
            health,
            lines: (Monotonic::now(), 0),
            left: false,
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            self.pump();
            if self.left {
                break;
            }
            let deadline = self.session.deadline().map(|at| self.start.0 + at.since(self.start.1).into());
            let due = async {
                match deadline {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                // First: a gate that has closed is told before anything else.
                () = self.view.changed() => self.session.stand(self.now(), standing(&self.view)),
                Some(order) = self.ordered.recv() => self.obey(order),
                Some((link, event)) = self.events.recv() => self.hear(link, event),
                () = due => self.session.wake(self.now()),
            }
        }
        for task in self.closing {
            // It ends by itself, soon.
            let _ = task.await;
        }
        self.health.send_modify(|health| health.left = true);
    }

    fn now(&self) -> Instant {
        self.start.1 + self.start.0.elapsed().into()
    }

    fn obey(&mut self, order: Order) {
        let now = self.now();
        match order {
            Order::Answer { job, number, answer } => {
                self.session.answer(now, &job, number, answer);
            }
            Order::End { job, end, patient, done } => {
                self.slots.remove(&job);
                if self.session.ended(now, &job, end) && (patient || self.session.is_registered()) {
                    self.awaited.entry(job).or_default().push((patient, done));
                }
            }
            Order::Measure(load) => self.session.measure(now, load),
            Order::Leave => {
                self.offers = None;
                self.session.leave(now);
            }
        }
    }

    fn hear(&mut self, link: LinkId, event: Event) {
        let now = self.now();
        match event {
            Event::Opened => self.session.opened(now, link),
            Event::Failed(failure) => {
                self.sockets.remove(&link);
                self.session.failed(now, link, failure);
            }
            Event::Frame(frame) => self.session.received(now, link, &frame),
            Event::Text => self.session.received_text(now),
            Event::Written => {}
            Event::Closed(code) => {
                self.sockets.remove(&link);
                self.session.closed(now, link, code);
            }
        }
    }

    /// Does what the session says, and gives each socket what it can take.
    fn pump(&mut self) {
        loop {
            while let Some(output) = self.session.poll() {
                self.perform(output);
            }
            let now = self.now();
            for (link, socket) in &self.sockets {
                while let Ok(room) = socket.orders.try_reserve() {
                    let Some(frame) = self.session.transmit(now, *link) else { break };
                    room.send(socket::Order::Send(frame));
                }
            }
            match self.session.poll() {
                Some(output) => self.perform(output),
                None => break,
            }
        }
        self.publish();
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Connect(link) => {
                let (orders, ordered) = mpsc::channel(1);
                let task = tokio::spawn(socket::run(link, Arc::clone(&self.server), ordered, self.tell.clone()));
                self.sockets.insert(link, Socket { orders, task });
            }
            Output::Close(link, code) => self.close(link, code),
            Output::Offered(job, number, request) => {
                let (assigned, awaited) = oneshot::channel();
                let slot = Slot { assigned: Some(assigned), terminated: CancellationToken::new() };
                self.slots.insert(job.clone(), slot);
                let (decide, orders) = (self.decide.clone(), self.orders.clone());
                let offer = JobOffer::new(job, number, request.job, decide, awaited, orders);
                // Without a pool the offer is dropped, which answers it.
                if let Some(offers) = &self.offers {
                    let _ = offers.send(offer);
                }
            }
            Output::Withdrawn(job) => drop(self.slots.remove(&job)),
            Output::Assigned(job, assignment) => self.assign(job, *assignment),
            Output::Terminated(job) => {
                if let Some(slot) = self.slots.get(&job) {
                    slot.terminated.cancel();
                }
            }
            Output::Delivered(job) => {
                for (_, done) in self.awaited.remove(&job).unwrap_or_default() {
                    // Whoever waited may have given up.
                    let _ = done.send(());
                }
            }
            Output::Notice(notice) => self.log(&notice),
            Output::GaveUp(loss) => {
                tracing::error!(%loss, "no registration with LiveKit for too long, and no job: giving up");
                self.offers = None;
            }
            Output::Left => self.left = true,
        }
    }

    fn assign(&mut self, job: CallId, assignment: JobAssignment) {
        let Some(slot) = self.slots.get_mut(&job) else { return };
        let (terminated, orders) = (slot.terminated.clone(), self.orders.clone());
        let session = Job::new(job, assignment, &self.own_url, terminated, orders);
        if let Some(assigned) = slot.assigned.take() {
            // A reservation that lapsed meanwhile is reported by the gate.
            let _ = assigned.send(session);
        }
    }

    fn close(&mut self, link: LinkId, code: Option<u16>) {
        let Some(socket) = self.sockets.remove(&link) else { return };
        let Some(code) = code else { return socket.task.abort() };
        self.closing.retain(|task| !task.is_finished());
        self.closing.push(socket.task);
        tokio::spawn(async move { socket.orders.send(socket::Order::Close(code)).await });
    }

    fn publish(&mut self) {
        let registered = self.session.is_registered();
        if !registered {
            for waiting in self.awaited.values_mut() {
                waiting.retain(|(patient, _)| *patient);
            }
        }
        let (counts, trouble) = (*self.session.counts(), self.session.last_loss().map(ToString::to_string));
        self.health.send_if_modified(|health| {
            let available = self.session.is_available();
            let now = Health { registered, available, trouble, counts, left: false };
            let differs = *health != now;
            *health = now;
            differs
        });
    }

    /// Logs a notice, unless the server causes too many.
    fn log(&mut self, notice: &Notice) {
        if self.lines.0.elapsed() >= LINES_EVERY {
            self.lines = (Monotonic::now(), 0);
        }
        self.lines.1 += 1;
        if self.lines.1 > LINES_MAX {
            return tracing::debug!("{notice}");
        }
        match notice {
            Notice::Registered { .. } | Notice::GoAway | Notice::Retrying(_) => tracing::info!("{notice}"),
            Notice::Lost(crate::session::Loss::Failed(Failure::Unauthorized { .. } | Failure::NotFound)) => {
                tracing::error!("{notice}");
            }
            _ => tracing::warn!("{notice}"),
        }
    }
}

fn standing(view: &WorkerView) -> Standing {
    Standing { availability: view.availability(), in_flight: view.in_flight(), capacity: view.capacity() }
}
