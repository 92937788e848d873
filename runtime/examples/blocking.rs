//! A worker without tokio: a thread for each TCP connection, which is a call and says back each line. Start from this
//! if your program has plain threads.
//!
//! ```sh
//! cargo run -p openrtc-runtime --example blocking -- 127.0.0.1:7000
//! nc 127.0.0.1 7000    # talk, then press Ctrl-C in the first terminal: your call goes on, a new one is refused
//! ```

use std::error::Error;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use openrtc_runtime::blocking::{AgentPool, CallGuard};
use openrtc_runtime::{CallId, EndReason, log};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    // First: from here on no signal is lost, and none ends a call. A log that nobody reads stops no call.
    let _process = openrtc_runtime::process::begin();
    tracing_subscriber::fmt().with_writer(log::stderr).init();
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    let listener = TcpListener::bind(addr)?;
    let builder = openrtc_runtime::AgentPool::builder().deployment_version("v1").from_env()?;
    let pool = AgentPool::start(builder)?;
    writeln!(log::stdout(), "listening on {}", listener.local_addr()?)?;

    let accepting = pool.clone();
    thread::Builder::new().spawn(move || accept(&listener, &accepting))?;
    // Returns when the last call has ended after SIGTERM or Ctrl-C. The accepting thread ends with the process.
    Ok(pool.retired().into())
}

/// Accepts also while the worker drains: a caller that is refused knows to try another worker.
fn accept(listener: &TcpListener, pool: &AgentPool) {
    for stream in listener.incoming() {
        let pool = pool.clone();
        let answered = stream.and_then(|stream| thread::Builder::new().spawn(move || answer(&pool, stream)));
        if let Err(error) = answered {
            // Out of descriptors or threads, most likely: those of ended calls come back.
            tracing::warn!(%error, "a connection could not be answered");
            thread::park_timeout(Duration::from_millis(50));
        }
    }
}

/// Takes a connection as a call, or says why not.
fn answer(pool: &AgentPool, mut stream: TcpStream) {
    let id = CallId::new(&format!("thread-{:?}", thread::current().id())).expect("short and printable");
    let talked = match pool.admit(id) {
        Ok(guard) => talk(stream, guard),
        Err(refusal) => writeln!(stream, "refused: {refusal}"),
    };
    if let Err(error) = talked {
        tracing::warn!(%error, "a call broke");
    }
}

/// The call. It is in flight until its guard is dropped or ended.
fn talk(mut to: TcpStream, guard: CallGuard) -> io::Result<()> {
    let mut from = BufReader::new(to.try_clone()?);
    writeln!(to, "hello")?;
    // A thread that waits for its caller looks now and then whether a forced drain has told it to end.
    to.set_read_timeout(Some(Duration::from_millis(200)))?;
    let mut line = String::new();
    while !guard.is_cancelled() {
        match from.read_line(&mut line) {
            Ok(0) => {
                guard.end(EndReason::CallerHangup);
                return Ok(());
            }
            Ok(_) => {
                guard.progress();
                to.write_all(line.as_bytes())?;
                line.clear();
            }
            // What was read of a line so far is in it.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
    }
    writeln!(to, "sorry, this worker must leave now")
}
