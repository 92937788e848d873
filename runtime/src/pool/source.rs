//! Where calls come from, and what is done with them.

use std::fmt::Display;
use std::future::Future;
use std::io;

use openrtc_core::id::CallId;
use openrtc_core::word::Refusal;
use openrtc_core::worker::Class;

use super::call::CallGuard;

/// A dispatcher's end in this worker: it yields offers.
pub trait CallSource: Send {
    /// What it yields.
    type Offer: Offer;

    /// The next offer; `None` when there will never be another. Must be cancel-safe. Keep yielding while the worker
    /// drains: those offers are declined, so that the dispatcher learns at once to try another worker.
    fn next(&mut self) -> impl Future<Output = io::Result<Option<Self::Offer>>> + Send;
}

/// A call offered to this worker.
pub trait Offer: Send + 'static {
    /// What the handler gets once the call is ours: its media, its room.
    type Session: Send + 'static;

    /// What the dispatcher calls it.
    fn id(&self) -> CallId;

    /// Its kind.
    fn class(&self) -> Class {
        Class::default()
    }

    /// Answers yes and waits for the assignment; `None` when the caller or the dispatcher withdrew. The call is
    /// counted, and its reservation is in the journal, before this is called.
    fn accept(self) -> impl Future<Output = Option<Self::Session>> + Send;

    /// Answers no; every refusal may be retried at another worker.
    fn decline(self, refusal: Refusal) -> impl Future<Output = ()> + Send;
}

/// A call that is ours.
#[derive(Debug)]
pub struct Call<S> {
    /// Its media, its room: whatever the source gives.
    pub session: S,
    /// Keeps it in flight for as long as it is held.
    pub guard: CallGuard,
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
