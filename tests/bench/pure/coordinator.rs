//! The cost of placement, of the whole life of a job in the coordinator, and of the lists that people look at.

use criterion::{BenchmarkId, Criterion};
use master::explain::Explainer;
use std::collections::BTreeSet;
use support::hall::Hall;

const WAITING: [usize; 3] = [1_000, 10_000, 100_000];
const WORKERS: [usize; 3] = [10, 100, 1_000];

/// Measures one decision: a worker asks, and the coordinator offers it the right one of all queued jobs. The worker gives the job
/// back, so that as many are queued as before.
pub(crate) fn decisions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decision");
    let grows: BTreeSet<(usize, usize)> =
        WAITING.map(|waiting| (waiting, 100)).into_iter().chain(WORKERS.map(|workers| (10_000, workers))).collect();
    for (waiting, workers) in grows {
        let mut hall = Hall::new(workers, waiting);
        let mut next = 0;
        group.bench_function(BenchmarkId::new(format!("{workers} workers"), waiting), |bencher| {
            bencher.iter(|| {
                next = (next + 1) % workers;
                let offer = hall.decide(next).expect("there is something for everybody");
                hall.give_back(&offer);
            });
        });
    }
    group.finish();
}

/// Measures the whole life of a build, from its change to its end, while many others are queued.
pub(crate) fn lives(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("life");
    for waiting in WAITING {
        let mut hall = Hall::new(100, waiting);
        let mut next = 0;
        group.bench_function(BenchmarkId::from_parameter(waiting), |bencher| {
            bencher.iter(|| {
                next = (next + 1) % hall.workers();
                let offer = hall.decide(next).expect("there is something for everybody");
                hall.work(&offer);
                hall.submit();
            });
        });
    }
    group.finish();
}

/// Measures the lists of workers and of the queue, as people see them.
pub(crate) fn lists(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("list");
    for workers in WORKERS {
        let hall = Hall::new(workers, 10_000);
        let name = |what: &str| BenchmarkId::new(what, workers);
        group
            .bench_function(name("workers"), |bencher| bencher.iter(|| Explainer::new(&hall.it, hall.now()).workers()));
        group.bench_function(name("queue"), |bencher| bencher.iter(|| Explainer::new(&hall.it, hall.now()).queue()));
    }
    group.finish();
}
