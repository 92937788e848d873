//! The worker machine under the laws.

use openrtc_core::id::{Actor, CallId, CallNo, Seq};
use openrtc_core::time::{Instant, Span};
use openrtc_core::word::{Phase, Refusal, Word};
use openrtc_core::worker::{
    Alert, Cause, Class, Command, Decline, DrainOrder, Effect, EndReason, Entry, Event, Limits, Misuse, OnDeadline,
    Outcome, Refused, Rejection, Repeat, Why, Worker,
};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::common::Forged;
use crate::subject::{Subject, names};

pub(crate) struct WorkerSubject;

/// A command whose calls and deadlines are meant relative to the state it meets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    As(Command),
    Assign(Pick),
    BeginDrain { cause: Cause, timeout: Option<Span>, on_deadline: OnDeadline },
    End(Pick, EndReason),
    ExtendDrain { by: Span },
    Progress(Pick),
}

/// Which call a step is about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pick {
    /// One in flight, if there is one.
    Living(usize),
    /// The call that some earlier entry began, if it did.
    Earlier(u64),
    /// One that never was.
    Never,
}

impl Pick {
    fn among(self, worker: &Worker) -> CallNo {
        let seq = worker.word().seq().get();
        match self {
            Self::Living(nth) => {
                let nth = nth % worker.calls().len().max(1);
                worker.calls().iter().nth(nth).map_or(CallNo::new(1), |(call, _)| call)
            }
            Self::Earlier(back) => CallNo::new(seq.saturating_sub(back).max(1)),
            Self::Never => CallNo::new(seq + 1),
        }
    }
}

impl Subject for WorkerSubject {
    type Machine = Worker;
    type Step = Step;

    fn starts() -> BoxedStrategy<Worker> {
        let worker = |limits| Worker::new(limits).expect("these limits work");
        let old = move |limits| Forged::of(&worker(limits)).aged(Word::SEQ_ADMIT_MAX - 3).worker();
        prop_oneof![7 => limits().prop_map(worker), 1 => limits().prop_map(old)].boxed()
    }

    fn steps() -> BoxedStrategy<Step> {
        prop_oneof![
            20 => life_of_calls(),
            12 => life_of_drains(),
            6 => select(vec![Command::Serve, Command::StandBy, Command::Close, Command::Reject]).prop_map(Step::As),
            12 => Just(Step::As(Command::Wake)),
        ]
        .boxed()
    }

    fn aim(worker: &Worker, at: Instant, step: &Step) -> Command {
        match *step {
            Step::As(command) => command,
            Step::Assign(pick) => Command::Assign { call: pick.among(worker) },
            Step::BeginDrain { cause, timeout, on_deadline } => {
                let deadline = timeout.map(|timeout| at + timeout);
                Command::BeginDrain(DrainOrder { cause, actor: actor(), deadline, on_deadline })
            }
            Step::End(pick, reason) => Command::End { call: pick.among(worker), reason },
            Step::ExtendDrain { by } => Command::ExtendDrain { actor: actor(), deadline: at + by },
            Step::Progress(pick) => Command::Progress { call: pick.among(worker) },
        }
    }

    fn strays() -> BoxedStrategy<Entry> {
        let entry = |(seq, at, behind, event)| Entry {
            seq: Seq::new(seq),
            at: Instant::from_micros(at),
            behind: Span::from_micros(behind),
            event,
        };
        (any::<u64>(), any::<u64>(), any::<u64>(), event()).prop_map(entry).boxed()
    }

    fn rank(worker: &Worker) -> u8 {
        worker.phase() as u8
    }

    fn goes_back(entry: &Entry) -> bool {
        matches!(entry.event, Event::DrainCancelled { .. })
    }

