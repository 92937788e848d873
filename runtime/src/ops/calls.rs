//! The calls in flight: listed page by page, and ended one at a time.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Json};
use openrtc_core::id::{CallId, CallNo, Version};
use openrtc_core::time::Instant;
use serde::{Deserialize, Serialize};

use super::orders::{Order, Refused, with_order};
use super::{Ops, answer};
use crate::engine::done::Done;
use crate::engine::roster::{Listed, State as CallState};
use crate::http::Peer;

/// No page is longer, in calls.
const PAGE_MAX: usize = 500;

/// Which calls are asked for.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(super) struct Pick {
    /// Only those with a number above this.
    after: u64,
    /// At most so many.
    limit: usize,
}

impl Default for Pick {
    fn default() -> Self {
        Self { after: 0, limit: 100 }
    }
}

/// A page of calls, oldest first.
#[derive(Serialize)]
pub(super) struct Page {
    /// The time by the worker's clock, in microseconds since the Unix epoch.
    now: Instant,
    calls: Vec<Row>,
    /// What to ask for the next page with, as `after`; `null` on the last one.
    next: Option<CallNo>,
}

/// A call in flight.
#[derive(Serialize)]
struct Row {
    number: CallNo,
    id: CallId,
    /// `reserved`, `active`, `stalled` or `ending`.
    state: &'static str,
    class: u8,
    /// How long ago it was promised, in milliseconds.
    age_ms: u64,
    /// How long ago it last moved, as far as that was noted: a quarter of its stall limit, at most.
    silent_ms: u64,
    /// The version that serves it, where the worker stands in front of programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    served_by: Option<Box<Version>>,
}

pub(super) async fn list(State(ops): State<Arc<Ops>>, Query(pick): Query<Pick>) -> Json<Page> {
    let now = ops.worker.now();
    let (calls, more) = ops.worker.roster().page(CallNo::new(pick.after), pick.limit.clamp(1, PAGE_MAX));
    let next = calls.last().filter(|_| more).map(|(number, _)| *number);
    let calls = calls.into_iter().map(|(number, call)| row(&ops, now, number, call)).collect();
    Json(Page { now, calls, next })
}

fn row(ops: &Ops, now: Instant, number: CallNo, call: Listed) -> Row {
    let millis = |since| now.since(since).as_micros() / 1_000;
    let state = match call.state {
        _ if ops.worker.hangups().until(number).is_some() => "ending",
        CallState::Reserved => "reserved",
        CallState::Active => "active",
        CallState::Stalled => "stalled",
    };
    let (age_ms, silent_ms) = (millis(call.since), millis(call.moved));
    Row { number, id: call.id, state, class: call.class.index(), age_ms, silent_ms, served_by: call.served_by }
}

pub(super) async fn end(
    State(ops): State<Arc<Ops>>,
    Extension(peer): Extension<Peer>,
    Path(number): Path<u64>,
    body: Bytes,
) -> Response {
    let number = CallNo::new(number);
    let Some(call) = ops.worker.roster().get(number) else {
        let message = format!("there is no call {number} here: it has ended, or `openrtc calls` knows another number");
        return answer(&ops, StatusCode::NOT_FOUND, message);
    };
    with_order(&ops, peer, &body, |order: Order| {
        if call.state == CallState::Reserved {
            return Err(Refused::No("the call is not assigned yet: it ends by itself if it never is"));
        }
        if ops.worker.end_call(number) {
            tracing::info!(call = %call.id, number = %number, actor = %order.actor, "the call is told to end");
        }
        Ok(Done::Now)
    })
}
