//! How a worker's state is stored: its fields in an order of their own, so that the code may group them as it likes.

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use super::{Calls, Drain, Life, Limits, Outcome, Tally, Worker};
use crate::time::Instant;
use crate::word::Word;

#[derive(Deserialize)]
pub(super) struct Stored {
    limits: Limits,
    word: Word,
    now: Instant,
    calls: Calls,
    drain: Option<Drain>,
    outcome: Option<Outcome>,
    tally: Tally,
}

impl From<Stored> for Worker {
    fn from(stored: Stored) -> Self {
        let Stored { limits, word, now, calls, drain, outcome, tally } = stored;
        Self { life: Life { limits, word, now, drain, outcome, tally }, calls }
    }
}

impl Serialize for Worker {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { life: Life { limits, word, now, drain, outcome, tally }, calls } = self;
        let mut stored = serializer.serialize_struct("Worker", 7)?;
        stored.serialize_field("limits", limits)?;
        stored.serialize_field("word", word)?;
        stored.serialize_field("now", now)?;
        stored.serialize_field("calls", calls)?;
        stored.serialize_field("drain", drain)?;
        stored.serialize_field("outcome", outcome)?;
        stored.serialize_field("tally", tally)?;
        stored.end()
    }
}
