//! The journal's speed: entries to bytes, and bytes through the machine.

use benches::journal::{life, segment};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use openrtc_core::journal::{replay, write_batch};
use openrtc_core::worker::Worker;

criterion_group!(journal, speed);
criterion_main!(journal);

fn speed(criterion: &mut Criterion) {
    const EVENTS: usize = 100_000;
    let (state, batches) = life(EVENTS, EVENTS);
    let bytes = segment(&state, &batches);
    let mut group = criterion.benchmark_group("journal");
    group.throughput(Throughput::Elements(EVENTS as u64));
    let mut buffer = Vec::new();
    group.bench_function("encode", |bencher| {
        bencher.iter(|| {
            buffer.clear();
            for batch in &batches {
                write_batch(batch, &mut buffer);
            }
        });
    });
    group.bench_function("replay", |bencher| {
        bencher.iter(|| replay::<Worker>(&bytes, |_, _, _| {}).expect("it was written here").entries);
    });
    group.finish();
}
