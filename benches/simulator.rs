//! A rollout of two blue and two green workers, 200 calls and one drain: simulated by ours at both levels, with every
//! check on, and by turmoil, with a model of a worker that has no journal and nothing checked.

use benches::rollout;
use criterion::{Criterion, criterion_group, criterion_main};
use sim::oracle::Verdict;
use sim::run::run;
use sim::subject::{Level, Subject};

criterion_group!(simulator, whole_rollout);
criterion_main!(simulator);

fn whole_rollout(criterion: &mut Criterion) {
    let plan = rollout::plan();
    let mut group = criterion.benchmark_group("a rollout with 200 calls");
    group.sample_size(10);
    for (name, level) in [("ours, level 0", Level::Machine), ("ours, level 1", Level::Shell)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| assert_eq!(run(&plan, Subject::sound(level)).verdict, Verdict::Proven));
        });
    }
    group.bench_function("turmoil", |bencher| {
        bencher.iter(|| assert_eq!(rollout::in_turmoil(&plan), plan.calls.len()));
    });
    group.finish();
}
