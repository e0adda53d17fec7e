//! Tries each row of the table of limits over a real connection. A value at its limit is taken. A larger one is refused with the
//! name of the limit, or cut. A field that this file does not send fails the test, so that a new one cannot be forgotten.

use crate::schema_walk::{Half, routes};
use schema::change_capnp::change_sink;
use schema::event_capnp::observer;
use schema::gateway_capnp::gateway;
use schema::grant_capnp::operator;
use schema::limits::{Beyond, INVALID, LOG_WRITE, Limit, rows};
use schema::perspective_capnp::{build, submitter, viewer};
use schema::values::{GrantKind, Outcome, Refusal, RefusalCode, What};
use schema::vat::Vat;
use schema::wire;
use schema::worker_capnp::{lease, worker, worker_desk};
use std::rc::Rc;
use support::guild::{House, Played, dial, perspective, report, restore, run};

const PIPELINE: &str = "version = 1
[[job.test.step]]
name = \"one\"
run = \"true\"
[[job.test.step]]
name = \"two\"
run = \"true\"
";
const REQUEST: [u8; 16] = [3; 16];

/// `Hands` has one capability of each kind that a peer can hold of a master.
struct Hands {
    gateway: gateway::Client,
    viewer: viewer::Client,
    submitter: submitter::Client,
    changes: change_sink::Client,
    operator: operator::Client,
    build: build::Client,
    desk: worker_desk::Client,
    session: Played,
    lease: lease::Client,
    _links: Vec<Vat>,
}

impl Hands {
    async fn on(house: &House) -> Hands {
        let (reference, identity) = house.enroll(GrantKind::Operator, "boss", What::everything()).await;
        let (link, boss) = perspective(&reference, &identity).await;
        let (stranger, gateway) = dial(&reference, &identity).await;
        let toy = house.enroll(GrantKind::Worker, "toy", What::default()).await;
        let (toy_link, toy_gateway) = dial(&toy.0, &toy.1).await;
        let desk = restore(&toy_gateway, &toy.0.token).await.unwrap();
        let session = house.worker("anvil").await;
        let (_, lease) = session.take().await;
        lease.accept_request().send().promise.await.unwrap();
        // an attempt cannot be ended while a step runs, so all that is tried here stays within one attempt
        report(&lease).started_request().send().promise.await.unwrap();
        let viewer = boss.viewer_request().send().pipeline.get_viewer();
        let mut request = viewer.build_request();
        request.get().set_project("demo");
        Hands {
            gateway,
            submitter: boss.submitter_request().send().pipeline.get_submitter(),
            changes: boss.changes_request().send().pipeline.get_sink(),
            operator: boss.operator_request().send().pipeline.get_operator(),
            build: request.send().pipeline.get_build(),
            viewer,
            desk: capnp::capability::FromClientHook::new(desk.hook),
            session,
            lease,
            _links: vec![link, stranger, toy_link],
        }
    }
}

/// `Mute` is an observer and a worker that implement no method.
struct Mute;
impl observer::Server for Mute {}
impl worker::Server for Mute {}

/// `Said` is the master's answer to a call: it was taken, or why it was refused.
type Said = Result<(), Refusal>;

/// Converts an exception into the refusal that it stands for.
fn refused(error: capnp::Error) -> Refusal {
    match error.extra.split_once(INVALID) {
        Some((_, text)) => Refusal::new(RefusalCode::Invalid, text.trim_end()),
        None => Refusal::new(RefusalCode::Internal, error.extra),
    }
}

/// Makes a call with the arguments that `$fill` sets, and turns the answer into [`Said`] with `$said`.
macro_rules! make {
    ($request:expr, |$to:ident| $fill:expr, $said:expr) => {{
        let mut request = $request;
        {
            let mut $to = request.get();
            // `$fill` may use `$to` without changing it, and then `mut` would cause a warning
            let _ = &mut $to;
            $fill;
        }
        request.send().promise.await.map_err(refused).and_then($said)
    }};
}

/// Calls a method whose answer can have a refusal. A refusal and an exception count alike.
macro_rules! call {
    ($request:expr, |$to:ident| $fill:expr) => {
        make!($request, |$to| $fill, |answer| {
            let answer = answer.get().unwrap();
            let refusal = wire::refusal(answer.has_refusal(), answer.get_refusal()).unwrap();
            refusal.map_or(Ok(()), Err)
        })
    };
}

