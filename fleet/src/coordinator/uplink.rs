//! The connections of workers. Each begins with who the worker is, by its token, and with the order in force; then the
//! worker reports, and gets orders. A connection carries levels, so a newer order takes the place of one that was not
//! sent yet.

mod end;

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use openrtc_core::fleet::{Command, Event, Facts, Fleet, Refused, RejectReason, Rejection, Report, Run, Task};
use openrtc_core::id::{Identity, Incarnation, Version};
use openrtc_core::membership::{MembershipError, Token};
use openrtc_core::order::Order;
use openrtc_core::uplink::wire::{FromCoordinator, FromWorker, MESSAGE_MAX, PATH, PROTOCOL, SILENCE_MAX};
use openrtc_core::word::Phase;
use openrtc_runtime::Clock;
use openrtc_runtime::http::websocket::{self, TextSocket};
use openrtc_runtime::http::{Peer, Seat};
use openrtc_runtime::log::Limit;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use self::end::{End, not_now, put_off, refuse, say};
use super::{Coordinator, LOG, order_of};

/// The most connections at once whose worker has yet to register.
pub(super) const JOINING_MAX: usize = 256;

/// How long a worker may take to register.
const REGISTER: Duration = Duration::from_secs(5);

/// How many reports come while one is good: one may be late, and one lost.
const REPORTS_PER_TTL: u64 = 3;

/// How many workers a second are to connect again after a loss, and within which time they do at least.
const RECONNECTS_PER_S: u64 = 500;
const RECONNECT_MS_MIN: u64 = 1_000;

static BROKEN: Limit = Limit::new();

/// What the rest of the coordinator holds of a connection.
#[derive(Clone, Debug)]
pub(super) struct Uplink {
    peer: Peer,
    orders: watch::Sender<Option<Order>>,
}

impl Uplink {
    /// Sends an order, unless a newer one is on its way. Sent again, it goes out again.
    pub(super) fn order(&self, order: Order) {
        self.orders.send_if_modified(|current| {
            let is_older = current.is_some_and(|current| current.stamp > order.stamp);
            if !is_older {
                *current = Some(order);
            }
            !is_older
        });
    }
}

pub(super) fn routes(coordinator: Coordinator) -> Router {
    Router::new().route(PATH, get(open)).with_state(coordinator)
}

async fn open(
    State(coordinator): State<Coordinator>,
    Extension(seat): Extension<Arc<Seat>>,
    Extension(peer): Extension<Peer>,
    mut request: Request,
) -> Response {
    if request.headers().contains_key(header::ORIGIN) {
        return (StatusCode::FORBIDDEN, "this is for workers, not for web pages\n").into_response();
    }
    let Ok(joining) = Arc::clone(&coordinator.0.joining).try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many workers join at once: try again\n").into_response();
    };
    match websocket::upgrade(&mut request, PROTOCOL, MESSAGE_MAX) {
        Ok((answer, socket)) => {
            tokio::spawn(async move {
                let upgraded = timeout(REGISTER, socket).await;
                if let Ok(Some(socket)) = upgraded {
                    let mut link = Link::new(coordinator, peer);
                    link.run(socket, joining).await;
                }
                // The connection's place is taken until here.
                drop(seat);
            });
            answer
        }
        Err(refusal) => refusal.into_response(),
    }
}

/// One connection.
struct Link {
    coordinator: Coordinator,
    peer: Peer,
    /// Who is at the other end, once that is known.
    worker: Option<(Run, Version)>,
    uplink: Uplink,
    orders: watch::Receiver<Option<Order>>,
    /// When a ping is due.
    ping: Instant,
    /// When the worker counts as gone if it says nothing.
    silent: Instant,
}

impl Link {
    fn new(coordinator: Coordinator, peer: Peer) -> Self {
        let (sender, orders) = watch::channel(None);
        let (now, silence) = (Instant::now(), Duration::from(SILENCE_MAX));
        let uplink = Uplink { peer, orders: sender };
        Self { coordinator, peer, worker: None, uplink, orders, ping: now + silence / 3, silent: now + silence }
    }

