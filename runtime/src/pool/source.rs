//! Where calls come from, and what is done with them.

use std::fmt::Display;
use std::future::Future;

use openrtc_core::id::{BadCallId, CallId};
use openrtc_core::word::Refusal;
use openrtc_core::worker::Class;

use super::call::CallGuard;
use super::call_end::Reporter;
use super::view::WorkerView;

/// A source of calls: the end of a dispatcher's connection that lies in this worker. It yields offers, and
/// [`AgentPool::serve`](crate::AgentPool::serve) answers them.
///
/// Implement it to connect a worker to a dispatcher, such as a media server that hands out jobs or a listening socket.
/// A worker that would rather accept calls in a loop of its own uses [`AgentPool::admit`](crate::AgentPool::admit)
/// and [`AgentPool::reserve`](crate::AgentPool::reserve) instead.
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

    /// Who hears how the calls of this source end. `()` for a source that has nobody to tell.
    type Reporter: Reporter;

    /// Gives the source a view of its worker, once, before the first [`next`](Self::next): for a dispatcher that wants
    /// to know how busy the worker is, and whether it still takes calls. Keep the view, or move it to the task that
    /// talks to the dispatcher.
    fn attach(&mut self, worker: WorkerView) -> Self::Reporter;

    /// Waits for the next offer. `None` says that there will never be another, and drains the worker.
    ///
    /// Keep yielding offers while the worker drains: `serve` declines them, so that the dispatcher learns at once that
    /// it must try another worker. A source with a listener holds a [`Listening`](crate::Listening) of its view, so
    /// that the worker leaves when the listener is closed and who came to it has an answer. `next` is also called while
    /// the last calls' ends are reported, so a source may do all its input and output here. An offer that it yields
    /// then, after the worker has left, is dropped without an answer: each refusal is counted in the journal, and the
    /// journal is closed.
    ///
    /// # Errors
    /// An error says that the source has failed for good: the worker drains, and `serve` returns the error once the
    /// calls have ended. A lost connection need not be an error. Reconnecting is the source's own business: wait,
    /// connect again and yield the next offer, and fail only when there is no point in trying again. Calls go on
    /// meanwhile.
    ///
    /// # Cancellation
    /// `serve` lets each `next` finish before it calls the next one. It drops a pending `next` only when it is done
    /// itself, so a source need not be cancel-safe. After `None` or an error, `next` is not called again.
    fn next(&mut self) -> impl Future<Output = Result<Option<Self::Offer>, Self::Error>> + Send;
}

/// A call that is offered to this worker.
pub trait Offer: Send + 'static {
    /// What the handler gets when the call is assigned to this worker: its media, its room.
    type Session: Send + 'static;

    /// What the dispatcher calls the call.
    fn id(&self) -> CallId;

    /// Why no worker can take the offer, if that is so: its id is no call id. `serve` declines it as
    /// [`Refusal::Invalid`] and counts it, and does not ask for its id. It does the same with an offer that panics
    /// here, in [`id`](Self::id) or in [`class`](Self::class).
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
    /// The future is dropped at its next await when no assignment has come a second after the reservation lapsed, and
    /// when the worker has left. The call is not this worker's then, so let go of whatever belongs to it on drop: a
    /// closed connection tells the caller. An assignment that comes within that second is too late as well: the session
    /// is dropped. Either way the source's [`Reporter`] hears once that the call ended, as
    /// [`Ended::Lapsed`](crate::Ended::Lapsed) for a reservation that lapsed.
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
    /// The call's media or room: whatever its source gives.
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
    /// What went wrong, if anything did.
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
