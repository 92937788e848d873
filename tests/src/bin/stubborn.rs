//! A worker whose only call blocks its thread for ever: what no abort can end.
#![forbid(unsafe_code)]

use std::io;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use openrtc_core::id::CallId;
use openrtc_core::word::Refusal;
use openrtc_runtime::{AgentPool, CallSource, Offer};

/// Never set.
static STOP: AtomicBool = AtomicBool::new(false);

/// Offers one call, at once.
struct Once(bool);

struct Stone;

impl CallSource for Once {
    type Offer = Stone;

    async fn next(&mut self) -> io::Result<Option<Stone>> {
        if std::mem::replace(&mut self.0, true) { std::future::pending().await } else { Ok(Some(Stone)) }
    }
}

impl Offer for Stone {
    type Session = ();

    fn id(&self) -> CallId {
        CallId::from_static("stone")
    }

    async fn accept(self) -> Option<()> {
        Some(())
    }

    async fn decline(self, _: Refusal) {}
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let pool = AgentPool::builder()
        .deployment_version("v1")
        .force_grace(std::time::Duration::from_millis(50))
        .from_env()?
        .build()?;
    let ops = pool.ops_addr().ok_or("set OPENRTC_OPS_ADDR")?;
    let exit = pool.serve(Once(false), move |_call| async move {
        println!("{{\"calls\": \"127.0.0.1:9\", \"ops\": \"{ops}\"}}");
        while !STOP.load(Ordering::Relaxed) {
            std::thread::park();
        }
    });
    Ok(exit.await?.into())
}
