//! What a drain may take, and that nothing which makes it final lets it take longer.

use openrtc_core::id::Actor;
use openrtc_core::order::Wish;
use openrtc_core::time::Span;
use openrtc_core::worker::{
    Alert, Availability, Cause, Command, DeadlineMissing, DrainOrder, Effect, Event, Misfit, Misuse, OnDeadline,
    Refused, Repeat, Terms,
};

use crate::story::{ALICE, COORDINATOR, Story, at, drain, obey, patient_drain, sealed, sigterm, stamp, terms};

const DEADLINE: Actor = Actor::from_static("deadline");

/// Terms by what is due when.
fn due(deadline: u64, alert: Option<u64>, force: Option<u64>) -> Terms {
    Terms { deadline: Some(at(deadline)), alert_at: alert.map(at), force_at: force.map(at) }
}

#[test]
fn sigterm_seals_a_drain_that_an_operator_began_and_never_lengthens_its_deadline() {
    for (term, deadline) in [(Some(30), 30), (Some(60), 60), (Some(90), 60), (None, 60)] {
        let mut story = Story::serving();
        story.admits(1);
        story.drains(2, drain(Cause::Api, Some(60), OnDeadline::Force));
        story.asks(&[Effect::Announce(Availability::Closed)]);
        let policy = if term.is_some() { OnDeadline::Force } else { OnDeadline::Wait };
        let signal = drain(Cause::Signal, term, policy);
        story.tells(3, signal, sealed(signal, terms(Some(deadline), OnDeadline::Force)));
        story.asks(&[Effect::Stop]);
        story.refuses(4, Command::CancelDrain { actor: ALICE }, Refused::Irrevocable);
        assert_eq!((story.drain().cause, story.drain().actor), (Cause::Api, ALICE), "it is still hers");
    }

    let mut story = Story::serving();
    story.admits(1);
    story.drains(2, patient_drain());
    let signal = drain(Cause::Signal, Some(60), OnDeadline::Force);
    story.tells(3, signal, sealed(signal, terms(Some(60), OnDeadline::Force)));
}

#[test]
fn making_a_drain_final_loses_no_force_no_deadline_and_no_alert() {
    use OnDeadline::{Alert, Force, Wait};
    for (before, term, after) in [
        ((Some(20), Wait), (Some(60), Force), due(20, None, Some(60))),
        ((Some(60), Force), (Some(20), Wait), due(20, None, Some(60))),
        ((Some(60), Force), (Some(20), Alert), due(20, Some(20), Some(60))),
        ((Some(20), Alert), (Some(60), Force), due(20, Some(20), Some(60))),
        ((Some(60), Force), (Some(90), Alert), due(60, Some(90), Some(60))),
        ((Some(30), Alert), (Some(20), Alert), due(20, Some(20), None)),
        ((Some(20), Alert), (None, Wait), due(20, Some(20), None)),
        ((None, Wait), (Some(20), Alert), due(20, Some(20), None)),
        ((None, Wait), (None, Wait), Terms::PATIENT),
    ] {
        for cause in [Cause::Signal, Cause::Fence] {
            let mut story = Story::serving();
            story.admits(1);
            story.drains(2, drain(Cause::Api, before.0, before.1));
            let last = drain(cause, term.0, term.1);
            story.tells(3, last, sealed(last, after));
            assert_eq!((story.drain().terms, story.drain().sealed), (after, true), "{before:?}, then {term:?}");
            story.refuses(4, drain(Cause::Signal, Some(5), Force), Repeat::AlreadyDraining);
        }
    }
}

#[test]
fn a_drain_that_waited_is_forced_when_the_signal_that_seals_it_says_so() {
    let mut story = Story::serving();
    let call = story.admits(1);
    story.drains(2, drain(Cause::Api, Some(20), OnDeadline::Wait));
    story.says(3, drain(Cause::Signal, Some(60), OnDeadline::Force)).expect("it can still be taken back");
    story.asks(&[Effect::Announce(Availability::Closed), Effect::Stop]);
    story.wakes(31, Event::CallStalled { call });
    story.wakes(60, Event::DrainForced { actor: DEADLINE, live: 1, stamp: None });
}

#[test]
fn an_alert_is_raised_and_the_calls_are_still_forced_when_that_is_due() {
    let mut story = Story::serving();
    let call = story.admits(1);
    story.drains(2, drain(Cause::Api, Some(10), OnDeadline::Alert));
    story.says(3, drain(Cause::Signal, Some(20), OnDeadline::Force)).expect("it can still be taken back");
    story.wakes(10, Event::DrainOverdue { live: 1 });
    story.wakes(20, Event::DrainForced { actor: DEADLINE, live: 1, stamp: None });
    story.asks(&[
        Effect::Announce(Availability::Closed),
        Effect::Stop,
        Effect::Alert(Alert::Overdue),
        Effect::CancelCalls { until: at(22) },
    ]);
    story.hangs_up(21, call);
}

#[test]
fn of_what_is_due_at_one_instant_the_force_comes_first_and_settles_it() {
    let mut story = Story::serving();
    story.admits(1);
    story.drains(2, drain(Cause::Api, Some(20), OnDeadline::Alert));
    story.says(3, drain(Cause::Signal, Some(20), OnDeadline::Force)).expect("it can still be taken back");
    story.wakes(20, Event::DrainForced { actor: DEADLINE, live: 1, stamp: None });
    story.refuses(20, Command::Wake, Misuse::NotDue);
}

