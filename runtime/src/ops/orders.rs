//! Orders: the requests that change something. Each names its actor. The answer holds the result and the worker's state
//! after it.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use openrtc_core::id::Actor;
use openrtc_core::time::{Instant, Span};
use openrtc_core::word::Phase;
use openrtc_core::worker::{BadDeadline, Cause, Misuse, OnDeadline, Repeat, Terms};
use serde::Deserialize;

use super::{Ops, answer};
use crate::config::DrainTerms;
use crate::engine::done::{CommandError, Done};
use crate::http::Peer;
use crate::http::server::read_body;

/// The actor if neither the request nor the kernel names one.
const NOBODY: Actor = Actor::from_static("ops");

/// The body of an order; every field may be left out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Request {
    /// Who asks.
    actor: Option<Actor>,
    /// When the drain is overdue, in seconds from now.
    deadline_s: Option<u64>,
    /// What happens then.
    on_deadline: Option<OnDeadline>,
}

/// An order that was read: whose it is and what it says.
pub(super) struct Order {
    pub(super) actor: Actor,
    deadline: Option<Duration>,
    on_deadline: Option<OnDeadline>,
}

impl Order {
    /// Reads a body; an error is the answer to it.
    pub(super) fn read(peer: Peer, body: &[u8]) -> Result<Self, String> {
        let request: Request = read_body(body)?;
        Ok(Self {
            actor: request.actor.unwrap_or_else(|| who(peer)),
            deadline: request.deadline_s.map(deadline).transpose()?,
            on_deadline: request.on_deadline,
        })
    }

    /// Whether it says how the drain is to be done.
    const fn has_terms(&self) -> bool {
        self.deadline.is_some() || self.on_deadline.is_some()
    }
}

fn deadline(seconds: u64) -> Result<Duration, String> {
    match Terms::due(Instant::EPOCH, Span::from_secs(seconds)) {
        Ok(_) => Ok(Duration::from_secs(seconds)),
        Err(BadDeadline::Now) => Err("deadline_s is 0: give 1 or more; `/drain/force` ends the calls now".into()),
        Err(BadDeadline::TooFar) => {
            let most = Duration::from(Terms::LONGEST).as_secs();
            Err(format!("deadline_s is {seconds}: give at most {most}, a year"))
        }
    }
}

/// Who is at the other end, as far as the kernel knows.
fn who(peer: Peer) -> Actor {
    match peer {
        Peer::Tcp(_) => NOBODY,
        Peer::Local { uid } => Actor::new(&format!("uid:{uid}")).unwrap_or(NOBODY),
    }
}

pub(super) async fn drain(State(ops): State<Arc<Ops>>, Extension(peer): Extension<Peer>, body: Bytes) -> Response {
    with_order(&ops, peer, &body, |order| {
        if order.has_terms() && ops.worker.snapshot().phase == Phase::Draining {
            return amend(&ops, &order);
        }
        let usual = ops.worker.drain_terms();
        let terms = DrainTerms {
            timeout: order.deadline.or(usual.timeout),
            on_deadline: order.on_deadline.unwrap_or(usual.on_deadline),
        };
        Ok(ops.worker.drain(Cause::Api, order.actor, terms)?)
    })
}

pub(super) async fn cancel(State(ops): State<Arc<Ops>>, Extension(peer): Extension<Peer>, body: Bytes) -> Response {
    with_order(&ops, peer, &body, |order| Ok(ops.worker.cancel_drain(order.actor)?))
}

pub(super) async fn extend(State(ops): State<Arc<Ops>>, Extension(peer): Extension<Peer>, body: Bytes) -> Response {
    with_order(&ops, peer, &body, |order| match order.deadline {
        None => Err(Refused::Malformed("say until when: {\"deadline_s\": seconds from now}")),
        Some(deadline) => Ok(ops.worker.extend_drain(order.actor, deadline)?),
    })
}

