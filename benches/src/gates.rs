//! Gates that threads share: admit a call, release it. Ours, and what a Rust programmer would use instead.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_shutdown::ShutdownManager;
use hyper_util::server::graceful::GracefulShutdown;
use openrtc_core::id::DigestKey;
use openrtc_core::journal::Batch;
use openrtc_core::time::Instant;
use openrtc_core::word::{Phase, Word};
use openrtc_core::worker::{Cause, Class, Command, DrainOrder, EndReason, Limits, Terms, Worker};
use openrtc_runtime::Actor;
use openrtc_runtime::gate::Gate;
use openrtc_runtime::intake::Intake;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::locked_machine::Plain;
use crate::{CALL, CAPACITY, Contender, pool};

/// What no gate over shared memory can do without: two atomic read-modify-writes.
pub const LIMIT: &str = "limit: two fetch_add";
/// Our word alone: admission, drain and numbering.
pub const WORD: &str = "**admission word**";
/// Our gate: the word, and each event published with the call's identity.
pub const GATE: &str = "**gate: word + event in the ring**";
/// The peer with the least to it.
pub const TRACKER: &str = "tokio-util TaskTracker";
/// The design that would be simpler.
pub const PLAIN: &str = "plain lock around the worker machine";

/// How many calls pass before somebody takes their entries.
const BATCH: u64 = 512;

/// Admit and release, the limit first, then ours, then the crates' gates, then locks.
#[must_use]
pub fn admit_and_release() -> Vec<Contender> {
    let mut all = vec![limit(), word(), gate()];
    all.extend(crates());
    all.extend([counter(), plain()]);
    all
}

/// Refuse a call while draining, and the cost of one atomic read-modify-write to compare with.
#[must_use]
pub fn refuse() -> Vec<Contender> {
    let bits = AtomicU64::new(0);
    let gate = draining();
    let plain = Plain::draining();
    vec![
        Contender::new("limit: one fetch_add", move || {
            black_box(bits.fetch_add(1, Ordering::AcqRel));
        }),
        Contender::new("**gate**", move || assert!(gate.admit(black_box(&CALL), Class::default()).is_err())),
        Contender::new(PLAIN, move || assert!(plain.admit(black_box(&CALL)).is_none())),
    ]
}

fn limit() -> Contender {
    let bits = AtomicU64::new(0);
    Contender::new(LIMIT, move || {
        let admitted = bits.fetch_add(1, Ordering::AcqRel);
        black_box(admitted ^ bits.fetch_add(1, Ordering::AcqRel));
    })
}

fn word() -> Contender {
    let word = AtomicU64::new(Word::START.enter(Phase::Serving).to_bits());
    let capacity = black_box(CAPACITY);
    Contender::new(WORD, move || {
        let mut seen = word.load(Ordering::Relaxed);
        loop {
            let next = Word::from_bits(seen).admit(capacity).expect("serving and not full");
            match word.compare_exchange_weak(seen, next.to_bits(), Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
        black_box(word.fetch_add(Word::RELEASE, Ordering::AcqRel));
    })
}

/// With the share that falls to each call of taking the entries, in the same thread.
fn gate() -> Contender {
    let (gate, batch) = (serving(), Mutex::new(Batch::default()));
    Contender::new(GATE, move || {
        let call = gate.admit(black_box(&CALL), Class::default()).expect("serving and not full");
        black_box(gate.end(black_box(call), EndReason::CallerHangup));
        if call.get().is_multiple_of(BATCH) {
            let mut batch = batch.lock();
            batch.clear();
            gate.take(Instant::EPOCH, &mut batch);
        }
    })
}

/// Limits under which no deadline interferes.
#[must_use]
pub fn limits() -> Limits {
    Limits { capacity: CAPACITY, ..Limits::default() }
}

/// A gate that takes calls.
#[must_use]
pub fn serving() -> Gate {
    let gate = Gate::new(&Worker::new(limits()).expect("limits are valid"), DigestKey::default());
    gate.submit(Instant::EPOCH, Command::Serve).expect("it has just started");
    gate
}

/// The order of every drain here.
pub const DRAIN: Command =
    Command::BeginDrain(DrainOrder { cause: Cause::Api, actor: Actor::from_static("bench"), terms: Terms::PATIENT });

/// A gate that drains.
#[must_use]
pub fn draining() -> Gate {
    let gate = serving();
    gate.submit(Instant::EPOCH, DRAIN).expect("it serves");
    gate
}

fn crates() -> Vec<Contender> {
    let tracker = TaskTracker::new();
    let (cancelled, calls) = (CancellationToken::new(), TaskTracker::new());
    let semaphore = Arc::new(Semaphore::new(CAPACITY as usize));
    let shutdown = ShutdownManager::<()>::new();
    let runtime = pool::runtime();
    let graceful = {
        let _inside = runtime.enter();
        tokio_graceful::Shutdown::builder().with_signal(std::future::pending::<()>()).build()
    };
    let guard = graceful.guard();
    let (signal, watch) = drain::channel();
    let server = GracefulShutdown::new();
    vec![
        Contender::new(TRACKER, move || drop(black_box(tracker.token()))),
        Contender::new("CancellationToken check + TaskTracker", move || {
            assert!(!black_box(cancelled.is_cancelled()), "never cancelled");
            drop(black_box(calls.token()));
        }),
        Contender::new("tokio Semaphore, owned permit", move || {
            drop(black_box(Arc::clone(&semaphore).try_acquire_owned().expect("open and not exhausted")));
        }),
        Contender::new("async-shutdown delay token", move || {
            drop(black_box(shutdown.delay_shutdown_token().expect("not shut down")));
        }),
        Contender::new("tokio-graceful guard", move || {
            let _keep = (&runtime, &graceful);
            drop(black_box(guard.clone()));
        }),
        Contender::new("linkerd drain watch", move || {
            let _keep = &signal;
            drop(black_box(watch.clone()));
        }),
        Contender::new("hyper-util GracefulShutdown watcher", move || drop(black_box(server.watcher()))),
    ]
}

fn counter() -> Contender {
    struct Counter {
        open: bool,
        count: u32,
        seq: u64,
    }

    let counter = Mutex::new(Counter { open: true, count: 0, seq: 0 });
    Contender::new("parking_lot lock around three integers", move || {
        {
            let mut counter = counter.lock();
            assert!(black_box(counter.open && counter.count < CAPACITY), "open and not full");
            counter.count += 1;
            counter.seq += 1;
        }
        let mut counter = counter.lock();
        counter.count -= 1;
        counter.seq += 1;
    })
}

/// With the share that falls to each call of taking the entries.
fn plain() -> Contender {
    let plain = Plain::serving();
    Contender::new(PLAIN, move || {
        let call = plain.admit(black_box(&CALL)).expect("serving and not full");
        plain.end(black_box(call), EndReason::CallerHangup);
        if call.get().is_multiple_of(BATCH) {
            plain.take();
        }
    })
}
