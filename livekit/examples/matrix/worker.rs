//! Our worker, as `subject` wants a program under test.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use std::{env, fs, future};

use openrtc_livekit::{Decision, Job, Monitor, Request, Worker};
use openrtc_runtime::{Actor, AgentPool, Call, OnDeadline};
use tokio::time::sleep;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How often the folder is looked at.
const LOOK: Duration = Duration::from_millis(5);

#[expect(clippy::disallowed_methods, reason = "the test tells its program by variables")]
pub(crate) async fn run() -> Result<ExitCode, Failure> {
    let dir = PathBuf::from(env::var("MATRIX_DIR")?);
    let mut pool = AgentPool::builder().deployment_version("v1").capacity(100);
    if let Ok(secs) = env::var("MATRIX_DRAIN_SECS") {
        pool = pool.drain_timeout(Duration::from_secs(secs.parse()?)).on_deadline(OnDeadline::Force);
    }
    let pool = pool.from_env()?.build()?;
    let worker = Worker::builder().agent_name("matrix").decide(decide).from_env()?.build()?;
    tokio::spawn(obey(dir.clone(), pool.clone(), worker.monitor()));
    let exit = worker.serve(&pool, move |call| talk(call, dir.clone())).await?;
    Ok(exit.into())
}

async fn decide(request: Request) -> Decision {
    match request.metadata() {
        "slow" => sleep(Duration::from_secs(3)).await,
        "hang" => future::pending().await,
        "panic" => panic!("on purpose"),
        _ => {}
    }
    Decision::Accept
}

/// One job, until its file says how it ends.
async fn talk(call: Call<Job>, dir: PathBuf) -> Result<(), String> {
    let Call { session: job, guard, .. } = call;
    append(&dir, &format!("{} {}\n", job.id(), job.url())).map_err(|error| error.to_string())?;
    let end = dir.join(format!("{}.end", job.id()));
    let told = async {
        loop {
            match fs::read_to_string(&end) {
                Ok(how) => return how,
                Err(_) => sleep(LOOK).await,
            }
        }
    };
    let result = tokio::select! {
        how = told => match how.as_str() {
            "panic" => panic!("on purpose"),
            "error" => Err("broken on purpose"),
            _ => Ok(()),
        },
        () = job.terminated() => Ok(()),
        _ = guard.cancelled() => Err("the drain deadline cut it"),
    };
    job.finish(guard, result).await;
    Ok(())
}

fn append(dir: &std::path::Path, line: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    fs::OpenOptions::new().create(true).append(true).open(dir.join("started"))?.write_all(line.as_bytes())
}

/// Does what the files `load` and `drain` say.
async fn obey(dir: PathBuf, pool: AgentPool, monitor: Monitor) {
    let read = |name| fs::read_to_string(dir.join(name)).unwrap_or_default();
    loop {
        if let Ok(load) = read("load").parse() {
            monitor.measure(load);
        }
        // A repeat is refused, and changes nothing.
        let _ = match read("drain").as_str() {
            "begin" => pool.begin_drain(Actor::from_static("matrix")),
            "cancel" => pool.cancel_drain(Actor::from_static("matrix")),
            _ => pool.promote(),
        };
        sleep(Duration::from_millis(250)).await;
    }
}
