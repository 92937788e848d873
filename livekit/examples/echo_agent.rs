//! A LiveKit agent: takes jobs, and has a helper process join each room and echo what it hears. Copy it, and put your
//! own agent in the helper's place; `docs/livekit.md` walks through it.
//!
//! ```sh
//! LIVEKIT_URL=ws://127.0.0.1:7880 LIVEKIT_API_KEY=devkey LIVEKIT_API_SECRET=secret \
//!     cargo run -p openrtc-livekit --example echo_agent -- python3 livekit/examples/echo.py
//! ```

use std::env;
use std::error::Error;
use std::process::{ExitCode, Stdio};

use openrtc_livekit::{Job, Worker};
use openrtc_runtime::{AgentPool, Call};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).init();
    let helper: Vec<_> = env::args().skip(1).collect();
    if helper.is_empty() {
        return Err("name the program that joins the rooms: python3 livekit/examples/echo.py".into());
    }
    let pool = AgentPool::builder().deployment_version("v1").capacity(10).from_env()?.build()?;
    let worker = Worker::builder().agent_name("echo").from_env()?.build()?;
    let exit = worker.serve(&pool, move |call| talk(call, helper.clone())).await?;
    Ok(exit.into())
}

/// One job: the helper is in the room until it leaves by itself, the server ends the job, or a forced drain cuts it.
async fn talk(call: Call<Job>, helper: Vec<String>) -> Result<(), String> {
    let Call { session: job, guard, .. } = call;
    let mut child = start(&helper, &job).await.map_err(|error| format!("the helper does not start: {error}"))?;
    let result = tokio::select! {
        status = child.wait() => match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("the helper failed: {status}")),
            Err(error) => Err(error.to_string()),
        },
        () = job.terminated() => Ok(()),
        _ = guard.cancelled() => Err("the drain deadline cut it".to_owned()),
    };
    // Before the helper leaves the room: LiveKit takes a job whose agent is gone for failed.
    job.finish(guard, result).await;
    // One that has left already needs no kill.
    let _ = child.kill().await;
    Ok(())
}

/// Starts the helper, and gives it the token on its standard input: arguments and variables can be read by others.
async fn start(helper: &[String], job: &Job) -> std::io::Result<Child> {
    let mut command = Command::new(&helper[0]);
    command.args(&helper[1..]).arg(job.url()).stdin(Stdio::piped()).kill_on_drop(true);
    // In a group of its own: a Ctrl-C at the terminal is the worker's to handle.
    command.process_group(0);
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(job.token().as_bytes()).await?;
    }
    Ok(child)
}
