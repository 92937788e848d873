//! The network: messages between dispatcher and workers, mail between workers and coordinators, partitions.

use openrtc_core::fleet::{Effect as FleetEffect, Report};
use openrtc_core::id::Incarnation;
use openrtc_core::time::{Instant, Span};

use super::queue::Event;
use super::scene::Scene;
use crate::id::{AttemptIndex, CallIndex, WorkerIndex, index};
use crate::oracle::Invariant;
use crate::plan::{Message, MessageFate, Plan, Tamper};

/// More messages per worker than this are never on their way at once, unless one breeds others without end.
const MAIL_MAX: usize = 1_000;

/// How long until a worker notices by itself that a caller has gone.
const MEDIA_TIMEOUT: Span = Span::from_secs(20);

/// After so many messages about one attempt none is lost any more.
const LOST_MAX: u8 = 4;

index! {
    /// Where a letter lies while it is on its way.
    MailIndex: u32
}

/// What is said about an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Say {
    Offer,
    /// Yes or no.
    Answer(bool),
    Assign,
    /// Whether the worker keeps the call.
    Started(bool),
    End,
}

impl Say {
    const fn message(self) -> Message {
        match self {
            Self::Offer => Message::Offer,
            Self::Answer(_) => Message::Answer,
            Self::Assign => Message::Assign,
            Self::Started(_) => Message::Started,
            Self::End => Message::End,
        }
    }
}

/// One try to place a call with a worker, and what is said about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub(super) call: CallIndex,
    pub(super) worker: WorkerIndex,
    pub(super) incarnation: Incarnation,
    sent: u8,
}

/// What travels between a worker and the coordinators.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mail {
    Report(WorkerIndex, Report),
    Order(WorkerIndex, FleetEffect),
}

/// The network.
#[derive(Debug)]
pub(super) struct Network {
    attempts: Vec<Attempt>,
    /// Until when nothing passes to or from each worker.
    cut_until: Vec<Instant>,
    mail: Vec<Mail>,
    free: Vec<MailIndex>,
}

impl Network {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            attempts: Vec::with_capacity(plan.calls.len()),
            cut_until: plan.every_worker().map(|_| Instant::EPOCH).collect(),
            mail: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(super) fn attempt(&self, attempt: AttemptIndex) -> Attempt {
        self.attempts[attempt]
    }

    /// A new try to place a call with a run of a worker.
    pub(super) fn open(&mut self, call: CallIndex, worker: WorkerIndex, incarnation: Incarnation) -> AttemptIndex {
        self.attempts.push(Attempt { call, worker, incarnation, sent: 0 });
        AttemptIndex::at(self.attempts.len() - 1)
    }

    /// Nothing passes to or from a worker until then.
    pub(super) fn cut(&mut self, worker: WorkerIndex, until: Instant) {
        self.cut_until[worker] = until;
    }

    /// The earliest moment at which something passes to or from a worker.
    pub(super) fn passes_at(&self, scene: &Scene<'_>, worker: WorkerIndex) -> Instant {
        self.cut_until[worker].max(scene.now)
    }

    /// When a message of this kind to or from a worker arrives.
    pub(super) fn arrives_at(&self, scene: &Scene<'_>, worker: WorkerIndex, what: u64) -> Instant {
        self.passes_at(scene, worker) + scene.latency(what)
    }

    pub(super) fn send(&mut self, scene: &mut Scene<'_>, say: Say, attempt: AttemptIndex) {
        let Attempt { call, worker, .. } = self.attempts[attempt];
        let (sent, message) = (self.count(attempt), say.message());
        let key = (u64::from(attempt.get()) << 16) ^ (u64::from(sent) << 8) ^ (message as u64);
        let mut at = self.arrives_at(scene, worker, key);
        if !scene.plan.tampers.is_empty() {
            let wanted = |tamper: &&Tamper| tamper.call == call && tamper.message == message;
            match scene.plan.tampers.iter().find(wanted).map(|tamper| tamper.fate) {
                Some(MessageFate::Delayed(by)) => at = at + by,
                Some(MessageFate::Duplicated) => {
                    let again = self.arrives_at(scene, worker, key ^ 0x80);
                    scene.at(again, Event::Message(say, attempt));
                }
                Some(MessageFate::Lost) if message == Message::End => at = at + MEDIA_TIMEOUT,
                Some(MessageFate::Lost) if sent <= LOST_MAX => return,
                Some(MessageFate::Lost) | None => {}
            }
        }
        scene.at(at, Event::Message(say, attempt));
    }

    /// A message counts as sent, whatever becomes of it.
    pub(super) fn count(&mut self, attempt: AttemptIndex) -> u8 {
        let attempt = &mut self.attempts[attempt];
        attempt.sent = attempt.sent.wrapping_add(1);
        attempt.sent
    }

    pub(super) fn post(&mut self, scene: &mut Scene<'_>, mail: Mail, at: Instant) {
        let slot = self.free.pop().unwrap_or_else(|| MailIndex::at(self.mail.len()));
        match self.mail.get_mut(slot.place()) {
            Some(free) => *free = mail,
            None => self.mail.push(mail),
        }
        if self.mail.len() > MAIL_MAX * self.cut_until.len() {
            let what = format!("{} messages are on their way at once", self.mail.len());
            scene.violate(Invariant::MailBounded, None, what);
        }
        scene.at(at, Event::Mail(slot));
    }

    /// Whether the planted bug that has letters breed goes on: not for ever, so that an unseeing run ends too.
    pub(super) fn breeds(&self) -> bool {
        self.mail.len() <= 2 * MAIL_MAX * self.cut_until.len()
    }

    /// A letter arrives.
    pub(super) fn take(&mut self, slot: MailIndex) -> Mail {
        self.free.push(slot);
        self.mail[slot]
    }
}
