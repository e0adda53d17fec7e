//! Checks the Dockerfile as far as that is possible without building it. The files that it copies exist, it names the programs of
//! the workspace, and its health check can tell whether a master works.

use crate::{read, top};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

/// Returns the instructions of the Dockerfile, each as its word and the rest of its line.
fn instructions() -> Vec<(String, String)> {
    let text = read("Dockerfile");
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    let joined = lines.join("\n").replace("\\\n", " ");
    let split = |line: &str| line.split_once(' ').map(|(word, rest)| (word.to_owned(), rest.trim().to_owned()));
    joined.lines().filter_map(split).collect()
}

fn all(word: &str) -> Vec<String> {
    instructions().into_iter().filter(|(name, _)| name == word).map(|(_, rest)| rest).collect()
}

/// Returns the words that follow an option, for example the packages of each `-p`.
fn after<'t>(text: &'t str, option: &str) -> Vec<&'t str> {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.windows(2).filter(|pair| pair[0] == option).map(|pair| pair[1]).collect()
}

fn workspace() -> toml::Table {
    read("Cargo.toml").parse().unwrap()
}

fn version(text: &str) -> Vec<u32> {
    text.split('.').map(|number| number.parse().unwrap()).collect()
}

#[test]
fn the_whole_workspace_is_copied() {
    let sources = all("COPY").into_iter().filter(|rest| !rest.starts_with("--from"));
    let copied: Vec<String> =
        sources.flat_map(|rest| rest.split(' ').rev().skip(1).map(str::to_owned).collect::<Vec<_>>()).collect();
    for source in &copied {
        assert!(top().join(source).exists(), "the Dockerfile copies {source}, which is not there");
    }
    let members = workspace()["workspace"]["members"].as_array().unwrap().clone();
    let members = members.iter().filter_map(|member| member.as_str().map(str::to_owned));
    for needed in members.chain(["Cargo.toml", "Cargo.lock"].map(str::to_owned)) {
        // the directory of a member may be within that of another one
        let is_copied = Path::new(&needed).ancestors().any(|part| copied.iter().any(|copy| Path::new(copy) == part));
        assert!(is_copied, "the Dockerfile does not copy {needed}, without which cargo does not build");
    }
}

#[test]
fn its_programs_are_those_of_the_packages_that_it_builds() {
    let build = all("RUN").into_iter().find(|run| run.contains("cargo build")).unwrap();
    for option in ["--profile dist", "--bins", "--locked"] {
        assert!(format!("{build} ").contains(&format!(" {option} ")), "`{build}` lacks {option}");
    }
    let members = workspace()["workspace"]["members"].as_array().unwrap().clone();
    let members: Vec<&str> = members.iter().filter_map(|member| member.as_str()).collect();
    let bins = after(&build, "-p").into_iter().flat_map(|package| {
        // a package has the same name as its folder, wherever that is
        let folder = members.iter().find(|member| Path::new(member).ends_with(package)).unwrap();
        let manifest: toml::Table = read(&format!("{folder}/Cargo.toml")).parse().unwrap();
        let bins = manifest["bin"].as_array().unwrap().clone();
        bins.into_iter().map(|bin| format!("/src/target/dist/{}", bin["name"].as_str().unwrap()))
    });
    let mut bins: Vec<String> = bins.collect();
    bins.sort();
    let taken = all("COPY").into_iter().find(|rest| rest.starts_with("--from=build ")).unwrap();
    let mut taken: Vec<&str> = taken.split(' ').skip(1).collect();
    assert_eq!(taken.pop(), Some("/usr/local/bin/"));
    taken.sort_unstable();
    assert_eq!(taken, bins);
}

#[test]
fn its_images_fit() {
    let froms = all("FROM");
    let images: Vec<&str> = froms.iter().map(|from| from.split(' ').next().unwrap()).collect();
    assert!(images.iter().all(|image| !image.contains('/')), "no registry's host: {images:?}");
    let (rust, debian) = (images[0].strip_prefix("rust:").unwrap(), images[1].strip_prefix("debian:").unwrap());
    let (compiler, base) = rust.split_once("-slim-").unwrap();
    let wanted = workspace()["workspace"]["package"]["rust-version"].as_str().unwrap().to_owned();
    assert!(version(compiler) >= version(&wanted), "rust {compiler} does not build what needs {wanted}");
    // a program needs the C library with which it was built, or a newer one
    assert_eq!(debian.split_once('-').unwrap().0, base);
    let install = all("RUN").into_iter().find(|run| run.contains("apt-get install")).unwrap();
    let packages = install.split("--no-install-recommends ").nth(1).unwrap().split("&&").next().unwrap();
    assert_eq!(packages.split_whitespace().collect::<Vec<_>>(), ["git", "ca-certificates", "openssh-client"]);
}

#[test]
fn it_runs_a_master_as_nobody_in_particular() {
    assert_eq!(all("USER"), ["guild"]);
    let [volume, workdir] = ["VOLUME", "WORKDIR"].map(|word| all(word).pop().unwrap());
    assert_eq!(volume, workdir, "the master file is looked for where state lasts");
    let words: Vec<String> = serde_json::from_str(&all("CMD")[0]).unwrap();
    master::program::arguments::command().try_get_matches_from(words).unwrap();
}

/// Whether the health check succeeds with this master file and this answer of the pages.
fn is_well(dir: &Path, text: &str, answer: Option<&'static str>) -> bool {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let file = dir.join("master.toml");
    std::fs::write(&file, text).unwrap();
    let check = all("HEALTHCHECK").pop().unwrap();
    let words: Vec<String> = serde_json::from_str(check.split_once("CMD ").unwrap().1).unwrap();
    let script =
        words[2].replace("/srv/guild/master.toml", &file.to_string_lossy()).replace("/8080", &format!("/{port}"));
    // if there is no answer, nobody listens
    let listener = answer.map(|answer| (answer, listener));
    let pages = std::thread::spawn(move || {
        let Some((answer, listener)) = listener else { return };
        let (mut connection, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(&connection).lines().map(Result::unwrap);
        let request: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
        assert_eq!(request, ["GET /healthz HTTP/1.1", "Host: localhost", "Connection: close"]);
        connection.write_all(answer.as_bytes()).unwrap();
    });
    let status = Command::new(&words[0]).args([&words[1], &script]).output().unwrap().status;
    pages.join().unwrap();
    status.success()
}

#[test]
fn its_health_check_asks_the_pages_where_there_are_some() {
    let dir = tempfile::tempdir().unwrap();
    let pages = master::config::starter("ci.example.org:7711", None, Some("0.0.0.0:8080"), None).unwrap();
    let no_pages = master::config::starter("ci.example.org:7711", None, None, None).unwrap();
    assert!(is_well(dir.path(), &pages, Some("HTTP/1.1 200 OK\r\n\r\nok\n")));
    assert!(!is_well(dir.path(), &pages, Some("HTTP/1.1 503 Service Unavailable\r\n\r\n")));
    assert!(!is_well(dir.path(), &pages, None));
    assert!(is_well(dir.path(), &no_pages, None));
    assert!(is_well(dir.path(), "", None), "a worker has no master file");
}
