//! Jobs of a LiveKit server for programs that are agent workers themselves.
//!
//! ```text
//!  LiveKit ◄── one worker, for as long as the host runs ── Front ── ask, assign, terminate ──► each program's Proxy
//!                                                                                               ▲ LIVEKIT_URL
//! ```
//!
//! To the server the host is the one worker: its gate answers each offer, and its load counts. To a program the host is
//! the server. A job's media passes neither, as each assignment names the real server.

mod proxy;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use openrtc_fleet::child::Launch;
use openrtc_livekit::proto::{Job as Message, JobAssignment, RegisterWorkerRequest};
use openrtc_livekit::{
    Assigned, Decision, Job, JobOffer, JobReporter, Joining, Monitor, Peer, Unregistered, Upstream, Worker,
};
use openrtc_runtime::{BadCallId, Call, CallEnd, CallId, CallSource, Class, Offer, Refusal, Reporter, WorkerView};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::program::Served;
use crate::programs::{Programs, Slot};
use crate::spot::Spot;

pub(crate) use proxy::Proxy;

/// How long an offer waits for a program, while the one that takes new calls is being started again, and for its
/// answer: a little longer than LiveKit waits.
const ANSWER: Duration = Duration::from_secs(3);
/// How long a program that tells how its jobs end may take to end one that is over, before it counts as ended.
const ENDING: Duration = Duration::from_secs(30);

/// What the programs of one host share. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Hub(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    upstream: Upstream,
    /// As what the host registers: as its first program did.
    registration: watch::Sender<Option<RegisterWorkerRequest>>,
    /// Sees how the host and the server get on, once there is a registration.
    monitor: OnceLock<Monitor>,
}

impl Hub {
    pub(crate) fn new(upstream: Upstream) -> Self {
        Self(Arc::new(Shared { upstream, registration: watch::Sender::new(None), monitor: OnceLock::new() }))
    }

    /// Where a program that is about to start will find its LiveKit server.
    pub(crate) fn proxy(&self) -> std::io::Result<Proxy> {
        let hub = self.clone();
        Proxy::open(self.0.upstream.clone(), Peer::new(move |request| hub.judge(request)))
    }

    /// Whether a program may register like this. The first one decides as what the host does.
    fn judge(&self, request: &RegisterWorkerRequest) -> Result<(), String> {
        // What is different in each version, and decides nothing.
        let plain = RegisterWorkerRequest { version: String::new(), ping_interval: 0, ..request.clone() };
        let mut judged = Ok(());
        self.0.registration.send_if_modified(|registration| match registration {
            Some(known) if *known == plain => false,
            Some(known) => {
                judged = Err(differs(known, &plain));
                false
            }
            None => {
                // Only its routing key can be wrong, and the server would refuse it without a word.
                judged = self.0.upstream.worker(&plain).map(drop).map_err(|error| error.to_string());
                if judged.is_ok() {
                    *registration = Some(plain);
                }
                judged.is_ok()
            }
        });
        judged
    }

    /// The host's worker, once a program has registered.
    async fn worker(&self) -> Worker {
        let mut registration = self.0.registration.subscribe();
        loop {
            let like = registration.wait_for(Option::is_some).await.ok().and_then(|known| known.clone());
            if let Some(Ok(worker)) = like.map(|like| self.0.upstream.worker(&like)) {
                return worker;
            }
        }
    }

    /// Resolves once the server has heard everything, or had its time.
    pub(crate) async fn left(&self) {
        if let Some(mut monitor) = self.0.monitor.get().cloned() {
            monitor.left().await;
        }
    }
}

/// How a program's registration differs from the host's.
fn differs(known: &RegisterWorkerRequest, other: &RegisterWorkerRequest) -> String {
    let shown = |request: &RegisterWorkerRequest| {
        let RegisterWorkerRequest { agent_name, deployment, namespace, .. } = request;
        let kind = request.r#type();
        format!("agent {agent_name:?}, kind {kind:?}, deployment {deployment:?}, namespace {namespace:?}")
    };
    if shown(known) == shown(other) {
        return "it registers with other permissions than the host did for its first program".to_owned();
    }
    format!("it registers as {}; the host is registered as {}, which stays", shown(other), shown(known))
}

/// Keeps a program's connection to its proxy from going through a company's: the Python worker sends it through
/// `HTTPS_PROXY` or `HTTP_PROXY`, whatever `NO_PROXY` says. Everything else reads the names in lower case too.
pub(crate) fn clear_proxies(launch: &mut Launch) {
    for name in ["HTTPS_PROXY", "HTTP_PROXY"] {
        launch.unset.push(name.to_owned());
        let lower = name.to_lowercase();
        #[expect(clippy::disallowed_methods, reason = "the program's variables, which pass through the host")]
        if let (Some(value), None) = (std::env::var_os(name), std::env::var_os(&lower)) {
            tracing::warn!(
                "{name} would send the program's worker through a proxy, past the host: the program gets it as {lower}"
            );
            launch.set.push((OsString::from(lower), value));
        }
    }
}

/// Takes jobs from the server.
pub(crate) struct Front {
    hub: Hub,
    programs: Programs,
    view: Option<WorkerView>,
    worker: Option<Worker>,
    ends: Ends,
}

impl Front {
    pub(crate) fn new(hub: Hub, programs: Programs) -> Self {
        Self { hub, programs, view: None, worker: None, ends: Ends::default() }
    }
}

impl CallSource for Front {
    type Offer = Offered;
    type Error = Unregistered;
    type Reporter = Ends;

