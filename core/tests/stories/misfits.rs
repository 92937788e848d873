//! What a journal cannot say: `fits` is no looser than `decide`.

use openrtc_core::id::{Actor, CallNo, Incarnation};
use openrtc_core::order::{Stamp, Wish};
use openrtc_core::word::{Phase, Refusal};
use openrtc_core::worker::{
    Cause, Class, Command, DrainOrder, EndReason, Event, Misfit, Misuse, OnDeadline, Outcome, Refused, Rejection,
    Repeat, Terms,
};

use crate::story::{
    ALICE, CALL, COORDINATOR, Story, at, drain, exited, obey, patient_drain, sigterm, stamp, taken, terms,
};

fn because(rejection: impl Into<Rejection>) -> Misfit {
    Misfit::Rejected(rejection.into())
}

fn not_due() -> Misfit {
    because(Misuse::NotDue)
}

/// A worker that drains patiently, with a call and a reservation.
fn draining() -> (Story, CallNo, CallNo) {
    let mut story = Story::serving();
    let (call, reserved) = (story.admits(1), story.reserves(1));
    story.drains(2, patient_drain());
    (story, call, reserved)
}

#[test]
fn a_sealed_or_forced_drain_is_not_cancelled() {
    let cancelled = Event::DrainCancelled { actor: ALICE, stamp: None };
    let (mut story, ..) = draining();
    story.fits(3, cancelled);
    story.says(3, sigterm()).expect("it can still be taken back");
    story.misfits(4, cancelled, because(Refused::Irrevocable));

    let (mut story, ..) = draining();
    story.says(3, Command::ForceDrain { actor: ALICE }).expect("there are calls");
    story.misfits(4, cancelled, because(Refused::Forced));
    story.misfits(4, Event::DrainExtended { actor: ALICE, deadline: at(99) }, because(Refused::Forced));
}

#[test]
fn a_worker_does_not_exit_before_it_is_due() {
    let clean = exited(Outcome::Clean);
    let (mut story, call, reserved) = draining();
    for outcome in [Outcome::Clean, Outcome::Forced { dropped: 2 }] {
        story.misfits(9, exited(outcome), not_due());
    }
    story.says(9, Command::ForceDrain { actor: ALICE }).expect("there are calls");
    story.misfits(10, exited(Outcome::Forced { dropped: 2 }), not_due());
    story.fits(11, exited(Outcome::Forced { dropped: 2 }));
    for dropped in [0, 1, 3] {
        story.misfits(11, exited(Outcome::Forced { dropped }), Misfit::Other);
    }
    story.misfits(11, clean, Misfit::Other);
    story.misfits(11, exited(Outcome::Rejected), because(Misuse::WrongPhase));

    story.hangs_up(10, call);
    story.withdraws(10, reserved, EndReason::Withdrawn);
    story.misfits(11, clean, not_due());
    story.wakes(10, Event::Drained);
    story.fits(11, clean);
    story.misfits(11, exited(Outcome::Forced { dropped: 1 }), Misfit::Other);

    let story = Story::serving();
    story.misfits(9, clean, not_due());
    story.misfits(9, exited(Outcome::Rejected), because(Misuse::WrongPhase));
}

#[test]
fn a_worker_with_calls_has_not_drained() {
    let (mut story, call, reserved) = draining();
    story.misfits(3, Event::Drained, not_due());
    story.hangs_up(3, call);
    story.misfits(3, Event::Drained, not_due());
    story.withdraws(3, reserved, EndReason::Withdrawn);
    story.fits(3, Event::Drained);
    story.wakes(3, Event::Drained);
    story.misfits(3, Event::Drained, not_due());
    Story::serving().misfits(3, Event::Drained, not_due());
}

#[test]
fn time_outs_of_calls_do_not_come_early() {
    let (story, call, reserved) = draining();
    let (stalled, lapsed) = (|call| Event::CallStalled { call }, |call| Event::ReservationLapsed { call });
    story.misfits(10, lapsed(reserved), not_due());
    story.fits(11, lapsed(reserved));
    story.misfits(30, stalled(call), not_due());
    story.fits(31, stalled(call));
    // The other's time-out, and that of a call that never was.
    for event in [lapsed(call), stalled(reserved), lapsed(CallNo::new(99)), stalled(CallNo::new(99))] {
        story.misfits(99, event, not_due());
    }
}

