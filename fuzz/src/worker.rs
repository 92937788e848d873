//! Arbitrary bytes as the life of a worker: four for its limits, then four for each step.

use openrtc_core::codec;
use openrtc_core::id::{Actor, CallNo, Digest, Epoch, Incarnation, Seq};
use openrtc_core::machine::{Machine, fold};
use openrtc_core::order::{Order, Stamp, Wish};
use openrtc_core::time::{Instant, Span};
use openrtc_core::word::Phase;
use openrtc_core::worker::{
    CLASSES, Cause, Class, Command, Decline, DrainOrder, EndReason, Entry, Event, Leave, Limits, OnDeadline, Origin,
    Rejection, Terms, Why, Worker,
};

const ACTOR: Actor = Actor::from_static("fuzz");
const CALL: Digest = Digest::new(7);
const TICK: Span = Span::from_micros(1);

/// Leads the life and checks the machine's laws at each step.
pub fn check(bytes: &[u8]) {
    let Some((limits, steps)) = bytes.split_first_chunk::<4>() else { return };
    let start = Worker::new(limits_of(*limits)).expect("drawn from limits that work");
    let mut life = Life { at: Instant::EPOCH, worker: start.clone(), journal: Vec::new() };
    for step in steps.as_chunks::<4>().0 {
        life.step(*step);
    }
    let mut folded = start;
    fold(&mut folded, &life.journal);
    assert_eq!(folded, life.worker);
    assert_eq!(read_back(&folded), life.worker);
}

fn limits_of([capacity, grace, ttl, stall]: [u8; 4]) -> Limits {
    Limits {
        capacity: u32::from(capacity % 8) + 1,
        force_grace: Span::from_secs(u64::from(grace % 8)),
        reservation_ttl: Span::from_secs(u64::from(ttl % 8) + 1),
        stall_after: [Some(Span::from_secs(u64::from(stall % 8) + 1)), None, Some(Span::from_secs(2)), None],
        lame_duck: Span::from_secs(u64::from(grace / 8 % 8)),
        leave: if capacity & 8 > 0 { Leave::Parked } else { Leave::WhenDrained },
    }
}

struct Life {
    at: Instant,
    worker: Worker,
    journal: Vec<Entry>,
}

impl Life {
    fn step(&mut self, [pace, kind, which, how]: [u8; 4]) {
        self.at = self.paced(pace);
        self.check_deadline();
        let command = self.command(kind, which, how);
        let before = self.worker.clone();
        let Ok(entry) = self.worker.decide(self.at, command) else { return };
        assert_eq!(before.fits(&entry), Ok(()), "{command:?}");
        assert_eq!(read_back(&entry), entry);
        let mut followed = before.clone();
        assert_eq!(followed.follow(&entry, |seen| assert_eq!(*seen, before)), Ok(()), "{command:?}");
        self.worker.apply(&entry);
        assert_eq!(followed, self.worker);
        self.journal.push(entry);
        assert!(self.worker.is_sound(), "{entry:?}: {:?}", self.worker);
        self.check_life_goes_forward(&before, &entry);
        self.check_repeat(command);
    }

    fn paced(&self, pace: u8) -> Instant {
        let due = self.worker.deadline().map_or(self.at, |(due, _)| due.max(self.at));
        match pace {
            0..100 => self.at + Span::from_millis(u64::from(pace) * 100),
            100..150 => self.at,
            150..200 => due,
            200..220 => due - TICK,
            220..240 => self.at - Span::from_secs(u64::from(pace - 219)),
            240.. => self.at + Span::from_secs(u64::from(pace - 239) * 3_600),
        }
    }

    fn command(&self, kind: u8, which: u8, how: u8) -> Command {
        let (call, class) = (self.call(which), Class::new(how % CLASSES.to_le_bytes()[0]).expect("below the limit"));
        let reason = EndReason::ALL[usize::from(how) % EndReason::ALL.len()];
        let later = self.at + Span::from_secs(u64::from(which));
        match kind % 24 {
            0 => Command::Serve,
            1 => Command::StandBy,
            2 => Command::Admit { id: CALL, class },
            3 => Command::Reserve { id: CALL, class },
            4 => Command::Assign { call },
            5 => Command::End { call, reason },
            6 => Command::Progress { call },
            7 => Command::CountDeclines {
                reason: Decline::ALL[usize::from(how) % Decline::ALL.len()],
                count: u64::from(which) << (how % 64),
            },
            8 => Command::BeginDrain(DrainOrder {
                cause: [Cause::Api, Cause::Signal, Cause::Coordinator, Cause::Fence][usize::from(how % 4)],
                actor: ACTOR,
                terms: terms((how & 4 > 0).then_some(later), on_deadline(how)),
            }),
            9 => Command::CancelDrain { actor: ACTOR },
            10 => Command::ExtendDrain { actor: ACTOR, deadline: later },
            11 => Command::ForceDrain { actor: ACTOR },
            12 => Command::Leave,
            13 => Command::Reject,
            16 => Command::Withdraw { call, reason },
            17 => Command::HandOver { call, to: Incarnation::new(u64::from(how)) },
            18 => Command::TakeOver {
                id: CALL,
                class,
                origin: Origin { run: Incarnation::new(1), call: CallNo::new(u64::from(which)), given: how & 4 > 0 },
            },
            19 => Command::Obey(Order { stamp: self.stamp(which), actor: ACTOR, wish: wish(how) }),
            20 => Command::Expire(self.why(which, how)),
            14 | 15 | 21.. => Command::Wake,
        }
    }

