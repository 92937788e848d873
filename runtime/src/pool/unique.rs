//! One call per id, for a dispatcher that may offer a call again.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openrtc_core::id::CallId;

/// The ids of the calls in flight.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unique(Arc<Mutex<BTreeSet<CallId>>>);

/// An id that a call in flight has. Dropped, it is free again.
#[derive(Debug)]
pub(crate) struct Taken {
    ids: Unique,
    id: CallId,
}

impl Unique {
    /// Takes an id; `None` if a call in flight has it.
    pub(crate) fn take(&self, id: &CallId) -> Option<Taken> {
        let is_new = self.lock().insert(id.clone());
        is_new.then(|| Taken { ids: self.clone(), id: id.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<CallId>> {
        // A set is whole after every call of its methods.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.ids.lock().remove(&self.id);
    }
}
