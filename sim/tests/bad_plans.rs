//! Plans that a person or a stranger got wrong: each is refused with the line and what would be right.

use sim::plan::Plan;

#[test]
fn every_bad_plan_is_refused_by_name() {
    for (text, expected) in [
        ("", "the text is empty"),
        ("seed 1\n", "line 1: a plan starts with the line `sim-plan 1`"),
        ("# x\nsim-plan 2\n", "line 2: this is a plan of version 2"),
        ("sim-plan 1\nseed 18446744073709551616\n", "line 2: `18446744073709551616` is not a whole number"),
        ("sim-plan 1\nload 99999999999 from 0s over 1s lasting 1s..2s\n", "line 2: 99999999999 is too many"),
        ("sim-plan 1\nworkers blue 4000000000 green 1 capacity 1\n", "line 2: 4000000000 is too many"),
        ("sim-plan 1\nworkers blue 0 green 1 capacity 1\n", "must be 1 or more"),
        ("sim-plan 1\ncall 99999999h for 1s\n", "line 2: `99999999h` is not a time"),
        ("sim-plan 1\ncall 1s for 18446744073709551615s\n", "is not a time"),
        ("sim-plan 1\nat 1s sigterm red-0\n", "line 2: there is no worker `red-0`"),
        ("sim-plan 1\nat 1s sigterm blue-2\n", "there is no worker `blue-2`: use blue-0 to blue-1"),
        ("sim-plan 1\nat 1s explode\n", "`explode` is nothing that can happen"),
        ("sim-plan 1\ndrain force\n", "line 2: `drain` begins no known line"),
        ("sim-plan 1\ndrain force 0s\n", "needs a time above 0"),
        ("sim-plan 1\ncallers patience 5s redial 101\n", "line 2: 101 is too many"),
        ("sim-plan 1\nlatency 5ms..1ms\n", "ends before it begins"),
        ("sim-plan 1\nmessage assign of 3 lost\n", "there are only 0 calls"),
        ("sim-plan 1\ncatches no-such-bug S1\n", "there is no planted bug `no-such-bug`"),
        ("sim-plan 1\ncatches never-exits S99\n", "there is no invariant `S99`"),
        ("sim-plan 1\n\u{0}\u{fffd}\n", "begins no known line"),
    ] {
        let bad = text.parse::<Plan>().expect_err(text).to_string();
        assert!(bad.contains(expected), "{text:?} gives `{bad}`, expected `{expected}`");
    }
}
