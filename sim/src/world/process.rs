//! A worker's process at level 1: the runtime's own gate and shell, on ports that the world fills and empties.
//!
//! Nothing here decides anything. The world hands commands to the gate as a pool would, lets the shell run until it
//! waits, and takes out of the tray what the shell appended and performed, in order. Virtual time stands still
//! meanwhile. A crash is the shell's future dropped where it stands: at its first effect.

use core::cell::{Cell, RefCell};
use core::fmt;
use core::future::{Future, pending, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use openrtc_core::id::Seq;
use openrtc_core::time::Instant;
use openrtc_core::worker::{Command, Effect, Entry, Outcome, Refused, Rejection, Worker};
use openrtc_runtime::gate::Gate;
use openrtc_runtime::ports::Ports;
use openrtc_runtime::shell;

use crate::bug::Bug;

/// A ring so small that it runs full in every rollout.
const SLOTS: usize = 4;

/// A running shell behind its gate.
pub(super) struct Process {
    gate: Arc<Gate>,
    tray: Rc<Tray>,
    shell: Pin<Box<dyn Future<Output = Outcome>>>,
}

/// What a shell hands out.
#[derive(Clone, Debug)]
pub(super) enum Out {
    /// It appended these to the journal.
    Appended(Vec<Entry>),
    /// It had this done.
    Performed(Effect),
}

/// What lies between the shell and the world.
#[derive(Debug, Default)]
struct Tray {
    now: Cell<Instant>,
    due: Cell<Option<Instant>>,
    is_doomed: Cell<bool>,
    bug: Option<Bug>,
    out: RefCell<Vec<Out>>,
}

impl Process {
    /// A process whose worker has just started.
    pub(super) fn start(worker: &Worker, bug: Option<Bug>) -> Self {
        let (gate, tray) = (Arc::new(Gate::with_slots(worker, SLOTS)), Rc::new(Tray { bug, ..Tray::default() }));
        let (behind, mut ports, record) = (Arc::clone(&gate), Port(Rc::clone(&tray)), worker.clone());
        let shell = Box::pin(async move { shell::run(&behind, record, &mut ports).await });
        Self { gate, tray, shell }
    }

    /// What the gate makes of a command, given as a pool gives it: the end of a call that was assigned takes the hot
    /// path, which asks nothing.
    pub(super) fn submit(&self, at: Instant, command: Command, is_assigned: bool) -> Result<Seq, Rejection> {
        match command {
            Command::End { call, reason } if is_assigned => {
                self.gate.end(call, reason).ok_or_else(|| Refused::ReservationGone.into())
            }
            command => self.gate.submit(at, command),
        }
    }

    /// Lets the shell run until it waits, and returns what it handed out. A doomed one gets no effect done.
    pub(super) fn run(&mut self, now: Instant, is_doomed: bool) -> Vec<Out> {
        self.tray.now.set(now);
        self.tray.is_doomed.set(is_doomed);
        self.gate.nudge();
        // Whether it waits or is over shows in what it handed out.
        let _ = self.shell.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        self.tray.out.take()
    }

    /// When the shell wants to run again, unasked, by the worker's clock.
    pub(super) fn due(&self) -> Option<Instant> {
        self.tray.due.get()
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("tray", &self.tray).finish_non_exhaustive()
    }
}

/// The shell's end of the tray.
struct Port(Rc<Tray>);

impl Ports for Port {
    fn now(&self) -> Instant {
        self.0.now.get()
    }

    async fn next(&mut self, deadline: Option<Instant>, work: impl Future<Output = ()>) {
        self.0.due.set(deadline);
        let mut work = pin!(work);
        let hears = self.0.bug != Some(Bug::BellUnheard);
        poll_fn(|context| {
            let is_due = deadline.is_some_and(|at| at <= self.0.now.get());
            if is_due || (hears && work.as_mut().poll(context).is_ready()) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    async fn append(&mut self, _before: &Worker, entries: &[Entry]) -> io::Result<()> {
        let taken = if self.0.bug == Some(Bug::BatchCut) { &entries[..1] } else { entries };
        self.0.out.borrow_mut().push(Out::Appended(taken.to_vec()));
        Ok(())
    }

    /// The world folds what was appended itself.
    fn publish(&mut self, _settled: Seq, _state: &Worker) {}

    async fn perform(&mut self, effect: Effect) {
        if self.0.is_doomed.get() {
            pending::<()>().await;
        }
        self.0.out.borrow_mut().push(Out::Performed(effect));
    }
}
