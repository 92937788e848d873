//! Asking through a Unix socket.

use std::io;
use std::path::Path;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::client::{BODY_MAX, HttpError, PATIENCE, Response, failed};

/// Asks whoever listens on this socket for `target`, with a JSON body.
pub async fn ask_socket(method: Method, socket: &Path, target: &str, body: String) -> Result<Response, HttpError> {
    let answer = async {
        let stream = UnixStream::connect(socket).await.map_err(|error| explain(socket, &error))?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::<Bytes>::from(body))
            .map_err(|error| failed(&error))?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), BODY_MAX).collect().await.map_err(|error| failed(&*error))?;
            Ok(Response { status, body: String::from_utf8_lossy(&body.to_bytes()).trim_end().to_owned() })
        };
        tokio::pin!(exchange, connection);
        // The connection carries the exchange, and is over with it; if it breaks, the exchange tells.
        tokio::select! {
            biased;
            answer = &mut exchange => answer,
            _ = &mut connection => exchange.await,
        }
    };
    let silent = || HttpError::Silent(socket.display().to_string());
    timeout(PATIENCE, answer).await.map_err(|_| silent())?
}

/// What the system says of a path, with the path and what to do.
fn explain(socket: &Path, error: &io::Error) -> HttpError {
    let fix = match error.kind() {
        io::ErrorKind::NotFound => " (it is what the worker's OPENRTC_OPS_SOCKET says)",
        io::ErrorKind::PermissionDenied => " (its file says who may: become that user, or a member of its group)",
        _ => "",
    };
    HttpError::Failed(format!("{}: {error}{fix}", socket.display()))
}
