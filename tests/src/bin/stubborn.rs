//! A worker whose only call keeps the process from ending, in the way that the first argument says: `threads` blocks a
//! thread, `current-thread` the only one, `spawn-blocking` one for blocking work, `stdin` one that reads.
#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use e2e::Once;
use openrtc_runtime::{AgentPool, log};
use tokio::runtime::Builder;
use tokio::task::spawn_blocking;

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let _process = openrtc_runtime::process::begin();
    tracing_subscriber::fmt().with_writer(log::stderr).init();
    let way = std::env::args().nth(1).ok_or("say in which way")?;
    let mut runtime = if way == "current-thread" { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    runtime.worker_threads(2).enable_all().build()?.block_on(serve(way))
}

async fn serve(way: String) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let builder = AgentPool::builder().deployment_version("v1").force_grace(Duration::from_millis(50));
    let pool = builder.exit_watchdog(Duration::from_millis(900)).from_env()?.build()?;
    let ops = pool.ops_addr().ok_or("set OPENRTC_OPS_ADDR")?;
    let exit = pool.serve(Once::new("stone"), move |call| {
        let way = way.clone();
        async move {
            let _in_flight = call.guard;
            let ready = format!("{{\"calls\": \"127.0.0.1:9\", \"ops\": \"{ops}\"}}\n");
            log::stdout().write_all(ready.as_bytes()).expect("it cannot fail");
            match &*way {
                "spawn-blocking" => drop(spawn_blocking(block).await),
                // What tokio's own standard input does.
                "stdin" => drop(spawn_blocking(|| std::io::stdin().read(&mut [0])).await),
                _ => block(),
            }
        }
    });
    Ok(exit.await?.into())
}

/// For ever.
fn block() {
    loop {
        std::thread::park();
    }
}
