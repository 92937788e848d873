//! Where the control loop runs: apart from the calls, so that no handler can hold it up.

use std::future::Future;
use std::io;

use tokio::runtime::{Builder, EnterGuard, Handle, Runtime};

use crate::config::Control;

/// Runs the control loop.
#[derive(Debug)]
pub(crate) enum Runner {
    Own(Option<Runtime>),
    Shared(Handle),
}

impl Runner {
    /// Prepares; `here` is the runtime that builds the pool.
    pub(crate) fn new(control: Control, here: Handle) -> io::Result<Self> {
        match control {
            Control::OwnThread => Builder::new_current_thread().enable_all().build().map(|own| Self::Own(Some(own))),
            Control::Shared => Ok(Self::Shared(here)),
        }
    }

    /// Lets sockets and signals be set up for it.
    pub(crate) fn enter(&self) -> Option<EnterGuard<'_>> {
        match self {
            Self::Own(own) => own.as_ref().map(Runtime::enter),
            Self::Shared(here) => Some(here.enter()),
        }
    }

    /// Runs `work` to its end, in the background.
    pub(crate) fn run(mut self, work: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        match &mut self {
            Self::Own(own) => {
                if let Some(own) = own.take() {
                    let thread = std::thread::Builder::new().name("openrtc-control".into());
                    thread.spawn(move || own.block_on(work))?;
                }
            }
            Self::Shared(here) => drop(here.spawn(work)),
        }
        Ok(())
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        // A runtime may not be dropped inside another one in any other way.
        if let Self::Own(own) = self
            && let Some(own) = own.take()
        {
            own.shutdown_background();
        }
    }
}
