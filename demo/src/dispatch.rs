//! The dispatcher: gives each call to a worker of the current version, and to another one when it is declined.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use openrtc_core::worker::Decline;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::caller::{Answer, Talk, offer};
use crate::ledger::{Ledger, OfferedCall, Taken};
#[cfg(feature = "livekit")]
use crate::livekit::Exchange;
use crate::load::PlannedCall;

/// There is none without the feature.
#[cfg(not(feature = "livekit"))]
type Exchange = std::convert::Infallible;

/// How long a call is offered around before its caller gives up.
const GIVE_UP: Duration = Duration::from_secs(5);
/// How long to wait when every worker has declined.
const PAUSE: Duration = Duration::from_millis(20);

/// A worker as the dispatcher sees it.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) version: &'static str,
    /// Where it takes calls, once it does; never, if LiveKit gives it jobs.
    calls: OnceLock<SocketAddr>,
    /// Calls on it now.
    pub(crate) active: AtomicU32,
    /// Calls it declined.
    declines: AtomicU32,
    /// When it first declined one because it drains, or said that it does.
    refused: OnceLock<Instant>,
    /// Calls it took after that.
    taken_after: AtomicU32,
}

/// The dispatcher's state, shared by all callers.
#[derive(Debug, Default)]
pub(crate) struct Dispatcher {
    targets: Mutex<Vec<Arc<Target>>>,
    /// New calls go to the targets from here on.
    current: AtomicUsize,
    ledger: Mutex<Ledger>,
    ended: AtomicUsize,
    dropped: AtomicUsize,
    /// By way of which LiveKit gives the calls to workers, if it does.
    exchange: Option<Exchange>,
}

/// How things stand, for the progress line.
pub(crate) struct Standing {
    pub(crate) versions: Vec<VersionStanding>,
    pub(crate) ended: usize,
    pub(crate) dropped: usize,
}

/// How one version's workers stand together.
pub(crate) struct VersionStanding {
    pub(crate) version: &'static str,
    /// Calls on them now.
    pub(crate) calls: u32,
    /// Whether each of them has declined a call because it drains, or said that it does.
    pub(crate) draining: bool,
}

impl Target {
    /// It takes calls there.
    pub(crate) fn listens(&self, calls: SocketAddr) {
        self.calls.get_or_init(|| calls);
    }

    /// It declined a call.
    pub(crate) fn declined(&self, why: Decline) {
        self.declines.fetch_add(1, Ordering::SeqCst);
        if why == Decline::Draining {
            self.closed();
        }
    }

    /// It takes no more calls.
    pub(crate) fn closed(&self) {
        self.refused.get_or_init(Instant::now);
    }

    /// Whether it has said that it takes no more calls.
    pub(crate) fn is_closed(&self) -> bool {
        self.refused.get().is_some()
    }

    /// It took a call, which was offered to it when it was closed already, or not.
    pub(crate) fn took(&self, was_closed: bool) {
        self.taken_after.fetch_add(u32::from(was_closed), Ordering::SeqCst);
    }
}

impl Dispatcher {
    /// A dispatcher that leaves the choice to LiveKit.
    #[cfg(feature = "livekit")]
    pub(crate) fn over(exchange: Exchange) -> Self {
        Self { exchange: Some(exchange), ..Self::default() }
    }

    #[cfg(feature = "livekit")]
    pub(crate) const fn exchange(&self) -> Option<&Exchange> {
        self.exchange.as_ref()
    }

    /// Whether LiveKit gives the calls to workers.
    pub(crate) const fn on_livekit(&self) -> bool {
        self.exchange.is_some()
    }

    /// Adds a worker; calls go to it once it listens, and is at or after the current place.
    pub(crate) fn add(&self, version: &'static str) -> Arc<Target> {
        let target = Target {
            version,
            calls: OnceLock::new(),
            active: AtomicU32::new(0),
            declines: AtomicU32::new(0),
            refused: OnceLock::new(),
            taken_after: AtomicU32::new(0),
        };
        let target = Arc::new(target);
        lock(&self.targets).push(Arc::clone(&target));
        target
    }

    /// From now on, new calls go to the workers from place `first` on.
    pub(crate) fn shift_to(&self, first: usize) {
        self.current.store(first, Ordering::SeqCst);
    }

    /// Makes one call: offers it around, talks, and enters it into the ledger. `first` is tried before all others, as a
    /// dispatcher with an old view of the fleet would.
    pub(crate) async fn call(&self, id: String, talk: Duration, first: Option<usize>) {
        let (declined_by, unanswered_by) = (Vec::new(), Vec::new());
        let mut record = OfferedCall { id, declined_by, unanswered_by, taken: None };
        if let Some((worker, accepted)) = self.place(&mut record, first).await {
            let target = self.target(worker);
            let answered = Instant::now();
            let (fate, heard) = accepted.talk(talk).await;
            target.active.fetch_sub(1, Ordering::SeqCst);
            record.taken = Some(Taken { worker, answered, ended: Instant::now(), fate, heard });
            self.dropped.fetch_add(usize::from(fate.is_drop()), Ordering::Relaxed);
            self.ended.fetch_add(1, Ordering::Relaxed);
        }
        #[cfg(feature = "livekit")]
        if let Some(exchange) = &self.exchange {
            exchange.leave(&record.id).await;
        }
        lock(&self.ledger).calls.push(record);
    }

