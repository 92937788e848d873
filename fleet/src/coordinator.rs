//! A coordinator: it carries out what the fleet machine decides, on workers that dial in and that somebody else starts.
//!
//! | request | answer |
//! |---|---|
//! | `GET /livez` | 200 while the process lives |
//! | `GET /v1/uplink` | a WebSocket, for workers (`uplink`) |
//! | `GET /v1/state` | the rollout, what it waits for, versions and totals, as JSON |
//! | `GET /v1/workers` | the workers: a page of JSON; `?after=NAME&limit=N` |
//! | `POST /v1/deploy` | begins a rollout |
//! | `POST /v1/rollout/pause`, `resume`, `promote`, `undo` | the same, on the rollout |
//! | `POST /v1/workers/NAME/cordon`, `uncordon`, `drain`, `force`, `fence` | the same, on one worker |
//!
//! Orders need the token, from everywhere, and never come from a web page. What they led to is in the journal before
//! the answer.

mod api;
mod uplink;
mod view;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use openrtc_core::fleet::{Alert, Effect, Fleet, Run, WORKERS_MAX};
use openrtc_core::id::{Actor, Deployment};
use openrtc_core::membership::{BadKey, Manifest, MembershipVerifier, VerifierLimits};
use openrtc_core::order::{Order, Wish};
use openrtc_core::time::Span;
use openrtc_runtime::http::server::{self, Bounds};
#[cfg(feature = "tls")]
use openrtc_runtime::http::tls::{self, ServerCertificate};
use openrtc_runtime::{Secret, VerifyingKey};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use self::uplink::{JOINING_MAX, Uplink};
use crate::shell::{Performer, Shell};

/// Who gives workers their orders, in their journals. On whose behalf, the coordinator's own journal says.
const COORDINATOR: Actor = Actor::from_static("coordinator");

/// The target of its log lines that say who joined and what was ordered, by whom.
pub const LOG: &str = "openrtc::audit";

/// Connections beyond those of workers.
const OTHERS_MAX: usize = 512;

/// How old a worker's token may be.
const TOKEN_AGE_MAX: Span = Span::from_secs(60);
/// How far ahead of this clock a worker's may be when it signs.
const TOKEN_AHEAD_MAX: Span = Span::from_secs(5);

/// What a coordinator is set up with.
#[derive(Debug)]
pub struct Settings {
    /// The deployment that it coordinates.
    pub deployment: Deployment,
    /// The keys that its workers may sign with.
    pub keys: Vec<VerifyingKey>,
    /// What orders must present.
    pub token: Secret,
}

/// A coordinator. Cheap to clone; all clones are the same one.
#[derive(Clone, Debug)]
pub struct Coordinator(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shell: Shell,
    deployment: Deployment,
    token: Secret,
    verifier: Mutex<MembershipVerifier>,
    /// The connections of workers that registered.
    uplinks: Mutex<BTreeMap<Run, Uplink>>,
    /// Places for connections whose worker has yet to register.
    joining: Arc<Semaphore>,
    /// One order at a time: each is judged on what the one before it left.
    turn: tokio::sync::Mutex<()>,
}

impl Coordinator {
    /// A coordinator of the fleet that `shell` runs. Whoever runs the shell gives it a clone of this as its performer.
    ///
    /// # Errors
    /// If a key cannot be used.
    pub fn new(shell: Shell, settings: Settings) -> Result<Self, BadKey> {
        let Settings { deployment, keys, token } = settings;
        // The fleet machine says which versions may join.
        let manifest = Manifest { deployment, versions: Vec::new(), epoch: shell.view(Fleet::epoch) };
        let limits = VerifierLimits { age_max: TOKEN_AGE_MAX, ahead_max: TOKEN_AHEAD_MAX, workers_max: WORKERS_MAX };
        let mut verifier = MembershipVerifier::new(manifest, limits);
        for key in &keys {
            verifier.add_key(key.as_bytes())?;
        }
        let inner = Inner {
            shell,
            deployment,
            token,
            verifier: Mutex::new(verifier),
            uplinks: Mutex::default(),
            joining: Arc::new(Semaphore::new(JOINING_MAX)),
            turn: tokio::sync::Mutex::default(),
        };
        Ok(Self(Arc::new(inner)))
    }

    /// Answers workers and people for as long as the process lives.
    pub async fn serve(self, listener: TcpListener) {
        server::answer_all(listener, self.router(), bounds()).await;
    }

    /// The same over TLS.
    #[cfg(feature = "tls")]
    pub async fn serve_tls(self, listener: TcpListener, certificate: Arc<ServerCertificate>) {
        tls::answer_all(listener, self.router(), bounds(), certificate).await;
    }

    /// The endpoints.
    fn router(self) -> Router {
        api::routes(self.clone()).merge(uplink::routes(self))
    }

    fn shell(&self) -> &Shell {
        &self.0.shell
    }

    fn uplinks(&self) -> MutexGuard<'_, BTreeMap<Run, Uplink>> {
        // The map is whole after every call of its methods.
        self.0.uplinks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn verifier(&self) -> MutexGuard<'_, MembershipVerifier> {
        self.0.verifier.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bounds() -> Bounds {
    Bounds { connections: WORKERS_MAX + OTHERS_MAX, ..Bounds::default() }
}

/// The order that an effect sends to a worker. Nobody but a worker itself ends its process here: somebody else started
/// it.
fn order_of(effect: &Effect) -> Option<(Run, Order)> {
    match *effect {
        Effect::StopWorker { run, stamp } => Some((run, Order { stamp, actor: COORDINATOR, wish: Wish::Leave })),
        ref effect => effect.order(COORDINATOR),
    }
}

impl Performer for Coordinator {
    fn perform(&mut self, effect: Effect) {
        if let Some((run, order)) = order_of(&effect) {
            // One that is not connected gets its order when it connects.
            if let Some(uplink) = self.uplinks().get(&run) {
                uplink.order(order);
            }
            return;
        }
        match effect {
            // It is in the state, with what it waits for, and ends with the next report that shows room.
            Effect::Alert(Alert::CapacityBlocked) => {}
            Effect::Alert(alert) => tracing::warn!("{alert}"),
            // Somebody else starts workers; whether a worker takes calls is all the route there is; and of the gates
            // only a person's is asked for.
            effect => tracing::debug!(%effect, "nothing to be done"),
        }
    }
}
