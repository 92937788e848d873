//! Printing that cannot panic: whoever reads may have seen enough (`| head`), and that is no error.
//!
//! The macros take the place of the standard library's in this program, so that nobody can forget to use them.

use std::fmt;
use std::io::{ErrorKind, Write, stderr, stdout};
use std::sync::OnceLock;

/// Why standard output takes no more, once it does not.
static STOPPED: OnceLock<ErrorKind> = OnceLock::new();

/// `print!` without its panic.
macro_rules! print {
    ($($text:tt)*) => { $crate::say::out(format_args!($($text)*)) };
}

/// `println!` without its panic.
macro_rules! println {
    () => { $crate::say::out(format_args!("\n")) };
    ($($text:tt)*) => { $crate::say::out(format_args!("{}\n", format_args!($($text)*))) };
}

/// `eprintln!` without its panic.
macro_rules! eprintln {
    ($($text:tt)*) => { $crate::say::err(format_args!("{}\n", format_args!($($text)*))) };
}

pub(crate) fn out(text: fmt::Arguments<'_>) {
    if STOPPED.get().is_none()
        && let Err(error) = stdout().lock().write_fmt(text).and_then(|()| stdout().flush())
    {
        let _ = STOPPED.set(error.kind());
    }
}

pub(crate) fn err(text: fmt::Arguments<'_>) {
    // There is nobody left to tell.
    let _ = stderr().lock().write_fmt(text);
}

/// Whether nobody reads what is printed any more: what only prints may stop.
pub(crate) fn is_over() -> bool {
    STOPPED.get().is_some()
}

/// Why what was printed is lost, unless its reader had seen enough.
pub(crate) fn failure() -> Option<ErrorKind> {
    STOPPED.get().copied().filter(|kind| *kind != ErrorKind::BrokenPipe)
}
