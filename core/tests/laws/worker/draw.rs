//! Workers, steps and entries drawn at random, weighted so that whole scripts reach everything.

use openrtc_core::id::{CallNo, Digest, Epoch, Incarnation, Seq};
use openrtc_core::order::{Stamp, Wish};
use openrtc_core::time::{Instant, Span};
use openrtc_core::word::Word;
use openrtc_core::worker::{
    Cause, Class, Command, Decline, EndReason, Entry, Event, Leave, Limits, OnDeadline, Origin, Outcome, Terms, Why,
    Worker,
};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::{ALICE, Given, Pick, SUCCESSOR, Step};
use crate::common::Forged;

pub(super) fn starts() -> BoxedStrategy<Worker> {
    let worker = |limits| Worker::new(limits).expect("these limits work");
    let old = move |limits| Forged::of(&worker(limits)).aged(Word::SEQ_ADMIT_MAX - 3).worker();
    prop_oneof![7 => limits().prop_map(worker), 1 => limits().prop_map(old)].boxed()
}

/// Small workers, so that full ones, silent calls and late answers are common.
fn limits() -> impl Strategy<Value = Limits> {
    let leave = select(vec![Leave::WhenDrained, Leave::Parked]);
    (1..5_u32, 0..4_u64, 1..6_u64, 0..3_u64, leave).prop_map(|(capacity, grace, ttl, lame_duck, leave)| Limits {
        capacity,
        force_grace: Span::from_secs(grace),
        reservation_ttl: Span::from_secs(ttl),
        stall_after: [Some(Span::from_secs(8)), None, Some(Span::from_secs(2)), None],
        lame_duck: Span::from_secs(lame_duck),
        leave,
    })
}

pub(super) fn steps() -> BoxedStrategy<Step> {
    let phases = vec![Command::Serve, Command::StandBy, Command::Leave, Command::Reject];
    prop_oneof![
        24 => life_of_calls(),
        12 => life_of_drains(),
        6 => select(phases).prop_map(Step::As),
        6 => orders(),
        12 => Just(Step::As(Command::Wake)),
        2 => expiries(),
    ]
    .boxed()
}

fn life_of_calls() -> impl Strategy<Value = Step> {
    let admit = (id(), class()).prop_map(|(id, class)| Step::As(Command::Admit { id, class }));
    let reserve = (id(), class()).prop_map(|(id, class)| Step::As(Command::Reserve { id, class }));
    let take_over = (id(), class(), origin());
    let take_over = take_over.prop_map(|(id, class, origin)| Step::As(Command::TakeOver { id, class, origin }));
    let declines = (select(&Decline::ALL[..]), 0..4_u64);
    let ended = || (pick(), select(&EndReason::ALL[..]));
    prop_oneof![
        6 => admit,
        6 => reserve,
        5 => pick().prop_map(Step::Assign),
        5 => ended().prop_map(|(pick, reason)| Step::End(pick, reason)),
        3 => ended().prop_map(|(pick, reason)| Step::Withdraw(pick, reason)),
        4 => pick().prop_map(Step::Progress),
        2 => take_over,
        1 => pick().prop_map(Step::HandOver),
        1 => declines.prop_map(|(reason, count)| Step::As(Command::CountDeclines { reason, count })),
    ]
}

fn life_of_drains() -> impl Strategy<Value = Step> {
    let begin = (cause(), timeout(), on_deadline());
    prop_oneof![
        5 => begin.prop_map(|(cause, timeout, on_deadline)| Step::BeginDrain { cause, timeout, on_deadline }),
        2 => Just(Step::As(Command::CancelDrain { actor: ALICE })),
        2 => (0..20_u64).prop_map(|secs| Step::ExtendDrain { by: Span::from_secs(secs) }),
        1 => Just(Step::As(Command::ForceDrain { actor: ALICE })),
    ]
}

fn orders() -> impl Strategy<Value = Step> {
    let drain = (timeout(), on_deadline()).prop_map(|(within, on_deadline)| Wish::Drain { within, on_deadline });
    let plain = vec![Wish::Join, Wish::Serve, Wish::CancelDrain, Wish::ForceDrain, Wish::Leave, Wish::Reject];
    let given = prop_oneof![
        1 => Just(Given::Before),
        1 => Just(Given::Then),
        6 => Just(Given::Later),
        1 => Just(Given::NextTerm),
    ];
    (given, prop_oneof![1 => drain, 3 => select(plain)]).prop_map(|(given, wish)| Step::Obey(given, wish))
}

fn expiries() -> impl Strategy<Value = Step> {
    let of_drains = vec![Why::Empty, Why::GraceOver, Why::Force, Why::Overdue, Why::Leave];
    prop_oneof![
        select(of_drains).prop_map(|why| Step::As(Command::Expire(why))),
        pick().prop_map(Step::ExpireLapse),
        pick().prop_map(Step::ExpireStall),
    ]
}

