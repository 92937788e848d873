//! The terminal that a person sits at, if the process has one.

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, open};
use rustix::process::getpgrp;
use rustix::termios::tcgetpgrp;

/// Whether what is typed at the terminal goes to this process: it has a controlling terminal, and is in the foreground.
pub(super) fn is_foreground() -> bool {
    terminal().is_some_and(|terminal| tcgetpgrp(&terminal).is_ok_and(|group| group == getpgrp()))
}

/// Says something to the person at the terminal. One that has been stopped keeps nobody waiting.
pub(super) fn tell(text: &str) {
    if let Some(terminal) = terminal() {
        // If it does not get there, the log has it too.
        let _ = rustix::io::write(terminal, format!("\r{text}\n").as_bytes());
    }
}

fn terminal() -> Option<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    open("/dev/tty", flags, Mode::empty()).ok()
}