    /// Two calls may share an id, so an admission twice is two calls; each count of declined calls adds to the one
    /// before; and a wake is for whatever is due then.
    fn is_idempotent(command: &Command) -> bool {
        match command {
            Command::Admit { .. } | Command::CountDeclines { .. } | Command::Reserve { .. } | Command::Wake => false,
            Command::Assign { .. }
            | Command::BeginDrain(_)
            | Command::CancelDrain { .. }
            | Command::Close
            | Command::End { .. }
            | Command::ExtendDrain { .. }
            | Command::ForceDrain { .. }
            | Command::Progress { .. }
            | Command::Reject
            | Command::Serve
            | Command::StandBy => true,
        }
    }

    fn is_repeat(rejection: &Rejection) -> bool {
        matches!(rejection, Rejection::Repeat(_))
    }

    /// Whoever held a reservation held it through a connection of the process, so a crash tells them what the lapse
    /// would have. Everything else concerns the world and is owed for as long as the state says so.
    fn dies_with_process(effect: &Effect) -> bool {
        matches!(effect, Effect::Lapse(_))
    }

    /// Effects are levels, not edges: each says what a part of the state is now. One that speaks of another state is
    /// contradicted by what is owed instead, as an announcement of room is once the room is taken.
    fn is_moot(worker: &Worker, effect: &Effect) -> bool {
        let over = worker.phase() == Phase::Exited;
        let drain = worker.drain();
        match *effect {
            Effect::Alert(Alert::Overdue) => over || drain.is_none_or(|drain| !drain.overdue),
            Effect::Alert(Alert::Stalled(call)) => over || worker.calls().get(call).is_none_or(|call| !call.stalled),
            Effect::Announce(availability) => over || availability != worker.availability(),
            Effect::CancelCalls { .. } | Effect::Stop => over,
            Effect::Exit(_) => false,
            Effect::Finish => worker.phase() != Phase::Drained,
            Effect::Lapse(_) => true,
        }
    }

    fn entry_name(entry: &Entry) -> &'static str {
        event_name(&entry.event)
    }

    fn rejection_name(rejection: &Rejection) -> &'static str {
        rejection_name(rejection)
    }

    fn why_name(why: &Why) -> &'static str {
        why_name(why)
    }

    fn everything() -> Vec<&'static str> {
        let never = "Closed(Serving)"; // the one phase that is open
        [EVENTS, REJECTIONS, WHYS].concat().into_iter().filter(|name| *name != never).collect()
    }
}

const fn actor() -> Actor {
    Actor::from_static("alice")
}

/// Small workers, so that full ones, silent calls and late answers are common.
fn limits() -> impl Strategy<Value = Limits> {
    (1..5_u32, 0..4_u64, 1..6_u64).prop_map(|(capacity, grace, ttl)| Limits {
        capacity,
        force_grace: Span::from_secs(grace),
        reservation_ttl: Span::from_secs(ttl),
        stall_after: [Some(Span::from_secs(8)), None, Some(Span::from_secs(2)), None],
    })
}

fn life_of_calls() -> impl Strategy<Value = Step> {
    let admit = (id(), class()).prop_map(|(id, class)| Step::As(Command::Admit { id, class }));
    let reserve = (id(), class()).prop_map(|(id, class)| Step::As(Command::Reserve { id, class }));
    let declines = (select(&Decline::ALL[..]), 0..4_u64);
    prop_oneof![
        6 => admit,
        6 => reserve,
        5 => pick().prop_map(Step::Assign),
        5 => (pick(), select(&EndReason::ALL[..])).prop_map(|(pick, reason)| Step::End(pick, reason)),
        4 => pick().prop_map(Step::Progress),
        1 => declines.prop_map(|(reason, count)| Step::As(Command::CountDeclines { reason, count })),
    ]
}

