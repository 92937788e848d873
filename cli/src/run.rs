//! `openrtc run`: a host in front of a program in any language.

use std::ffi::OsString;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use openrtc_host::{Config, Front, Host, HostError, Options};
use openrtc_runtime::{AgentPool, log, parse_duration};

use crate::{Usage, endpoints};

/// Run a program that takes calls, and drain it without changing it.
///
/// Callers connect to this host, which passes their bytes to the program. The program must listen on the loopback port
/// that it finds in PORT; `{port}` in its arguments stands for the port too. While it has calls it gets no signal:
/// SIGTERM to the host drains the host, and the program is ended after its last call.
///
/// Everything else is set by OPENRTC_* variables (docs/configuration.md), as for any worker.
///
/// Exit codes: 0 drained; 1 the program was never ready; 2 bad usage; 3 calls were dropped by force.
#[derive(Args, Clone, Debug)]
#[command(disable_version_flag = true)]
pub(crate) struct RunArgs {
    /// Where callers connect; port 0 picks a free one. They speak HTTP, and a call is a WebSocket.
    #[arg(long, value_name = "ADDR", required_unless_present = "livekit")]
    listen: Option<SocketAddr>,
    /// Nobody connects: the program is a LiveKit agent worker, and a job is a call. The server is the one that
    /// LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET name.
    #[arg(long, conflicts_with_all = ["listen", "tcp", "health", "trust_proxy", "half_open"])]
    livekit: bool,
    /// Callers speak any protocol: each connection is a call.
    #[arg(long)]
    tcp: bool,
    /// The path of the platform's health check: 200 while calls are taken, else 503. Default: the program answers all.
    #[arg(long, value_name = "PATH", conflicts_with = "tcp")]
    health: Option<String>,
    /// A proxy in front, whose X-Forwarded-* and Forwarded headers are passed on; from others they are overwritten.
    #[arg(long, value_name = "IP", conflicts_with = "tcp")]
    trust_proxy: Vec<IpAddr>,
    /// The most programs that may run at once: one that takes new calls, and those that drain.
    #[arg(long, default_value_t = 4, value_name = "COUNT")]
    programs: u16,
    /// The program's version [env: OPENRTC_DEPLOYMENT_VERSION].
    #[arg(long, value_name = "TAG")]
    version: Option<String>,
    /// How long the program may take until it listens.
    #[arg(long, default_value = "30s", value_name = "TIME", value_parser = parse_duration)]
    ready_within: Duration,
    /// How long the program is left alone after its last call, before it is told to end.
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = parse_duration)]
    settle: Duration,
    /// How long the program may take to end after SIGTERM, before it is killed.
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = parse_duration)]
    stop_within: Duration,
    /// How long a call that one side has closed may be silent on the other.
    #[arg(long, default_value = "1m", value_name = "TIME", value_parser = parse_duration)]
    half_open: Duration,
    /// The program and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Runs a host to its end.
pub(crate) async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let mut config = Config::default();
    config.merge_env()?;
    let given = args.version.or_else(|| Some(config.deployment_version.clone()).filter(|version| !version.is_empty()));
    let front = match args.listen {
        None => jobs()?,
        Some(_) if args.tcp => Front::Tcp,
        Some(_) => Front::Http { health: args.health, proxies: args.trust_proxy },
    };
    let options = Options {
        version: given,
        front,
        programs: args.programs.into(),
        ready_within: args.ready_within,
        settle: args.settle,
        stop_within: args.stop_within,
        half_open: args.half_open,
        ..Options::new(args.listen.unwrap_or(NOWHERE), args.command)
    };
    let socket = config.ops_socket.clone();
    let host = Host::start(options, config).await.map_err(explained)?;
    let addr = host.local_addr()?;
    let exit = host.serve(|pool| say_ready(pool, addr, socket.as_deref())).await?;
    // It cannot fail: what cannot be written is dropped.
    let _ = writeln!(log::stderr(), "openrtc run: {exit}");
    Ok(exit.into())
}

/// Where nobody listens.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Jobs of the LiveKit server that the environment names.
#[cfg(feature = "livekit")]
fn jobs() -> Result<Front, Usage> {
    openrtc_host::Upstream::from_env().map(Front::LiveKit).map_err(Usage::new)
}

/// Says how to get them.
#[cfg(not(feature = "livekit"))]
fn jobs() -> anyhow::Result<Front> {
    crate::not_built_in::how_to_get("run --livekit", "livekit")
}

/// What the user gave is told apart from what went wrong.
fn explained(error: HostError) -> anyhow::Error {
    match error {
        HostError::Start(error) => error.into(),
        HostError::Coordinator | HostError::NoCommand | HostError::Version { .. } | HostError::Listen { .. } => {
            Usage::new(error).into()
        }
        error => error.into(),
    }
}

fn say_ready(pool: &AgentPool, addr: Option<SocketAddr>, socket: Option<&Path>) {
    let version = pool.identity().version;
    let nowhere = || "nowhere: set OPENRTC_OPS_SOCKET to upgrade and to drain it".to_owned();
    let ops = endpoints::urls(pool, socket).unwrap_or_else(nowhere);
    let calls = addr.map_or_else(|| "jobs of LiveKit".to_owned(), |addr| format!("calls on {addr}"));
    let _ = writeln!(log::stderr(), "ready: version {version} takes {calls}, ops on {ops}");
}