pub(super) fn strays() -> BoxedStrategy<Entry> {
    let entry = |(seq, at, behind, event)| Entry {
        seq: Seq::new(seq),
        at: Instant::from_micros(at),
        behind: Span::from_micros(behind),
        event,
    };
    (any::<u64>(), any::<u64>(), any::<u64>(), event()).prop_map(entry).boxed()
}

fn event() -> impl Strategy<Value = Event> {
    let call = || (0..80_u64).prop_map(CallNo::new);
    let of_calls = prop_oneof![
        (id(), class()).prop_map(|(id, class)| Event::CallReserved { id, class }),
        (id(), class()).prop_map(|(id, class)| Event::CallAdmitted { id, class }),
        (id(), class(), origin()).prop_map(|(id, class, origin)| Event::CallTakenOver { id, class, origin }),
        call().prop_map(|call| Event::CallHandedOver { call, to: SUCCESSOR }),
        call().prop_map(|call| Event::CallAssigned { call }),
        call().prop_map(|call| Event::CallProgressed { call }),
        call().prop_map(|call| Event::CallStalled { call }),
        call().prop_map(|call| Event::ReservationLapsed { call }),
        (call(), select(&EndReason::ALL[..])).prop_map(|(call, reason)| Event::CallEnded { call, reason }),
        (select(&Decline::ALL[..]), any::<u64>()).prop_map(|(reason, count)| Event::CallsDeclined { reason, count }),
    ];
    let (begun, sealed, tightened) = ((cause(), terms(), stamp()), (cause(), terms(), stamp()), (terms(), stamp()));
    let actor = ALICE;
    let of_drains = prop_oneof![
        begun.prop_map(move |(cause, terms, stamp)| Event::DrainBegun { cause, actor, terms, stamp }),
        sealed.prop_map(move |(cause, terms, stamp)| Event::DrainSealed { cause, actor, terms, stamp }),
        tightened.prop_map(move |(terms, stamp)| Event::DrainTightened { actor, terms, stamp }),
        instant().prop_map(move |deadline| Event::DrainExtended { actor, deadline }),
        stamp().prop_map(move |stamp| Event::DrainCancelled { actor, stamp }),
        any::<u32>().prop_map(|live| Event::DrainOverdue { live }),
        (any::<u32>(), stamp()).prop_map(move |(live, stamp)| Event::DrainForced { actor, live, stamp }),
    ];
    let outcome = select(vec![Outcome::Clean, Outcome::Forced { dropped: u64::MAX }, Outcome::Rejected]);
    let of_the_worker = prop_oneof![
        Just(Event::StoodBy),
        stamp().prop_map(|stamp| Event::ServingBegan { stamp }),
        Just(Event::Drained),
        (outcome, stamp()).prop_map(|(outcome, stamp)| Event::Exited { outcome, stamp }),
        stamp().prop_map(move |stamp| Event::OrderTaken { stamp: stamp.unwrap_or_default(), actor }),
    ];
    prop_oneof![of_calls, of_drains, of_the_worker]
}

fn instant() -> impl Strategy<Value = Instant> {
    any::<u64>().prop_map(Instant::from_micros)
}

/// Any at all, also those that no order can have.
fn terms() -> impl Strategy<Value = Terms> {
    let at = || option::of(instant());
    (at(), at(), at()).prop_map(|(deadline, alert_at, force_at)| Terms { deadline, alert_at, force_at })
}

fn stamp() -> impl Strategy<Value = Option<Stamp>> {
    let stamp = |(epoch, order)| Stamp { epoch: Epoch::new(epoch), order: Seq::new(order) };
    option::of((0..4_u64, 0..40_u64).prop_map(stamp))
}

fn id() -> impl Strategy<Value = Digest> {
    select(vec![Digest::new(7), Digest::new(u64::MAX)])
}

fn class() -> impl Strategy<Value = Class> {
    (0..4_u8).prop_map(|index| Class::new(index).expect("below the limit"))
}

fn origin() -> impl Strategy<Value = Origin> {
    (1..4_u64, 1..9_u64, any::<bool>()).prop_map(|(run, call, given)| Origin {
        run: Incarnation::new(run),
        call: CallNo::new(call),
        given,
    })
}

fn pick() -> impl Strategy<Value = Pick> {
    prop_oneof![
        8 => (0..8_usize).prop_map(Pick::Living),
        3 => (0..40_u64).prop_map(Pick::Earlier),
        1 => Just(Pick::Never),
    ]
}

fn timeout() -> impl Strategy<Value = Option<Span>> {
    option::of((0..9_u64).prop_map(Span::from_secs))
}

fn cause() -> impl Strategy<Value = Cause> {
    select(vec![Cause::Api, Cause::Signal, Cause::Coordinator, Cause::Fence])
}

fn on_deadline() -> impl Strategy<Value = OnDeadline> {
    select(vec![OnDeadline::Wait, OnDeadline::Alert, OnDeadline::Force])
}
