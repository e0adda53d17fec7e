//! Tests of findings as a person reads them.

use super::credential::{judge_credential, judge_key};
use super::link::{Way, judge_way};
use super::*;
use client::context::{Context, Contexts};
use client::views::GrantView;
use schema::identity::{Identity, IdentityError};
use schema::sturdy_ref::{CapFileError, Fingerprint, SturdyRef, SturdyRefError, Token};
use schema::values::{GrantKind, Refusal, RefusalCode, Right, Time, What};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

fn text(findings: &[Finding]) -> String {
    let line = |it: &Finding| {
        assert_eq!(it.remedy.is_empty(), it.verdict == Health::Good, "{it:?}");
        let remedy = if it.remedy.is_empty() { String::new() } else { format!("\n  {}", it.remedy) };
        format!("{} {}: {}{remedy}\n", it.verdict.word(), it.subject, it.seen)
    };
    findings.iter().map(line).collect()
}

fn context() -> Context {
    Context {
        name: "work".to_owned(),
        credential: PathBuf::from("/c/work.cap"),
        identity: PathBuf::from("/c/identity.key"),
        repository: None,
    }
}

#[test]
fn credentials_and_keys_are_one_s_own() {
    let path = || PathBuf::from("/c/work.cap");
    let gone = || io::Error::other("it is gone");
    let anew = "run `guild login FILE` with a file that `guild grant issue` wrote; ask the master's operator for one";
    let found = [
        judge_credential(&context(), None),
        judge_credential(&context(), Some(&CapFileError::Exposed { path: path(), mode: 0o644 })),
        judge_credential(&context(), Some(&CapFileError::Malformed { path: path(), source: SturdyRefError::Empty })),
        judge_key(&context(), None),
        judge_key(&context(), Some(&IdentityError::Exposed { path: path(), mode: 0o640 })),
        judge_key(&context(), Some(&IdentityError::Unreadable { path: path(), source: gone() })),
    ];
    let expected = format!(
        "good credential: /c/work.cap, of context work\n\
         bad credential: others can read /c/work.cap (mode 0644): run `chmod 600 /c/work.cap`\n  chmod 600 /c/work.cap\n\
         bad credential: /c/work.cap is not a credential: no credential in it: expected a line \
         `capnp://sha-256:...@host:port/...`\n  {anew}\n\
         good key: /c/identity.key\n\
         bad key: others can read the key /c/work.cap (mode 0640): run `chmod 600 /c/work.cap`\n  chmod 600 /c/work.cap\n\
         bad key: cannot read the key /c/work.cap: it is gone\n  \
         put back the key that redeemed the credential, or {anew}\n"
    );
    assert_eq!(text(&found), expected);
}

#[test]
fn a_look_makes_no_key() {
    let directory = tempfile::tempdir().unwrap();
    let contexts = Contexts::at(directory.path().join("guild"));
    let opened = credential(contexts.choose(None, None, directory.path()));
    assert_eq!((opened.findings.len(), opened.usable.err().unwrap().exit_code()), (1, 5));
    let context = contexts.save("work").unwrap();
    let reference = SturdyRef {
        fingerprint: Fingerprint([1; 32]),
        addresses: vec!["localhost:1".to_owned()],
        token: Token::random(),
    };
    reference.save(&context.credential).unwrap();
    let opened = credential(Ok(context.clone()));
    let verdicts: Vec<Health> = opened.findings.iter().map(|finding| finding.verdict).collect();
    assert_eq!((verdicts, opened.usable.is_err()), (vec![Health::Good, Health::Bad], true));
    assert!(!context.identity.exists());
    Identity::load_or_create(&context.identity).unwrap();
    assert!(credential(Ok(context)).usable.is_ok());
}

