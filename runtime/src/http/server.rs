//! HTTP connections, bounded in number and each in time. So clients that are slow, silent or many cannot keep other
//! clients out.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, StatusCode};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tower_service::Service as _;

use super::accept::{Listener, Peer, Seat, accept_each};
use crate::process::Reserve;

/// Limits on the connections to one listener.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The most connections at once. At the limit the oldest that is idle is hung up on.
    pub connections: usize,
    /// How long a request's head may take to arrive.
    pub head: Duration,
    /// How long a connection may take from its beginning to its end: a request is small, and so is its answer.
    pub whole: Duration,
    /// Descriptors held back for when the process has no others left.
    pub reserve: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { connections: 256, head: Duration::from_secs(2), whole: Duration::from_secs(10), reserve: 8 }
    }
}

/// Reads a body of which every field may be left out; an error is the answer to it.
pub fn read_body<T: Default + DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    match body {
        [] => Ok(T::default()),
        body => serde_json::from_slice(body).map_err(|error| format!("the body is not valid: {error}")),
    }
}

/// No request's head needs more, in bytes.
const HEAD_MAX: usize = 16 << 10;

/// Answers one request per connection, for as long as the process lives. Requests carry their [`Peer`] and their
/// connection's [`Seat`] as extensions. One that becomes a WebSocket is its handler's from then on, which keeps the
/// seat for as long as it lasts.
pub async fn answer_all(listener: impl Listener, router: Router, bounds: Bounds) {
    let reserve = Reserve::of(bounds.reserve);
    accept_each(listener, bounds.connections, reserve, |stream, peer, seat| {
        answer(stream, peer, seat, router.clone(), bounds)
    })
    .await;
}

/// Answers one request on a connection.
pub(super) async fn answer(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    peer: Peer,
    seat: Arc<Seat>,
    router: Router,
    bounds: Bounds,
) {
    // What a connection costs that says nothing must stay small, so the router is touched only when there is a request.
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(Arc::clone(&seat));
        let answered = router.clone().call(request);
        async {
            let mut answer = answered.await?;
            // One request is all: to say so to hyper would deny an upgrade, too.
            if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let mut http = http1::Builder::new();
    http.max_buf_size(HEAD_MAX).timer(TokioTimer::new()).header_read_timeout(bounds.head);
    let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
    match timeout(bounds.whole, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%peer, %error, "an HTTP connection broke"),
        Err(_) => tracing::debug!(%peer, "an HTTP connection took too long"),
    }
}
