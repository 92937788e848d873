//! The life of a worker as dialogues: what the world says at which second, what the worker answers, and what it asks of
//! its shell. Time is virtual.

use openrtc_core::id::{Actor, CallId, CallNo};
use openrtc_core::machine::Machine;
use openrtc_core::time::{Instant, Span};
use openrtc_core::word::{Phase, Refusal};
use openrtc_core::worker::{
    Alert, Availability, Cause, Class, Command, Drain, DrainOrder, Effect, EndReason, Entry, Event, Limits, Misuse,
    OnDeadline, Outcome, Refused, Rejection, Repeat, Worker,
};

const ALICE: Actor = Actor::from_static("alice");
const SIGTERM: Actor = Actor::from_static("SIGTERM");
const CALL: CallId = CallId::from_static("call");
const CLASS: Class = Class(0);

/// A worker and everything it asked of its shell.
struct Story {
    worker: Worker,
    effects: Vec<Effect>,
}

impl Story {
    /// A worker that starts: 3 calls at most, 2 s to say goodbye, 10 s to assign, silent after 30 s.
    fn starting() -> Self {
        let limits = Limits { capacity: 3, ..Limits::default() };
        let worker = Worker::new(limits).expect("three calls are possible");
        Self { worker, effects: Vec::new() }
    }

    /// The same worker, open for calls.
    fn serving() -> Self {
        let mut story = Self::starting();
        story.tells(0, Command::Serve, Event::ServingBegan);
        story.asks(&[Effect::Announce(Availability::Open)]);
        story
    }

    fn says(&mut self, secs: u64, command: Command) -> Result<Entry, Rejection> {
        let entry = self.worker.step(at(secs), command)?;
        self.worker.react(&entry, &mut |effect| self.effects.push(effect));
        Ok(entry)
    }

    /// At this second the command has this event.
    #[track_caller]
    fn tells(&mut self, secs: u64, command: Command, event: Event) {
        assert_eq!(self.says(secs, command).map(|entry| entry.event), Ok(event));
    }

    /// At this second the command is refused, and nothing changes.
    #[track_caller]
    fn refuses(&mut self, secs: u64, command: Command, rejection: impl Into<Rejection>) {
        let before = self.worker.clone();
        assert_eq!(self.says(secs, command), Err(rejection.into()));
        assert_eq!(self.worker, before);
    }

    /// These effects have come since the last time.
    #[track_caller]
    fn asks(&mut self, effects: &[Effect]) {
        assert_eq!(std::mem::take(&mut self.effects), effects);
    }

    /// Nothing is due before this second, at which it has this event.
    #[track_caller]
    fn wakes(&mut self, secs: u64, event: Event) {
        let just_before = at(secs) - Span::from_micros(1);
        if just_before > self.worker.now() {
            assert_eq!(self.worker.decide(just_before, Command::Wake), Err(Misuse::NotDue.into()));
        }
        self.tells(secs, Command::Wake, event);
    }

    fn reserves(&mut self, secs: u64) -> CallNo {
        let entry = self.says(secs, Command::Reserve { id: CALL, class: CLASS }).expect("there is room");
        CallNo::new(entry.seq.get())
    }

    fn admits(&mut self, secs: u64) -> CallNo {
        let entry = self.says(secs, Command::Admit { id: CALL, class: CLASS }).expect("there is room");
        CallNo::new(entry.seq.get())
    }

    fn hangs_up(&mut self, secs: u64, call: CallNo) {
        self.ends(secs, call, EndReason::CallerHangup);
    }

    #[track_caller]
    fn ends(&mut self, secs: u64, call: CallNo, reason: EndReason) {
        self.tells(secs, Command::End { call, reason }, Event::CallEnded { call, reason });
    }

    fn drain(&self) -> &Drain {
        self.worker.drain().expect("it drains")
    }
}

const fn at(secs: u64) -> Instant {
    Instant::from_micros(secs * 1_000_000)
}

fn drain(cause: Cause, deadline: Option<u64>, on_deadline: OnDeadline) -> Command {
    let actor = if cause == Cause::Signal { SIGTERM } else { ALICE };
    Command::BeginDrain(DrainOrder { cause, actor, deadline: deadline.map(at), on_deadline })
}

fn patient_drain() -> Command {
    drain(Cause::Api, None, OnDeadline::Wait)
}

fn begun(command: Command) -> Event {
    let Command::BeginDrain(DrainOrder { cause, actor, deadline, on_deadline }) = command else {
        panic!("not the beginning of a drain: {command:?}")
    };
    Event::DrainBegun { cause, actor, deadline, on_deadline }
}

#[test]
fn a_call_reserved_before_the_drain_and_assigned_after_it_is_served_to_its_end() {
    let mut story = Story::serving();
    let call = story.reserves(1);
    story.tells(2, patient_drain(), begun(patient_drain()));
    story.asks(&[Effect::Announce(Availability::Closed)]);
    story.tells(3, Command::Assign { call }, Event::CallAssigned { call });
    story.refuses(4, Command::Close, Misuse::NotDrained);
    story.hangs_up(29, call);
    story.wakes(29, Event::Drained);
    story.asks(&[Effect::Finish]);
    story.tells(29, Command::Close, Event::Exited { outcome: Outcome::Clean });
    story.asks(&[Effect::Exit(Outcome::Clean)]);
}