    /// Mostly a stamp above the last one that was obeyed.
    fn stamp(&self, which: u8) -> Stamp {
        let Stamp { epoch, order } = self.worker.obeyed();
        match which {
            0..200 => Stamp { epoch, order: Seq::new(order.get() + 1 + u64::from(which % 3)) },
            200..220 => Stamp { epoch, order },
            220..240 => Stamp { epoch, order: Seq::new(order.get().saturating_sub(1)) },
            240.. => Stamp { epoch: Epoch::new(epoch.get() + 1), order: Seq::new(0) },
        }
    }

    fn why(&self, which: u8, how: u8) -> Why {
        match how % 8 {
            0 => Why::Empty,
            1 => Why::GraceOver,
            2 => Why::Force,
            3 => Why::Overdue,
            4 => Why::Leave,
            5 => Why::Lapse(self.call(which)),
            6 => Why::Stall(self.call(which)),
            7.. => self.worker.deadline().map_or(Why::Empty, |(_, why)| why),
        }
    }

    /// One of the calls in flight, or, for a large `which`, any number near those given out.
    fn call(&self, which: u8) -> CallNo {
        let calls = self.worker.calls();
        let nth = usize::from(which) % calls.len().max(1);
        let living = calls.iter().nth(nth).map(|(call, _)| call).filter(|_| which < 200);
        living.unwrap_or(CallNo::new((self.worker.word().seq().get() + 1).saturating_sub(u64::from(which % 50))))
    }

    /// A time-out is acted on when it is due and not before, whether it is picked or named.
    fn check_deadline(&self) {
        let wakes = |at| self.worker.decide(at, Command::Wake);
        let Some((due, why)) = self.worker.deadline() else {
            assert!(wakes(Instant::from_micros(u64::MAX)).is_err());
            return;
        };
        assert!(wakes(due).is_ok(), "{why:?}");
        assert!(due <= self.worker.now() || wakes(due - TICK).is_err(), "{why:?}");
        let calls = self.worker.due_calls(due + Span::from_secs(2));
        for (due, why) in calls.take(4).chain([(due, why)]) {
            let expires = |at| self.worker.decide(at, Command::Expire(why)).is_ok();
            assert!(expires(due), "{why:?}");
            assert!(due <= self.worker.now() || !expires(due - TICK), "{why:?}");
        }
    }

    fn check_life_goes_forward(&self, before: &Worker, entry: &Entry) {
        let back = matches!(entry.event, Event::DrainCancelled { .. });
        assert!(self.worker.phase() >= before.phase() || back, "{entry:?}");
        let promised = self.worker.tally().promised() > before.tally().promised();
        let taken_over = self.worker.tally().taken_over > before.tally().taken_over;
        let open = if taken_over { Phase::Starting } else { Phase::Serving };
        assert!(!promised || before.phase() == open, "{entry:?}");
        match entry.event.stamp() {
            Some(stamp) => assert!(stamp > before.obeyed() && self.worker.obeyed() == stamp, "{entry:?}"),
            None => assert_eq!(self.worker.obeyed(), before.obeyed(), "{entry:?}"),
        }
    }

    fn check_repeat(&self, command: Command) {
        let adds = matches!(
            command,
            Command::Admit { .. }
                | Command::CountDeclines { .. }
                | Command::Expire(_)
                | Command::Progress { .. }
                | Command::Reserve { .. }
                | Command::TakeOver { .. }
                | Command::Wake
        );
        let again = self.worker.decide(self.at, command);
        assert!(adds || matches!(again, Err(Rejection::Repeat(_))), "{command:?} again: {again:?}");
    }
}

const fn on_deadline(how: u8) -> OnDeadline {
    match how / 8 % 3 {
        0 => OnDeadline::Wait,
        1 => OnDeadline::Alert,
        2.. => OnDeadline::Force,
    }
}

/// Without a deadline, what is to happen at one are terms that the worker refuses.
fn terms(deadline: Option<Instant>, on_deadline: OnDeadline) -> Terms {
    let forged = Terms { deadline: None, alert_at: Some(Instant::EPOCH), force_at: None };
    Terms::new(deadline, on_deadline).unwrap_or(forged)
}

const fn wish(how: u8) -> Wish {
    match how % 8 {
        0 => Wish::Join,
        1 => Wish::Serve,
        2 => Wish::Drain { within: None, on_deadline: on_deadline(how) },
        3 => Wish::Drain { within: Some(Span::from_secs(how as u64)), on_deadline: on_deadline(how) },
        4 => Wish::CancelDrain,
        5 => Wish::ForceDrain,
        6 => Wish::Leave,
        7.. => Wish::Reject,
    }
}

fn read_back<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    let mut bytes = Vec::new();
    codec::encode(value, &mut bytes);
    codec::decode::<T, { 1 << 20 }>(&bytes).expect("what was written can be read")
}
