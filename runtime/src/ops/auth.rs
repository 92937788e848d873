//! Who may give a worker orders.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::{Ops, answer};
use crate::http::Peer;
use crate::http::auth::{Owner, judge};

const WORKER: Owner = Owner {
    name: "worker",
    instead: ", or use the worker's Unix socket",
    no_token: "use its Unix socket (OPENRTC_OPS_SOCKET), or set OPENRTC_OPS_TOKEN where it is started",
};

pub(super) async fn require(
    State(ops): State<Arc<Ops>>,
    Extension(peer): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    match judge(&WORKER, peer, ops.token.as_ref(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err((status, message)) => answer(&ops, status, message),
    }
}
