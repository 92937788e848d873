//! From a plan to a verdict.

use openrtc_core::time::Instant;

use crate::ledger::Ledger;
use crate::oracle::Verdict;
use crate::plan::Plan;
use crate::subject::Subject;
use crate::world::{StoryLine, World};

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Whether everything held.
    pub verdict: Verdict,
    /// The chained hash over every journal entry.
    pub digest: u64,
    /// Steps taken.
    pub steps: u64,
    /// Journal entries written.
    pub entries: u64,
    /// When it was over.
    pub ended: Instant,
    /// What became of every call.
    pub ledger: Ledger,
    /// What happened, if it was asked for.
    pub story: Vec<StoryLine>,
}

/// Runs a plan to its end.
#[must_use]
pub fn run(plan: &Plan, subject: Subject) -> Outcome {
    conclude(World::new(plan, subject))
}

/// Runs a plan to its end and tells what happened.
#[must_use]
pub fn tell(plan: &Plan, subject: Subject) -> Outcome {
    conclude(World::new(plan, subject).telling())
}

fn conclude(mut world: World<'_>) -> Outcome {
    world.finish_run();
    outcome(&world)
}

/// What a world has come to that has run to its end.
#[must_use]
pub fn outcome(world: &World<'_>) -> Outcome {
    let verdict = match (world.violation(), world.unknown()) {
        (Some(violation), _) => Verdict::Violated(violation.clone()),
        (None, Some(why)) => Verdict::Unknown(why.to_owned()),
        (None, None) => Verdict::Proven,
    };
    Outcome {
        verdict,
        digest: world.digest(),
        steps: world.steps(),
        entries: world.entries(),
        ended: world.now(),
        ledger: world.ledger().clone(),
        story: world.story().to_vec(),
    }
}
