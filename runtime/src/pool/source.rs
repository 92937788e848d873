//! Call sources: the trait that connects a dispatcher to a pool, and its offers and calls.

use std::fmt::Display;
use std::future::Future;

use openrtc_core::id::{BadCallId, CallId};
use openrtc_core::word::Refusal;
use openrtc_core::worker::Class;

use super::call::CallGuard;
use super::call_end::Reporter;
use super::view::WorkerView;

/// A source of calls: this worker's side of a connection to a dispatcher. It yields offers, and
/// [`AgentPool::serve`](crate::AgentPool::serve) answers them.
///
/// Implement it to connect a worker to a dispatcher, such as a media server that hands out jobs or a listening socket.
/// If you prefer an accept loop of your own, use [`AgentPool::admit`](crate::AgentPool::admit) or
/// [`AgentPool::reserve`](crate::AgentPool::reserve) instead.
///
/// ```
/// use std::convert::Infallible;
/// use openrtc_runtime::{CallSource, WorkerView};
/// use tokio::sync::mpsc;
/// # type MyOffer = openrtc_runtime::doc::Never;
///
/// /// Offers that another task sends.
/// struct Queue(mpsc::Receiver<MyOffer>);
///
/// impl CallSource for Queue {
///     type Offer = MyOffer;
///     type Error = Infallible;
///     type Reporter = ();
///
///     fn attach(&mut self, _: WorkerView) {}
///
///     async fn next(&mut self) -> Result<Option<MyOffer>, Infallible> {
///         Ok(self.0.recv().await)
///     }
/// }
/// ```
pub trait CallSource: Send {
    /// What the source yields.
    type Offer: Offer;

    /// Why the source can yield no more offers. [`Infallible`](std::convert::Infallible) for a source that never fails.
    type Error: Display + Send;

    /// Receives the end of each call of this source. `()` if the source does not need the ends.
    type Reporter: Reporter;

    /// Gives the source a view of its worker. It is called once, before the first [`next`](Self::next). If your
    /// dispatcher wants to know how busy the worker is, or whether it still takes calls, keep the view or move it to
    /// the task that talks to the dispatcher.
    fn attach(&mut self, worker: WorkerView) -> Self::Reporter;

    /// Waits for the next offer. Return `None` if there will never be another offer; that drains the worker.
    ///
    /// Keep yielding offers while the worker drains: `serve` declines them, so that the dispatcher learns at once that
    /// it must try another worker. A source with a listener should hold a [`Listening`](crate::Listening) of its view.
    /// The worker then leaves only after the listener is closed and every connection to it has an answer. `next` is
    /// also called while the ends of the last calls are reported, so a source may do all its input and output in it. An
    /// offer that it yields after the worker has left is dropped without an answer, because the journal is closed and
    /// could not count the refusal.
    ///
    /// # Errors
    /// An error means that the source has failed for good: the worker drains, and `serve` returns the error when the
    /// calls have ended. A lost connection is not such an error: the source should wait, connect again and yield the
    /// next offer, and fail only if trying again is pointless. Calls go on meanwhile.
    ///
    /// # Cancellation
    /// `serve` lets each `next` finish before it calls the next one. It drops a pending `next` only when it is done
    /// itself, so a source need not be cancel-safe. After `None` or an error, `next` is not called again.
    fn next(&mut self) -> impl Future<Output = Result<Option<Self::Offer>, Self::Error>> + Send;
}

/// A call that is offered to this worker.
pub trait Offer: Send + 'static {
    /// What the handler gets when the call is assigned to this worker, for instance its media or its room.
    type Session: Send + 'static;

    /// What the dispatcher calls the call.
    fn id(&self) -> CallId;

    /// Says why no worker can take this offer, for instance because its id is not a valid call id. `None`, the default,
    /// means that a worker can take it. `serve` declines and counts an invalid offer as [`Refusal::Invalid`], without
    /// asking for its id. It does the same if this, [`id`](Self::id) or [`class`](Self::class) panics.
    fn invalid(&self) -> Option<BadCallId> {
        None
    }

    /// The kind of call, which decides how long it may stay silent.
    fn class(&self) -> Class {
        Class::default()
    }

    /// Answers yes, then waits for the assignment. Returns `None` if the caller or the dispatcher took the offer back.
    /// The call is reserved, and its reservation is in the journal, before this is called.
    ///
    /// # Cancellation
    /// The future is dropped at its next await in two cases: the reservation lapsed a second ago and no assignment
    /// came, or the worker has left. The call is not this worker's then, so release on drop what belongs to the call; a
    /// closed connection tells the caller. An assignment within that second is also too late, and its session is
    /// dropped. In each case the source's [`Reporter`] gets one report that the call ended; for a reservation that
    /// lapsed it says [`Ended::Lapsed`](crate::Ended::Lapsed).
    fn accept(self) -> impl Future<Output = Option<Self::Session>> + Send;

    /// Answers no. Every refusal but [`Refusal::Invalid`] and [`Refusal::Duplicate`] may be retried at another worker.
    ///
    /// # Cancellation
    /// The future is dropped at its next await if it is still pending half a second after the worker has left.
    fn decline(self, refusal: Refusal) -> impl Future<Output = ()> + Send;
}

/// A call that was assigned to this worker.
#[derive(Debug)]
#[non_exhaustive]
pub struct Call<S> {
    /// The call's media or room, as its source yields it.
    pub session: S,
    /// Keeps the call in flight for as long as it is held.
    pub guard: CallGuard,
}

impl<S> Call<S> {
    pub(crate) const fn new(session: S, guard: CallGuard) -> Self {
        Self { session, guard }
    }
}

/// What a handler may return: `()`, or a `Result` whose error ends the call as failed.
pub trait Ending: Send {
    /// Returns the error, if there is one.
    fn failure(self) -> Option<String>;
}

impl Ending for () {
    fn failure(self) -> Option<String> {
        None
    }
}

impl<E: Display + Send> Ending for Result<(), E> {
    fn failure(self) -> Option<String> {
        self.err().map(|error| error.to_string())
    }
}