/// Calls a method that refuses only by exceptions.
macro_rules! plain {
    ($request:expr, |$to:ident| $fill:expr) => {
        make!($request, |$to| $fill, |_| Ok(()))
    };
}

/// Returns a new random id for a request.
fn fresh() -> [u8; 16] {
    system::chance::bytes()
}

fn text(count: usize) -> String {
    "x".repeat(count)
}

fn elements(count: usize) -> u32 {
    wire::length(count)
}

async fn look(it: &Hands, field: &str, n: usize) -> Option<Said> {
    Some(match field {
        "perspective.Viewer.builds(project)" => plain!(it.viewer.builds_request(), |to| to.set_project(text(n))),
        "perspective.Viewer.builds(ref)" => plain!(it.viewer.builds_request(), |to| to.set_ref(text(n))),
        "perspective.Viewer.builds(revision)" => plain!(it.viewer.builds_request(), |to| to.set_revision(text(n))),
        "perspective.Viewer.projects(after)" => plain!(it.viewer.projects_request(), |to| to.set_after(text(n))),
        "perspective.Viewer.workers(after)" => plain!(it.viewer.workers_request(), |to| to.set_after(text(n))),
        "perspective.Viewer.build(project)" => call!(it.viewer.build_request(), |to| to.set_project(text(n))),
        "perspective.Viewer.branch(project)" => call!(it.viewer.branch_request(), |to| to.set_project(text(n))),
        "perspective.Viewer.crons(project)" => call!(it.viewer.crons_request(), |to| to.set_project(text(n))),
        "perspective.Build.reports(job)" => call!(it.build.reports_request(), |to| {
            to.set_step(1);
            to.set_job(text(n));
        }),
        "perspective.Build.tests(job)" => call!(it.build.tests_request(), |to| to.set_job(text(n))),
        "perspective.Viewer.tests(project)" => call!(it.viewer.tests_request(), |to| to.set_project(text(n))),
        "perspective.Viewer.test(project)" => call!(it.viewer.test_request(), |to| to.set_project(text(n))),
        "perspective.Viewer.suspects(project)" => call!(it.viewer.suspects_request(), |to| to.set_project(text(n))),
        "perspective.Viewer.suspects(ref)" => call!(it.viewer.suspects_request(), |to| {
            to.set_project("demo");
            to.set_ref(text(n));
        }),
        "perspective.Viewer.suspects(job)" => call!(it.viewer.suspects_request(), |to| {
            to.set_project("demo");
            to.set_job(text(n));
        }),
        "perspective.Viewer.tests(ref)" => call!(it.viewer.tests_request(), |to| {
            to.set_project("demo");
            to.set_ref(text(n));
        }),
        "perspective.Viewer.tests(shown)" => call!(it.viewer.tests_request(), |to| {
            to.set_project("demo");
            to.set_shown(text(n));
        }),
        "perspective.Viewer.tests(search)" => call!(it.viewer.tests_request(), |to| {
            to.set_project("demo");
            to.set_search(text(n));
        }),
        "perspective.Viewer.tests(job)" => call!(it.viewer.tests_request(), |to| {
            to.set_project("demo");
            to.set_job(text(n));
        }),
        "perspective.Viewer.branch(ref)" => call!(it.viewer.branch_request(), |to| {
            to.set_project("demo");
            to.set_ref(text(n));
        }),
        "perspective.Build.log(job)" => call!(it.build.log_request(), |to| {
            to.set_step(1);
            to.set_job(text(n));
        }),
        "perspective.Build.blob(blake3)" => call!(it.build.blob_request(), |to| to.set_blake3(&vec![1; n])),
        "perspective.Build.explain(job)" => call!(it.build.explain_request(), |to| to.set_job(text(n))),
        "event.Filter.projects" => {
            watch(it, |to| {
                to.init_projects(elements(n));
            })
            .await
        }
        "event.Filter.projects[]" => watch(it, |to| to.init_projects(1).set(0, text(n))).await,
        "event.Filter.kinds" => {
            watch(it, |to| {
                to.init_kinds(elements(n));
            })
            .await
        }
        "event.Filter.kinds[]" => watch(it, |to| to.init_kinds(1).set(0, text(n))).await,
        _ => return None,
    })
}

