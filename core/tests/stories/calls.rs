//! Calls: promised, assigned, silent, over.

use openrtc_core::id::CallNo;
use openrtc_core::time::Span;
use openrtc_core::word::Refusal;
use openrtc_core::worker::{
    Alert, Availability, Class, Command, Effect, EndReason, Event, Limits, Misuse, Refused, Repeat, Why,
};

use crate::story::{CALL, Story, admit, at, patient_drain};

#[test]
fn a_silent_call_is_flagged_not_ended_and_recovers() {
    let mut story = Story::serving();
    let call = story.admits(1);
    assert!(!story.worker.notes_progress(at(2), call), "so soon after the last, it is worth no entry");
    assert!(story.worker.notes_progress(at(10), call));
    story.tells(10, Command::Progress { call }, Event::CallProgressed { call });
    story.wakes(40, Event::CallStalled { call });
    story.asks(&[Effect::Alert(Alert::Stalled(call))]);
    story.refuses(400, Command::Wake, Misuse::NotDue);
    assert_eq!((story.worker.word().in_flight(), story.worker.calls().stalled()), (1, 1));
    assert!(
        story.worker.notes_progress(at(11), call),
        "of a call that stalled any progress is, whatever the clock says"
    );
    story.tells(401, Command::Progress { call }, Event::CallProgressed { call });
    assert_eq!((story.worker.calls().stalled(), story.worker.tally().stalled), (0, 1));
    story.wakes(431, Event::CallStalled { call });
    story.hangs_up(432, call);
}

#[test]
fn progress_is_worth_an_entry_four_times_in_a_stall_limit_and_never_of_a_call_that_is_not_watched() {
    let class = Class::new(1).expect("there are four");
    let stall_after = [Some(Span::from_secs(40)), None, None, None];
    let mut story = Story::with(Limits { stall_after, ..Limits::default() }).opens();
    let watched = story.admits(1);
    let entry = story.says(1, Command::Admit { id: CALL, class }).expect("there is room");
    let unwatched = CallNo::new(entry.seq.get());
    let reserved = story.reserves(1);
    assert!(!story.worker.notes_progress(at(11) - Span::from_micros(1), watched));
    assert!(story.worker.notes_progress(at(11), watched));
    assert!(!story.worker.notes_progress(at(999), unwatched));
    assert!(!story.worker.notes_progress(at(999), reserved), "it is not ours yet");
    assert!(!story.worker.notes_progress(at(999), CallNo::new(99)));
}

#[test]
fn a_clock_that_steps_back_is_clamped_and_counted() {
    let mut story = Story::serving();
    let call = story.admits(10);
    let entry = story.says(7, Command::End { call, reason: EndReason::CallerHangup }).expect("active");
    assert_eq!((entry.at, entry.behind), (at(10), Span::from_secs(3)));
    assert_eq!(story.worker.tally().clock_steps, 1);
    let entry = story.says(11, admit()).expect("serving");
    assert_eq!((entry.at, entry.behind), (at(11), Span::ZERO));
    assert_eq!(story.worker.tally().clock_steps, 1);
}

#[test]
fn a_reservation_lapses_and_a_late_assignment_finds_it_gone() {
    let mut story = Story::serving();
    let call = story.reserves(1);
    story.wakes(11, Event::ReservationLapsed { call });
    story.asks(&[Effect::Lapse(call)]);
    story.refuses(12, Command::Assign { call }, Refused::ReservationGone);
    story.refuses(12, Command::Withdraw { call, reason: EndReason::Withdrawn }, Repeat::AlreadyEnded);
    story.refuses(12, Command::Assign { call: CallNo::new(99) }, Misuse::NoSuchCall);

    let withdrawn = story.reserves(13);
    story.withdraws(14, withdrawn, EndReason::Withdrawn);
    story.refuses(15, Command::Assign { call: withdrawn }, Refused::ReservationGone);
}

#[test]
fn a_reservation_is_withdrawn_a_call_is_ended_and_neither_passes_for_the_other() {
    let mut story = Story::serving();
    let (reserved, active) = (story.reserves(1), story.admits(1));
    let (end, withdraw) = (
        |call| Command::End { call, reason: EndReason::CallerHangup },
        |call| Command::Withdraw { call, reason: EndReason::Withdrawn },
    );
    story.refuses(2, end(reserved), Misuse::NotAssigned);
    story.refuses(2, Command::Progress { call: reserved }, Misuse::NotAssigned);
    story.refuses(2, withdraw(active), Misuse::Assigned);
    for never in [end(CallNo::new(99)), withdraw(CallNo::new(99)), end(CallNo::new(0)), withdraw(CallNo::new(0))] {
        story.refuses(2, never, Misuse::NoSuchCall);
    }

    story.tells(3, Command::Assign { call: reserved }, Event::CallAssigned { call: reserved });
    story.refuses(3, withdraw(reserved), Misuse::Assigned);
    story.hangs_up(4, reserved);
    story.hangs_up(4, active);
    let late = story.reserves(5);
    story.withdraws(6, late, EndReason::CallerHangup);
    for over in [reserved, active, late] {
        story.refuses(7, end(over), Repeat::AlreadyEnded);
        story.refuses(7, withdraw(over), Repeat::AlreadyEnded);
    }
    assert_eq!(story.worker.tally().ended_by(EndReason::CallerHangup), 3);
}

#[test]
fn of_two_time_outs_either_can_be_acted_on_and_none_that_is_not_due() {
    let mut story = Story::serving();
    let (first, second, silent) = (story.reserves(1), story.reserves(2), story.admits(3));
    let (lapse, stall) = (|call| Command::Expire(Why::Lapse(call)), |call| Command::Expire(Why::Stall(call)));
    for none in [lapse(silent), stall(first), lapse(CallNo::new(99)), stall(CallNo::new(99))] {
        story.refuses(3, none, Misuse::NotDue);
    }
    story.refuses(11, lapse(second), Misuse::NotDue);
    story.tells(12, lapse(second), Event::ReservationLapsed { call: second });
    story.refuses(12, lapse(second), Misuse::NotDue);
    story.tells(12, lapse(first), Event::ReservationLapsed { call: first });
    story.refuses(32, stall(silent), Misuse::NotDue);
    story.tells(33, stall(silent), Event::CallStalled { call: silent });
    story.refuses(99, stall(silent), Misuse::NotDue);
    for why in [Why::Empty, Why::GraceOver, Why::Force, Why::Overdue, Why::Leave] {
        story.refuses(99, Command::Expire(why), Misuse::NotDue);
    }
}

#[test]
fn a_reservation_that_lapses_during_a_drain_lets_it_end() {
    let mut story = Story::serving();
    let call = story.reserves(1);
    story.drains(2, patient_drain());
    story.wakes(11, Event::ReservationLapsed { call });
    story.wakes(11, Event::Drained);
}

#[test]
fn a_full_worker_says_so_at_the_edge_and_takes_calls_again() {
    let mut story = Story::serving();
    let [first, second, _] = [story.admits(1), story.admits(1), story.reserves(1)];
    story.refuses(2, admit(), Refusal::Full);
    story.hangs_up(3, first);
    story.hangs_up(3, second);
    story.asks(&[Effect::Announce(Availability::Full), Effect::Announce(Availability::Open)]);
    story.admits(4);
}
