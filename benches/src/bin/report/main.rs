//! Measures everything in one run, prints it as tables with ratios, and writes them to `docs/benchmarks.md` with a
//! picture beside it: `cargo run --release -p benches --bin report`, on a quiet machine, from the repository's
//! root.
#![forbid(unsafe_code)]

mod picture;
mod targets;

use std::fmt::Write;
use std::fs;

use anyhow::Context;
use benches::measure::{self, Cost};
use benches::{gates, whole};

use targets::Bars;

/// Everything that was measured. Costs in nanoseconds.
struct Measured {
    alone: Vec<Cost>,
    busy: Vec<Cost>,
    contended: Vec<Cost>,
    refuse: Vec<Cost>,
    pool: [Cost; 2],
    journal: [Cost; 2],
    bytes_per_call: usize,
    last_hang_ups: Vec<std::time::Duration>,
}

fn main() -> anyhow::Result<()> {
    let measured = measure()?;
    let text = page(&measured);
    print!("{text}");
    fs::create_dir_all("docs").context("run the report from the repository's root")?;
    let written = |path| move || format!("{path} cannot be written");
    fs::write("docs/benchmarks.md", text).with_context(written("docs/benchmarks.md"))?;
    fs::write("docs/benchmarks.svg", picture::draw(&measured.alone)).with_context(written("docs/benchmarks.svg"))
}

fn measure() -> anyhow::Result<Measured> {
    let step = |what: &str| eprintln!("measuring {what}");
    step("memory");
    // First, while nothing else has grown the process.
    let bytes_per_call = whole::bytes_per_call()?;
    step("gates");
    let alone = measure::alone(&gates::admit_and_release());
    let busy = measure::busy(gates::admit_and_release());
    let contended = measure::contended(&gates::admit_and_release());
    let refuse = measure::alone(&gates::refuse());
    step("the whole pool");
    let pool = whole::admit_and_hang_up()?;
    step("the journal");
    let journal = whole::journal_speed()?;
    step("drains");
    let last_hang_ups = whole::last_hang_ups(200, 100_000)?;
    Ok(Measured { alone, busy, contended, refuse, pool, journal, bytes_per_call, last_hang_ups })
}

fn page(measured: &Measured) -> String {
    let mut page = String::from(INTRODUCTION);
    let bars = Bars::judge(measured);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let _ = write!(
        page,
        "\n## The bars\n\nLoad average {load} on {cores} cores when the run ended.\n\n{bars}{}",
        reasons(measured)
    );
    table(&mut page, "Admit and release, one thread", &measured.alone, |cost| cost.least);
    page.push_str("\n![Admit and release, one thread](benchmarks.svg)\n");
    table(&mut page, "The same by two threads, 100 ns of other work between (taken off)", &measured.busy, |cost| {
        cost.median
    });
    table(&mut page, "The same by two threads, flat out", &measured.contended, |cost| cost.median);
    table(&mut page, "Refuse while draining", &measured.refuse, |cost| cost.least);
    table(&mut page, "The whole: identity, order, journal", &measured.pool, |cost| cost.least);
    table(&mut page, "The journal", &measured.journal, |cost| cost.least);
    page
}

/// One table; ratios to its first line.
fn table(page: &mut String, title: &str, costs: &[Cost], compared: fn(&Cost) -> f64) {
    let first = costs.first().map_or(1.0, compared);
    let _ = write!(page, "\n## {title}\n\n| what | median ns | least ns | ratio |\n|---|--:|--:|--:|\n");
    for cost in costs {
        let Cost { name, median, least } = cost;
        let _ = writeln!(page, "| {name} | {median:.1} | {least:.1} | {:.2} |", compared(cost) / first);
    }
}

const INTRODUCTION: &str = "\
# Benchmarks

Written by `cargo run --release -p benches --bin report`; do not edit. Contenders are measured in turns within one
run, so that whatever else the machine does meets them all alike: compare ratios, not figures. Where one thread works,
the least disturbed round is compared; where two meet, the middle one. One operation admits a call and releases it.

While the ring has room, admitting, refusing and hanging up read no clock, allocate nothing, take no lock and make no
system call. But one that finds the control loop asleep, or makes the ring half full, wakes it, which takes tokio's lock
and may be a system call; and one that finds the ring full takes the gate's lock to make room.
`runtime/tests/allocations.rs` counts allocations, `cargo bench -p benches --bench instructions` counts instructions and
system calls and fails when they grow.
";

/// Why the bars are as they are, with the figures of this run.
fn reasons(measured: &Measured) -> String {
    let cost = |name| targets::least(&measured.alone, name);
    let (limit, word, tracker) = (cost(gates::LIMIT), cost(gates::WORD), cost(gates::TRACKER));
    let most = tracker / limit;
    let verdict = if most < targets::FASTER_THAN_TRACKER {
        "so the bar lies beyond any gate over one shared word"
    } else {
        "so the bar can be met by a gate close to the limit"
    };
    format!(
        "
**Why not a plain lock.** A lock around core's worker machine is the simpler design, and the last line of the tables
below. It admits and releases at several times the limit, and it takes locks where the bar allows none: it cannot meet
the first two bars. The word can, so the gate is built on it.

**`TaskTracker`.** It counts with two atomic read-modify-writes as well, and does nothing else: no drain that refuses,
no capacity, no number. A gate that makes two of them can be no faster than they are on this machine. In this run they
took {limit:.1} ns, the word {word:.1} ns and `TaskTracker` {tracker:.1} ns: a gate at the limit would be {most:.2}
times as fast as `TaskTracker`, {verdict}.

**The last hang-up** is journaled before `drained()` resolves, so it passes from the caller to the control loop, to the
journal's thread and its write to the page cache, and back: three threads that must get a processor each. Where others
compete for them, the tail is made of the scheduler's time slices. Nothing waits for the disk: what is forced to it and
what is deleted is another thread's work.

**Replay.** A frame of an entry is checked and decoded, and the entry judged against the worker and folded: nothing
is trusted. Calls that begin and end, which a busy journal consists of, are decoded by a short cut with the same result.

**The whole pool** is measured in bursts of 500 calls, the journal's side live on another thread and given time to catch
up between bursts, for both contenders alike: flat out, either is only as fast as the side that writes.
"
    )
}
