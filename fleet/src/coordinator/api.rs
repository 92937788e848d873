//! What people and pipelines ask of a coordinator. Whether it may be done is for the fleet machine to say; here is what
//! a request says, and what is asked for if it leaves something out.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, Request as HttpRequest, State as Shared};
use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use openrtc_core::fleet::{DrainTerms, Fleet, Gate, GateSet, OnGateFailure, Policy, Rejection, Request, Spec};
use openrtc_core::id::{Actor, Version, WorkerId};
use openrtc_core::machine::Machine;
use openrtc_core::time::Span;
use openrtc_core::worker::OnDeadline;
use openrtc_runtime::http::auth::{Owner, judge};
use openrtc_runtime::http::server::read_body;
use openrtc_runtime::http::{Peer, Seat};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::view::{JournalShown, State, WorkerShown};
use super::{Coordinator, LOG};

/// No request's body needs more, in bytes.
const BODY_MAX: usize = 4096;

/// The most workers on one page.
const PAGE_MAX: usize = 1_000;

/// The actor if the request names none.
const NOBODY: Actor = Actor::from_static("api");

const OWNER: Owner = Owner { name: "coordinator", instead: "", no_token: "start it with --token-file" };

/// The body of every answer to an order.
#[derive(Debug, Serialize)]
struct Answer {
    ok: bool,
    message: String,
    /// The fleet after it.
    state: State,
}

/// A page of workers.
#[derive(Debug, Serialize)]
struct Workers {
    workers: Vec<WorkerShown>,
    /// The name that the next page comes after; missing on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<WorkerId>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    after: Option<WorkerId>,
    limit: Option<usize>,
}

/// Who asks; every field may be left out.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Asked {
    actor: Option<Actor>,
}

/// The body of an order about one worker.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AboutOne {
    actor: Option<Actor>,
    deadline_s: Option<u64>,
    on_deadline: Option<OnDeadline>,
    /// Whether the last worker that takes new calls may be taken out of service.
    last: bool,
}

/// A rollout.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Deploy {
    actor: Option<Actor>,
    version: Option<Version>,
    /// How many workers there must be; default: as many as the version before was asked to have.
    workers: Option<u32>,
    /// How many workers drain at a time.
    wave: Option<u32>,
    /// Spare capacity, per cent.
    headroom: Option<u16>,
    /// How long the new workers may take to be there, and again to be ready.
    ready_within_s: Option<u64>,
    /// How long the old version's calls may take, once their worker drains.
    drain_timeout_s: Option<u64>,
    /// What happens then.
    on_deadline: Option<OnDeadline>,
    /// Whether a person must promote the rollout before the old version drains.
    manual: bool,
    /// Whether a rollout under way gives way.
    supersede: bool,
}

/// A request's body, if all of it came and was not too long.
type Body = Result<Bytes, BytesRejection>;

/// Reads a body; an error is the answer to it.
fn read<T: Default + DeserializeOwned>(body: Body) -> Result<T, (StatusCode, String)> {
    match body {
        Ok(body) => read_body(&body).map_err(|problem| (StatusCode::BAD_REQUEST, problem)),
        Err(problem) if problem.status() == StatusCode::PAYLOAD_TOO_LARGE => Err((problem.status(), too_long())),
        Err(problem) => Err((problem.status(), problem.body_text())),
    }
}

fn too_long() -> String {
    format!("the body is too long: give at most {BODY_MAX} bytes")
}

pub(super) fn routes(coordinator: Coordinator) -> Router {
    let orders = Router::new()
        .route("/v1/deploy", post(deploy))
        .route("/v1/rollout/{order}", post(rollout))
        .route("/v1/workers/{worker}/{order}", post(worker))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(from_fn_with_state(coordinator.clone(), require));
    Router::new()
        .route("/livez", get(async || "live\n"))
        .route("/v1/state", get(state))
        .route("/v1/workers", get(workers))
        .merge(orders)
        .layer(axum::middleware::from_fn(take_seat))
        .with_state(coordinator)
}

/// A connection that brought a request is not idle.
async fn take_seat(Extension(seat): Extension<std::sync::Arc<Seat>>, request: HttpRequest, next: Next) -> Response {
    seat.keep(());
    next.run(request).await
}

async fn require(
    Shared(coordinator): Shared<Coordinator>,
    Extension(peer): Extension<Peer>,
    request: HttpRequest,
    next: Next,
) -> Response {
    if let Err((status, message)) = judge(&OWNER, peer, Some(&coordinator.0.token), request.headers()) {
        return coordinator.answer(status, message);
    }
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > BODY_MAX as u64) {
        // At once: nobody waits for what is not taken.
        return coordinator.answer(StatusCode::PAYLOAD_TOO_LARGE, too_long());
    }
    next.run(request).await
}

