//! Orders of a coordinator: which of them count, and what comes of each.

use openrtc_core::fleet::Facts;
use openrtc_core::id::{Deployment, Identity, Incarnation, Version, WorkerId};
use openrtc_core::order::{Stamp, Wish};
use openrtc_core::snapshot::{JournalHealth, RuntimeSnapshot};
use openrtc_core::time::Span;
use openrtc_core::word::Phase;
use openrtc_core::worker::{Availability, Cause, Command, Effect, Event, OnDeadline, Outcome, Refused, Repeat, Terms};

use crate::story::{ALICE, COORDINATOR, Story, at, drain, obey, patient_drain, sealed, sigterm, stamp, taken, terms};

const PATIENTLY: Wish = Wish::Drain { within: None, on_deadline: OnDeadline::Wait };

/// What a drain begins with that obeys this order.
const fn drain_begun(cause: Cause, terms: Terms, stamp: Stamp) -> Event {
    Event::DrainBegun { cause, actor: COORDINATOR, terms, stamp: Some(stamp) }
}

#[test]
fn only_an_order_above_the_last_one_obeyed_counts() {
    let mut story = Story::starting();
    assert_eq!(story.worker.obeyed(), Stamp::default());
    story.tells(1, obey(stamp(1, 0), Wish::Join), taken(stamp(1, 0)));
    let serve = obey(stamp(1, 5), Wish::Serve);
    story.tells(2, serve, Event::ServingBegan { stamp: Some(stamp(1, 5)) });
    story.asks(&[Effect::Announce(Availability::Open)]);

    // The same order again, and any other under its stamp.
    story.refuses(3, serve, Repeat::AlreadyObeyed);
    story.refuses(3, obey(stamp(1, 5), PATIENTLY), Repeat::AlreadyObeyed);
    // Orders that it overtook, and those of an earlier term.
    for late in [stamp(1, 4), stamp(1, 0), stamp(0, 99), Stamp::default()] {
        story.refuses(3, obey(late, PATIENTLY), Refused::Overtaken { by: stamp(1, 5) });
    }
    // Numbers may be left out, and a later term begins with small ones.
    story.tells(4, obey(stamp(1, 90), PATIENTLY), drain_begun(Cause::Coordinator, Terms::PATIENT, stamp(1, 90)));
    story.tells(5, obey(stamp(2, 0), Wish::Join), taken(stamp(2, 0)));
    story.refuses(6, obey(stamp(1, 91), Wish::CancelDrain), Refused::Overtaken { by: stamp(2, 0) });
    let cancelled = Event::DrainCancelled { actor: COORDINATOR, stamp: Some(stamp(2, 1)) };
    story.tells(6, obey(stamp(2, 1), Wish::CancelDrain), cancelled);
    assert_eq!(story.worker.obeyed(), stamp(2, 1));
}

#[test]
fn the_first_stamp_there_is_counts_for_nothing() {
    let mut story = Story::starting();
    story.refuses(1, obey(Stamp::default(), Wish::Serve), Repeat::AlreadyObeyed);
}

#[test]
fn an_order_that_changes_nothing_is_noted_and_fences_those_before_it() {
    let mut story = Story::serving();
    let nothing = [Wish::Serve, Wish::CancelDrain, Wish::ForceDrain, Wish::Leave, Wish::Join];
    for (wish, number) in nothing.into_iter().zip(1..) {
        story.tells(1, obey(stamp(1, number), wish), taken(stamp(1, number)));
        assert_eq!((story.worker.phase(), story.worker.obeyed()), (Phase::Serving, stamp(1, number)), "{wish:?}");
        let by = stamp(1, number);
        story.refuses(1, obey(stamp(1, number - 1), PATIENTLY), Refused::Overtaken { by });
    }
    story.asks(&[]);

    // Nor does an order to drain what drains, to cancel what a signal sealed, or to serve what has drained.
    let mut story = Story::serving();
    story.admits(1);
    story.drains(2, sigterm());
    for (wish, number) in [PATIENTLY, Wish::CancelDrain, Wish::Serve, Wish::Leave, Wish::Reject].into_iter().zip(1..) {
        story.tells(3, obey(stamp(1, number), wish), taken(stamp(1, number)));
        story.is(Phase::Draining);
    }
}

#[test]
fn what_others_do_leaves_the_stamp_as_it_is() {
    let mut story = Story::serving();
    story.tells(1, obey(stamp(3, 1), Wish::Join), taken(stamp(3, 1)));
    let call = story.admits(2);
    story.drains(3, patient_drain());
    story.tells(4, Command::CancelDrain { actor: ALICE }, Event::DrainCancelled { actor: ALICE, stamp: None });
    story.hangs_up(5, call);
    assert_eq!(story.worker.obeyed(), stamp(3, 1));
}

#[test]
fn a_drain_is_due_so_long_after_its_order_arrived() {
    use OnDeadline::{Alert, Force, Wait};
    for (secs, on_deadline) in [(Some(60), Wait), (Some(60), Alert), (Some(60), Force), (None, Wait)] {
        let mut story = Story::serving();
        story.admits(1);
        let wish = Wish::Drain { within: secs.map(Span::from_secs), on_deadline };
        let terms = terms(secs.map(|secs| secs + 5), on_deadline);
        story.tells(5, obey(stamp(1, 1), wish), drain_begun(Cause::Coordinator, terms, stamp(1, 1)));
        assert_eq!(story.drain().actor, COORDINATOR);
    }
    // Without a time there is no deadline at which anything could happen: the drain waits.
    let mut story = Story::serving();
    let wish = Wish::Drain { within: None, on_deadline: Force };
    story.tells(5, obey(stamp(1, 1), wish), drain_begun(Cause::Coordinator, Terms::PATIENT, stamp(1, 1)));
}

