//! What a look at the worker costs: an operations endpoint asked often must not be felt by calls.

use benches::{CALL, pool};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

criterion_group!(snapshot, look);
criterion_main!(snapshot);

fn look(criterion: &mut Criterion) {
    let runtime = pool::runtime();
    let mut group = criterion.benchmark_group("runtime_snapshot");
    for calls in [0, 1_000, 100_000] {
        let dir = tempfile::tempdir().expect("a directory");
        let pool = pool::journaled(&runtime, dir.path(), calls + 1);
        let held: Vec<_> = (0..calls).map(|_| pool.admit(CALL.clone()).expect("it serves")).collect();
        group.bench_function(BenchmarkId::new("calls in flight", calls), |bencher| {
            bencher.iter(|| pool.runtime_snapshot());
        });
        drop(held);
    }
    group.finish();
}
