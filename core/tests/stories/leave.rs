//! When a drained worker leaves: alone at once, parked when it is told to, and never before its lame-duck time is over,
//! whatever it is that makes it leave.

use openrtc_core::order::{Stamp, Wish};
use openrtc_core::time::Span;
use openrtc_core::word::{Phase, Refusal};
use openrtc_core::worker::{
    Availability, Cause, Command, Decline, Effect, EndReason, Event, Leave, Limits, Misuse, OnDeadline, Outcome,
    Refused, Repeat, Terms, Why,
};

use crate::story::{
    A_YEAR, ALICE, COORDINATOR, Story, admit, at, drain, exited, obey, patient_drain, sealed, sigterm, stamp,
};

const CANCEL: Command = Command::CancelDrain { actor: ALICE };
const CANCELLED: Event = Event::DrainCancelled { actor: ALICE, stamp: None };
const CLEAN: Event = exited(Outcome::Clean);
/// What comes of it when Alice's patient drain is over and the worker is told to leave.
const LEAVING: Event = left(None);

const fn left(stamp: Option<Stamp>) -> Event {
    Event::DrainSealed { cause: Cause::Api, actor: ALICE, terms: Terms::PATIENT, stamp }
}

fn fence() -> Command {
    drain(Cause::Fence, None, OnDeadline::Wait)
}

/// A worker that goes on declining offers for five seconds.
fn lame_duck(leave: Leave) -> Story {
    Story::with(Limits { lame_duck: Span::from_secs(5), leave, ..Limits::default() }).opens()
}

/// A parked worker that drained at second 2.
fn drained() -> Story {
    let mut story = Story::parked();
    story.drains(2, patient_drain());
    story.wakes(2, Event::Drained);
    story
}

#[test]
fn a_worker_alone_leaves_as_soon_as_it_has_drained() {
    for order in [patient_drain(), sigterm(), fence(), drain(Cause::Coordinator, None, OnDeadline::Wait)] {
        let mut story = Story::serving();
        let call = story.admits(1);
        story.drains(2, order);
        story.refuses(9, Command::Expire(Why::Leave), Misuse::NotDue);
        story.hangs_up(9, call);
        story.refuses(9, Command::Expire(Why::Leave), Misuse::NotDue);
        story.wakes(9, Event::Drained);
        assert_eq!(story.worker.life().deadline().map(|(_, why)| why), Some(Why::Leave));
        story.wakes(9, CLEAN);
        story.refuses(9, Command::Leave, Repeat::AlreadyExited);
    }
}

#[test]
fn a_parked_worker_stays_up_until_it_is_told_to_leave() {
    let mut story = drained();
    story.asks(&[Effect::Announce(Availability::Closed)]);
    story.waits();
    story.refuses(A_YEAR, Command::Expire(Why::Leave), Misuse::NotDue);
    story.refuses(A_YEAR, admit(), Refusal::Closed(Phase::Drained));
    let declined = Command::CountDeclines { reason: Decline::Draining, count: 1 };
    story.tells(A_YEAR, declined, Event::CallsDeclined { reason: Decline::Draining, count: 1 });
    story.tells(A_YEAR, Command::Leave, LEAVING);
    story.asks(&[Effect::Stop]);
    story.refuses(A_YEAR, Command::Leave, Repeat::AlreadyLeaving);
    story.refuses(A_YEAR, CANCEL, Refused::Irrevocable);
    story.wakes(A_YEAR, CLEAN);
    story.asks(&[Effect::Exit(Outcome::Clean)]);
}

#[test]
fn a_parked_worker_that_drained_takes_calls_again() {
    let mut story = drained();
    story.tells(A_YEAR, CANCEL, CANCELLED);
    story.asks(&[Effect::Announce(Availability::Closed), Effect::Announce(Availability::Open)]);
    story.is(Phase::Serving);
    story.admits(A_YEAR);
}

#[test]
fn a_parked_worker_leaves_on_a_signal_and_on_a_fence() {
    for last in [sigterm(), fence()] {
        let mut story = drained();
        story.tells(9, last, sealed(last, Terms::PATIENT));
        story.asks(&[Effect::Announce(Availability::Closed), Effect::Stop]);
        story.refuses(9, CANCEL, Refused::Irrevocable);
        story.wakes(9, CLEAN);

        let mut story = Story::parked();
        let call = story.admits(1);
        story.drains(2, last);
        story.hangs_up(9, call);
        story.wakes(9, Event::Drained);
        story.wakes(9, CLEAN);
    }
}

#[test]
fn a_parked_worker_leaves_when_its_coordinator_says_so() {
    let mut story = drained();
    story.tells(9, obey(stamp(1, 1), Wish::Leave), left(Some(stamp(1, 1))));
    story.wakes(9, CLEAN);

    let mut story = drained();
    story.says(9, obey(stamp(1, 1), Wish::Reject)).expect("a later order");
    let drain = story.drain();
    assert_eq!((drain.sealed, drain.actor, drain.cause), (true, ALICE, Cause::Api));
    story.wakes(9, CLEAN);
}

