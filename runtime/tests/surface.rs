//! A program against the whole interface that names nothing but `openrtc_runtime`: each type of a public signature can
//! be reached from there.
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use openrtc_runtime::audit::{AuditSink, stdout_sink, tracing_sink};
use openrtc_runtime::journal::{JournalConfig, JournalError, Recovered, Sync};
use openrtc_runtime::{
    Actor, AgentPool, AgentPoolBuilder, Availability, BadCallId, BadDeadline, BadLimits, BadName, BadPolicy, CLASSES,
    Call, CallEnd, CallGuard, CallId, CallNo, CallSource, Cause, Class, CommandError, Config, ConfigError, Control,
    DeadlineMissing, Decline, Deployment, Done, Drain, DrainTerms, Duplicates, EndReason, Ended, Ending, Epoch, Exit,
    FLUSH, Fault, Forced, Identity, Incarnation, JournalHealth, KeyError, Lapsed, Leave, Misuse, NoSuchClass, Offer,
    OnDeadline, Order, Outcome, Phase, Predecessor, Refusal, Refused, Repeat, Reporter, Reservation, RuntimeSnapshot,
    Secret, Seq, ServeError, SigningKey, Stamp, Start, StartError, Tally, Terms, Torn, TornFault, TrailError, UrlError,
    VARIABLES, Variable, VerifyingKey, Version, Wish, WorkerId, WorkerView, blocking, parse_duration, read_public_key,
    read_signing_key, time, write_key_pair,
};

const ME: Actor = Actor::from_static("surface");

#[test]
fn this_program_names_one_crate_of_ours() {
    for other in ["core", "records"] {
        assert!(!include_str!("surface.rs").contains(&format!("openrtc_{other}")));
    }
}

