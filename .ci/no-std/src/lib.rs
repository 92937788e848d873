//! A program without `std` that runs core. It builds only while neither core nor anything below it brings `std` in:
//! `std` would define a second panic handler. Built for WebAssembly it must also import nothing from its host.
#![no_std]

extern crate alloc;

use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr;

use openrtc_core::journal;
use openrtc_core::worker::Worker;

/// Folds a journal segment of zeros, as an example of everything core does: decode, check, fold.
#[unsafe(no_mangle)]
pub extern "C" fn folds(len: usize) -> bool {
    let mut segment = Vec::new();
    segment.resize(len, 0);
    journal::replay(&segment, |_: &Worker, _, _| {}).is_ok()
}

/// Gives out no memory: this program is built, not run.
struct Nothing;

unsafe impl GlobalAlloc for Nothing {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        ptr::null_mut()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static MEMORY: Nothing = Nothing;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