#[test]
fn more_time_for_a_sealed_drain_moves_only_what_was_due_before_it() {
    let mut story = Story::serving();
    story.admits(1);
    story.drains(2, drain(Cause::Api, Some(10), OnDeadline::Alert));
    story.says(3, drain(Cause::Signal, Some(60), OnDeadline::Force)).expect("it can still be taken back");
    for (deadline, after) in [(40, due(40, Some(40), Some(60))), (90, due(90, Some(90), Some(90)))] {
        let extend = Command::ExtendDrain { actor: ALICE, deadline: at(deadline) };
        story.tells(4, extend, Event::DrainExtended { actor: ALICE, deadline: at(deadline) });
        assert_eq!(story.drain().terms, after);
    }
}

/// A second order with other terms: what it asks for sooner holds from now on, and nothing of the first is weakened.
#[test]
fn an_order_that_joins_a_drain_holds_it_to_more_and_to_no_less() {
    use OnDeadline::{Alert, Force, Wait};
    for (before, order, after) in [
        ((Some(60), Wait), (Some(20), Wait), Some(due(20, None, None))),
        ((Some(60), Force), (Some(20), Force), Some(due(20, None, Some(20)))),
        ((Some(60), Force), (Some(20), Wait), Some(due(20, None, Some(60)))),
        ((Some(60), Wait), (Some(60), Force), Some(due(60, None, Some(60)))),
        ((Some(20), Wait), (Some(60), Alert), Some(due(20, Some(60), None))),
        ((None, Wait), (Some(20), Force), Some(due(20, None, Some(20)))),
        ((Some(20), Force), (Some(60), Force), None),
        ((Some(20), Force), (None, Wait), None),
        ((None, Wait), (None, Wait), None),
    ] {
        for coordinator in [false, true] {
            let mut story = Story::serving();
            story.admits(1);
            story.drains(2, drain(Cause::Api, before.0, before.1));
            let within = order.0.map(|secs| Span::from_secs(secs - 3));
            let wish = Wish::Drain { within, on_deadline: order.1 };
            let (command, actor, stamped) = if coordinator {
                (obey(stamp(1, 1), wish), COORDINATOR, Some(stamp(1, 1)))
            } else {
                (drain(Cause::Api, order.0, order.1), ALICE, None)
            };
            match (after, stamped) {
                (Some(terms), stamp) => story.tells(3, command, Event::DrainTightened { actor, terms, stamp }),
                (None, Some(stamp)) => story.tells(3, command, Event::OrderTaken { stamp, actor }),
                (None, None) => story.refuses(3, command, Repeat::AlreadyDraining),
            }
            let before = Terms::new(before.0.map(at), before.1).expect("there is a deadline");
            assert_eq!(story.drain().terms, after.unwrap_or(before), "{order:?}");
            assert!(!story.drain().sealed, "and it can still be taken back");
        }
    }
}

#[test]
fn a_sealed_drain_can_be_held_to_more_by_a_person_and_a_forced_one_cannot() {
    let mut story = Story::serving();
    story.admits(1);
    story.drains(2, drain(Cause::Signal, Some(60), OnDeadline::Wait));
    let sooner = drain(Cause::Api, Some(20), OnDeadline::Force);
    let terms = due(20, None, Some(20));
    story.tells(3, sooner, Event::DrainTightened { actor: ALICE, terms, stamp: None });
    story.wakes(20, Event::DrainForced { actor: DEADLINE, live: 1, stamp: None });
    story.refuses(20, drain(Cause::Api, Some(21), OnDeadline::Force), Repeat::AlreadyDraining);
}

#[test]
fn a_tightened_drain_that_no_order_can_have_made_does_not_fit() {
    let mut story = Story::serving();
    story.admits(1);
    story.drains(2, drain(Cause::Api, Some(60), OnDeadline::Force));
    let tightened = |terms, stamp| Event::DrainTightened { actor: ALICE, terms, stamp };
    story.fits(3, tightened(due(20, None, Some(20)), None));
    let same = due(60, None, Some(60));
    for weaker in [same, Terms::PATIENT, due(90, None, Some(90))] {
        story.misfits(3, tightened(weaker, None), Misfit::Rejected(Repeat::AlreadyDraining.into()));
    }
    story.misfits(3, tightened(due(20, None, None), None), Misfit::Other);
    let order = Some(stamp(1, 1));
    story.fits(3, tightened(due(20, Some(20), Some(60)), order));
    // An order has one policy, and one time.
    for two in [due(20, Some(20), Some(30)), due(20, Some(30), Some(60)), same] {
        story.misfits(3, tightened(two, order), Misfit::Other);
    }
}

#[test]
fn a_drain_without_a_deadline_gets_no_more_time() {
    let mut story = Story::serving();
    story.admits(1);
    story.drains(2, sigterm());
    story.refuses(3, Command::ExtendDrain { actor: ALICE, deadline: at(9) }, Misuse::NotLater);
}

#[test]
fn terms_under_which_something_happens_before_the_deadline_or_without_one_are_refused() {
    let order = |cause, terms| Command::BeginDrain(DrainOrder { cause, actor: ALICE, terms });
    let without = Terms { deadline: None, ..due(0, Some(9), None) };
    for bad in [without, due(10, Some(9), None), due(10, None, Some(9)), due(10, Some(10), Some(9))] {
        let mut story = Story::serving();
        story.admits(1);
        story.refuses(1, order(Cause::Api, bad), Misuse::BadTerms);
        story.drains(2, patient_drain());
        story.refuses(3, order(Cause::Signal, bad), Misuse::BadTerms);
    }
    for on_deadline in [OnDeadline::Alert, OnDeadline::Force] {
        let missing = Terms::new(None, on_deadline).expect_err("there is no deadline");
        assert_eq!(missing, DeadlineMissing { on_deadline });
        assert!(missing.to_string().contains(on_deadline.as_str()), "{missing}");
    }
    assert_eq!(Terms::new(None, OnDeadline::Wait), Ok(Terms::PATIENT));
}
