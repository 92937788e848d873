//! Who may give orders: this machine, or whoever holds the token. Never a web page.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use subtle::ConstantTimeEq;

use super::{Ops, answer};
use crate::secret::Secret;

pub(super) async fn require(
    State(ops): State<Arc<Ops>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let token = ops.token.as_ref();
    // A browser on this machine would be loopback too; it always names the page that sent the request.
    if headers.contains_key(header::ORIGIN) {
        return answer(StatusCode::FORBIDDEN, "orders do not come from web pages".into());
    }
    match bearer(headers) {
        Some(given) if token.is_some_and(|token| matches(token, given)) => next.run(request).await,
        Some(_) => answer(StatusCode::UNAUTHORIZED, "the token is wrong".into()),
        None if peer.ip().to_canonical().is_loopback() => next.run(request).await,
        None => answer(
            StatusCode::UNAUTHORIZED,
            "from outside loopback, present the token: `Authorization: Bearer …` (OPENRTC_OPS_TOKEN)".into(),
        ),
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
