//! The picture in the documentation is what the simulator draws.

use sim::plan::Plan;
use sim::scenario;
use sim::subject::Subject;
use sim::timeline;

#[test]
fn the_picture_checked_in_is_the_walkthroughs_byte_for_byte() {
    let plan: Plan = scenario::find("walkthrough").expect("it is in the library").parse().expect("it reads");
    let drawn = timeline::svg(&plan, Subject::default());
    let checked_in = include_str!("../../docs/rollout.svg");
    assert!(drawn == checked_in, "draw it again: `cargo run -p sim -- run walkthrough --svg docs/rollout.svg`");
}
