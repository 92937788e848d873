//! The `openrtc` command.
#![forbid(unsafe_code)]
#![expect(clippy::doc_markdown, reason = "the commands' help is their documentation, and a terminal shows it as it is")]

mod audit;
mod certify;
mod demo;
mod drain;
mod http;
mod journal;
mod keygen;
mod membership;
mod status;
mod worker;

use std::error::Error;
use std::fmt;
use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use openrtc_runtime::{ConfigError, Exit, StartError};
use tracing_subscriber::EnvFilter;

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
    Certify(certify::CertifyArgs),
    Demo(demo::DemoArgs),
    Drain(drain::DrainArgs),
    Journal(journal::JournalArgs),
    Keygen(keygen::KeygenArgs),
    Sign(membership::SignArgs),
    Status(status::StatusArgs),
    Verify(membership::VerifyArgs),
    Worker(worker::WorkerArgs),
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
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    match runtime.block_on(run(cli.command)) {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Certify(args) => certify::run(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Demo(args) => demo::run(args).await,
        Command::Drain(args) => drain::run(args).await,
        Command::Keygen(args) => keygen::run(&args),
        Command::Journal(args) => journal::run(&args),
        Command::Sign(args) => membership::sign(&args),
        Command::Status(args) => status::run(args).await,
        Command::Verify(args) => membership::verify(&args),
        Command::Worker(args) => worker::run(args).await,
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    // These name their cause themselves; the chain would say it twice.
    if error.is::<ConfigError>() || error.is::<StartError>() {
        eprintln!("openrtc: {error}");
        return Exit::USAGE.into();
    }
    eprintln!("openrtc: {error:#}");
    let code = if error.is::<Usage>() { Exit::USAGE } else { Exit::FAILURE };
    code.into()
}
