//! What it costs to admit a call and to release it: ours beside the limit of the hardware and what other crates offer.
//!
//! `cargo bench -p benches --bench admission`. The report (`cargo run --release -p benches --bin report`) measures
//! the same contenders in turns, which is better for ratios.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use benches::measure::now;
use benches::{Contender, gates, pool, whole};
use criterion::{Criterion, criterion_group, criterion_main};

criterion_group!(admission, gate, refusal, whole_pool);
criterion_main!(admission);

fn gate(criterion: &mut Criterion) {
    for threads in [1, 2, 4] {
        let mut group = criterion.benchmark_group(format!("admit and release, {threads} threads"));
        for contender in gates::admit_and_release() {
            let name = contender.name.replace('*', "");
            group.bench_function(name, |bencher| bencher.iter_custom(|times| at_once(threads, &contender, times)));
        }
        group.finish();
    }
}

fn refusal(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("refuse while draining");
    for contender in gates::refuse() {
        let name = contender.name.replace('*', "");
        group.bench_function(name, |bencher| bencher.iter_custom(|times| at_once(1, &contender, times)));
    }
    group.finish();
}

/// In bursts, between which the journal's side catches up: flat out, calls would be refused once it lags far behind.
fn whole_pool(criterion: &mut Criterion) {
    let runtime = pool::runtime();
    let dir = tempfile::tempdir().expect("a directory");
    let pool = pool::journaled(&runtime, dir.path(), benches::CAPACITY);
    criterion.bench_function("pool.admit(id) + hang-up, journaled", |bencher| {
        bencher.iter_custom(|times| whole::come_and_go(&runtime, &pool, times));
    });
}

/// The time the slowest of several threads needs, all of them flat out.
fn at_once(threads: usize, contender: &Contender, times: u64) -> Duration {
    let start = Barrier::new(threads);
    let race = || {
        start.wait();
        let begun = now();
        (contender.run)(times);
        begun.elapsed()
    };
    thread::scope(|scope| {
        let rivals: Vec<_> = (1..threads).map(|_| scope.spawn(race)).collect();
        let own = race();
        rivals.into_iter().map(|rival| rival.join().expect("a contender does not panic")).fold(own, Duration::max)
    })
}
