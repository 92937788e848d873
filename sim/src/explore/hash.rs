//! 128 bits of what of a state matters from there on.

use core::hash::{BuildHasherDefault, Hash, Hasher};

use openrtc_core::time::Instant;
use openrtc_core::worker::Drain;

use super::Scope;
use super::model::narrow;
use super::state::{Fate, Line, Node, State};
use crate::choice::mix;

/// Where one list ends and the next begins: no list holds it.
const END: u8 = u8::MAX;

/// What is kept of a visited state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fingerprint(u64, u64);

/// A fingerprint is a hash already.
pub(super) type AsIs = BuildHasherDefault<Half>;

/// Takes the half of a fingerprint for its hash.
#[derive(Default)]
pub(super) struct Half(u64);

pub(super) fn fingerprint(state: &impl Hash) -> Fingerprint {
    let mut both = Both(0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344);
    state.hash(&mut both);
    Fingerprint(mix(both.0), mix(both.1))
}

impl Hash for Fingerprint {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.0);
    }
}

impl Hasher for Half {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 ^= value;
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Scope { signals, drains, crashes, duplicates, reorders, failures, .. } = self.left;
        (signals, drains, crashes, duplicates, reorders, failures).hash(hasher);
        self.nodes.iter().for_each(|node| node.hash(hasher));
        // Calls are alike, so only how many are where counts.
        let mut calls: Vec<_> = (0..narrow(self.calls.len())).map(|call| fingerprint(&OfCall(self, call))).collect();
        calls.sort_unstable();
        calls.hash(hasher);
        self.violation.is_some().hash(hasher);
    }
}

/// Everything about one call that still matters.
struct OfCall<'a>(&'a State, u8);

impl Hash for OfCall<'_> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Self(state, call) = *self;
        let Line { fate, worker, offer, assigned } = state.calls[usize::from(call)];
        match fate {
            Fate::Silent => fate.hash(hasher),
            Fate::Waiting => (fate, offer).hash(hasher),
            Fate::Placing => (fate, worker, offer, assigned).hash(hasher),
            Fate::Talking => (fate, worker, offer).hash(hasher),
            // Over is over, however it ended.
            _ => Fate::Completed.hash(hasher),
        }
        for message in state.net.iter().filter(|message| message.call == call) {
            (message.worker, message.offer, message.say, message.is_late).hash(hasher);
        }
        for node in &state.nodes {
            END.hash(hasher);
            node.hash_call(call, hasher);
        }
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        fingerprint(self) == fingerprint(other)
    }
}

impl Eq for State {}

impl Hash for Node {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (self.is_up, self.is_open, self.news).hash(hasher);
        if !self.is_up {
            return;
        }
        let flags = [self.is_doomed, self.is_flushing, self.is_flushed, self.is_cutting];
        (flags, self.cut, self.announced).hash(hasher);
        let machine = &self.machine;
        (machine.phase(), machine.drain().map(|drain| relative(drain, machine.now()))).hash(hasher);
        (machine.calls().len(), machine.calls().reserved()).hash(hasher);
    }
}

impl Node {
    fn hash_call<H: Hasher>(&self, call: u8, hasher: &mut H) {
        let now = self.machine.now();
        let (mut reserved, held) = (0_u8, self.machine.calls());
        for promise in &self.promises {
            // Which of those as old lapses first is told by their order; who was assigned when no longer matters.
            let age =
                held.get(promise.number).filter(|held| !held.active).map(|held| (now.since(held.since), reserved));
            reserved += u8::from(age.is_some());
            if promise.call == call {
                (promise.offer, promise.active, age).hash(hasher);
            }
        }
        END.hash(hasher);
        for answered in self.answered.iter().filter(|answered| answered.call == call) {
            (answered.offer, answered.yes).hash(hasher);
        }
    }
}

/// A drain with its times counted from now.
fn relative(drain: &Drain, now: Instant) -> impl Hash {
    let from_now = |at: Instant| (at.since(now), now.since(at));
    let forced = drain.forced.map(|forced| (forced.live, from_now(forced.until)));
    (drain.cause as u8, drain.deadline.map(from_now), forced, drain.overdue, drain.sealed)
}

/// Two hashes that have nothing to do with each other.
struct Both(u64, u64);

impl Hasher for Both {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(value.into());
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = fold(self.0 ^ value, 0x9e37_79b9_7f4a_7c15);
        self.1 = fold(self.1 ^ value, 0xd6e8_feb8_6659_fd93);
    }
}

/// Both halves of a product, one over the other.
#[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
const fn fold(a: u64, b: u64) -> u64 {
    let product = (a as u128) * (b as u128);
    (product as u64) ^ ((product >> 64) as u64)
}