#[test]
fn a_worker_that_leaves_declines_for_its_lame_duck_time_first() {
    let mut story = lame_duck(Leave::WhenDrained);
    story.drains(2, patient_drain());
    story.wakes(2, Event::Drained);
    story.refuses(6, admit(), Refusal::Closed(Phase::Drained));
    let declined = Command::CountDeclines { reason: Decline::Draining, count: 1 };
    story.tells(6, declined, Event::CallsDeclined { reason: Decline::Draining, count: 1 });
    story.wakes(7, CLEAN);
}

#[test]
fn the_lame_duck_time_counts_from_when_admission_closed_whatever_came_later() {
    // Calls that last longer than it leave nothing of it.
    let mut story = lame_duck(Leave::WhenDrained);
    let call = story.admits(1);
    story.drains(2, patient_drain());
    story.hangs_up(20, call);
    story.wakes(20, Event::Drained);
    story.wakes(20, CLEAN);

    // A signal during the drain does not start it again.
    let mut story = lame_duck(Leave::WhenDrained);
    story.drains(2, patient_drain());
    story.wakes(2, Event::Drained);
    story.tells(6, sigterm(), sealed(sigterm(), Terms::PATIENT));
    story.wakes(7, CLEAN);

    // A parked worker is past it when it is told to go.
    let mut story = lame_duck(Leave::Parked);
    story.drains(2, patient_drain());
    story.wakes(2, Event::Drained);
    story.waits();
    story.tells(60, sigterm(), sealed(sigterm(), Terms::PATIENT));
    story.wakes(60, CLEAN);
}

#[test]
fn a_drain_is_taken_back_during_the_lame_duck_time_and_starts_it_anew_when_it_comes_again() {
    let mut story = lame_duck(Leave::WhenDrained);
    story.drains(2, patient_drain());
    story.wakes(2, Event::Drained);
    story.tells(6, CANCEL, CANCELLED);
    story.waits();
    let call = story.admits(6);
    story.hangs_up(7, call);
    story.drains(8, patient_drain());
    story.wakes(8, Event::Drained);
    story.wakes(13, CLEAN);
}

#[test]
fn who_is_told_to_leave_declines_for_the_lame_duck_time_all_the_same() {
    for leave in [Leave::WhenDrained, Leave::Parked] {
        let mut story = lame_duck(leave);
        story.drains(2, patient_drain());
        story.wakes(2, Event::Drained);
        story.tells(3, Command::Leave, LEAVING);
        story.refuses(4, CANCEL, Refused::Irrevocable);
        story.refuses(6, Command::Expire(Why::Leave), Misuse::NotDue);
        story.wakes(7, CLEAN);
    }
}

#[test]
fn a_force_leaves_its_calls_the_lame_duck_time_if_that_is_longer_than_their_grace() {
    for (forced_at, over_at) in [(3, 7), (5, 7), (6, 8)] {
        let mut story = lame_duck(Leave::WhenDrained);
        story.admits(1);
        story.drains(2, patient_drain());
        let forced = Event::DrainForced { actor: ALICE, live: 1, stamp: None };
        story.tells(forced_at, Command::ForceDrain { actor: ALICE }, forced);
        let until = at(over_at);
        story.asks(&[Effect::Announce(Availability::Closed), Effect::CancelCalls { until }]);
        story.refuses(over_at - 1, Command::Expire(Why::GraceOver), Misuse::NotDue);
        story.wakes(over_at, exited(Outcome::Forced { dropped: 1 }));
    }
}

#[test]
fn who_never_took_calls_is_rejected_at_once() {
    let mut story = Story::with(Limits { lame_duck: Span::from_secs(5), ..Limits::default() });
    story.tells(1, Command::Reject, exited(Outcome::Rejected));
}

#[test]
fn a_worker_that_was_forced_leaves_with_what_it_dropped_parked_or_not() {
    for leave in [Leave::WhenDrained, Leave::Parked] {
        let mut story = Story::with(Limits { leave, ..Limits::default() }).opens();
        let call = story.admits(1);
        story.drains(2, patient_drain());
        story.tells(3, Command::ForceDrain { actor: ALICE }, Event::DrainForced { actor: ALICE, live: 1, stamp: None });
        story.ends(4, call, EndReason::DrainForced);
        story.wakes(4, Event::Drained);
        story.tells(4, obey(stamp(1, 1), Wish::Leave), left(Some(stamp(1, 1))));
        story.wakes(4, exited(Outcome::Forced { dropped: 1 }));

        let mut story = Story::with(Limits { leave, ..Limits::default() }).opens();
        story.admits(1);
        story.drains(2, patient_drain());
        story.tells(3, Command::ForceDrain { actor: ALICE }, Event::DrainForced { actor: ALICE, live: 1, stamp: None });
        story.wakes(5, exited(Outcome::Forced { dropped: 1 }));
    }
}

#[test]
fn cordon_and_uncordon_are_a_drain_of_a_parked_worker_and_its_cancel() {
    let mut story = Story::parked();
    let call = story.admits(1);
    let within = None;
    let cordon = Wish::Drain { within, on_deadline: OnDeadline::Wait };
    story.says(2, obey(stamp(1, 1), cordon)).expect("a later order");
    story.hangs_up(3, call);
    story.wakes(3, Event::Drained);
    story.waits();
    let order = Some(stamp(1, 2));
    let uncordoned = Event::DrainCancelled { actor: COORDINATOR, stamp: order };
    story.tells(A_YEAR, obey(stamp(1, 2), Wish::CancelDrain), uncordoned);
    story.admits(A_YEAR);
}