    async fn run(&mut self, mut socket: TextSocket, joining: impl Drop) {
        let registered = timeout(REGISTER, self.join(&mut socket)).await;
        drop(joining);
        let end = match registered {
            Ok(Ok(())) => self.talk(&mut socket).await.unwrap_or_else(|end| end),
            Ok(Err(end)) => end,
            Err(_) => End::Unregistered,
        };
        self.forget();
        let (peer, worker, said) = (self.peer, self.worker.map(|(run, _)| run.to_string()), end.to_string());
        match &end {
            End::Left | End::Replaced | End::Unwanted => tracing::debug!(%peer, worker, "a connection ends: {said}"),
            _ => {
                if let Some(suppressed) = BROKEN.pass() {
                    tracing::warn!(%peer, worker, suppressed, "a worker's connection ends: {said}");
                }
            }
        }
        socket.close(end.code(), &said).await;
    }

    /// Greets, and waits until the worker has registered.
    async fn join(&mut self, socket: &mut TextSocket) -> Result<(), End> {
        let inner = &self.coordinator.0;
        let (deployment, epoch) = (inner.deployment, inner.shell.view(Fleet::epoch));
        say(socket, &FromCoordinator::Hello { deployment, epoch }).await?;
        while self.worker.is_none() {
            if let Some(text) = socket.receive().await? {
                self.hear(socket, &text).await?;
            }
        }
        Ok(())
    }

    /// Takes reports and sends orders until the connection ends.
    async fn talk(&mut self, socket: &mut TextSocket) -> Result<End, End> {
        loop {
            tokio::select! {
                biased;
                ordered = self.orders.changed() => {
                    // This connection holds a sender itself.
                    let _ = ordered;
                    let Some(order) = *self.orders.borrow_and_update() else { return Ok(End::Replaced) };
                    say(socket, &FromCoordinator::Order(order)).await?;
                }
                received = socket.receive() => {
                    let (now, silence) = (Instant::now(), Duration::from(SILENCE_MAX));
                    (self.ping, self.silent) = (now + silence / 3, now + silence);
                    if let Some(text) = received? {
                        self.hear(socket, &text).await?;
                    }
                }
                () = sleep_until(self.silent) => return Ok(End::Silent(SILENCE_MAX.into())),
                () = sleep_until(self.ping) => {
                    socket.ping().await?;
                    self.ping += Duration::from(SILENCE_MAX) / 3;
                }
            }
        }
    }

    async fn hear(&mut self, socket: &mut TextSocket, text: &str) -> Result<(), End> {
        match serde_json::from_str(text) {
            Ok(FromWorker::Register { token }) => self.register(socket, &token).await,
            Ok(FromWorker::Report(facts)) => self.report(socket, facts).await,
            Ok(FromWorker::Unknown) => Ok(()),
            Err(error) => {
                let message = format!("the message cannot be understood: {error}");
                say(socket, &FromCoordinator::Error { message: message.clone() }).await?;
                Err(End::Odd(message))
            }
        }
    }

