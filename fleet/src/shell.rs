//! The shell of the fleet machine: the engine that workers run in, with what carries a fleet's effects out behind it.
//!
//! ```text
//!  request, register, report ──► Shell ──► the fleet machine ──► Performer: start, route, order, stop
//!                                  ▲                                  │
//!                                  └──────── what came of it ─────────┘
//! ```
//!
//! Whoever runs a fleet gives it a [`Performer`], and says through the [`Shell`] what happens there. This shell
//! stores no decisions: its fleet ends with its process, as the programs of one host do.

use std::future::Future;
use std::io;
use std::sync::Arc;

use openrtc_core::fleet::{Command, Effect, Entry, Fleet, Rejection, Request};
use openrtc_core::id::{Actor, Seq};
use openrtc_core::journal::Batch;
use openrtc_core::time::Instant;
use openrtc_runtime::intake::Queue;
use openrtc_runtime::ports::Ports;
use openrtc_runtime::{Clock, control};
use tokio::sync::watch;

/// What carries a fleet's effects out.
pub trait Performer: Send {
    /// Hands an effect on. It must not wait: what takes time is for a task of its own, which says through the [`Shell`]
    /// what came of it. An effect may come twice, and must then be done once.
    fn perform(&mut self, effect: Effect);
}

/// A fleet that runs. Cheap to clone; all clones are the same fleet.
#[derive(Clone, Debug)]
pub struct Shell {
    queue: Arc<Queue<Fleet>>,
    clock: Clock,
    settled: watch::Sender<Seq>,
}

impl Shell {
    /// A shell for `fleet`, and what runs it.
    #[must_use]
    pub fn new(fleet: Fleet) -> (Self, Running) {
        let shell = Self {
            queue: Arc::new(Queue::new(fleet.clone())),
            clock: Clock::start(),
            settled: watch::Sender::new(Seq::default()),
        };
        (shell.clone(), Running { shell, fleet })
    }

    /// The fleet's time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Says what happened. Once this has returned, it holds for everyone.
    ///
    /// # Errors
    /// The rejection says why the command changed nothing; a repeat is one of them.
    pub fn submit(&self, command: Command) -> Result<Entry, Rejection> {
        self.queue.submit(self.now(), command)
    }

    /// Asks for something on behalf of `actor`.
    ///
    /// # Errors
    /// As for [`Shell::submit`].
    pub fn request(&self, actor: Actor, request: Request) -> Result<Entry, Rejection> {
        self.submit(Command::Request { epoch: self.view(Fleet::epoch), actor, request })
    }

    /// Looks at the fleet as it is now.
    pub fn view<T>(&self, look: impl FnOnce(&Fleet) -> T) -> T {
        self.queue.view(look)
    }

    /// Resolves once `reached` is true of the fleet. Cancel-safe.
    pub async fn until(&self, reached: impl Fn(&Fleet) -> bool) {
        let mut settled = self.settled.subscribe();
        while !self.view(&reached) {
            // The sender lives as long as this.
            let _ = settled.changed().await;
        }
    }
}

/// What runs a fleet: poll [`Running::run`] for as long as the fleet is to act.
#[derive(Debug)]
pub struct Running {
    shell: Shell,
    fleet: Fleet,
}

impl Running {
    /// Acts on what the fleet decides, without end. Dropped, nothing is decided any more.
    pub async fn run(self, performer: impl Performer) {
        let Self { shell, fleet } = self;
        let queue = Arc::clone(&shell.queue);
        control::resume(&*queue, fleet, &mut Port { shell, performer }).await;
    }
}

struct Port<P> {
    shell: Shell,
    performer: P,
}

impl<P: Performer> Ports<Fleet> for Port<P> {
    fn now(&self) -> Instant {
        self.shell.now()
    }

    async fn next(&mut self, deadline: Option<Instant>, work: impl Future<Output = ()>) {
        self.shell.clock.wait(deadline, work).await;
    }

    async fn append(&mut self, _: &Fleet, _: &Batch<Fleet>) -> io::Result<()> {
        Ok(())
    }

    fn publish(&mut self, settled: Seq, _: &Fleet) {
        self.shell.settled.send_replace(settled);
    }

    async fn perform(&mut self, effect: Effect) {
        self.performer.perform(effect);
    }
}
