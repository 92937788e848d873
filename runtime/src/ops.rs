//! The ops endpoints: what a platform probes and a person on call asks.
//!
//! | request | answer |
//! |---|---|
//! | `GET /livez` | 200 while the process lives, whatever the drain: a drain must never get a worker restarted |
//! | `GET /readyz` | 200 while the worker takes calls, else 503 with the phase |
//! | `GET /snapshot` | the [`RuntimeSnapshot`] as JSON |
//! | `GET /metrics` | OpenMetrics text |
//! | `POST /drain` | begins a drain; optional JSON body [`DrainRequest`] |
//! | `POST /drain/cancel`, `/drain/extend`, `/drain/force` | the same, on the drain in progress |
//!
//! `POST`s come from loopback or present the bearer token, and never from a web page. A connection carries one request.

mod auth;
mod metrics;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use openrtc_core::id::Actor;
use openrtc_core::snapshot::RuntimeSnapshot;
use openrtc_core::worker::{Availability, Cause, OnDeadline};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::audit::Trail;
use crate::config::DrainTerms;
use crate::engine::done::{CommandError, Done};
use crate::engine::handle::WorkerHandle;
use crate::http::server;
use crate::secret::Secret;

/// No request body needs more, in bytes.
const BODY_MAX: usize = 4096;

/// Who acts when a request does not say.
const NOBODY: Actor = Actor::from_static("ops");

/// What the endpoints answer about and act on.
#[derive(Debug)]
pub(crate) struct Ops {
    pub(crate) worker: WorkerHandle,
    pub(crate) trail: Option<Trail>,
    /// What orders from outside loopback must present.
    pub(crate) token: Option<Secret>,
}

/// The body of the drain requests; every field may be left out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DrainRequest {
    /// Who asks.
    actor: Option<Actor>,
    /// When the drain is overdue, in seconds from now.
    deadline_s: Option<u64>,
    /// What happens then.
    on_deadline: Option<OnDeadline>,
}

/// The body of every answer that is not a snapshot.
#[derive(Serialize)]
struct Answer {
    ok: bool,
    message: String,
}

/// Listens from now on; returns the address, whose port was chosen by the system if it was 0.
pub(crate) fn listen(addr: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = std::net::TcpListener::bind(addr)?;
    listener.set_nonblocking(true)?;
    let addr = listener.local_addr()?;
    Ok((TcpListener::from_std(listener)?, addr))
}

/// Answers for as long as the process lives, so that a worker that has exited can still be asked how.
pub(crate) async fn answer_all(listener: TcpListener, ops: Ops) {
    server::answer_all(listener, router(ops)).await;
}

fn router(ops: Ops) -> Router {
    let ops = Arc::new(ops);
    let orders = Router::new()
        .route("/drain", post(drain))
        .route("/drain/cancel", post(cancel))
        .route("/drain/extend", post(extend))
        .route("/drain/force", post(force))
        .layer(from_fn_with_state(Arc::clone(&ops), auth::require))
        .layer(DefaultBodyLimit::max(BODY_MAX));
    Router::new()
        .route("/livez", get(async || "live\n"))
        .route("/readyz", get(readyz))
        .route("/snapshot", get(snapshot))
        .route("/metrics", get(metrics))
        .merge(orders)
        .with_state(ops)
}

async fn readyz(State(ops): State<Arc<Ops>>) -> Response {
    let snapshot = ops.worker.snapshot();
    match snapshot.availability {
        Availability::Open => (StatusCode::OK, "ready\n").into_response(),
        // A full worker will take calls again; taking it out of rotation would be churn.
        Availability::Full => (StatusCode::OK, "ready, full\n").into_response(),
        Availability::Closed => (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", snapshot.phase)).into_response(),
    }
}

async fn snapshot(State(ops): State<Arc<Ops>>) -> Json<RuntimeSnapshot> {
    Json(ops.worker.snapshot())
}

async fn metrics(State(ops): State<Arc<Ops>>) -> Response {
    let text = metrics::render(&ops.worker.snapshot(), ops.trail.as_ref(), ops.worker.now());
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
}

async fn drain(State(ops): State<Arc<Ops>>, body: Bytes) -> Response {
    with_request(&body, |request| {
        let usual = ops.worker.drain_terms();
        let terms = DrainTerms {
            timeout: request.deadline_s.map(Duration::from_secs).or(usual.timeout),
            on_deadline: request.on_deadline.unwrap_or(usual.on_deadline),
        };
        ops.worker.drain(Cause::Api, request.actor.unwrap_or(NOBODY), terms)
    })
}

async fn cancel(State(ops): State<Arc<Ops>>, body: Bytes) -> Response {
    with_request(&body, |request| ops.worker.cancel_drain(request.actor.unwrap_or(NOBODY)))
}

async fn extend(State(ops): State<Arc<Ops>>, body: Bytes) -> Response {
    match parse(&body) {
        Ok(DrainRequest { deadline_s: None, .. }) => {
            answer(StatusCode::BAD_REQUEST, "say until when: {\"deadline_s\": seconds from now}".into())
        }
        Ok(DrainRequest { deadline_s: Some(seconds), actor, .. }) => {
            outcome(ops.worker.extend_drain(actor.unwrap_or(NOBODY), Duration::from_secs(seconds)))
        }
        Err(refused) => refused,
    }
}

async fn force(State(ops): State<Arc<Ops>>, body: Bytes) -> Response {
    with_request(&body, |request| ops.worker.force_drain(request.actor.unwrap_or(NOBODY)))
}

fn with_request(body: &[u8], act: impl FnOnce(DrainRequest) -> Result<Done, CommandError>) -> Response {
    match parse(body) {
        Ok(request) => outcome(act(request)),
        Err(refused) => refused,
    }
}

#[expect(clippy::result_large_err, reason = "the error is the response itself, made once per bad request")]
fn parse(body: &[u8]) -> Result<DrainRequest, Response> {
    if body.is_empty() {
        return Ok(DrainRequest::default());
    }
    serde_json::from_slice(body)
        .map_err(|error| answer(StatusCode::BAD_REQUEST, format!("the body is not valid: {error}")))
}

fn outcome(done: Result<Done, CommandError>) -> Response {
    match done {
        Ok(Done::Now) => answer(StatusCode::OK, "done".into()),
        // True already: the one who repeats a request wants to hear that it holds.
        Ok(Done::Already(repeat)) => answer(StatusCode::OK, repeat.to_string()),
        Err(error) => answer(StatusCode::CONFLICT, error.to_string()),
    }
}

fn answer(status: StatusCode, message: String) -> Response {
    (status, Json(Answer { ok: status.is_success(), message })).into_response()
}

#[cfg(test)]
mod tests;
