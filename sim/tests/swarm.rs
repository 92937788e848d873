//! Many small rollouts, each with its own load and faults: all must be proven, and each must do the same twice.

use std::num::NonZero;

use sim::bug::Bug;
use sim::generate::seeded;
use sim::oracle::Verdict;
use sim::run::run;
use sim::subject::Subject;
use sim::swarm::swarm;

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

/// The same rollouts are counted in the same order, and the lowest seed that fails is the one that is told.
#[test]
fn a_swarm_comes_to_the_same_on_any_number_of_threads() {
    let outcome = |subject, threads| {
        let (mut heard, threads) = (Vec::new(), NonZero::new(threads).expect("a thread"));
        let outcome = swarm(150, 150, subject, threads, |tally| heard.push((tally.runs, tally.digest)));
        (outcome, heard)
    };
    let (sound, heard) = outcome(Subject::default(), 1);
    assert_eq!((sound.as_ref().map(|tally| tally.runs), heard.len()), (Ok(150), 150));
    let (broken, before) = outcome(Subject::with(Bug::AnyIncarnation), 1);
    let found = broken.as_ref().expect_err("a seed that fails");
    assert_eq!((found.seed, found.tried), (150 + before.len() as u64, 1 + before.len() as u64));
    assert!(before.len() > 20, "several rollouts pass first");
    for threads in [2, 3, 7, 200] {
        assert_eq!(outcome(Subject::default(), threads), (sound.clone(), heard.clone()), "{threads} threads");
        assert_eq!(outcome(Subject::with(Bug::AnyIncarnation), threads), (broken.clone(), before.clone()));
    }
}
