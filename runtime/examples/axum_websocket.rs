//! An axum server whose calls are WebSocket connections: each says back what it hears, until the caller closes. Start
//! from this if your calls come in over WebSocket.
//!
//! ```sh
//! cargo run -p openrtc-runtime --example axum_websocket -- 127.0.0.1:7000
//! websocat ws://127.0.0.1:7000/talk    # talk, then press Ctrl-C in the first terminal: your call goes on
//! ```

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Extension, Router};
use openrtc_runtime::tower::{AdmitLayer, AdmittedCall};
use openrtc_runtime::{AgentPool, CallGuard, EndReason, FLUSH, log};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::time::timeout;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    // First: from here on no signal is lost, and none ends a call. A log that nobody reads stops no call.
    let _process = openrtc_runtime::process::begin();
    tracing_subscriber::fmt().with_writer(log::stderr).init();
    Runtime::new()?.block_on(run())
}

async fn run() -> Result<ExitCode, Box<dyn Error>> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    let listener = TcpListener::bind(addr).await?;
    let pool = AgentPool::builder().deployment_version("v1").from_env()?.build()?;
    writeln!(log::stdout(), "listening on {}", listener.local_addr()?)?;

    // The layer admits each request as a call, or answers 503. Routes that are no calls belong outside of it.
    let app = Router::new().route("/talk", any(upgrade)).layer(AdmitLayer::new(&pool));
    // The server answers until the worker is about to leave, and the worker leaves when it has closed.
    let listening = pool.listening();
    let server = axum::serve(listener, app).with_graceful_shutdown(listening.closing());
    let server = tokio::spawn(async move {
        let done = server.await;
        drop(listening);
        done
    });

    let exit = pool.retired().await;
    // No call is left. What connections still have to send they may send; one that does not end is cut.
    let _ = timeout(FLUSH, server).await;
    Ok(exit.into())
}

/// Takes the call over from the layer: it outlives the response that upgrades the connection.
async fn upgrade(socket: WebSocketUpgrade, Extension(call): Extension<AdmittedCall>) -> Response {
    match call.take() {
        Some(guard) => socket.on_upgrade(|socket| talk(socket, guard)),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The call. It is in flight until its guard is dropped or ended.
async fn talk(mut socket: WebSocket, guard: CallGuard) {
    let mut cancelled = std::pin::pin!(guard.cancelled());
    let reason = loop {
        let message = tokio::select! {
            message = socket.recv() => message,
            // A forced drain: what is not over soon is dropped.
            _ = &mut cancelled => break EndReason::DrainForced,
        };
        match message {
            Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                guard.progress();
                if socket.send(message).await.is_err() {
                    break EndReason::Disconnected;
                }
            }
            // Answered by axum while the socket is read; after a close, nothing more comes.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_))) => {}
            None => break EndReason::CallerHangup,
            Some(Err(_)) => break EndReason::Disconnected,
        }
    };
    // A socket that is closed already needs no farewell.
    let _ = socket.send(Message::Close(None)).await;
    guard.end(reason).await;
}
