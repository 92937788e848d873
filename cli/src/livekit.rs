//! `openrtc livekit`: LiveKit's side of the agent protocol, for development.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use openrtc_evidence::dispatch::Dispatch;
use openrtc_livekit::dispatcher::{Fault, Progress};
use openrtc_livekit::{Api, ApiKey, DevServer, Guard, GuardCounts, LostDispatch};
use tokio::time::sleep;

use crate::Usage;
use crate::http::ca_file;

/// What this command needs of LiveKit.
#[derive(Args, Clone, Debug)]
pub(crate) struct LivekitArgs {
    #[command(subcommand)]
    command: Livekit,
}

#[derive(Subcommand, Clone, Debug)]
enum Livekit {
    DevServer(DevServerArgs),
    Guard(GuardArgs),
}

/// Watch the rooms of a LiveKit server, and make dispatches again that the server has lost.
///
/// A dispatch is lost when its room has had no agent for a while. Several guards may run at once.
#[derive(Args, Clone, Debug)]
struct GuardArgs {
    /// The server.
    #[arg(long, env = "LIVEKIT_URL", value_name = "URL")]
    url: String,
    /// The API key.
    #[arg(long, env = "LIVEKIT_API_KEY", value_name = "KEY")]
    key: String,
    /// The API key's secret: better in the variable, since others may read arguments.
    #[arg(long, env = "LIVEKIT_API_SECRET", hide_env_values = true, value_name = "SECRET")]
    secret: String,
    /// How long a room may be without its agent: longer than an agent takes to join.
    #[arg(long, default_value = "10s", value_parser = openrtc_runtime::parse_duration, value_name = "TIME")]
    after: Duration,
    /// Where each lost dispatch is written down, a line of JSON for each: `openrtc certify --dispatches` takes it.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

/// Run a LiveKit server for development: workers register and get jobs, callers dispatch over HTTP, without media.
///
/// It behaves like a self-hosted server 1.13: 3 s for a dispatch, silence loses it, a refusal goes to the next worker.
#[derive(Args, Clone, Debug)]
struct DevServerArgs {
    /// Where it listens; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:7880", value_name = "ADDR")]
    listen: SocketAddr,
    /// The API key.
    #[arg(long, env = "LIVEKIT_API_KEY", default_value = "devkey", value_name = "KEY")]
    key: String,
    /// The API key's secret.
    #[arg(long, env = "LIVEKIT_API_SECRET", default_value = "secret", hide_env_values = true, value_name = "SECRET")]
    secret: String,
    /// Do one thing wrong, once or TIMES times; may be given several times. `help` lists them.
    #[arg(long, value_name = "NAME[=TIMES]")]
    fault: Vec<String>,
    /// What the choice of workers comes from.
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    seed: u64,
}

/// Runs a LiveKit command.
pub(crate) async fn run(args: LivekitArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        Livekit::DevServer(args) => dev_server(args).await,
        Livekit::Guard(args) => guard(args).await,
    }
}

/// Watches until Ctrl-C, and says then what it did.
async fn guard(args: GuardArgs) -> anyhow::Result<ExitCode> {
    let mut api = Api::new(&args.url, ApiKey::new(args.key, args.secret)).map_err(Usage::new)?;
    if let Some(file) = ca_file() {
        api = api.with_ca_file(&file).context("OPENRTC_TLS_CA_FILE").map_err(Usage)?;
    }
    let mut guard = Guard::new(api, args.after);
    if let Some(path) = &args.record {
        guard = guard.telling(recorder(path, args.after).map_err(Usage)?);
    }
    let stopped = tokio::select! {
        stopped = tokio::signal::ctrl_c() => stopped,
        () = guard.run() => Ok(()),
    };
    let GuardCounts { lost, repeated, taken, errors, .. } = *guard.counts();
    println!("{lost} dispatches lost, {repeated} made again, {taken} left to another guard, {errors} requests failed");
    stopped.context("cannot wait for Ctrl-C")?;
    Ok(ExitCode::SUCCESS)
}

/// Writes lost dispatches down. What cannot be written is logged, and the guard goes on.
fn recorder(path: &Path, after: Duration) -> anyhow::Result<impl FnMut(&LostDispatch) + Send + use<>> {
    let opened = OpenOptions::new().append(true).create(true).open(path);
    let mut file = opened.with_context(|| format!("cannot write to {}", path.display()))?;
    let why = format!("no agent came within {after:?}");
    Ok(move |lost: &LostDispatch| {
        let (dispatch, room) = (Some(lost.dispatch.clone()), lost.room.clone());
        let line =
            Dispatch { dispatch, room, lost: Some(why.clone()), again: lost.again.clone(), ..Dispatch::default() };
        // In one piece: another guard may write to the same file.
        if let Err(error) = file.write_all(format!("{}\n", serde_json::json!(line)).as_bytes()) {
            tracing::error!(%error, room = lost.room, "a lost dispatch could not be written down");
        }
    })
}

async fn dev_server(args: DevServerArgs) -> anyhow::Result<ExitCode> {
    if args.fault.iter().any(|fault| fault == "help") {
        for fault in Fault::ALL {
            println!("{fault}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let faults: Vec<_> =
        args.fault.iter().map(|fault| parse_fault(fault)).collect::<Result<_, _>>().map_err(Usage::new)?;
    let server = DevServer::start(args.listen, ApiKey::new(args.key, args.secret), args.seed).await;
    let server = server.with_context(|| {
        format!("cannot listen on {} (is a LiveKit server there already? port 0 picks a free one)", args.listen)
    });
    let server = server.map_err(Usage)?;
    for (fault, times) in faults {
        server.break_next(fault, times);
    }
    println!("LiveKit dev server: LIVEKIT_URL={}", server.url());
    tell(&server).await;
    Ok(ExitCode::SUCCESS)
}

/// Says what becomes of each dispatch, until Ctrl-C.
async fn tell(server: &DevServer) {
    let mut told = 0;
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return,
            () = sleep(Duration::from_millis(250)) => {}
        }
        let dispatches = server.dispatches();
        // In order; one that is still offered holds back those behind it.
        for (id, dispatch) in dispatches.iter().skip(told) {
            let became = match &dispatch.progress {
                Progress::Offered { .. } => break,
                Progress::Assigned(worker) => format!("assigned to worker {}", worker.0),
                Progress::Terminated => "ended by a worker".to_owned(),
                Progress::Lost(why) => format!("LOST: {}", why.as_str()),
                Progress::Deleted => "deleted".to_owned(),
            };
            let refusals = dispatch.answers.iter().filter(|(_, answer)| !answer.available).count();
            println!(
                "{id} room {:?} agent {:?}: {became}, {refusals} refusals",
                dispatch.asked.room, dispatch.asked.agent_name
            );
            told += 1;
        }
    }
}

fn parse_fault(text: &str) -> anyhow::Result<(Fault, u32)> {
    let (name, times) = text.split_once('=').unwrap_or((text, "1"));
    let times = times.parse().with_context(|| format!("--fault {text}: {times:?} is no number of times"))?;
    Ok((name.parse()?, times))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_read_with_its_times_and_an_unknown_one_is_named() {
        assert_eq!(parse_fault("no-assignment").expect("known"), (Fault::NoAssignment, 1));
        assert_eq!(parse_fault("go-away=3").expect("known"), (Fault::GoAway, 3));
        for bad in ["nonsense", "go-away=x"] {
            let error = parse_fault(bad).expect_err(bad).to_string();
            assert!(error.contains("nonsense") || error.contains("\"x\""), "{error}");
        }
    }
}
