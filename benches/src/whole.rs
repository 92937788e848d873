//! The whole of it, measured from outside: a journaled pool beside what a user would assemble, the end of a drain, the
//! memory of a call, the journal's speed.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{self, Write};
use std::time::Duration;

use openrtc_core::journal::{replay, write_batch};
use openrtc_core::worker::Worker;
use openrtc_runtime::AgentPool;
use tempfile::tempdir;
use tokio::runtime::Runtime;

use crate::assembled::Assembled;
use crate::measure::{Cost, cost, now, per_time};
use crate::pool::{BENCH, journaled, runtime, unjournaled};
use crate::{CALL, CAPACITY, journal};

/// Calls that come and go between two pauses in which their entries are written: more per millisecond than any worker
/// has per second.
const BURST: u64 = 500;

/// Admit and hang up, journaled, the journal's side live on another thread: ours, and what a user would assemble.
pub fn admit_and_hang_up() -> io::Result<[Cost; 2]> {
    const ROUNDS: usize = 400;
    let dir = tempdir()?;
    let runtime = runtime();
    let pool = journaled(&runtime, dir.path(), CAPACITY);
    let assembled = Assembled::start(File::create(dir.path().join("log"))?);
    let (mut ours, mut theirs, mut lines) = (Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        ours.push(burst(|| drop(black_box(pool.admit(CALL.clone()).expect("it serves")))));
        settle(&runtime, &pool);
        theirs.push(burst(|| drop(black_box(assembled.admit(CALL.clone()).expect("it serves")))));
        lines += 2 * BURST;
        while assembled.logged() < lines {
            std::thread::yield_now();
        }
    }
    Ok([
        cost("**pool.admit(id) + hang-up, journaled**", ours),
        cost("CancellationToken check + TaskTracker token + two mpsc sends to a logger", theirs),
    ])
}

/// How long it takes to admit `times` calls and to hang up each, the pauses between bursts left out.
pub fn come_and_go(runtime: &Runtime, pool: &AgentPool, times: u64) -> Duration {
    let mut took = Duration::ZERO;
    let mut left = times;
    while left > 0 {
        let burst = left.min(BURST);
        let begun = now();
        (0..burst).for_each(|_| drop(black_box(pool.admit(CALL.clone()).expect("it serves"))));
        took += begun.elapsed();
        settle(runtime, pool);
        left -= burst;
    }
    took
}

fn burst(once: impl Fn()) -> f64 {
    let begun = now();
    (0..BURST).for_each(|_| once());
    per_time(begun.elapsed(), BURST)
}

fn settle(runtime: &Runtime, pool: &AgentPool) {
    let last = pool.admit(CALL.clone()).expect("it serves");
    runtime.block_on(last.end(openrtc_runtime::EndReason::CallerHangup));
}

/// From the last hang-up of a drain to `drained()` resolved, sorted: `samples` drains, each of `calls` calls that hung
/// up before.
pub fn last_hang_ups(samples: usize, calls: u32) -> io::Result<Vec<Duration>> {
    let dir = tempdir()?;
    let runtime = runtime();
    let pool = journaled(&runtime, dir.path(), calls + 1);
    let mut took = Vec::new();
    for _ in 0..samples {
        let last = pool.admit(CALL.clone()).expect("it serves");
        let others: Vec<_> = (0..calls).map(|_| pool.admit(CALL.clone()).expect("it serves")).collect();
        pool.begin_drain(BENCH).expect("it serves");
        if let Some(other) = others.into_iter().reduce(|_, other| other) {
            runtime.block_on(other.end(openrtc_runtime::EndReason::CallerHangup));
        }
        let begun = now();
        drop(last);
        runtime.block_on(pool.drained());
        took.push(begun.elapsed());
        pool.cancel_drain(BENCH).expect("it was not sealed");
    }
    took.sort_unstable();
    Ok(took)
}

/// Begins a drain of `calls` calls, lets them all hang up at once, and waits until it is drained.
pub fn drain_all(runtime: &Runtime, pool: &AgentPool, calls: u32) -> Duration {
    let calls: Vec<_> = (0..calls).map(|_| pool.admit(CALL.clone()).expect("it serves")).collect();
    settle(runtime, pool);
    let begun = now();
    pool.begin_drain(BENCH).expect("it serves");
    drop(calls);
    runtime.block_on(pool.drained());
    let took = begun.elapsed();
    pool.cancel_drain(BENCH).expect("it was not sealed");
    took
}

/// Bytes of memory that a call in flight takes, its guard left out: the growth of the resident set. Without a journal,
/// whose thread holds a copy of the state while it writes it to the beginning of a segment.
pub fn bytes_per_call() -> io::Result<usize> {
    const CALLS: u32 = 1_000_000;
    let runtime = runtime();
    let pool = unjournaled(&runtime, CALLS + 1);
    let filler = || pool.admit(CALL.clone()).expect("it serves");
    // The guards' own memory is touched before, so that it does not count.
    let mut guards: Vec<_> = (0..CALLS).map(|_| None).collect();
    settle(&runtime, &pool);
    let before = resident()?;
    for chunk in guards.chunks_mut(1_000) {
        chunk.fill_with(|| Some(filler()));
        settle(&runtime, &pool);
    }
    let grown = resident()?.saturating_sub(before);
    drop(guards);
    Ok(grown / CALLS as usize)
}

fn resident() -> io::Result<usize> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<usize>().ok());
    kilobytes.map(|kilobytes| kilobytes * 1024).ok_or_else(|| io::Error::other("no VmRSS in /proc/self/status"))
}

/// Nanoseconds per event appended to the page cache, in batches of a thousand, and replayed through the machine.
pub fn journal_speed() -> io::Result<[Cost; 2]> {
    const EVENTS: usize = 500_000;
    const ROUNDS: usize = 9;
    let (state, batches) = journal::life(EVENTS, 1_000);
    let segment = journal::segment(&state, &batches);
    let dir = tempdir()?;
    let (mut appended, mut replayed, mut buffer) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut file = File::create(dir.path().join("segment"))?;
        let begun = now();
        for batch in &batches {
            buffer.clear();
            write_batch(batch, &mut buffer);
            file.write_all(&buffer)?;
        }
        appended.push(per_time(begun.elapsed(), EVENTS as u64));
        let begun = now();
        let read = replay::<Worker>(black_box(&segment), |_, _, _| {}).expect("it was written here");
        replayed.push(per_time(begun.elapsed(), read.entries));
    }
    Ok([cost("append, per event", appended), cost("replay, per event", replayed)])
}
