//! The pool for programs without tokio: the same worker, used from plain threads.
//!
//! ```no_run
//! use openrtc_runtime::{AgentPool, CallId, EndReason, blocking};
//!
//! let pool = blocking::AgentPool::start(AgentPool::builder().deployment_version("v2.0.0"))?;
//! std::thread::scope(|threads| -> Result<(), Box<dyn std::error::Error>> {
//!     let call = pool.admit(CallId::new("job-1")?)?;
//!     threads.spawn(move || call.end(EndReason::AgentHangup)); // talk first
//!     Ok(())
//! })?;
//! let exit = pool.exited(); // after SIGTERM, when the last call has ended
//! std::process::exit(exit.code().into());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Panics
//! Functions whose description says that they wait panic if they are called inside an async runtime, as
//! `tokio::runtime::Runtime::block_on` does. Use the [async pool](crate::AgentPool) there.

use std::sync::Arc;

use openrtc_core::id::{Actor, CallId, CallNo};
use openrtc_core::word::Refusal;
use openrtc_core::worker::{Class, EndReason};
use tokio::runtime::{Builder, Runtime};

use super::builder::AgentPoolBuilder;
use super::error::StartError;
use super::{AgentPool as Pool, call};
use crate::config::Control;
use crate::engine::done::{CommandError, Done};
use crate::process::Exit;

/// The calls of one worker, for plain threads. Cheap to clone; all clones are the same pool.
#[derive(Clone, Debug)]
pub struct AgentPool {
    pool: Pool,
    waiter: Waiter,
}

impl AgentPool {
    /// Checks the configuration, opens the journal and starts the pool on threads of its own, as
    /// [`AgentPoolBuilder::build`] does. [`Control::Shared`] has no effect here.
    pub fn start(builder: AgentPoolBuilder) -> Result<Self, StartError> {
        let runtime = Builder::new_current_thread().enable_time().build().map_err(StartError::Thread)?;
        let inside = runtime.enter();
        let pool = builder.control(Control::OwnThread).build()?;
        drop(inside);
        Ok(Self { pool, waiter: Waiter(Arc::new(Background(Some(runtime)))) })
    }

    /// The async pool behind this one: for everything that does not wait, such as
    /// [`runtime_snapshot`](crate::AgentPool::runtime_snapshot) or [`cancel_drain`](crate::AgentPool::cancel_drain).
    #[must_use]
    pub const fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Begins a call that needs no assignment, such as an accepted connection. See [`crate::AgentPool::admit`].
    pub fn admit(&self, id: CallId) -> Result<CallGuard, Refusal> {
        self.admit_class(id, Class::default())
    }

    /// [`AgentPool::admit`] for a call of another class.
    pub fn admit_class(&self, id: CallId, class: Class) -> Result<CallGuard, Refusal> {
        let guard = self.pool.admit_class(id, class)?;
        Ok(CallGuard { guard, waiter: self.waiter.clone() })
    }

    /// Reserves a call for a dispatcher that will assign it. See [`crate::AgentPool::reserve`].
    pub fn reserve(&self, id: CallId) -> Result<Reservation, Refusal> {
        self.reserve_class(id, Class::default())
    }

    /// [`AgentPool::reserve`] for a call of another class.
    pub fn reserve_class(&self, id: CallId, class: Class) -> Result<Reservation, Refusal> {
        let reservation = self.pool.reserve_class(id, class)?;
        Ok(Reservation { reservation, waiter: self.waiter.clone() })
    }

    /// Stops taking calls and lets those in flight run to their end. Does not wait for them. See
    /// [`crate::AgentPool::begin_drain`].
    pub fn begin_drain(&self, actor: Actor) -> Result<Done, CommandError> {
        self.pool.begin_drain(actor)
    }

    /// Waits until the last call of a drain has ended and the journal says so, or the worker has left.
    pub fn drained(&self) {
        self.waiter.wait(self.pool.drained());
    }

    /// Waits until the worker has left and its journal and audit trail are complete. Returns how it ended.
    #[must_use]
    pub fn exited(&self) -> Exit {
        self.waiter.wait(self.pool.exited())
    }

    /// Waits until a drain has run to its end, leaves, and returns how the worker ended. See
    /// [`crate::AgentPool::retired`].
    #[must_use]
    pub fn retired(&self) -> Exit {
        self.waiter.wait(self.pool.retired())
    }
}

/// Keeps a call in flight for as long as it is held; the [async guard](crate::CallGuard) for plain threads.
#[derive(Debug)]
pub struct CallGuard {
    guard: call::CallGuard,
    waiter: Waiter,
}

impl CallGuard {
    /// What the dispatcher calls the call.
    #[must_use]
    pub fn id(&self) -> &CallId {
        self.guard.id()
    }

    /// The call's number within the worker's incarnation.
    #[must_use]
    pub fn number(&self) -> CallNo {
        self.guard.number()
    }

    /// Reports that the call made progress. See [`crate::CallGuard::progress`].
    pub fn progress(&self) {
        self.guard.progress();
    }

    /// Whether a forced drain has told the call to end. Look now and then, such as at each time-out of a read: what is
    /// left when the force grace is over is dropped.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.guard.is_cancelled()
    }

    /// Waits until the beginning of the call is in the journal. See [`crate::CallGuard::recorded`].
    pub fn recorded(&self) {
        self.waiter.wait(self.guard.recorded());
    }

    /// Ends the call for `reason`, and waits until that is in the journal. See [`crate::CallGuard::end`].
    pub fn end(self, reason: EndReason) {
        self.waiter.wait(self.guard.end(reason));
    }
}

/// A call that the worker has said yes to and that is not assigned yet; the [async one](crate::Reservation) for plain
/// threads.
#[derive(Debug)]
pub struct Reservation {
    reservation: call::Reservation,
    waiter: Waiter,
}

impl Reservation {
    /// What the dispatcher calls the call.
    #[must_use]
    pub const fn id(&self) -> &CallId {
        self.reservation.id()
    }

    /// The call's number within the worker's incarnation.
    #[must_use]
    pub const fn number(&self) -> CallNo {
        self.reservation.number()
    }

    /// Assigns the call. See [`crate::Reservation::assign`].
    pub fn assign(self) -> Result<CallGuard, call::Lapsed> {
        let guard = self.reservation.assign()?;
        Ok(CallGuard { guard, waiter: self.waiter })
    }

    /// Takes the reservation back. See [`crate::Reservation::withdraw`].
    pub fn withdraw(self) {
        self.reservation.withdraw();
    }

    /// Waits until the reservation is in the journal. See [`crate::Reservation::recorded`].
    pub fn recorded(&self) {
        self.waiter.wait(self.reservation.recorded());
    }
}

/// Lets any thread wait for a future.
#[derive(Clone, Debug)]
struct Waiter(Arc<Background>);

impl Waiter {
    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.0.0.as_ref().expect("there until it is dropped").block_on(future)
    }
}

/// A runtime that may be dropped anywhere, also inside another one.
#[derive(Debug)]
struct Background(Option<Runtime>);

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