#[test]
fn addresses_lead_to_a_master_or_not() {
    let to = "192.0.2.7:7711".parse().unwrap();
    let refused = || Way::Refused { to, error: io::Error::other("connection refused") };
    let found = [
        judge_way("ci:7711", &Way::Connected { to, took: Duration::from_micros(1_240) }, true),
        judge_way("ci:7711", &Way::NoName(io::Error::other("no such name")), false),
        judge_way("ci:7711", &refused(), false),
        judge_way("ci:7711", &refused(), true),
        judge_way("ci:7711", &Way::Silent, false),
    ];
    let run = "run `guild-master run` there, and make `rpc` in [listen] of the master file reachable from this machine";
    let expected = format!(
        "good address ci:7711: 192.0.2.7:7711 accepts connections, after 1.2 ms\n\
         bad address ci:7711: its name cannot be looked up: no such name\n  \
         try `getent hosts ci`; the addresses in credentials come from `advertise` in [listen] of the master file\n\
         bad address ci:7711: 192.0.2.7:7711: connection refused\n  {run}\n\
         warned address ci:7711: 192.0.2.7:7711: connection refused\n  {run}\n\
         bad address ci:7711: no answer within 10 s\n  \
         check that the machine is up, and that its firewall is open for the port of `rpc` in [listen] of the master file\n"
    );
    assert_eq!(text(&found), expected);
}

#[test]
fn a_link_is_the_master_s_or_not() {
    let fingerprint = Fingerprint([0; 32]);
    let reference = SturdyRef { fingerprint, addresses: Vec::new(), token: Token::random() };
    let revoked = Error::from(Refusal::new(RefusalCode::Revoked, "grant 7 (ada) was revoked: gone"));
    let other = Error::Credential { credential: "the credential".to_owned(), why: "another key".to_owned() };
    let protocol = Error::Protocol("it speaks version 2 of the protocol".to_owned());
    let found = [
        link(&reference, Ok(Duration::from_micros(400))),
        link(&reference, Ok(Duration::from_millis(1_500))),
        link(&reference, Err(&revoked)),
        link(&reference, Err(&other)),
        link(&reference, Err(&protocol)),
    ];
    let is = format!("the master has the key {fingerprint}, speaks our protocol and answers within");
    let expected = format!(
        "good link: {is} 0.4 ms\n\
         warned link: {is} 1500.0 ms\n  check the network (ping) and the load of the master's machine (uptime)\n\
         bad link: grant 7 (ada) was revoked: gone\n  \
         ask the master's operator for a new credential, then run `guild login FILE`\n\
         bad link: the credential: another key\n  \
         ask the master's operator for a new grant, then run `guild login FILE`\n\
         bad link: the master's answer cannot be understood: it speaks version 2 of the protocol\n  \
         use the `guild` of the master's version, which `guild-master --version` shows there\n"
    );
    assert_eq!(text(&found), expected);
    let statuses = [&revoked, &other, &protocol].map(|error| status(&found, Some(error)));
    assert_eq!((statuses, status(&found, None), status(&found[..2], None)), ([5, 5, 6], 4, 0));
}

#[test]
fn a_grant_that_ends_is_told_in_time() {
    const DAY: u64 = 86_400_000;
    let now = Time(1_700_000_000_000);
    let view = |age: u64, left: Option<u64>| GrantView {
        id: 7,
        parent: 2,
        kind: GrantKind::User,
        name: "ada".to_owned(),
        what: What { may: [Right::View, Right::Run].into(), projects: ["pyfoo".to_owned()].into(), ..What::default() },
        created: Some(Time(now.0 - age)),
        expires: left.map(|left| Time(now.0 + left)),
        revoked: None,
        holder: String::new(),
        reason: String::new(),
    };
    let seen =
        [view(DAY, None), view(90 * DAY, Some(3 * DAY)), view(90 * DAY, Some(30 * DAY)), view(DAY / 2, Some(DAY / 4))];
    let is = "grant of ada: user, may view, run in pyfoo";
    let expected = format!(
        "good {is}\n\
         warned {is}, ends in 3d\n  ask the master's operator for a new grant, then run `guild login FILE`\n\
         good {is}, ends in 30d\n\
         good {is}, ends in 6h\n"
    );
    assert_eq!(text(&seen.map(|grant| super::grant(&grant, now))), expected);
}

#[test]
fn git_runs_or_not() {
    assert_eq!(
        text(&[git(Some("git version 2.47.3")), git(None)]),
        "good git: git version 2.47.3\n\
         warned git: it does not run, so the repository here is not recognised\n  \
         install git, and make sure that PATH finds it: git --version\n"
    );
}
