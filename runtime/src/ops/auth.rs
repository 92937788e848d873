//! Authorization. A request may give orders and see call ids if it came through the Unix socket or presents the token.
//! Its address proves nothing: behind a proxy on the same host, every client has a loopback address.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use subtle::ConstantTimeEq;

use super::{Ops, answer};
use crate::http::Peer;
use crate::secret::Secret;

pub(super) async fn require(
    State(ops): State<Arc<Ops>>,
    Extension(peer): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    match judge(peer, ops.token.as_ref(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err((status, message)) => answer(&ops, status, message.into()),
    }
}

fn judge(peer: Peer, token: Option<&Secret>, headers: &HeaderMap) -> Result<(), (StatusCode, &'static str)> {
    // A browser always names the page that sent a request. None of them is a person at work here.
    if headers.contains_key(header::ORIGIN) {
        return Err((StatusCode::FORBIDDEN, "orders do not come from web pages"));
    }
    match (peer, token, bearer(headers)) {
        // Its file's permissions have let the peer in.
        (Peer::Local { .. }, ..) => Ok(()),
        (Peer::Tcp(_), Some(token), Some(given)) if matches(token, given) => Ok(()),
        (Peer::Tcp(_), Some(_), Some(_)) => Err((
            StatusCode::UNAUTHORIZED,
            "the token is wrong: present what the worker's OPENRTC_OPS_TOKEN says (openrtc reads it from --token-file \
             or OPENRTC_OPS_TOKEN), or use the worker's Unix socket",
        )),
        (Peer::Tcp(_), Some(_), None) => Err((
            StatusCode::UNAUTHORIZED,
            "present the worker's token, `Authorization: Bearer …` (openrtc reads it from --token-file or \
             OPENRTC_OPS_TOKEN), or use its Unix socket",
        )),
        (Peer::Tcp(_), None, _) => Err((
            StatusCode::FORBIDDEN,
            "this worker has no token, so TCP is read-only: use its Unix socket (OPENRTC_OPS_SOCKET), or set \
             OPENRTC_OPS_TOKEN where it is started",
        )),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(header::AUTHORIZATION)
        .map(|value| value.to_str().unwrap_or_default())
        .map(|value| value.strip_prefix("Bearer ").unwrap_or_default())
}

fn matches(token: &Secret, given: &str) -> bool {
    token.expose().as_bytes().ct_eq(given.as_bytes()).into()
}
