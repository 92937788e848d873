//! A worker whose only call fails and whose audit trail goes to every sink there is: standard output, `tracing` (on
//! standard error), a closure (which writes the file `closure.jsonl` in the directory named by the first argument), and
//! what the environment says.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use e2e::Once;
use openrtc_runtime::audit::{stdout_sink, tracing_sink};
use openrtc_runtime::{Actor, AgentPool};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(false).init();
    let dir = PathBuf::from(std::env::args().nth(1).ok_or("name a directory")?);
    let mut copy = File::create(dir.join("closure.jsonl"))?;
    let pool = AgentPool::builder()
        .deployment_version("v1")
        .audit_sink(stdout_sink())
        .audit_sink(tracing_sink())
        .audit_sink(move |lines: &[u8]| copy.write_all(lines))
        .from_env()?
        .build()?;
    let leaving = pool.clone();
    let exit = pool.serve(Once::new("doomed"), move |_call| {
        let leaving = leaving.clone();
        async move {
            // Refused only by a drain that has begun already.
            let _ = leaving.begin_drain(const { Actor::from_static("audited") });
            Err("nobody can serve this call")
        }
    });
    Ok(exit.await?.into())
}
