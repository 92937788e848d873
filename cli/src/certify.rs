//! `openrtc certify`: what a rollout did to every call, closed over all its workers' journals.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use openrtc_core::id::Incarnation;
use openrtc_core::membership::KeyId;
use openrtc_core::time::Instant;
use openrtc_evidence::dispatch::{self, Dispatch};
use openrtc_evidence::{Certificate, CheckError, Selection, Verdict, check, issue, read};
use openrtc_runtime::{Exit, read_public_key, read_signing_key};

use crate::{Usage, journal};

/// Certify what a rollout did to every call: close its ledger over its workers' journals.
///
/// Certifies the last run in each DIR, unless told otherwise: runs whose version has begun to leave are retired, and
/// those of other versions take over. Writes FILE (two lines of JSON: the ledger, and its seal) and the same as a page,
/// with `.html` for its last part.
///
/// Exits 0 if no call was dropped, 3 if calls were, 1 if that cannot be told or not yet, 2 if a DIR is no journal.
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct CertifyArgs {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    issue: IssueArgs,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Check a certificate with nothing but a public key; exits as it did when it was issued.
    Check(CheckArgs),
}

#[derive(Args, Clone, Debug)]
struct IssueArgs {
    /// The journals' directories, one per worker.
    #[arg(required = true, value_name = "DIR")]
    journals: Vec<PathBuf>,
    /// The version that the rollout retires, others take over; may be repeated.
    #[arg(long, value_name = "VERSION")]
    retire: Vec<String>,
    /// The number of a run that the rollout retires (`openrtc journal verify`); may be repeated.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["retire", "all", "since", "until"])]
    run: Vec<u64>,
    /// Look at every run in each DIR that was up at this time or later, such as 2026-11-27T08:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_rfc3339_weak)]
    since: Option<SystemTime>,
    /// Look at every run in each DIR that was up at this time or before.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_rfc3339_weak)]
    until: Option<SystemTime>,
    /// Look at every run in each DIR.
    #[arg(long)]
    all: bool,
    /// By how much the workers' clocks may differ.
    #[arg(long, default_value = "1s", value_name = "SPAN", value_parser = humantime::parse_duration)]
    skew: Duration,
    /// What whoever handed out the calls saw of them (`openrtc livekit guard --record`), to be told as well; may be
    /// repeated. It changes no verdict.
    #[arg(long, value_name = "FILE")]
    dispatches: Vec<PathBuf>,
    /// Where to write the certificate.
    #[arg(long, default_value = "certificate.jsonl", value_name = "FILE")]
    out: PathBuf,
    /// The secret key to sign it with (`openrtc keygen`).
    #[arg(long, value_name = "FILE")]
    signing_key: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
struct CheckArgs {
    /// The certificate.
    certificate: PathBuf,
    /// The public key it must be signed with; without one only the digest is checked.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

/// Does what was asked.
pub(crate) fn run(args: &CertifyArgs) -> anyhow::Result<ExitCode> {
    match &args.action {
        Some(Action::Check(args)) => run_check(args),
        None => run_issue(&args.issue),
    }
}

#[expect(clippy::disallowed_methods, reason = "until the clock is where it must be")]
fn run_issue(args: &IssueArgs) -> anyhow::Result<ExitCode> {
    refuse_page(&args.out)?;
    for dir in &args.journals {
        journal::find(dir)?;
    }
    let key = args.signing_key.as_deref().map(read_signing_key).transpose().map_err(Usage::new)?;
    let selection = args.selection();
    let dispatches = args.dispatches().map_err(Usage)?;
    let mut certificate = Certificate::over(&args.journals, &selection)?;
    // A clock that is further ahead is not waited for.
    while let Some(wait) = certificate.settles_at().and_then(until).filter(|wait| *wait <= args.skew) {
        thread::sleep(wait);
        certificate = Certificate::over(&args.journals, &selection)?;
    }
    if certificate.workers.is_empty() {
        return Err(
            Usage(anyhow!("no run is as asked: see `openrtc journal verify DIR` for those that there are")).into()
        );
    }
    certificate.dispatches = dispatches;
    let page = issue(&certificate, &args.out, key.as_ref())?;
    println!("{certificate}");
    println!("written to {} and {}", args.out.display(), page.display());
    Ok(exit(certificate.verdict))
}

impl IssueArgs {
    fn selection(&self) -> Selection {
        Selection {
            runs: self.run.iter().copied().map(Incarnation::new).collect(),
            versions: self.retire.clone(),
            since: self.since.map(instant),
            until: self.until.map(instant),
            all: self.all,
            skew: self.skew.into(),
        }
    }

    fn dispatches(&self) -> anyhow::Result<Vec<Dispatch>> {
        let mut found = Vec::new();
        for file in &self.dispatches {
            found.extend(dispatch::read(file).with_context(|| format!("the dispatches in {}", file.display()))?);
        }
        Ok(found)
    }
}

/// The page lies beside the certificate and must not take its place.
fn refuse_page(out: &Path) -> Result<(), Usage> {
    if out.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("html")) {
        let out = out.display();
        return Err(Usage(anyhow!("{out} is what the page would be called: name the certificate otherwise (*.jsonl)")));
    }
    Ok(())
}

fn instant(time: SystemTime) -> Instant {
    Instant::EPOCH + time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().into()
}

/// How long until then; nothing if it is past.
#[expect(clippy::disallowed_methods, reason = "a certificate is not issued before the time that it is about is over")]
fn until(at: Instant) -> Option<Duration> {
    let wait = Duration::from(at.since(instant(SystemTime::now())));
    (!wait.is_zero()).then_some(wait)
}

fn run_check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let text = read(&args.certificate).with_context(|| format!("the certificate {}", args.certificate.display()));
    let text = text.map_err(Usage)?;
    let key = args.key.as_deref().map(read_public_key).transpose().map_err(Usage::new)?;
    let certificate = check(&text, key.as_ref()).map_err(|error| refusal(args, error))?;
    match &key {
        Some(key) => println!("the signature holds (key {})", KeyId::of(key)),
        None => println!("the digest holds; give --key to check who signed it"),
    }
    println!("{certificate}");
    Ok(exit(certificate.verdict))
}

fn refusal(args: &CheckArgs, error: CheckError) -> anyhow::Error {
    let name = args.certificate.display();
    match (error, &args.key) {
        (CheckError::Unsigned, Some(key)) => {
            anyhow!("{name} is not signed: the key in {} proves nothing", key.display())
        }
        (CheckError::WrongKey, Some(key)) => anyhow!("{name} is not signed by the key in {}", key.display()),
        (error, _) => anyhow::Error::new(error).context(name.to_string()),
    }
}

fn exit(verdict: Verdict) -> ExitCode {
    match verdict {
        Verdict::Proven => Exit::CLEAN.into(),
        Verdict::Dropped => Exit::FORCED.into(),
        Verdict::Open | Verdict::Unknown => Exit::FAILURE.into(),
    }
}
