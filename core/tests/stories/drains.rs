//! Drains: what they wait for, how they are taken back and forced, and how they end.

use openrtc_core::id::Actor;
use openrtc_core::time::Span;
use openrtc_core::word::{Phase, Refusal};
use openrtc_core::worker::{
    Alert, Availability, Cause, Class, Command, Effect, EndReason, Event, Leave, Limits, Misuse, OnDeadline, Outcome,
    Refused, Repeat,
};

use crate::story::{ALICE, CALL, Story, admit, at, drain, exited, patient_drain};

#[test]
fn a_call_reserved_before_the_drain_and_assigned_after_it_is_served_to_its_end() {
    let mut story = Story::serving();
    let call = story.reserves(1);
    story.drains(2, patient_drain());
    story.asks(&[Effect::Announce(Availability::Closed)]);
    story.tells(3, Command::Assign { call }, Event::CallAssigned { call });
    story.refuses(4, Command::Leave, Misuse::NotDrained);
    story.hangs_up(29, call);
    story.wakes(29, Event::Drained);
    story.asks(&[]);
    story.wakes(29, exited(Outcome::Clean));
    story.asks(&[Effect::Exit(Outcome::Clean)]);
}

#[test]
fn nothing_is_admitted_once_the_drain_began() {
    let mut story = Story::serving();
    story.admits(1);
    story.drains(2, patient_drain());
    for secs in [2, 3, 3_600] {
        story.refuses(secs, admit(), Refusal::Closed(Phase::Draining));
        let reserve = Command::Reserve { id: CALL, class: Class::default() };
        story.refuses(secs, reserve, Refusal::Closed(Phase::Draining));
    }
    story.refuses(3, Command::Serve, Refusal::Closed(Phase::Draining));
}

#[test]
fn the_last_hang_up_drains_also_when_all_hang_up_at_once() {
    let mut story = Story::parked();
    let calls = [story.admits(1), story.admits(1), story.admits(1)];
    story.asks(&[Effect::Announce(Availability::Full)]);
    story.drains(2, patient_drain());
    story.asks(&[Effect::Announce(Availability::Closed)]);
    for call in calls {
        story.refuses(9, Command::Leave, Misuse::NotDrained);
        story.hangs_up(9, call);
    }
    story.wakes(9, Event::Drained);
    story.refuses(9, Command::Wake, Misuse::NotDue);
    story.asks(&[]);
}

#[test]
fn an_idle_worker_drains_at_once() {
    let mut story = Story::serving();
    story.drains(1, patient_drain());
    story.wakes(1, Event::Drained);
}

#[test]
fn a_cancelled_drain_goes_back_to_where_it_came_from() {
    let cancel = Command::CancelDrain { actor: ALICE };
    let cancelled = Event::DrainCancelled { actor: ALICE, stamp: None };

    let mut story = Story::serving();
    let call = story.admits(1);
    story.drains(2, patient_drain());
    story.tells(3, cancel, cancelled);
    story.asks(&[Effect::Announce(Availability::Closed), Effect::Announce(Availability::Open)]);
    story.refuses(3, cancel, Repeat::NotDraining);
    assert_eq!((story.worker.phase(), story.worker.drain()), (Phase::Serving, None));
    story.admits(4);
    story.hangs_up(5, call);

    for phase in [Phase::Starting, Phase::Standby] {
        let mut story = Story::with(Limits { leave: Leave::Parked, ..Limits::default() });
        if phase == Phase::Standby {
            story.tells(0, Command::StandBy, Event::StoodBy);
        }
        story.drains(1, patient_drain());
        story.wakes(1, Event::Drained);
        story.tells(2, cancel, cancelled);
        assert_eq!(story.worker.phase(), phase, "also once it had drained");
        story.refuses(3, admit(), Refusal::Closed(phase));
    }
}

#[test]
fn repeated_sigterms_change_nothing() {
    let mut story = Story::serving();
    story.admits(1);
    story.drains(2, drain(Cause::Signal, Some(60), OnDeadline::Force));
    story.asks(&[Effect::Announce(Availability::Closed), Effect::Stop]);
    for _ in 0..100 {
        story.refuses(3, drain(Cause::Signal, Some(5), OnDeadline::Force), Repeat::AlreadyDraining);
    }
    story.asks(&[]);
}

