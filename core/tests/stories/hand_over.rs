//! Calls that go on in another run: given away, and begun with.

use openrtc_core::id::{CallNo, Digest, Incarnation};
use openrtc_core::order::Wish;
use openrtc_core::word::{Phase, Refusal};
use openrtc_core::worker::{
    Alert, Availability, Cause, Class, Command, Effect, EndReason, Event, Misuse, Origin, Outcome, Repeat, Terms,
};

use crate::story::{ALICE, CALL, COORDINATOR, Story, admit, exited, obey, patient_drain, sigterm, stamp};

const SUCCESSOR: Incarnation = Incarnation::new(8);
const GIVEN: Origin = Origin { run: Incarnation::new(7), call: CallNo::new(3), given: true };

const CLASS: Class = match Class::new(0) {
    Some(class) => class,
    None => panic!("there are four"),
};

const fn take_over(origin: Origin) -> Command {
    Command::TakeOver { id: CALL, class: CLASS, origin }
}

const fn hand_over(call: CallNo) -> Command {
    Command::HandOver { call, to: SUCCESSOR }
}

impl Story {
    #[track_caller]
    fn takes_over(&mut self, secs: u64) -> CallNo {
        self.tells(secs, take_over(GIVEN), Event::CallTakenOver { id: CALL, class: CLASS, origin: GIVEN });
        CallNo::new(self.worker.word().seq().get())
    }

    #[track_caller]
    fn hands_over(&mut self, secs: u64, call: CallNo) {
        self.tells(secs, hand_over(call), Event::CallHandedOver { call, to: SUCCESSOR });
    }
}

#[test]
fn calls_are_taken_over_only_while_starting() {
    let mut story = Story::starting();
    story.takes_over(0);
    story.tells(1, Command::StandBy, Event::StoodBy);
    story.refuses(1, take_over(GIVEN), Misuse::WrongPhase);
    story.tells(2, Command::Serve, Event::ServingBegan { stamp: None });
    story.refuses(2, take_over(GIVEN), Misuse::WrongPhase);
    story.drains(3, patient_drain());
    story.refuses(3, take_over(GIVEN), Misuse::WrongPhase);
    story.hangs_up(4, CallNo::new(1));
    story.wakes(4, Event::Drained);
    story.refuses(4, take_over(GIVEN), Misuse::WrongPhase);
    story.wakes(4, exited(Outcome::Clean));
    story.refuses(5, take_over(GIVEN), Misuse::WrongPhase);
}

#[test]
fn calls_are_taken_over_beyond_the_capacity_and_room_is_told_of_when_there_is_some() {
    let mut story = Story::starting();
    let calls = [0; 5].map(|secs| story.takes_over(secs));
    story.asks(&[]);
    assert_eq!((story.worker.word().in_flight(), story.worker.availability()), (5, Availability::Closed));
    story.tells(1, Command::Serve, Event::ServingBegan { stamp: None });
    story.asks(&[Effect::Announce(Availability::Full)]);
    for call in &calls[..2] {
        story.refuses(2, admit(), Refusal::Full);
        story.hangs_up(2, *call);
        story.asks(&[]);
    }
    story.refuses(3, admit(), Refusal::Full);
    story.hangs_up(3, calls[2]);
    story.asks(&[Effect::Announce(Availability::Open)]);
    story.admits(4);
    story.asks(&[Effect::Announce(Availability::Full)]);
    let tally = story.worker.tally();
    assert_eq!((tally.taken_over, tally.admitted, tally.promised(), tally.over()), (5, 1, 6, 3));
}

#[test]
fn a_call_that_was_taken_over_is_ours_watched_and_seen_to_its_end() {
    let mut story = Story::starting();
    let call = story.takes_over(0);
    let withdraw = Command::Withdraw { call, reason: EndReason::Withdrawn };
    story.refuses(1, withdraw, Misuse::Assigned);
    story.refuses(1, Command::Assign { call }, Repeat::AlreadyAssigned);
    story.wakes(30, Event::CallStalled { call });
    story.asks(&[Effect::Alert(Alert::Stalled(call))]);
    story.tells(31, Command::Progress { call }, Event::CallProgressed { call });
    story.drains(32, patient_drain());
    story.refuses(33, Command::Leave, Misuse::NotDrained);
    story.hangs_up(40, call);
    story.wakes(40, Event::Drained);
    story.wakes(40, exited(Outcome::Clean));
    assert_eq!(story.worker.tally().ended_by(EndReason::CallerHangup), 1);
}

