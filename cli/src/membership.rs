//! `openrtc sign` and `openrtc verify`: membership tokens by hand.

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use openrtc_core::id::{Deployment, Epoch, Identity, Incarnation, Version, WorkerId};
use openrtc_core::membership::{
    Admitted, Claims, Manifest, MembershipError, MembershipVerifier, Token, VerifierLimits, sign_membership,
};
use openrtc_core::time::Instant;
use openrtc_runtime::{Clock, Config, Exit, VerifyingKey, parse_duration, read_public_key};
use serde_json::json;

use crate::Usage;

/// No token's text is longer, in bytes.
const TEXT_MAX: u64 = 4096;

/// Sign a membership token and print it.
///
/// The key comes from --key, or from OPENRTC_SIGNING_KEY_FILE or OPENRTC_SIGNING_KEY. It is never printed.
#[derive(Args, Clone, Debug)]
pub(crate) struct SignArgs {
    /// The secret key's file (`openrtc keygen`).
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The service.
    #[arg(long, default_value = "default", value_name = "NAME")]
    deployment: Deployment,
    /// The version the worker runs.
    #[arg(long, value_name = "TAG")]
    deployment_version: Version,
    /// The worker's place in the fleet.
    #[arg(long, value_name = "NAME")]
    worker: WorkerId,
    /// The run of the worker, as its snapshot tells it.
    #[arg(long, value_name = "NUMBER")]
    incarnation: u64,
    /// The coordinator's term of office.
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    epoch: u64,
    /// When it was issued, in microseconds since the Unix epoch; default: now.
    #[arg(long, value_name = "MICROS")]
    issued_at: Option<u64>,
}

/// Judge a membership token as a registrar would that has admitted nobody yet.
///
/// Exits 0 if it is good, 4 if it is refused; the reason's one word comes first.
#[derive(Args, Clone, Debug)]
pub(crate) struct VerifyArgs {
    /// The token's text; - reads it from standard input.
    token: String,
    #[command(flatten)]
    bench: Bench,
    /// A version that the manifest allows; may be repeated.
    #[arg(long, required = true, value_name = "TAG")]
    allow: Vec<Version>,
    /// The epoch of the manifest.
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    epoch: u64,
    /// The worker that presents the token; default: whichever it names.
    #[arg(long, value_name = "NAME")]
    worker: Option<WorkerId>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What tokens are judged by, whatever the manifest.
#[derive(Args, Clone, Debug)]
pub(crate) struct Bench {
    /// A public key's file to accept; may be repeated.
    #[arg(long, required = true, value_name = "FILE.pub")]
    key: Vec<PathBuf>,
    /// The service.
    #[arg(long, default_value = "default", value_name = "NAME")]
    deployment: Deployment,
    /// How old a token may be.
    #[arg(long, default_value = "60s", value_name = "TIME", value_parser = parse_duration)]
    age_max: Duration,
    /// How far ahead of this clock it may be issued.
    #[arg(long, default_value = "5s", value_name = "TIME", value_parser = parse_duration)]
    ahead_max: Duration,
}

impl Bench {
    /// What may run at an epoch.
    pub(crate) fn manifest(&self, versions: Vec<Version>, epoch: u64) -> Manifest {
        Manifest { deployment: self.deployment, versions, epoch: Epoch::new(epoch) }
    }

    /// The keys that are accepted.
    pub(crate) fn keys(&self) -> anyhow::Result<Vec<VerifyingKey>> {
        self.key.iter().map(|file| Ok(read_public_key(file)?)).collect()
    }

    /// A verifier that accepts the keys and remembers `workers_max` workers.
    pub(crate) fn verifier(&self, manifest: Manifest, workers_max: usize) -> anyhow::Result<MembershipVerifier> {
        let limits = VerifierLimits { age_max: self.age_max.into(), ahead_max: self.ahead_max.into(), workers_max };
        let mut verifier = MembershipVerifier::new(manifest, limits);
        for (file, key) in self.key.iter().zip(self.keys()?) {
            verifier.add_key(key.as_bytes()).with_context(|| format!("key file {}", file.display()))?;
        }
        Ok(verifier)
    }
}

/// Prints a token.
pub(crate) fn sign(args: &SignArgs) -> anyhow::Result<ExitCode> {
    let mut config = Config::default();
    config.merge_env()?;
    if let Some(file) = &args.key {
        (config.signing_key_file, config.signing_key) = (Some(file.clone()), None);
    }
    let key = config.signing_key().map_err(|error| Usage(error.into()))?;
    let key = key.ok_or_else(|| Usage(anyhow!("there is no key to sign with: give --key FILE")))?;
    let identity = Identity {
        deployment: args.deployment,
        version: args.deployment_version,
        worker: args.worker,
        incarnation: Incarnation::new(args.incarnation),
    };
    let issued_at = args.issued_at.map_or_else(Clock::wall, Instant::from_micros);
    let claims = Claims { identity, epoch: Epoch::new(args.epoch), issued_at };
    println!("{}", sign_membership(&key, &claims).to_text());
    Ok(ExitCode::SUCCESS)
}

/// Says whether a token is good.
pub(crate) fn verify(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let manifest = args.bench.manifest(args.allow.clone(), args.epoch);
    let verifier = args.bench.verifier(manifest, 1).map_err(Usage)?;
    let text = match args.token.as_str() {
        "-" => read_stdin()?,
        text => text.to_owned(),
    };
    let judged = Token::from_text(text.trim())
        .map_err(MembershipError::Malformed)
        .and_then(|token| verifier.judge(Clock::wall(), &token.to_bytes(), args.worker));
    match &judged {
        _ if args.json => println!("{}", summary(&judged)),
        Ok(Admitted { claims: Claims { identity, epoch, .. }, .. }) => {
            let Identity { deployment, version, worker, incarnation } = identity;
            println!("good: {deployment} {version} {worker}, incarnation {incarnation}, epoch {epoch}");
        }
        Err(refusal) => println!("refused: {}: {refusal}", refusal.word()),
    }
    Ok(if judged.is_ok() { ExitCode::SUCCESS } else { Exit::REJECTED.into() })
}

fn read_stdin() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin().take(TEXT_MAX).read_to_string(&mut text).context("the token on standard input")?;
    Ok(text)
}

fn summary(judged: &Result<Admitted, MembershipError>) -> serde_json::Value {
    match judged {
        Ok(Admitted { claims, .. }) => json!({ "good": true, "claims": claims }),
        Err(refusal) => json!({ "good": false, "reason": refusal.word(), "message": refusal.to_string() }),
    }
}
