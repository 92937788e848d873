//! What happens in a child between fork and exec: it begins as if nobody had had the process before it.
#![expect(unsafe_code, reason = "std has no safe way to reset a child's signals, session and descriptors")]

use std::io;

use rustix::process::{Resource, Rlimit, setrlimit, setsid};
use tokio::process::Command;

/// The last signal there is.
const SIGNALS: libc::c_int = 64;
/// The first descriptor that is no standard stream.
const FIRST: libc::c_uint = 3;
/// Up to here descriptors are looked for where the system cannot close a range of them.
const LAST: libc::c_int = 4_096;

/// Has the child begin with a session of its own, no signal blocked, ignored or handled, the limit of descriptors that
/// is given, and no descriptor but its standard streams.
pub(super) fn clean(command: &mut Command, descriptors: Option<u64>) {
    let begin = move || {
        setsid()?;
        if let Some(current) = descriptors {
            let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
            setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum })?;
        }
        forget_descriptors();
        forget_signals()
    };
    // SAFETY: between fork and exec only async-signal-safe functions may run. The closure allocates nothing, takes no
    // lock, and calls the system directly.
    unsafe { command.pre_exec(begin) };
}

/// Marks every descriptor but the standard streams as one that exec closes. Those that std needs until then stay open.
fn forget_descriptors() {
    // SAFETY: these system calls touch no memory.
    unsafe {
        let flags = libc::CLOSE_RANGE_CLOEXEC.cast_signed();
        if libc::close_range(FIRST, libc::c_uint::MAX, flags) != 0 {
            for descriptor in FIRST.cast_signed()..=LAST {
                libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC);
            }
        }
    }
}

fn forget_signals() -> io::Result<()> {
    /// As long as the system's own description of what a signal does; all zero is the default.
    const DEFAULT: [u64; 4] = [0; 4];
    /// As long as the system's own set of signals, in bytes.
    const SET: usize = 8;
    // SAFETY: the system calls read what they are given, which is as long as they expect; `sigemptyset` fills the set
    // before `pthread_sigmask` reads it. All three are async-signal-safe.
    unsafe {
        for signal in 1..=SIGNALS {
            // Directly: the library keeps two signals to itself, and a parent may have ignored these as well. Refused
            // for SIGKILL and SIGSTOP.
            libc::syscall(libc::SYS_rt_sigaction, signal, DEFAULT.as_ptr(), std::ptr::null::<u64>(), SET);
        }
        let mut none = std::mem::MaybeUninit::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        match libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut()) {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}
