//! Many small rollouts, each with its own load and faults: all must be proven, and each must do the same twice.

use sim::generate::seeded;
use sim::oracle::Verdict;
use sim::run::run;
use sim::subject::Subject;

#[test]
fn no_seed_breaks_an_invariant() {
    let mut proven = 0;
    for seed in 0..1_000 {
        let plan = seeded(seed);
        let outcome = run(&plan, Subject::default());
        if seed % 20 == 0 {
            assert_eq!(outcome.digest, run(&plan, Subject::default()).digest, "seed {seed} did two different things");
        }
        match outcome.verdict {
            Verdict::Proven => proven += 1,
            Verdict::Unknown(_) => {}
            Verdict::Violated(violation) => panic!("seed {seed}: {} {}", violation.invariant, violation.what),
        }
    }
    assert!(proven > 700, "only {proven} of 1000 rollouts were proven: the others came to no end");
}
