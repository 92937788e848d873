//! A connection to the host of a URL, for other protocols than plain requests, such as WebSocket.

use reqwest::Url;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::error::HttpError;
use super::trust::Trust;
#[cfg(feature = "tls")]
use super::{error::causes, fault::tls_fault};
use crate::config::{UrlError, host};

/// A connection that bytes can be read from and written to.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects to the host and port of a URL, over TLS if its scheme is `https`. It uses no proxy, and sends small writes
/// at once (`TCP_NODELAY`). It has no time limit of its own: the caller must set one.
///
/// # Cancel safety
/// If you drop the future, the connection is closed.
pub async fn connect(url: &Url, trust: &Trust) -> Result<Box<dyn Stream>, HttpError> {
    let failed = |error: std::io::Error| HttpError::Failed(format!("{}: {error}", url.authority()));
    let port = url.port_or_known_default().ok_or_else(|| UrlError::Malformed(url.to_string()))?;
    let stream = TcpStream::connect((host(url), port)).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    if url.scheme() != "https" {
        return Ok(Box::new(stream));
    }
    over_tls(url, trust, stream).await
}

#[cfg(feature = "tls")]
async fn over_tls(url: &Url, trust: &Trust, stream: TcpStream) -> Result<Box<dyn Stream>, HttpError> {
    match trust.shake_hands(url, stream).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => {
            let fault = causes(&error).into_iter().find_map(|cause| tls_fault(cause, url));
            Err(HttpError::Failed(fault.unwrap_or_else(|| format!("{}: {error}", url.authority()))))
        }
    }
}

#[cfg(not(feature = "tls"))]
#[expect(clippy::unused_async, reason = "it is the other one with nothing to wait for")]
async fn over_tls(url: &Url, _: &Trust, _: TcpStream) -> Result<Box<dyn Stream>, HttpError> {
    Err(UrlError::WithoutTls(url.to_string()).into())
}
