//! How a worker's state is stored: its fields in an order of their own, so that the code may group them as it likes.

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use super::{Calls, Drain, Life, Limits, Outcome, Tally, Worker};
use crate::order::Stamp;
use crate::time::Instant;
use crate::word::Word;

#[derive(Deserialize)]
pub(crate) struct Stored {
    pub(crate) limits: Limits,
    pub(crate) word: Word,
    pub(crate) now: Instant,
    pub(crate) calls: Calls,
    pub(crate) drain: Option<Drain>,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) tally: Tally,
    pub(crate) obeyed: Stamp,
}

impl From<Stored> for Worker {
    fn from(stored: Stored) -> Self {
        let Stored { limits, word, now, calls, drain, outcome, tally, obeyed } = stored;
        Self { life: Life { limits, word, now, drain, outcome, tally, obeyed }, calls }
    }
}

impl Serialize for Worker {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { life: Life { limits, word, now, drain, outcome, tally, obeyed }, calls } = self;
        let mut stored = serializer.serialize_struct("Worker", 8)?;
        stored.serialize_field("limits", limits)?;
        stored.serialize_field("word", word)?;
        stored.serialize_field("now", now)?;
        stored.serialize_field("calls", calls)?;
        stored.serialize_field("drain", drain)?;
        stored.serialize_field("outcome", outcome)?;
        stored.serialize_field("tally", tally)?;
        stored.serialize_field("obeyed", obeyed)?;
        stored.end()
    }
}
