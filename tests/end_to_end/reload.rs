//! A master whose file changes while it runs: projects are added and removed, and a file with a mistake changes nothing.

use client::{BuildQuery, Error};
use master::config::Config;
use schema::values::{Difference, GrantKind, NewProject, Outcome, RefusalCode, What};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use support::guild::{House, Played, Repo, run, work};
use support::http::{ask, get, signed};

const PIPELINE: &str = "version = 1\n[job.greet]\nrun = \"echo hello\"\n";

fn file(house: &House) -> PathBuf {
    house.dir.path().join("master.toml")
}

/// Makes the master run from a master file with the same settings, and with `more` in the table of the project.
fn from_file(config: &mut Config, more: &str) {
    let dir = config.state.parent().unwrap().to_owned();
    let (state, rpc, repo) = (config.state.display(), &config.listen.rpc, &config.projects["demo"].repo);
    let text = format!(
        "version = 1\nstate = '{state}'\ninclude = ['projects/*.toml']\n[listen]\nrpc = '{rpc}'\nadvertise = ['{rpc}']\n\
         web = '127.0.0.1:0'\n[defaults.project]\npoll = '100ms'\n[project.demo]\nrepo = '{repo}'\n{more}\n"
    );
    std::fs::write(dir.join("master.toml"), text).unwrap();
    *config = Config::load(&dir.join("master.toml")).unwrap();
}

fn write(house: &House, change: impl Fn(String) -> String) {
    let text = std::fs::read_to_string(file(house)).unwrap();
    std::fs::write(file(house), change(text)).unwrap();
}

fn refusal(error: Error) -> (RefusalCode, String) {
    match error {
        Error::Refused(refusal) => (refusal.code, format!("{refusal}")),
        other => panic!("{other}"),
    }
}

fn keys(found: &[Difference]) -> String {
    let keys: Vec<String> = found
        .iter()
        .map(|it| format!("{} {} -> {}{}", it.key, it.before, it.after, if it.needs_restart { " later" } else { "" }))
        .collect();
    keys.join("\n")
}

async fn built(worker: &Played) -> String {
    let (assignment, lease) = worker.take().await;
    lease.accept_request().send().promise.await.unwrap();
    work(&lease, b"hello\n", Outcome::Succeeded).await;
    assignment.project
}

