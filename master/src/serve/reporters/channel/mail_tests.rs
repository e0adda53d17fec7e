//! The form and the recipients of mails, whatever the authors of commits are.

use super::*;
use crate::decide::coordinator::record::Transition;
use crate::serve::reporters::failed_tests::{NoticeTest, NoticeTests};
use crate::serve::reporters::notice::{self, CommitResult, NoticeCommit, NoticeJob, NoticeStep};

fn mail() -> MailConfig {
    let from = "Guild <guild@example.org>".to_owned();
    MailConfig { host: "localhost".to_owned(), port: 25, from, login: None }
}

fn author(name: &str, email: &str) -> Author {
    Author { name: name.to_owned(), email: email.to_owned() }
}

fn notice(authors: Vec<Author>) -> Notice {
    let commit = |author: &Author| NoticeCommit {
        commit: "3f9c2ab000000000000000000000000000000000".to_owned(),
        author: author.clone(),
        subject: "Add zero-copy parse".to_owned(),
        time: Time(0),
        committer: author.clone(),
        co_authors: Vec::new(),
        undone_with: None,
        may_undo_more: false,
    };
    let job = job("test@linux", "assert 1 == 2\nfailed");
    Notice {
        id: "0123".to_owned(),
        kind: Transition::NewlyFailing,
        project: "pyfoo".to_owned(),
        branch: "main".to_owned(),
        job: job.job.clone(),
        build: 412,
        selector: job.selector.clone(),
        url: job.url.clone(),
        commit: "3f9c2ab000000000000000000000000000000000".to_owned(),
        last_good: job.last_good.clone(),
        last_bad: None,
        fixes: None,
        reminds: None,
        claims: Vec::new(),
        commits: authors.iter().map(commit).collect(),
        commits_left_out: 2,
        authors,
        step: job.step.clone(),
        log: job.log.clone(),
        commit_subject: "Add zero-copy parse".to_owned(),
        reproduce: vec!["guild logs pyfoo/412/test@linux".to_owned(), "make\nmake test".to_owned()],
        jobs: vec![job],
    }
}

fn job(name: &str, log: &str) -> NoticeJob {
    let result = |commit: &str, build| CommitResult { commit: format!("{commit}{}", "0".repeat(33)), build };
    let step = ("tests".to_owned(), "exit code 1".to_owned(), "make test".to_owned());
    NoticeJob {
        job: name.to_owned(),
        selector: format!("pyfoo/412/{name}"),
        url: Some(format!("https://ci.example.org/p/pyfoo/412/{name}")),
        since: result("3f9c2ab", 412),
        last_good: Some(result("8a1b2c3", 408)),
        step: Some(NoticeStep {
            number: 2,
            name: step.0,
            exit: step.1,
            command: step.2,
            failing_tests: Vec::new(),
            failing_test_count: 0,
        }),
        log: log.to_owned(),
        tests: None,
    }
}

fn write(to: &[Recipient], notice: &Notice) -> (String, Vec<String>) {
    let letter = Letter::write(&mail(), to, notice, Time(1_700_000_000_000)).unwrap().unwrap();
    (String::from_utf8(letter.message).unwrap(), letter.to.iter().map(ToString::to_string).collect())
}

#[test]
fn a_message() {
    let to = [Recipient::Blame, Recipient::Address("team@example.org".to_owned())];
    let (text, to) = write(&to, &notice(vec![author("Ann", "ann@example.org")]));
    assert_eq!(to, ["ann@example.org", "team@example.org"]);
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    for line in [
        "From: Guild <guild@example.org>",
        "To: Ann <ann@example.org>, team@example.org",
        "Subject: [pyfoo] test@linux failing since 3f9c2ab000 on main",
        "Message-ID: <0123@example.org>",
        "Date: Tue, 14 Nov 2023 22:13:20 +0000",
        "Auto-Submitted: auto-generated",
    ] {
        assert!(head.lines().any(|other| other == line), "{line} in {head}");
    }
    let wanted = "test@linux of pyfoo has failed on main since 3f9c2ab000.\r\n\r\n\
        \x20 commit    3f9c2ab000  Add zero-copy parse\r\n\
        \x20 build     pyfoo/412/test@linux\r\n\
        \x20 page      https://ci.example.org/p/pyfoo/412/test@linux\r\n\
        \x20 step      2 \"tests\", exit code 1\r\n\
        \x20 last good 8a1b2c3000 (pyfoo/408)\r\n\r\n\
        Commits since it was good:\r\n\r\n\
        \x20 3f9c2ab000  Ann  Add zero-copy parse\r\n\
        \x20 and 2 more\r\n\r\n\
        The end of the log:\r\n\r\n\
        \x20   assert 1 == 2\r\n\
        \x20   failed\r\n\r\n\
        These commands show more, or repeat the failure:\r\n\r\n\
        \x20 guild logs pyfoo/412/test@linux\r\n\
        \x20 make\r\n\
        \x20 make test\r\n";
    assert_eq!(body.trim_end(), wanted.trim_end());
}

