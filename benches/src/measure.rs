//! How contenders are measured: in turns, so that whatever else the machine does meets them all alike.

use std::hint::{black_box, spin_loop};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::Contender;

/// What one thing costs, in nanoseconds, over the rounds of a run.
#[derive(Clone, Debug)]
pub struct Cost {
    /// What it is.
    pub name: &'static str,
    /// The cheapest round: what it costs undisturbed, and what is compared where one thread works.
    pub least: f64,
    /// The middle round: what is compared where threads meet, which they do not in the cheapest.
    pub median: f64,
}

/// Rounds each contender gets.
const ROUNDS: usize = 101;

/// How long a round should take.
const ROUND: Duration = Duration::from_micros(500);

/// Each contender alone on one thread.
#[must_use]
pub fn alone(contenders: &[Contender]) -> Vec<Cost> {
    in_turns(contenders, |contender, times| {
        let begun = now();
        (contender.run)(times);
        begun.elapsed()
    })
}

/// Each contender used by two threads at once, flat out; the time one of them needs.
#[must_use]
pub fn contended(contenders: &[Contender]) -> Vec<Cost> {
    in_turns(contenders, |contender, times| by_two(|| (contender.run)(times)))
}

/// Each contender used by two threads that do something else for about 100 ns between; what that alone costs is
/// measured in the same turns and taken off.
#[must_use]
pub fn busy(contenders: Vec<Contender>) -> Vec<Cost> {
    let idle = Contender::new("", || ());
    let all: Vec<_> = [idle].into_iter().chain(contenders).collect();
    let costs = in_turns(&all, |contender, times| {
        by_two(|| {
            (0..times).for_each(|_| {
                (contender.run)(1);
                work();
            });
        })
    });
    let (idle, rest) = costs.split_first().expect("the idle one is there");
    let without =
        |cost: &Cost| Cost { least: cost.least - idle.least, median: cost.median - idle.median, ..cost.clone() };
    rest.iter().map(without).collect()
}

/// About 100 ns.
fn work() {
    let mut sum = 0_u64;
    for step in 0..WORK_STEPS {
        sum = black_box(sum ^ step);
        spin_loop();
    }
}

const WORK_STEPS: u64 = 8;

fn by_two(run: impl Fn() + Sync) -> Duration {
    let start = Barrier::new(2);
    let timed = || {
        start.wait();
        let begun = now();
        run();
        begun.elapsed()
    };
    thread::scope(|scope| {
        let rival = scope.spawn(timed);
        timed().max(rival.join().expect("a contender does not panic"))
    })
}

fn in_turns(contenders: &[Contender], time: impl Fn(&Contender, u64) -> Duration) -> Vec<Cost> {
    let times: Vec<_> = contenders.iter().map(|contender| calibrate(contender, &time)).collect();
    let mut rounds = vec![Vec::new(); contenders.len()];
    for _ in 0..ROUNDS {
        for ((contender, times), rounds) in contenders.iter().zip(&times).zip(&mut rounds) {
            rounds.push(per_time(time(contender, *times), *times));
        }
    }
    contenders.iter().zip(rounds).map(|(contender, rounds)| cost(contender.name, rounds)).collect()
}

/// How often it can be done in a round.
fn calibrate(contender: &Contender, time: &impl Fn(&Contender, u64) -> Duration) -> u64 {
    let mut times = 1_000;
    while time(contender, times) < ROUND && times < 1 << 20 {
        times *= 2;
    }
    times
}

/// The cost of something from its rounds, in nanoseconds each.
#[must_use]
pub fn cost(name: &'static str, mut rounds: Vec<f64>) -> Cost {
    rounds.sort_by(f64::total_cmp);
    Cost { name, least: rounds[0], median: rounds[rounds.len() / 2] }
}

/// Nanoseconds each, of `times`.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a mean of far fewer than 2^52")]
pub fn per_time(took: Duration, times: u64) -> f64 {
    took.as_nanos() as f64 / times as f64
}

/// The clock.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a benchmark measures the real clock")]
pub fn now() -> Instant {
    Instant::now()
}
