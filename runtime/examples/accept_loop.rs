//! A worker with an accept loop of its own. Each TCP connection is a call: the worker says back each line that it
//! hears, until the caller closes. Start from this if your calls come in over a socket that you accept yourself.
//!
//! ```sh
//! cargo run -p openrtc-runtime --example accept_loop -- 127.0.0.1:7000
//! nc 127.0.0.1 7000    # talk, then press Ctrl-C in the first terminal: your call goes on, a new one is refused
//! ```

use std::error::Error;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use openrtc_runtime::{AgentPool, CallGuard, CallId, EndReason, Listening, log};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::sleep;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    // First: from here on no signal is lost, and none ends a call. A log that nobody reads stops no call.
    let _process = openrtc_runtime::process::begin();
    tracing_subscriber::fmt().with_writer(log::stderr).init();
    Runtime::new()?.block_on(run())
}

async fn run() -> Result<ExitCode, Box<dyn Error>> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    let listener = TcpListener::bind(addr).await?;
    // OPENRTC_* variables may set everything else: see docs/configuration.md.
    let pool = AgentPool::builder().deployment_version("v1").from_env()?.build()?;
    writeln!(log::stdout(), "listening on {}", listener.local_addr()?)?;

    let accepting = tokio::spawn(accept(pool.clone(), listener));
    let exit = pool.retired().await;
    accepting.await?;
    Ok(exit.into())
}

/// Accepts until the worker is about to leave, also while it drains: a caller that is refused knows to try another one.
async fn accept(pool: AgentPool, listener: TcpListener) {
    let listening = pool.listening();
    let mut closing = pin!(listening.closing());
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            () = &mut closing => return,
        };
        match accepted {
            Ok((stream, peer)) => drop(tokio::spawn(answer(pool.clone(), listening.clone(), stream, peer))),
            Err(error) => {
                // Out of descriptors, most likely: those of ended calls come back.
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Takes a connection as a call, or says why not: the worker does not leave before that.
async fn answer(pool: AgentPool, listening: Listening, mut stream: TcpStream, peer: SocketAddr) {
    let id = CallId::new(&format!("tcp-{peer}")).expect("an address is short and printable");
    let talked = match pool.admit(id) {
        Ok(guard) => {
            drop(listening);
            talk(stream, guard).await
        }
        Err(refusal) => stream.write_all(format!("refused: {refusal}\n").as_bytes()).await,
    };
    if let Err(error) = talked {
        tracing::warn!(%peer, %error, "the call broke");
    }
}

/// The call. It is in flight until its guard is dropped or ended.
async fn talk(mut stream: TcpStream, guard: CallGuard) -> io::Result<()> {
    let (from, mut to) = stream.split();
    to.write_all(b"hello\n").await?;
    let mut lines = BufReader::new(from).lines();
    let mut cancelled = pin!(guard.cancelled());
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line?,
            // A forced drain: what is not over soon is dropped.
            _ = &mut cancelled => {
                to.write_all(b"sorry, this worker must leave now\n").await?;
                guard.end(EndReason::DrainForced).await;
                return Ok(());
            }
        };
        let Some(line) = line else {
            guard.end(EndReason::CallerHangup).await;
            return Ok(());
        };
        guard.progress();
        to.write_all(format!("{line}\n").as_bytes()).await?;
    }
}