/// A source of a few offers.
struct Offers(VecDeque<&'static str>, mpsc::Sender<CallEnd>);

struct Offered(&'static str);

struct Told(std::sync::Mutex<mpsc::Sender<CallEnd>>);

impl CallSource for Offers {
    type Offer = Offered;
    type Error = Infallible;
    type Reporter = Told;

    fn attach(&mut self, worker: WorkerView) -> Told {
        let identity: &Identity = worker.identity();
        let (deployment, version): (Deployment, Version) = (identity.deployment, identity.version);
        let (worker_id, incarnation): (WorkerId, Incarnation) = (identity.worker, identity.incarnation);
        assert_eq!((deployment.as_str(), version.as_str(), worker_id.as_str()), ("default", "v1", "w1"));
        assert!(incarnation.get() > 0 && worker.capacity() > worker.in_flight() && worker.load() < 1.0);
        assert!(matches!(worker.availability(), Availability::Open | Availability::Closed));
        Told(std::sync::Mutex::new(self.1.clone()))
    }

    async fn next(&mut self) -> Result<Option<Offered>, Infallible> {
        Ok(self.0.pop_front().map(Offered))
    }
}

impl Reporter for Told {
    async fn ended(&self, end: CallEnd) {
        self.0.lock().unwrap().send(end).unwrap();
    }
}

impl Offer for Offered {
    type Session = &'static str;

    fn id(&self) -> CallId {
        CallId::new(self.0).unwrap()
    }

    fn class(&self) -> Class {
        Class::new(1).unwrap()
    }

    async fn accept(self) -> Option<&'static str> {
        Some(self.0)
    }

    async fn decline(self, refusal: Refusal) {
        panic!("{refusal}");
    }
}

async fn handle(call: Call<&'static str>) -> Result<(), String> {
    let guard: CallGuard = call.guard;
    assert_eq!(guard.id().as_str(), call.session);
    guard.recorded().await;
    guard.progress();
    guard.end(EndReason::CallerHangup).await;
    Ok(())
}

fn builder() -> AgentPoolBuilder {
    AgentPool::builder().deployment_version("v1").worker("w1").signals(false)
}

#[tokio::test]
async fn a_worker_serves_a_source_to_its_end() {
    let (told, ends) = mpsc::channel();
    let pool: AgentPool = builder().control(Control::Shared).start(Start::Serving).build().unwrap();
    let exit: Exit = pool.serve(Offers(["one", "two"].into(), told), handle).await.unwrap();
    assert_eq!((exit.code(), exit.dropped(), exit.outcome()), (Exit::CLEAN, 0, Some(Outcome::Clean)));
    let ends: Vec<CallEnd> = ends.iter().collect();
    assert!(ends.iter().all(|end| end.how == Ended::Recorded(EndReason::CallerHangup) && end.number > CallNo::new(0)));
    assert_eq!(ends.len(), 2);
}

#[tokio::test]
async fn a_worker_takes_orders_from_its_program() {
    let pool = builder().leave(Leave::Parked).start(Start::Standby).build().unwrap();
    assert_eq!(pool.admit(CallId::from_static("early")).unwrap_err(), Refusal::Closed(Phase::Standby));
    assert_eq!(pool.promote(), Ok(Done::Now));
    let reservation: Reservation = pool.reserve(CallId::from_static("call")).unwrap();
    let terms = DrainTerms { timeout: Some(Duration::from_mins(1)), on_deadline: OnDeadline::Force };
    assert_eq!(pool.begin_drain_with(Cause::Api, ME, terms), Ok(Done::Now));
    assert_eq!(pool.begin_drain(ME), Ok(Done::Already(Repeat::AlreadyDraining)));
    let snapshot: RuntimeSnapshot = pool.runtime_snapshot();
    let (drain, journal): (Drain, JournalHealth) = (snapshot.drain.unwrap(), snapshot.journal);
    let (terms, forced): (Terms, Option<Forced>) = (drain.terms, drain.forced);
    let (totals, now): (Tally, time::Instant) = (snapshot.totals, snapshot.at);
    assert!(terms.deadline.is_some_and(|deadline| deadline > now) && forced.is_none() && !journal.kept);
    assert_eq!(totals.reserved, 1);
    assert_eq!(pool.extend_drain(ME, Duration::ZERO), Err(CommandError::BadDeadline(BadDeadline::Now)));
    assert_eq!(pool.extend_drain(ME, Duration::from_secs(1)), Err(CommandError::Misuse(Misuse::NotLater)));
    let terms = DrainTerms { timeout: None, on_deadline: OnDeadline::Force };
    let missing: Result<Done, CommandError> = pool.begin_drain_with(Cause::Api, ME, terms);
    assert!(matches!(missing, Err(CommandError::DeadlineMissing(DeadlineMissing { .. }))));
    assert_eq!(pool.force_drain(ME), Ok(Done::Now));
    assert_eq!(pool.cancel_drain(ME), Err(CommandError::Refused(Refused::Forced)));
    let call = reservation.assign().unwrap();
    let _: Instant = call.cancelled().await;
    assert!(call.is_cancelled());
    drop(call);
    pool.drained().await;
    let stamp = Stamp { epoch: Epoch::new(1), order: Seq::new(1) };
    assert_eq!(pool.obey(Order { stamp, actor: ME, wish: Wish::Leave }), Ok(Done::Now));
    assert_eq!(pool.exited().await.code(), Exit::FORCED);
    assert_eq!(pool.runtime_snapshot().totals.declined[Decline::NotServing as usize], 1);
    let recovered: Option<&Recovered> = pool.recovered();
    assert!(recovered.is_none() && pool.ops_addr().is_none() && pool.identity().worker.as_str() == "w1");
    assert_eq!(pool.view().availability(), Availability::Closed);
}

/// Names the types that no value above has.
#[test]
fn the_rest_can_be_named_too() {
    fn error<E: std::error::Error>() {}
    error::<BadCallId>();
    error::<BadDeadline>();
    error::<BadLimits>();
    error::<BadName>();
    error::<BadPolicy>();
    error::<CommandError>();
    error::<ConfigError>();
    error::<JournalError>();
    error::<KeyError>();
    error::<Lapsed>();
    error::<NoSuchClass>();
    error::<ServeError<String>>();
    error::<StartError>();
    error::<TrailError>();
    error::<UrlError>();
    let _: [fn() -> Box<dyn AuditSink>; 2] = [|| Box::new(stdout_sink()), || Box::new(tracing_sink())];
    let _: (Option<Predecessor>, Option<Torn>, Option<TornFault>, Option<Fault>) = (None, None, None, None);
    let _: fn() -> Result<SigningKey, KeyError> = || read_signing_key("none".as_ref());
    let _: fn() -> Result<VerifyingKey, KeyError> = || read_public_key("none".as_ref());
    let _ = write_key_pair;
    assert_eq!(().failure(), None);
    assert_eq!(parse_duration("2s"), Ok(FLUSH));
    assert_eq!(Class::new(u8::try_from(CLASSES).unwrap()), None);
    let variables: &[Variable] = VARIABLES;
    Config::default().merge_vars(variables.iter().map(|variable| (variable.name, ""))).unwrap_err();
    let mut config = Config::default();
    config.ops_token = Some(Secret::new("0123456789abcdef"));
    config.journal = Some(JournalConfig { sync: Sync::Always, ..JournalConfig::new("journal") });
    config.deployment_version = "v1".into();
    config.duplicates = Duplicates::Refuse;
    config.check().unwrap();
}

#[test]
fn a_program_without_tokio_has_the_same_worker() {
    let pool: blocking::AgentPool = blocking::AgentPool::start(builder()).unwrap();
    let reservation: blocking::Reservation = pool.reserve_class(CallId::from_static("one"), Class::default()).unwrap();
    let call: blocking::CallGuard = reservation.assign().unwrap();
    call.end(EndReason::AgentHangup);
    pool.begin_drain(ME).unwrap();
    assert_eq!(pool.exited().code(), Exit::CLEAN);
}
