//! Measures the parts without input and output as their data grow: `cargo bench -p tests --bench pure -- [NAME]`.

mod coordinator;
mod gate;
mod log_index;

use criterion::{Criterion, criterion_group, criterion_main};
use std::time::Duration;

criterion_group! {
    name = pure;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2)).without_plots();
    targets = coordinator::decisions, coordinator::lives, coordinator::lists, log_index::first_look, log_index::later_look, gate::calls, gate::revocation
}
criterion_main!(pure);