#[test]
fn the_deadline_of_a_drain_does_not_come_early_or_say_something_else() {
    let deadline = Actor::from_static("deadline");
    let mut story = Story::serving();
    story.admits(1);
    story.drains(2, drain(Cause::Api, Some(20), OnDeadline::Alert));
    story.misfits(19, Event::DrainOverdue { live: 1 }, not_due());
    story.fits(20, Event::DrainOverdue { live: 1 });
    story.misfits(20, Event::DrainOverdue { live: 2 }, Misfit::Other);
    story.misfits(20, Event::DrainForced { actor: deadline, live: 2, stamp: None }, Misfit::Other);
    story.wakes(20, Event::DrainOverdue { live: 1 });
    story.misfits(21, Event::DrainOverdue { live: 1 }, not_due());
    Story::serving().misfits(21, Event::DrainOverdue { live: 0 }, not_due());
}

#[test]
fn a_seal_says_what_the_drain_and_its_order_come_to() {
    let mut story = Story::serving();
    story.admits(1);
    story.drains(2, drain(Cause::Api, Some(20), OnDeadline::Force));
    let sealed = |cause, terms| Event::DrainSealed { cause, actor: ALICE, terms, stamp: None };
    let both = Terms { deadline: Some(at(10)), alert_at: None, force_at: Some(at(20)) };
    story.fits(3, sealed(Cause::Signal, both));
    for weaker in [Terms::PATIENT, terms(Some(10), OnDeadline::Wait), terms(Some(30), OnDeadline::Force)] {
        story.misfits(3, sealed(Cause::Signal, weaker), Misfit::Other);
    }
    for cause in [Cause::Api, Cause::Coordinator] {
        story.misfits(3, sealed(cause, both), because(Misuse::NotDrained));
    }
    let bad = Terms { alert_at: Some(at(9)), ..both };
    story.misfits(3, sealed(Cause::Signal, bad), because(Misuse::BadTerms));
    // What seals does not begin, and what begins does not seal.
    story.misfits(3, Event::DrainBegun { cause: Cause::Signal, actor: ALICE, terms: both, stamp: None }, Misfit::Other);
    Story::serving().misfits(3, sealed(Cause::Signal, both), Misfit::Other);
}

#[test]
fn calls_come_and_go_as_they_can() {
    let (story, call, reserved) = draining();
    let id = CALL;
    let admitted = Event::CallAdmitted { id, class: Class::default() };
    story.misfits(3, admitted, because(Refusal::Closed(Phase::Draining)));
    let ended = |call, reason| Event::CallEnded { call, reason };
    story.fits(3, ended(call, EndReason::Failed));
    story.fits(3, ended(reserved, EndReason::Withdrawn));
    story.misfits(3, ended(call, EndReason::DrainForced), because(Misuse::NotForced));
    story.misfits(3, ended(CallNo::new(99), EndReason::Failed), because(Misuse::NoSuchCall));
    story.misfits(3, ended(CallNo::new(1), EndReason::Failed), because(Repeat::AlreadyEnded));
    story.misfits(3, Event::CallAssigned { call }, because(Repeat::AlreadyAssigned));
    story.misfits(3, Event::CallProgressed { call: reserved }, because(Misuse::NotAssigned));
    let handed_over = Event::CallHandedOver { call: reserved, to: Incarnation::new(2) };
    story.misfits(3, handed_over, because(Misuse::NotAssigned));
}

