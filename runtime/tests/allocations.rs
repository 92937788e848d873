//! What the runtime allocates: nothing on the hot path, and little per call in flight. Counting needs an allocator of
//! its own, hence the only unsafe code of the workspace, in a test binary of its own.
#![allow(unsafe_code, clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use openrtc_runtime::{Actor, AgentPool, CallId};
use tokio::runtime::Builder;

/// The system's allocator, counting.
struct Counting;

static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every request is passed on unchanged to the system's allocator, which keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        LIVE_BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const ALICE: Actor = Actor::from_static("alice");
const CALL: CallId = CallId::from_static("9f3a7c02-5d0e-4a7e-9f64-0c7b6a1f2e11");

fn pool(capacity: u32) -> AgentPool {
    AgentPool::builder().deployment_version("v1").worker("w1").capacity(capacity).call_descriptors(0).build().unwrap()
}

/// How many allocations this thread makes meanwhile.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

#[test]
fn admitting_refusing_and_hanging_up_allocate_nothing() {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let _inside = runtime.enter();
    let pool = pool(1_000);
    assert!(allocations(|| drop(Box::new(CALL))) > 0, "the counter counts");
    // Fewer events than the ring holds: none has to wait for the shell, which runs on another thread.
    let admitted = allocations(|| (0..1_000).for_each(|_| drop(pool.admit(CALL).unwrap())));
    let held = pool.admit(CALL).unwrap();
    pool.begin_drain(ALICE).unwrap();
    let refused = allocations(|| (0..1_000).for_each(|_| assert!(pool.admit(CALL).is_err())));
    assert_eq!((admitted, refused), (0, 0));
    assert_eq!(allocations(|| drop(held)), 0);
}

/// At most this much of the runtime's own memory per call in flight, in bytes.
const PER_CALL: usize = 128;

#[test]
fn a_million_calls_in_flight_take_little_memory_each() {
    const CALLS: usize = 1_000_000;
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let pool = runtime.block_on(async { pool(u32::try_from(CALLS).unwrap()) });
    let mut guards = Vec::with_capacity(CALLS);
    let before = LIVE_BYTES.load(Ordering::Relaxed);
    runtime.block_on(async {
        for batch in 0..CALLS / 1_000 {
            guards.extend((0..1_000).map(|_| pool.admit(CALL).unwrap()));
            guards[batch * 1_000].recorded().await;
        }
        guards[CALLS - 1].recorded().await;
    });
    let taken = LIVE_BYTES.load(Ordering::Relaxed) - before;
    println!("{} bytes per call, and {} in its guard", taken / CALLS, size_of_val(&guards[0]));
    assert!(taken <= PER_CALL * CALLS, "{} bytes per call, at most {PER_CALL} are allowed", taken / CALLS);
    assert_eq!(pool.runtime_snapshot().active_sessions as usize, CALLS);
}
