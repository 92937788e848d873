//! `openrtc worker`: a voice agent that echoes, standing in for yours.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use openrtc_demo::echo::{Line, Ready, echo};
use openrtc_runtime::{AgentPool, Config, ConfigError, Exit, Phase, log};
use tokio::net::TcpListener;

use crate::{Usage, endpoints};

/// Serve calls over TCP and echo their audio, until drained.
///
/// Everything else is set by OPENRTC_* variables (docs/configuration.md); flags win over them. RUST_LOG says what is
/// logged: error, warn (default), info, debug or trace.
#[derive(Args, Clone, Debug)]
pub(crate) struct WorkerArgs {
    /// Where calls are taken; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR")]
    listen: SocketAddr,
    /// The version this worker runs [env: OPENRTC_DEPLOYMENT_VERSION].
    #[arg(long, value_name = "TAG")]
    deployment_version: Option<String>,
    /// Print one line of JSON when ready instead of text.
    #[arg(long)]
    json: bool,
    /// Die when the process that started this one does, so that nothing is left behind.
    #[arg(long, hide = true)]
    exit_with_parent: bool,
    /// Take jobs from LiveKit, for the callers there (`openrtc demo --livekit`).
    #[cfg(feature = "livekit")]
    #[arg(long, hide = true, value_name = "ADDR", conflicts_with = "listen")]
    callers: Option<SocketAddr>,
}

/// Runs a worker to its end.
pub(crate) async fn run(args: WorkerArgs) -> anyhow::Result<ExitCode> {
    if args.exit_with_parent {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    }
    #[cfg(feature = "livekit")]
    if let Some(callers) = args.callers {
        return take_jobs(&args, callers).await;
    }
    // Before the pool: once that is ready, callers come.
    let listener = TcpListener::bind(args.listen).await.with_context(|| {
        format!("cannot listen for calls on {} (is another worker there? port 0 picks a free one)", args.listen)
    });
    let listener = listener.map_err(Usage)?;
    let config = configure(&args)?;
    let socket = config.ops_socket.clone();
    let pool = AgentPool::builder().config(config).build()?;
    say_ready(&pool, socket.as_deref(), Some(listener.local_addr()?), args.json);
    Ok(left(&pool, pool.serve(Line::listen(listener), echo).await?))
}

/// Runs a worker of the demo on LiveKit. It is ready once the server gives it jobs.
#[cfg(feature = "livekit")]
async fn take_jobs(args: &WorkerArgs, callers: SocketAddr) -> anyhow::Result<ExitCode> {
    let worker = openrtc_livekit::Worker::builder().from_env().and_then(openrtc_livekit::WorkerBuilder::build);
    let worker = worker.map_err(Usage::new)?;
    let pool = AgentPool::builder().config(configure(args)?).build()?;
    let (mut monitor, ready, json) = (worker.monitor(), pool.clone(), args.json);
    tokio::spawn(async move {
        monitor.available().await;
        if monitor.health().available {
            say_ready(&ready, None, None, json);
        }
    });
    Ok(left(&pool, openrtc_demo::livekit::serve(&pool, worker, callers).await?))
}

/// Says how the worker left.
fn left(pool: &AgentPool, exit: Exit) -> ExitCode {
    let identity = pool.identity();
    // It cannot fail: what cannot be written is dropped.
    let _ = writeln!(log::stderr(), "{} {}: {exit}", identity.worker, identity.version);
    exit.into()
}

fn configure(args: &WorkerArgs) -> Result<Config, ConfigError> {
    let mut config = Config::default();
    config.merge_env()?;
    if let Some(version) = &args.deployment_version {
        config.deployment_version.clone_from(version);
    }
    Ok(config)
}

fn say_ready(pool: &AgentPool, socket: Option<&Path>, calls: Option<SocketAddr>, json: bool) {
    let identity = pool.identity();
    let (version, worker) = (identity.version.to_string(), identity.worker.to_string());
    let ready = Ready { calls, ops: pool.ops_addr(), version, worker, pid: std::process::id() };
    let line = if json {
        serde_json::json!(ready).to_string()
    } else {
        let ops = endpoints::urls(pool, socket).unwrap_or_else(|| "nowhere".into());
        let does = match pool.runtime_snapshot().phase {
            Phase::Standby => "is in standby, and will take calls",
            _ => "takes calls",
        };
        let calls = calls.map_or_else(|| "LiveKit".into(), |addr| addr.to_string());
        format!("ready: {} {} {does} on {calls}, ops on {ops}", ready.worker, ready.version)
    };
    let _ = writeln!(log::stdout(), "{line}");
}
