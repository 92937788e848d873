//! A worker of the demo on LiveKit, as `openrtc worker --callers ADDR` is one.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use openrtc_demo::livekit::serve;
use openrtc_livekit::Worker;
use openrtc_runtime::{AgentPool, log, process};
use tokio::runtime::Runtime;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let _process = process::begin();
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    Runtime::new()?.block_on(run())
}

async fn run() -> Result<ExitCode, Box<dyn Error>> {
    let args: Vec<_> = std::env::args().collect();
    let [_, callers, address] = &args[..] else { return Err("usage: livekit_worker --callers ADDR".into()) };
    assert_eq!(callers, "--callers");
    let pool = AgentPool::builder().from_env()?.build()?;
    let worker = Worker::builder().from_env()?.build()?;
    let (mut monitor, ready) = (worker.monitor(), pool.clone());
    tokio::spawn(async move {
        monitor.available().await;
        let (ops, identity) = (ready.ops_addr(), ready.identity());
        let line = serde_json::json!({
            "ops": ops, "version": identity.version.to_string(), "worker": identity.worker.to_string(),
            "pid": std::process::id(),
        });
        let _ = writeln!(log::stdout(), "{line}");
    });
    Ok(serve(&pool, worker, address.parse()?).await?.into())
}
