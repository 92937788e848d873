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

Written by `cargo run --release -p benches --bin report`; do not edit. All contenders are measured in turns within one
run, so a disturbance of the machine affects all of them: compare the ratios, not the figures. With one thread, the
table compares each contender's fastest round; with two threads, its median round. One operation admits a call and
releases it.

The gate writes its events into a ring. While the ring has room, an admission, a refusal and a hang-up read no clock,
allocate nothing, take no lock and make no system call. There are two exceptions. An operation that finds the control
loop asleep, or that makes the ring half full, wakes the loop; this takes a lock of tokio's and may be a system call. An
operation that finds the ring full takes the gate's lock to make room. `runtime/tests/allocations.rs` counts
allocations. `cargo bench -p benches --bench instructions` counts instructions and system calls, and fails when they
grow.
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
**Why the gate is not a plain lock.** A lock around core's worker machine would be the simpler design; it is the last
line of the tables below. It is several times slower than the limit, and it takes locks, which the bar forbids. So it
cannot meet the first two bars. The admission word can, and the gate is built on it.

**`TaskTracker`** also counts with two atomic read-modify-writes. It does nothing else: it cannot refuse while draining,
has no capacity, and numbers nothing. No gate with two such operations can be faster than the operations themselves. In
this run they took {limit:.1} ns, the admission word {word:.1} ns and `TaskTracker` {tracker:.1} ns. A gate at the limit
would be {most:.2} times as fast as `TaskTracker`, {verdict}.

**The last hang-up** is written to the journal before `drained()` resolves. It passes from the caller to the control
loop, to the journal's thread, which writes it to the page cache, and back. Each of the three threads needs a processor.
If other programs compete for the processors, the slowest rounds consist mostly of waiting for one. Nothing waits for
the disk: another thread forces data to the disk and deletes old files.

**Replay** trusts nothing. It checks and decodes each entry's frame, judges the entry against the worker, and folds it.
A busy journal consists of calls that begin and end. These are decoded and judged by a shorter path with the same
result.

**The whole pool** is measured in bursts of 500 calls, for both contenders alike. The journal's side runs on another
thread and catches up between the bursts. Without the pauses, each contender would be only as fast as its writer.
"
    )
}
