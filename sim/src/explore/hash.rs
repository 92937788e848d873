//! 128 bits of what of a state matters from there on.

use core::hash::{BuildHasherDefault, Hash, Hasher};

use openrtc_core::time::Instant;
use openrtc_core::worker::Drain;

use super::Scope;
use super::node::Node;
use super::state::{Caller, Fate, Line, State};
use crate::choice::mix;
use crate::process::{Process, Promise, Stage};

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
        let Scope { signals, drains, crashes, duplicates, reorders, failures, .. } = self.context.left;
        (signals, drains, crashes, duplicates, reorders, failures).hash(hasher);
        self.nodes.iter().for_each(|node| node.hash(hasher));
        // Calls are alike, so only how many are where counts.
        let calls = (0..self.context.calls.len()).map(Caller::at);
        let mut calls: Vec<_> = calls.map(|call| fingerprint(&OfCall(self, call))).collect();
        calls.sort_unstable();
        calls.hash(hasher);
        self.violation().is_some().hash(hasher);
    }
}

/// Everything about one call that still matters.
struct OfCall<'a>(&'a State, Caller);

impl Hash for OfCall<'_> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Self(state, call) = *self;
        let Line { fate, worker, round, assigned } = state.context.calls[call];
        match fate {
            Fate::Silent => fate.hash(hasher),
            Fate::Waiting => (fate, round).hash(hasher),
            Fate::Placing => (fate, worker, round, assigned).hash(hasher),
            Fate::Talking => (fate, worker, round).hash(hasher),
            // Over is over, however it ended.
            _ => Fate::Completed.hash(hasher),
        }
        for message in state.context.net.iter().filter(|message| message.call == call) {
            (message.worker, message.round, message.say, message.is_late).hash(hasher);
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
        let Self { process, pending } = self;
        (process.is_up(), pending.is_open, pending.news).hash(hasher);
        if !process.is_up() {
            return;
        }
        let flags = [process.is_doomed, pending.is_flushing, process.has_flushed(), pending.is_cutting];
        (flags, process.cut, process.announced).hash(hasher);
        let machine = &process.machine;
        (machine.phase(), machine.drain().map(|drain| relative(drain, machine.now()))).hash(hasher);
        (machine.calls().len(), machine.calls().reserved()).hash(hasher);
    }
}

impl Node {
    fn hash_call<H: Hasher>(&self, call: Caller, hasher: &mut H) {
        let Process { machine, promises, .. } = &self.process;
        let mut reserved = 0_u8;
        for (offer, Promise { number, stage }) in promises.held() {
            // Which of those as old lapses first is told by their order; who was assigned when no longer matters.
            let held = machine.calls().get(number).filter(|held| !held.active);
            let age = held.map(|held| (machine.now().since(held.since), reserved));
            reserved += u8::from(age.is_some());
            if offer.call == call {
                (offer.round, stage == Stage::Active, age).hash(hasher);
            }
        }
        END.hash(hasher);
        for (offer, promise) in promises.answered().filter(|(offer, _)| offer.call == call) {
            (offer.round, promise.stage == Stage::Over).hash(hasher);
        }
    }
}

/// A drain with its times counted from now.
fn relative(drain: &Drain, now: Instant) -> impl Hash {
    let from_now = |at: Instant| (at.since(now), now.since(at));
    let forced = drain.forced.map(|forced| (forced.live, from_now(forced.until)));
    (
        drain.cause as u8,
        [drain.terms.deadline, drain.terms.alert_at, drain.terms.force_at].map(|at| at.map(from_now)),
        forced,
        drain.overdue,
        drain.sealed,
    )
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

    fn write_u32(&mut self, value: u32) {
        self.write_u64(value.into());
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    /// Which variant a value is.
    fn write_isize(&mut self, value: isize) {
        self.write_u64(value.cast_unsigned() as u64);
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
