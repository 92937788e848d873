//! What every part of a world works with: the plan, the clock, the queue and the verdict.

use openrtc_core::time::{Instant, Span};

use super::queue::{Event, Queue};
use crate::bug::Bug;
use crate::choice::mix;
use crate::id::WorkerIndex;
use crate::oracle::{Invariant, Violation};
use crate::plan::Plan;
use crate::subject::Subject;

/// A line of the story a run tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoryLine {
    /// When it happened.
    pub at: Instant,
    /// Who did it, or where.
    pub who: Who,
    /// What happened.
    pub what: String,
}

/// Whom a line of a story is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// A caller.
    Caller,
    /// The coordinator in office.
    Coordinator,
    /// The plan: a person, the platform or a fault.
    Plan,
    /// A worker.
    Worker(WorkerIndex),
}

/// The plan, the clock, the queue and the verdict of a run.
pub(super) struct Scene<'p> {
    pub(super) plan: &'p Plan,
    pub(super) subject: Subject,
    pub(super) now: Instant,
    pub(super) steps: u64,
    pub(super) queue: Queue,
    pub(super) violation: Option<Violation>,
    /// What cannot be known, if anything.
    pub(super) unknown: Option<String>,
    /// What happens, if it is asked for.
    pub(super) story: Option<Vec<StoryLine>>,
}

impl<'p> Scene<'p> {
    pub(super) fn new(plan: &'p Plan, subject: Subject) -> Self {
        Self {
            plan,
            subject,
            now: Instant::EPOCH,
            steps: 0,
            queue: Queue::default(),
            violation: None,
            unknown: None,
            story: None,
        }
    }

    pub(super) fn at(&mut self, at: Instant, event: Event) {
        self.queue.push(at, event);
    }

    pub(super) fn after(&mut self, span: Span, event: Event) {
        self.queue.push(self.now + span, event);
    }

    /// Whether this bug is planted.
    pub(super) fn has(&self, bug: Bug) -> bool {
        self.subject.bug == Some(bug)
    }

    pub(super) fn violate(&mut self, invariant: Invariant, worker: Option<WorkerIndex>, what: String) {
        if self.violation.is_none() {
            self.tell(worker.map_or(Who::Plan, Who::Worker), || format!("BROKEN {invariant}: {what}"));
            self.violation = Some(Violation { invariant, at: self.now, step: self.steps, worker, what });
        }
    }

    /// Something cannot be known. The first such reason counts.
    pub(super) fn doubt(&mut self, why: impl FnOnce() -> String) {
        self.unknown.get_or_insert_with(why);
    }

    pub(super) fn tell(&mut self, who: Who, what: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.push(StoryLine { at: self.now, who, what: what() });
        }
    }

    pub(super) fn name(&self, worker: WorkerIndex) -> String {
        self.plan.worker_name(worker)
    }

    /// How long a message takes: drawn from what it is, not from when others were sent.
    pub(super) fn latency(&self, what: u64) -> Span {
        let (low, high) = (self.plan.latency.0.as_micros(), self.plan.latency.1.as_micros());
        let drawn = mix(self.plan.seed ^ what.wrapping_mul(0x9e37_79b9_7f4a_7c15)) % (high - low + 1);
        Span::from_micros(low + drawn)
    }

    /// A span below `most`, drawn from what it is for.
    pub(super) const fn draw(&self, what: u64, most: Span) -> Span {
        Span::from_micros(mix(self.plan.seed ^ what) % most.as_micros())
    }
}
