//! What is handed to a journal at once.

use alloc::vec::Vec;
use core::fmt;

use super::Journaled;
use crate::id::IdLog;
use crate::machine::Entry;

/// Entries on their way to the journal, and the ids of the calls that they begin.
pub struct Batch<M: Journaled> {
    /// The entries, in order.
    pub entries: Vec<Entry<M::Event>>,
    /// The ids, in the order of the entries.
    pub ids: IdLog,
}

impl<M: Journaled> Batch<M> {
    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.ids.clear();
    }

    /// Makes it the same as `other`, in the memory that it has.
    pub fn copy_from(&mut self, other: &Self) {
        self.clear();
        self.entries.extend_from_slice(&other.entries);
        self.ids.append(&other.ids);
    }
}

impl<M: Journaled> Default for Batch<M> {
    fn default() -> Self {
        Self { entries: Vec::new(), ids: IdLog::default() }
    }
}

impl<M: Journaled> Clone for Batch<M> {
    fn clone(&self) -> Self {
        Self { entries: self.entries.clone(), ids: self.ids.clone() }
    }
}

impl<M: Journaled> fmt::Debug for Batch<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("entries", &self.entries).field("ids", &self.ids).finish()
    }
}