#[test]
fn a_forged_stamp_does_not_fit() {
    let mut story = Story::starting();
    story.says(1, obey(stamp(2, 5), Wish::Join)).expect("a later order");
    let under = |stamp| Event::ServingBegan { stamp };
    story.fits(2, under(Some(stamp(2, 6))));
    story.fits(2, under(Some(stamp(3, 0))));
    story.fits(2, under(None));
    story.misfits(2, under(Some(stamp(2, 5))), because(Repeat::AlreadyObeyed));
    for late in [stamp(2, 4), stamp(1, 99), Stamp::default()] {
        story.misfits(2, under(Some(late)), because(Refused::Overtaken { by: stamp(2, 5) }));
        story.misfits(2, taken(late), because(Refused::Overtaken { by: stamp(2, 5) }));
    }
    story.misfits(2, taken(stamp(2, 5)), because(Repeat::AlreadyObeyed));
}

#[test]
fn under_a_stamp_only_what_an_order_leads_to_fits() {
    let order = Some(stamp(1, 1));
    let begun = |cause, terms| Event::DrainBegun { cause, actor: COORDINATOR, terms, stamp: order };
    let sealed = |cause, terms| Event::DrainSealed { cause, actor: COORDINATOR, terms, stamp: order };
    let forged = Terms { deadline: Some(at(20)), alert_at: Some(at(30)), force_at: Some(at(40)) };
    let mut story = Story::serving();
    story.admits(1);
    story.fits(2, begun(Cause::Coordinator, terms(Some(20), OnDeadline::Force)));
    story.fits(2, begun(Cause::Fence, Terms::PATIENT));
    for (cause, terms) in [
        // Nobody but a coordinator gives orders.
        (Cause::Api, Terms::PATIENT),
        (Cause::Signal, Terms::PATIENT),
        // A rejection has no deadline, an order has one policy, and no order is due before it arrives.
        (Cause::Fence, terms(Some(20), OnDeadline::Force)),
        (Cause::Coordinator, forged),
        (Cause::Coordinator, terms(Some(1), OnDeadline::Force)),
    ] {
        story.misfits(2, begun(cause, terms), Misfit::Other);
    }
    story.misfits(2, Event::ServingBegan { stamp: order }, Misfit::Other);
    story.misfits(2, Event::DrainCancelled { actor: COORDINATOR, stamp: order }, Misfit::Other);
    story.misfits(2, Event::DrainForced { actor: COORDINATOR, live: 1, stamp: order }, Misfit::Other);
    for outcome in [Outcome::Clean, Outcome::Rejected] {
        story.misfits(2, Event::Exited { outcome, stamp: order }, Misfit::Other);
    }

    story.drains(2, drain(Cause::Api, Some(20), OnDeadline::Alert));
    story.fits(3, sealed(Cause::Fence, terms(Some(20), OnDeadline::Alert)));
    for cause in [Cause::Api, Cause::Signal, Cause::Coordinator] {
        story.misfits(3, sealed(cause, terms(Some(20), OnDeadline::Alert)), Misfit::Other);
    }
    for terms in [Terms::PATIENT, terms(Some(10), OnDeadline::Alert), forged] {
        story.misfits(3, sealed(Cause::Fence, terms), Misfit::Other);
    }
    story.fits(3, Event::DrainForced { actor: COORDINATOR, live: 1, stamp: order });
    story.misfits(3, Event::DrainForced { actor: COORDINATOR, live: 2, stamp: order }, Misfit::Other);
    story.misfits(3, Event::Exited { outcome: Outcome::Forced { dropped: 1 }, stamp: order }, Misfit::Other);
}

#[test]
fn nothing_follows_an_exit() {
    let mut story = Story::starting();
    story.tells(1, Command::Reject, exited(Outcome::Rejected));
    story.misfits(2, exited(Outcome::Rejected), because(Repeat::AlreadyExited));
    story.misfits(2, taken(stamp(9, 9)), because(Repeat::AlreadyExited));
    story.misfits(2, Event::ServingBegan { stamp: None }, because(Refusal::Closed(Phase::Exited)));
    let terms = Terms::PATIENT;
    let begun = Event::DrainBegun { cause: Cause::Api, actor: ALICE, terms, stamp: None };
    story.misfits(2, begun, because(Repeat::AlreadyExited));
    story.refuses(2, Command::BeginDrain(DrainOrder { cause: Cause::Api, actor: ALICE, terms }), Repeat::AlreadyExited);
}
