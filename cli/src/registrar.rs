//! `openrtc registrar`: lets workers in for whoever hands out calls.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use openrtc_core::id::Version;
use openrtc_core::membership::{Claims, KeyId};
use openrtc_fleet::manifest::Allowed;
use openrtc_fleet::registrar::{Attempt, Registrar};
use openrtc_runtime::{Clock, VerifyingKey};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::Usage;
use crate::membership::Bench;
#[cfg(feature = "tls")]
use crate::tls::TlsArgs;

/// How often the manifest is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// So many workers are remembered against replays.
const WORKERS_MAX: usize = 10_000;

/// Let workers in that prove by their signature what they are (OPENRTC_REGISTER_URL), and turn away all others.
///
/// Prints a line for each worker that is admitted or turned away. What it admitted is kept in memory; the epoch is this
/// clock's seconds, so one that starts again takes a larger one, for which no earlier token is good.
#[derive(Args, Clone, Debug)]
pub(crate) struct RegistrarArgs {
    /// Where to listen; beyond loopback, use --tls-cert.
    #[arg(long, default_value = "127.0.0.1:9500", value_name = "ADDR")]
    listen: SocketAddr,
    #[command(flatten)]
    bench: Bench,
    /// A version that may take calls; may be repeated.
    #[arg(long, required_unless_present = "manifest", conflicts_with = "manifest", value_name = "TAG")]
    allow: Vec<Version>,
    /// A file of lines `version TAG` (may take calls) and `revoked KEY-ID` (lets nobody in). It is read again when it
    /// changes, which is a new epoch.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    #[cfg(feature = "tls")]
    #[command(flatten)]
    tls: TlsArgs,
    /// Print JSON: one object a line.
    #[arg(long)]
    json: bool,
}

/// Answers for as long as the process lives.
pub(crate) async fn run(args: RegistrarArgs) -> anyhow::Result<ExitCode> {
    let allowed = args.allowed().map_err(Usage)?;
    let epoch = next_epoch(0);
    let manifest = args.bench.manifest(allowed.versions.clone(), epoch);
    let verifier = args.bench.verifier(manifest, WORKERS_MAX).map_err(Usage)?;
    let keys = args.bench.keys().map_err(Usage)?;
    #[cfg(feature = "tls")]
    let certificate = args.tls.certificate()?;
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}", args.listen)).map_err(Usage)?;
    let addr = listener.local_addr()?;
    let json = args.json;
    let registrar = Registrar::new(verifier, move |attempt| println!("{}", told(attempt, json)));
    accept(&registrar, &keys, &allowed.revoked);
    #[cfg(feature = "tls")]
    let scheme = if certificate.is_some() { "https" } else { "http" };
    #[cfg(not(feature = "tls"))]
    let scheme = "http";
    println!("{}", ready(&format!("{scheme}://{addr}/register"), &allowed, epoch, json));
    let serving = registrar.clone();
    let serve = async {
        #[cfg(feature = "tls")]
        if let Some(certificate) = certificate {
            return serving.serve_tls(listener, certificate).await;
        }
        serving.serve(listener).await;
    };
    tokio::join!(serve, follow(&args, &registrar, &keys, allowed, epoch));
    Ok(ExitCode::SUCCESS)
}

impl RegistrarArgs {
    fn allowed(&self) -> anyhow::Result<Allowed> {
        match &self.manifest {
            Some(path) => Ok(Allowed::read(path)?),
            None => Ok(Allowed { versions: self.allow.clone(), revoked: Vec::new() }),
        }
    }
}

/// Takes up what the manifest says whenever it changes. One that cannot be used changes nothing, and is logged once.
async fn follow(args: &RegistrarArgs, registrar: &Registrar, keys: &[VerifyingKey], now: Allowed, epoch: u64) {
    let (mut now, mut epoch, mut problem) = (now, epoch, None);
    loop {
        sleep(LOOK_EVERY).await;
        match args.allowed() {
            Ok(allowed) if allowed == now => problem = None,
            Ok(allowed) => {
                epoch = next_epoch(epoch);
                registrar.set_manifest(args.bench.manifest(allowed.versions.clone(), epoch));
                accept(registrar, keys, &allowed.revoked);
                println!("{}", changed(&allowed, epoch, args.json));
                (now, problem) = (allowed, None);
            }
            Err(error) => {
                let told = Some(error.to_string());
                if told != problem {
                    tracing::warn!("what was allowed before still is: {error}");
                    problem = told;
                }
            }
        }
    }
}

/// Accepts all keys but the revoked ones.
fn accept(registrar: &Registrar, keys: &[VerifyingKey], revoked: &[KeyId]) {
    let revoked: BTreeSet<_> = revoked.iter().collect();
    for key in keys {
        let id = KeyId::of(key);
        registrar.remove_key(id);
        if !revoked.contains(&id) {
            registrar.add_key(key.as_bytes()).expect("it was good at the start, and is not there now");
        }
    }
}

/// A larger epoch than `epoch`, also after a restart: a clock has gone on by then.
fn next_epoch(epoch: u64) -> u64 {
    (Clock::wall().as_micros() / 1_000_000).max(epoch + 1)
}

fn ready(url: &str, allowed: &Allowed, epoch: u64, json: bool) -> String {
    if json {
        return json!({ "event": "registrar.ready", "url": url, "versions": allowed.versions, "epoch": epoch })
            .to_string();
    }
    format!("ready: workers register at {url}; {}, epoch {epoch}", versions(allowed))
}

fn changed(allowed: &Allowed, epoch: u64, json: bool) -> String {
    if json {
        return json!({ "event": "manifest.changed", "versions": allowed.versions, "epoch": epoch }).to_string();
    }
    format!("the manifest changed: {}, epoch {epoch}", versions(allowed))
}

fn versions(allowed: &Allowed) -> String {
    match &allowed.versions[..] {
        [] => "no version may take calls".into(),
        versions => {
            let versions: Vec<_> = versions.iter().map(ToString::to_string).collect();
            format!("{} may take calls", versions.join(", "))
        }
    }
}

fn told(attempt: &Attempt, json: bool) -> String {
    let (event, worker) = (attempt.event(), attempt.worker);
    match &attempt.result {
        Ok(claims) if json => json!({ "event": event, "worker": worker, "claims": claims }).to_string(),
        Err(refusal) if json => {
            let message = refusal.to_string();
            json!({ "event": event, "worker": worker, "reason": refusal.word(), "message": message }).to_string()
        }
        Ok(Claims { identity, .. }) => {
            format!("admitted: {worker} of {}, incarnation {}", identity.version, identity.incarnation)
        }
        Err(refusal) => format!("rejected: {worker}: {refusal} ({})", refusal.word()),
    }
}
