//! The time from a signed webhook delivery about a push until it is answered, and until the step of its build runs.

use super::Bench;
use super::pages::serve_pages;
use crate::lab::{Lab, one_job};
use client::{Events, Told};
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
        // the project is polled so rarely that only the hook makes the master look at it
        poll: "1h".to_owned(),
        ..NewProject::default()
    };
    let mut events = lab.events(&["stepStarted"]).await;
    let hook = lab.guild.add_project(&project).await.expect("a project is added");
    // the build of the first commit
    assert_eq!(started(&mut events).await, 1);
    lab.guild.outcome(NAME, 1).await.expect("it ends");

    let body = br#"{"ref":"refs/heads/main"}"#;
    let (mut answered, mut runs) = (Vec::new(), Vec::new());
    for number in 0..u32::try_from(count).expect("a small number") {
        git(&repo, &["commit", "-q", "--allow-empty", "-m", &format!("change {number}")]);
        let began = Instant::now();
        let deliver = async {
            let signature = format!("X-Guild-Signature: {}", signed(hook.secret.as_bytes(), body));
            let answer = ask(&site, "POST", &format!("/hook/{NAME}"), &[&signature], body).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            began.elapsed().as_secs_f64()
        };
        let run = async {
            let build = started(&mut events).await;
            (build, began.elapsed().as_secs_f64())
        };
        let (told, (build, ran)) = tokio::join!(deliver, run);
        answered.push(told);
        runs.push(ran);
        assert_eq!(build, number + 2);
        lab.guild.outcome(NAME, build).await.expect("it ends");
    }
    bench.figures.tell_ms("hook_answered", &answered, &json!({"end": "the build is recorded"}));
    bench.figures.tell_ms("hook_step_start", &runs, &json!({"end": "stepStarted at a subscriber"}));
}

/// Waits for the next step to start, and returns the number of its build.
async fn started(events: &mut Events) -> u32 {
    loop {
        let Told::Events { events, .. } = events.next().await.expect("events go on") else {
            panic!("events were lost")
        };
        if let Some(event) = events.first() {
            return event.build;
        }
    }
}
