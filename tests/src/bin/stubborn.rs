//! A worker whose only call blocks its thread for ever: what no abort can end.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use e2e::Once;
use openrtc_runtime::AgentPool;

/// Never set.
static STOP: AtomicBool = AtomicBool::new(false);

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let pool = AgentPool::builder()
        .deployment_version("v1")
        .force_grace(std::time::Duration::from_millis(50))
        .exit_when_blocked(true)
        .from_env()?
        .build()?;
    let ops = pool.ops_addr().ok_or("set OPENRTC_OPS_ADDR")?;
    let exit = pool.serve(Once::new("stone"), move |_call| async move {
        println!("{{\"calls\": \"127.0.0.1:9\", \"ops\": \"{ops}\"}}");
        while !STOP.load(Ordering::Relaxed) {
            std::thread::park();
        }
    });
    Ok(exit.await?.into())
}
