//! Standard output and standard error, each written by a thread of its own behind a queue with a bound.

use std::collections::VecDeque;
use std::io;
use std::mem::{size_of, take};
use std::panic::catch_unwind;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::stdio;

/// The most that waits to be written, in bytes; what does not fit is dropped.
const WAITING_MAX: usize = 1 << 20;

static STDOUT: Channel = Channel::new("openrtc-stdout", stdio::stdout);
static STDERR: Channel = Channel::new("openrtc-stderr", stdio::stderr);

/// A writer that takes whole lines and returns at once. It never fails: what does not fit, or cannot be written, is
/// dropped and counted ([`dropped`](super::dropped)).
#[derive(Clone, Copy, Debug)]
pub struct Output(&'static Channel);

/// Standard output. It passes by the buffer that `println!` writes to: use one or the other.
#[must_use]
pub const fn stdout() -> Output {
    Output(&STDOUT)
}

/// Standard error.
#[must_use]
pub const fn stderr() -> Output {
    Output(&STDERR)
}

impl io::Write for Output {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    /// Takes what a format makes of several pieces as one line.
    fn write_fmt(&mut self, line: std::fmt::Arguments<'_>) -> io::Result<()> {
        self.0.push(line.to_string().as_bytes());
        Ok(())
    }

    /// Returns at once; [`flush`](super::flush) waits.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits until both are written, each for at most `patience`.
pub(super) fn flush(patience: Duration) {
    for channel in [&STDOUT, &STDERR] {
        let waiting = |queue: &mut Queue| queue.writing || !queue.lines.is_empty();
        drop(channel.changed.wait_timeout_while(channel.lock(), patience, waiting));
    }
}

#[derive(Debug)]
struct Channel {
    thread: &'static str,
    to: fn() -> BorrowedFd<'static>,
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    /// What the lines take.
    bytes: usize,
    /// Lines dropped that nobody has been told about.
    untold: u64,
    /// Whether the thread has a line in hand.
    writing: bool,
    /// Whether there is a thread.
    running: bool,
}

impl Channel {
    const fn new(thread: &'static str, to: fn() -> BorrowedFd<'static>) -> Self {
        let queue = Queue { lines: VecDeque::new(), bytes: 0, untold: 0, writing: false, running: false };
        Self { thread, to, queue: Mutex::new(queue), changed: Condvar::new() }
    }

    fn push(&'static self, line: &[u8]) {
        let mut queue = self.lock();
        let bytes = line.len() + size_of::<Vec<u8>>();
        if queue.bytes + bytes > WAITING_MAX || !self.is_running(&mut queue) {
            queue.untold += 1;
            return super::note_dropped();
        }
        queue.bytes += bytes;
        queue.lines.push_back(line.to_vec());
        drop(queue);
        self.changed.notify_all();
    }

    /// Starts the thread with the first line.
    fn is_running(&'static self, queue: &mut Queue) -> bool {
        if !queue.running {
            let thread = std::thread::Builder::new().name(self.thread.into());
            queue.running = thread.spawn(|| self.write_all()).is_ok();
        }
        queue.running
    }

    fn write_all(&'static self) {
        // A terminal may stop the process for a line from the background, unless the thread that writes blocks that.
        // It is a valid signal, so this cannot fail.
        let _ = SigSet::from(Signal::SIGTTOU).thread_block();
        let mut torn = false;
        loop {
            let mut line = self.next();
            if torn {
                line.insert(0, b'\n');
            }
            match write((self.to)(), &line) {
                Ok(()) => {
                    torn = false;
                    self.tell_dropped();
                }
                Err(written) => {
                    torn |= written > 0;
                    self.lock().untold += 1;
                    super::note_dropped();
                }
            }
        }
    }

    /// The next line to write.
    fn next(&self) -> Vec<u8> {
        let mut queue = self.lock();
        queue.writing = false;
        loop {
            if let Some(line) = queue.lines.pop_front() {
                queue.bytes -= line.len() + size_of::<Vec<u8>>();
                queue.writing = true;
                return line;
            }
            self.changed.notify_all();
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Says how many lines are missing, once all that waited is written.
    fn tell_dropped(&self) {
        let mut queue = self.lock();
        if queue.untold == 0 || !queue.lines.is_empty() {
            return;
        }
        let lines = take(&mut queue.untold);
        drop(queue);
        // A subscriber that panics must not take this thread along.
        let told = || tracing::warn!(lines, "log lines are missing here: they could not be written in time");
        drop(catch_unwind(told));
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // No panic can happen while it is held.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes all of it, for as long as that takes; else how much was written.
fn write(to: BorrowedFd<'_>, line: &[u8]) -> Result<(), usize> {
    let mut written = 0;
    while written < line.len() {
        match rustix::io::write(to, &line[written..]) {
            Ok(0) => return Err(written),
            Ok(more) => written += more,
            Err(Errno::INTR) => {}
            // Somebody who shares it has made it non-blocking.
            Err(Errno::AGAIN) => {
                let mut room = [PollFd::new(&to, PollFlags::OUT)];
                poll(&mut room, None).map_err(|_| written)?;
            }
            Err(_) => return Err(written),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, PipeReader, PipeWriter, pipe};
    use std::os::fd::AsFd;
    use std::sync::LazyLock;

    use super::*;

    static PIPE: LazyLock<(PipeReader, PipeWriter)> = LazyLock::new(|| pipe().expect("a pipe"));
    static CHANNEL: Channel = Channel::new("to-a-pipe", || PIPE.1.as_fd());

    #[test]
    fn a_reader_that_stalls_gets_whole_lines_in_order_and_those_that_did_not_fit_are_counted() {
        const LINES: u64 = 30_000;
        for number in 0..LINES {
            CHANNEL.push(format!("{number:0>99}\n").as_bytes());
        }
        let dropped = super::super::dropped();
        assert!(dropped > LINES / 2, "{dropped} lines: more than a few fit");
        let mut numbers = BufReader::new(&PIPE.0).lines().map(|line| line.expect("text"));
        let mut last = None;
        for _ in dropped..LINES {
            let line = numbers.next().expect("each that was not dropped comes");
            let number = Some(line.parse::<u64>().expect("a whole line"));
            assert!(number > last, "in order: {number:?} after {last:?}");
            last = number;
        }
    }
}
