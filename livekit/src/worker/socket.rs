//! One WebSocket to the server: connects, then carries frames both ways.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use futures_util::{SinkExt as _, StreamExt as _};
use openrtc_runtime::Clock;
use openrtc_runtime::http::{Stream, Trust, Url, connect};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::handshake::client::{Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::http::header::{AUTHORIZATION, DATE, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::session::{FRAME_MAX, Failure, LinkId};
use crate::token::{ApiKey, without};
use crate::url::ServerUrl;

/// How long a close frame, and what is behind it, may take.
const CLOSE: Duration = Duration::from_millis(500);
/// How much of what a server says beside a refusal is kept, in characters.
const SAID_MAX: usize = 200;

/// Where to connect, and with what.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) url: ServerUrl,
    /// The same, with the scheme `http` or `https`.
    pub(crate) base: Url,
    pub(crate) key: ApiKey,
    /// Whom to believe if the connection is encrypted.
    pub(crate) trust: Trust,
}

/// What a socket tells the driver.
pub(super) enum Event {
    Opened,
    Failed(Failure),
    Frame(Bytes),
    Text,
    /// A frame was taken: there is room for the next one.
    Written,
    Closed(Option<u16>),
}

/// What the driver tells a socket.
pub(super) enum Order {
    Send(Vec<u8>),
    Close(u16),
}

/// Lives as long as the socket. The driver drops `orders` to end it at once.
pub(super) async fn run(
    link: LinkId,
    server: Arc<Server>,
    mut orders: mpsc::Receiver<Order>,
    events: mpsc::Sender<(LinkId, Event)>,
) {
    let socket = tokio::select! {
        socket = open(&server) => socket,
        // Closed before it was open.
        _ = orders.recv() => return,
    };
    // A driver that is gone needs no events.
    let (end, socket) = match socket {
        Ok(socket) => (Event::Opened, Some(socket)),
        Err(failure) => (Event::Failed(failure), None),
    };
    let told = events.send((link, end)).await;
    if let (Ok(()), Some(socket)) = (told, socket) {
        carry(link, socket, orders, events).await;
    }
}

async fn carry(
    link: LinkId,
    socket: WebSocketStream<Box<dyn Stream>>,
    mut orders: mpsc::Receiver<Order>,
    events: mpsc::Sender<(LinkId, Event)>,
) {
    let (mut sink, mut stream) = socket.split();
    let reads = async {
        loop {
            let event = match stream.next().await {
                Some(Ok(Message::Binary(frame))) => Event::Frame(frame),
                Some(Ok(Message::Text(_))) => Event::Text,
                // The library answers pings by itself.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Close(frame))) => Event::Closed(frame.map(|frame| frame.code.into())),
                Some(Err(Error::Capacity(CapacityError::MessageTooLong { .. }))) => Event::Closed(Some(1009)),
                Some(Err(_)) | None => Event::Closed(None),
            };
            let over = matches!(event, Event::Closed(_));
            if events.send((link, event)).await.is_err() || over {
                return;
            }
        }
    };
    let writes = async {
        while let Some(order) = orders.recv().await {
            match order {
                Order::Send(frame) => {
                    if sink.send(Message::binary(frame)).await.is_err() {
                        // The reader sees it too, and tells the driver why.
                        return std::future::pending().await;
                    }
                    if events.send((link, Event::Written)).await.is_err() {
                        return;
                    }
                }
                Order::Close(code) => {
                    let frame = CloseFrame { code: code.into(), reason: "".into() };
                    let close = async { drop(sink.send(Message::Close(Some(frame))).await) };
                    drop(tokio::time::timeout(CLOSE, close).await);
                    return;
                }
            }
        }
    };
    tokio::select! {
        () = reads => {}
        () = writes => {}
    }
}

async fn open(server: &Server) -> Result<WebSocketStream<Box<dyn Stream>>, Failure> {
    let stream = connect(&server.base, &server.trust).await;
    let stream = stream.map_err(|error| Failure::Unreachable(error.to_string()))?;
    let limits = WebSocketConfig::default().max_message_size(Some(FRAME_MAX)).max_frame_size(Some(FRAME_MAX));
    let token = server.key.worker_token(now_secs());
    match client_async_with_config(request(server, &token)?, stream, Some(limits)).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => Err(refused(&response, &token)),
        Err(error) => Err(Failure::Unreachable(error.to_string())),
    }
}

fn request(server: &Server, token: &str) -> Result<Request, Failure> {
    let unusable = |error: &dyn std::fmt::Display| Failure::Unreachable(format!("no usable request: {error}"));
    let address = server.url.socket("/agent?protocol=1");
    let mut request = address.into_client_request().map_err(|error| unusable(&error))?;
    let header = HeaderValue::from_str(&format!("Bearer {token}"));
    let mut header = header.map_err(|error| unusable(&error))?;
    header.set_sensitive(true);
    request.headers_mut().insert(AUTHORIZATION, header);
    Ok(request)
}

/// What an answer other than an upgrade says.
fn refused(response: &Response, token: &str) -> Failure {
    let said = response.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default();
    let said = without(token, said.trim()).chars().take(SAID_MAX).collect();
    match response.status() {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let date = response.headers().get(DATE).and_then(|date| date.to_str().ok());
            let theirs = date.and_then(|date| httpdate::parse_http_date(date).ok());
            let theirs = theirs.and_then(|date| date.duration_since(UNIX_EPOCH).ok()).map(|date| date.as_secs());
            let ahead_secs = theirs.and_then(|theirs| now_secs().checked_signed_diff(theirs));
            Failure::Unauthorized { ahead_secs, said }
        }
        StatusCode::NOT_FOUND => Failure::NotFound,
        status => Failure::Status(status.as_u16()),
    }
}

/// Seconds since the Unix epoch, by the system's clock, which is what a server checks a token against.
pub(crate) fn now_secs() -> u64 {
    Clock::wall().as_micros() / 1_000_000
}
