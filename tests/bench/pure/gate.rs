//! The time that the gate adds to a call, and the time of a revocation.

use criterion::{BatchSize, BenchmarkId, Criterion};
use futures::future::join_all;
use futures::poll;
use schema::common_capnp::pulse;
use schema::gate::Gate;
use std::future::pending;
use std::rc::Rc;
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

const IN_FLIGHT: [usize; 3] = [10, 100, 1_000];

/// `Pulse` is an object that answers at once or, without `answers`, never.
struct Pulse {
    answers: bool,
}

impl pulse::Server for Pulse {
    async fn ping(self: Rc<Self>, _: pulse::PingParams, _: pulse::PingResults) -> capnp::Result<()> {
        if self.answers { Ok(()) } else { pending().await }
    }
}

/// Measures a call within one process, both bare and through the gate of a grant that has one grant above it.
pub(crate) fn calls(criterion: &mut Criterion) {
    let runtime = runtime();
    let gate = Gate::new(1, "operator").child(2, "developer");
    let bare: pulse::Client = capnp_rpc::new_client(Pulse { answers: true });
    let gated = gate.wrap(bare.clone());
    let mut group = criterion.benchmark_group("call");
    for (name, client) in [("bare", bare), ("gated", gated)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                LocalSet::new()
                    .block_on(&runtime, async { drop(client.ping_request().send().promise.await.expect("it answers")) })
            });
        });
    }
    group.finish();
}

/// Measures the time of a revocation until every call in flight has failed.
pub(crate) fn revocation(criterion: &mut Criterion) {
    let runtime = runtime();
    let mut group = criterion.benchmark_group("revocation");
    for count in IN_FLIGHT {
        group.bench_function(BenchmarkId::new("calls in flight", count), |bencher| {
            bencher.iter_batched(
                || Gate::new(1, "developer"),
                |gate| LocalSet::new().block_on(&runtime, revoke(gate, count)),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

async fn revoke(gate: Gate, count: usize) {
    let client: pulse::Client = gate.wrap(capnp_rpc::new_client(Pulse { answers: false }));
    let mut calls: Vec<_> = (0..count).map(|_| client.ping_request().send().promise).collect();
    for call in &mut calls {
        assert!(poll!(call).is_pending());
    }
    gate.revoke("it is over");
    assert!(join_all(calls).await.into_iter().all(|answer| answer.is_err()));
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}
