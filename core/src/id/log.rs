//! The ids of the calls that a batch of entries begins.

use alloc::string::String;
use alloc::vec::Vec;

use super::{CallId, CallNo};

/// Call ids on their way to a journal, in the order of their calls: in one buffer, which is used again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdLog {
    text: String,
    calls: Vec<(CallNo, u8)>,
}

impl IdLog {
    /// Adds a call's id, which passed the check of [`CallId`].
    ///
    /// # Panics
    /// When the text is longer than [`CallId::LEN_MAX`].
    pub fn push(&mut self, call: CallNo, text: &str) {
        let len = u8::try_from(text.len()).expect("no call id is longer than 255 bytes");
        self.text.push_str(text);
        self.calls.push((call, len));
    }

    /// Adds everything that `other` holds.
    pub fn append(&mut self, other: &Self) {
        self.text.push_str(&other.text);
        self.calls.extend_from_slice(&other.calls);
    }

    /// Forgets everything and keeps the buffer.
    pub fn clear(&mut self) {
        self.text.clear();
        self.calls.clear();
    }

    /// Whether nothing is in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// The calls and their ids, in order.
    pub fn iter(&self) -> impl Iterator<Item = (CallNo, &str)> {
        let mut rest = self.text.as_str();
        self.calls.iter().map(move |(call, len)| {
            let (text, after) = rest.split_at(usize::from(*len));
            rest = after;
            (*call, text)
        })
    }
}

impl<'a> Extend<(CallNo, &'a CallId)> for IdLog {
    fn extend<T: IntoIterator<Item = (CallNo, &'a CallId)>>(&mut self, ids: T) {
        for (call, id) in ids {
            self.push(call, id.as_str());
        }
    }
}
