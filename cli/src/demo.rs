//! `openrtc demo`: a whole blue-green rollout with real processes, real signals and real audio streams.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use openrtc_core::worker::OnDeadline;
#[cfg(feature = "livekit")]
use openrtc_demo::livekit::Server;
use openrtc_demo::{Options, Summary, WorkerCommand};
use openrtc_runtime::{Exit, parse_duration};

use crate::callers::LoadOptions;
use crate::drain::policy;
use crate::{Usage, keygen};

/// Roll real worker processes from one version to the next under real calls, and count what was dropped.
#[derive(Args, Clone, Debug)]
pub(crate) struct DemoArgs {
    /// Workers of the old version.
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=32))]
    blue: u8,
    /// Workers of the new version.
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=32))]
    green: u8,
    #[command(flatten)]
    load: LoadOptions,
    /// When the drain is overdue, e.g. 30s.
    #[arg(long, value_name = "TIME", value_parser = parse_timeout)]
    drain_timeout: Option<Duration>,
    /// What happens then.
    #[arg(long, value_name = "POLICY", value_parser = policy())]
    on_deadline: Option<OnDeadline>,
    /// Kill a draining worker (SIGKILL), to see that its calls are reported.
    #[arg(long)]
    kill_one: bool,
    /// After the switch, start a worker of the old version again, to see that it is not admitted.
    #[arg(long)]
    leftover: bool,
    /// Keep the workers' journals and audit trails and the callers' ledger in this directory, which must not exist yet.
    /// Without it only the certificate and the key to check it with are kept.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Start each worker through this program, which gets the worker's command as its arguments, as `nice` does.
    #[arg(long, value_name = "PROGRAM")]
    wrapper: Option<PathBuf>,
    #[command(flatten)]
    dispatcher: DispatcherOptions,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
}

/// Who gives the calls to workers.
#[derive(Args, Clone, Debug)]
struct DispatcherOptions {
    /// Let a LiveKit server give the calls to the workers, as jobs: a dev server of the demo's own, or the one that
    /// --server names. Needs a build with the feature `livekit`.
    #[arg(long)]
    livekit: bool,
    /// The LiveKit server, e.g. ws://127.0.0.1:7880.
    #[arg(long, requires = "livekit", value_name = "URL")]
    server: Option<String>,
    /// The server's API key.
    #[arg(long, env = "LIVEKIT_API_KEY", default_value = "devkey", value_name = "KEY")]
    key: String,
    /// The API key's secret: better in the variable, since others may read arguments.
    #[arg(long, env = "LIVEKIT_API_SECRET", default_value = "secret", hide_env_values = true, value_name = "SECRET")]
    secret: String,
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        timeout if timeout < Duration::from_millis(1) => Err("give 1ms or more".into()),
        timeout => Ok(timeout),
    }
}

/// Performs the rollout and prints what it amounted to.
pub(crate) async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    #[cfg(not(feature = "livekit"))]
    if args.dispatcher.livekit {
        return crate::not_built_in::how_to_get("demo --livekit", "livekit");
    }
    let summary = tokio::select! {
        summary = perform(&args, worker(args.wrapper.as_deref())?) => summary?,
        _ = tokio::signal::ctrl_c() => bail!("interrupted; the workers were killed"),
    };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&summary)?);
    } else {
        println!("\n{summary}\n{}\n  {}", certificate(&summary), verdict(&summary));
    }
    Ok(exit_code(&summary).into())
}

async fn perform(args: &DemoArgs, worker: WorkerCommand) -> anyhow::Result<Summary> {
    let (options, key) = (args.options(), keygen::generate()?);
    #[cfg(feature = "livekit")]
    let summary = match args.dispatcher.livekit_server() {
        Some(server) => openrtc_demo::run_on_livekit(&options, &server, &worker, key).await,
        None => openrtc_demo::run(&options, &worker, key).await,
    };
    #[cfg(not(feature = "livekit"))]
    let summary = openrtc_demo::run(&options, &worker, key).await;
    summary.map_err(|error| if error.is_usage() { Usage::new(error).into() } else { anyhow!(error) })
}

/// This program as a worker, started through another one if there is one.
fn worker(wrapper: Option<&Path>) -> anyhow::Result<WorkerCommand> {
    let this = std::env::current_exe().context("the path of this program")?;
    let mut args: Vec<OsString> = ["worker", "--json", "--exit-with-parent"].map(Into::into).into();
    Ok(match wrapper {
        None => WorkerCommand { program: this, args },
        Some(wrapper) => {
            args.insert(0, this.into());
            WorkerCommand { program: wrapper.to_owned(), args }
        }
    })
}

#[cfg(feature = "livekit")]
impl DispatcherOptions {
    fn livekit_server(&self) -> Option<Server> {
        let at = |url: &String| Server::At {
            url: url.clone(),
            key: self.key.clone(),
            secret: self.secret.clone(),
            ca_file: crate::http::ca_file(),
        };
        self.livekit.then(|| self.server.as_ref().map_or(Server::Own, at))
    }
}

impl DemoArgs {
    fn options(&self) -> Options {
        Options {
            blue: self.blue,
            green: self.green,
            load: self.load.load(),
            drain_timeout: self.drain_timeout,
            on_deadline: self.on_deadline,
            kill_one: self.kill_one,
            leftover: self.leftover,
            dir: self.dir.clone(),
        }
    }
}

/// What the certificate says, where it is and how it is checked.
fn certificate(summary: &Summary) -> String {
    let Summary { certificate, certificate_file: file, certificate_key: key, .. } = summary;
    let (page, file, key) = (file.with_extension("html"), file.display(), key.display());
    format!(
        "  certificate: {certificate}\n  to look at: {}\n  to check:   openrtc certify check {file} --key {key}\n",
        page.display()
    )
}

fn verdict(summary: &Summary) -> String {
    match summary.calls_dropped {
        0 if summary.is_spotless() => "the rollout dropped no call".into(),
        0 => "no call was dropped, but something above is not as it must be".into(),
        dropped => format!("{dropped} calls dropped"),
    }
}

fn exit_code(summary: &Summary) -> u8 {
    match summary.calls_dropped {
        _ if !summary.holds() => Exit::FAILURE,
        0 if summary.is_spotless() => Exit::CLEAN,
        0 => Exit::FAILURE,
        _ => Exit::FORCED,
    }
}
