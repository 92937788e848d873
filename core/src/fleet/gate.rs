//! Gates: what is judged before a rollout goes on. The fleet does not judge a gate, it waits for the result.
//!
//! The first share of the new version needs no gate, for there is nothing to judge yet. Every later share does, and so
//! does the first drain of the old version: until then an undo costs nothing. A result is about one step, and counts
//! for no other.

use serde::{Deserialize, Serialize};

use super::decide::Judgement;
use super::step::FLEET;
use super::{Event, Fleet, Misuse, PauseReason, Refused, Repeat, Stage};
use crate::id::{Actor, Version};

/// What is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Gate {
    /// The new version's calls fail no more often than the old one's.
    ErrorRate,
    /// A web service says yes.
    Webhook,
    /// A person says yes, by [`Request::Promote`](super::Request::Promote).
    Person,
}

impl Gate {
    /// Every gate.
    pub const ALL: [Self; 3] = [Self::ErrorRate, Self::Webhook, Self::Person];

    /// The gate as programs write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ErrorRate => "error_rate",
            Self::Webhook => "webhook",
            Self::Person => "person",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Some of the gates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct GateSet(u8);

impl GateSet {
    /// No gate.
    pub const NONE: Self = Self(0);

    /// The same and one more.
    #[must_use]
    pub const fn with(self, gate: Gate) -> Self {
        Self(self.0 | gate.bit())
    }

    const fn without(self, gate: Gate) -> Self {
        Self(self.0 & !gate.bit())
    }

    /// Whether a gate is in it.
    #[must_use]
    pub const fn has(self, gate: Gate) -> bool {
        self.0 & gate.bit() != 0
    }

    /// Whether it has every gate that the other has.
    #[must_use]
    pub const fn has_all(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether there is none in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The gates in it.
    pub fn iter(self) -> impl Iterator<Item = Gate> {
        Gate::ALL.into_iter().filter(move |gate| self.has(*gate))
    }
}

impl FromIterator<Gate> for GateSet {
    fn from_iter<T: IntoIterator<Item = Gate>>(gates: T) -> Self {
        gates.into_iter().fold(Self::NONE, Self::with)
    }
}

impl From<GateSet> for u8 {
    fn from(gates: GateSet) -> Self {
        gates.0
    }
}

impl TryFrom<u8> for GateSet {
    type Error = &'static str;

    fn try_from(bits: u8) -> Result<Self, Self::Error> {
        let all: Self = Gate::ALL.into_iter().collect();
        if all.has_all(Self(bits)) { Ok(Self(bits)) } else { Err("a gate that this build does not know") }
    }
}

/// What happens when a gate fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OnGateFailure {
    /// The rollout pauses.
    #[default]
    Pause,
    /// The rollout is taken back.
    Undo,
}

/// The step that a result is about: a version with a share of new calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GatedStep {
    /// The new version.
    pub version: Version,
    /// Its share when it was judged, per cent.
    pub weight: u8,
}

/// The gates of a fleet's rollouts, and the results on the step that is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gates {
    /// The gates that every step needs.
    pub asked: GateSet,
    /// What happens when one fails.
    pub on_failure: OnGateFailure,
    /// Those that passed for this step.
    pub passed: GateSet,
    /// Those that failed for it.
    pub failed: GateSet,
}

impl Gates {
    pub(super) fn pass(&mut self, gate: Gate) {
        self.passed = self.passed.with(gate);
    }

    pub(super) fn fail(&mut self, gate: Gate) {
        (self.passed, self.failed) = (self.passed.without(gate), self.failed.with(gate));
    }

    /// Another step is reached: it is judged anew.
    pub(super) fn reset(&mut self) {
        (self.passed, self.failed) = (GateSet::NONE, GateSet::NONE);
    }

    /// Whether all that are asked have passed.
    #[must_use]
    pub const fn are_open(&self) -> bool {
        self.passed.has_all(self.asked) && self.failed.is_empty()
    }

    pub(super) const fn is_sound(self) -> bool {
        let judged = GateSet(self.passed.0 | self.failed.0);
        self.asked.has_all(judged) && self.passed.0 & self.failed.0 == 0
    }
}

impl Fleet {
    /// The gates of its rollouts, and the results so far.
    #[must_use]
    pub const fn gates(&self) -> &Gates {
        &self.annex.gates
    }

    /// The step whose gates count now: a new version has a share, and there is an old one to go back to.
    #[must_use]
    pub fn gated_step(&self) -> Option<GatedStep> {
        let goes_on = |stage| matches!(stage, Stage::Shifting | Stage::Draining);
        let rollout = self.rollout.as_ref().filter(|rollout| goes_on(rollout.stage) && rollout.blue.is_some())?;
        let step = GatedStep { version: rollout.green(), weight: self.weight(rollout.green()) };
        (step.weight > 0).then_some(step)
    }

