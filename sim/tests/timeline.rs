//! What the simulator draws.

use sim::plan::Plan;
use sim::subject::Subject;
use sim::{report, run, scenario, timeline};

#[test]
fn the_picture_checked_in_is_the_walkthroughs_byte_for_byte() {
    let plan: Plan = scenario::find("walkthrough").expect("it is in the library").parse().expect("it reads");
    let drawn = timeline::svg(&plan, Subject::default());
    let checked_in = include_str!("../../docs/rollout.svg");
    assert!(drawn == checked_in, "draw it again: `cargo run -p sim -- run walkthrough --svg docs/rollout.svg`");
}

#[test]
fn nothing_in_a_plan_can_speak_html() {
    let mut plan: Plan = scenario::find("walkthrough").expect("it is in the library").parse().expect("it reads");
    let tags = |page: &str| page.matches('<').count();
    let before = tags(&timeline::html(&plan, Subject::default()));
    plan.title = "<b id='1' class=\"2\">&<script>".into();
    let page = timeline::html(&plan, Subject::default());
    assert_eq!(tags(&page), before);
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script") && !page.contains("<b "));
}

#[test]
fn a_run_whose_invariants_held_and_that_dropped_calls_is_not_called_proven() {
    for (scenario, word) in [("walkthrough", "proven"), ("kill-without-warning", "dropped")] {
        let plan: Plan = scenario::find(scenario).expect("it is in the library").parse().expect("it reads");
        let page = timeline::html(&plan, Subject::default());
        assert!(page.contains(&format!("<p class='verdict {word}'>{}", word.to_uppercase())), "{scenario}");
        let outcome = run::run(&plan, Subject::default());
        let told = report::summary(&plan, &outcome);
        assert!(told.contains(&format!("verdict    {}", word.to_uppercase())), "{told}");
    }
}

#[test]
fn the_axis_is_at_the_top_and_at_the_bottom_and_so_is_the_legend() {
    let plan: Plan = scenario::find("walkthrough").expect("it is in the library").parse().expect("it reads");
    let drawn = timeline::svg(&plan, Subject::default());
    for text in [">0:00:20<", ">worker drains<"] {
        assert_eq!(drawn.matches(text).count(), 2, "{text}");
    }
}
