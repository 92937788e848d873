//! Worker states as a journal could hold them, written field by field: also those that no worker gets into.

use openrtc_core::codec;
use openrtc_core::id::CallNo;
use openrtc_core::order::Stamp;
use openrtc_core::time::Instant;
use openrtc_core::word::Word;
use openrtc_core::worker::{Call, Drain, Limits, Outcome, Tally, Worker};
use serde::Serialize;

/// A worker's state in the order it is stored in (`docs/journal-format.md`).
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Forged {
    pub(crate) limits: Limits,
    pub(crate) word: Word,
    pub(crate) now: Instant,
    pub(crate) calls: Vec<(CallNo, Call)>,
    pub(crate) drain: Option<Drain>,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) tally: Tally,
    pub(crate) obeyed: Stamp,
}

impl Forged {
    /// What a worker's state says.
    pub(crate) fn of(worker: &Worker) -> Self {
        Self {
            limits: *worker.limits(),
            word: worker.word(),
            now: worker.now(),
            calls: worker.calls().iter().map(|(number, call)| (number, *call)).collect(),
            drain: worker.drain().copied(),
            outcome: worker.outcome(),
            tally: *worker.tally(),
            obeyed: worker.obeyed(),
        }
    }

    /// The state this is read back as.
    pub(crate) fn worker(&self) -> Worker {
        let mut bytes = Vec::new();
        codec::encode(self, &mut bytes);
        codec::decode::<Worker, { 1 << 20 }>(&bytes).expect("the fields are those of a worker")
    }

    /// The same state after as many entries as `seq` says, none of which changed anything else.
    pub(crate) fn aged(mut self, seq: u64) -> Self {
        self.word = Word::from_bits(self.word.to_bits() - self.word.seq().get() + seq);
        self
    }
}