    fn attach(&mut self, worker: WorkerView) -> Ends {
        self.programs.belong_to(worker.clone());
        self.view = Some(worker);
        self.ends.clone()
    }

    async fn next(&mut self) -> Result<Option<Offered>, Unregistered> {
        if let Some(view) = self.view.take() {
            let mut worker = self.hub.worker().await;
            // It is attached once.
            let _ = self.hub.0.monitor.set(worker.monitor());
            let _ = self.ends.0.set(worker.attach(view));
            self.worker = Some(worker);
        }
        let Some(worker) = &mut self.worker else { return Ok(None) };
        let offer = worker.next().await?;
        Ok(offer.map(|offer| Offered { offer, programs: self.programs.clone() }))
    }
}

/// Tells the server how jobs ended, once the host is its worker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ends(Arc<OnceLock<JobReporter>>);

impl Reporter for Ends {
    async fn ended(&self, end: CallEnd) {
        if let Some(reporter) = self.0.get() {
            reporter.ended(end).await;
        }
    }
}

/// A job that the server offers, and that the host has room for.
pub(crate) struct Offered {
    offer: JobOffer,
    programs: Programs,
}

impl Offer for Offered {
    type Session = Leg;

    fn id(&self) -> CallId {
        self.offer.id()
    }

    fn invalid(&self) -> Option<BadCallId> {
        self.offer.invalid()
    }

    fn class(&self) -> Class {
        self.offer.class()
    }

    async fn accept(self) -> Option<Leg> {
        let Self { offer, programs } = self;
        let message = offer.job().cloned().unwrap_or_default();
        let (decision, taken) = match timeout(ANSWER, ask(&programs, message)).await {
            Ok(Some((decision, taken))) => (decision, Some(taken)),
            Ok(None) | Err(_) => (Decision::Reject, None),
        };
        let job = offer.decided(decision).await?;
        taken.map(|(slot, peer)| Leg { job, slot, peer })
    }

    async fn decline(self, refusal: Refusal) {
        self.offer.decline(refusal).await;
    }
}

/// Asks the program that takes new calls for a job. `None`: there is none, or it does not answer.
async fn ask(programs: &Programs, message: Message) -> Option<(Decision, (Slot, Peer))> {
    let slot = programs.slot(Served::Call, ANSWER).await?;
    let Spot::Proxy(proxy) = &slot.spot else { return None };
    let peer = proxy.peer().clone();
    let answer = peer.ask(message).await?;
    let decision = if answer.available {
        let mut attributes: BTreeMap<String, String> = answer.participant_attributes;
        attributes.entry("openrtc.version".to_owned()).or_insert_with(|| slot.version.to_string());
        Decision::AcceptAs(Joining {
            identity: answer.participant_identity,
            name: answer.participant_name,
            metadata: answer.participant_metadata,
            attributes,
        })
    } else if answer.terminate {
        Decision::Terminate
    } else {
        let (version, job) = (slot.version, &answer.job_id);
        tracing::info!(%version, job, "the program refuses a job that the host has room for");
        Decision::Reject
    };
    Some((decision, (slot, peer)))
}

/// A job, and the program that has said yes to it.
pub(crate) struct Leg {
    job: Job,
    slot: Slot,
    peer: Peer,
}

/// How a job's way through its program ended.
enum Over {
    /// By the program's word.
    Told(Result<(), String>),
    /// The server has ended it, and the program tells of no ends, or not in time.
    Silently,
    /// The program is gone.
    Gone,
}

/// Sees a job to its end.
pub(crate) async fn carry(call: Call<Leg>) {
    let Call { session: Leg { job, slot, peer }, guard, .. } = call;
    guard.served_by(slot.version);
    let assignment = JobAssignment {
        job: Some(job.message().clone()),
        // A program that was told none would join at its own LIVEKIT_URL, which is the host.
        url: Some(job.url().to_owned()),
        token: job.token().to_owned(),
    };
    let mut assigned = peer.begin(job.id().to_string(), assignment);
    let cancelled = guard.cancelled();
    let over = follow(&mut assigned, &job, cancelled, &slot).await;
    drop(assigned);
    let result = match over {
        Over::Told(result) => result,
        Over::Silently => Ok(()),
        Over::Gone => {
            let (version, pid) = (slot.version, slot.fate.child.pid());
            slot.lose();
            return job.finish(guard, Err(format!("program {version} (process {pid}) ended"))).await;
        }
    };
    // First: the program is done with it, whenever the server hears of that.
    drop(slot);
    job.finish(guard, result).await;
}

async fn follow(
    assigned: &mut Assigned,
    job: &Job,
    cancelled: impl Future<Output = std::time::Instant>,
    slot: &Slot,
) -> Over {
    let gone = async {
        slot.fate.child.left().await;
        while !slot.fate.is_gone().await {}
    };
    let (mut cancelled, mut gone) = (pin!(cancelled), pin!(gone));
    let (mut is_forced, mut by) = (false, None);
    loop {
        let overdue = async {
            match by {
                Some(by) => sleep_until(by).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            // What it ends with because it was told to is no success of its own.
            end = assigned.ended() => {
                return Over::Told(if is_forced { Err("a forced drain cut it".to_owned()) } else { end });
            }
            () = job.terminated(), if by.is_none() => {
                let patience = if assigned.terminate() { ENDING } else { Duration::ZERO };
                by = Some(Instant::now() + patience);
            }
            // The host's force ends the call when its grace is over, whatever the program says.
            _ = &mut cancelled, if !is_forced => {
                is_forced = true;
                assigned.terminate();
            }
            () = &mut gone => return Over::Gone,
            () = overdue => return Over::Silently,
        }
    }
}
