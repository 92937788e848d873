//! HTTP connections, each bounded in time and all of them in number: clients that are slow, silent or
//! many hold no more than that, and hold nothing for long.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// The most connections at once; the next one waits for its turn.
pub const CONNECTIONS_MAX: usize = 128;

/// How long one may take from its beginning to its end: a request is small, and so is its answer.
pub const CONNECTION_TIME: Duration = Duration::from_secs(5);

/// No request's head needs more, in bytes.
const HEAD_MAX: usize = 16 << 10;

/// How long to wait when a connection cannot be accepted: most likely for a descriptor.
const PAUSE: Duration = Duration::from_millis(50);

/// Answers one request per connection, for as long as the process lives.
pub async fn answer_all(listener: TcpListener, router: Router) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "an HTTP connection could not be accepted");
                sleep(PAUSE).await;
                continue;
            }
        };
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
    }
}