#[test]
fn a_forced_drain_names_and_counts_every_call() {
    let mut story = Story::serving();
    let reserved = story.reserves(1);
    let calls = [story.admits(1), story.admits(1)];
    story.asks(&[Effect::Announce(Availability::Full)]);
    story.drains(2, drain(Cause::Api, Some(6), OnDeadline::Force));
    story.asks(&[Effect::Announce(Availability::Closed)]);
    let cut = EndReason::DrainForced;
    story.refuses(3, Command::End { call: calls[1], reason: cut }, Misuse::NotForced);
    story.refuses(3, Command::Withdraw { call: reserved, reason: cut }, Misuse::NotForced);
    story.wakes(6, Event::DrainForced { actor: Actor::from_static("deadline"), live: 3, stamp: None });
    story.asks(&[Effect::CancelCalls { until: at(8) }]);
    story.refuses(6, Command::ForceDrain { actor: ALICE }, Repeat::AlreadyForced);
    story.refuses(6, Command::CancelDrain { actor: ALICE }, Refused::Forced);
    story.refuses(6, Command::ExtendDrain { actor: ALICE, deadline: at(99) }, Refused::Forced);
    story.withdraws(7, reserved, cut);
    for call in calls {
        story.ends(7, call, cut);
    }
    story.wakes(7, Event::Drained);
    story.wakes(7, exited(Outcome::Forced { dropped: 3 }));
}

#[test]
fn calls_that_ignore_the_cancel_are_dropped_at_the_end_of_the_grace_and_counted_exactly() {
    let mut story = Story::serving();
    let [polite, hung_up, deaf] = [story.admits(1), story.admits(1), story.admits(1)];
    story.drains(2, patient_drain());
    let forced = Event::DrainForced { actor: ALICE, live: 3, stamp: None };
    story.tells(3, Command::ForceDrain { actor: ALICE }, forced);
    story.ends(4, polite, EndReason::DrainForced);
    story.hangs_up(4, hung_up);
    let outcome = Outcome::Forced { dropped: 2 };
    story.wakes(5, exited(outcome));
    story.asks(&[
        Effect::Announce(Availability::Full),
        Effect::Announce(Availability::Closed),
        Effect::CancelCalls { until: at(5) },
        Effect::Exit(outcome),
    ]);
    let left: Vec<_> = story.worker.calls().iter().map(|(call, _)| call).collect();
    assert_eq!(left, [deaf], "the one that the exit dropped is named");
    story.refuses(6, Command::End { call: deaf, reason: EndReason::DrainForced }, Repeat::AlreadyEnded);
}

#[test]
fn calls_have_as_long_to_end_as_the_grace_is_set() {
    for grace in [0, 7] {
        let mut story = Story::with(Limits { force_grace: Span::from_secs(grace), ..Limits::default() }).opens();
        story.admits(1);
        story.drains(2, patient_drain());
        let forced = Event::DrainForced { actor: ALICE, live: 1, stamp: None };
        story.tells(3, Command::ForceDrain { actor: ALICE }, forced);
        let until = at(3 + grace);
        story.asks(&[Effect::Announce(Availability::Closed), Effect::CancelCalls { until }]);
        story.wakes(3 + grace, exited(Outcome::Forced { dropped: 1 }));
    }
}

#[test]
fn a_forced_drain_that_cut_nothing_is_clean() {
    let mut story = Story::serving();
    let call = story.admits(1);
    story.drains(2, patient_drain());
    let forced = Event::DrainForced { actor: ALICE, live: 1, stamp: None };
    story.tells(3, Command::ForceDrain { actor: ALICE }, forced);
    story.hangs_up(4, call);
    story.wakes(4, Event::Drained);
    story.wakes(4, exited(Outcome::Clean));
}

#[test]
fn an_overdue_drain_alerts_once_and_again_after_more_time() {
    let mut story = Story::serving();
    let call = story.admits(1);
    story.drains(2, drain(Cause::Api, Some(10), OnDeadline::Alert));
    story.wakes(10, Event::DrainOverdue { live: 1 });
    story.asks(&[Effect::Announce(Availability::Closed), Effect::Alert(Alert::Overdue)]);
    story.refuses(11, Command::Wake, Misuse::NotDue);
    let extend = Command::ExtendDrain { actor: ALICE, deadline: at(20) };
    story.tells(12, extend, Event::DrainExtended { actor: ALICE, deadline: at(20) });
    story.refuses(12, extend, Repeat::AlreadyExtended);
    story.refuses(12, Command::ExtendDrain { actor: ALICE, deadline: at(19) }, Misuse::NotLater);
    story.wakes(20, Event::DrainOverdue { live: 1 });
    story.asks(&[Effect::Alert(Alert::Overdue)]);
    story.hangs_up(21, call);
    story.wakes(21, Event::Drained);
}
