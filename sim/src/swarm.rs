//! Many rollouts, a seed each.

use crate::generate::seeded;
use crate::oracle::{Verdict, Violation};
use crate::run::run;
use crate::subject::Subject;

/// What a swarm came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rollouts run.
    pub runs: u64,
    /// Those in which everything held and ended.
    pub proven: u64,
    /// Those in which nothing broke, but something cannot be known or waits for a person.
    pub unknown: u64,
    /// World steps taken.
    pub steps: u64,
    /// Calls offered.
    pub calls: u64,
    /// Calls dropped, every one by a recorded force or by the platform.
    pub dropped: u64,
    /// The digests of all runs, chained.
    pub digest: u64,
}

/// A seed that broke something, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The seed.
    pub seed: u64,
    /// How many seeds were tried, this one included.
    pub tried: u64,
    /// What it broke.
    pub violation: Violation,
}

/// Runs `count` seeds from `first`; stops at the first that breaks an invariant. `each` hears of every one.
pub fn swarm(first: u64, count: u64, subject: Subject, mut each: impl FnMut(&Tally)) -> Result<Tally, Box<Found>> {
    let mut tally = Tally::default();
    for seed in (0..count).map(|offset| first.wrapping_add(offset)) {
        let plan = seeded(seed);
        let outcome = run(&plan, subject);
        tally.runs += 1;
        tally.steps += outcome.steps;
        tally.calls += plan.calls.len() as u64;
        tally.dropped += outcome.ledger.dropped();
        tally.digest = crate::choice::mix(tally.digest ^ outcome.digest);
        match outcome.verdict {
            Verdict::Proven => tally.proven += 1,
            Verdict::Unknown(_) => tally.unknown += 1,
            Verdict::Violated(violation) => return Err(Box::new(Found { seed, tried: tally.runs, violation })),
        }
        each(&tally);
    }
    Ok(tally)
}
