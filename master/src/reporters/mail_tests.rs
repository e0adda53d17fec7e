//! What a message looks like, and who gets it, whatever a commit says of its author.

use super::*;
use crate::coordinator::record::Turn;
use crate::reporters::notice::{NoticeCommit, NoticeStep, Place};

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
    };
    Notice {
        id: "0123".to_owned(),
        kind: Turn::NewlyFailing,
        project: "pyfoo".to_owned(),
        branch: "main".to_owned(),
        job: "test@linux".to_owned(),
        build: 412,
        selector: "pyfoo/412/test@linux".to_owned(),
        url: Some("https://ci.example.org/p/pyfoo/412/test@linux".to_owned()),
        commit: "3f9c2ab000000000000000000000000000000000".to_owned(),
        last_good: Some(Place { commit: "8a1b2c3000000000000000000000000000000000".to_owned(), build: 408 }),
        last_bad: None,
        fixes: None,
        commits: authors.iter().map(commit).collect(),
        commits_left_out: 2,
        authors,
        step: Some(NoticeStep { number: 2, name: "tests".to_owned(), exit: "exit code 1".to_owned() }),
        log: "assert 1 == 2\nfailed".to_owned(),
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
        "Subject: [pyfoo] test@linux failing since 3f9c2ab on main",
        "Message-ID: <0123@example.org>",
        "Date: Tue, 14 Nov 2023 22:13:20 +0000",
        "Auto-Submitted: auto-generated",
    ] {
        assert!(head.lines().any(|other| other == line), "{line} in {head}");
    }
    let wanted = "test@linux of pyfoo fails on main since 3f9c2ab.\r\n\r\n\
        \x20 build     pyfoo/412/test@linux\r\n\
        \x20 page      https://ci.example.org/p/pyfoo/412/test@linux\r\n\
        \x20 step      2 \"tests\", exit code 1\r\n\
        \x20 last good 8a1b2c3 (pyfoo/408)\r\n\r\n\
        Commits since it was good:\r\n\r\n\
        \x20 3f9c2ab  Ann  Add zero-copy parse\r\n\
        \x20 and 2 more\r\n\r\n\
        The end of the log:\r\n\r\n\
        \x20   assert 1 == 2\r\n\
        \x20   failed\r\n\r\n\
        All of it: guild logs pyfoo/412/test@linux\r\n";
    assert_eq!(body.trim_end(), wanted.trim_end());
}

#[test]
fn a_fix_answers_the_failure() {
    let notice = Notice { kind: Turn::Fixed, fixes: Some("0007".to_owned()), ..notice(Vec::new()) };
    let (text, _) = write(&[Recipient::Address("team@example.org".to_owned())], &notice);
    assert!(text.contains("\r\nIn-Reply-To: <0007@example.org>\r\n"), "{text}");
    assert!(text.contains("\r\nSubject: [pyfoo] test@linux fixed by 3f9c2ab on main\r\n"), "{text}");
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

#[test]
fn only_this_machine_gets_a_password_in_the_clear() {
    assert!(["localhost", "127.0.0.1", "::1"].into_iter().all(is_this_machine));
    assert!(["mail.example.org", "localhost.example.org", "10.0.0.1"].into_iter().all(|host| !is_this_machine(host)));
}
