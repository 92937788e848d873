//! Dialling in to a coordinator. The worker keeps one connection, on which both sides state levels: the worker how it
//! is, the coordinator what it wants. So whatever is lost, the next connection makes good, because it begins with both
//! in full.
//!
//! Nothing here ends a call. While there is no connection the worker goes on as it was last told, and only orders that
//! its own machine accepts change that.

mod pace;
mod redial;

use std::future::pending;
use std::time::Duration;

use openrtc_core::fleet::{Facts, Run};
use openrtc_core::id::{Deployment, Epoch};
use openrtc_core::membership::SigningKey;
use openrtc_core::uplink::wire::{FromCoordinator, FromWorker, MESSAGE_MAX, PROTOCOL, SILENCE_MAX};
use openrtc_core::uplink::{Message, Uplink};
use openrtc_core::word::Phase;
use openrtc_core::worker::Command;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use self::pace::Pace;
use self::redial::Redial;
use super::shown;
use super::sign::Signer;
use crate::engine::done::CommandError;
use crate::engine::handle::{Published, WorkerHandle};
use crate::http::websocket::{Cut, TextSocket};
use crate::http::{HttpError, Trust, Url};
use crate::log::{Limit, say};
use crate::ops::Farewell;

/// How long it may take until there is a connection, and again until the coordinator greets.
const DIAL: Duration = Duration::from_secs(10);

/// Close codes of RFC 6455: all is said; the other side breaks the protocol.
const NORMAL: u16 = 1000;
const PROTOCOL_ERROR: u16 = 1002;

static NOTICES: Limit = Limit::new();
static ODD: Limit = Limit::new();

/// One worker's way to its coordinator.
pub(crate) struct DialIn {
    url: Url,
    trust: Trust,
    signer: Signer,
    redial: Redial,
}

