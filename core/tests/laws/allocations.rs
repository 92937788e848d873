//! Counts what the code under test allocates.
#![expect(unsafe_code, reason = "a global allocator is unsafe by its nature; this one hands every call on unchanged")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator as it came; counting touches a thread's own number, which needs
// neither memory nor a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's promises are the ones required.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the memory came from the system's allocator; the caller's other promises are the ones required.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// What `work` gives, and how many times this thread allocated meanwhile.
pub(crate) fn during<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = COUNT.get();
    let result = work();
    (result, COUNT.get() - before)
}

#[test]
fn an_allocation_counts() {
    let (text, count) = during(|| String::from("on the heap"));
    assert_eq!((text.len(), count), (11, 1));
}
