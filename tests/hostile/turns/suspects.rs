//! Questions for the suspects of a red branch, of which each runs git.

use super::{BETWEEN_MAX, FLOOD, PIPELINE, until_moving, viewer_of};
use schema::perspective_capnp::viewer;
use schema::values::Outcome;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;
use support::guild::{House, run, work};

/// 4,000 questions in flight by one viewer hold up neither those of another, nor the builds, which need git as well.
#[test]
fn a_flood_of_suspects_holds_up_nobody_else() {
    run(async {
        let house = House::open(PIPELINE).await;
        let worker = house.worker("anvil").await;
        for (outcome, subject) in [(Outcome::Succeeded, "second"), (Outcome::Failed, "third")] {
            let (_, lease) = worker.take().await;
            lease.accept_request().send().promise.await.unwrap();
            work(&lease, b"", outcome).await;
            house.repo.commit("a", subject, subject);
        }
        house.guild.outcome("demo", 2).await.unwrap();
        let (_mallory, flooding) = viewer_of(&house, "mallory").await;
        let (_alice, honest) = viewer_of(&house, "alice").await;
        let answered = Rc::new(Cell::new(0));
        let flood: Vec<_> = (0..FLOOD).map(|_| keep_asking(flooding.clone(), answered.clone())).collect();
        let flood: Vec<_> = flood.into_iter().map(tokio::task::spawn_local).collect();
        until_moving(&answered).await;
        for _ in 0..5 {
            let (began, before) = (Instant::now(), answered.get());
            assert_eq!(suspects(&honest).await, 1);
            let between = answered.get() - before;
            println!("beside {FLOOD} questions: {:?}, {between} of them between", began.elapsed());
            assert!(between <= BETWEEN_MAX / 20, "{between}");
        }
        let (began, before) = (Instant::now(), answered.get());
        let number = house.guild.run("demo", "", "").await.unwrap();
        let between = answered.get() - before;
        println!("build {number} beside {FLOOD} questions: {:?}, {between} of them between", began.elapsed());
        assert!(between <= BETWEEN_MAX / 4, "{between}");
        flood.iter().for_each(tokio::task::JoinHandle::abort);
    });
}

async fn suspects(viewer: &viewer::Client) -> u32 {
    let mut request = viewer.suspects_request();
    request.get().set_project("demo");
    request.get().set_build(2);
    let answer = request.send().promise.await.unwrap();
    answer.get().unwrap().get_ranges().unwrap().len()
}

async fn keep_asking(viewer: viewer::Client, answered: Rc<Cell<usize>>) {
    loop {
        suspects(&viewer).await;
        answered.set(answered.get() + 1);
    }
}
