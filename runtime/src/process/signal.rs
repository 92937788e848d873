//! Signals as commands. SIGTERM drains and its repeats change nothing: supervisors signal twice, and whole process
//! groups. A person at a terminal forces with a second SIGINT. SIGQUIT is left to the system.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

/// Two SIGINTs closer than this are one: a terminal signals the whole process group, and a parent may pass it on.
const PERSON: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    interrupted: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked {
    Drain(&'static str),
    Force,
    Nothing,
}

impl Signals {
    pub(crate) fn install() -> io::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { interrupt, terminate, interrupted: None })
    }

    /// What the next signal asks for. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Asked::Drain("SIGTERM"),
            _ = self.interrupt.recv() => self.interrupt(),
        }
    }

    fn interrupt(&mut self) -> Asked {
        match self.interrupted.replace(Instant::now()) {
            None => Asked::Drain("SIGINT"),
            Some(before) if before.elapsed() < PERSON => Asked::Nothing,
            Some(_) => Asked::Force,
        }
    }
}
