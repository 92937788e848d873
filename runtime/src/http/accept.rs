//! The accept loop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

/// How long to wait when a connection cannot be accepted: most likely for a descriptor.
const PAUSE: Duration = Duration::from_millis(50);

/// Hands every connection to `each`, for as long as the process lives, with a permit that counts it. At `most` permits
/// held, the next connection waits for its turn.
pub async fn accept_each(
    listener: TcpListener,
    most: usize,
    mut each: impl FnMut(TcpStream, SocketAddr, OwnedSemaphorePermit),
) {
    let room = Arc::new(Semaphore::new(most));
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, peer)) => each(stream, peer, permit),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(PAUSE).await;
            }
        }
    }
}