#[test]
fn nothing_is_admitted_once_the_drain_began() {
    let mut story = Story::serving();
    story.admits(1);
    story.tells(2, patient_drain(), begun(patient_drain()));
    for secs in [2, 3, 3_600] {
        story.refuses(secs, Command::Admit { id: CALL, class: CLASS }, Refusal::Closed(Phase::Draining));
        story.refuses(secs, Command::Reserve { id: CALL, class: CLASS }, Refusal::Closed(Phase::Draining));
    }
    story.refuses(3, Command::Serve, Refusal::Closed(Phase::Draining));
}

#[test]
fn the_last_hang_up_drains_also_when_all_hang_up_at_once() {
    let mut story = Story::serving();
    let calls = [story.admits(1), story.admits(1), story.admits(1)];
    story.asks(&[Effect::Announce(Availability::Full)]);
    story.tells(2, patient_drain(), begun(patient_drain()));
    story.asks(&[Effect::Announce(Availability::Closed)]);
    for call in calls {
        story.refuses(9, Command::Close, Misuse::NotDrained);
        story.hangs_up(9, call);
    }
    story.wakes(9, Event::Drained);
    story.refuses(9, Command::Wake, Misuse::NotDue);
    story.asks(&[Effect::Finish]);
}

#[test]
fn an_idle_worker_drains_at_once() {
    let mut story = Story::serving();
    story.tells(1, patient_drain(), begun(patient_drain()));
    story.wakes(1, Event::Drained);
}

#[test]
fn a_cancelled_drain_goes_back_to_where_it_came_from() {
    let cancel = Command::CancelDrain { actor: ALICE };
    let cancelled = Event::DrainCancelled { actor: ALICE };

    let mut story = Story::serving();
    let call = story.admits(1);
    story.tells(2, patient_drain(), begun(patient_drain()));
    story.tells(3, cancel, cancelled);
    story.asks(&[Effect::Announce(Availability::Closed), Effect::Announce(Availability::Open)]);
    story.refuses(3, cancel, Repeat::NotDraining);
    assert_eq!((story.worker.phase(), story.worker.drain()), (Phase::Serving, None));
    story.admits(4);
    story.hangs_up(5, call);

    for phase in [Phase::Starting, Phase::Standby] {
        let mut story = Story::starting();
        if phase == Phase::Standby {
            story.tells(0, Command::StandBy, Event::StoodBy);
        }
        story.tells(1, patient_drain(), begun(patient_drain()));
        story.wakes(1, Event::Drained);
        story.tells(2, cancel, cancelled);
        assert_eq!(story.worker.phase(), phase, "also once it had drained");
        story.refuses(3, Command::Admit { id: CALL, class: CLASS }, Refusal::Closed(phase));
    }
}

#[test]
fn sigterm_seals_a_drain_that_an_operator_began_and_never_lengthens_its_deadline() {
    let seal = |deadline, on_deadline| Event::DrainSealed { actor: SIGTERM, deadline, on_deadline };
    for (term, deadline) in [(Some(30), 30), (Some(60), 60), (Some(90), 60), (None, 60)] {
        let mut story = Story::serving();
        story.admits(1);
        let order = drain(Cause::Api, Some(60), OnDeadline::Force);
        story.tells(2, order, begun(order));
        story.asks(&[Effect::Announce(Availability::Closed)]);
        let policy = if term.is_some() { OnDeadline::Force } else { OnDeadline::Wait };
        story.tells(3, drain(Cause::Signal, term, policy), seal(Some(at(deadline)), OnDeadline::Force));
        story.asks(&[Effect::Stop]);
        story.refuses(4, Command::CancelDrain { actor: ALICE }, Refused::Irrevocable);
        assert_eq!((story.drain().cause, story.drain().actor), (Cause::Api, ALICE), "it is still hers");
    }

    let mut story = Story::serving();
    story.admits(1);
    story.tells(2, patient_drain(), begun(patient_drain()));
    let term = drain(Cause::Signal, Some(60), OnDeadline::Force);
    story.tells(3, term, seal(Some(at(60)), OnDeadline::Force));
}

