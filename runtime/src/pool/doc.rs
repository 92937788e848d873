//! What documentation examples stand on.

use std::convert::Infallible;

use openrtc_core::id::CallId;
use openrtc_core::word::Refusal;

use super::source::{CallSource, Offer};
use super::view::WorkerView;

/// A source that never offers a call.
#[derive(Debug)]
pub struct Nothing;

impl CallSource for Nothing {
    type Offer = Never;
    type Error = Infallible;
    type Reporter = ();

    fn attach(&mut self, _: WorkerView) {}

    async fn next(&mut self) -> Result<Option<Never>, Infallible> {
        Ok(None)
    }
}

/// An offer that cannot be.
#[derive(Debug)]
pub struct Never(Infallible);

impl Offer for Never {
    type Session = Infallible;

    fn id(&self) -> CallId {
        match self.0 {}
    }

    async fn accept(self) -> Option<Infallible> {
        match self.0 {}
    }

    async fn decline(self, _: Refusal) {
        match self.0 {}
    }
}
