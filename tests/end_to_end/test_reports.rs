//! Test reports from a real worker to a real master. Before a step has ended, the list of its tests and the files of its tool are
//! sealed blobs of the build. A step whose report is missing fails. This is the only test of its process, because a worker adopts
//! processes that lose their parent.

use capnp::capability::Promise;
use client::{LogAddress, logs};
use reports::decode;
use schema::values::{Outcome, TestCounts};
use std::path::Path;
use support::guild::{House, run, until, until_so};
use support::worker::RealWorker;
use worker::Ended;

const PIPELINE: &str = r#"version = 1
[[job.python.step]]
run = "mkdir out"
[[job.python.step]]
dir   = "out"
run   = '''printf '<testsuite name="pytest"><testcase classname="a.B" name="t[1-x]" file="t.py"><failure message="left"/></testcase></testsuite>' >py.xml; exit 1'''
junit = "*.xml"
[job.rust]
run     = "echo 'running 1 test'; echo 'test a::b ... ok'; echo 'test result: ok. 1 passed'"
libtest = true
[job.crashed]
run = "true"
tap = "t/*.tap"
"#;

#[test]
fn the_tests_of_a_step_are_stored_with_its_build() {
    run(async {
        let house = House::open(PIPELINE).await;
        let supervisor = Path::new(env!("CARGO_BIN_EXE_supervisor"));
        let worker = RealWorker::start(&house, "anvil", house.address(), supervisor).await;
        until("the first build to be made", || {
            let guild = house.guild.clone();
            Promise::from_future(async move { Ok(guild.build("demo", 1).await.is_ok()) })
        })
        .await;
        assert_eq!(house.guild.outcome("demo", 1).await.unwrap(), Outcome::Failed);
        let view = house.guild.build("demo", 1).await.unwrap();
        let outcome = |job: &str| view.job(job).unwrap().outcome;
        assert_eq!(
            ["python", "rust", "crashed"].map(outcome),
            [Outcome::Failed, Outcome::Succeeded, Outcome::Failed].map(Some)
        );
        let crashed = "no file was written that matches t/*.tap";
        assert!(view.job("crashed").unwrap().reason.ends_with(crashed), "{:?}", view.job("crashed"));
        assert_eq!(log(&house, "crashed").await, format!("[guild: {crashed}]\n"));

        let blobs = stored(&house.state().join("blobs/sealed"));
        let mut lists: Vec<_> = blobs.iter().filter_map(|bytes| decode(bytes).ok()).collect();
        lists.sort_by_key(|list| list.results[0].id.name.clone());
        assert_eq!((blobs.len(), lists.len()), (3, 2), "two lists, and the file of one tool");
        assert_eq!(lists[0].results[0].id.to_string(), "a::b");
        assert_eq!(lists[1].counts(), TestCounts { failed: 1, ..TestCounts::default() });
        assert_eq!(lists[1].results[0].id.to_string(), "a.B › t[1-x]");
        assert_eq!((lists[1].results[0].file.as_str(), lists[1].results[0].message.as_str()), ("out/t.py", "left"));
        until_so("the worker keeps nothing of what the master knows", || worker.is_tidy()).await;
        assert_eq!(worker.stop().await, Ended::Stopped);
    });
}

async fn log(house: &House, job: &str) -> String {
    let (project, job) = ("demo".to_owned(), job.to_owned());
    let address = LogAddress { project, build: 1, job, attempt: 1, step: 1 };
    String::from_utf8(logs::part(&house.guild, &address, 0, 1_000).await.unwrap()).unwrap()
}

/// Returns the bytes of all blobs. Checks that each is named by its hash.
fn stored(sealed: &Path) -> Vec<Vec<u8>> {
    let shards = std::fs::read_dir(sealed).unwrap();
    let files = shards.flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap().map(Result::unwrap));
    let read = |file: std::fs::DirEntry| {
        let bytes = std::fs::read(file.path()).unwrap();
        assert_eq!(blake3::hash(&bytes).to_hex().as_str(), file.file_name().to_str().unwrap());
        bytes
    };
    files.map(read).collect()
}
