//! The scenario library: each a plan of its own in `scenarios/`, readable and editable by a person.

macro_rules! library {
    ($($name:literal,)*) => {
        /// Every scenario: its name and its plan as text.
        pub const ALL: &[(&str, &str)] = &[$(($name, include_str!(concat!("../scenarios/", $name, ".plan"))),)*];
    };
}

library! {
    "assigned-while-draining",
    "calls-end-together",
    "cancelled-drain",
    "clock-steps",
    "complete-means-stopped",
    "cordoned-worker",
    "gates-hold",
    "scaled-in",
    "coordinator-crash",
    "crash-between-journal-and-effect",
    "declined-callers-call-again",
    "default-timeout-is-not-zero",
    "drain-not-announced",
    "drain-order-lost",
    "drained-worker-exits",
    "draining-visible-on-sigterm",
    "duplicate-offer",
    "failing-handler",
    "first-end-spares-the-others",
    "flush-before-exit",
    "forced-drops-counted",
    "full-is-not-draining",
    "grace-shorter-than-calls",
    "hang-up-in-set-up",
    "kill-without-warning",
    "late-assignment",
    "late-yes",
    "let-in-out-of-office",
    "loads-out-of-date",
    "no-timeout-waits",
    "old-image-restarted",
    "old-version-leaves",
    "overdue-alert",
    "phantom-call",
    "phantom-unforced",
    "rejected-out-of-office",
    "report-older-than-cancel",
    "reserved-before-drain",
    "rollback-mid-rollout",
    "routes-of-an-earlier-term",
    "second-sigterm",
    "signal-to-process-group",
    "sigterm-inside-a-call",
    "stale-report",
    "stalled-call-flagged",
    "timer-is-no-drain",
    "torn-journal",
    "two-coordinators",
    "unknown-is-not-drained",
    "walkthrough",
    "yes-then-refused",
}

/// A scenario's plan as text.
#[must_use]
pub fn find(name: &str) -> Option<&'static str> {
    ALL.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}
