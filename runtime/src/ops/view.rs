//! The requests that change nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use openrtc_core::snapshot::RuntimeSnapshot;
use openrtc_core::word::Phase;
use openrtc_core::worker::Availability;
use serde::Deserialize;
use tokio::time::timeout;

use super::metrics::Format;
use super::{Ops, metrics as page};
use crate::http::Seat;

/// How long a request waits for a change at most. The client then asks again.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// What a snapshot waits for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Watch {
    /// Until the phase is another than this.
    #[serde(rename = "while")]
    phase: Option<Phase>,
    /// But at most so long, in milliseconds.
    wait_ms: u64,
}

pub(super) async fn livez() -> &'static str {
    "live\n"
}

pub(super) async fn readyz(State(ops): State<Arc<Ops>>) -> Response {
    let snapshot = ops.worker.snapshot();
    match snapshot.availability {
        Availability::Open => (StatusCode::OK, "ready\n").into_response(),
        // A full worker will take calls again; taking it out of rotation would be churn.
        Availability::Full => (StatusCode::OK, "ready, full\n").into_response(),
        Availability::Closed => (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", snapshot.phase)).into_response(),
    }
}

pub(super) async fn snapshot(
    State(ops): State<Arc<Ops>>,
    Extension(seat): Extension<Arc<Seat>>,
    Query(watch): Query<Watch>,
) -> Json<RuntimeSnapshot> {
    let Watch { phase: Some(phase), wait_ms } = watch else { return Json(ops.worker.snapshot()) };
    let mut watcher = ops.farewell.watcher();
    let wait = WAIT_MAX.min(Duration::from_millis(wait_ms));
    // Whether it changed or the time is over, the snapshot says.
    let _ = timeout(wait, ops.worker.has_left_phase(phase)).await;
    let snapshot = ops.worker.snapshot();
    watcher.told = snapshot.outcome.is_some();
    seat.keep(watcher);
    Json(snapshot)
}

pub(super) async fn metrics(State(ops): State<Arc<Ops>>, headers: HeaderMap) -> Response {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = Format::asked_for(accepted);
    let text = page::render(&ops, format);
    ([(header::CONTENT_TYPE, format.content_type())], text).into_response()
}
