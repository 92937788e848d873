//! Level 1 of a worker: the runtime's own gate and shell, on ports that the world fills and empties.
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

use openrtc_core::id::{CallId, Seq};
use openrtc_core::journal::Batch;
use openrtc_core::time::Instant;
use openrtc_core::worker::{Command, Effect, EndReason, Entry, Refused, Rejection, Worker};
use openrtc_runtime::control;
use openrtc_runtime::gate::Gate;
use openrtc_runtime::ports::Ports;

use crate::bug::Bug;
use crate::id::KEY;

/// A ring so small that it runs full in every rollout.
const SLOTS: usize = 4;

/// A running shell behind its gate.
pub(super) struct Shell {
    gate: Arc<Gate>,
    tray: Rc<Tray>,
    /// `None` once the worker has left.
    running: Option<Pin<Box<dyn Future<Output = Worker>>>>,
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

impl Shell {
    /// The shell of a worker that has just started.
    pub(super) fn start(worker: &Worker, bug: Option<Bug>) -> Self {
        let (gate, tray) = (Arc::new(Gate::with_slots(worker, KEY, SLOTS)), Rc::new(Tray { bug, ..Tray::default() }));
        let (behind, mut ports, record) = (Arc::clone(&gate), Port(Rc::clone(&tray)), worker.clone());
        let running: Pin<Box<dyn Future<Output = Worker>>> =
            Box::pin(async move { control::run(&*behind, record, &mut ports).await });
        Self { gate, tray, running: Some(running) }
    }

    /// What the gate makes of a command, if that is not what the machine made of it. A pool's guards end a call once
    /// and report progress of a live one now and then, so what the machine rejects of that never gets there.
    pub(super) fn differs(
        &self,
        at: Instant,
        command: Command,
        id: Option<&CallId>,
        decided: &Result<Entry, Rejection>,
    ) -> Option<String> {
        let of_a_call = matches!(command, Command::End { .. } | Command::Withdraw { .. } | Command::Progress { .. });
        if decided.is_err() && of_a_call {
            return None;
        }
        if self.tray.bug == Some(Bug::GateReservesTwice) && matches!(command, Command::Reserve { .. }) {
            let _ = self.submit(at, command, id);
        }
        let submitted = self.submit(at, command, id);
        let differs = submitted.as_ref().ok() != decided.as_ref().ok().map(|entry| &entry.seq);
        differs.then(|| format!("{command:?}: the gate says {submitted:?}, the machine {decided:?}"))
    }

    /// Gives a command to the gate as a pool does: the end of a call that was assigned takes the hot path, which asks
    /// nothing, and an offer comes with the call's id.
    fn submit(&self, at: Instant, command: Command, id: Option<&CallId>) -> Result<Seq, Rejection> {
        match (command, id) {
            (Command::End { call, .. }, _) if self.tray.bug == Some(Bug::GateMishears) => {
                self.gate.end(call, EndReason::Failed).ok_or_else(|| Refused::ReservationGone.into())
            }
            (Command::End { call, reason }, _) => {
                self.gate.end(call, reason).ok_or_else(|| Refused::ReservationGone.into())
            }
            (Command::Reserve { class, .. }, Some(id)) => {
                Ok(self.gate.reserve(at, id, class).map(|call| Seq::new(call.get()))?)
            }
            (command, _) => self.gate.submit(at, command),
        }
    }

    /// Lets the shell run until it waits, and returns what it handed out. A doomed one gets no effect done.
    pub(super) fn run(&mut self, now: Instant, is_doomed: bool) -> Vec<Out> {
        self.tray.now.set(now);
        self.tray.is_doomed.set(is_doomed);
        self.gate.nudge();
        if let Some(running) = &mut self.running
            && running.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
        {
            self.running = None;
            self.tray.due.set(None);
        }
        self.tray.out.take()
    }

    /// When the shell wants to run again, unasked, by the worker's clock.
    pub(super) fn due(&self) -> Option<Instant> {
        self.tray.due.get()
    }
}

impl fmt::Debug for Shell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shell").field("tray", &self.tray).finish_non_exhaustive()
    }
}

/// The shell's end of the tray.
struct Port(Rc<Tray>);

impl Ports<Worker> for Port {
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

    async fn append(&mut self, _before: &Worker, batch: &Batch<Worker>) -> io::Result<()> {
        let entries = batch.entries.as_slice();
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
