//! The worker machine under the laws.

mod draw;

use openrtc_core::id::{Actor, CallNo, Epoch, Incarnation, Seq};
use openrtc_core::order::{Order, Stamp, Wish};
use openrtc_core::time::{Instant, Span};
use openrtc_core::word::{Phase, Refusal};
use openrtc_core::worker::{
    Alert, Cause, Command, DrainOrder, Effect, EndReason, Entry, Event, Misuse, OnDeadline, Outcome, Refused,
    Rejection, Repeat, Terms, Why, Worker,
};
use proptest::prelude::*;

use crate::subject::{Subject, names};

pub(crate) struct WorkerSubject;

const ALICE: Actor = Actor::from_static("alice");
const SUCCESSOR: Incarnation = Incarnation::new(9);

/// A command whose calls, stamps and deadlines are meant relative to the state it meets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    As(Command),
    Assign(Pick),
    BeginDrain { cause: Cause, timeout: Option<Span>, on_deadline: OnDeadline },
    End(Pick, EndReason),
    ExpireLapse(Pick),
    ExpireStall(Pick),
    ExtendDrain { by: Span },
    HandOver(Pick),
    Obey(Given, Wish),
    Progress(Pick),
    Withdraw(Pick, EndReason),
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

/// When an order was given, seen from the last one that was obeyed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Given {
    Before,
    Then,
    Later,
    /// By a later coordinator.
    NextTerm,
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

impl Given {
    fn after(self, Stamp { epoch, order }: Stamp) -> Stamp {
        match self {
            Self::Before => Stamp { epoch, order: Seq::new(order.get().saturating_sub(1)) },
            Self::Then => Stamp { epoch, order },
            Self::Later => Stamp { epoch, order: order.next() },
            Self::NextTerm => Stamp { epoch: Epoch::new(epoch.get() + 1), order: Seq::new(0) },
        }
    }
}

impl Subject for WorkerSubject {
    type Machine = Worker;
    type Step = Step;

    fn starts() -> BoxedStrategy<Worker> {
        draw::starts()
    }

    fn steps() -> BoxedStrategy<Step> {
        draw::steps()
    }

    fn aim(worker: &Worker, at: Instant, step: &Step) -> Command {
        match *step {
            Step::As(command) => command,
            Step::Assign(pick) => Command::Assign { call: pick.among(worker) },
            Step::BeginDrain { cause, timeout, on_deadline } => {
                let deadline = timeout.map(|timeout| at + timeout);
                // What happens at a deadline that is not given: such terms nobody can make, but somebody may send.
                let terms = Terms::new(deadline, on_deadline);
                let terms = terms.unwrap_or(Terms { deadline: None, alert_at: Some(at), force_at: None });
                Command::BeginDrain(DrainOrder { cause, actor: ALICE, terms })
            }
            Step::End(pick, reason) => Command::End { call: pick.among(worker), reason },
            Step::ExpireLapse(pick) => Command::Expire(Why::Lapse(pick.among(worker))),
            Step::ExpireStall(pick) => Command::Expire(Why::Stall(pick.among(worker))),
            Step::ExtendDrain { by } => Command::ExtendDrain { actor: ALICE, deadline: at + by },
            Step::HandOver(pick) => Command::HandOver { call: pick.among(worker), to: SUCCESSOR },
            Step::Obey(given, wish) => Command::Obey(Order { stamp: given.after(worker.obeyed()), actor: ALICE, wish }),
            Step::Progress(pick) => Command::Progress { call: pick.among(worker) },
            Step::Withdraw(pick, reason) => Command::Withdraw { call: pick.among(worker), reason },
        }
    }

    fn strays() -> BoxedStrategy<Entry> {
        draw::strays()
    }

    fn rank(worker: &Worker) -> u8 {
        worker.phase() as u8
    }

    fn goes_back(entry: &Entry) -> bool {
        matches!(entry.event, Event::DrainCancelled { .. })
    }

