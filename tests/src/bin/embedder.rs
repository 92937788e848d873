//! Programs around a worker, each with a habit that the first argument names. They echo calls, as `openrtc worker`
//! does, and say in the same way where they listen.
#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::error::Error;
use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use e2e::Once;
use openrtc_demo::echo::{Line, Media, echo};
use openrtc_runtime::{AgentPool, CallId, CallSource, Offer, Refusal, WorkerView, log, process};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

type Left = Result<ExitCode, Box<dyn Error>>;

fn main() -> Left {
    let habit = std::env::args().nth(1).unwrap_or_default();
    match &*habit {
        "loads-long" => loads_long(),
        "writes-its-log-itself" => {
            tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(false).init();
            Runtime::new()?.block_on(serve(|line| line))
        }
        _ => {
            let _process = process::begin();
            #[expect(clippy::disallowed_methods, reason = "RUST_LOG is no setting of the worker's")]
            let targets: Targets = std::env::var("RUST_LOG")?.parse()?;
            let lines = tracing_subscriber::fmt::layer().with_writer(log::stderr).with_ansi(false);
            tracing_subscriber::registry().with(lines.with_filter(targets)).init();
            // One thread may be blocked, and those that are left must do.
            let runtime = Builder::new_multi_thread().worker_threads(4).enable_all().build()?;
            match &*habit {
                "takes-every-descriptor" => runtime.block_on(hog()),
                "handles-sighup" => runtime.block_on(handle_sighup()),
                "has-two-pools" => runtime.block_on(two_pools()),
                "panics-in-id" => runtime.block_on(serve(|line| Faulty { line, fault: Fault::Id })),
                "panics-in-next" => runtime.block_on(serve(|line| Faulty { line, fault: Fault::Next })),
                _ => Err(format!("there is no habit {habit:?}").into()),
            }
        }
    }
}

/// Says where calls and orders are taken.
fn ready(calls: SocketAddr, pool: &AgentPool) -> Result<(), Box<dyn Error>> {
    let ops = pool.ops_addr().ok_or("set OPENRTC_OPS_ADDR")?;
    writeln!(log::stdout(), "{{\"calls\": \"{calls}\", \"ops\": \"{ops}\"}}")?;
    Ok(())
}

async fn start() -> Result<(TcpListener, AgentPool), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    Ok((listener, AgentPool::builder().deployment_version("v1").from_env()?.build()?))
}

async fn serve<S>(source: impl FnOnce(Line) -> S) -> Left
where
    S: CallSource<Error = Infallible>,
    S::Offer: Offer<Session = Media>,
{
    let (listener, pool) = start().await?;
    ready(listener.local_addr()?, &pool)?;
    Ok(pool.serve(source(Line::listen(listener)), echo).await?.into())
}

/// Builds its pool only when it is told to, by a line.
fn loads_long() -> Left {
    let _process = process::begin();
    tracing_subscriber::fmt().with_writer(log::stderr).init();
    writeln!(log::stdout(), "loading")?;
    io::stdin().read_line(&mut String::new())?;
    Runtime::new()?.block_on(serve(|line| line))
}

/// Leaves no descriptor for anybody else.
async fn hog() -> Left {
    let (listener, pool) = start().await?;
    let calls = listener.local_addr()?;
    let line = Line::listen(listener);
    let mut held = Vec::new();
    // More than once: a thread that tries to accept has one for a moment, and gives it back.
    for _ in 0..20 {
        held.extend(std::iter::from_fn(|| File::open("/dev/null").ok()));
        sleep(Duration::from_millis(5)).await;
    }
    // Not before: an offer that comes earlier finds a descriptor, and is taken.
    ready(calls, &pool)?;
    let exit = pool.serve(line, echo).await?;
    drop(held);
    Ok(exit.into())
}

async fn handle_sighup() -> Left {
    let mut hangups = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            tracing::info!("SIGHUP is mine");
        }
    });
    serve(|line| line).await
}

/// The first pool, whose calls and orders are told, is beside a second one whose only call blocks its thread. The
/// second one is forced to leave at once.
async fn two_pools() -> Left {
    let (listener, pool) = start().await?;
    let other = AgentPool::builder().deployment_version("v1").worker("other").force_grace(Duration::from_millis(1));
    let other = other.exit_watchdog(Duration::from_millis(1)).build()?;
    let leaving = other.clone();
    tokio::spawn(async move {
        let blocked = other.serve(Once::new("stone"), move |call| {
            let actor = const { openrtc_runtime::Actor::from_static("embedder") };
            let forced = leaving.begin_drain(actor).and_then(|_| leaving.force_drain(actor));
            async move {
                let _in_flight = call.guard;
                forced.expect("it serves");
                block();
            }
        });
        let exit = blocked.await.expect("the source does not fail");
        tracing::info!("the other pool has left: {exit}");
    });
    ready(listener.local_addr()?, &pool)?;
    Ok(pool.serve(Line::listen(listener), echo).await?.into())
}

/// For ever.
fn block() {
    loop {
        std::thread::park();
    }
}

/// A source with a fault, which the call `faulty` brings out.
struct Faulty {
    line: Line,
    fault: Fault,
}

#[derive(Clone, Copy)]
enum Fault {
    Id,
    Next,
}

/// An offer of a faulty source.
struct FaultyOffer<O>(O, bool);

impl CallSource for Faulty {
    type Offer = FaultyOffer<<Line as CallSource>::Offer>;
    type Error = Infallible;
    type Reporter = ();

    fn attach(&mut self, worker: WorkerView) {
        self.line.attach(worker);
    }

    async fn next(&mut self) -> Result<Option<Self::Offer>, Infallible> {
        let Some(offer) = self.line.next().await? else { return Ok(None) };
        let faulty = offer.id().as_str() == "faulty";
        assert!(!faulty || !matches!(self.fault, Fault::Next), "a source's bug");
        Ok(Some(FaultyOffer(offer, faulty)))
    }
}

impl<O: Offer> Offer for FaultyOffer<O> {
    type Session = O::Session;

    fn id(&self) -> CallId {
        // Evaluated at this level only.
        tracing::info!(bug = assert_none(self.1), "asked for its id");
        self.0.id()
    }

    async fn accept(self) -> Option<O::Session> {
        self.0.accept().await
    }

    async fn decline(self, refusal: Refusal) {
        self.0.decline(refusal).await;
    }
}

fn assert_none(bug: bool) -> bool {
    assert!(!bug, "an offer's bug");
    bug
}
