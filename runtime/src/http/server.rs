//! HTTP connections, each bounded in time and all of them in number: clients that are slow, silent or
//! many hold no more than that, and hold nothing for long.

use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::accept::accept_each;

/// The most connections at once; the next one waits for its turn.
pub(crate) const CONNECTIONS_MAX: usize = 128;

/// How long one may take from its beginning to its end: a request is small, and so is its answer.
pub(crate) const CONNECTION_TIME: Duration = Duration::from_secs(5);

/// No request's head needs more, in bytes.
const HEAD_MAX: usize = 16 << 10;

/// Answers one request per connection, for as long as the process lives.
pub async fn answer_all(listener: TcpListener, router: Router) {
    accept_each(listener, CONNECTIONS_MAX, |stream, peer, permit| {
        let service = TowerToHyperService::new(router.clone().layer(Extension(ConnectInfo(peer))));
        tokio::spawn(async move {
            let mut http = http1::Builder::new();
            let connection =
                http.keep_alive(false).max_buf_size(HEAD_MAX).serve_connection(TokioIo::new(stream), service);
            match timeout(CONNECTION_TIME, connection).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%peer, %error, "an HTTP connection broke"),
                Err(_) => tracing::debug!(%peer, "an HTTP connection took too long"),
            }
            drop(permit);
        });
    })
    .await;
}
