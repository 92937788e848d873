//! The records of a run: what became of every call, how many each worker has, and one digest of all journals.

use crate::choice::mix;
use crate::id::WorkerIndex;
use crate::ledger::Ledger;
use crate::plan::Plan;

/// The records of a run.
#[derive(Debug)]
pub(super) struct Books {
    pub(super) ledger: Ledger,
    /// How many calls each worker has, as those see it who place them.
    pub(super) load: Vec<u32>,
    /// The chained hash over every journal entry.
    pub(super) digest: u64,
    /// How many entries were journaled.
    pub(super) entries: u64,
    bytes: Vec<u8>,
}

impl Books {
    pub(super) fn new(plan: &Plan) -> Self {
        let load = plan.every_worker().map(|_| 0).collect();
        Self { ledger: Ledger::new(plan), load, digest: mix(plan.seed), entries: 0, bytes: Vec::new() }
    }

    /// A worker has one call fewer.
    pub(super) fn unload(&mut self, worker: WorkerIndex) {
        self.load[worker] = self.load[worker].saturating_sub(1);
    }

    /// Chains an entry, as the bytes that `write` appends, into the digest. `salt` tells one journal from another.
    pub(super) fn chain(&mut self, salt: u64, write: impl FnOnce(&mut Vec<u8>)) {
        self.bytes.clear();
        write(&mut self.bytes);
        self.entries += 1;
        let mut digest = mix(self.digest ^ salt);
        let (chunks, rest) = self.bytes.as_chunks::<8>();
        for chunk in chunks {
            digest = (digest ^ u64::from_le_bytes(*chunk)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        }
        for byte in rest {
            digest = (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.digest = mix(digest);
    }
}
