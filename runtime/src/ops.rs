//! The ops endpoints: what a platform probes and a person on call asks.
//!
//! | request | answer |
//! |---|---|
//! | `GET /livez` | 200 while the process lives, whatever the drain: a drain must never get a worker restarted |
//! | `GET /readyz` | 200 while the worker takes calls, else 503 with the phase |
//! | `GET /snapshot` | the [`RuntimeSnapshot`] as JSON; `?while=PHASE&wait_ms=N` waits until the phase is another |
//! | `GET /metrics` | OpenMetrics or Prometheus text, as asked for |
//! | `GET /calls` | the calls in flight, oldest first: a page of JSON; `?after=NUMBER&limit=N` |
//! | `POST /calls/NUMBER/end` | tells that call's handler to end it |
//! | `POST /drain` | begins a drain; optional JSON body |
//! | `POST /drain/cancel`, `/drain/extend`, `/drain/force` | the same, on the drain in progress; force begins one |
//! | `POST /cordon`, `/uncordon` | a drain without a deadline of a parked worker, and its cancel |
//! | `POST /promote` | takes calls, if the worker stands by |
//!
//! Orders and call ids need the token, from everywhere, or the Unix socket; an order never comes from a web page. A
//! connection carries one request. Liveness and readiness are answered at once; of the others at most [`BUSY_MAX`] are
//! at work at a time.

mod auth;
mod calls;
mod farewell;
mod listen;
mod metrics;
mod orders;
mod view;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request as HttpRequest, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use openrtc_core::snapshot::RuntimeSnapshot;
use openrtc_records::journal::Recovered;
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::audit::Trail;
use crate::engine::handle::WorkerHandle;
use crate::http::Seat;
use crate::http::server::{self, Bounds};
#[cfg(feature = "tls")]
use crate::http::tls;
use crate::secret::Secret;
pub(crate) use farewell::Farewell;
pub use listen::OpsError;
pub(crate) use listen::{Endpoint, listen};

/// No request body needs more, in bytes.
const BODY_MAX: usize = 4096;

/// The most requests that are handled at once, not counting liveness and readiness. It is far below the limit on
/// connections, so that those two always find a place.
const BUSY_MAX: usize = 64;

/// What the endpoints answer about and act on.
#[derive(Debug)]
pub(crate) struct Ops {
    pub(crate) worker: WorkerHandle,
    pub(crate) trail: Option<Trail>,
    /// What orders over TCP must present. `None`: TCP is read-only.
    pub(crate) token: Option<Secret>,
    /// Whether a registrar decides when the worker takes calls.
    pub(crate) registers: bool,
    /// What the run before left, as the journal tells.
    pub(crate) before: Before,
    pub(crate) farewell: Farewell,
    /// What whoever owns more than the worker answers, to those who may give orders.
    orders: Router,
    busy: Arc<Semaphore>,
}

impl Ops {
    pub(crate) fn new(
        worker: WorkerHandle,
        trail: Option<Trail>,
        token: Option<Secret>,
        registers: bool,
        before: Before,
        farewell: Farewell,
    ) -> Self {
        let busy = Arc::new(Semaphore::new(BUSY_MAX));
        Self { worker, trail, token, registers, before, farewell, orders: Router::new(), busy }
    }

    /// Answers these routes as well.
    pub(crate) fn with_orders(self, orders: Router) -> Self {
        Self { orders, ..self }
    }
}

/// Calls that the previous run did not finish.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Before {
    /// Cut by its forced drain.
    pub(crate) dropped: u64,
    /// Open when it crashed or was killed.
    pub(crate) lost: u64,
}

impl Before {
    /// What the journal tells of it.
    pub(crate) fn of(recovered: &Recovered) -> Self {
        Self { dropped: recovered.dropped_calls, lost: recovered.lost_calls.len() as u64 }
    }
}

/// The body of every answer to an order.
#[derive(Serialize)]
struct Answer {
    ok: bool,
    message: String,
    /// The worker after the order.
    snapshot: RuntimeSnapshot,
}

/// Answers at every endpoint for as long as the process lives, so that a worker that has exited can still be asked how.
pub(crate) async fn answer_all(endpoint: Endpoint, ops: Ops) {
    let router = router(Arc::new(ops));
    #[cfg(feature = "tls")]
    let Endpoint { tcp, local, certificate } = endpoint;
    #[cfg(not(feature = "tls"))]
    let Endpoint { tcp, local } = endpoint;
    let over_tcp = async {
        if let Some(listener) = tcp {
            #[cfg(feature = "tls")]
            if let Some(certificate) = certificate {
                return tls::answer_all(listener, router.clone(), Bounds::default(), certificate).await;
            }
            server::answer_all(listener, router.clone(), Bounds::default()).await;
        }
    };
    let over_socket = async {
        if let Some(listener) = local {
            server::answer_all(listener, router.clone(), Bounds::default()).await;
        }
    };
    tokio::join!(over_tcp, over_socket);
}

fn router(ops: Arc<Ops>) -> Router {
    let orders = Router::new()
        .route("/calls/{number}/end", post(calls::end))
        .route("/cordon", post(orders::cordon))
        .route("/drain", post(orders::drain))
        .route("/drain/cancel", post(orders::cancel))
        .route("/drain/extend", post(orders::extend))
        .route("/drain/force", post(orders::force))
        .route("/promote", post(orders::promote))
        .route("/uncordon", post(orders::cancel))
        .layer(from_fn_with_state(Arc::clone(&ops), count_as_watcher));
    let trusted = Router::new()
        .route("/calls", get(calls::list))
        .merge(orders)
        .merge(ops.orders.clone().with_state(()))
        .layer(from_fn_with_state(Arc::clone(&ops), auth::require))
        .layer(DefaultBodyLimit::max(BODY_MAX));
    let bounded = Router::new()
        .route("/metrics", get(view::metrics))
        .route("/snapshot", get(view::snapshot))
        .merge(trusted)
        .layer(from_fn_with_state(Arc::clone(&ops), take_turn));
    Router::new().route("/livez", get(view::livez)).route("/readyz", get(view::readyz)).merge(bounded).with_state(ops)
}

/// Accepts a request if not too many are being handled. Its connection is not idle from then on.
async fn take_turn(
    State(ops): State<Arc<Ops>>,
    Extension(seat): Extension<Arc<Seat>>,
    request: HttpRequest,
    next: Next,
) -> Response {
    match Arc::clone(&ops.busy).try_acquire_owned() {
        Ok(turn) => {
            seat.keep(turn);
            drop(seat);
            next.run(request).await
        }
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "too many requests at once: ask again\n").into_response(),
    }
}

/// Whoever gives an order may ask next what became of it: a drain without calls is over before that.
async fn count_as_watcher(
    State(ops): State<Arc<Ops>>,
    Extension(seat): Extension<Arc<Seat>>,
    request: HttpRequest,
    next: Next,
) -> Response {
    seat.keep(ops.farewell.watcher());
    drop(seat);
    next.run(request).await
}

/// An answer to an order, with the worker as it is now.
fn answer(ops: &Ops, status: StatusCode, message: String) -> Response {
    let snapshot = ops.worker.snapshot();
    (status, Json(Answer { ok: status.is_success(), message, snapshot })).into_response()
}

#[cfg(test)]
mod tests;
