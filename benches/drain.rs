//! How long a drain takes beyond its calls: from `begin_drain` to drained, and from the last hang-up.

use benches::{pool, whole};
use criterion::{BenchmarkId, Criterion, SamplingMode, criterion_group, criterion_main};

criterion_group!(drain, begin_to_drained, last_hang_up_to_drained);
criterion_main!(drain);

fn begin_to_drained(criterion: &mut Criterion) {
    let runtime = pool::runtime();
    let mut group = criterion.benchmark_group("begin_drain to drained, all hanging up at once");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    for calls in [0, 1_000, 100_000] {
        let dir = tempfile::tempdir().expect("a directory");
        let pool = pool::journaled(&runtime, dir.path(), calls + 1);
        group.bench_with_input(BenchmarkId::new("calls", calls), &calls, |bencher, calls| {
            bencher.iter_custom(|times| (0..times).map(|_| whole::drain_all(&runtime, &pool, *calls)).sum());
        });
    }
    group.finish();
}

fn last_hang_up_to_drained(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("last hang-up to drained, after so many others");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    for calls in [0, 1_000, 100_000] {
        group.bench_with_input(BenchmarkId::new("calls", calls), &calls, |bencher, calls| {
            let once = || whole::last_hang_ups(1, *calls).expect("a directory");
            bencher.iter_custom(|times| (0..times).flat_map(|_| once()).sum());
        });
    }
    group.finish();
}
