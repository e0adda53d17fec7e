//! The time from asking to revoke a grant until the last of its holder's 1,000 calls in flight has failed.

use super::Bench;
use crate::lab::{Lab, PROJECT, one_job};
use client::Guild;
use futures::future::join_all;
use schema::identity::Identity;
use schema::values::{GrantKind, Right, What};
use serde_json::json;
use std::rc::Rc;
use std::time::Instant;
use support::guild::enroll;

const CALLS: usize = 1_000;

pub async fn measure(bench: &Bench<'_>) {
    let lab = Lab::open(bench.bin, &one_job("true"), &[]).await;
    // this build never finishes, because there is no worker, so a call that waits for its outcome stays in flight
    let build = lab.run().await;
    let mut times = Vec::new();
    for round in 0..bench.size(5, 20) {
        let (guild, grant) = holder(&lab, round).await;
        let link = guild.link().await.expect("a link");
        let mut viewer = link.perspective().expect("a perspective").viewer_request().send().pipeline.get_viewer();
        let calls = (0..CALLS).map(|_| {
            let mut request = viewer.build_request();
            request.get().set_project(PROJECT);
            request.get().set_number(build);
            request.send().pipeline.get_build().outcome_request().send().promise
        });
        let calls: Vec<_> = calls.collect();
        viewer = link.perspective().expect("a perspective").viewer_request().send().pipeline.get_viewer();
        viewer.projects_request().send().promise.await.expect("all calls before it have arrived");
        let ends = tokio::task::spawn_local(join_all(calls));
        tokio::task::yield_now().await;
        let began = Instant::now();
        lab.guild.revoke(grant, "measured").await.expect("it is revoked");
        let ended = ends.await.expect("all calls end");
        times.push(began.elapsed().as_secs_f64());
        assert!(ended.iter().all(Result::is_err), "nothing is answered to who holds nothing");
    }
    let note = "from asking for the revocation to the failure of the last of them, durable";
    bench.figures.tell_ms("revoke_1000_calls", &times, &json!({"calls": CALLS, "note": note}));
}

async fn holder(lab: &Lab, round: usize) -> (Guild, u64) {
    let what = What { may: [Right::View].into(), projects: ["*".to_owned()].into(), ..What::default() };
    let name = format!("viewer-{round}");
    let identity = Identity::generate();
    let (credential, grant) = enroll(&lab.guild, &lab.credential.0, &identity, GrantKind::User, &name, what).await;
    (Guild::connect(credential, Rc::new(identity)).await.expect("it connects"), grant)
}
