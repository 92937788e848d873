//! The scenario library: each scenario passes, and each incident in it is caught when it is planted.

use sim::oracle::Verdict;
use sim::plan::{Expect, Plan};
use sim::run::run;
use sim::scenario;
use sim::subject::Subject;

/// Runs a scenario as it is, which must end as it says; then with each bug it names, which must be caught as it says.
fn hold(name: &str) {
    let text = scenario::find(name).expect("the scenario is in the library");
    let plan: Plan = text.parse().unwrap_or_else(|bad| panic!("{name}: {bad}"));
    assert!(!plan.title.is_empty(), "{name}: the first line says what it is for");
    let outcome = run(&plan, Subject::default());
    match (&outcome.verdict, plan.expect) {
        (Verdict::Proven, Expect::Proven) | (Verdict::Unknown(_), Expect::Unknown) => {}
        (verdict, expected) => panic!("{name}: {verdict}, expected {expected:?}"),
    }
    for (bug, invariant) in &plan.catches {
        let verdict = run(&plan, Subject::with(*bug)).verdict;
        assert_eq!(verdict.broken(), Some(*invariant), "{name} with {bug} planted: {verdict}");
    }
}

#[test]
fn a_plan_reads_back_as_it_was_printed() {
    for (name, text) in scenario::ALL {
        let plan: Plan = text.parse().unwrap_or_else(|bad| panic!("{name}: {bad}"));
        assert_eq!(plan.to_string().parse::<Plan>().as_ref(), Ok(&plan), "{name}");
    }
}

#[test]
fn the_library_is_large_and_names_its_incidents() {
    let plans: Vec<Plan> = scenario::ALL.iter().map(|(_, text)| text.parse().expect("every scenario reads")).collect();
    let told_twice = plans.iter().filter(|plan| !plan.source.is_empty() && !plan.catches.is_empty()).count();
    assert!(plans.len() >= 30, "{} scenarios", plans.len());
    assert!(told_twice >= 25, "{told_twice} scenarios cite an incident and plant it");
}

macro_rules! scenarios {
    ($($test:ident = $name:literal,)*) => {
        $(#[test]
        fn $test() {
            hold($name);
        })*

        #[test]
        fn every_scenario_has_a_test() {
            let tested = [$($name),*];
            let names = scenario::ALL.iter().map(|(name, _)| *name);
            let untested: Vec<_> = names.filter(|name| !tested.contains(name)).collect();
            assert!(untested.is_empty(), "without a test: {untested:?}");
        }
    };
}

scenarios! {
    assigned_while_draining = "assigned-while-draining",
    calls_end_together = "calls-end-together",
    cancelled_drain = "cancelled-drain",
    clock_steps = "clock-steps",
    complete_means_stopped = "complete-means-stopped",
    coordinator_crash = "coordinator-crash",
    scaled_in = "scaled-in",
    gates_hold = "gates-hold",
    cordoned_worker = "cordoned-worker",
    crash_between_journal_and_effect = "crash-between-journal-and-effect",
    declined_callers_call_again = "declined-callers-call-again",
    default_timeout_is_not_zero = "default-timeout-is-not-zero",
    drain_not_announced = "drain-not-announced",
    drain_order_lost = "drain-order-lost",
    drained_worker_exits = "drained-worker-exits",
    draining_visible_on_sigterm = "draining-visible-on-sigterm",
    duplicate_offer = "duplicate-offer",
    failing_handler = "failing-handler",
    first_end_spares_the_others = "first-end-spares-the-others",
    flush_before_exit = "flush-before-exit",
    forced_drops_counted = "forced-drops-counted",
    full_is_not_draining = "full-is-not-draining",
    grace_shorter_than_calls = "grace-shorter-than-calls",
    hang_up_in_set_up = "hang-up-in-set-up",
    kill_without_warning = "kill-without-warning",
    late_assignment = "late-assignment",
    late_yes = "late-yes",
    let_in_out_of_office = "let-in-out-of-office",
    loads_out_of_date = "loads-out-of-date",
    no_timeout_waits = "no-timeout-waits",
    old_image_restarted = "old-image-restarted",
    old_version_leaves = "old-version-leaves",
    overdue_alert = "overdue-alert",
    phantom_call = "phantom-call",
    phantom_unforced = "phantom-unforced",
    rejected_out_of_office = "rejected-out-of-office",
    report_older_than_cancel = "report-older-than-cancel",
    reserved_before_drain = "reserved-before-drain",
    rollback_mid_rollout = "rollback-mid-rollout",
    routes_of_an_earlier_term = "routes-of-an-earlier-term",
    second_sigterm = "second-sigterm",
    signal_to_process_group = "signal-to-process-group",
    sigterm_inside_a_call = "sigterm-inside-a-call",
    stale_report = "stale-report",
    stalled_call_flagged = "stalled-call-flagged",
    timer_is_no_drain = "timer-is-no-drain",
    torn_journal = "torn-journal",
    two_coordinators = "two-coordinators",
    unknown_is_not_drained = "unknown-is-not-drained",
    walkthrough = "walkthrough",
    yes_then_refused = "yes-then-refused",
}
