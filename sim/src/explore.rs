//! Every order of events in a small world: breadth first, so the first violation found has a shortest trace.
//!
//! A *scope* says how large the world is: so many workers and calls, and how often each fault may strike. From the
//! initial [`State`] every step that can be taken is taken; states that behave alike from there on are visited once.
//! Time is abstract: whatever can happen next may, only a worker's own time-outs keep their order.
//!
//! The visited set keeps 128 bits of each state. Two states that agree in them would be taken for one: with 10⁸ states
//! the odds of a single such pair are below 10⁻²².

mod check;
mod hash;
mod model;
mod node;
mod scope;
mod state;

use std::collections::HashSet;

use self::hash::{Fingerprint, fingerprint};
pub use self::scope::{BadScope, Scope};
pub use self::state::{Caller, Letter, Slot, State, Step};
use crate::bug::Bug;
use crate::oracle::Invariant;

/// What an exploration came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explored {
    /// Different states reached.
    pub states: usize,
    /// Steps taken, those to states already known included.
    pub transitions: u64,
    /// The most steps that any state is away from the first.
    pub depth: usize,
    /// A shortest way to break an invariant, if there is one.
    pub broken: Option<Counterexample>,
}

/// A shortest way to break an invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    /// Which invariant.
    pub invariant: Invariant,
    /// What is wrong in the end, in words.
    pub what: String,
    /// What was done, in order.
    pub steps: Vec<Step>,
    /// The same in words, a line for whatever happened.
    pub words: Vec<String>,
}

/// How a visited state was reached first.
#[derive(Clone, Copy)]
struct Reached {
    from: u32,
    step: Step,
}

/// Explores a scope to its end or to the first violation. `each` hears now and then how far it has come.
pub fn explore(scope: &Scope, bug: Option<Bug>, mut each: impl FnMut(&Explored)) -> Result<Explored, BadScope> {
    scope.check()?;
    let first = State::new(scope, bug);
    let mut explored = Explored { states: 1, ..Explored::default() };
    let mut known: HashSet<Fingerprint, hash::AsIs> = HashSet::default();
    known.insert(fingerprint(&first));
    let mut reached = vec![Reached { from: 0, step: Step::Ring }];
    let mut frontier = vec![(0_u32, first)];
    let mut steps = Vec::new();
    while !frontier.is_empty() {
        let mut next = Vec::new();
        for (index, state) in frontier {
            explored.states = reached.len();
            each(&explored);
            steps.clear();
            state.steps(&mut steps);
            for step in &steps {
                explored.transitions += 1;
                let mut after = state.clone();
                after.take(*step);
                if after.violation().is_some() {
                    reached.push(Reached { from: index, step: *step });
                    explored.depth += 1;
                    explored.broken = Some(counterexample(scope, bug, &trace(&reached)));
                    return Ok(explored);
                }
                if known.insert(fingerprint(&after)) {
                    let fresh = u32::try_from(reached.len()).expect("the states of a scope fit 32 bits");
                    reached.push(Reached { from: index, step: *step });
                    next.push((fresh, after));
                }
            }
        }
        explored.depth += usize::from(!next.is_empty());
        frontier = next;
    }
    explored.states = reached.len();
    Ok(explored)
}

/// The steps to the state reached last.
fn trace(reached: &[Reached]) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut at = reached.len() - 1;
    while at > 0 {
        steps.push(reached[at].step);
        at = reached[at].from as usize;
    }
    steps.reverse();
    steps
}

/// Takes the steps once more and tells what happens.
fn counterexample(scope: &Scope, bug: Option<Bug>, steps: &[Step]) -> Counterexample {
    let mut state = State::new(scope, bug).telling();
    for step in steps {
        state.take(*step);
    }
    let (invariant, what) = state.violation().cloned().expect("the same steps break the same invariant");
    Counterexample { invariant, what, steps: steps.to_vec(), words: state.told().to_vec() }
}
