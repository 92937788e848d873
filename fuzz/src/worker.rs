//! Arbitrary bytes as the life of a worker: four for its limits, then four for each step.

use openrtc_core::codec;
use openrtc_core::id::{Actor, CallId, CallNo};
use openrtc_core::machine::{Machine, fold};
use openrtc_core::time::{Instant, Span};
use openrtc_core::word::Phase;
use openrtc_core::worker::{
    Cause, Class, Command, Decline, DrainOrder, EndReason, Entry, Event, Limits, OnDeadline, Rejection, Worker,
};

const ACTOR: Actor = Actor::from_static("fuzz");
const CALL: CallId = CallId::from_static("call");
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
        self.worker.apply(&entry);
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
        let call = self.call(which);
        let later = self.at + Span::from_secs(u64::from(which));
        match kind % 16 {
            0 => Command::Serve,
            1 => Command::StandBy,
            2 => Command::Admit { id: CALL, class: Class(how % 5) },
            3 => Command::Reserve { id: CALL, class: Class(how % 5) },
            4 => Command::Assign { call },
            5 => Command::End { call, reason: EndReason::ALL[usize::from(how) % EndReason::ALL.len()] },
            6 => Command::Progress { call },
            7 => Command::CountDeclines {
                reason: Decline::ALL[usize::from(how) % Decline::ALL.len()],
                count: u64::from(which) << (how % 64),
            },
            8 => Command::BeginDrain(DrainOrder {
                cause: [Cause::Api, Cause::Signal, Cause::Coordinator, Cause::Fence][usize::from(how % 4)],
                actor: ACTOR,
                deadline: (how & 4 > 0).then_some(later),
                on_deadline: [OnDeadline::Wait, OnDeadline::Alert, OnDeadline::Force][usize::from(how / 8 % 3)],
            }),
            9 => Command::CancelDrain { actor: ACTOR },
            10 => Command::ExtendDrain { actor: ACTOR, deadline: later },
            11 => Command::ForceDrain { actor: ACTOR },
            12 => Command::Close,
            13 => Command::Reject,
            14.. => Command::Wake,
        }
    }

    /// One of the calls in flight, or, for a large `which`, any number near those given out.
    fn call(&self, which: u8) -> CallNo {
        let calls = self.worker.calls();
        let nth = usize::from(which) % calls.len().max(1);
        let living = calls.iter().nth(nth).map(|(call, _)| call).filter(|_| which < 200);
        living.unwrap_or(CallNo::new((self.worker.word().seq().get() + 1).saturating_sub(u64::from(which % 50))))
    }

    fn check_deadline(&self) {
        let wakes = |at| self.worker.decide(at, Command::Wake).is_ok();
        match self.worker.deadline() {
            Some((due, why)) => {
                assert!(wakes(due), "{why:?}");
                assert!(due <= self.worker.now() || !wakes(due - TICK), "{why:?}");
            }
            None => assert!(!wakes(Instant::from_micros(u64::MAX))),
        }
    }

    fn check_life_goes_forward(&self, before: &Worker, entry: &Entry) {
        let back = matches!(entry.event, Event::DrainCancelled { .. });
        assert!(self.worker.phase() >= before.phase() || back, "{entry:?}");
        let admitted = self.worker.tally().promised() > before.tally().promised();
        assert!(!admitted || before.phase() == Phase::Serving, "{entry:?}");
    }

    fn check_repeat(&self, command: Command) {
        let adds = matches!(
            command,
            Command::Admit { .. } | Command::CountDeclines { .. } | Command::Reserve { .. } | Command::Wake
        );
        let again = self.worker.decide(self.at, command);
        assert!(adds || matches!(again, Err(Rejection::Repeat(_))), "{command:?} again: {again:?}");
    }
}

fn read_back<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    let mut bytes = Vec::new();
    codec::encode(value, &mut bytes);
    codec::decode::<T, { 1 << 20 }>(&bytes).expect("what was written can be read")
}