async fn state(Shared(coordinator): Shared<Coordinator>) -> Json<State> {
    Json(coordinator.state())
}

async fn workers(Shared(coordinator): Shared<Coordinator>, Query(page): Query<Page>) -> Json<Workers> {
    let limit = page.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let mut shown = coordinator.shell().view(|fleet| {
        let uplinks = coordinator.uplinks();
        let members = fleet.members().iter().filter(|(worker, _)| page.after.is_none_or(|after| *worker > after));
        let shown = members.map(|(worker, member)| WorkerShown::of(worker, member, |run| uplinks.contains_key(run)));
        shown.take(limit + 1).collect::<Vec<_>>()
    });
    let has_more = shown.len() > limit;
    shown.truncate(limit);
    let next = shown.last().filter(|_| has_more).map(WorkerShown::name);
    Json(Workers { workers: shown, next })
}

async fn rollout(Shared(coordinator): Shared<Coordinator>, Path(order): Path<String>, body: Body) -> Response {
    let request = match &*order {
        "pause" => Request::Pause,
        "resume" => Request::Resume,
        "promote" => Request::Promote,
        "undo" => Request::Rollback,
        _ => return coordinator.answer(StatusCode::NOT_FOUND, format!("a rollout has no order {order:?}")),
    };
    match read::<Asked>(body) {
        Ok(asked) => coordinator.order(asked.actor, request).await,
        Err((status, problem)) => coordinator.answer(status, problem),
    }
}

async fn worker(
    Shared(coordinator): Shared<Coordinator>,
    Path((worker, order)): Path<(String, String)>,
    body: Body,
) -> Response {
    let worker = match WorkerId::new(&worker) {
        Ok(worker) => worker,
        Err(error) => return coordinator.answer(StatusCode::BAD_REQUEST, error.to_string()),
    };
    let asked = match (&*order, read::<AboutOne>(body)) {
        (_, Err((status, problem))) => return coordinator.answer(status, problem),
        ("drain", Ok(asked)) => asked,
        (_, Ok(asked)) if asked.deadline_s.is_some() || asked.on_deadline.is_some() => {
            return coordinator.answer(StatusCode::BAD_REQUEST, "only a drain has a deadline".into());
        }
        (_, Ok(asked)) => asked,
    };
    let request = match &*order {
        "cordon" => Request::Cordon { worker },
        "uncordon" => Request::Uncordon { worker },
        "drain" => {
            let within = asked.deadline_s.map(Span::from_secs);
            let on_deadline = asked.on_deadline.unwrap_or(OnDeadline::Wait);
            Request::Drain { worker, terms: DrainTerms { within, on_deadline } }
        }
        "force" => Request::Force { worker },
        "fence" => Request::Fence { worker },
        _ => return coordinator.answer(StatusCode::NOT_FOUND, format!("a worker has no order {order:?}")),
    };
    let takes_out = matches!(request, Request::Cordon { .. } | Request::Drain { .. } | Request::Fence { .. });
    if takes_out && !asked.last {
        return coordinator.take_out(asked.actor, worker, request).await;
    }
    coordinator.order(asked.actor, request).await
}

async fn deploy(Shared(coordinator): Shared<Coordinator>, body: Body) -> Response {
    let asked: Deploy = match read(body) {
        Ok(asked) => asked,
        Err((status, problem)) => return coordinator.answer(status, problem),
    };
    let Some(version) = asked.version else {
        return coordinator.answer(StatusCode::BAD_REQUEST, "say which version: {\"version\": TAG}".into());
    };
    coordinator.deploy(asked, version).await
}

impl Deploy {
    /// The rollout that is asked for, of a fleet that is like this.
    fn spec(&self, version: Version, fleet: &Fleet) -> Spec {
        let usual = Policy::default();
        let as_before = || fleet.current().and_then(|current| Some(fleet.versions().get(&current)?.workers));
        let workers = self.workers.or_else(as_before).unwrap_or(1);
        let policy = Policy {
            drain_timeout: self.drain_timeout_s.map(Span::from_secs),
            on_deadline: self.on_deadline.unwrap_or(usual.on_deadline),
            headroom: self.headroom.unwrap_or(usual.headroom),
            verify_timeout: self.ready_within_s.map_or(usual.verify_timeout, Span::from_secs),
            wave: self.wave.unwrap_or(usual.wave),
            surge: usual.surge.max(workers),
            ..usual
        };
        Spec { version, workers, policy }
    }
}

impl Coordinator {
    fn state(&self) -> State {
        let shell = self.shell();
        let (now, journal) = (shell.now(), JournalShown::of(shell.journal(), shell.trouble()));
        shell.view(|fleet| State::of(fleet, self.0.deployment, now, journal))
    }

