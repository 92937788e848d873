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
use std::time::Duration;

use openrtc_livekit::{Job, Worker};
use openrtc_runtime::{AgentPool, Call, CallGuard};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// A helper that was told to leave the room does so within this time.
const LEAVES_WITHIN: Duration = Duration::from_secs(5);

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

/// One job. The helper is in the room, and says on its standard output that it hears somebody, and at last that the
/// call is over. It leaves the room when its standard input ends.
async fn talk(call: Call<Job>, helper: Vec<String>) -> Result<(), String> {
    let Call { session: job, guard, .. } = call;
    let does_not_start = |error| format!("the helper does not start: {error}");
    let mut child = start(&helper, &job).await.map_err(does_not_start)?;
    let result = tokio::select! {
        result = listen(&mut child, &guard) => result,
        () = job.terminated() => Ok(()),
        _ = guard.cancelled() => Err("the drain deadline cut it".to_owned()),
    };
    // Before the helper leaves the room: LiveKit takes a job whose agent is gone for failed.
    job.finish(guard, result).await;
    drop(child.stdin.take());
    // One that does not leave is killed, as it is dropped.
    let _ = timeout(LEAVES_WITHIN, child.wait()).await;
    Ok(())
}

/// Hears the helper out.
async fn listen(child: &mut Child, guard: &CallGuard) -> Result<(), String> {
    let mut words = BufReader::new(child.stdout.take().ok_or("it was heard before")?).lines();
    loop {
        match words.next_line().await.map_err(|error| error.to_string())?.as_deref() {
            Some("over") => return Ok(()),
            Some(_) => guard.progress(),
            None => break,
        }
    }
    let status = child.wait().await.map_err(|error| error.to_string())?;
    Err(format!("the helper ended in the middle of the call: {status}"))
}

/// Starts the helper, and gives it the token on its standard input: arguments and variables can be read by others.
async fn start(helper: &[String], job: &Job) -> std::io::Result<Child> {
    let mut command = Command::new(&helper[0]);
    command.args(&helper[1..]).arg(job.url()).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    // In a group of its own: a Ctrl-C at the terminal is the worker's to handle.
    command.process_group(0);
    let mut child = command.spawn()?;
    if let Some(stdin) = &mut child.stdin {
        stdin.write_all(job.token().as_bytes()).await?;
        stdin.write_all(b"\n").await?;
    }
    Ok(child)
}