#[test]
fn repeated_sigterms_change_nothing() {
    let mut story = Story::serving();
    story.admits(1);
    let term = drain(Cause::Signal, Some(60), OnDeadline::Force);
    story.tells(2, term, begun(term));
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
    let calls = [reserved, story.admits(1), story.admits(1)];
    story.asks(&[Effect::Announce(Availability::Full)]);
    let order = drain(Cause::Api, Some(6), OnDeadline::Force);
    story.tells(2, order, begun(order));
    story.asks(&[Effect::Announce(Availability::Closed)]);
    let early = Command::End { call: calls[1], reason: EndReason::DrainForced };
    story.refuses(3, early, Misuse::NotForced);
    let deadline = Actor::from_static("deadline");
    story.wakes(6, Event::DrainForced { actor: deadline, live: 3, until: at(8) });
    story.asks(&[Effect::CancelCalls { until: at(8) }]);
    story.refuses(6, Command::ForceDrain { actor: ALICE }, Repeat::AlreadyForced);
    story.refuses(6, Command::CancelDrain { actor: ALICE }, Refused::Forced);
    story.refuses(6, Command::ExtendDrain { actor: ALICE, deadline: at(99) }, Refused::Forced);
    for call in calls {
        story.ends(7, call, EndReason::DrainForced);
    }
    story.wakes(7, Event::Drained);
    story.tells(7, Command::Close, Event::Exited { outcome: Outcome::Forced { dropped: 3 } });
}

#[test]
fn calls_that_ignore_the_cancel_are_dropped_at_the_end_of_the_grace_and_counted_exactly() {
    let mut story = Story::serving();
    let [polite, hung_up, deaf] = [story.admits(1), story.admits(1), story.admits(1)];
    story.tells(2, patient_drain(), begun(patient_drain()));
    story.tells(3, Command::ForceDrain { actor: ALICE }, Event::DrainForced { actor: ALICE, live: 3, until: at(5) });
    story.ends(4, polite, EndReason::DrainForced);
    story.hangs_up(4, hung_up);
    let outcome = Outcome::Forced { dropped: 2 };
    story.wakes(5, Event::Exited { outcome });
    assert_eq!(story.effects.last(), Some(&Effect::Exit(outcome)));
    let left: Vec<_> = story.worker.calls().iter().map(|(call, _)| call).collect();
    assert_eq!(left, [deaf], "the one that the exit dropped is named");
    story.refuses(6, Command::End { call: deaf, reason: EndReason::DrainForced }, Repeat::AlreadyEnded);
}

#[test]
fn a_forced_drain_that_cut_nothing_is_clean() {
    let mut story = Story::serving();
    let call = story.admits(1);
    story.tells(2, patient_drain(), begun(patient_drain()));
    story.tells(3, Command::ForceDrain { actor: ALICE }, Event::DrainForced { actor: ALICE, live: 1, until: at(5) });
    story.hangs_up(4, call);
    story.wakes(4, Event::Drained);
    story.tells(4, Command::Close, Event::Exited { outcome: Outcome::Clean });
}

#[test]
fn an_overdue_drain_alerts_once_and_again_after_more_time() {
    let mut story = Story::serving();
    let call = story.admits(1);
    let order = drain(Cause::Api, Some(10), OnDeadline::Alert);
    story.tells(2, order, begun(order));
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

#[test]
fn a_silent_call_is_flagged_not_ended_and_recovers() {
    let mut story = Story::serving();
    let call = story.admits(1);
    story.refuses(2, Command::Progress { call }, Repeat::ProgressNoted);
    story.tells(10, Command::Progress { call }, Event::CallProgressed { call });
    story.wakes(40, Event::CallStalled { call });
    story.asks(&[Effect::Alert(Alert::Stalled(call))]);
    story.refuses(400, Command::Wake, Misuse::NotDue);
    assert_eq!((story.worker.word().in_flight(), story.worker.calls().stalled()), (1, 1));
    story.tells(401, Command::Progress { call }, Event::CallProgressed { call });
    assert_eq!((story.worker.calls().stalled(), story.worker.tally().stalled), (0, 1));
    story.wakes(431, Event::CallStalled { call });
    story.hangs_up(432, call);
}

#[test]
fn a_clock_that_steps_back_is_clamped_and_counted() {
    let mut story = Story::serving();
    let call = story.admits(10);
    let entry = story.says(7, Command::End { call, reason: EndReason::CallerHangup }).expect("active");
    assert_eq!((entry.at, entry.behind), (at(10), Span::from_secs(3)));
    assert_eq!(story.worker.tally().clock_steps, 1);
    let entry = story.says(11, Command::Admit { id: CALL, class: CLASS }).expect("serving");
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
    story.refuses(12, Command::End { call, reason: EndReason::Withdrawn }, Repeat::AlreadyEnded);
    story.refuses(12, Command::Assign { call: CallNo::new(99) }, Misuse::NoSuchCall);

    let withdrawn = story.reserves(13);
    story.ends(14, withdrawn, EndReason::Withdrawn);
    story.refuses(15, Command::Assign { call: withdrawn }, Refused::ReservationGone);
}

#[test]
fn a_full_worker_says_so_at_the_edge_and_takes_calls_again() {
    let mut story = Story::serving();
    let [first, second, _] = [story.admits(1), story.admits(1), story.reserves(1)];
    story.refuses(2, Command::Admit { id: CALL, class: CLASS }, Refusal::Full);
    story.hangs_up(3, first);
    story.hangs_up(3, second);
    story.asks(&[Effect::Announce(Availability::Full), Effect::Announce(Availability::Open)]);
    story.admits(4);
}
