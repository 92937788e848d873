//! What it costs to admit a call and to release it: the runtime's gate and core's two parts of it, the admission word
//! and the worker machine, beside the limit of the hardware and the gates that other crates offer.
//!
//! `cargo bench -p benches --bench admission` prints two groups, `one thread` and `two threads`. Absolute figures are
//! those of one machine; what carries over is the ratio of a line to the first of its group, `two fetch_add`, because
//! no gate over shared memory can do with fewer than two atomic read-modify-writes.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use openrtc_core::id::{CallId, CallNo};
use openrtc_core::machine::Machine;
use openrtc_core::time::Instant;
use openrtc_core::word::{Phase, Word};
use openrtc_core::worker::{Class, Command, EndReason, Limits, Worker};
use openrtc_runtime::gate::Gate;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const CAPACITY: u32 = 1_000;
const CALL: CallId = CallId::from_static("call");
const ADMIT: Command = Command::Admit { id: CALL, class: Class(0) };

/// How many entries wait for the shell, about, when it takes them from the gate.
const BATCH: u64 = 1_024;

criterion_group!(admission, one_thread, two_threads);
criterion_main!(admission);

fn one_thread(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("one thread");
    contenders(&mut Alone(&mut group));
    let mut word = Word::START.enter(Phase::Serving);
    group.bench_function("admission word, not shared", |bencher| {
        bencher.iter(|| {
            word = black_box(word).admit(black_box(CAPACITY)).expect("serving and empty");
            word = black_box(word).release();
        });
    });
    let mut worker = serving();
    group.bench_function("worker machine, not shared", |bencher| {
        bencher.iter(|| admit_and_end(black_box(&mut worker)));
    });
    group.finish();
}

fn two_threads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("two threads");
    contenders(&mut Contended(&mut group));
    group.finish();
}

/// How each contender is timed.
trait Measure {
    /// Times `admit_and_release`, which admits one call and releases it.
    fn time(&mut self, name: &str, admit_and_release: impl Fn() + Sync);
}

/// One thread has the gate to itself.
struct Alone<'a, 'b>(&'a mut BenchmarkGroup<'b, WallTime>);

impl Measure for Alone<'_, '_> {
    fn time(&mut self, name: &str, admit_and_release: impl Fn() + Sync) {
        self.0.bench_function(name, |bencher| bencher.iter(&admit_and_release));
    }
}

/// Two threads use the gate flat out; a figure is the time one of them needs for one call.
struct Contended<'a, 'b>(&'a mut BenchmarkGroup<'b, WallTime>);

impl Measure for Contended<'_, '_> {
    fn time(&mut self, name: &str, admit_and_release: impl Fn() + Sync) {
        self.0.bench_function(name, |bencher| {
            bencher.iter_custom(|calls| {
                let start = Barrier::new(2);
                let run = || timed(&start, calls, &admit_and_release);
                std::thread::scope(|scope| {
                    let rival = scope.spawn(run);
                    run().max(rival.join().expect("a contender does not panic"))
                })
            });
        });
    }
}

fn timed(start: &Barrier, calls: u64, admit_and_release: impl Fn()) -> Duration {
    start.wait();
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures the real clock")]
    let begun = std::time::Instant::now();
    for _ in 0..calls {
        admit_and_release();
    }
    begun.elapsed()
}

/// Every gate that threads can share, the limit first.
fn contenders(measure: &mut impl Measure) {
    let bits = AtomicU64::new(0);
    measure.time("two fetch_add", || {
        black_box(bits.fetch_add(black_box(1), Ordering::AcqRel));
        black_box(bits.fetch_add(black_box(1), Ordering::AcqRel));
    });

    let word = AtomicU64::new(Word::START.enter(Phase::Serving).to_bits());
    measure.time("admission word", || {
        let admit = |bits| Word::from_bits(bits).admit(black_box(CAPACITY)).ok().map(Word::to_bits);
        let admitted = word.fetch_update(Ordering::AcqRel, Ordering::Acquire, admit);
        black_box(admitted).expect("serving and not full");
        black_box(word.fetch_add(Word::RELEASE, Ordering::AcqRel));
    });

    let worker = Mutex::new(serving());
    measure.time("worker machine in a lock", || {
        let call = admit(&mut worker.lock());
        end(&mut worker.lock(), call);
    });

    let gate = Gate::new(&serving());
    let batch = Mutex::new(Vec::new());
    measure.time("runtime gate", || {
        let call = gate.admit(black_box(CALL), Class(0)).expect("serving and not full");
        gate.end(black_box(call), EndReason::CallerHangup);
        if call.get().is_multiple_of(BATCH) {
            gate.take(Instant::EPOCH, &mut batch.lock());
        }
    });

    peers(measure);
}

/// What a Rust programmer would use instead.
fn peers(measure: &mut impl Measure) {
    let counter = Mutex::new(Counter { open: true, count: 0, capacity: CAPACITY });
    measure.time("parking_lot lock around a counter", || {
        assert!(black_box(counter.lock().admit()), "open and not full");
        counter.lock().count -= 1;
    });

    let tracker = TaskTracker::new();
    measure.time("TaskTracker token", || drop(black_box(tracker.token())));

    let cancelled = CancellationToken::new();
    measure.time("CancellationToken check, TaskTracker token", || {
        assert!(!black_box(cancelled.is_cancelled()), "never cancelled");
        drop(black_box(tracker.token()));
    });

    let semaphore = Arc::new(Semaphore::new(CAPACITY as usize));
    measure.time("Semaphore owned permit", || {
        let permit = Arc::clone(&semaphore).try_acquire_owned().expect("open and not exhausted");
        drop(black_box(permit));
    });
}

struct Counter {
    open: bool,
    count: u32,
    capacity: u32,
}

impl Counter {
    const fn admit(&mut self) -> bool {
        let may = self.open && self.count < self.capacity;
        self.count += may as u32;
        may
    }
}

fn serving() -> Worker {
    let mut worker = Worker::new(Limits { capacity: CAPACITY, ..Limits::default() }).expect("limits are valid");
    step(&mut worker, Command::Serve);
    worker
}

fn admit_and_end(worker: &mut Worker) {
    let call = admit(worker);
    end(worker, call);
}

fn admit(worker: &mut Worker) -> CallNo {
    step(worker, black_box(ADMIT));
    CallNo::new(worker.word().seq().get())
}

fn end(worker: &mut Worker, call: CallNo) {
    step(worker, black_box(Command::End { call, reason: EndReason::CallerHangup }));
}

/// Judges a command and applies what comes of it, as a shell does between two journal writes.
fn step(worker: &mut Worker, command: Command) {
    let mut entry = None;
    worker.decide(Instant::EPOCH, command, &mut |emitted| entry = Some(emitted)).expect("the command is in order");
    worker.apply(&entry.expect("an accepted command emits one entry"));
}