/// Ends the calls that are left. If there is no drain, it begins one, because a force means that the worker must go.
pub(super) async fn force(State(ops): State<Arc<Ops>>, Extension(peer): Extension<Peer>, body: Bytes) -> Response {
    with_order(&ops, peer, &body, |order| match ops.worker.force_drain(order.actor) {
        Err(CommandError::Misuse(Misuse::NotDraining)) => {
            ops.worker.drain(Cause::Api, order.actor, ops.worker.drain_terms())?;
            Ok(ops.worker.force_drain(order.actor)?)
        }
        done => Ok(done?),
    })
}

/// Takes a worker out of rotation. It stays up and can be put back.
pub(super) async fn cordon(State(ops): State<Arc<Ops>>, Extension(peer): Extension<Peer>, body: Bytes) -> Response {
    with_order(&ops, peer, &body, |order| Ok(ops.worker.cordon(order.actor)?))
}

pub(super) async fn promote(State(ops): State<Arc<Ops>>, Extension(peer): Extension<Peer>, body: Bytes) -> Response {
    with_order(&ops, peer, &body, |order| {
        if ops.registers {
            return Err(Refused::No("its registrar or coordinator decides when this worker takes calls"));
        }
        let done = ops.worker.promote()?;
        tracing::info!(actor = %order.actor, "promoted");
        Ok(done)
    })
}

/// The order has other terms than the drain in progress. Earlier times are combined with it, a later deadline extends
/// it, and anything else is refused.
fn amend(ops: &Ops, order: &Order) -> Result<Done, Refused> {
    let Some(drain) = ops.worker.snapshot().drain else { return Err(CommandError::Misuse(Misuse::NotDraining).into()) };
    let (in_force, now) = (drain.terms, ops.worker.now());
    let left = in_force.deadline.map(|deadline| deadline.since(now).into());
    let wanted = DrainTerms {
        timeout: order.deadline.or(left),
        on_deadline: order.on_deadline.unwrap_or_else(|| in_force.on_deadline()),
    };
    let joined = ops.worker.drain(Cause::Api, order.actor, wanted)?;
    if joined != Done::Already(Repeat::AlreadyDraining) {
        return Ok(joined);
    }
    match order.deadline {
        _ if wanted.on_deadline != in_force.on_deadline() => Err(Refused::OtherTerms),
        None => Ok(joined),
        Some(deadline) => match ops.worker.extend_drain(order.actor, deadline) {
            Err(CommandError::Misuse(Misuse::NotLater)) => Err(Refused::OtherTerms),
            done => Ok(done?),
        },
    }
}

/// Why an order was not carried out.
pub(super) enum Refused {
    /// It does not say what it has to.
    Malformed(&'static str),
    /// The endpoint says no.
    No(&'static str),
    /// It drains on other terms, which this order cannot change.
    OtherTerms,
    /// The worker says no.
    Command(CommandError),
}

impl From<CommandError> for Refused {
    fn from(error: CommandError) -> Self {
        Self::Command(error)
    }
}

/// Reads an order, carries it out, and answers with the result.
pub(super) fn with_order(
    ops: &Ops,
    peer: Peer,
    body: &[u8],
    act: impl FnOnce(Order) -> Result<Done, Refused>,
) -> Response {
    let order = match Order::read(peer, body) {
        Ok(order) => order,
        Err(problem) => return answer(ops, StatusCode::BAD_REQUEST, problem),
    };
    match act(order) {
        Ok(Done::Now) => answer(ops, StatusCode::OK, "done".into()),
        // True already: the one who repeats a request wants to hear that it holds.
        Ok(Done::Already(repeat)) => answer(ops, StatusCode::OK, repeat.to_string()),
        Err(Refused::Malformed(problem)) => answer(ops, StatusCode::BAD_REQUEST, problem.into()),
        Err(Refused::No(why)) => answer(ops, StatusCode::CONFLICT, why.into()),
        Err(Refused::OtherTerms) => answer(
            ops,
            StatusCode::CONFLICT,
            "it drains already, on the terms that are shown, and they cannot be changed to these: extend it, force it, \
             or cancel it and begin again"
                .into(),
        ),
        Err(Refused::Command(error)) => answer(ops, StatusCode::CONFLICT, error.to_string()),
    }
}
