//! The findings of the doctor through the public API, for an installation with many problems and for a good one.

use master::config::{Config, HookConfig, HookKind, Means, NoticeConfig, PoolConfig, ProjectConfig};
use master::decide::coordinator::record::Transition;
use schema::values::{Description, Finding, GrantKind, Health, StepBounds, Time, What};
use schema::wire;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use support::guild::{House, Played, run};

const PIPELINE: &str = "version = 1\n[trigger]\npush = [\"none\"]\n[job.none]\nrun = \"true\"\n";
const BROKEN: &str = "version = 1\n[job.test]\nneeds = [\"lnit\"]\nrun = \"true\"\n";

#[test]
fn what_is_wrong_is_told_with_what_to_do() {
    run(async {
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::set_permissions(secret.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
        let house = House::open_with(BROKEN, |config| {
            let mut lost = ProjectConfig::of("/nowhere/at/all".to_owned());
            lost.pools = vec!["arm".to_owned()];
            lost.token_file = Some(secret.path().to_owned());
            lost.known_hosts_file = Some("/nowhere/hosts".into());
            config.projects.insert("lost".to_owned(), lost);
            config.pools.insert("arm".to_owned(), PoolConfig { matches: Vec::new(), lease: None, isolation: None });
            config.notices.push(tell("/nowhere/tell"));
        })
        .await;
        let held = house.worker("anvil").await;
        house.guild.hold("anvil", "its disk").await.unwrap();
        let expected = "\
            bad known_hosts_file of lost: put the file there, readable by the master's user, or change `known_hosts_file` in the master file\n\
            bad pipeline of demo: `guild show demo/1` shows the whole error; mend the file, run `guild check`, and push\n\
            bad pool arm: guild grant issue --kind worker --name NAME --pool arm -o NAME.cap\n\
            bad repository of lost: try `git ls-remote /nowhere/at/all` as the master's user; check `repo`, `credential_file` and the like in [project.lost]\n\
            warned pool default: guild worker resume anvil\n\
            warned token_file of lost: chmod go= TOKEN\n";
        let told = told(&house, |text| text.replace(&secret.path().display().to_string(), "TOKEN"), expected).await;
        assert_eq!(told, expected);
        drop(held);
    });
}

#[test]
fn a_good_installation_is_told_as_good() {
    run(async {
        let house = House::open_with(PIPELINE, |config| {
            config.listen.web = Some("127.0.0.1:0".to_owned());
            config.notices.push(tell("true"));
        })
        .await;
        let worker = house.worker("anvil").await;
        let good = |findings: &[Finding]| findings.iter().all(|it| it.verdict == Health::Good || is_disk(it));
        let mut findings = house.guild.examine().await.unwrap();
        for _ in 0..400 {
            if good(&findings) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
            findings = house.guild.examine().await.unwrap();
        }
        assert!(good(&findings), "{findings:#?}");
        let subjects: Vec<&str> = findings.iter().skip(1).map(|finding| finding.subject.as_str()).collect();
        assert_eq!(
            subjects,
            ["store", "repository of demo", "pool default", "queue", "grants", "notices by true", "pages"]
        );
        drop(worker);
    });
}

/// An operator of one project gets findings about that project only. The other project here has files that do not exist, and a pool
/// without a worker, because the worker of that pool lacks the label `gpu`.
#[test]
fn an_operator_hears_of_its_own_projects() {
    run(async {
        let house = House::open_with(PIPELINE, |config: &mut Config| {
            let mut other = ProjectConfig::of("/nowhere/at/all".to_owned());
            other.pools = vec!["arm".to_owned()];
            other.token_file = Some("/nowhere/token".into());
            other.hook = Some(HookConfig { kind: HookKind::Generic, secret_file: "/nowhere/hook".into() });
            config.projects.insert("other".to_owned(), other);
            config
                .pools
                .insert("arm".to_owned(), PoolConfig { matches: vec!["gpu".to_owned()], lease: None, isolation: None });
        })
        .await;
        let pools = ["arm".to_owned()].into();
        let credential = house.enroll(GrantKind::Worker, "tongs", What { pools, ..What::default() }).await;
        let worker = Played::attach(credential, Vec::new()).await;
        let what = What { projects: ["demo".to_owned()].into(), ..What::everything() };
        let (reference, identity) = house.enroll(GrantKind::Operator, "deputy", what).await;
        let deputy = client::Guild::connect(reference, identity.into()).await.unwrap();
        let findings = deputy.examine().await.unwrap();
        assert!(findings.iter().any(|finding| finding.subject == "pool default"), "{findings:#?}");
        assert!(!format!("{findings:?}").contains("other"), "{findings:#?}");
        let told = house.guild.examine().await.unwrap();
        let subjects: Vec<&str> = told.iter().map(|finding| finding.subject.as_str()).collect();
        assert!(subjects.contains(&"token_file of other") && subjects.contains(&"hook.secret_file of other"));
        let arm = house.guild.examine().await.unwrap().into_iter().find(|finding| finding.subject == "pool arm");
        assert_eq!(arm.unwrap().seen, "no worker is in it; other waits for one", "its worker has no gpu");
        drop(worker);
    });
}

/// The doctor shows what a worker lacks on its machine, and that its clock is wrong. The times of its steps are corrected (C62 and
/// C75 in `tests/cases.tsv`).
#[test]
fn an_operator_hears_of_the_machine_of_a_worker() {
    run(async {
        let house = House::open_with(PIPELINE, |_| ()).await;
        let credential = house.enroll(GrantKind::Worker, "anvil", What::default()).await;
        let bounds = StepBounds { lack: Some("no /proc".to_owned()), ..StepBounds::default() };
        let description = Description { bounds: Some(bounds), ..Description::default() };
        let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
        let hour = Time(u64::try_from(now.as_millis()).unwrap() + 3_600_000);
        let worker = Played::attach_at(credential, Vec::new(), &description, hour).await;
        let mut request = worker.session.troubles_request();
        wire::write_texts(request.get().init_what(1), ["2 trees of files cannot be removed"]);
        request.send().promise.await.unwrap();
        let seen = || async {
            let findings = house.guild.examine().await.unwrap();
            let of_worker =
                findings.into_iter().filter(|it| it.subject == "worker anvil" && it.verdict == Health::Warned);
            of_worker.map(|it| it.seen).collect::<Vec<_>>()
        };
        let told = seen().await;
        assert!(told[0].starts_with("its clock is ") && told[0].ends_with(" ahead of the master's"), "{told:?}");
        let expected = ["it cannot hold a step to its limits: no /proc", "2 trees of files cannot be removed"];
        assert!(expected.iter().all(|text| told.iter().any(|seen| seen == text)), "{told:?}");
        worker.session.troubles_request().send().promise.await.unwrap();
        assert!(!seen().await.contains(&expected[1].to_owned()), "it is over");
    });
}

fn tell(program: &str) -> NoticeConfig {
    NoticeConfig {
        events: vec![Transition::NewlyFailing],
        by: Means::Command(vec![program.to_owned()]),
        projects: vec!["*".to_owned()],
        branches: vec!["*".to_owned()],
        remind: None,
    }
}

/// Whether a finding is about a disk. Tests ignore it, because the disk of the machine may really be nearly full.
fn is_disk(finding: &Finding) -> bool {
    finding.subject.starts_with("disk of ")
}

/// Returns the findings that are not good, in order. Waits for some time until they are as expected.
async fn told(house: &House, steady: impl Fn(&str) -> String, expected: &str) -> String {
    let mut text = String::new();
    for _ in 0..400 {
        let findings = house.guild.examine().await.unwrap();
        let wrong = findings.iter().filter(|finding| finding.verdict != Health::Good && !is_disk(finding));
        let mut lines: Vec<String> =
            wrong.map(|it| format!("{} {}: {}\n", it.verdict.word(), it.subject, steady(&it.remedy))).collect();
        lines.sort();
        text = lines.concat();
        if text == expected {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    text
}
