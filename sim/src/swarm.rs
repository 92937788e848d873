//! Many seeds: each a rollout with its own load and faults, every one checked, on as many threads as there are cores.

use std::num::NonZero;
use std::sync::mpsc::sync_channel;
use std::thread;

use crate::generate::seeded;
use crate::oracle::{Verdict, Violation};
use crate::run::run;
use crate::subject::Subject;

/// How many rollouts a thread may be ahead of the others.
const AHEAD: usize = 4_096;

/// What a swarm came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rollouts run.
    pub runs: u64,
    /// Those in which everything held and ended, and no call was dropped.
    pub proven: u64,
    /// Those in which everything held and ended, and calls were dropped.
    pub with_drops: u64,
    /// Those in which nothing broke, but something cannot be known or waits for a person.
    pub unknown: u64,
    /// World steps taken.
    pub steps: u64,
    /// Calls offered.
    pub calls: u64,
    /// Calls that were dropped, over all rollouts. Each was dropped by a recorded force or by the platform.
    pub dropped: u64,
    /// The digests of all runs, chained in the order of their seeds.
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

/// As many threads as this process may use cores.
#[must_use]
pub fn every_core() -> NonZero<usize> {
    thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN)
}

/// Runs `count` seeds from `first` on so many threads; stops at the lowest that breaks an invariant. `each` hears of
/// every seed, in order.
///
/// Of n threads, thread t runs the seeds t, t + n, t + 2 n and so on. What they find is put together in the order of
/// the seeds, so the result does not depend on the number of threads.
pub fn swarm(
    first: u64,
    count: u64,
    subject: Subject,
    threads: NonZero<usize>,
    mut each: impl FnMut(&Tally),
) -> Result<Tally, Box<Found>> {
    let seeds = || (0..count).map(|offset| first.wrapping_add(offset));
    let threads = threads.get();
    thread::scope(|scope| {
        let lanes: Vec<_> = (0..threads)
            .map(|lane| {
                let (tell, told) = sync_channel(AHEAD);
                scope.spawn(move || {
                    // Who listens stops at the first failure, and then nobody takes what is told.
                    seeds()
                        .skip(lane)
                        .step_by(threads)
                        .map(|seed| Brief::of(seed, subject))
                        .try_for_each(|brief| tell.send(brief))
                });
                told
            })
            .collect();
        let mut tally = Tally::default();
        for (seed, lane) in seeds().zip(lanes.iter().cycle()) {
            tally.add(seed, lane.recv().expect("a thread that panics brings the swarm down"))?;
            each(&tally);
        }
        Ok(tally)
    })
}

/// What the swarm keeps of a run.
struct Brief {
    verdict: Verdict,
    digest: u64,
    steps: u64,
    calls: u64,
    dropped: u64,
}

impl Brief {
    fn of(seed: u64, subject: Subject) -> Self {
        let plan = seeded(seed);
        let outcome = run(&plan, subject);
        Self {
            verdict: outcome.verdict,
            digest: outcome.digest,
            steps: outcome.steps,
            calls: plan.calls.len() as u64,
            dropped: outcome.ledger.dropped(),
        }
    }
}

impl Tally {
    fn add(&mut self, seed: u64, brief: Brief) -> Result<(), Box<Found>> {
        self.runs += 1;
        self.steps += brief.steps;
        self.calls += brief.calls;
        self.dropped += brief.dropped;
        self.digest = crate::choice::mix(self.digest ^ brief.digest);
        match brief.verdict {
            Verdict::Proven if brief.dropped == 0 => self.proven += 1,
            Verdict::Proven => self.with_drops += 1,
            Verdict::Unknown(_) => self.unknown += 1,
            Verdict::Violated(violation) => return Err(Box::new(Found { seed, tried: self.runs, violation })),
        }
        Ok(())
    }
}
