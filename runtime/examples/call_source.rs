//! A call source over TCP lines: a connection is an offer, the worker says yes or no, and `serve` does the rest. Start
//! from this if a dispatcher offers calls, and assigns them after a yes.
//!
//! ```sh
//! cargo run -p openrtc-runtime --example call_source -- 127.0.0.1:7000
//! nc 127.0.0.1 7000    # wait for `accept`, type `assign`: then each line is said back
//! ```

use std::convert::Infallible;
use std::error::Error;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use openrtc_runtime::{
    AgentPool, Call, CallEnd, CallId, CallSource, EndReason, Offer, Refusal, Reporter, WorkerView, log,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
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
    let pool = AgentPool::builder().deployment_version("v1").from_env()?.build()?;
    writeln!(log::stdout(), "listening on {}", listener.local_addr()?)?;
    Ok(pool.serve(Dispatcher(listener), talk).await?.into())
}

/// The handler: one call from its assignment to its end.
async fn talk(mut call: Call<TcpStream>) -> io::Result<()> {
    let mut buffer = [0; 1024];
    loop {
        let heard = call.session.read(&mut buffer).await?;
        if heard == 0 {
            call.guard.end(EndReason::CallerHangup).await;
            return Ok(());
        }
        call.guard.progress();
        call.session.write_all(&buffer[..heard]).await?;
    }
}

/// The source: each connection is an offer.
struct Dispatcher(TcpListener);

impl CallSource for Dispatcher {
    type Offer = Offered;
    type Error = Infallible;
    type Reporter = Printer;

    fn attach(&mut self, worker: WorkerView) -> Printer {
        Printer(worker)
    }

    async fn next(&mut self) -> Result<Option<Offered>, Infallible> {
        loop {
            match self.0.accept().await {
                Ok((stream, peer)) => return Ok(Some(Offered(stream, peer))),
                // Out of descriptors, most likely: those of ended calls come back.
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

/// Hears how calls ended, and sees how busy the worker is. A real source would tell its dispatcher.
struct Printer(WorkerView);

impl Reporter for Printer {
    async fn ended(&self, end: CallEnd) {
        tracing::info!(id = %end.id, how = ?end.how, left = self.0.in_flight(), "a call has ended");
    }
}

/// A connection that has not been answered.
struct Offered(TcpStream, SocketAddr);

impl Offer for Offered {
    type Session = TcpStream;

    fn id(&self) -> CallId {
        CallId::new(&self.1.to_string()).expect("an address is short and printable")
    }

    async fn accept(mut self) -> Option<TcpStream> {
        self.0.write_all(b"accept\n").await.ok()?;
        let mut answer = [0; 7];
        self.0.read_exact(&mut answer).await.ok()?;
        (answer == *b"assign\n").then_some(self.0)
    }

    async fn decline(mut self, refusal: Refusal) {
        // A dispatcher that is gone needs no answer.
        let _ = self.0.write_all(format!("refused: {refusal}\n").as_bytes()).await;
    }
}