    /// Two calls may share an id, so an admission twice is two calls; each count of declined calls adds to the one
    /// before; a call that moves again has moved again; and a wake is for whatever is due then.
    fn is_idempotent(command: &Command, _entry: &Entry) -> bool {
        match command {
            Command::Admit { .. }
            | Command::CountDeclines { .. }
            | Command::Expire(_)
            | Command::Progress { .. }
            | Command::Reserve { .. }
            | Command::TakeOver { .. }
            | Command::Wake => false,
            Command::Assign { .. }
            | Command::BeginDrain(_)
            | Command::CancelDrain { .. }
            | Command::End { .. }
            | Command::ExtendDrain { .. }
            | Command::ForceDrain { .. }
            | Command::HandOver { .. }
            | Command::Leave
            | Command::Obey(_)
            | Command::Reject
            | Command::Serve
            | Command::StandBy
            | Command::Withdraw { .. } => true,
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
        let never = [
            "Closed(Serving)", // the one phase that is open
            "Invalid",         // nothing to decide: whoever asks knows
            "Duplicate",
            "Exited(Clean), ordered", // a worker that is told to leave leaves by itself
        ];
        let all = [EVENTS, REJECTIONS, WHYS].concat();
        all.into_iter().filter(|name| !never.contains(name)).collect()
    }
}

names!(
    EVENTS, event_name, Event,
    Event::StoodBy => "StoodBy",
    Event::ServingBegan { stamp: None } => "ServingBegan",
    Event::ServingBegan { stamp: Some(_) } => "ServingBegan, ordered",
    Event::CallReserved { .. } => "CallReserved",
    Event::CallAdmitted { .. } => "CallAdmitted",
    Event::CallAssigned { .. } => "CallAssigned",
    Event::CallProgressed { .. } => "CallProgressed",
    Event::CallStalled { .. } => "CallStalled",
    Event::ReservationLapsed { .. } => "ReservationLapsed",
    Event::CallEnded { .. } => "CallEnded",
    Event::CallsDeclined { .. } => "CallsDeclined",
    Event::DrainBegun { stamp: None, .. } => "DrainBegun",
    Event::DrainBegun { stamp: Some(_), .. } => "DrainBegun, ordered",
    Event::DrainSealed { stamp: None, .. } => "DrainSealed",
    Event::DrainSealed { stamp: Some(_), .. } => "DrainSealed, ordered",
    Event::DrainExtended { .. } => "DrainExtended",
    Event::DrainTightened { stamp: None, .. } => "DrainTightened",
    Event::DrainTightened { stamp: Some(_), .. } => "DrainTightened, ordered",
    Event::DrainCancelled { stamp: None, .. } => "DrainCancelled",
    Event::DrainCancelled { stamp: Some(_), .. } => "DrainCancelled, ordered",
    Event::DrainOverdue { .. } => "DrainOverdue",
    Event::DrainForced { stamp: None, .. } => "DrainForced",
    Event::DrainForced { stamp: Some(_), .. } => "DrainForced, ordered",
    Event::Drained => "Drained",
    Event::Exited { outcome: Outcome::Clean, stamp: None } => "Exited(Clean)",
    Event::Exited { outcome: Outcome::Clean, stamp: Some(_) } => "Exited(Clean), ordered",
    Event::Exited { outcome: Outcome::Forced { .. }, .. } => "Exited(Forced)",
    Event::Exited { outcome: Outcome::Rejected, stamp: None } => "Exited(Rejected)",
    Event::Exited { outcome: Outcome::Rejected, stamp: Some(_) } => "Exited(Rejected), ordered",
    Event::OrderTaken { .. } => "OrderTaken",
    Event::CallTakenOver { .. } => "CallTakenOver",
    Event::CallHandedOver { .. } => "CallHandedOver",
);

names!(
    REJECTIONS, rejection_name, Rejection,
    Rejection::Repeat(Repeat::AlreadyAssigned) => "AlreadyAssigned",
    Rejection::Repeat(Repeat::AlreadyDraining) => "AlreadyDraining",
    Rejection::Repeat(Repeat::AlreadyEnded) => "AlreadyEnded",
    Rejection::Repeat(Repeat::AlreadyExited) => "AlreadyExited",
    Rejection::Repeat(Repeat::AlreadyLeaving) => "AlreadyLeaving",
    Rejection::Repeat(Repeat::AlreadyExtended) => "AlreadyExtended",
    Rejection::Repeat(Repeat::AlreadyForced) => "AlreadyForced",
    Rejection::Repeat(Repeat::AlreadyObeyed) => "AlreadyObeyed",
    Rejection::Repeat(Repeat::AlreadyThere) => "AlreadyThere",
    Rejection::Repeat(Repeat::NotDraining) => "Repeat(NotDraining)",
    Rejection::Repeat(Repeat::NothingDeclined) => "NothingDeclined",
    Rejection::Refused(Refused::Admission(Refusal::Closed(Phase::Starting))) => "Closed(Starting)",
    Rejection::Refused(Refused::Admission(Refusal::Closed(Phase::Standby))) => "Closed(Standby)",
    Rejection::Refused(Refused::Admission(Refusal::Closed(Phase::Serving))) => "Closed(Serving)",
    Rejection::Refused(Refused::Admission(Refusal::Closed(Phase::Draining))) => "Closed(Draining)",
    Rejection::Refused(Refused::Admission(Refusal::Closed(Phase::Drained))) => "Closed(Drained)",
    Rejection::Refused(Refused::Admission(Refusal::Closed(Phase::Exited))) => "Closed(Exited)",
    Rejection::Refused(Refused::Admission(Refusal::Full)) => "Full",
    Rejection::Refused(Refused::Admission(Refusal::Exhausted)) => "Exhausted",
    Rejection::Refused(Refused::Admission(Refusal::Invalid)) => "Invalid",
    Rejection::Refused(Refused::Admission(Refusal::Duplicate)) => "Duplicate",
    Rejection::Refused(Refused::Forced) => "Refused(Forced)",
    Rejection::Refused(Refused::Irrevocable) => "Irrevocable",
    Rejection::Refused(Refused::Overtaken { .. }) => "Overtaken",
    Rejection::Refused(Refused::ReservationGone) => "ReservationGone",
    Rejection::Misuse(Misuse::Assigned) => "Assigned",
    Rejection::Misuse(Misuse::BadTerms) => "BadTerms",
    Rejection::Misuse(Misuse::NotAssigned) => "NotAssigned",
    Rejection::Misuse(Misuse::NotDraining) => "Misuse(NotDraining)",
    Rejection::Misuse(Misuse::NotDrained) => "NotDrained",
    Rejection::Misuse(Misuse::NotDue) => "NotDue",
    Rejection::Misuse(Misuse::NotForced) => "NotForced",
    Rejection::Misuse(Misuse::NotLater) => "NotLater",
    Rejection::Misuse(Misuse::NoSuchCall) => "NoSuchCall",
    Rejection::Misuse(Misuse::WrongPhase) => "WrongPhase",
);

names!(
    WHYS, why_name, Why,
    Why::Empty => "Why::Empty",
    Why::GraceOver => "Why::GraceOver",
    Why::Force => "Why::Force",
    Why::Overdue => "Why::Overdue",
    Why::Leave => "Why::Leave",
    Why::Lapse(_) => "Why::Lapse",
    Why::Stall(_) => "Why::Stall",
);
