//! What systemd is told, where it listens (`Type=notify`). Elsewhere all of this does nothing. No message waits or
//! fails: one that finds no room is sent again with the next beat.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use openrtc_core::snapshot::RuntimeSnapshot;

use crate::log::{Limit, say};

/// How often a drain under a signal asks for more time; each request must arrive before the one before it runs out.
const EXTEND_EVERY: Duration = Duration::from_secs(10);

static UNHEARD: Limit = Limit::new();

/// Where systemd listens, if it does. Cheap to clone; all clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Systemd(Option<Arc<Listener>>);

#[derive(Debug)]
struct Listener {
    /// Open from the start: descriptors may run out later.
    socket: UnixDatagram,
    at: SocketAddr,
    /// How often systemd wants to hear that the worker lives, if it does.
    watchdog: Option<Duration>,
    /// Whether READY=1 or STOPPING=1 is still to be heard.
    ready: AtomicBool,
    stopping: AtomicBool,
}

impl Systemd {
    /// Where the environment says.
    pub(crate) fn from_env() -> Self {
        #[expect(clippy::disallowed_methods, reason = "systemd's variables, which are no settings of ours")]
        let [socket, watchdog, pid] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"].map(env::var_os);
        let number = |text: Option<OsString>| text.and_then(|text| text.to_str()?.parse::<u64>().ok());
        let ours = number(pid).is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number(watchdog).filter(|micros| ours && *micros > 0).map(Duration::from_micros);
        let Some(name) = socket.filter(|name| !name.is_empty()) else { return Self(None) };
        match Listener::open(name.as_bytes(), watchdog) {
            Ok(listener) => Self(Some(Arc::new(listener))),
            Err(error) => {
                tracing::warn!(?name, %error, "systemd cannot be told anything: NOTIFY_SOCKET names no socket");
                Self(None)
            }
        }
    }

    /// How often to [`beat`](Self::beat).
    pub(crate) fn every(&self) -> Duration {
        let watchdog = self.0.as_ref().and_then(|listener| listener.watchdog);
        watchdog.map_or(EXTEND_EVERY, |watchdog| EXTEND_EVERY.min(watchdog / 2))
    }

    /// The worker takes calls.
    pub(crate) fn ready(&self) {
        self.owe(|listener| &listener.ready);
    }

    /// The process is going and will not come back: told only when a drain is irrevocable.
    pub(crate) fn stopping(&self) {
        self.owe(|listener| &listener.stopping);
    }

    fn owe(&self, what: impl Fn(&Listener) -> &AtomicBool) {
        if let Some(listener) = &self.0 {
            what(listener).store(true, Ordering::Relaxed);
            listener.send("");
        }
    }

    /// What the worker does, in a line, and that it lives; while calls keep a signalled worker alive, the stop time-out
    /// is pushed out too.
    pub(crate) fn beat(&self, snapshot: &RuntimeSnapshot) {
        let Some(listener) = &self.0 else { return };
        let going = snapshot.drain.is_some_and(|drain| drain.sealed) && snapshot.active_sessions > 0;
        let extend = format!("EXTEND_TIMEOUT_USEC={}\n", (3 * EXTEND_EVERY).as_micros());
        let extend = if going { &*extend } else { "" };
        let lives = if listener.watchdog.is_some() { "WATCHDOG=1\n" } else { "" };
        let (phase, calls) = (snapshot.phase, snapshot.active_sessions);
        listener.send(&format!("STATUS={phase}, {calls} calls\n{extend}{lives}"));
    }
}

impl Listener {
    fn open(name: &[u8], watchdog: Option<Duration>) -> io::Result<Self> {
        let at = match name {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            path => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path))?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        let owed = || AtomicBool::new(false);
        Ok(Self { socket, at, watchdog, ready: owed(), stopping: owed() })
    }

    /// Sends `message` with all that is owed before it.
    fn send(&self, message: &str) {
        let mut whole = String::new();
        for (owed, says) in [(&self.ready, "READY=1\n"), (&self.stopping, "STOPPING=1\n")] {
            if owed.load(Ordering::Relaxed) {
                whole += says;
            }
        }
        whole += message;
        match self.socket.send_to_addr(whole.as_bytes(), &self.at) {
            Ok(_) => {
                self.ready.store(false, Ordering::Relaxed);
                self.stopping.store(false, Ordering::Relaxed);
            }
            Err(error) => {
                if let Some(suppressed) = UNHEARD.pass() {
                    say(move || tracing::warn!(%error, suppressed, "systemd does not hear: it will be told again"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