    async fn register(&mut self, socket: &mut TextSocket, token: &str) -> Result<(), End> {
        let identity = match self.judge(token) {
            Ok(Ok(identity)) => identity,
            Ok(Err((identity, message))) => return put_off(socket, &identity, message).await,
            Err(error) => return Err(refuse(socket, self.coordinator.0.deployment, &error).await?),
        };
        let Identity { version, worker, incarnation, .. } = identity;
        let run = Run { worker, incarnation };
        if self.worker.is_some_and(|known| known != (run, version)) {
            let message = "one connection is for one run of one worker".to_owned();
            say(socket, &FromCoordinator::Error { message: message.clone() }).await?;
            return Err(End::Odd(message));
        }
        if let Some(trouble) = self.coordinator.shell().trouble() {
            return not_now(socket, trouble.to_string()).await;
        }
        // Before the fleet hears of it: what it orders then finds this connection.
        self.worker = Some((run, version));
        let earlier = self.coordinator.uplinks().insert(run, self.uplink.clone());
        if let Some(earlier) = earlier.filter(|earlier| !earlier.orders.same_channel(&self.uplink.orders)) {
            earlier.orders.send_replace(None);
        }
        let registered = self.coordinator.shell().submit(Command::Register { run, version });
        if let Err(trouble) = self.coordinator.shell().settle().await {
            return not_now(socket, trouble.to_string()).await;
        }
        match registered.map(|entry| entry.event) {
            Ok(Event::WorkerRejected { reason, .. }) => {
                tracing::warn!(target: LOG, event = "worker.rejected", %worker, %version, "{reason}");
                self.send_away(socket, reason).await
            }
            Ok(_) | Err(Rejection::Repeat(_)) => {
                tracing::info!(target: LOG, event = "worker.registered", %worker, %version, %incarnation);
                self.welcome(socket).await
            }
            Err(Rejection::Refused(refused)) => put_off(socket, &identity, refused.to_string()).await,
            Err(Rejection::Misuse(misuse)) => {
                let message = misuse.to_string();
                let reason = "version_changed".to_owned();
                say(socket, &FromCoordinator::Refused { reason, message: message.clone() }).await?;
                Err(End::Odd(message))
            }
        }
    }

    /// Judges and remembers in one step, so that of two connections with one token only one is admitted. A worker whose
    /// name is taken is told by whom, and nothing is remembered of it.
    fn judge(&self, token: &str) -> Result<Result<Identity, (Identity, String)>, MembershipError> {
        let token = Token::from_text(token).map_err(MembershipError::Malformed)?;
        let mut verifier = self.coordinator.verifier();
        let admitted = verifier.judge_but_place(Clock::wall(), &token.to_bytes())?;
        let identity = admitted.claims.identity;
        if let Some(taken) = self.coordinator.taken(&identity) {
            return Ok(Err((identity, taken)));
        }
        verifier.apply(&admitted);
        Ok(Ok(identity))
    }

    /// Tells the worker that it has joined, and what is wanted of it.
    async fn welcome(&self, socket: &mut TextSocket) -> Result<(), End> {
        let shell = self.coordinator.shell();
        let Some((Run { worker, .. }, _)) = self.worker else { return Ok(()) };
        let (epoch, ttl, workers, owed) = shell.view(|fleet| {
            (fleet.epoch(), fleet.timeouts().report_ttl, fleet.members().len(), fleet.order_owed(worker))
        });
        // A worker obeys at once: what is owed to it may have been decided a moment ago, and is not on the disk yet.
        if let Err(trouble) = shell.settle().await {
            return not_now(socket, trouble.to_string()).await;
        }
        let report_every_ms = ttl.as_micros() / 1_000 / REPORTS_PER_TTL;
        let spread = u64::try_from(workers).unwrap_or(u64::MAX).saturating_mul(1_000) / RECONNECTS_PER_S;
        let reconnect_within_ms = spread.max(RECONNECT_MS_MIN);
        say(socket, &FromCoordinator::Joined { epoch, report_every_ms, reconnect_within_ms }).await?;
        if let Some((_, order)) = owed.and_then(|effect| order_of(&effect)) {
            self.uplink.order(order);
        }
        Ok(())
    }

    /// The fleet does not want the worker, and has ordered it to go.
    async fn send_away(&mut self, socket: &mut TextSocket, reason: RejectReason) -> Result<(), End> {
        let message = format!("this worker is not wanted: {reason}");
        say(socket, &FromCoordinator::Notice { message }).await?;
        let order = match timeout(REGISTER, self.orders.wait_for(Option::is_some)).await {
            Ok(Ok(order)) => *order,
            Ok(Err(_)) | Err(_) => None,
        };
        if let Some(order) = order {
            say(socket, &FromCoordinator::Order(order)).await?;
        }
        Err(End::Unwanted)
    }

