//! Where panics are told: the usual hook writes to standard error, and waits for whoever reads it.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::Write;
use std::panic::{PanicHookInfo, set_hook};
use std::thread;

use crate::log::{Limit, stderr};

static PANICS: Limit = Limit::new();

/// Has panics told in lines that neither wait nor fail.
pub(super) fn tell_panics() {
    set_hook(Box::new(|panic| {
        if let Some(suppressed) = PANICS.pass() {
            tell(panic, suppressed);
        }
    }));
}

fn tell(panic: &PanicHookInfo<'_>, suppressed: u64) {
    let thread = thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let place = panic.location().map(|place| format!(" at {place}")).unwrap_or_default();
    let before = if suppressed > 0 { format!(" ({suppressed} before it were not told)") } else { String::new() };
    let mut line = format!("thread '{thread}' panicked{place}{before}: {}\n", message(panic.payload()));
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        line += &backtrace.to_string();
    }
    // It cannot fail.
    let _ = stderr().write_all(line.as_bytes());
}

fn message(payload: &(dyn Any + Send)) -> &str {
    let literal = payload.downcast_ref::<&str>().copied();
    literal.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("it says nothing")
}