#[test]
fn a_rollout_by_orders_alone() {
    let mut story = Story::starting();
    story.tells(0, Command::StandBy, Event::StoodBy);
    story.tells(1, obey(stamp(1, 0), Wish::Join), taken(stamp(1, 0)));
    story.tells(2, obey(stamp(1, 1), Wish::Serve), Event::ServingBegan { stamp: Some(stamp(1, 1)) });
    let call = story.admits(3);
    let wish = Wish::Drain { within: Some(Span::from_secs(10)), on_deadline: OnDeadline::Alert };
    let due = terms(Some(14), OnDeadline::Alert);
    story.tells(4, obey(stamp(1, 2), wish), drain_begun(Cause::Coordinator, due, stamp(1, 2)));
    story.wakes(14, Event::DrainOverdue { live: 1 });
    let forced = Event::DrainForced { actor: COORDINATOR, live: 1, stamp: Some(stamp(1, 3)) };
    story.tells(20, obey(stamp(1, 3), Wish::ForceDrain), forced);
    story.tells(20, obey(stamp(1, 4), Wish::CancelDrain), taken(stamp(1, 4)));
    story.hangs_up(21, call);
    story.wakes(21, Event::Drained);
    let stamped = Some(stamp(1, 5));
    let leaving = Event::DrainSealed { cause: Cause::Coordinator, actor: COORDINATOR, terms: due, stamp: stamped };
    story.tells(21, obey(stamp(1, 5), Wish::Leave), leaving);
    story.wakes(21, Event::Exited { outcome: Outcome::Clean, stamp: None });
    story.refuses(22, obey(stamp(1, 6), Wish::Join), Repeat::AlreadyExited);
    story.refuses(22, obey(stamp(1, 5), Wish::Leave), Repeat::AlreadyExited);
}

#[test]
fn a_worker_that_is_rejected_before_it_served_exits() {
    for stands_by in [false, true] {
        let mut story = Story::starting();
        if stands_by {
            story.tells(0, Command::StandBy, Event::StoodBy);
        }
        let exited = Event::Exited { outcome: Outcome::Rejected, stamp: Some(stamp(2, 0)) };
        story.tells(1, obey(stamp(2, 0), Wish::Reject), exited);
        story.asks(&[Effect::Exit(Outcome::Rejected)]);
    }
}

#[test]
fn a_worker_that_is_rejected_once_it_served_drains_for_good_and_leaves() {
    let mut story = Story::parked();
    let call = story.admits(1);
    story.tells(2, obey(stamp(2, 0), Wish::Reject), drain_begun(Cause::Fence, Terms::PATIENT, stamp(2, 0)));
    story.asks(&[Effect::Announce(Availability::Closed), Effect::Stop]);
    story.refuses(3, Command::CancelDrain { actor: ALICE }, Refused::Irrevocable);
    story.hangs_up(9, call);
    story.wakes(9, Event::Drained);
    story.wakes(9, Event::Exited { outcome: Outcome::Clean, stamp: None });

    // One that drains already does so for good from now on, and no later than before.
    let mut story = Story::parked();
    story.admits(1);
    story.drains(2, drain(Cause::Api, Some(60), OnDeadline::Force));
    let terms = terms(Some(60), OnDeadline::Force);
    let fenced = Event::DrainSealed { cause: Cause::Fence, actor: COORDINATOR, terms, stamp: Some(stamp(2, 0)) };
    story.tells(3, obey(stamp(2, 0), Wish::Reject), fenced);
    story.tells(4, obey(stamp(2, 1), Wish::CancelDrain), taken(stamp(2, 1)));
}

#[test]
fn a_signal_seals_the_drain_that_a_coordinator_ordered() {
    let mut story = Story::parked();
    story.admits(1);
    let wish = Wish::Drain { within: Some(Span::from_secs(60)), on_deadline: OnDeadline::Force };
    story.says(2, obey(stamp(1, 1), wish)).expect("a later order");
    story.tells(3, sigterm(), sealed(sigterm(), terms(Some(62), OnDeadline::Force)));
    assert_eq!(story.worker.obeyed(), stamp(1, 1));
}

#[test]
fn the_stamp_is_in_the_snapshot_and_in_what_the_worker_reports() {
    let identity = Identity {
        deployment: Deployment::from_static("voice"),
        version: Version::from_static("v1"),
        worker: WorkerId::from_static("w-1"),
        incarnation: Incarnation::new(1),
    };
    let mut story = Story::serving();
    story.admits(1);
    story.says(2, obey(stamp(4, 7), PATIENTLY)).expect("a later order");
    let snapshot = RuntimeSnapshot::of(&story.worker, &identity, JournalHealth::default());
    assert_eq!((snapshot.obeyed, snapshot.drain.map(|drain| drain.begun)), (stamp(4, 7), Some(at(2))));
    let facts = Facts::of(story.worker.life());
    assert_eq!((facts.obeyed, facts.phase, facts.in_flight), (stamp(4, 7), Phase::Draining, 1));
    assert_eq!((facts.capacity, facts.available, facts.sealed), (3, 0, false));
}
