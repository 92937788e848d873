//! Counts what the code under test allocates.
#![expect(unsafe_code, reason = "a global allocator is unsafe by its nature; this one hands every call on unchanged")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator as it came; counting touches a thread's own number, which needs
// neither memory nor a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.set(BYTES.get().wrapping_add(layout.size()));
        // SAFETY: the caller's promises are the ones required.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the memory came from the system's allocator; the caller's other promises are the ones required.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// What `work` gives, and how many bytes this thread asked for meanwhile, given back or not.
pub(crate) fn during<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = BYTES.get();
    let result = work();
    (result, BYTES.get().wrapping_sub(before))
}

#[test]
fn an_allocation_counts() {
    let (text, bytes) = during(|| String::from("on the heap"));
    assert_eq!((text.len(), bytes), (11, 11));
}
