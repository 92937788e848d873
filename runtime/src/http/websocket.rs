//! Text messages over a WebSocket, bounded in size and in time, for either end of it.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL};
use axum::http::header::{SEC_WEBSOCKET_VERSION, UPGRADE};
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use futures_util::{SinkExt as _, StreamExt as _};
use hyper_util::rt::TokioIo;
use reqwest::Url;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::connect::{Stream, connect};
use super::error::HttpError;
use super::trust::Trust;

/// How long the other side may take to make room for a message.
const SEND: Duration = Duration::from_secs(5);
/// How long it takes at most to part in good order.
const PART: Duration = Duration::from_millis(500);
/// What is read at once, in bytes: most messages are shorter, and there may be thousands of sockets.
const READ: usize = 4 << 10;
/// The longest reason that fits into a close frame, in bytes.
const REASON_MAX: usize = 123;
/// How much of an answer that is no upgrade is repeated, in characters.
const SAID_MAX: usize = 200;

/// A WebSocket that carries text. It answers pings whenever it is read.
pub struct TextSocket {
    socket: WebSocketStream<Box<dyn Stream>>,
    limit: usize,
}

/// Why a socket carries no more.
#[derive(Debug, thiserror::Error)]
pub enum Cut {
    /// A message is longer than allowed.
    #[error("a message is longer than {0} bytes")]
    TooLong(usize),
    /// A message is not text.
    #[error("a message is binary: send text")]
    NotText,
    /// The other side said that it was over.
    #[error("the other side closed the connection ({code}{}{reason})", if .reason.is_empty() { "" } else { ": " })]
    Closed {
        /// The code of the close frame; 1005 if there was none.
        code: u16,
        /// What it gave as its reason.
        reason: String,
    },
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(Box<Error>),
    /// The other side takes no more bytes.
    #[error("the other side took nothing for {SEND:?}")]
    Slow,
}

impl Cut {
    fn of(error: Error, limit: usize) -> Self {
        match error {
            Error::Capacity(CapacityError::MessageTooLong { .. }) => Self::TooLong(limit),
            error => Self::Broken(Box::new(error)),
        }
    }
}

impl std::fmt::Debug for TextSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextSocket").field("limit", &self.limit).finish_non_exhaustive()
    }
}

fn bounded(limit: usize) -> WebSocketConfig {
    let config = WebSocketConfig::default().read_buffer_size(READ).write_buffer_size(0);
    config.max_write_buffer_size(2 * limit).max_message_size(Some(limit)).max_frame_size(Some(limit))
}

impl TextSocket {
    /// Connects to the server that `url` names, over TLS if its scheme is `https`, through no proxy. Messages have at
    /// most `limit` bytes. The caller bounds the time.
    pub async fn dial(url: &Url, trust: &Trust, protocol: &'static str, limit: usize) -> Result<Self, HttpError> {
        let failed = |problem: String| HttpError::Failed(format!("{}: {problem}", url.authority()));
        let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
        let place = format!("{scheme}://{}{}", url.authority(), url.path());
        let mut request = place.into_client_request().map_err(|error| failed(error.to_string()))?;
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        let stream = connect(url, trust).await?;
        match client_async_with_config(request, stream, Some(bounded(limit))).await {
            Ok((socket, _)) => Ok(Self { socket, limit }),
            Err(Error::Http(answer)) => {
                let said = answer.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default();
                let said: String = said.trim().chars().take(SAID_MAX).flat_map(char::escape_debug).collect();
                Err(failed(format!("it answers {} and opens no WebSocket: {said}", answer.status())))
            }
            Err(error) => Err(failed(error.to_string())),
        }
    }

    /// The next message; `None` for a sign of life that carries none. Cancel-safe.
    pub async fn receive(&mut self) -> Result<Option<String>, Cut> {
        match self.socket.next().await {
            Some(Ok(Message::Text(text))) => Ok(Some(text.as_str().to_owned())),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(None),
            Some(Ok(Message::Binary(_))) => Err(Cut::NotText),
            Some(Ok(Message::Close(frame))) => {
                let (code, reason) = frame.map_or((1005, String::new()), |frame| {
                    (frame.code.into(), frame.reason.as_str().chars().flat_map(char::escape_debug).collect())
                });
                Err(Cut::Closed { code, reason })
            }
            Some(Err(error)) => Err(Cut::of(error, self.limit)),
            None => Err(Cut::Broken(Box::new(Error::ConnectionClosed))),
        }
    }

    /// Sends a message. After an error the socket carries no more.
    pub async fn send(&mut self, text: String) -> Result<(), Cut> {
        self.put(Message::text(text)).await
    }

    /// Asks for a sign of life.
    pub async fn ping(&mut self) -> Result<(), Cut> {
        self.put(Message::Ping(Bytes::new())).await
    }

    async fn put(&mut self, message: Message) -> Result<(), Cut> {
        match timeout(SEND, self.socket.send(message)).await {
            Ok(sent) => sent.map_err(|error| Cut::of(error, self.limit)),
            Err(_) => Err(Cut::Slow),
        }
    }

    /// Parts in good order: what was sent is read before the connection ends, unless that takes long.
    pub async fn close(mut self, code: u16, reason: &str) {
        let mut end = reason.len().min(REASON_MAX);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        let frame = CloseFrame { code: code.into(), reason: reason[..end].into() };
        let part = async {
            if self.socket.send(Message::Close(Some(frame))).await.is_ok() {
                while let Some(Ok(_)) = self.socket.next().await {}
            }
        };
        // Whoever does not part is left.
        let _ = timeout(PART, part).await;
    }
}

/// Makes a request a WebSocket: the answer to it, and what resolves to the socket once the answer is sent; `None` if
/// the connection broke before that.
///
/// # Errors
/// The answer to a request that asks for no such socket.
pub fn upgrade<B>(
    request: &mut Request<B>,
    protocol: &'static str,
    limit: usize,
) -> Result<(Response<Body>, impl Future<Output = Option<TextSocket>> + Send + use<B>), (StatusCode, String)> {
    let headers = request.headers();
    let key = headers.get(SEC_WEBSOCKET_KEY).filter(|_| lists(headers, UPGRADE, "websocket"));
    let Some(key) = key.filter(|_| lists(headers, SEC_WEBSOCKET_VERSION, "13")) else {
        let message = "this is a WebSocket's place: connect by version 13 of it\n";
        return Err((StatusCode::UPGRADE_REQUIRED, message.into()));
    };
    if !lists(headers, SEC_WEBSOCKET_PROTOCOL, protocol) {
        let message = format!("only {protocol} is spoken here: ask for it in Sec-WebSocket-Protocol\n");
        return Err((StatusCode::BAD_REQUEST, message));
    }
    let accept = derive_accept_key(key.as_bytes());
    let upgraded = hyper::upgrade::on(request);
    let socket = async move {
        let stream: Box<dyn Stream> = Box::new(TokioIo::new(upgraded.await.ok()?));
        let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(bounded(limit))).await;
        Some(TextSocket { socket, limit })
    };
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    if let Ok(accept) = HeaderValue::from_str(&accept) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    Ok((answer, socket))
}

/// Whether a header lists a word, in capitals or not.
fn lists(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|found| found.trim().eq_ignore_ascii_case(word))
}
