//! An offer, and how it is answered: once, whatever happens.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use openrtc_runtime::{CallId, Offer, Refusal};
use tokio::sync::{mpsc, oneshot};

use super::driver::Order;
use super::job::Job;
use crate::proto;
use crate::session::{Answer, Joining, OfferNo};

/// What is offered, for whoever decides on it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// The job's id.
    pub id: CallId,
    /// The job, as the server sent it.
    pub job: proto::Job,
}

impl Request {
    /// The name of the room.
    #[must_use]
    pub fn room(&self) -> &str {
        self.job.room.as_ref().map_or("", |room| &room.name)
    }

    /// What the dispatch carried.
    #[must_use]
    pub fn metadata(&self) -> &str {
        &self.job.metadata
    }

    /// The dispatch's attributes.
    #[must_use]
    pub const fn attributes(&self) -> &BTreeMap<String, String> {
        &self.job.attributes
    }
}

/// What to do about an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// Take it.
    Accept,
    /// Take it, and appear in the room like this.
    AcceptAs(Joining),
    /// Leave it to another worker.
    Reject,
    /// Nobody is to take it.
    Terminate,
}

/// Whoever decides on offers.
pub(super) trait Decide: Send + Sync {
    fn decide(&self, request: Request) -> Pin<Box<dyn Future<Output = Decision> + Send>>;
}

impl<D, F> Decide for D
where
    D: Fn(Request) -> F + Send + Sync,
    F: Future<Output = Decision> + Send + 'static,
{
    fn decide(&self, request: Request) -> Pin<Box<dyn Future<Output = Decision> + Send>> {
        Box::pin(self(request))
    }
}

/// A job that the server offers. The pool answers it.
pub struct JobOffer {
    id: CallId,
    number: OfferNo,
    job: Option<proto::Job>,
    decide: Option<Arc<dyn Decide>>,
    /// Brings the job once it is assigned; closed when the offer is off.
    assigned: Option<oneshot::Receiver<Job>>,
    orders: mpsc::UnboundedSender<Order>,
    answered: bool,
}

impl std::fmt::Debug for JobOffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobOffer").field("id", &self.id).finish_non_exhaustive()
    }
}

impl JobOffer {
    pub(super) fn new(
        id: CallId,
        number: OfferNo,
        job: Option<proto::Job>,
        decide: Option<Arc<dyn Decide>>,
        assigned: oneshot::Receiver<Job>,
        orders: mpsc::UnboundedSender<Order>,
    ) -> Self {
        Self { id, number, job, decide, assigned: Some(assigned), orders, answered: false }
    }

    /// The job, as the server sent it; `None` while it is decided upon.
    #[must_use]
    pub const fn job(&self) -> Option<&proto::Job> {
        self.job.as_ref()
    }

    /// Answers as somebody else has decided, and waits for the job if that was a yes. `None`: it was none, or the offer
    /// is off. To be called in place of [`Offer::accept`], for the same reservation; as cancel-safe as that.
    pub async fn decided(mut self, decision: Decision) -> Option<Job> {
        let joining = match decision {
            Decision::Accept => Joining::default(),
            Decision::AcceptAs(joining) => joining,
            Decision::Reject => {
                self.answer(Answer::No);
                return None;
            }
            Decision::Terminate => {
                self.answer(Answer::Terminate);
                return None;
            }
        };
        self.answer(Answer::Yes(joining));
        self.assigned.take()?.await.ok()
    }

    fn answer(&mut self, answer: Answer) {
        self.answered = true;
        // A session that is over has answered in its place.
        let _ = self.orders.send(Order::Answer { job: self.id.clone(), number: self.number, answer });
    }

    /// What whoever decides says; a panic is a refusal. `None` if the offer is off before.
    async fn decision(&mut self) -> Option<Decision> {
        let Some(decide) = self.decide.take() else { return Some(Decision::Accept) };
        let request = Request { id: self.id.clone(), job: self.job.take().unwrap_or_default() };
        let Ok(mut decision) = catch_unwind(AssertUnwindSafe(|| decide.decide(request))) else {
            return Some(Decision::Reject);
        };
        let careful = poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| decision.as_mut().poll(context))) {
            Ok(polled) => polled,
            Err(_) => Poll::Ready(Decision::Reject),
        });
        let off = self.assigned.as_mut()?;
        tokio::select! {
            biased;
            _ = off => None,
            decision = careful => Some(decision),
        }
    }
}

impl Offer for JobOffer {
    type Session = Job;

    fn id(&self) -> CallId {
        self.id.clone()
    }

    async fn accept(mut self) -> Option<Job> {
        let decision = self.decision().await?;
        self.decided(decision).await
    }

    async fn decline(mut self, refusal: Refusal) {
        tracing::debug!(job = %self.id, %refusal, "declined");
        self.answer(Answer::No);
    }
}

impl Drop for JobOffer {
    fn drop(&mut self) {
        // Silence would lose the call.
        if !self.answered {
            self.answer(Answer::No);
        }
    }
}
