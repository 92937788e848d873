//! `openrtc certify`: what a rollout did to every call, closed over all its workers' journals.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use openrtc_core::membership::KeyId;
use openrtc_evidence::{Certificate, CheckError, Verdict, check, issue, read};
use openrtc_runtime::{Exit, read_public_key, read_signing_key};

use crate::{Usage, journal};

/// Certify what a rollout did to every call: close its ledger over its workers' journals.
///
/// Writes FILE (two lines of JSON: the ledger, and its seal) and the same as a page, with `.html` for its last part.
/// Exits 0 if no call was dropped, 3 if calls were, 1 if that cannot be told, 2 if a DIR is no journal.
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

fn run_issue(args: &IssueArgs) -> anyhow::Result<ExitCode> {
    for dir in &args.journals {
        journal::find(dir)?;
    }
    let certificate = Certificate::over(&args.journals)?;
    let key = args.signing_key.as_deref().map(read_signing_key).transpose().map_err(Usage::new)?;
    let page = issue(&certificate, &args.out, key.as_ref())?;
    println!("{certificate}");
    println!("written to {} and {}", args.out.display(), page.display());
    Ok(exit(certificate.verdict))
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
        Verdict::Unknown => Exit::FAILURE.into(),
    }
}
