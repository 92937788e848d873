//! The dev server's connections: requests, and sockets of workers.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, Collected, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use openrtc_runtime::http::accept_each;
use openrtc_runtime::process::Reserve;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_util::sync::CancellationToken;

use super::{Core, FRAMES, twirp};
use crate::dispatcher::{Fault, PeerId};
use crate::token::BadToken;
use crate::worker::now_secs;

/// The largest body of a request, in bytes: a job's metadata has at most 512 KiB.
const BODY_MAX: usize = 1024 * 1024;
/// The largest frame that a worker may send, in bytes.
const FRAME_MAX: usize = 2 * 1024 * 1024;
/// The most connections at once on which requests come. At the limit the oldest is hung up on.
const CONNECTIONS: usize = 1024;
/// How long a request's head may take.
const HEAD: Duration = Duration::from_secs(10);
/// How far off [`Fault::SkewClock`] is.
const SKEW_SECS: u64 = 120;

pub(super) type Answer = Response<Full<Bytes>>;

/// Accepts connections for ever. A worker's socket, once it is one, has left its seat and counts no more.
pub(super) async fn serve(listener: TcpListener, core: &Arc<Core>, life: &CancellationToken) {
    accept_each(listener, CONNECTIONS, Reserve::of(0), |stream, _, _| {
        // A connection that is gone already says so when it is read.
        let _ = stream.set_nodelay(true);
        let (core, life) = (Arc::clone(core), life.clone());
        async move {
            let inner = life.clone();
            let service = service_fn(move |request| {
                let (core, life) = (Arc::clone(&core), inner.clone());
                async move { Ok::<_, Infallible>(answer(request, core, life).await) }
            });
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEAD);
            let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
            tokio::select! {
                () = life.cancelled() => {}
                // A broken connection has nobody to tell.
                _ = connection => {}
            }
        }
    })
    .await;
}

async fn answer(request: Request<Incoming>, core: Arc<Core>, life: CancellationToken) -> Answer {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/") => text(StatusCode::OK, "OK"),
        (&Method::GET, "/agent") => upgrade(request, core, life),
        (&Method::POST, path) if path.starts_with("/twirp/") || path.starts_with("/dev/") => {
            let (path, token) = (path.to_owned(), token(request.headers(), request.uri().query()));
            let body = Limited::new(request.into_body(), BODY_MAX).collect().await;
            let Ok(body) = body.map(Collected::to_bytes) else {
                return problem(StatusCode::BAD_REQUEST, "malformed", "the request's body is too large, or broke off");
            };
            let Ok(body) = serde_json::from_slice::<Value>(if body.is_empty() { b"{}" } else { &body }) else {
                return problem(StatusCode::BAD_REQUEST, "malformed", "the request's body is no JSON");
            };
            match core.key.verify(token.as_deref().unwrap_or_default(), now_secs()) {
                Ok(claims) => twirp::answer(&core, &path, &claims["video"], &body),
                Err(bad) => refuse(&token.unwrap_or_default(), bad),
            }
        }
        _ => text(StatusCode::NOT_FOUND, "not found"),
    }
}

/// Refuses a token in the real server's words, which repeat it.
fn refuse(token: &str, bad: BadToken) -> Answer {
    text(StatusCode::UNAUTHORIZED, &format!("invalid token: {token}, error: {bad}"))
}

/// Makes a worker's request a socket.
fn upgrade(mut request: Request<Incoming>, core: Arc<Core>, life: CancellationToken) -> Answer {
    let broken = |fault| core.with(|state, _| state.dispatcher.is_broken(fault));
    for (fault, status) in [
        (Fault::Refuse401, StatusCode::UNAUTHORIZED),
        (Fault::Refuse404, StatusCode::NOT_FOUND),
        (Fault::Refuse503, StatusCode::SERVICE_UNAVAILABLE),
    ] {
        if broken(fault) {
            return text(status, "broken on purpose");
        }
    }
    if broken(Fault::SkewClock) {
        return skewed();
    }
    let token = token(request.headers(), request.uri().query()).unwrap_or_default();
    match core.key.verify(&token, now_secs()) {
        Ok(claims) if claims["video"]["agent"] == true => {}
        Ok(_) => return text(StatusCode::UNAUTHORIZED, "permissions denied"),
        Err(bad) => return refuse(&token, bad),
    }
    let Some(key) = request.headers().get("sec-websocket-key").map(|key| derive_accept_key(key.as_bytes())) else {
        return text(StatusCode::NOT_FOUND, "this is an endpoint for WebSockets");
    };
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgraded.await else { return };
        let limits = WebSocketConfig::default().max_message_size(Some(FRAME_MAX)).max_frame_size(Some(FRAME_MAX));
        let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(limits)).await;
        tokio::select! {
            () = life.cancelled() => {}
            () = carry(socket, &core) => {}
        }
    });
    let mut response = text(StatusCode::SWITCHING_PROTOCOLS, "");
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(key) = HeaderValue::from_str(&key) {
        headers.insert("sec-websocket-accept", key);
    }
    response
}

/// Carries a worker's frames until either side closes.
async fn carry(socket: WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>, core: &Core) {
    let (frames, mut waiting) = mpsc::channel(FRAMES);
    let peer = core.with(|state, now| {
        state.last_peer += 1;
        let peer = PeerId(state.last_peer);
        state.peers.insert(peer, frames);
        state.dispatcher.opened(now, peer);
        peer
    });
    let (mut sink, mut stream) = socket.split();
    loop {
        tokio::select! {
            frame = waiting.recv() => match frame {
                Some(frame) => if sink.send(Message::binary(frame)).await.is_err() { break },
                // The dispatcher closes it, as the real one does: without a close frame.
                None => break,
            },
            message = stream.next() => match message {
                Some(Ok(Message::Binary(frame))) => {
                    core.with(|state, now| state.dispatcher.received(now, peer, &frame));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Text(_) | Message::Close(_)) | Err(_)) | None => break,
            },
        }
    }
    core.with(|state, _| {
        state.peers.remove(&peer);
        state.dispatcher.closed(peer);
    });
}

/// The token of a request, from its header or its parameter.
fn token(headers: &HeaderMap, query: Option<&str>) -> Option<String> {
    let bearer = headers.get(AUTHORIZATION).and_then(|header| header.to_str().ok()?.strip_prefix("Bearer "));
    let parameter = || query?.split('&').find_map(|pair| pair.strip_prefix("access_token="));
    bearer.or_else(parameter).map(str::to_owned)
}

/// What a server says whose clock is two minutes ahead.
fn skewed() -> Answer {
    let mut response = text(StatusCode::UNAUTHORIZED, "the token is not valid yet");
    let theirs = std::time::UNIX_EPOCH + Duration::from_secs(now_secs() + SKEW_SECS);
    if let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(theirs)) {
        response.headers_mut().insert(DATE, date);
    }
    response
}

fn text(status: StatusCode, text: &str) -> Answer {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(text.as_bytes())));
    *response.status_mut() = status;
    response
}

/// An answer in JSON.
pub(super) fn json_of(status: StatusCode, body: &Value) -> Answer {
    let mut response = text(status, &body.to_string());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An error as Twirp writes it.
pub(super) fn problem(status: StatusCode, code: &str, message: &str) -> Answer {
    json_of(status, &json!({ "code": code, "msg": message }))
}