fn names_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_project_is_added_and_builds() {
    run(async {
        let house = House::open_with(PIPELINE, |config| from_file(config, "")).await;
        let worker = house.worker("anvil").await;
        assert_eq!(built(&worker).await, "demo");
        let other = Repo::new(house.dir.path().join("other \"repo\""), PIPELINE);
        let project = NewProject {
            name: "other".to_owned(),
            repository: other.path.display().to_string(),
            branches: vec!["main".to_owned()],
            token: b"do not tell".to_vec(),
            hook_kind: "generic".to_owned(),
            ..NewProject::default()
        };
        let hook = house.guild.add_project(&project).await.unwrap();
        assert_eq!(built(&worker).await, "other");
        house.guild.outcome("other", 1).await.unwrap();

        // the next start reads the files that were written, and only the master's user can read secrets
        let folder = house.dir.path().join("projects");
        assert_eq!(names_in(&folder), ["other.hook", "other.token", "other.toml"]);
        let text = std::fs::read_to_string(folder.join("other.toml")).unwrap();
        assert!(!text.contains("do not tell") && !text.contains(&hook.secret), "{text}");
        for secret in ["other.hook", "other.token"] {
            let mode = std::fs::metadata(folder.join(secret)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{secret}");
        }
        assert_eq!(Config::load(&file(&house)).unwrap().projects["other"].branches, ["main"]);
        assert_eq!(house.guild.differences().await.unwrap(), []);

        // the hook of the new project works
        assert_eq!(hook.address, format!("{}/hook/other", house.pages));
        other.commit("more", "more", "second");
        let body = br#"{"ref":"refs/heads/main"}"#;
        let signed = format!("X-Guild-Signature: {}", signed(hook.secret.as_bytes(), body));
        let told = ask(&house.pages, "POST", "/hook/other", &[&signed], body).await;
        assert_eq!((told.status, told.text()), (200, "looked\n".to_owned()));
        // pages and hooks stay until the next start
        write(&house, |text| text.replace("web = '127.0.0.1:0'\n", ""));
        assert_eq!(keys(&house.guild.reload().await.unwrap()), "listen.web \"127.0.0.1:0\" ->  later");
        assert_eq!(ask(&house.pages, "POST", "/hook/other", &[&signed], body).await.status, 200);
        let builds =
            house.guild.builds(&BuildQuery { project: "other".to_owned(), limit: 10, ..BuildQuery::default() }).await;
        assert_eq!(builds.unwrap().len(), 2);
    });
}

#[test]
fn a_project_that_is_refused_leaves_nothing() {
    run(async {
        let house = House::open_with(PIPELINE, |config| from_file(config, "")).await;
        let base = NewProject {
            name: "other".to_owned(),
            repository: house.repo.path.display().to_string(),
            ..NewProject::default()
        };
        let nowhere = house.dir.path().join("nowhere").display().to_string();
        let cases = [
            (NewProject { name: "demo".to_owned(), ..base.clone() }, RefusalCode::Conflict, "already exists"),
            (
                NewProject { name: "../x".to_owned(), ..base.clone() },
                RefusalCode::Invalid,
                "is not a valid name for a project",
            ),
            (NewProject { repository: nowhere, ..base.clone() }, RefusalCode::Invalid, "project other: "),
            (NewProject { poll: "soon".to_owned(), ..base.clone() }, RefusalCode::Invalid, "projects/other.toml:3:8"),
            (NewProject { pools: vec!["gpu".to_owned()], ..base.clone() }, RefusalCode::Invalid, "the pool `gpu`"),
            (NewProject { tags: vec!["a\nb".to_owned()], ..base.clone() }, RefusalCode::Invalid, "control character"),
            (NewProject { hook_kind: "svn".to_owned(), ..base.clone() }, RefusalCode::Invalid, "not a kind of hook"),
        ];
        for (project, code, wanted) in cases {
            let project = NewProject { token: b"secret".to_vec(), ..project };
            let (seen, text) = refusal(house.guild.add_project(&project).await.unwrap_err());
            assert!(seen == code && text.contains(wanted), "{project:?}: {text}");
        }
        assert_eq!(names_in(&house.dir.path().join("projects")), [""; 0]);
        assert_eq!(names_in(&house.state().join("mirrors")), ["demo"]);
        assert_eq!(house.guild.projects().await.unwrap().len(), 1);

        // if the master file includes no files, a project cannot be added
        write(&house, |text| text.replace("include = ['projects/*.toml']\n", ""));
        house.guild.reload().await.unwrap();
        let (_, text) = refusal(house.guild.add_project(&base).await.unwrap_err());
        assert!(text.contains("does not include projects/other.toml"), "{text}");
    });
}

#[test]
fn a_reload_is_all_or_nothing() {
    run(async {
        let house = House::open_with(PIPELINE, |config| from_file(config, "")).await;
        let worker = house.worker("anvil").await;
        built(&worker).await;
        house.guild.outcome("demo", 1).await.unwrap();
        assert_eq!(house.guild.reload().await.unwrap(), []);
        assert_eq!(get(&house.pages, "/p/demo", &[]).await.status, 404);

        // the file has one good change and two mistakes, so the mistakes are reported and nothing is applied
        let good = std::fs::read_to_string(file(&house)).unwrap();
        write(&house, |text| format!("{text}public = true\npol = '1s'\npools = ['gpu']\n"));
        for error in [house.guild.differences().await.unwrap_err(), house.guild.reload().await.unwrap_err()] {
            let (code, text) = refusal(error);
            let told = text.contains("no key `pol`") && text.contains("the pool `gpu`");
            assert!(code == RefusalCode::Invalid && told, "{text}");
        }
        assert_eq!(get(&house.pages, "/p/demo", &[]).await.status, 404);

        // changes that can be applied now are applied, and the others are marked `later`
        write(&house, |_| format!("{good}public = true\n[limits]\nlease = '5m'\nlog_bytes = '1MiB'\n"));
        let wanted = "limits.lease \"10m\" -> \"5m\"\n\
                      limits.log_bytes 268435456 -> 1048576 later\n\
                      project.demo.public false -> true";
        assert_eq!(keys(&house.guild.differences().await.unwrap()), wanted);
        assert_eq!(keys(&house.guild.reload().await.unwrap()), wanted);
        assert_eq!(get(&house.pages, "/p/demo", &[]).await.status, 200);
        let left = house.guild.differences().await.unwrap();
        assert_eq!(keys(&left), "limits.log_bytes 268435456 -> 1048576 later");

        // the master still follows the repository
        house.repo.commit("more", "more", "second");
        built(&worker).await;
        house.guild.outcome("demo", 2).await.unwrap();
    });
}

#[test]
fn a_job_that_waits_goes_where_the_file_now_lets_it() {
    run(async {
        let house = House::open_with(PIPELINE, |config| from_file(config, "pools = ['big']\n[pool.big]")).await;
        let what = What { pools: ["small".to_owned()].into(), ..What::default() };
        let worker = Played::attach(house.enroll(GrantKind::Worker, "anvil", what).await, Vec::new()).await;
        let taking = worker.take();
        let change = async {
            support::guild::until("the job waits", || {
                let waiting = house.parts.driver.peek(|it, _| it.queue_length() == 1);
                capnp::capability::Promise::ok(waiting)
            })
            .await;
            write(&house, |text| text.replace("pools = ['big']", "pools = ['small', 'big']") + "[pool.small]\n");
            house.guild.reload().await.unwrap();
        };
        let ((assignment, _lease), ()) = tokio::join!(taking, change);
        assert_eq!(assignment.project, "demo");
    });
}

#[test]
fn a_project_that_the_file_no_longer_has_is_not_followed() {
    run(async {
        let house = House::open_with(PIPELINE, |config| from_file(config, "")).await;
        let worker = house.worker("anvil").await;
        built(&worker).await;
        house.guild.outcome("demo", 1).await.unwrap();
        let with = std::fs::read_to_string(file(&house)).unwrap();
        let (without, _) = with.split_once("[project.demo]").unwrap();
        std::fs::write(file(&house), without).unwrap();
        house.guild.reload().await.unwrap();
        assert_eq!(house.guild.projects().await.unwrap().len(), 0);
        house.repo.commit("more", "more", "second");
        // commits of the meantime are built when the project is back
        std::fs::write(file(&house), &with).unwrap();
        house.guild.reload().await.unwrap();
        built(&worker).await;
        house.guild.outcome("demo", 2).await.unwrap();
        assert_eq!(house.guild.builds(&BuildQuery { limit: 10, ..BuildQuery::default() }).await.unwrap().len(), 2);
    });
}