#[test]
fn a_message_names_the_tests_that_failed() {
    let mut notice = notice(vec![author("Ann", "ann@example.org")]);
    let step = notice.jobs[0].step.as_mut().unwrap();
    step.failing_tests = vec!["a.B › breaks_here".to_owned(), "a.B › two\n  commit    of my own".to_owned()];
    step.failing_test_count = 9;
    let (text, _) = write(&[Recipient::Blame], &notice);
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(body.contains("commit    of my own"), "{body}");
    let lines: Vec<&str> = body.lines().map(str::trim_end).collect();
    assert!(!lines.contains(&"  commit    of my own"), "a name keeps to its line: {body}");
    let text = notice.text();
    let wanted = "\x20 failed    a.B › breaks_here\n\
        \x20           a.B › two   commit    of my own\n\
        \x20           and 7 more\n";
    assert!(text.contains(wanted), "{text}");
    notice.jobs[0].step.as_mut().unwrap().failing_tests.clear();
    assert!(notice.text().contains("  failed    9 tests\n"), "{}", notice.text());
}

#[test]
fn a_message_tells_which_tests_fail_newly() {
    let mut notice = notice(vec![author("Ann", "ann@example.org")]);
    notice.jobs[0].step.as_mut().unwrap().failing_tests = vec!["a.B › breaks_here".to_owned(), "old".to_owned()];
    let test = NoticeTest { number: 12, name: "a.B › breaks_here".to_owned() };
    let (newly_failing, still_failing_count) = (vec![test], 4);
    notice.jobs[0].tests =
        Some(NoticeTests { newly_failing, newly_failing_count: 1, still_failing_count, flaky_count: 0 });
    let text = notice.text();
    let wanted = "  failed    1 test newly, 4 failed before\n            a.B › breaks_here (test 12)\n";
    assert!(text.contains(wanted) && !text.contains("old"), "{text}");
    let json = serde_json::to_value(&notice).unwrap();
    let expected = serde_json::json!({"newly_failing": [{"number": 12, "name": "a.B › breaks_here"}],
        "newly_failing_count": 1, "still_failing_count": 4, "flaky_count": 0});
    assert_eq!(json["jobs"][0]["tests"], expected);
}

