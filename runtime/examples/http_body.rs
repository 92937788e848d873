//! An axum server whose calls are streaming responses: a call lasts until the body ends or the client closes, and a
//! drain waits for it. Start from this if your calls are server-sent events, long downloads or streamed answers.
//!
//! ```sh
//! cargo run -p openrtc-runtime --example http_body -- 127.0.0.1:7000
//! curl -N 127.0.0.1:7000/count    # press Ctrl-C in the first terminal: the counting goes on, a new call is refused
//! ```

use std::convert::Infallible;
use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use axum::body::Body;
use axum::routing::get;
use axum::{Extension, Router};
use futures_util::stream;
use openrtc_runtime::tower::{AdmitLayer, AdmittedCall};
use openrtc_runtime::{AgentPool, FLUSH, log};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

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
    let calls = Router::new().route("/count", get(count)).layer(AdmitLayer::new(&pool));
    let app = calls.route("/", get(async || "curl -N /count\n"));
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

/// Counts for an hour. The layer ends the call with the body; each piece of it counts as progress.
async fn count(Extension(call): Extension<AdmittedCall>) -> Body {
    Body::from_stream(stream::unfold(0, move |number| {
        let cancelled = call.cancelled();
        async move {
            tokio::select! {
                () = sleep(Duration::from_millis(100)) => {}
                // A forced drain: what is not over soon is dropped.
                _ = cancelled => return None,
            }
            (number < 36_000).then(|| (Ok::<_, Infallible>(format!("{number}\n")), number + 1))
        }
    }))
}
