//! The `openrtc` command.
#![forbid(unsafe_code)]
#![expect(clippy::doc_markdown, reason = "the commands' help is their documentation, and a terminal shows it as it is")]

#[macro_use]
mod say;

mod at;
mod audit;
mod callers;
mod calls;
mod certify;
mod completions;
mod coordinator;
mod demo;
mod drain;
mod endpoints;
mod follow;
mod http;
mod journal;
mod keygen;
#[cfg(feature = "advise")]
mod lint;
#[cfg(feature = "livekit")]
mod livekit;
mod membership;
#[cfg(not(all(feature = "advise", feature = "livekit")))]
mod not_built_in;
mod order;
#[cfg(feature = "advise")]
mod plan;
mod registrar;
mod rollout;
mod run;
mod screen;
mod snapshot;
mod status;
#[cfg(feature = "tls")]
mod tls;
mod upgrade;
mod worker;

use std::env;
use std::error::Error;
use std::fmt;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use anyhow::anyhow;
use clap::{Parser, Subcommand};
use openrtc_runtime::{ConfigError, Exit, StartError, log, process};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

#[cfg(not(feature = "livekit"))]
use crate::not_built_in::livekit;
#[cfg(not(feature = "advise"))]
use crate::not_built_in::{lint, plan};

/// Deploys a new version of a realtime-call worker without dropping a call.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Audit(audit::AuditArgs),
    Calls(calls::CallsArgs),
    Call(callers::CallArgs),
    Certify(certify::CertifyArgs),
    Completions(completions::CompletionsArgs),
    Coordinator(coordinator::CoordinatorArgs),
    Cordon(drain::CordonArgs),
    Demo(demo::DemoArgs),
    Deploy(rollout::DeployArgs),
    Drain(drain::DrainArgs),
    Journal(journal::JournalArgs),
    Keygen(keygen::KeygenArgs),
    Lint(lint::LintArgs),
    Livekit(livekit::LivekitArgs),
    Plan(plan::PlanArgs),
    Promote(drain::PromoteArgs),
    Load(callers::LoadArgs),
    Registrar(registrar::RegistrarArgs),
    Rollout(rollout::RolloutArgs),
    Run(run::RunArgs),
    Sign(membership::SignArgs),
    Status(status::StatusArgs),
    Uncordon(drain::UncordonArgs),
    Upgrade(upgrade::UpgradeArgs),
    Verify(membership::VerifyArgs),
    Worker(worker::WorkerArgs),
    Workers(rollout::WorkersArgs),
}

/// An error in what the user gave, not in doing it: exits with [`Exit::USAGE`].
#[derive(Debug)]
struct Usage(anyhow::Error);

impl Usage {
    fn new(error: impl Into<anyhow::Error>) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl Error for Usage {}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Whoever runs another command may end it with any signal, as usual.
    let _process = matches!(cli.command, Command::Run(_) | Command::Worker(_)).then(process::begin);
    start_log(matches!(cli.command, Command::Coordinator(_)));
    let code = execute(cli.command);
    log::flush();
    code
}

fn execute(command: Command) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    match runtime.block_on(run(command)) {
        // What it was to print is lost, and nobody chose that.
        Ok(_) if let Some(lost) = say::failure() => fail(&anyhow!("standard output cannot be written: {lost}")),
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

/// Writes log lines to standard error, from `warn` upwards unless `RUST_LOG` says otherwise: `info`, or a level for
/// each target (`openrtc_runtime=debug,warn`). A coordinator also says who joined and what was ordered, by whom.
#[expect(clippy::disallowed_methods, reason = "RUST_LOG is read before there is a configuration")]
fn start_log(coordinates: bool) {
    let set = env::var_os("RUST_LOG");
    let wanted = set.as_ref().and_then(|targets| targets.to_str()?.parse().ok());
    let misread = set.is_some() && wanted.is_none();
    let filter = wanted.unwrap_or_else(|| {
        let usual = Targets::new().with_default(LevelFilter::WARN);
        if coordinates { usual.with_target(coordinator::LOG, LevelFilter::INFO) } else { usual }
    });
    let lines = tracing_subscriber::fmt::layer().with_writer(log::stderr).log_internal_errors(false);
    let lines = lines.with_ansi(std::io::stderr().is_terminal());
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
    if misread {
        tracing::warn!(
            "RUST_LOG is not understood, and counts as `warn`: write it like info, or openrtc_runtime=debug"
        );
    }
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Certify(args) => certify::run(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Calls(args) => calls::run(args).await,
        Command::Completions(args) => Ok(completions::run(&args)),
        Command::Coordinator(args) => coordinator::run(args).await,
        Command::Cordon(args) => drain::cordon(args).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Deploy(args) => rollout::deploy(args).await,
        Command::Drain(args) => drain::run(args).await,
        Command::Keygen(args) => keygen::run(&args),
        Command::Lint(args) => lint::run(args).await,
        Command::Livekit(args) => livekit::run(args).await,
        Command::Plan(args) => plan::run(args).await,
        Command::Promote(args) => drain::promote(args).await,
        Command::Call(args) => callers::run_call(args).await,
        Command::Load(args) => callers::run_load(args).await,
        Command::Registrar(args) => registrar::run(args).await,
        Command::Rollout(args) => rollout::run(args).await,
        Command::Run(args) => Box::pin(run::run(args)).await,
        Command::Journal(args) => journal::run(&args),
        Command::Sign(args) => membership::sign(&args),
        Command::Status(args) => status::run(args).await,
        Command::Uncordon(args) => drain::uncordon(args).await,
        Command::Upgrade(args) => upgrade::run(args).await,
        Command::Verify(args) => membership::verify(&args),
        Command::Worker(args) => worker::run(args).await,
        Command::Workers(args) => rollout::workers(args).await,
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    // These name their cause themselves; the chain would say it twice.
    if error.is::<ConfigError>() || error.is::<StartError>() {
        complain(&format!("openrtc: {error}"));
        return Exit::USAGE.into();
    }
    complain(&format!("openrtc: {error:#}"));
    let code = if error.is::<Usage>() { Exit::USAGE } else { Exit::FAILURE };
    code.into()
}

/// Says why the command failed. That it cannot be said must not change the exit code.
fn complain(line: &str) {
    // It cannot fail: what cannot be written is dropped.
    let _ = writeln!(log::stderr(), "{line}");
}