    fn answer(&self, status: StatusCode, message: String) -> Response {
        (status, Json(Answer { ok: status.is_success(), message, state: self.state() })).into_response()
    }

    /// Asks the fleet for something. The answer comes when the journal has what it led to.
    async fn order(&self, actor: Option<Actor>, request: Request) -> Response {
        let _turn = self.0.turn.lock().await;
        self.ask(actor.unwrap_or(NOBODY), request).await
    }

    /// The same, unless it leaves new calls to nobody: that is not done by accident.
    async fn take_out(&self, actor: Option<Actor>, worker: WorkerId, request: Request) -> Response {
        let _turn = self.0.turn.lock().await;
        let actor = actor.unwrap_or(NOBODY);
        let version = self
            .shell()
            .view(|fleet| fleet.members().get(worker).filter(|_| fleet.is_last(worker)).map(|member| member.version));
        match version {
            None => self.ask(actor, request).await,
            Some(version) => {
                let message = format!(
                    "{worker} is the last worker of {version} that takes new calls: without it each is refused. Start \
                     another one first, or say --last"
                );
                self.conclude(actor, request, StatusCode::CONFLICT, message)
            }
        }
    }

    async fn ask(&self, actor: Actor, request: Request) -> Response {
        if let Some(trouble) = self.shell().trouble() {
            let message = format!("nothing was decided: {trouble}; make that good, and give the order again");
            return self.conclude(actor, request, StatusCode::SERVICE_UNAVAILABLE, message);
        }
        let asked = self.shell().request(actor, request);
        let (status, message) = match (asked, self.shell().settle().await) {
            (Err(rejection @ (Rejection::Refused(_) | Rejection::Misuse(_))), _) => {
                (StatusCode::CONFLICT, rejection.to_string())
            }
            // The first order that meets a disk that takes nothing.
            (Ok(_) | Err(Rejection::Repeat(_)), Err(trouble)) => {
                let message = format!(
                    "not done: {trouble}; once it can be, this is done, unless the coordinator ends before: see \
                     `openrtc rollout status` then"
                );
                (StatusCode::SERVICE_UNAVAILABLE, message)
            }
            (Ok(entry), Ok(())) => (StatusCode::OK, entry.event.to_string()),
            // True already: whoever repeats a request wants to hear that it holds.
            (Err(Rejection::Repeat(repeat)), Ok(())) => (StatusCode::OK, repeat.to_string()),
        };
        self.conclude(actor, request, status, message)
    }

    /// Answers an order, and notes in the log who gave it and what came of it.
    fn conclude(&self, actor: Actor, request: Request, status: StatusCode, message: String) -> Response {
        let status_code = status.as_u16();
        tracing::info!(target: LOG, event = "order", %actor, order = %request, status = status_code, "{message}");
        self.answer(status, message)
    }

    /// Begins a rollout. One under way is not given up by accident: whoever comes second hears who was first.
    async fn deploy(&self, asked: Deploy, version: Version) -> Response {
        let _turn = self.0.turn.lock().await;
        let actor = asked.actor.unwrap_or(NOBODY);
        let (spec, first, doing, gates, judged) = self.shell().view(|fleet| {
            let spec = asked.spec(version, fleet);
            let under_way = fleet.rollout().copied().filter(|rollout| !rollout.stage.is_over());
            let request =
                openrtc_core::fleet::Command::Request { epoch: fleet.epoch(), actor, request: Request::RollOut(spec) };
            let doing = fleet.doing().map(|doing| doing.to_string()).unwrap_or_default();
            (spec, under_way, doing, *fleet.gates(), fleet.decide(self.shell().now(), request))
        });
        match (judged, first) {
            // The fleet says why not, or that it is so already.
            (Err(_), _) => return self.ask(actor, Request::RollOut(spec)).await,
            (Ok(_), Some(first)) if !asked.supersede => {
                let message = format!(
                    "a rollout to {}, asked by {}, is under way ({doing}): wait for its end, undo it, or supersede it",
                    first.green(),
                    first.actor
                );
                return self.conclude(actor, Request::RollOut(spec), StatusCode::CONFLICT, message);
            }
            (Ok(_), _) => {}
        }
        let wanted: GateSet = asked.manual.then_some(Gate::Person).into_iter().collect();
        if gates.asked != wanted {
            let request = Request::SetGates { asked: wanted, on_failure: OnGateFailure::Pause };
            let set = self.ask(actor, request).await;
            if !set.status().is_success() {
                return set;
            }
        }
        self.ask(actor, Request::RollOut(spec)).await
    }
}