    async fn place(&self, record: &mut OfferedCall, first: Option<usize>) -> Option<(usize, Box<Talk>)> {
        #[cfg(feature = "livekit")]
        if let Some(exchange) = &self.exchange {
            return exchange.place(record).await;
        }
        self.offer_around(record, first).await
    }

    async fn offer_around(&self, record: &mut OfferedCall, first: Option<usize>) -> Option<(usize, Box<Talk>)> {
        let give_up = Instant::now() + GIVE_UP;
        let mut order: Vec<_> = first.into_iter().chain(self.by_load()).collect();
        loop {
            for worker in order {
                let target = self.target(worker);
                let Some(calls) = target.calls.get() else { continue };
                let was_closed = target.is_closed();
                target.active.fetch_add(1, Ordering::SeqCst);
                match offer(*calls, &record.id).await {
                    Answer::Accepted(talk) => {
                        target.took(was_closed);
                        return Some((worker, talk));
                    }
                    Answer::Declined(why) => {
                        record.declined_by.push(worker);
                        target.declined(why);
                    }
                    Answer::Silent => record.unanswered_by.push(worker),
                }
                target.active.fetch_sub(1, Ordering::SeqCst);
            }
            if Instant::now() > give_up {
                return None;
            }
            sleep(PAUSE).await;
            order = self.by_load();
        }
    }

    /// The current version's workers, least loaded first.
    fn by_load(&self) -> Vec<usize> {
        let targets = lock(&self.targets);
        let current = self.current.load(Ordering::SeqCst)..targets.len();
        let mut order: Vec<_> = current.collect();
        order.sort_by_key(|worker| targets[*worker].active.load(Ordering::SeqCst));
        order
    }

    fn target(&self, worker: usize) -> Arc<Target> {
        Arc::clone(&lock(&self.targets)[worker])
    }

    /// How things stand now.
    pub(crate) fn standing(&self) -> Standing {
        let mut versions: Vec<VersionStanding> = Vec::new();
        for target in lock(&self.targets).iter() {
            let calls = target.active.load(Ordering::SeqCst);
            let draining = target.is_closed();
            match versions.last_mut() {
                Some(last) if last.version == target.version => {
                    last.calls += calls;
                    last.draining &= draining;
                }
                Some(_) | None => versions.push(VersionStanding { version: target.version, calls, draining }),
            }
        }
        let (ended, dropped) = (self.ended.load(Ordering::Relaxed), self.dropped.load(Ordering::Relaxed));
        Standing { versions, ended, dropped }
    }

    /// When a worker first declined a call because it drains.
    pub(crate) fn first_refusal(&self, worker: usize) -> Option<Instant> {
        self.target(worker).refused.get().copied()
    }

    /// Calls that a worker declined.
    pub(crate) fn declines(&self, worker: usize) -> u32 {
        self.target(worker).declines.load(Ordering::SeqCst)
    }

    /// Calls that a worker took after it had declined one.
    pub(crate) fn taken_after_refusal(&self, worker: usize) -> u32 {
        self.target(worker).taken_after.load(Ordering::SeqCst)
    }

    /// The ledger, once all calls have been made.
    pub(crate) fn take_ledger(&self) -> Ledger {
        std::mem::take(&mut lock(&self.ledger))
    }
}

/// Makes every call at its time.
pub(crate) async fn make_calls(dispatcher: Arc<Dispatcher>, calls: Vec<PlannedCall>) -> JoinSet<()> {
    let begun = Instant::now();
    let mut made = JoinSet::new();
    for (number, call) in calls.into_iter().enumerate() {
        sleep_until(begun + call.start).await;
        let dispatcher = Arc::clone(&dispatcher);
        made.spawn(async move { dispatcher.call(format!("call-{number}"), call.talk, None).await });
    }
    made
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io;

    use tokio::net::TcpListener;

    use super::*;
    use crate::caller::Fate;
    use crate::wire::{Frame, Receiver, send};

    /// A worker that declines its first offer because it drains and, wrongly, takes every later one.
    async fn relapse(listener: TcpListener) -> io::Result<()> {
        for offer in 0.. {
            let (read, mut to) = listener.accept().await?.0.into_split();
            let mut from = Receiver::new(read);
            from.next().await?;
            if offer == 0 {
                send(&mut to, &Frame::Decline { why: Decline::Draining, reason: "draining".into() }).await?;
                continue;
            }
            send(&mut to, &Frame::Accept).await?;
            while from.next().await?.is_some_and(|frame| frame != Frame::Hangup) {}
            send(&mut to, &Frame::Bye).await?;
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_call_that_a_worker_takes_after_it_refused_one_is_found_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let dispatcher = Dispatcher::default();
        dispatcher.add("v1").listens(listener.local_addr().expect("bound"));
        let worker = tokio::spawn(relapse(listener));
        dispatcher.call("one".into(), Duration::ZERO, None).await;
        worker.abort();
        assert!(dispatcher.first_refusal(0).is_some());
        assert_eq!((dispatcher.declines(0), dispatcher.taken_after_refusal(0)), (1, 1));
        let ledger = dispatcher.take_ledger();
        let (call, taken) = ledger.taken().next().expect("the call was taken");
        assert_eq!((&call.declined_by[..], taken.fate), (&[0][..], Fate::HungUp));
    }
}
