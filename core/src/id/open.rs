//! The ids of the calls in flight.

use alloc::collections::BTreeMap;

use super::{CallId, CallNo, IdLog};

/// Tells what calls are called.
pub trait Ids {
    /// The id of a call; `None` if it is not known.
    fn id(&self, call: CallNo) -> Option<CallId>;
}

/// The ids of the calls in flight, beside a machine that knows only their digests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenIds(BTreeMap<CallNo, CallId>);

impl OpenIds {
    /// The id of a call.
    #[must_use]
    pub fn get(&self, call: CallNo) -> Option<&CallId> {
        self.0.get(&call)
    }

    /// Every call and its id, by number.
    pub fn iter(&self) -> impl Iterator<Item = (CallNo, &CallId)> {
        self.0.iter().map(|(call, id)| (*call, id))
    }

    /// Notes what a call is called.
    pub fn insert(&mut self, call: CallNo, id: CallId) {
        self.0.insert(call, id);
    }

    /// Forgets a call that is over.
    pub fn remove(&mut self, call: CallNo) -> Option<CallId> {
        self.0.remove(&call)
    }

    /// Keeps the ids of calls for which `keep` is true.
    pub fn retain(&mut self, keep: impl Fn(CallNo) -> bool) {
        self.0.retain(|call, _| keep(*call));
    }

    /// Notes what a batch says. Text that is not an id is left out: the batch was checked where it was made.
    pub fn learn(&mut self, log: &IdLog) {
        self.0.extend(log.iter().filter_map(|(call, text)| Some((call, CallId::new(text).ok()?))));
    }
}

impl Ids for OpenIds {
    fn id(&self, call: CallNo) -> Option<CallId> {
        self.get(call).cloned()
    }
}

impl Extend<(CallNo, CallId)> for OpenIds {
    fn extend<T: IntoIterator<Item = (CallNo, CallId)>>(&mut self, ids: T) {
        self.0.extend(ids);
    }
}

impl FromIterator<(CallNo, CallId)> for OpenIds {
    fn from_iter<T: IntoIterator<Item = (CallNo, CallId)>>(ids: T) -> Self {
        Self(ids.into_iter().collect())
    }
}
