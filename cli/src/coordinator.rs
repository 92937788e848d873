//! `openrtc coordinator`: rolls versions out over workers that dial in.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::Args;
use openrtc_core::fleet::{Fleet, Timeouts};
use openrtc_core::id::{Deployment, Incarnation, WorkerId};
use openrtc_core::journal::Office;
pub(crate) use openrtc_fleet::coordinator::LOG;
use openrtc_fleet::coordinator::{Coordinator, Settings};
use openrtc_fleet::shell::{OnDamage, Shell};
use openrtc_runtime::journal::JournalConfig;
use openrtc_runtime::{Secret, process, read_public_key};
use serde_json::json;
use tokio::net::TcpListener;

use crate::Usage;
use crate::http::Access;
#[cfg(feature = "tls")]
use crate::tls::TlsArgs;

/// Roll versions out over workers that dial in (OPENRTC_COORDINATOR), and answer `openrtc deploy` and the like.
///
/// What it decides is in a journal in --dir before it is done. Started again there, it goes on where it was; workers
/// serve on meanwhile. Somebody else starts the workers: systemd, a shell, Kubernetes.
///
/// It runs until a signal ends it. That ends no call and stops no worker.
#[derive(Args, Clone, Debug)]
pub(crate) struct CoordinatorArgs {
    /// The service that it coordinates.
    #[arg(long, default_value = "default", value_name = "NAME")]
    deployment: Deployment,
    /// Where workers dial in and orders come; beyond loopback, --tls-cert is needed.
    #[arg(long, default_value = "127.0.0.1:9600", value_name = "ADDR")]
    listen: SocketAddr,
    /// Where it keeps its journal: a directory of its own.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The public key's file that workers sign with; may be repeated.
    #[arg(long, required = true, value_name = "FILE.pub")]
    key: Vec<PathBuf>,
    /// If its journal is damaged, go on with what stands before the damage. What was decided after it is lost.
    #[arg(long)]
    accept_loss: bool,
    /// Its own name, in the journal.
    #[arg(long, default_value = "coordinator", value_name = "NAME")]
    name: WorkerId,
    #[command(flatten)]
    access: Access,
    #[cfg(feature = "tls")]
    #[command(flatten)]
    tls: TlsArgs,
    /// Print JSON when ready instead of text.
    #[arg(long)]
    json: bool,
}

/// Coordinates for as long as the process lives.
pub(crate) async fn run(args: CoordinatorArgs) -> anyhow::Result<ExitCode> {
    let token = args.token()?;
    let keys = args.key.iter().map(|file| Ok(read_public_key(file)?)).collect::<anyhow::Result<Vec<_>>>();
    let settings = Settings { deployment: args.deployment, keys: keys.map_err(Usage)?, token };
    #[cfg(feature = "tls")]
    let certificate = args.tls.certificate()?;
    #[cfg(feature = "tls")]
    let is_open = certificate.is_none();
    #[cfg(not(feature = "tls"))]
    let is_open = true;
    if is_open && !args.listen.ip().is_loopback() {
        let problem = "orders and what workers say must not be read on the way: beyond loopback give --tls-cert and \
                       --tls-key";
        return Err(Usage(anyhow!("--listen {}: {problem}", args.listen)).into());
    }
    process::raise_descriptors();
    // First: who cannot be reached must not take over.
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}", args.listen)).map_err(Usage)?;
    let addr = listener.local_addr()?;
    let office = Office { deployment: args.deployment, coordinator: args.name, incarnation: Incarnation::new(0) };
    let fresh = Fleet::new(Timeouts::default()).expect("the defaults are valid");
    let on_damage = if args.accept_loss { OnDamage::GoOn } else { OnDamage::Refuse };
    let (shell, running, found) = Shell::open(JournalConfig::new(&args.dir), office, fresh, on_damage)?;
    let coordinator = Coordinator::new(shell.clone(), settings).map_err(Usage::new)?;
    let scheme = if is_open { "http" } else { "https" };
    println!("{}", ready(&args, &format!("{scheme}://{addr}"), &shell, found.is_some()));
    let serving = coordinator.clone();
    let serve = async {
        #[cfg(feature = "tls")]
        if let Some(certificate) = certificate {
            return serving.serve_tls(listener, certificate).await;
        }
        serving.serve(listener).await;
    };
    tokio::join!(running.run(coordinator), serve);
    Ok(ExitCode::SUCCESS)
}

impl CoordinatorArgs {
    fn token(&self) -> anyhow::Result<Secret> {
        let token = self.access.token()?.map(Secret::new);
        let token =
            token.ok_or_else(|| anyhow!("nobody could give an order: give --token-file, or set OPENRTC_OPS_TOKEN"));
        let token = token.map_err(Usage)?;
        if token.is_usable() {
            return Ok(token);
        }
        Err(Usage(anyhow!("the token can be guessed, or is no header's: use at least 16 printable characters")).into())
    }
}

fn ready(args: &CoordinatorArgs, url: &str, shell: &Shell, resumed: bool) -> String {
    let (deployment, epoch) = (args.deployment, shell.view(Fleet::epoch));
    if args.json {
        let pid = std::process::id();
        return json!({"event": "coordinator.ready", "url": url, "deployment": deployment, "epoch": epoch,
            "resumed": resumed, "pid": pid})
        .to_string();
    }
    let how = if resumed { "goes on with what is in its journal" } else { "begins anew" };
    format!("ready: workers of {deployment} dial in at {url} (OPENRTC_COORDINATOR={url}); term {epoch}, {how}")
}
