//! Arbitrary bytes as the choices of a rollout: its calls, its faults, and when each strikes.

use sim::choice::Bytes;
use sim::generate::generate;
use sim::oracle::Verdict;
use sim::run::run;
use sim::subject::{Level, Subject};

/// Plans what the bytes choose and runs it at level 1: nothing may break, and the shell must journal what the machine
/// beside it decides. One in four plans, by its seed, runs at level 0 too, and must come to the same there.
pub fn check(bytes: &[u8]) {
    let (seed, choices) = bytes.split_at(bytes.len().min(8));
    let seed = seed.iter().fold(0, |seed, byte| seed << 8 | u64::from(*byte));
    let plan = generate(&mut Bytes::new(choices), seed);
    let shell = run(&plan, Subject::sound(Level::Shell));
    if let Verdict::Violated(violation) = &shell.verdict {
        panic!("{}: {}\n\n{plan}", violation.invariant, violation.what);
    }
    if seed % 4 != 0 {
        return;
    }
    let machine = run(&plan, Subject::sound(Level::Machine));
    assert_eq!((shell.verdict, shell.digest), (machine.verdict, machine.digest), "the levels differ\n\n{plan}");
}
