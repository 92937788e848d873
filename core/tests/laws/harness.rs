//! Draws scripts, plays them, and demands that they reached everything.

use std::cell::RefCell;
use std::collections::BTreeSet;

use openrtc_core::time::Span;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

use crate::history::History;
use crate::subject::{Entry, Subject};

const STEPS_MAX: usize = 60;

/// When a step happens, seen from the step before it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// At the same instant.
    AtOnce,
    /// The clock steps back.
    Back(Span),
    /// A microsecond before the deadline; at once if there is none ahead.
    BeforeDeadline,
    /// So much later.
    Later(Span),
    /// At the deadline; at once if there is none ahead.
    OnDeadline,
    /// At the same instant, after a restart from what was stored.
    Restart,
}

/// Plays `cases` scripts of one machine through every law. The seed is fixed, so that a run is the same everywhere and
/// a failure is a change in the code; other seeds are the fuzzer's.
pub(crate) fn check<S: Subject>(cases: u32) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let reached = RefCell::new(BTreeSet::new());
    let script = (S::starts(), vec((pace(), S::steps(), S::strays()), 1..STEPS_MAX));
    let verdict = runner.run(&script, |(start, steps)| play::<S>(&start, &steps, &reached));
    match verdict {
        Ok(()) => {}
        Err(TestError::Fail(law, script)) => panic!("{law}\nthe shortest script found: {script:#?}"),
        Err(TestError::Abort(reason)) => panic!("no scripts: {reason}"),
    }
    let reached = reached.into_inner();
    let missed: Vec<_> = S::everything().into_iter().filter(|name| !reached.contains(name)).collect();
    assert!(missed.is_empty(), "no script reached: {missed:?}");
}

fn play<S: Subject>(
    start: &S::Machine,
    steps: &[(Pace, S::Step, Entry<S>)],
    reached: &RefCell<BTreeSet<&'static str>>,
) -> Result<(), TestCaseError> {
    let mut history = History::<S>::new(start.clone());
    for (pace, step, stray) in steps {
        history.stands(stray)?;
        history.step(*pace, step)?;
    }
    history.folds_to_the_live_state()?;
    history.owes_what_any_crash_lost()?;
    reached.borrow_mut().extend(history.reached());
    Ok(())
}

fn pace() -> impl Strategy<Value = Pace> {
    prop_oneof![
        6 => Just(Pace::AtOnce),
        1 => (1..5_000_000_u64).prop_map(|micros| Pace::Back(Span::from_micros(micros))),
        1 => Just(Pace::BeforeDeadline),
        6 => (1..3_000_000_u64).prop_map(|micros| Pace::Later(Span::from_micros(micros))),
        1 => (3_600..36_000_u64).prop_map(|secs| Pace::Later(Span::from_secs(secs))),
        3 => Just(Pace::OnDeadline),
        1 => Just(Pace::Restart),
    ]
}