#[test]
fn a_message_of_several_lanes_names_each() {
    let mut notice = notice(vec![author("Ann", "ann@example.org")]);
    notice.jobs.extend([job("lint", "too long"), job("doc", ""), job("fmt", "")]);
    notice.commits[0].committer = author("Bob", "bob@example.org");
    notice.authors = notice::authors(&notice.commits);
    let (text, to) = write(&[Recipient::Blame], &notice);
    assert_eq!(to, ["ann@example.org", "bob@example.org"]);
    for part in [
        "Subject: [pyfoo] test@linux, lint, doc and 1 more failing since 3f9c2ab000",
        "\r\ntest@linux, lint, doc, fmt of pyfoo have failed on main since 3f9c2ab000.\r\n",
        "\r\nlint:\r\n\r\n  build     pyfoo/412/lint\r\n",
        "\r\nThe end of the log of lint:\r\n\r\n    too long\r\n",
        "\r\n  3f9c2ab000  Ann (committed by Bob)  Add zero-copy parse\r\n",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    notice.kind = Transition::Fixed;
    let text = notice.text();
    let head = "main of pyfoo is good again since 3f9c2ab000. It failed in test@linux, lint, doc, fmt.\n";
    assert!(text.contains(head), "{text}");
}

/// Mail goes to the author of a commit before its committer, which may be a program (C48 in `tests/cases.tsv`).
#[test]
fn who_made_a_commit_is_named_before_who_put_it_there() {
    let commit = |by: &str, put: &str| NoticeCommit {
        committer: author("C", put),
        ..notice(vec![author("A", by)]).commits.remove(0)
    };
    let commits = [
        commit("bob@x.example", "bob@x.example"),
        commit("ann@x.example", "BOB@x.example"),
        commit("eve@x.example", "noreply@forge.example"),
        commit("dan@x.example", "cat@x.example"),
    ];
    let named: Vec<String> = notice::authors(&commits).into_iter().map(|author| author.email).collect();
    assert_eq!(named, ["bob@x.example", "ann@x.example", "eve@x.example", "dan@x.example", "cat@x.example"]);
}

#[test]
fn co_authors_are_named_and_who_took_back_a_change_is_not() {
    let commit = |name: &str, undone_with: Option<&str>| NoticeCommit {
        undone_with: undone_with.map(str::to_owned),
        ..notice(vec![author(name, &format!("{name}@x.example"))]).commits.remove(0)
    };
    let names = |commits: &[NoticeCommit]| {
        let authors = notice::authors(commits).into_iter();
        authors.map(|author| author.name).collect::<Vec<_>>().join(" ")
    };
    let mut together = commit("ann", None);
    together.co_authors = vec![author("bot", "noreply@forge.example"), author("bob", "bob@x.example")];
    let undone = [commit("eve", Some("3f9c2ab")), commit("dan", Some("3f9c2ab"))];
    assert_eq!(names(&[undone[0].clone(), together, undone[1].clone()]), "ann bob");
    assert_eq!(names(&undone), "eve dan", "something broke it");
}

#[test]
fn a_revert_that_was_not_read_to_its_end_says_so() {
    let mut notice = notice(vec![author("ann", "ann@x.example")]);
    assert!(!notice.text().contains("revert"), "{}", notice.text());
    notice.commits[0].may_undo_more = true;
    let said = "ann  Add zero-copy parse  (may revert more than could be read)\n";
    assert!(notice.text().contains(said), "{}", notice.text());
}

#[test]
fn a_reminder_says_how_to_stop_it() {
    let mut notice = notice(vec![author("ann", "ann@x.example")]);
    assert!(!notice.text().contains("guild claim"), "the first notice reminds of nothing");
    notice.reminds = Some("0007".to_owned());
    notice.jobs.push(job("lint", ""));
    let said = "looks after it.\n\nTo stop these reminders, say that you do: guild claim pyfoo/main -m WHY\n\n";
    assert!(notice.text().contains(said), "one command is for all jobs: {}", notice.text());
    notice.branch = "it's;mine".to_owned();
    assert!(notice.text().contains(r"guild claim 'pyfoo/it'\''s;mine' -m WHY"), "{}", notice.text());
    notice.jobs.push(job("guild.toml", ""));
    assert!(!notice.text().contains("guild claim"), "a pipeline that cannot be read has no claim: {}", notice.text());
}

#[test]
fn a_fix_answers_the_failure() {
    let notice = Notice { kind: Transition::Fixed, fixes: Some("0007".to_owned()), ..notice(Vec::new()) };
    let (text, _) = write(&[Recipient::Address("team@example.org".to_owned())], &notice);
    assert!(text.contains("\r\nIn-Reply-To: <0007@example.org>\r\n"), "{text}");
    assert!(text.contains("\r\nSubject: [pyfoo] test@linux fixed by 3f9c2ab000 on main\r\n"), "{text}");
}

#[test]
fn no_author_writes_headers() {
    let hostile = vec![
        author("Eve\r\nBcc: all@example.org", "eve@example.org"),
        author("Eve", "eve@example.org\r\nBcc: all@example.org"),
        author("Eve", "eve@example.org> RCPT TO:<all@example.org"),
        author("Eve", "EVE@example.org"),
        author("Eve", ""),
        author("Eve", "nowhere"),
        author("Eve", "eve@\u{e9}xample.org"),
        author("\"Eve\" <x@y.example>,", "eve.two@example.org"),
        author("\u{c9}ve", "eve.three@example.org"),
        author("\u{1b}[31m", "eve.four@example.org"),
    ];
    let (text, to) = write(&[Recipient::Blame], &notice(hostile));
    assert_eq!(to, ["eve@example.org", "eve.two@example.org", "eve.three@example.org", "eve.four@example.org"]);
    let head = text.split_once("\r\n\r\n").unwrap().0;
    let names: Vec<&str> = head
        .split("\r\n")
        .filter(|line| !line.starts_with([' ', '\t']))
        .filter_map(|line| Some(line.split_once(':')?.0))
        .collect();
    assert!(!names.contains(&"Bcc"), "{head}");
    assert!(head.is_ascii() && !head.contains('\u{1b}'), "{head}");
}

#[test]
fn with_nobody_left_there_is_no_message() {
    let nobody = notice(vec![author("Eve", "nowhere")]);
    assert!(Letter::write(&mail(), &[Recipient::Blame], &nobody, Time(0)).unwrap().is_none());
}
