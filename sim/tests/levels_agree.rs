//! Two levels over one tape: the machines alone, and the runtime's gate and shell around them, do the same.

use sim::generate::seeded;
use sim::plan::Plan;
use sim::run::run;
use sim::scenario;
use sim::subject::{Level, Subject};

fn compare(name: &str, plan: &Plan) {
    let [machine, shell] = [Level::Machine, Level::Shell].map(|level| run(plan, Subject::sound(level)));
    assert_eq!(shell.verdict, machine.verdict, "{name}");
    assert_eq!((shell.entries, shell.digest), (machine.entries, machine.digest), "{name}: the journals differ");
    assert_eq!(shell.ended, machine.ended, "{name}");
    for call in plan.every_call() {
        assert_eq!(shell.ledger.line(call), machine.ledger.line(call), "{name}: call {call}");
    }
}

#[test]
fn every_scenario_gives_the_same_journals_at_both_levels() {
    for (name, text) in scenario::ALL {
        compare(name, &text.parse().expect("every scenario reads"));
    }
}

#[test]
fn any_seed_gives_the_same_journals_at_both_levels() {
    for seed in 0..500 {
        compare(&format!("seed {seed}"), &seeded(seed));
    }
}