    async fn report(&mut self, socket: &mut TextSocket, facts: Facts) -> Result<(), End> {
        let Some((run, version)) = self.worker else {
            let message = "register first".to_owned();
            say(socket, &FromCoordinator::NotRegistered { message }).await?;
            return Ok(());
        };
        // A fleet that stands still takes no reports: the next one says all that this does. After the last there is
        // none.
        if self.coordinator.shell().trouble().is_some() && facts.phase != Phase::Exited {
            return Ok(());
        }
        let reported = self.coordinator.shell().submit(Command::Report(Report { run, version, facts }));
        match reported.map(|entry| entry.event) {
            Ok(Event::WorkerRejected { reason, .. }) => return self.send_away(socket, reason).await,
            Ok(_) | Err(Rejection::Repeat(_) | Rejection::Refused(Refused::Stale)) => {}
            Err(Rejection::Refused(refused @ (Refused::NotRegistered | Refused::LeaseExpired))) => {
                say(socket, &FromCoordinator::NotRegistered { message: refused.to_string() }).await?;
            }
            Err(Rejection::Refused(refused)) => return not_now(socket, refused.to_string()).await,
            Err(Rejection::Misuse(misuse)) => {
                let message = misuse.to_string();
                tracing::warn!(target: LOG, event = "worker.lied", worker = %run.worker, "{message}");
                say(socket, &FromCoordinator::Error { message: message.clone() }).await?;
                return Err(End::Odd(message));
            }
        }
        if facts.phase == Phase::Exited { Err(End::Left) } else { Ok(()) }
    }

    /// The connection is over. A worker that was told to leave may not have heard it, and comes back for the order
    /// then. If it does not, it has left: nobody else could say so.
    fn forget(&self) {
        let Some((run, _)) = self.worker else { return };
        let mut uplinks = self.coordinator.uplinks();
        if uplinks.get(&run).is_none_or(|uplink| !uplink.orders.same_channel(&self.uplink.orders)) {
            return;
        }
        uplinks.remove(&run);
        drop(uplinks);
        if leaves(&self.coordinator, run) {
            let coordinator = self.coordinator.clone();
            tokio::spawn(async move {
                let patience = coordinator.shell().view(|fleet| fleet.timeouts().report_ttl);
                sleep(patience.into()).await;
                let is_back = coordinator.uplinks().contains_key(&run);
                if !is_back && leaves(&coordinator, run) {
                    // It may have come and gone a moment ago.
                    let _ = coordinator.shell().submit(Command::Gone { run });
                }
            });
        }
    }
}

impl Coordinator {
    /// Why a run cannot take the place of an earlier one of its worker, if it cannot. One that is connected is no
    /// earlier run but another worker of the same name, started by mistake: whichever came first would take calls
    /// unseen. One that this coordinator has yet to hear of since it started may be connected in a moment. Any other
    /// has ended, as far as can be told: its connection did.
    fn taken(&self, identity: &Identity) -> Option<String> {
        let Identity { worker, incarnation, .. } = *identity;
        let of = |incarnation| Run { worker, incarnation };
        let before = of(Incarnation::new(0))..of(incarnation);
        let connected = self.uplinks().range(before).next_back().map(|(run, uplink)| (run.incarnation, uplink.peer));
        if let Some((other, peer)) = connected {
            return Some(format!(
                "worker {worker} is connected already, as run {other} from {peer}: give this one a name of its own \
                 (OPENRTC_WORKER), or end the other"
            ));
        }
        self.shell().view(|fleet| {
            let member = fleet.members().get(worker).filter(|member| member.incarnation < incarnation)?;
            member.is_awaited().then(|| {
                let other = member.incarnation;
                format!("run {other} of worker {worker} was there before this coordinator started, and may be still")
            })
        })
    }
}

/// Whether a worker was told to leave.
fn leaves(coordinator: &Coordinator, run: Run) -> bool {
    coordinator.shell().view(|fleet| {
        fleet.members().of(run).and_then(|member| member.order).is_some_and(|order| order.task == Task::Stop)
    })
}
