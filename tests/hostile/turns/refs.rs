//! Repositories with huge commit messages, or with thousands of refs.

use super::{Lull, PIPELINE, build_of};
use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Command, Stdio};
use std::time::Instant;
use support::guild::{House, Repo, run};

/// Makes a commit on a new branch. The message comes from a file, so it may be longer than a command line.
fn commit_saying(repo: &Repo, branch: &str, message: &[u8], author: &str) {
    let file = repo.path.join(".git/message");
    std::fs::write(&file, message).unwrap();
    repo.git(&["checkout", "-q", "-b", branch]);
    let file = file.to_str().unwrap();
    // the commit says an encoding other than UTF-8, because git would else mend the bytes in a time that grows as their square
    let (author, encoding) = (format!("user.name={author}"), "i18n.commitEncoding=ISO-8859-1");
    let options = ["--quiet", "--allow-empty", "--cleanup=verbatim", "-F", file];
    repo.git(&[&["-c", &author, "-c", encoding, "commit"][..], &options].concat());
    repo.git(&["checkout", "-q", "main"]);
}

/// Texts of commits that are too long are cut, and other branches of the project are still built.
#[test]
fn what_commits_say_is_cut_and_stops_no_other_branch() {
    run(async {
        let house = House::open(PIPELINE).await;
        build_of(&house, "first").await;
        let long = "x".repeat(2 << 20);
        commit_saying(&house.repo, "subject", long.as_bytes(), "Tester");
        commit_saying(&house.repo, "body", format!("short\n\n{long}").as_bytes(), "Tester");
        commit_saying(&house.repo, "latin", &[b'\xe9'; 2 << 20], "Tester");
        commit_saying(&house.repo, "author", b"signed", &"a".repeat(100_000));
        // and a branch whose name is not UTF-8
        let mut name = Command::new("git");
        name.arg("-C").arg(&house.repo.path).args(["update-ref"]).arg(OsStr::from_bytes(b"refs/heads/b\xff"));
        assert!(name.arg("HEAD").status().unwrap().success());
        house.repo.commit("a", "", "later");
        build_of(&house, "later").await;
        let cut = build_of(&house, &format!("{}…", "x".repeat(299))).await;
        assert_eq!(cut.ref_name, "refs/heads/subject");
        assert_eq!(build_of(&house, "short").await.ref_name, "refs/heads/body");
        let signed = build_of(&house, "signed").await;
        assert!(signed.author.ends_with('…') && signed.author.len() < 400, "{}", signed.author);
        house.repo.commit("a", "1", "after all of them");
        build_of(&house, "after all of them").await;
    });
}

#[test]
fn many_refs_stall_nobody() {
    run(async {
        let house = House::open(PIPELINE).await;
        build_of(&house, "first").await;
        let tip = house.repo.git(&["rev-parse", "HEAD"]);
        let mut update = Command::new("git");
        update.arg("-C").arg(&house.repo.path).args(["update-ref", "--stdin"]).stdin(Stdio::piped());
        let mut update = update.spawn().unwrap();
        let lines: String = (0..3_000).map(|at| format!("create refs/tags/t{at} {tip}\n")).collect();
        update.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        assert!(update.wait().unwrap().success());
        house.repo.git(&["pack-refs", "--all"]);
        house.repo.commit("a", "", "beside many tags");
        let (lull, began) = (Lull::begin(), Instant::now());
        build_of(&house, "beside many tags").await;
        println!(
            "beside 3,000 tags: built after {:?}, the one thread stood still for {:?}",
            began.elapsed(),
            lull.end()
        );
    });
}