#[test]
fn a_drain_before_serving_waits_for_the_calls_taken_over_and_goes_back_to_starting() {
    let mut story = Story::starting();
    let call = story.takes_over(0);
    story.drains(1, patient_drain());
    let cancel = Command::CancelDrain { actor: ALICE };
    story.tells(2, cancel, Event::DrainCancelled { actor: ALICE, stamp: None });
    story.is(Phase::Starting);
    let second = story.takes_over(3);
    story.drains(4, patient_drain());
    story.tells(5, Command::ForceDrain { actor: ALICE }, Event::DrainForced { actor: ALICE, live: 2, stamp: None });
    story.ends(6, call, EndReason::DrainForced);
    story.wakes(7, exited(Outcome::Forced { dropped: 2 }));
    let left: Vec<_> = story.worker.calls().iter().map(|(call, _)| call).collect();
    assert_eq!(left, [second]);
}

#[test]
fn a_worker_with_calls_it_took_over_is_not_rejected_but_drains_for_good() {
    for stands_by in [false, true] {
        let mut story = Story::starting();
        let call = story.takes_over(0);
        if stands_by {
            story.tells(0, Command::StandBy, Event::StoodBy);
        }
        story.refuses(1, Command::Reject, Misuse::WrongPhase);
        let order = Some(stamp(2, 0));
        let (cause, actor, terms) = (Cause::Fence, COORDINATOR, Terms::PATIENT);
        let fenced = Event::DrainBegun { cause, actor, terms, stamp: order };
        story.tells(2, obey(stamp(2, 0), Wish::Reject), fenced);
        story.hangs_up(9, call);
        story.wakes(9, Event::Drained);
        story.wakes(9, exited(Outcome::Clean));
    }

    // Once the last of them is over, it can be.
    let mut story = Story::starting();
    let call = story.takes_over(0);
    story.hangs_up(1, call);
    story.tells(2, Command::Reject, exited(Outcome::Rejected));
}

#[test]
fn a_call_that_is_handed_over_has_not_ended_and_was_not_dropped() {
    let mut story = Story::serving();
    let [given, cut] = [story.admits(1), story.admits(1)];
    story.drains(2, sigterm());
    story.tells(3, Command::ForceDrain { actor: ALICE }, Event::DrainForced { actor: ALICE, live: 2, stamp: None });
    story.hands_over(4, given);
    story.ends(4, cut, EndReason::DrainForced);
    story.wakes(4, Event::Drained);
    story.wakes(4, exited(Outcome::Forced { dropped: 1 }));
    let tally = story.worker.tally();
    assert_eq!((tally.handed_over, tally.ended.iter().sum::<u64>(), tally.over()), (1, 1, 2));

    let mut story = Story::serving();
    let calls = [story.admits(1), story.admits(1)];
    story.drains(2, sigterm());
    for call in calls {
        story.hands_over(3, call);
    }
    story.wakes(3, Event::Drained);
    story.wakes(3, exited(Outcome::Clean));
}

#[test]
fn only_a_call_that_is_ours_is_handed_over_and_only_once() {
    let mut story = Story::serving();
    let (reserved, call) = (story.reserves(1), story.admits(1));
    story.refuses(2, hand_over(reserved), Misuse::NotAssigned);
    story.refuses(2, hand_over(CallNo::new(99)), Misuse::NoSuchCall);
    story.hands_over(2, call);
    story.refuses(3, hand_over(call), Repeat::AlreadyEnded);
    story.refuses(3, Command::End { call, reason: EndReason::CallerHangup }, Repeat::AlreadyEnded);
    story.refuses(3, Command::Progress { call }, Repeat::AlreadyEnded);
}

#[test]
fn handing_over_makes_room() {
    let mut story = Story::serving();
    let [first, _, _] = [story.admits(1), story.admits(1), story.admits(1)];
    story.asks(&[Effect::Announce(Availability::Full)]);
    story.hands_over(2, first);
    story.asks(&[Effect::Announce(Availability::Open)]);
}

#[test]
fn a_call_is_followed_through_two_runs_and_ends_once() {
    let mut before = Story::serving();
    let call = before.admits(1);
    let id = before.worker.calls().get(call).map(|live| live.id);
    before.drains(2, sigterm());
    before.hands_over(3, call);

    let origin = Origin { run: Incarnation::new(7), call, given: true };
    let mut after = Story::starting();
    after.tells(3, take_over(origin), Event::CallTakenOver { id: CALL, class: CLASS, origin });
    let number = CallNo::new(after.worker.word().seq().get());
    assert_eq!(after.worker.calls().get(number).map(|live| live.id), id);
    after.tells(4, Command::Serve, Event::ServingBegan { stamp: None });
    after.hangs_up(9, number);
    let ended = |story: &Story| story.worker.tally().ended.iter().sum::<u64>();
    assert_eq!((ended(&before), ended(&after)), (0, 1));
}

#[test]
fn two_calls_with_one_id_are_two_calls() {
    let mut story = Story::starting();
    let found = Origin { given: false, ..GIVEN };
    for origin in [GIVEN, found] {
        let event = Event::CallTakenOver { id: Digest::new(7), class: CLASS, origin };
        story.tells(0, take_over(origin), event);
    }
    assert_eq!(story.worker.calls().len(), 2);
}
