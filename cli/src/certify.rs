//! `openrtc certify`: what a rollout did to every call, closed over all its workers' journals.

mod ledger;
mod page;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use openrtc_core::membership::KeyId;
use openrtc_runtime::{Exit, read_public_key, read_signing_key};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Usage, journal};

pub(crate) use ledger::{Certificate, Verdict};

/// What a certificate's signature starts with, so that it means nothing elsewhere.
const DOMAIN: &[u8] = b"openrtc certificate v1\0";

/// No certificate is longer, in bytes.
const LEN_MAX: u64 = 1 << 30;

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

/// The second line of a certificate.
#[derive(Serialize, Deserialize)]
struct Seal {
    /// SHA-256 of the first line, without its newline.
    digest: String,
    key: Option<String>,
    /// Ed25519 over the domain and the first line's digest.
    signature: Option<String>,
}

/// Does what was asked.
pub(crate) fn run(args: &CertifyArgs) -> anyhow::Result<ExitCode> {
    match &args.action {
        Some(Action::Check(args)) => check(args),
        None => issue(&args.issue),
    }
}

fn issue(args: &IssueArgs) -> anyhow::Result<ExitCode> {
    for dir in &args.journals {
        journal::find(dir)?;
    }
    let certificate = Certificate::over(&args.journals)?;
    write(&certificate, &args.out, args.signing_key.as_deref())?;
    println!("{certificate}");
    println!("written to {} and {}", args.out.display(), page_path(&args.out).display());
    Ok(exit(certificate.verdict))
}

/// Writes a certificate and its page.
pub(crate) fn write(certificate: &Certificate, out: &Path, signing_key: Option<&Path>) -> anyhow::Result<()> {
    let body = serde_json::to_string(certificate)?;
    let digest = Sha256::digest(body.as_bytes());
    let mut seal = Seal { digest: hex(&digest), key: None, signature: None };
    if let Some(file) = signing_key {
        use ed25519_dalek::Signer;
        let key = read_signing_key(file).map_err(Usage::new)?;
        seal.key = Some(KeyId::of(&key.verifying_key()).to_string());
        seal.signature = Some(hex(&key.sign(&[DOMAIN, &digest[..]].concat()).to_bytes()));
    }
    let text = format!("{body}\n{}\n", serde_json::to_string(&seal)?);
    fs::write(out, text).with_context(|| format!("the certificate {}", out.display()))?;
    let page = page_path(out);
    fs::write(&page, page::render(certificate, &seal.digest, seal.key.as_deref()))
        .with_context(|| format!("the page {}", page.display()))
}

fn page_path(out: &Path) -> PathBuf {
    out.with_extension("html")
}

fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let name = args.certificate.display();
    let text = read(&args.certificate).with_context(|| format!("the certificate {name}")).map_err(Usage)?;
    let (body, seal) = text.split_once('\n').with_context(|| format!("{name} is not two lines: it was cut short"))?;
    let certificate: Certificate = serde_json::from_str(body).with_context(|| format!("{name}, line 1"))?;
    let seal: Seal = serde_json::from_str(seal).with_context(|| format!("{name}, line 2"))?;
    let digest = Sha256::digest(body.as_bytes());
    ensure!(hex(&digest) == seal.digest, "{name}: the digest does not match: the certificate was altered");
    match (&args.key, &seal.signature) {
        (Some(file), Some(signature)) => {
            let key = read_public_key(file).map_err(Usage::new)?;
            let signature = ed25519_dalek::Signature::from_slice(&unhex(signature)?)?;
            key.verify_strict(&[DOMAIN, &digest[..]].concat(), &signature)
                .with_context(|| format!("{name} is not signed by the key in {}", file.display()))?;
            println!("the signature holds (key {})", KeyId::of(&key));
        }
        (Some(file), None) => bail!("{name} is not signed: the key in {} proves nothing", file.display()),
        (None, _) => println!("the digest holds; give --key to check who signed it"),
    }
    ensure!(certificate.verdict == certificate.judge(), "{name}: its verdict is not what its ledger leads to");
    println!("{certificate}");
    Ok(exit(certificate.verdict))
}

fn read(certificate: &Path) -> anyhow::Result<String> {
    let size = fs::metadata(certificate)?.len();
    ensure!(size <= LEN_MAX, "it is {size} bytes long: no certificate is");
    let text = fs::read(certificate)?;
    ensure!(!text.is_empty(), "it is empty: name the file that `openrtc certify` wrote");
    String::from_utf8(text).context("it is not text")
}

fn exit(verdict: Verdict) -> ExitCode {
    match verdict {
        Verdict::Proven => Exit::CLEAN.into(),
        Verdict::Dropped => Exit::FORCED.into(),
        Verdict::Unknown => Exit::FAILURE.into(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

fn unhex(text: &str) -> anyhow::Result<Vec<u8>> {
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?);
    text.as_bytes().chunks(2).map(|pair| byte(pair).context("the signature is not hex digits")).collect()
}
