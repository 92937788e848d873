//! What a process answered to an offer, and where it keeps that.

use core::fmt;

use openrtc_core::id::CallNo;

/// What a process knows of one offer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Promise {
    /// The machine's number of the call, once it is reserved.
    pub(crate) number: CallNo,
    pub(crate) stage: Stage,
}

/// How far an offer has come, on the worker's side of the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The process has not answered it.
    #[default]
    Offered,
    /// It was answered with no.
    Declined,
    /// It was answered with yes.
    Reserved,
    /// The call runs.
    Active,
    /// It was answered with yes, and is no longer held.
    Over,
}

impl Stage {
    /// Whether the process owes the call an end.
    pub(crate) const fn is_held(self) -> bool {
        matches!(self, Self::Reserved | Self::Active)
    }
}

/// Where a process keeps its promises. What is best depends on how many there are, and on what must be small.
pub(crate) trait Promises: Clone + fmt::Debug + Default {
    /// What tells one offer from another.
    type Offer: Copy;

    /// What is known of an offer; of one never heard of, that it is offered.
    fn get(&self, offer: Self::Offer) -> Promise;

    /// Notes what is known of an offer now.
    fn set(&mut self, offer: Self::Offer, promise: Promise);

    /// The offer that this call began with.
    fn offer_of(&self, number: CallNo) -> Option<Self::Offer>;
}
