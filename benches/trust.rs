//! What trust costs: verifying a token beside a bare signature check, and writing and checking an audit trail.

use std::hint::black_box;

use benches::trust::{NOW, bare, drafts, token, verifier, write};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use openrtc_core::audit::{Chain, verify};
use openrtc_core::membership::Token;

/// Workers of a fleet that registers at once.
const WORKERS: usize = 1_000;

/// Records of a trail.
const RECORDS: usize = 100_000;

criterion_group!(trust, membership, audit);
criterion_main!(trust);

fn membership(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("membership");
    let (key, message, signature) = bare();
    group.bench_function("bare ed25519-dalek verify_strict", |bencher| {
        bencher.iter(|| key.verify_strict(black_box(&message), &signature).expect("a good signature"));
    });
    let (judge, bytes) = (verifier(8), token(0).to_bytes());
    group.bench_function("judge a token", |bencher| {
        bencher.iter(|| judge.judge(NOW, black_box(&bytes), None).expect("a good token"));
    });

    let tokens: Vec<_> = (0..WORKERS).map(|number| token(number).to_text()).collect();
    group.throughput(Throughput::Elements(WORKERS as u64)).sample_size(10);
    group.bench_function("register 1000 workers", |bencher| {
        bencher.iter_batched(
            || verifier(WORKERS),
            |mut verifier| {
                for text in &tokens {
                    let token = Token::from_text(text).expect("a token");
                    let admitted = verifier.judge(NOW, &token.to_bytes(), None).expect("a good token");
                    verifier.apply(&admitted);
                }
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn audit(criterion: &mut Criterion) {
    let drafts = drafts(RECORDS);
    let mut group = criterion.benchmark_group("audit");
    group.throughput(Throughput::Elements(RECORDS as u64)).sample_size(20);
    let mut trail = Vec::new();
    write(&drafts, &mut trail);
    let mut buffer = Vec::with_capacity(trail.len());
    group.bench_function("emit with chain", |bencher| {
        bencher.iter(|| {
            buffer.clear();
            write(&drafts, &mut buffer);
        });
    });
    group.bench_function("verify the chain", |bencher| {
        bencher.iter(|| {
            let report = verify(black_box(&trail), Some(Chain::default()), &[]);
            assert!(report.faults.is_empty() && report.records == RECORDS);
        });
    });
    group.finish();
}