/// Why a conversation is over.
#[derive(Debug, thiserror::Error)]
enum End {
    /// The worker has left, and has said so.
    #[error("the worker has left")]
    Left,
    #[error("the worker's control loop is lost")]
    Lost,
    #[error("{0}")]
    Unreachable(#[from] HttpError),
    #[error("{0}")]
    Cut(#[from] Cut),
    #[error("it said nothing for {0:?}")]
    Silent(Duration),
    #[error("{0}")]
    OtherDeployment(String),
    #[error("it does not speak the coordinator's protocol: {0}")]
    Odd(String),
    #[error("it says: {0}")]
    Told(String),
}

impl End {
    fn other_deployment(theirs: Deployment, ours: Deployment) -> Self {
        Self::OtherDeployment(format!(
            "it coordinates deployment {theirs}, and this worker is of {ours}: set OPENRTC_DEPLOYMENT={theirs}, or \
             name the coordinator of {ours} (OPENRTC_COORDINATOR)"
        ))
    }
}

impl DialIn {
    pub(crate) fn new(url: Url, trust: Trust, key: SigningKey) -> Self {
        Self { url, trust, signer: Signer::new(key), redial: Redial::default() }
    }

    /// Keeps the connection until the worker has left. A process that ends waits a moment for the last report.
    pub(crate) async fn run(mut self, worker: &WorkerHandle, farewell: &Farewell) {
        let mut published = worker.published();
        loop {
            let end = self.converse(worker, farewell, &mut published).await;
            if matches!(end, End::Left | End::Lost) {
                return;
            }
            let (url, pause) = (self.url.clone(), self.redial.pause(share()));
            say(move || tracing::warn!(%url, ?pause, "no coordinator, calls and drains go on: {end}"));
            tokio::select! {
                biased;
                () = left(&mut published) => return,
                () = sleep(pause) => {}
            }
        }
    }

    /// One connection, from its beginning to its end.
    async fn converse(
        &mut self,
        worker: &WorkerHandle,
        farewell: &Farewell,
        published: &mut watch::Receiver<Published>,
    ) -> End {
        let dialled = tokio::select! {
            biased;
            () = left(published) => return End::Left,
            dialled = timeout(DIAL, self.dial(worker)) => dialled,
        };
        let (mut socket, epoch) = match dialled {
            Ok(Ok(dialled)) => dialled,
            Ok(Err(end)) => return end,
            Err(_) => return End::Silent(DIAL),
        };
        // From here on somebody hears of the worker's end.
        let watcher = farewell.watcher();
        let mut talk = Talk::new(worker, epoch);
        let (end, code) = match talk.run(&mut socket, &mut self.signer, &mut self.redial, published).await {
            Ok(()) => (End::Left, NORMAL),
            Err(end @ End::Odd(_)) => (end, PROTOCOL_ERROR),
            Err(end) => (end, NORMAL),
        };
        socket.close(code, &end.to_string()).await;
        if matches!(end, End::Left) {
            watcher.dismiss();
        }
        end
    }

    /// Connects, and hears who is there.
    async fn dial(&self, worker: &WorkerHandle) -> Result<(TextSocket, Epoch), End> {
        let mut socket = TextSocket::dial(&self.url, &self.trust, PROTOCOL, MESSAGE_MAX).await?;
        loop {
            match socket.receive().await?.map(|text| read(&text)) {
                Some(Ok(FromCoordinator::Hello { deployment, epoch })) => {
                    let (theirs, ours) = (deployment, worker.identity().deployment);
                    return if theirs == ours { Ok((socket, epoch)) } else { Err(End::other_deployment(theirs, ours)) };
                }
                Some(Ok(FromCoordinator::NotNow { message })) => return Err(End::Told(shown(&message))),
                Some(Ok(other)) => return Err(End::Odd(format!("it begins with {other:?} and no hello"))),
                Some(Err(problem)) => return Err(End::Odd(problem)),
                None => {}
            }
        }
    }
}

/// What is said on one connection.
struct Talk<'a> {
    worker: &'a WorkerHandle,
    uplink: Uplink,
    epoch: Epoch,
    pace: Pace,
    /// When a ping is due.
    ping: Instant,
    /// When the coordinator counts as gone if it says nothing.
    silent: Instant,
}

impl<'a> Talk<'a> {
    fn new(worker: &'a WorkerHandle, epoch: Epoch) -> Self {
        let identity = *worker.identity();
        let run = Run { worker: identity.worker, incarnation: identity.incarnation };
        let uplink = Uplink::new(run, identity.version);
        let now = Instant::now();
        let silence = Duration::from(SILENCE_MAX);
        Self { worker, uplink, epoch, pace: Pace::every(silence), ping: now + silence / 3, silent: now + silence }
    }

    /// Talks until the worker has said that it left.
    async fn run(
        &mut self,
        socket: &mut TextSocket,
        signer: &mut Signer,
        redial: &mut Redial,
        published: &mut watch::Receiver<Published>,
    ) -> Result<(), End> {
        self.register(socket, signer).await?;
        loop {
            let facts = published.borrow_and_update().facts;
            let reports = self.uplink.is_joined();
            if facts.phase == Phase::Exited && !reports {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = sleep_until(self.pace.due(&facts)), if reports => {
                    self.report(socket, facts).await?;
                    if facts.phase == Phase::Exited {
                        return Ok(());
                    }
                }
                received = socket.receive() => {
                    let silence = Duration::from(SILENCE_MAX);
                    (self.ping, self.silent) = (Instant::now() + silence / 3, Instant::now() + silence);
                    if let Some(text) = received? && self.hear(&text, redial)? == Next::Register {
                        self.register(socket, signer).await?;
                    }
                }
                changed = published.changed() => changed.map_err(|_| End::Lost)?,
                () = sleep_until(self.silent) => return Err(End::Silent(SILENCE_MAX.into())),
                () = sleep_until(self.ping) => {
                    socket.ping().await?;
                    self.ping += Duration::from(SILENCE_MAX) / 3;
                }
            }
        }
    }

