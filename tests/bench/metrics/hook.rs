//! A push told by a signed delivery: until it is answered, and until its step runs.

use super::Bench;
use super::pages::serve_pages;
use crate::lab::{Lab, one_job};
use client::Told;
use schema::values::NewProject;
use serde_json::json;
use std::time::Instant;
use support::http::{ask, signed};
use support::programs::{git, repository};

const NAME: &str = "pushed";

pub async fn measure(bench: &Bench<'_>) {
    let count = bench.size(20, 100);
    let mut lab = Lab::open(bench.bin, &one_job("true"), &[4]).await;
    lab.stop_all();
    let site = serve_pages(&lab);
    let repo = lab.path(NAME);
    repository(&repo, &one_job("true").replace("push = []", "push = [\"main\"]"));
    lab.start_master().await;
    lab.start_workers();
    lab.until_attached(1).await;
    let project = NewProject {
        name: NAME.to_owned(),
        repository: repo.display().to_string(),
        branches: vec!["main".to_owned()],
        hook_kind: "generic".to_owned(),
        ..NewProject::default()
    };
    let mut events = lab.events(&["stepStarted"]).await;
    let hook = lab.guild.add_project(&project).await.expect("a project is added");
    // its first commit
    events.next().await.expect("events go on");
    lab.guild.outcome(NAME, 1).await.expect("it ends");

    let body = br#"{"ref":"refs/heads/main"}"#;
    let (mut answered, mut runs) = (Vec::new(), Vec::new());
    for number in 0..count {
        git(&repo, &["commit", "-q", "--allow-empty", "-m", &format!("change {number}")]);
        let began = Instant::now();
        let deliver = async {
            let signature = format!("X-Guild-Signature: {}", signed(hook.secret.as_bytes(), body));
            let answer = ask(&site, "POST", &format!("/hook/{NAME}"), &[&signature], body).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            began.elapsed().as_secs_f64()
        };
        let run = async {
            let told = events.next().await.expect("events go on");
            assert!(matches!(told, Told::Events { .. }), "events were lost");
            began.elapsed().as_secs_f64()
        };
        let (told, ran) = tokio::join!(deliver, run);
        answered.push(told);
        runs.push(ran);
        let newest = u32::try_from(number + 2).expect("a small number");
        lab.guild.outcome(NAME, newest).await.expect("it ends");
    }
    bench.figures.tell_ms("hook_answered", &answered, &json!({"end": "the build is recorded"}));
    bench.figures.tell_ms("hook_step_start", &runs, &json!({"end": "stepStarted at a subscriber"}));
}