async fn watch(it: &Hands, fill: impl FnOnce(schema::event_capnp::filter::Builder<'_>)) -> Said {
    call!(it.viewer.watch_request(), |to| {
        to.set_observer(capnp_rpc::new_client(Mute));
        fill(to.init_filter());
    })
}

async fn steer(it: &Hands, field: &str, n: usize) -> Option<Said> {
    let run = || it.submitter.run_request();
    let retry = || it.submitter.retry_request();
    let cancel = || it.submitter.cancel_request();
    let claim = || it.submitter.claim_request();
    let release = || it.submitter.release_claim_request();
    Some(match field {
        "perspective.Submitter.run(request)" => call!(run(), |to| {
            to.set_project("demo");
            to.set_request(&vec![1; n]);
        }),
        "perspective.Submitter.run(project)" => call!(run(), |to| {
            to.set_request(&fresh());
            to.set_project(text(n));
        }),
        "perspective.Submitter.run(ref)" => call!(run(), |to| {
            to.set_project("demo");
            to.set_request(&fresh());
            to.set_ref(text(n));
        }),
        "perspective.Submitter.run(revision)" => call!(run(), |to| {
            to.set_project("demo");
            to.set_request(&fresh());
            to.set_revision(text(n));
        }),
        "perspective.Submitter.retry(request)" => call!(retry(), |to| {
            to.set_project("demo");
            to.set_request(&vec![2; n]);
        }),
        "perspective.Submitter.retry(project)" => call!(retry(), |to| {
            to.set_request(&fresh());
            to.set_project(text(n));
        }),
        "perspective.Submitter.retry(jobs)" => call!(retry(), |to| {
            to.set_project("demo");
            to.set_request(&fresh());
            to.init_jobs(elements(n));
        }),
        "perspective.Submitter.retry(jobs)[]" => call!(retry(), |to| {
            to.set_project("demo");
            to.set_request(&fresh());
            to.init_jobs(1).set(0, text(n));
        }),
        "perspective.Submitter.claim(request)" => call!(claim(), |to| {
            to.set_project("demo");
            to.set_request(&vec![5; n]);
        }),
        "perspective.Submitter.claim(project)" => call!(claim(), |to| {
            to.set_request(&fresh());
            to.set_project(text(n));
        }),
        "perspective.Submitter.claim(ref)" => call!(claim(), |to| {
            to.set_project("demo");
            to.set_request(&fresh());
            to.set_ref(text(n));
        }),
        "perspective.Submitter.claim(job)" => call!(claim(), |to| {
            to.set_project("demo");
            to.set_request(&fresh());
            to.set_job(text(n));
        }),
        "perspective.Submitter.claim(reason)" => call!(claim(), |to| {
            to.set_project("demo");
            to.set_request(&fresh());
            to.set_reason(text(n));
        }),
        "perspective.Submitter.releaseClaim(request)" => call!(release(), |to| {
            to.set_project("demo");
            to.set_request(&vec![6; n]);
        }),
        "perspective.Submitter.releaseClaim(project)" => call!(release(), |to| {
            to.set_request(&fresh());
            to.set_project(text(n));
        }),
        "perspective.Submitter.releaseClaim(ref)" => call!(release(), |to| {
            to.set_project("demo");
            to.set_request(&fresh());
            to.set_ref(text(n));
        }),
        "perspective.Submitter.releaseClaim(job)" => call!(release(), |to| {
            to.set_project("demo");
            to.set_request(&fresh());
            to.set_job(text(n));
        }),
        "perspective.Submitter.cancel(request)" => call!(cancel(), |to| {
            to.set_project("demo");
            to.set_job("none");
            to.set_request(&vec![4; n]);
        }),
        "perspective.Submitter.cancel(project)" => call!(cancel(), |to| {
            to.set_request(&fresh());
            to.set_project(text(n));
        }),
        "perspective.Submitter.cancel(job)" => call!(cancel(), |to| {
            to.set_project("demo");
            to.set_request(&fresh());
            to.set_job(text(n));
        }),
        "perspective.Submitter.cancel(reason)" => call!(cancel(), |to| {
            to.set_project("demo");
            to.set_request(&fresh());
            to.set_reason(text(n));
        }),
        _ => return try_files(it, field, n).await,
    })
}

async fn try_files(it: &Hands, field: &str, n: usize) -> Option<Said> {
    let begin = || {
        let mut request = it.submitter.begin_try_request();
        request.get().set_request(&REQUEST);
        request.get().set_project("demo");
        request
    };
    let tried = || {
        let mut request = it.submitter.run_try_request();
        request.get().set_request(&fresh());
        request.get().set_project("demo");
        request
    };
    Some(match field {
        "perspective.Submitter.beginTry(request)" => call!(begin(), |to| to.set_request(&vec![6; n])),
        "perspective.Submitter.beginTry(project)" => call!(begin(), |to| to.set_project(text(n))),
        "perspective.Submitter.beginTry(commits)" => call!(begin(), |to| {
            to.init_commits(elements(n));
        }),
        "perspective.Submitter.beginTry(commits)[]" => call!(begin(), |to| to.init_commits(1).set(0, text(n))),
        "perspective.Submitter.runTry(request)" => call!(tried(), |to| to.set_request(&vec![7; n])),
        "perspective.Submitter.runTry(project)" => call!(tried(), |to| to.set_project(text(n))),
        "perspective.Submitter.runTry(commit)" => call!(tried(), |to| to.set_commit(text(n))),
        "perspective.Submitter.runTry(jobs)" => call!(tried(), |to| {
            to.init_jobs(elements(n));
        }),
        "perspective.Submitter.runTry(jobs)[]" => call!(tried(), |to| to.init_jobs(1).set(0, text(n))),
        "perspective.Submitter.runTry(platform)" => call!(tried(), |to| to.set_platform(text(n))),
        _ => return None,
    })
}

async fn enter(it: &Hands, field: &str, n: usize) -> Option<Said> {
    Some(match field {
        "change.ChangeSink.submit(request)" => call!(it.changes.submit_request(), |to| {
            to.set_project("demo");
            to.set_request(&vec![5; n]);
        }),
        "change.ChangeSink.submit(project)" => call!(it.changes.submit_request(), |to| {
            to.set_request(&fresh());
            to.set_project(text(n));
        }),
        "change.ChangeSink.submit(ref)" => call!(it.changes.submit_request(), |to| {
            to.set_project("demo");
            to.set_request(&fresh());
            to.set_ref(text(n));
        }),
        "gateway.Gateway.restore(token)" => call!(it.gateway.restore_request(), |to| {
            to.set_token(&vec![6; n]);
            to.init_versions().set_max(9);
        }),
        "gateway.Gateway.redeem(join)" => call!(it.gateway.redeem_request(), |to| {
            to.set_token(&[6; 32]);
            to.set_join(&vec![6; n]);
        }),
        "gateway.Gateway.redeem(token)" => call!(it.gateway.redeem_request(), |to| to.set_token(&vec![6; n])),
        _ => return None,
    })
}

async fn grant(it: &Hands, field: &str, n: usize) -> Option<Said> {
    Some(match field {
        "grant.Operator.issue(request)" => issue(it, |to| to.set_request(&vec![7; n])).await,
        "grant.Operator.issue(joinHash)" => issue(it, |to| to.set_join_hash(&vec![7; n])).await,
        "grant.Operator.issue(name)" => issue(it, |to| to.set_name(text(n))).await,
        "grant.What.may" => {
            allow(it, |to| {
                let mut list = to.init_may(elements(n));
                (0..list.len()).for_each(|index| list.set(index, "view"));
            })
            .await
        }
        "grant.What.mayAlso" => {
            allow(it, |to| {
                let mut list = to.init_may_also(elements(n));
                (0..list.len()).for_each(|index| list.set(index, "view"));
            })
            .await
        }
        "grant.What.mayAlso[]" => allow(it, |to| to.init_may_also(1).set(0, text(n))).await,
        "grant.What.may[]" => allow(it, |to| to.init_may(1).set(0, text(n))).await,
        "grant.What.projects" => {
            allow(it, |to| {
                let mut list = to.init_projects(elements(n));
                (0..list.len()).for_each(|index| list.set(index, format!("p{index}")));
            })
            .await
        }
        "grant.What.projects[]" => allow(it, |to| to.init_projects(1).set(0, text(n))).await,
        "grant.What.pools" => {
            allow(it, |to| {
                let mut list = to.init_pools(elements(n));
                (0..list.len()).for_each(|index| list.set(index, format!("p{index}")));
            })
            .await
        }
        "grant.What.pools[]" => allow(it, |to| to.init_pools(1).set(0, text(n))).await,
        "grant.What.labels" => {
            allow(it, |to| {
                let mut list = to.init_labels(elements(n));
                (0..list.len()).for_each(|index| list.reborrow().get(index).set_name("n"));
            })
            .await
        }
        "grant.What.labels[].name" => allow(it, |to| to.init_labels(1).get(0).set_name(text(n))).await,
        "grant.What.labels[].value" => {
            allow(it, |to| {
                let mut label = to.init_labels(1).get(0);
                label.set_name("n");
                label.set_value(text(n));
            })
            .await
        }
        _ => return None,
    })
}

async fn operate(it: &Hands, field: &str, n: usize) -> Option<Said> {
    let operator = &it.operator;
    let named = |to: &mut operator::hold_params::Builder<'_>| to.set_worker("nobody");
    Some(match field {
        "grant.Operator.revoke(request)" => call!(operator.revoke_request(), |to| to.set_request(&vec![8; n])),
        "grant.Operator.revoke(reason)" => call!(operator.revoke_request(), |to| {
            to.set_request(&REQUEST);
            to.set_reason(text(n));
        }),
        "grant.Operator.workers(after)" => plain!(operator.workers_request(), |to| to.set_after(text(n))),
        "grant.Operator.drain(request)" => call!(operator.drain_request(), |to| to.set_request(&vec![9; n])),
        "grant.Operator.drain(worker)" => call!(operator.drain_request(), |to| {
            to.set_request(&REQUEST);
            to.set_worker(text(n));
        }),
        "grant.Operator.hold(request)" => call!(operator.hold_request(), |to| {
            named(&mut to);
            to.set_request(&vec![10; n]);
        }),
        "grant.Operator.hold(worker)" => call!(operator.hold_request(), |to| {
            to.set_request(&REQUEST);
            to.set_worker(text(n));
        }),
        "grant.Operator.hold(reason)" => call!(operator.hold_request(), |to| {
            to.set_request(&REQUEST);
            to.set_reason(text(n));
        }),
        "grant.Operator.findGrants(wanted)" => plain!(operator.find_grants_request(), |to| to.set_wanted(text(n))),
        "grant.Operator.forget(request)" => call!(operator.forget_request(), |to| to.set_request(&vec![11; n])),
        "grant.Operator.forget(worker)" => call!(operator.forget_request(), |to| {
            to.set_request(&REQUEST);
            to.set_worker(text(n));
        }),
        _ => return None,
    })
}

/// Asks to issue a grant with valid arguments, except for those that `fill` sets.
async fn issue(it: &Hands, fill: impl FnOnce(&mut operator::issue_params::Builder<'_>)) -> Said {
    call!(it.operator.issue_request(), |to| {
        to.set_request(&system::chance::bytes::<16>());
        to.set_join_hash(&system::chance::bytes::<32>());
        to.set_name(format!("worker-{:x}", u64::from_le_bytes(system::chance::bytes())));
        to.set_kind(schema::grant_capnp::Kind::Worker);
        fill(&mut to);
    })
}

async fn allow(it: &Hands, fill: impl FnOnce(schema::grant_capnp::what::Builder<'_>)) -> Said {
    issue(it, |to| fill(to.reborrow().init_what())).await
}

async fn keep_file(it: &Hands, field: &str, n: usize) -> Option<Said> {
    let operator = &it.operator;
    Some(match field {
        "grant.Operator.reload(request)" => call!(operator.reload_request(), |to| to.set_request(&vec![12; n])),
        "grant.Operator.addProject(request)" => {
            call!(operator.add_project_request(), |to| to.set_request(&vec![13; n]))
        }
        "grant.NewProject.name" => add(it, |mut to| to.set_name(text(n))).await,
        "grant.NewProject.repository" => add(it, |mut to| to.set_repository(text(n))).await,
        "grant.NewProject.aliases" => {
            add(it, |to| {
                to.init_aliases(elements(n));
            })
            .await
        }
        "grant.NewProject.aliases[]" => add(it, |to| to.init_aliases(1).set(0, text(n))).await,
        "grant.NewProject.branches" => {
            add(it, |to| {
                to.init_branches(elements(n));
            })
            .await
        }
        "grant.NewProject.branches[]" => add(it, |to| to.init_branches(1).set(0, text(n))).await,
        "grant.NewProject.tags" => {
            add(it, |to| {
                to.init_tags(elements(n));
            })
            .await
        }
        "grant.NewProject.tags[]" => add(it, |to| to.init_tags(1).set(0, text(n))).await,
        "grant.NewProject.poll" => add(it, |mut to| to.set_poll(text(n))).await,
        "grant.NewProject.pools" => {
            add(it, |to| {
                to.init_pools(elements(n));
            })
            .await
        }
        "grant.NewProject.pools[]" => add(it, |to| to.init_pools(1).set(0, text(n))).await,
        "grant.NewProject.credential" => add(it, |mut to| to.set_credential(&vec![1; n])).await,
        "grant.NewProject.knownHosts" => add(it, |mut to| to.set_known_hosts(&vec![1; n])).await,
        "grant.NewProject.token" => add(it, |mut to| to.set_token(&vec![1; n])).await,
        "grant.NewProject.hookKind" => add(it, |mut to| to.set_hook_kind(text(n))).await,
        _ => return None,
    })
}

async fn add(it: &Hands, fill: impl FnOnce(schema::grant_capnp::new_project::Builder<'_>)) -> Said {
    call!(it.operator.add_project_request(), |to| {
        to.set_request(&system::chance::bytes::<16>());
        fill(to.init_project());
    })
}

async fn attend(it: &Hands, field: &str, n: usize) -> Option<Said> {
    Some(match field {
        "worker.WorkerDesk.attach(instance)" => attach(it, |to| to.set_instance(&vec![9; n])).await,
        "worker.WorkerDesk.attach(running)" => {
            attach(it, |to| tokens(to.reborrow().init_running(elements(n)), 16)).await
        }
        "worker.WorkerDesk.attach(running)[]" => attach(it, |to| tokens(to.reborrow().init_running(1), n)).await,
        "worker.WorkerDesk.attach(alive)" => attach(it, |to| tokens(to.reborrow().init_alive(elements(n)), 16)).await,
        "worker.WorkerDesk.attach(alive)[]" => attach(it, |to| tokens(to.reborrow().init_alive(1), n)).await,
        "worker.Description.platform" => describe(it, |mut to| to.set_platform(text(n))).await,
        "worker.Description.host" => describe(it, |mut to| to.set_host(text(n))).await,
        "worker.Description.version" => describe(it, |mut to| to.set_version(text(n))).await,
        "worker.Description.isolation" => {
            describe(it, |to| {
                to.init_isolation(elements(n));
            })
            .await
        }
        "worker.Description.probes" => {
            describe(it, |to| {
                to.init_probes(elements(n));
            })
            .await
        }
        "worker.TierProbe.tier" => describe(it, |to| to.init_probes(1).get(0).set_tier(text(n))).await,
        "worker.TierProbe.lack" => describe(it, |to| to.init_probes(1).get(0).set_lack(text(n))).await,
        "worker.StepBounds.lack" => describe(it, |to| to.init_bounds().set_lack(text(n))).await,
        "worker.Description.isolation[]" => describe(it, |to| to.init_isolation(1).set(0, text(n))).await,
        "worker.Description.labels" => {
            describe(it, |to| {
                to.init_labels(elements(n));
            })
            .await
        }
        "worker.Description.labels[].name" => describe(it, |to| to.init_labels(1).get(0).set_name(text(n))).await,
        "worker.Description.labels[].value" => describe(it, |to| to.init_labels(1).get(0).set_value(text(n))).await,
        "worker.Home.boot" => attach(it, |to| to.reborrow().init_home().set_boot(text(n))).await,
        "worker.Session.renew(tokens)" => {
            plain!(it.session.session.renew_request(), |to| tokens(to.init_tokens(elements(n)), 16))
        }
        "worker.Session.renew(tokens)[]" => {
            plain!(it.session.session.renew_request(), |to| tokens(to.init_tokens(1), n))
        }
        "worker.Session.lacks(what)" => plain!(it.session.session.lacks_request(), |to| to.set_what(text(n))),
        "worker.Session.troubles(what)" => plain!(it.session.session.troubles_request(), |to| {
            to.init_what(elements(n));
        }),
        "worker.Session.troubles(what)[]" => {
            plain!(it.session.session.troubles_request(), |to| to.init_what(1).set(0, text(n)))
        }
        _ => return None,
    })
}

fn tokens(mut to: capnp::data_list::Builder<'_>, bytes: usize) {
    (0..to.len()).for_each(|index| to.set(index, &vec![1; bytes]));
}

async fn attach(it: &Hands, fill: impl FnOnce(&mut worker_desk::attach_params::Builder<'_>)) -> Said {
    call!(it.desk.attach_request(), |to| {
        to.set_worker(capnp_rpc::new_client(Mute));
        to.set_instance(&[9; 16]);
        fill(&mut to);
    })
}

async fn describe(it: &Hands, fill: impl FnOnce(schema::worker_capnp::description::Builder<'_>)) -> Said {
    attach(it, |to| fill(to.reborrow().init_description())).await
}

async fn attempt(it: &Hands, field: &str, n: usize) -> Option<Said> {
    let sink = || report(&it.lease).log_request().send().pipeline.get_sink();
    let second = || {
        let mut request = it.lease.step_request();
        request.get().set_index(1);
        request.send().pipeline.get_report()
    };
    let artifact = || {
        let mut request = it.lease.artifact_request();
        request.get().set_path("bundle");
        request.send().pipeline.get_sink()
    };
    let errored = wire::outcome_to_wire(Some(Outcome::Errored));
    Some(match field {
        "worker.Lease.complete(reason)" => call!(it.lease.complete_request(), |to| {
            to.set_outcome(errored);
            to.set_reason(text(n));
        }),
        "worker.AttemptEnd.reason" => call!(it.lease.report_request(), |to| {
            let mut ended = to.init_progress(1).get(0).init_ended();
            ended.set_outcome(errored);
            ended.set_reason(text(n));
        }),
        "worker.Exit.lost" => call!(second().finished_request(), |to| {
            to.set_outcome(errored);
            to.init_exit().set_lost(text(n));
        }),
        "worker.Lease.report(progress)" => call!(it.lease.report_request(), |to| {
            to.init_progress(elements(n));
        }),
        "worker.StepEnd.logHash" => call!(it.lease.report_request(), |to| {
            let mut finished = to.init_progress(1).get(0).init_finished();
            finished.set_outcome(errored);
            // it is the second step that ends, because other fields still write to the log of the first
            finished.set_step(1);
            finished.set_log_hash(&vec![1; n]);
        }),
        "worker.TestsReported.list" => call!(it.lease.report_request(), |to| {
            tests(to, errored).set_list(&vec![1; n]);
        }),
        "worker.TestsReported.failing" => call!(it.lease.report_request(), |to| {
            tests(to, errored).init_failing(elements(n));
        }),
        "worker.TestsReported.failing[]" => call!(it.lease.report_request(), |to| {
            tests(to, errored).init_failing(1).set(0, text(n));
        }),
        "worker.TestsReported.trouble" => call!(it.lease.report_request(), |to| {
            tests(to, errored).set_trouble(text(n));
        }),
        "worker.StepReport.finished(logHash)" => call!(report(&it.lease).finished_request(), |to| {
            to.set_outcome(errored);
            // the log stays open for this many bytes, because other fields write to it
            to.set_log_size(LOG_WRITE.most as u64);
            to.set_log_hash(&vec![1; n]);
        }),
        "log.LogSink.write(bytes)" => call!(sink().write_request(), |to| to.set_bytes(&vec![b'x'; n])),
        "log.LogSink.write(marks)" => call!(sink().write_request(), |to| {
            to.init_marks(elements(n));
        }),
        "worker.Lease.artifact(path)" => call!(it.lease.artifact_request(), |to| to.set_path(text(n))),
        "common.ByteSink.write(bytes)" => call!(artifact().write_request(), |to| to.set_bytes(&vec![b'x'; n])),
        "common.ByteSink.seal(blake3)" => call!(artifact().seal_request(), |to| {
            // this is more than was received, so the blob is never sealed
            to.set_length(u64::MAX);
            to.set_blake3(&vec![1; n]);
        }),
        "worker.SourcePack.pack(have)" => call!(source(it).pack_request(), |to| {
            to.init_have(elements(n));
        }),
        "worker.SourcePack.pack(have)[]" => call!(source(it).pack_request(), |to| to.init_have(1).set(0, text(n))),
        _ => return None,
    })
}

/// Adds the end of a step to a report, and returns its part about tests, which the caller fills in.
fn tests(
    to: schema::worker_capnp::lease::report_params::Builder<'_>,
    outcome: schema::common_capnp::Outcome,
) -> schema::worker_capnp::tests_reported::Builder<'_> {
    let mut finished = to.init_progress(1).get(0).init_finished();
    // it is the second step that ends, because other fields still write to the log of the first
    finished.set_step(1);
    finished.set_outcome(outcome);
    finished.init_tests()
}

fn source(it: &Hands) -> schema::worker_capnp::source_pack::Client {
    it.lease.source_request().send().pipeline.get_source()
}

/// Makes the call that has this field, with a value of size `n`. `None` means that no function here knows the field.
async fn send(it: &Hands, field: &str, n: usize) -> Option<Said> {
    for said in [look(it, field, n).await, steer(it, field, n).await, enter(it, field, n).await] {
        if said.is_some() {
            return said;
        }
    }
    for said in [grant(it, field, n).await, operate(it, field, n).await, keep_file(it, field, n).await] {
        if said.is_some() {
            return said;
        }
    }
    let said = attend(it, field, n).await;
    if said.is_some() { said } else { attempt(it, field, n).await }
}

/// Returns the fields of a row that peers send to a master, as the schema names them.
fn taken_by_masters(limit: &Limit) -> impl Iterator<Item = &'static str> {
    const FROM_MASTERS: [&str; 2] = ["event.Observer", "worker.Worker"];
    let taken = routes(Half::Params, |interface| !FROM_MASTERS.contains(&interface));
    // `browse` is left out, because it needs the pages, which this master does not serve
    let is_taken = move |field: &str| taken.iter().any(|route| route.place == field);
    limit
        .fields
        .iter()
        .copied()
        .filter(move |field| is_taken(field) && !field.starts_with("perspective.Perspective.browse"))
}

/// The fields that are refused even at their limit, because a narrower rule holds for them, and that rule.
const NARROWER: [(&str, &str); 3] = [
    ("change.ChangeSink.submit(ref)", "a ref that is followed is a branch or a tag, of at most 512 bytes"),
    ("gateway.Gateway.redeem(token)", "a token must have 32 bytes"),
    ("grant.Operator.issue(name)", "a name has at most 100 letters, digits, dots, underscores and hyphens"),
];

#[test]
fn each_limit_is_kept_on_the_wire() {
    run(async {
        let house = House::open(PIPELINE).await;
        let it = Hands::on(&house).await;
        let mut tried = 0;
        for limit in rows() {
            for field in taken_by_masters(limit) {
                let at = send(&it, field, limit.most).await.unwrap_or_else(|| panic!("nobody sends {field}"));
                let is_invalid = at.as_ref().is_err_and(|refusal| refusal.code == RefusalCode::Invalid);
                let narrower = NARROWER.iter().find(|(of, _)| *of == field);
                assert_eq!(is_invalid, narrower.is_some(), "{field} at its limit: {at:?}, {narrower:?}");
                let begin = format!("the {} ", limit.name);
                let names_it = |refusal: &Refusal| {
                    refusal.code == RefusalCode::Invalid
                        && refusal.text.starts_with(&begin)
                        && refusal.text.ends_with(" are taken")
                };
                assert!(!at.as_ref().is_err_and(names_it), "{field} is taken at its limit: {at:?}");
                let beyond = send(&it, field, limit.most + 1).await.unwrap_or(Ok(()));
                let is_refused = limit.beyond == Beyond::Refused;
                assert_eq!(beyond.as_ref().is_err_and(names_it), is_refused, "{field} beyond its limit: {beyond:?}");
                tried += 1;
            }
        }
        println!("{tried} fields were tried");
        assert!(tried > 80);
    });
}

/// A peer whose calls are refused can go on with the same connection.
#[test]
fn who_is_refused_goes_on() {
    run(async {
        let house = House::open(PIPELINE).await;
        let it = Rc::new(Hands::on(&house).await);
        for _ in 0..100 {
            assert!(send(&it, "perspective.Viewer.build(project)", 200).await.is_some_and(|said| said.is_err()));
        }
        assert_eq!(send(&it, "perspective.Viewer.workers(after)", 10).await, Some(Ok(())));
    });
}