    async fn register(&self, socket: &mut TextSocket, signer: &mut Signer) -> Result<(), End> {
        let token = signer.token(*self.worker.identity(), self.epoch);
        Ok(socket.send(written(&FromWorker::Register { token })).await?)
    }

    async fn report(&mut self, socket: &mut TextSocket, facts: Facts) -> Result<(), End> {
        if let Message::Report(report) = self.uplink.message(facts) {
            socket.send(written(&FromWorker::Report(report.facts))).await?;
            self.pace.said(facts, share());
        }
        Ok(())
    }

    fn hear(&mut self, text: &str, redial: &mut Redial) -> Result<Next, End> {
        let said = match read(text) {
            Ok(said) => said,
            Err(problem) => {
                if let Some(suppressed) = ODD.pass() {
                    say(move || tracing::warn!(suppressed, "the coordinator said something odd, ignored: {problem}"));
                }
                return Ok(Next::GoOn);
            }
        };
        if let Some(command) = said.answer().and_then(|answer| self.uplink.hear(answer)) {
            self.obey(command);
        }
        match said {
            FromCoordinator::Joined { epoch, report_every_ms, reconnect_within_ms } => {
                redial.joined(Duration::from_millis(reconnect_within_ms));
                self.pace = Pace::every(Duration::from_millis(report_every_ms));
                say(move || tracing::info!(%epoch, "joined: a coordinator says when this worker takes calls"));
            }
            FromCoordinator::Refused { reason, message } => return Err(self.leave(&reason, &message)),
            FromCoordinator::NotNow { message } | FromCoordinator::Error { message } => {
                return Err(End::Told(shown(&message)));
            }
            FromCoordinator::NotRegistered { message } => {
                say(move || tracing::info!("registers again: {}", shown(&message)));
                return Ok(Next::Register);
            }
            FromCoordinator::Notice { message } => {
                if let Some(suppressed) = NOTICES.pass() {
                    say(move || tracing::warn!(suppressed, "the coordinator says: {}", shown(&message)));
                }
            }
            FromCoordinator::Order(_) | FromCoordinator::Hello { .. } | FromCoordinator::Unknown => {}
        }
        Ok(Next::GoOn)
    }

    /// Gives the machine an order. What comes of it is in the next report, once the journal has it.
    fn obey(&self, command: Command) {
        match self.worker.submit(command) {
            Ok(done) => say(move || tracing::debug!(?done, "an order of the coordinator")),
            Err(CommandError::Refused(refused)) => {
                say(move || tracing::warn!("an order is refused: {refused}"));
            }
            Err(error) => say(move || tracing::warn!("an order makes no sense here: {error}")),
        }
    }

    /// The coordinator does not want the worker. One that never took calls leaves; any other has calls to think of.
    fn leave(&self, reason: &str, message: &str) -> End {
        let told = format!("{} ({})", shown(message), shown(reason));
        let (said, left) = (told.clone(), self.worker.submit(Command::Reject));
        say(move || match left {
            Ok(_) => tracing::error!("the coordinator refused this worker: {said}"),
            Err(rejection) => tracing::warn!(%rejection, "the coordinator refused this worker: {said}"),
        });
        End::Told(told)
    }
}

/// What follows from a message.
#[derive(PartialEq, Eq)]
enum Next {
    GoOn,
    Register,
}

fn read(text: &str) -> Result<FromCoordinator, String> {
    serde_json::from_str(text).map_err(|error| format!("{error} in {}", shown(text)))
}

fn written(said: &FromWorker) -> String {
    serde_json::to_string(said).expect("names, numbers and text are JSON")
}

/// Resolves when the worker has left, as its journal has it.
async fn left(published: &mut watch::Receiver<Published>) {
    if published.wait_for(|published| published.facts.phase == Phase::Exited).await.is_err() {
        // The control loop is lost, and nothing more becomes known of the worker.
        pending::<()>().await;
    }
}

/// A random share of a whole.
fn share() -> f64 {
    getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX))
}
