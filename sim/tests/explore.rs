//! Every order of events in small worlds: nothing breaks, every planted bug of the worker does, and the count is right.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;
use std::hash::{Hash, Hasher};

use openrtc_core::worker::OnDeadline;
use sim::bug::Bug;
use sim::explore::{Explored, Scope, State, Step, explore};
use stateright::{Checker, Model, Property};

const QUIET: Scope = Scope {
    workers: 2,
    calls: 2,
    capacity: 2,
    offers: 1,
    signals: 1,
    drains: 0,
    on_deadline: OnDeadline::Wait,
    crashes: 0,
    duplicates: 0,
    reorders: 0,
    failures: 0,
};

fn explored(scope: Scope, bug: Option<Bug>) -> Explored {
    explore(&scope, bug, |_| ()).expect("a scope that can be explored")
}

#[test]
fn nothing_breaks_and_the_number_of_states_is_known() {
    for (scope, states) in [
        (QUIET, 4_406),
        (Scope { offers: 2, ..QUIET }, 114_947),
        (Scope { crashes: 1, ..QUIET }, 9_406),
        (Scope { drains: 2, on_deadline: OnDeadline::Force, ..QUIET }, 34_666),
        (Scope { workers: 1, failures: 1, duplicates: 1, reorders: 1, crashes: 1, drains: 1, ..QUIET }, 45_230),
    ] {
        let explored = explored(scope, None);
        assert_eq!(explored.broken, None, "{scope}");
        assert_eq!(explored.states, states, "{scope}");
    }
}

/// The same worlds, searched by somebody else's model checker.
#[test]
fn another_model_checker_counts_the_same_states() {
    struct World(Scope);

    impl Model for World {
        type State = State;
        type Action = Step;

        fn init_states(&self) -> Vec<State> {
            vec![State::new(&self.0, None)]
        }

        fn actions(&self, state: &State, steps: &mut Vec<Step>) {
            state.steps(steps);
        }

        fn next_state(&self, before: &State, step: Step) -> Option<State> {
            let mut after = before.clone();
            after.take(step);
            Some(after)
        }

        fn properties(&self) -> Vec<Property<Self>> {
            vec![Property::always("lawful", |_, state: &State| state.violation().is_none())]
        }
    }

    for scope in [QUIET, Scope { crashes: 1, ..QUIET }, Scope { workers: 1, duplicates: 1, reorders: 1, ..QUIET }] {
        let theirs = World(scope).checker().spawn_bfs().join();
        theirs.assert_properties();
        assert_eq!(theirs.unique_state_count(), explored(scope, None).states, "{scope}");
    }
}

/// States that count as one can do the same next: their successors count as the same too.
#[test]
fn equal_states_behave_alike() {
    let hash = |state: &State| {
        let mut hasher = DefaultHasher::new();
        state.hash(&mut hasher);
        hasher.finish()
    };
    let after = |state: &State| {
        let mut steps = Vec::new();
        state.steps(&mut steps);
        let take = |step| {
            let mut after = state.clone();
            after.take(step);
            after
        };
        steps.into_iter().map(take).collect::<Vec<_>>()
    };
    let scope = Scope { drains: 1, duplicates: 1, reorders: 1, crashes: 1, failures: 1, ..QUIET };
    for scope in [scope, Scope { on_deadline: OnDeadline::Force, workers: 1, ..scope }] {
        let mut known: HashMap<u64, BTreeSet<u64>> = HashMap::new();
        let mut frontier = vec![State::new(&scope, None)];
        let mut compared = 0_u64;
        while let Some(state) = frontier.pop().filter(|_| compared < 50_000) {
            let next = after(&state);
            let successors: BTreeSet<u64> = next.iter().map(hash).collect();
            if let Some(before) = known.get(&hash(&state)) {
                assert_eq!(*before, successors, "{state:?}");
                compared += 1;
                continue;
            }
            known.insert(hash(&state), successors);
            frontier.extend(next);
        }
        assert!(compared > 10_000, "{compared}");
    }
}

#[test]
fn every_planted_bug_of_the_worker_has_a_shortest_way_to_be_seen() {
    let mut told = String::new();
    for bug in Bug::ALL {
        let Ok(scope) = Scope::showing(*bug) else { continue };
        let broken = explored(scope, Some(*bug)).broken.unwrap_or_else(|| panic!("{bug} breaks nothing in {scope}"));
        writeln!(told, "{bug} {} {}", broken.invariant, broken.steps.len()).expect("a string takes all");
        assert!(broken.words.len() >= broken.steps.len(), "{bug}: every step has words");
    }
    assert_eq!(told, SHORTEST);
}

const SHORTEST: &str = "\
counts-from-active S6 DrainedSound 4
yes-while-draining S4 OfferConservation 4
refuses-reserved S4 OfferConservation 6
silent-drain S3 ShiftClosed 1
never-exits L2 DrainedLeaves 3
forced-is-clean S11 AuditFaithful 8
second-signal-kills S1 ZeroDrop 7
signal-kills-calls S1 ZeroDrop 6
signal-swallowed L1 DrainEnds 6
first-end-kills-others S1 ZeroDrop 11
hangup-lost L1 DrainEnds 9
no-timers L4 OverdueAlerts 7
zero-means-now S1 ZeroDrop 6
double-reserve S4 OfferConservation 4
forced-is-hangup S11 AuditFaithful 9
effects-first S11 AuditFaithful 3
exits-unflushed S11 AuditFaithful 1
cancel-stays-closed L5 CancelServes 2
failure-unrecorded L1 DrainEnds 6
over-capacity S5 Capacity 6
";

#[test]
fn scopes_that_cannot_be_explored_are_refused() {
    for (scope, says) in [
        (Scope { workers: 0, ..QUIET }, "0 workers cannot be explored: give 1 to 3"),
        (Scope { calls: 255, ..QUIET }, "255 calls cannot be explored: give 1 to 6"),
        (Scope { capacity: 0, ..QUIET }, "0 calls at a time cannot be explored: give 1 to 6"),
        (Scope { crashes: 4, ..QUIET }, "4 crashes cannot be explored: give 0 to 3"),
    ] {
        assert_eq!(explore(&scope, None, |_| ()).map_err(|error| error.to_string()), Err(says.to_owned()));
    }
}
