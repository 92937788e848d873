//! A call's bytes, passed on as they are: both directions, half-closes, resets and back-pressure.
//!
//! What one side cannot take, the other is not read for: a side that stops reading stops the other, and costs one
//! buffer. No buffer is held while nothing waits.

use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::net::{Shutdown, shutdown};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

/// How much is read at a time, in bytes.
const CHUNK: usize = 16 << 10;

/// One end of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Caller,
    Program,
}

/// How a call's two connections came to their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parted {
    /// Both directions were closed; this side closed first.
    Closed(Side),
    /// This side reset its connection, and so does the host the other.
    Broken(Side),
    /// This side closed its direction, and then nothing came from the other for too long.
    Silent(Side),
}

/// What waits on its way, and from where.
#[derive(Debug, Default)]
pub(crate) struct Early {
    /// What the caller has sent and the program has not got.
    pub(crate) to_program: Vec<u8>,
    /// What the program has sent and the caller has not got.
    pub(crate) to_caller: Vec<u8>,
}

/// Passes bytes on until both directions are closed, one side breaks, or a half-closed call is silent for as long as
/// `half_open`. `moved` is shown whatever came from a side. `is_gone` is asked, when the program's connection has
/// ended, whether the program has too: then nobody hears what the caller still says. Dropped early, it cuts the call.
pub(crate) async fn relay(
    caller: &TcpStream,
    program: &TcpStream,
    early: Early,
    half_open: Duration,
    moved: impl Fn(Side, &[u8]) + Sync,
    is_gone: impl Future<Output = bool>,
) -> Parted {
    let begun = Instant::now();
    let last = AtomicU64::new(0);
    let touch = || last.store(begun.elapsed().as_millis().try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
    let note = |side: Side, bytes: &[u8]| {
        touch();
        moved(side, bytes);
    };
    let mut up = pin!(pass_on(caller, Side::Caller, program, early.to_program, &note));
    let mut down = pin!(pass_on(program, Side::Program, caller, early.to_caller, &note));
    let (first, passed) = tokio::select! {
        passed = &mut up => (Side::Caller, passed),
        passed = &mut down => (Side::Program, passed),
    };
    if let Err(side) = passed {
        return broken(caller, program, side);
    }
    if first == Side::Program && is_gone.await {
        return Parted::Closed(first);
    }
    touch();
    loop {
        let silent_at = begun + Duration::from_millis(last.load(Ordering::Relaxed)) + half_open;
        let passed = tokio::select! {
            passed = &mut up, if first == Side::Program => passed,
            passed = &mut down, if first == Side::Caller => passed,
            () = sleep_until(silent_at) => {
                let idle = begun.elapsed().saturating_sub(Duration::from_millis(last.load(Ordering::Relaxed)));
                if idle < half_open {
                    continue;
                }
                return Parted::Silent(first);
            }
        };
        return match passed {
            Ok(()) => Parted::Closed(first),
            Err(side) => broken(caller, program, side),
        };
    }
}

/// The other side gets what the host got.
fn broken(caller: &TcpStream, program: &TcpStream, side: Side) -> Parted {
    let other = match side {
        Side::Caller => program,
        Side::Program => caller,
    };
    // Fails on a connection that is gone already.
    let _ = other.set_zero_linger();
    Parted::Broken(side)
}

/// Passes one direction on, and then its end. An error names the side that broke.
async fn pass_on(
    from: &TcpStream,
    side: Side,
    to: &TcpStream,
    mut waiting: Vec<u8>,
    note: &(impl Fn(Side, &[u8]) + Sync),
) -> Result<(), Side> {
    let other = match side {
        Side::Caller => Side::Program,
        Side::Program => Side::Caller,
    };
    loop {
        deliver(to, &mut waiting).await.map_err(|_| other)?;
        from.readable().await.map_err(|_| side)?;
        match step(from, to, &mut waiting, |bytes| note(side, bytes)) {
            Ok(Step::End) => {
                // A connection that is gone already tells so elsewhere.
                let _ = shutdown(to, Shutdown::Write);
                return Ok(());
            }
            Ok(Step::Passed) => {}
            Err(Torn::Reading) => return Err(side),
            Err(Torn::Writing) => return Err(other),
        }
    }
}

enum Step {
    Passed,
    End,
}

enum Torn {
    Reading,
    Writing,
}

/// Reads once, and writes at once what can be written. The buffer is on the stack, so a call that waits has none.
fn step(from: &TcpStream, to: &TcpStream, waiting: &mut Vec<u8>, note: impl Fn(&[u8])) -> Result<Step, Torn> {
    let mut chunk = [0; CHUNK];
    let read = match from.try_read(&mut chunk) {
        Ok(0) => return Ok(Step::End),
        Ok(read) => read,
        Err(error) if is_pending(&error) => return Ok(Step::Passed),
        Err(_) => return Err(Torn::Reading),
    };
    note(&chunk[..read]);
    let written = match to.try_write(&chunk[..read]) {
        Ok(written) => written,
        Err(error) if is_pending(&error) => 0,
        Err(_) => return Err(Torn::Writing),
    };
    waiting.extend_from_slice(&chunk[written..read]);
    Ok(Step::Passed)
}

/// Writes what waits; afterwards nothing does.
async fn deliver(to: &TcpStream, waiting: &mut Vec<u8>) -> io::Result<()> {
    let mut sent = 0;
    while sent < waiting.len() {
        to.writable().await?;
        match to.try_write(&waiting[sent..]) {
            Ok(written) => sent += written,
            Err(error) if is_pending(&error) => {}
            Err(error) => return Err(error),
        }
    }
    if sent > 0 {
        *waiting = Vec::new();
    }
    Ok(())
}

fn is_pending(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
