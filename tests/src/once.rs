//! A call source for workers of which one call is enough.

use std::convert::Infallible;
use std::future::pending;

use openrtc_core::id::CallId;
use openrtc_core::word::Refusal;
use openrtc_runtime::{CallSource, Offer, WorkerView};

/// Offers one call, at once.
pub struct Once(Option<Only>);

/// The one offer.
pub struct Only(CallId);

impl Once {
    /// Offers the call `id`.
    pub const fn new(id: &'static str) -> Self {
        Self(Some(Only(CallId::from_static(id))))
    }
}

impl CallSource for Once {
    type Offer = Only;
    type Error = Infallible;
    type Reporter = ();

    fn attach(&mut self, _: WorkerView) {}

    async fn next(&mut self) -> Result<Option<Only>, Infallible> {
        match self.0.take() {
            Some(only) => Ok(Some(only)),
            None => pending().await,
        }
    }
}

impl Offer for Only {
    type Session = ();

    fn id(&self) -> CallId {
        self.0.clone()
    }

    async fn accept(self) -> Option<()> {
        Some(())
    }

    async fn decline(self, _: Refusal) {}
}