    /// The gates that are waited for.
    #[must_use]
    pub fn gates_awaited(&self) -> GateSet {
        let gates = self.gates();
        let judged = |gate| gates.passed.has(gate) || gates.failed.has(gate);
        if gates.are_open() || self.gated_step().is_none() {
            return GateSet::NONE;
        }
        gates.asked.iter().filter(|gate| !judged(*gate)).collect()
    }

    /// Whether gates hold the next share.
    pub(super) fn is_gated(&self) -> bool {
        !self.gates().are_open() && self.gated_step().is_some()
    }

    /// Whether gates hold the drain of a version.
    pub(super) fn is_held(&self, version: Version) -> bool {
        self.is_gated() && self.rollout.is_some_and(|rollout| rollout.leaving() == Some(version))
    }

    pub(super) fn judge_gates(&self, actor: Actor, asked: GateSet, on_failure: OnGateFailure) -> Judgement {
        if (self.gates().asked, self.gates().on_failure) == (asked, on_failure) {
            return Err(Repeat::GatesNoted.into());
        }
        Ok(Event::GatesSet { actor, asked, on_failure })
    }

    pub(super) fn judge_gate(&self, gate: Gate, step: GatedStep, passed: bool) -> Judgement {
        let gates = self.gates();
        if gate == Gate::Person {
            return Err(Misuse::PersonDecides.into());
        }
        if !gates.asked.has(gate) {
            return Err(Misuse::GateNotAsked.into());
        }
        if self.gated_step() != Some(step) {
            return Err(Refused::OtherStep.into());
        }
        match (passed, gates.passed.has(gate), gates.failed.has(gate)) {
            (true, true, _) | (false, _, true) => Err(Repeat::AlreadyJudged.into()),
            (true, false, true) => Err(Refused::GateFailed.into()),
            (true, false, false) => Ok(Event::GatePassed { gate, step }),
            (false, _, false) => Ok(Event::GateFailed { gate, step }),
        }
    }

    /// A person's yes stands for every gate of the step; a gate that failed wants to be resumed first.
    pub(super) fn judge_promotion(&self, actor: Actor) -> Judgement {
        let step = self.gated_step().filter(|_| !self.gates().are_open()).ok_or(Repeat::NoGateWaits)?;
        if self.gates().failed.is_empty() {
            return Ok(Event::Promoted { actor, step });
        }
        Err(Refused::GateFailed.into())
    }

    /// What the fleet does about a gate that failed.
    pub(super) fn answer_failure(&self) -> Option<Event> {
        if self.gates().failed.is_empty() {
            return None;
        }
        self.undoing().or_else(|| self.may(self.now, Event::Paused { actor: FLEET, reason: PauseReason::GateFailed }))
    }

    /// The undo that a failed gate leads to, if that is wanted and there is something to go back to.
    fn undoing(&self) -> Option<Event> {
        let undoes = self.gates().on_failure == OnGateFailure::Undo;
        self.judge_rollback(FLEET).ok().filter(|_| undoes)
    }

    /// Whether the fleet pauses itself because a gate failed.
    pub(super) fn must_pause_for_gate(&self) -> bool {
        !self.gates().failed.is_empty() && self.undoing().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_is_in_a_set_once_however_often_it_is_put_there() {
        let twice: GateSet = [Gate::Webhook, Gate::Person, Gate::Webhook].into_iter().collect();
        assert!(twice.iter().eq([Gate::Webhook, Gate::Person]));
        let without = twice.without(Gate::Webhook);
        assert_eq!((without.without(Gate::Webhook), without.with(Gate::Webhook)), (without, twice));
        assert!(twice.has_all(without) && !without.has_all(twice) && twice.has_all(GateSet::NONE));
        assert_eq!((GateSet::NONE.is_empty(), without.is_empty()), (true, false));
        assert_eq!(GateSet::try_from(u8::from(twice)), Ok(twice));
        assert!(GateSet::try_from(8).is_err(), "three gates are known");
    }

    #[test]
    fn gates_are_judged_once_each_and_only_those_that_are_asked() {
        let (asked, one) = (GateSet::NONE.with(Gate::Webhook).with(Gate::Person), GateSet::NONE.with(Gate::Webhook));
        let gates = |passed, failed| Gates { asked, passed, failed, ..Gates::default() };
        assert!(gates(one, GateSet::NONE).is_sound() && gates(GateSet::NONE, one).is_sound());
        assert!(!gates(one, one).is_sound(), "it passed and it failed");
        assert!(!gates(GateSet::NONE.with(Gate::ErrorRate), GateSet::NONE).is_sound(), "nobody asked for it");
        assert!(gates(asked, GateSet::NONE).are_open() && !gates(one, GateSet::NONE).are_open());
        assert!(!Gates { failed: one, ..gates(asked, GateSet::NONE) }.are_open());
    }
}
