//! Today's code reads what released versions sent to workers, and what their workers wrote, and understands the same.

use schema::limits;
use schema::values::{Assignment, Command, Exit, Time};
use schema::wire;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::path::PathBuf;
use worker::supervisor::{Journal, KillCause, Order};

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
}

fn read<T: DeserializeOwned>(name: &str) -> T {
    serde_json::from_slice(&std::fs::read(file(name)).unwrap()).unwrap()
}

/// `Noted` is the part of the first line of an attempt's file that all versions have.
#[derive(Deserialize)]
struct Noted {
    assignment: Assignment,
}

#[test]
fn an_assignment_of_an_older_version_means_the_same() {
    let bytes = std::fs::read(file("0.2.0.assignment.bin")).unwrap();
    let message = capnp::serialize::read_message(bytes.as_slice(), capnp::message::ReaderOptions::new()).unwrap();
    let sent = wire::read_assignment(message.get_root().unwrap()).unwrap();
    let [first, second] = ["0.1.0", "0.2.0"].map(|version| read::<Noted>(&format!("{version}.assignment.json")));
    assert_eq!(sent, second.assignment);
    assert_eq!(sent, first.assignment, "0.1.0 wrote down the same");
    assert_eq!((sent.project.as_str(), sent.build, sent.attempt), ("demo", 3, 1));
    assert_eq!((sent.term_ms, sent.plan_version), (0, 0), "it did not say them");
    let job = &sent.job;
    assert_eq!((job.name.as_str(), job.retry_infra, job.cleanup_ms()), ("greet", 2, None));
    assert_eq!((job.always_timeout_ms, limits::view_bytes(job) > 0), (0, true));
    let Command::Shell { shell, script } = &job.steps[0].command else { panic!("{:?}", job.steps) };
    assert_eq!((shell.join(" ").as_str(), script.as_str()), ("sh -eu -c", "echo hello"));
}

#[test]
fn an_order_and_a_journal_of_an_older_version_mean_the_same() {
    let order: Order = read("0.2.0.order.json");
    assert_eq!((order.argv.len(), order.dir.as_path()), (3, std::path::Path::new("/w/tree")));
    assert_eq!((order.limits.step_ms, order.limits.idle_ms, order.limits.lease_ms), (1, 2, 4));
    let journal: Journal = read("0.2.0.journal.json");
    let cause = KillCause::Stopped("by ann".to_owned());
    let expected = Journal { cause, exit: Exit::Signal(15), started: Time(1), ended: Time(2), size: 3, survivors: 0 };
    assert_eq!(journal, expected);
}