fn life_of_drains() -> impl Strategy<Value = Step> {
    let timeout = option::of((0..9_u64).prop_map(Span::from_secs));
    let begin = (cause(), timeout, on_deadline());
    prop_oneof![
        5 => begin.prop_map(|(cause, timeout, on_deadline)| Step::BeginDrain { cause, timeout, on_deadline }),
        2 => Just(Step::As(Command::CancelDrain { actor: actor() })),
        2 => (0..20_u64).prop_map(|secs| Step::ExtendDrain { by: Span::from_secs(secs) }),
        1 => Just(Step::As(Command::ForceDrain { actor: actor() })),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let call = || (0..80_u64).prop_map(CallNo::new);
    let instant = || any::<u64>().prop_map(Instant::from_micros);
    let of_calls = prop_oneof![
        (id(), any::<u8>()).prop_map(|(id, class)| Event::CallReserved { id, class: Class(class) }),
        (id(), class()).prop_map(|(id, class)| Event::CallAdmitted { id, class }),
        call().prop_map(|call| Event::CallAssigned { call }),
        call().prop_map(|call| Event::CallProgressed { call }),
        call().prop_map(|call| Event::CallStalled { call }),
        call().prop_map(|call| Event::ReservationLapsed { call }),
        (call(), select(&EndReason::ALL[..])).prop_map(|(call, reason)| Event::CallEnded { call, reason }),
        (select(&Decline::ALL[..]), any::<u64>()).prop_map(|(reason, count)| Event::CallsDeclined { reason, count }),
    ];
    let begun = (cause(), option::of(instant()), on_deadline());
    let of_drains = prop_oneof![
        begun.prop_map(|(cause, deadline, on_deadline)| Event::DrainBegun {
            cause,
            actor: actor(),
            deadline,
            on_deadline
        }),
        (option::of(instant()), on_deadline()).prop_map(|(deadline, on_deadline)| Event::DrainSealed {
            actor: actor(),
            deadline,
            on_deadline
        }),
        instant().prop_map(|deadline| Event::DrainExtended { actor: actor(), deadline }),
        Just(Event::DrainCancelled { actor: actor() }),
        any::<u32>().prop_map(|live| Event::DrainOverdue { live }),
        (any::<u32>(), instant()).prop_map(|(live, until)| Event::DrainForced { actor: actor(), live, until }),
    ];
    let of_the_worker = select(vec![
        Event::StoodBy,
        Event::ServingBegan,
        Event::Drained,
        Event::Exited { outcome: Outcome::Clean },
        Event::Exited { outcome: Outcome::Forced { dropped: u64::MAX } },
        Event::Exited { outcome: Outcome::Rejected },
    ]);
    prop_oneof![of_calls, of_drains, of_the_worker]
}

fn id() -> impl Strategy<Value = CallId> {
    select(vec![CallId::from_static("a"), CallId::from_static("b")])
}

fn class() -> impl Strategy<Value = Class> {
    (0..5_u8).prop_map(Class)
}

fn pick() -> impl Strategy<Value = Pick> {
    prop_oneof![
        8 => (0..8_usize).prop_map(Pick::Living),
        3 => (0..40_u64).prop_map(Pick::Earlier),
        1 => Just(Pick::Never),
    ]
}

fn cause() -> impl Strategy<Value = Cause> {
    select(vec![Cause::Api, Cause::Signal, Cause::Coordinator, Cause::Fence])
}

fn on_deadline() -> impl Strategy<Value = OnDeadline> {
    select(vec![OnDeadline::Wait, OnDeadline::Alert, OnDeadline::Force])
}

names!(
    EVENTS, event_name, Event,
    Event::StoodBy => "StoodBy",
    Event::ServingBegan => "ServingBegan",
    Event::CallReserved { .. } => "CallReserved",
    Event::CallAdmitted { .. } => "CallAdmitted",
    Event::CallAssigned { .. } => "CallAssigned",
    Event::CallProgressed { .. } => "CallProgressed",
    Event::CallStalled { .. } => "CallStalled",
    Event::ReservationLapsed { .. } => "ReservationLapsed",
    Event::CallEnded { .. } => "CallEnded",
    Event::CallsDeclined { .. } => "CallsDeclined",
    Event::DrainBegun { .. } => "DrainBegun",
    Event::DrainSealed { .. } => "DrainSealed",
    Event::DrainExtended { .. } => "DrainExtended",
    Event::DrainCancelled { .. } => "DrainCancelled",
    Event::DrainOverdue { .. } => "DrainOverdue",
    Event::DrainForced { .. } => "DrainForced",
    Event::Drained => "Drained",
    Event::Exited { outcome: Outcome::Clean } => "Exited(Clean)",
    Event::Exited { outcome: Outcome::Forced { .. } } => "Exited(Forced)",
    Event::Exited { outcome: Outcome::Rejected } => "Exited(Rejected)",
);

names!(
    REJECTIONS, rejection_name, Rejection,
    Rejection::Repeat(Repeat::AlreadyAssigned) => "AlreadyAssigned",
    Rejection::Repeat(Repeat::AlreadyDraining) => "AlreadyDraining",
    Rejection::Repeat(Repeat::AlreadyEnded) => "AlreadyEnded",
    Rejection::Repeat(Repeat::AlreadyExited) => "AlreadyExited",
    Rejection::Repeat(Repeat::AlreadyExtended) => "AlreadyExtended",
    Rejection::Repeat(Repeat::AlreadyForced) => "AlreadyForced",
    Rejection::Repeat(Repeat::AlreadyThere) => "AlreadyThere",
    Rejection::Repeat(Repeat::NotDraining) => "Repeat(NotDraining)",
    Rejection::Repeat(Repeat::NothingDeclined) => "NothingDeclined",
    Rejection::Repeat(Repeat::ProgressNoted) => "ProgressNoted",
    Rejection::Refused(Refused::Admission(Refusal::Closed(Phase::Starting))) => "Closed(Starting)",
    Rejection::Refused(Refused::Admission(Refusal::Closed(Phase::Standby))) => "Closed(Standby)",
    Rejection::Refused(Refused::Admission(Refusal::Closed(Phase::Serving))) => "Closed(Serving)",
    Rejection::Refused(Refused::Admission(Refusal::Closed(Phase::Draining))) => "Closed(Draining)",
    Rejection::Refused(Refused::Admission(Refusal::Closed(Phase::Drained))) => "Closed(Drained)",
    Rejection::Refused(Refused::Admission(Refusal::Closed(Phase::Exited))) => "Closed(Exited)",
    Rejection::Refused(Refused::Admission(Refusal::Full)) => "Full",
    Rejection::Refused(Refused::Admission(Refusal::Exhausted)) => "Exhausted",
    Rejection::Refused(Refused::Forced) => "Refused(Forced)",
    Rejection::Refused(Refused::Irrevocable) => "Irrevocable",
    Rejection::Refused(Refused::ReservationGone) => "ReservationGone",
    Rejection::Misuse(Misuse::DeadlineMissing) => "DeadlineMissing",
    Rejection::Misuse(Misuse::NotDraining) => "Misuse(NotDraining)",
    Rejection::Misuse(Misuse::NotDrained) => "NotDrained",
    Rejection::Misuse(Misuse::NotDue) => "NotDue",
    Rejection::Misuse(Misuse::NotForced) => "NotForced",
    Rejection::Misuse(Misuse::NotLater) => "NotLater",
    Rejection::Misuse(Misuse::NoSuchCall) => "NoSuchCall",
    Rejection::Misuse(Misuse::WrongPhase) => "WrongPhase",
    Rejection::Misuse(Misuse::UnknownClass) => "UnknownClass",
);

names!(
    WHYS, why_name, Why,
    Why::Empty => "Why::Empty",
    Why::GraceOver => "Why::GraceOver",
    Why::Overdue => "Why::Overdue",
    Why::Lapse(_) => "Why::Lapse",
    Why::Stall(_) => "Why::Stall",
);
