//! Every planted bug must be caught within a bounded number of seeds: a checker that cannot fail is a defect.

use sim::bug::Bug;
use sim::swarm::swarm;

/// No bug may need more seeds than this.
const SEEDS_MAX: u64 = 3_000;

#[test]
fn every_planted_bug_is_caught() {
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        match swarm(0, SEEDS_MAX, Some(*bug), |_| {}) {
            Err(found) => println!("{bug:24} {:24} after {:4} seeds", found.violation.invariant, found.tried),
            Ok(_) => missed.push(bug.as_str()),
        }
    }
    assert!(Bug::ALL.len() >= 20, "{} bugs are planted", Bug::ALL.len());
    assert!(missed.is_empty(), "not caught within {SEEDS_MAX} seeds: {missed:?}");
}
