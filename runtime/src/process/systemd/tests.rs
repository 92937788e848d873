//! A worker under a double of systemd that keeps to its manual: after the stop signal a service has `TimeoutStopSec`,
//! and past that it lives only as long as the last `EXTEND_TIMEOUT_USEC` reaches (`sd_notify(3)`).

use openrtc_core::id::{Actor, CallId};
use openrtc_core::worker::{Cause, Class, Command, Limits, Worker};
use tokio::time::{Instant, advance};

use super::super::attend;
use super::*;
use crate::engine::clock::Clock;
use crate::engine::handle::WorkerHandle;

/// What the unit in `deploy/` says.
const TIMEOUT_STOP: Duration = Duration::from_secs(30);

/// systemd, after it has sent the stop signal.
struct Manager {
    socket: UnixDatagram,
    stopped: Instant,
    extended: Option<Instant>,
}

impl Manager {
    fn hear(&mut self) {
        let mut message = [0; 512];
        while let Ok(length) = self.socket.recv(&mut message) {
            let text = String::from_utf8_lossy(&message[..length]).into_owned();
            let asked = text.lines().find_map(|line| line.strip_prefix("EXTEND_TIMEOUT_USEC="));
            if let Some(micros) = asked.and_then(|micros| micros.parse().ok()) {
                self.extended = Some(Instant::now() + Duration::from_micros(micros));
            }
        }
    }

    /// Whether it would have killed by now.
    fn kills(&self) -> bool {
        let now = Instant::now();
        now > self.stopped + TIMEOUT_STOP && self.extended.is_none_or(|until| now > until)
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_call_without_events_outlives_the_stop_timeout() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_nonblocking(true).expect("it is a socket");
    let listener = Listener::open(path.as_os_str().as_bytes(), None).expect("systemd listens there");
    let systemd = Systemd(Some(Arc::new(listener)));

    let start = Worker::new(Limits::default()).expect("limits are valid");
    let (worker, _published) = WorkerHandle::for_test(&start, Clock::start());
    worker.submit(Command::Serve).expect("it has just started");
    worker.gate().admit(&CallId::from_static("long"), Class::default()).expect("serving");
    let attending = tokio::spawn(attend(worker.clone(), None, systemd));
    worker.drain(Cause::Signal, Actor::from_static("SIGTERM"), worker.drain_terms()).expect("serving");

    let mut manager = Manager { socket, stopped: Instant::now(), extended: None };
    for second in 1..=3600 {
        advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
        manager.hear();
        assert!(!manager.kills(), "killed after {second} s, with a call in flight");
    }
    // The double can kill: a worker that says nothing any more does not live on.
    attending.abort();
    advance(Duration::from_secs(31)).await;
    manager.hear();
    assert!(manager.kills(), "systemd waits for nobody who is silent");
}
