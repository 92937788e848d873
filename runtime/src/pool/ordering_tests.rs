//! What comes before what when a call is promised: the journal, then the yes, then the report.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use openrtc_core::id::CallId;
use openrtc_core::word::Refusal;
use openrtc_core::worker::{Command, Limits, Worker};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::sleep;

use crate::engine::clock::Clock;
use crate::engine::control;
use crate::engine::handle::WorkerHandle;
use crate::pool::call_end::{CallEnd, Reporter};
use crate::pool::source::{CallSource, Offer};
use crate::pool::tokio_ports::Host;
use crate::pool::view::WorkerView;
use crate::pool::{AgentPool, Built};
use crate::process::systemd::Systemd;
use crate::writer::stalled::{self, Disk};

/// Long, and shorter than the control loop's patience with a disk.
const A_WHILE: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Yes,
    Ended,
}

/// One offer, withdrawn as soon as it is answered.
struct Once(Option<Offered>, UnboundedSender<Told>);

struct Offered(UnboundedSender<Told>);

impl Offer for Offered {
    type Session = ();

    fn id(&self) -> CallId {
        const { CallId::from_static("call") }
    }

    async fn accept(self) -> Option<()> {
        let _ = self.0.send(Told::Yes);
        None
    }

    async fn decline(self, _: Refusal) {}
}

impl CallSource for Once {
    type Offer = Offered;
    type Error = Infallible;
    type Reporter = Ends;

    fn attach(&mut self, _: WorkerView) -> Ends {
        Ends(self.1.clone())
    }

    async fn next(&mut self) -> Result<Option<Offered>, Infallible> {
        match self.0.take() {
            Some(offer) => Ok(Some(offer)),
            None => pending().await,
        }
    }
}

struct Ends(UnboundedSender<Told>);

impl Reporter for Ends {
    async fn ended(&self, _: CallEnd) {
        let _ = self.0.send(Told::Ended);
    }
}

/// A worker that serves, whose disk finishes what it is given when the test says so.
async fn serving() -> (AgentPool, Disk) {
    let start = Worker::new(Limits::default()).expect("limits are valid");
    let clock = Clock::start();
    let (worker, publisher) = WorkerHandle::for_test(&start, clock);
    let (writer, mut disk) = stalled::writer();
    let mut host = Host::new(clock, writer, None, publisher, Systemd::default());
    let control = worker.clone();
    tokio::spawn(async move { control::run(control.gate(), start, &mut host).await });
    worker.submit(Command::Serve).expect("it has just started");
    disk.finish_one().await;
    let built = Built {
        trail: None,
        recovered: None,
        ops_addr: None,
        #[cfg(feature = "http")]
        farewell: crate::ops::Farewell::new(),
        unique: None,
        exit_watchdog: Duration::ZERO,
        takes_descriptors: false,
    };
    (AgentPool { worker, built: Arc::new(built) }, disk)
}

fn heard(ears: &mut UnboundedReceiver<Told>) -> Vec<Told> {
    std::iter::from_fn(|| ears.try_recv().ok()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_journal_has_a_promise_before_the_yes_and_an_end_before_the_report() {
    let (pool, mut disk) = serving().await;
    let (mouth, mut ears) = mpsc::unbounded_channel();
    let view = pool.view();
    let serving = pool.clone();
    let source = Once(Some(Offered(mouth.clone())), mouth);
    tokio::spawn(async move { serving.serve(source, async |_| {}).await });

    sleep(A_WHILE).await;
    assert_eq!((heard(&mut ears), view.in_flight()), (vec![], 0), "promised here, and not on the disk");
    assert_eq!(pool.runtime_snapshot().reserved_sessions, 1);
    disk.finish_one().await;
    sleep(A_WHILE).await;
    assert_eq!((heard(&mut ears), view.in_flight()), (vec![Told::Yes], 1), "withdrawn here, and not on the disk");
    assert_eq!(pool.runtime_snapshot().reserved_sessions, 0);
    disk.finish_one().await;
    sleep(A_WHILE).await;
    assert_eq!((heard(&mut ears), view.in_flight()), (vec![Told::Ended], 0));
}
