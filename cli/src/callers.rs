//! `openrtc call` and `openrtc load`: callers for workers that echo (`openrtc worker`), which check what comes back.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use openrtc_core::id::CallId;
use openrtc_demo::Load;
use openrtc_demo::callers::{CallersSummary, call, load};
use openrtc_runtime::{Exit, parse_duration};
use tokio::net::lookup_host;

use crate::Usage;

/// Make one call to a worker that echoes, check every frame that comes back, and hang up.
///
/// Of several workers the next one is asked when one declines. Exits 0 if the call ran to its hang-up, 3 if it was
/// dropped, 1 if no worker took it.
#[derive(Args, Clone, Debug)]
pub(crate) struct CallArgs {
    /// Where workers take calls (what `openrtc worker` prints), e.g. 127.0.0.1:7000.
    #[arg(required = true, value_name = "HOST:PORT")]
    workers: Vec<String>,
    /// How long the caller talks.
    #[arg(long = "for", default_value = "10s", value_name = "TIME", value_parser = parse_duration)]
    talk: Duration,
    /// What the call is named in the worker's journal.
    #[arg(long, default_value = "call", value_name = "NAME")]
    id: CallId,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Make many calls to workers that echo, as the demo does, and count what becomes of them.
///
/// Exits 0 if every call ran to its hang-up, 3 if one was dropped, 1 if one was taken by no worker.
#[derive(Args, Clone, Debug)]
pub(crate) struct LoadArgs {
    /// Where workers take calls (what `openrtc worker` prints), e.g. 127.0.0.1:7000.
    #[arg(required = true, value_name = "HOST:PORT")]
    workers: Vec<String>,
    #[command(flatten)]
    load: LoadOptions,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Which calls are made.
#[derive(Args, Clone, Debug)]
pub(crate) struct LoadOptions {
    /// Call records to replay, columns start_s and duration_s; default: drawn at random.
    #[arg(long, value_name = "FILE.csv")]
    calls: Option<PathBuf>,
    /// Times real time at which calls arrive and end; audio always runs in real time.
    #[arg(long, default_value_t = 60.0, value_name = "X", value_parser = parse_speed)]
    speed: f64,
    /// Seed of the drawn calls.
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    seed: u64,
}

impl LoadOptions {
    pub(crate) fn load(&self) -> Load {
        Load { calls: self.calls.clone(), speed: self.speed, seed: self.seed }
    }
}

fn parse_speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if (0.01..=10_000.0).contains(&speed) => Ok(speed),
        Ok(_) => Err("give a speed from 0.01 to 10000".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// Makes one call.
pub(crate) async fn run_call(args: CallArgs) -> anyhow::Result<ExitCode> {
    let workers = resolve(&args.workers).await?;
    finish(&until_interrupted(call(&workers, args.id.to_string(), args.talk)).await?, args.json)
}

/// Makes many.
pub(crate) async fn run_load(args: LoadArgs) -> anyhow::Result<ExitCode> {
    let workers = resolve(&args.workers).await?;
    let summary = until_interrupted(load(&workers, &args.load.load())).await?;
    let summary = summary.map_err(|error| if error.is_usage() { Usage::new(error).into() } else { anyhow!(error) })?;
    finish(&summary, args.json)
}

async fn until_interrupted<T>(calling: impl Future<Output = T>) -> anyhow::Result<T> {
    tokio::select! {
        done = calling => Ok(done),
        _ = tokio::signal::ctrl_c() => bail!("interrupted: the callers were gone without a word"),
    }
}

async fn resolve(workers: &[String]) -> anyhow::Result<Vec<SocketAddr>> {
    let mut found = Vec::new();
    for worker in workers {
        let place = worker.strip_prefix("tcp://").unwrap_or(worker);
        let unknown = || format!("{worker} is not where a worker takes calls: give HOST:PORT");
        let addr = lookup_host(place).await.with_context(unknown).map_err(Usage)?.next();
        found.push(addr.ok_or_else(|| Usage(anyhow!(unknown())))?);
    }
    Ok(found)
}

fn finish(summary: &CallersSummary, json: bool) -> anyhow::Result<ExitCode> {
    if json {
        println!("{}", serde_json::to_string_pretty(summary)?);
    } else {
        print!("{summary}");
    }
    let code = match summary {
        CallersSummary { calls_dropped: 1.., .. } => Exit::FORCED,
        CallersSummary { calls_unanswered: 1.., .. } => Exit::FAILURE,
        _ => Exit::CLEAN,
    };
    Ok(code.into())
}
