//! Child processes done right: each in a session of its own, with nothing inherited, its output read and its end known.
//!
//! A program is the process that was started and whatever that started in its session. It has ended when nothing of it
//! is left: a wrapper that ends before the program that it wraps is not the end.

mod birth;
mod output;
pub mod session;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openrtc_runtime::log;
use rustix::process::Signal;
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use session::{Process, members, signal_all};

/// How often it is looked whether anything is left of a program whose first process has ended.
const LOOK: Duration = Duration::from_millis(100);
/// How long killed processes may take to be gone.
const KILLED: Duration = Duration::from_secs(5);

/// What is taken from a child's environment: it is meant for the parent, and a child that used it would pass for that.
const PARENTS_OWN: [&str; 7] =
    ["LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "MAINPID"];

/// How a program is started.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program, looked up in `PATH` if it is a bare name.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Variables that are set for it.
    pub set: Vec<(OsString, OsString)>,
    /// Variables that are taken away from it, beside those that only its parent is meant to see.
    pub unset: Vec<String>,
    /// Its soft limit of open descriptors; `None` for the parent's.
    pub descriptors: Option<u64>,
}

impl Launch {
    /// Starts the program. `name` stands before each line that it writes. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// What the system said: above all, that there is no such program, or that it may not be run.
    pub fn start(&self, name: &str) -> io::Result<Child> {
        let mut command = Command::new(&self.program);
        command.args(&self.args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for variable in PARENTS_OWN.into_iter().chain(self.unset.iter().map(String::as_str)) {
            command.env_remove(variable);
        }
        command.envs(self.set.iter().map(|(name, value)| (name, value)));
        birth::clean(&mut command, self.descriptors);
        let mut child = command.spawn()?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).ok_or_else(|| io::Error::other("no process"))?;
        let cut = Arc::new(AtomicU64::new(0));
        if let Some(from) = child.stdout.take() {
            tokio::spawn(output::pass_on(from, log::stdout(), name.to_owned(), Arc::clone(&cut)));
        }
        if let Some(from) = child.stderr.take() {
            tokio::spawn(output::pass_on(from, log::stderr(), name.to_owned(), Arc::clone(&cut)));
        }
        let life = watch::Sender::new(Life::Runs);
        let watched = Child { process: Process::of(pid), pid, life: life.subscribe(), cut };
        tokio::spawn(follow(child, pid, name.to_owned(), life));
        Ok(watched)
    }
}

/// How the first process of a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As its status says.
    Left(ExitStatus),
    /// The system did not tell.
    Untold(String),
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Left(status) => status.fmt(f),
            Self::Untold(error) => write!(f, "how it ended is not known ({error})"),
        }
    }
}

#[derive(Clone, Debug)]
enum Life {
    Runs,
    /// Its first process has ended, and others have not.
    Headless(Ending),
    Over(Ending),
}

/// A program that was started. Dropping this leaves it running.
#[derive(Clone, Debug)]
pub struct Child {
    /// Its first process as it began; `None` where `/proc` does not tell.
    process: Option<Process>,
    pid: i32,
    life: watch::Receiver<Life>,
    cut: Arc<AtomicU64>,
}

/// How a program that was told to end did so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// By itself, in time.
    InTime,
    /// It did not, and was killed.
    Killed,
    /// It was killed, and something of it is still there.
    Survives,
}

impl Child {
    /// The number of its first process, of its session, and of its process group.
    #[must_use]
    pub const fn pid(&self) -> i32 {
        self.pid
    }

    /// When its first process began ([`Process::began`]).
    #[must_use]
    pub fn began(&self) -> Option<u64> {
        self.process.as_ref().map(|process| process.began)
    }

    /// How many bytes of lines that are too long were not passed on.
    #[must_use]
    pub fn cut(&self) -> u64 {
        self.cut.load(Ordering::Relaxed)
    }

    /// Whether its first process has begun to end, even if nobody was told yet: what its sockets say then is the
    /// system's doing.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        let ended = !matches!(*self.life.borrow(), Life::Runs);
        ended || self.process.is_some() && Process::of(self.pid).is_none_or(|process| process.is_ending())
    }

    /// Resolves when its first process has ended. Cancel-safe.
    pub async fn left(&self) -> Ending {
        self.wait(|life| match life {
            Life::Runs => None,
            Life::Headless(ending) | Life::Over(ending) => Some(ending.clone()),
        })
        .await
    }

    /// Resolves when nothing of it is left. Cancel-safe.
    pub async fn over(&self) -> Ending {
        self.wait(|life| match life {
            Life::Runs | Life::Headless(_) => None,
            Life::Over(ending) => Some(ending.clone()),
        })
        .await
    }

    async fn wait(&self, reached: impl Fn(&Life) -> Option<Ending>) -> Ending {
        let mut life = self.life.clone();
        let found = life.wait_for(|life| reached(life).is_some()).await.map(|life| reached(&life));
        // An error: the task that follows it is gone, with its runtime.
        found.ok().flatten().unwrap_or_else(|| Ending::Untold("nobody follows it any more".into()))
    }

    /// Tells it to end with SIGTERM: first its first process alone, so that a wrapper which passes signals on makes no
    /// two of it, and when that has ended, whatever it left behind. After `patience` the rest is killed. Only for a
    /// program that has no calls.
    pub async fn stop(&self, patience: Duration) -> Stopped {
        if let Some(process) = self.process.as_ref().filter(|_| matches!(*self.life.borrow(), Life::Runs)) {
            process.signal(Signal::TERM);
        }
        let session = self.pid;
        let ends = async {
            self.left().await;
            aside(move || signal_all(session, Signal::TERM)).await;
            self.over().await;
        };
        if timeout(patience, ends).await.is_ok() {
            return Stopped::InTime;
        }
        self.kill().await
    }

    /// Kills all of its session. Only for a program that has no calls, or has not been given any yet.
    pub async fn kill(&self) -> Stopped {
        let session = self.pid;
        let kill = async {
            loop {
                // Again and again: one of them may start another meanwhile.
                aside(move || signal_all(session, Signal::KILL)).await;
                if timeout(LOOK, self.over()).await.is_ok() {
                    return;
                }
            }
        };
        match timeout(KILLED, kill).await {
            Ok(()) => Stopped::Killed,
            Err(_) => Stopped::Survives,
        }
    }
}

/// Does something that looks at every process there is: not on a thread that calls need.
async fn aside<T: Default + Send + 'static>(look: impl FnOnce() -> T + Send + 'static) -> T {
    // It does not panic, and a runtime that ends has no use for it.
    spawn_blocking(look).await.unwrap_or_default()
}

/// Waits for the first process, which also frees its number, and then for the others.
async fn follow(mut child: tokio::process::Child, pid: i32, name: String, life: watch::Sender<Life>) {
    let ending = match child.wait().await {
        Ok(status) => Ending::Left(status),
        Err(error) => Ending::Untold(error.to_string()),
    };
    let mut rest = aside(move || members(pid)).await;
    if !rest.is_empty() {
        let names: Vec<_> = rest.iter().map(ToString::to_string).collect();
        tracing::warn!(program = %name, %ending, left = names.join(", "), "its first process ended, others run on");
        life.send_replace(Life::Headless(ending.clone()));
        while !rest.is_empty() {
            sleep(LOOK).await;
            rest = aside(move || members(pid)).await;
        }
    }
    life.send_replace(Life::Over(ending));
}
