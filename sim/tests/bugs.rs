//! Every planted bug must be caught within a bounded number of seeds: a checker that cannot fail is a defect.

use sim::bug::Bug;
use sim::subject::{Level, Subject};
use sim::swarm::{every_core, swarm};

/// No bug may need more seeds than this.
const SEEDS_MAX: u64 = 3_000;

#[test]
fn every_planted_bug_is_caught() {
    assert!(Bug::ALL.len() >= 20, "{} bugs are planted", Bug::ALL.len());
    catch_all(Bug::level);
}

#[test]
fn every_planted_bug_is_caught_at_level_1_too() {
    catch_all(|_| Level::Shell);
}

fn catch_all(level: fn(Bug) -> Level) {
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        let subject = Subject { level: level(*bug), bug: Some(*bug) };
        match swarm(0, SEEDS_MAX, subject, every_core(), |_| {}) {
            Err(found) => println!("{bug:24} {:24} after {:4} seeds", found.violation.invariant, found.tried),
            Ok(_) => missed.push(bug.as_str()),
        }
    }
    assert!(missed.is_empty(), "not caught within {SEEDS_MAX} seeds: {missed:?}");
}
