//! Tests of the findings, as an operator reads them.

use super::disk::{Disk, Room};
use super::files::{NamedFile, Permissions};
use super::*;
use crate::config::Means;
use crate::decide::coordinator::record::{BuildCause, BuildId, BuildRow};
use crate::explain::{Member, Presence, Why};
use crate::intake::sources::Looks;
use crate::keep::health::{DeliveryHealth, Trouble};
use crate::keep::mirror::RefusedRef;
use schema::sturdy_ref::Fingerprint;
use schema::values::{Description, GrantKind, Outcome, SourceStamp, State, Trust};
use std::collections::BTreeSet;
use std::io;
use std::path::Path;

const NOW: Time = Time(1_700_000_000_000);
const HOUR: u64 = 3_600;

/// The time this many seconds ago.
fn ago(seconds: u64) -> Time {
    Time(NOW.0 - seconds * 1_000)
}

fn ahead(seconds: u64) -> Time {
    Time(NOW.0 + seconds * 1_000)
}

fn text<'f>(findings: impl IntoIterator<Item = &'f Finding>) -> String {
    let line = |it: &Finding| {
        assert_eq!(it.remedy.is_empty(), it.verdict == schema::values::Health::Good, "{it:?}");
        let remedy = if it.remedy.is_empty() { String::new() } else { format!("\n  {}", it.remedy) };
        format!("{} {}: {}{remedy}\n", it.verdict.word(), it.subject, it.seen)
    };
    findings.into_iter().map(line).collect()
}

/// Cases F5 and F12: damage of the store, and logs that cannot be written.
#[test]
fn a_store_is_sound_or_not_and_logs_can_be_written_or_not() {
    use crate::keep::soundness::Soundness;
    use crate::keep::write_health::WriteTrouble;
    let what = vec!["events: row 7 missing from index".to_owned(), "jobs: malformed".to_owned()];
    let found = [Soundness::Unknown, Soundness::Good { at: ago(90) }, Soundness::Damaged { at: ago(HOUR), what }];
    let mut judged: Vec<Finding> = found.iter().map(|found| soundness::judge(found, NOW)).collect();
    let text_of = "the log cannot be written: Read-only file system (os error 30)".to_owned();
    judged.push(disk::judge_writes(&WriteTrouble { logs: 2, lasts: Duration::from_secs(300), text: text_of }));
    assert_eq!(
        text(&judged),
        "good store: the master checks it for damage soon after each start\n\
         good store: no damage, checked 1m ago\n\
         bad store: damaged, seen 1h ago: events: row 7 missing from index; jobs: malformed\n  \
         keep your earlier backups; stop the master, and restore the newest good one: `guild-master begin-anew`, then \
         `guild-master restore`\n\
         bad disk of the logs: 2 logs cannot be written, for 5m: the log cannot be written: Read-only file system (os \
         error 30)\n  check the disk (`dmesg`, `mount`); workers keep the output, and send it when the disk works again\n"
    );
}

#[test]
fn a_disk_has_room_or_not() {
    let room = |total: u64, free: u64| Room { total: total << 30, free: free << 30, files: 0, files_free: 0 };
    let judge = |room: io::Result<Room>, is_full| {
        disk::judge(
            Path::new("/srv/guild"),
            &Disk { room, database: 3 << 20 },
            disk::KeptBytes { logs: Some(7 << 30), blobs: Some(0) },
            is_full,
        )
    };
    let few_files = Room { files: 1_000, files_free: 49, ..room(100, 50) };
    let judged = [
        judge(Ok(room(100, 10)), false),
        judge(Ok(room(100, 9)), false),
        judge(Ok(room(40, 4)), false),
        judge(Ok(room(4_000, 100)), false),
        judge(Ok(few_files), false),
        judge(Ok(room(100, 50)), true),
        judge(Err(io::Error::other("it is gone")), false),
    ];
    let has = "the database has 3.0 MiB, logs 7.0 GiB";
    let do_this = "\n  free some space there, or keep less: `retain` in [limits] of the master file\n";
    let expected = format!(
        "good disk of /srv/guild: 10.0 GiB of 100.0 GiB free; {has}\n\
         warned disk of /srv/guild: 9.0 GiB of 100.0 GiB free; {has}{do_this}\
         warned disk of /srv/guild: 4.0 GiB of 40.0 GiB free; {has}{do_this}\
         good disk of /srv/guild: 100.0 GiB of 4000.0 GiB free; {has}\n\
         warned disk of /srv/guild: room for 49 more files only; 50.0 GiB of 100.0 GiB free; {has}{do_this}\
         bad disk of /srv/guild: full: nothing new is recorded; 50.0 GiB of 100.0 GiB free; {has}{do_this}\
         bad disk of /srv/guild: it is gone\n  check that it exists, and `state` in the master file\n"
    );
    assert_eq!(text(&judged), expected);
}

#[test]
fn what_attempts_store_comes_near_to_its_quota_or_not() {
    let judged: Vec<_> =
        [89, 90, 100, 101].into_iter().filter_map(|blobs| disk::judge_stored(blobs << 30, 100 << 30)).collect();
    let do_this = "\n  raise `blob_bytes_total` in [limits] of the master file, or keep fewer builds: `retain` there\n";
    let expected = format!(
        "warned stored files: 90.0 GiB of at most 100.0 GiB{do_this}\
         bad stored files: 100.0 GiB of at most 100.0 GiB{do_this}\
         bad stored files: 101.0 GiB of at most 100.0 GiB{do_this}"
    );
    assert_eq!(text(&judged), expected);
}

#[test]
fn secret_files_are_there_and_secret() {
    let file = |key: &str, is_secret| NamedFile::new("pyfoo", key, Path::new("/etc/it's"), is_secret);
    let access = |mode, is_own| Ok(Permissions { mode, is_own });
    let good = vec![
        (file("credential_file", true), access(0o600, true)),
        (file("token_file", true), access(0o640, false)),
        (file("known_hosts_file", false), access(0o644, true)),
    ];
    let bad = vec![
        (file("credential_file", true), access(0o640, true)),
        (file("token_file", true), access(0o604, false)),
        (file("known_hosts_file", false), Err(io::Error::from(io::ErrorKind::NotFound))),
    ];
    assert_eq!(
        text(files::judge(&good).iter().chain(&files::judge(&bad)).chain(&files::judge(&[]))),
        "good files that the master file names: 3 files, readable by the master, secrets by nobody else\n\
         warned credential_file of pyfoo: /etc/it's can be used by others (mode 0640)\n  chmod go= '/etc/it'\\''s'\n\
         warned token_file of pyfoo: /etc/it's can be used by others (mode 0604)\n  chmod o= '/etc/it'\\''s'\n\
         bad known_hosts_file of pyfoo: /etc/it's: entity not found\n  \
         put the file there, readable by the master's user, or change `known_hosts_file` in the master file\n"
    );
}

#[test]
fn repositories_are_as_they_were_last_seen() {
    let looks =
        |began, good| Looks { began: Some(ago(began)), poll: Duration::from_secs(120), good, ..Looks::default() };
    let trouble = |seconds| Some(Trouble { since: ago(seconds), text: "git fetch failed:\nno such host".to_owned() });
    let seen = [
        looks(HOUR, Some(ago(12))),
        looks(HOUR, None),
        looks(60, None),
        Looks { trouble: trouble(200), ..looks(HOUR, Some(ago(260))) },
        Looks { trouble: trouble(2 * HOUR), ..looks(3 * HOUR, Some(ago(2 * HOUR))) },
        Looks { trouble: trouble(5), ..looks(6, None) },
        Looks {
            refused: vec![RefusedRef { name: "refs/heads/-x".to_owned(), why: "it begins with `-`".to_owned() }],
            ..looks(HOUR, Some(ago(1)))
        },
        Looks::default(),
    ];
    let found = seen.iter().flat_map(|looks| repositories::judge("pyfoo", "git@h:a b", looks, NOW));
    let by_hand = "try `git ls-remote 'git@h:a b'` as the master's user; check \
                   `repo`, `credential_file` and the like in [project.pyfoo]";
    let expected = format!(
        "good repository of pyfoo: looked at 12s ago\n\
         warned repository of pyfoo: being looked at for the first time, for 1h\n  \
         read the master's log to see whether git still runs; `guild notify` makes the master look now\n\
         good repository of pyfoo: being looked at for the first time, for 1m\n\
         warned repository of pyfoo: unreadable for 3m, last read 4m ago: git fetch failed: no such host\n  {by_hand}\n\
         bad repository of pyfoo: unreadable for 2h, last read 2h ago: git fetch failed: no such host\n  {by_hand}\n\
         bad repository of pyfoo: unreadable for 5s, never read since the start: git fetch failed: no such host\n  \
         {by_hand}\n\
         good repository of pyfoo: looked at 1s ago\n\
         warned refs of pyfoo: 1 ref left out, as refs/heads/-x: it begins with `-`\n  \
         rename or delete them in the repository: git push --delete REMOTE refs/heads/-x\n"
    );
    assert_eq!(text(&found.collect::<Vec<_>>()), expected);
}

#[test]
fn pools_have_workers_or_not() {
    let pool = |workers: &[(&str, Presence)]| PoolStatus {
        name: "arm".to_owned(),
        projects: vec!["pyfoo".to_owned(), "website".to_owned()],
        workers: workers
            .iter()
            .map(|(name, presence)| Member { worker: (*name).to_owned(), presence: *presence })
            .collect(),
    };
    let away = Presence::Away(ago(3 * HOUR));
    let seen = [
        pool(&[]),
        pool(&[("anvil", Presence::Away(ago(9 * HOUR))), ("bellows", away)]),
        pool(&[("anvil", Presence::Stopped), ("bellows", away)]),
        pool(&[("anvil", Presence::Stopped), ("bellows", away), ("tongs", Presence::Takes)]),
        pool(&[("tongs", Presence::Takes)]),
    ];
    let found: Vec<Finding> = seen.iter().map(|pool| pools::judge(pool, NOW)).collect();
    assert_eq!(
        text(&found),
        "bad pool arm: no worker is in it; pyfoo, website waits for one\n  \
         guild grant issue --kind worker --name NAME --pool arm -o NAME.cap\n\
         bad pool arm: no worker is connected: anvil, bellows, last heard of 3h ago; pyfoo, website waits\n  \
         guild-worker run     (on the machine of anvil, bellows)\n\
         warned pool arm: 1 worker connected, all drained or held: anvil\n  guild worker resume anvil\n\
         good pool arm: 2 workers connected, 1 drained or held, 1 away\n\
         good pool arm: 1 worker connected\n"
    );
}

#[test]
fn workers_that_are_gone_for_a_day_are_told() {
    let worker = |connected, heard| WorkerStatus {
        name: "anvil".to_owned(),
        grant: GrantId(4),
        connected,
        description: Description::default(),
        pools: Vec::new(),
        labels: Vec::new(),
        running: Vec::new(),
        draining: false,
        held: String::new(),
        last_heard: ago(heard),
        waits: String::new(),
        revoked: String::new(),
    };
    let seen = [worker(true, 80 * HOUR), worker(false, 23 * HOUR), worker(false, 80 * HOUR)];
    let found: Vec<Finding> = seen.iter().filter_map(|worker| pools::judge_worker(worker, NOW)).collect();
    assert_eq!(
        text(&found),
        "warned worker anvil: not heard from for 3d\n  \
         run `guild-worker run` on its machine; if it is gone for good, run `guild worker forget anvil`\n"
    );
}

#[test]
fn jobs_that_wait_in_vain_are_told() {
    let waiting = |build, since, why| QueueStatus {
        project: "pyfoo".to_owned(),
        build,
        job: "test".to_owned(),
        since: ago(since),
        why,
    };
    let pool = || Why::Pool(BTreeSet::from(["arm".to_owned()]));
    let good = [waiting(1, 9 * HOUR, Why::Busy(2)), waiting(2, 60, pool())];
    let bad = [waiting(3, 1_200, pool()), waiting(2, HOUR, pool()), waiting(1, 9 * HOUR, Why::Busy(2))];
    assert_eq!(
        text(&[queue::judge(&[], NOW), queue::judge(&good, NOW), queue::judge(&bad, NOW)]),
        "good queue: no jobs are waiting\n\
         good queue: 2 jobs wait, and none has been without a suitable worker for longer than 10m\n\
         bad queue: 2 jobs wait without a suitable worker; the oldest, pyfoo/2/test, has waited for 1h: there is no worker of \
         pool arm\n  join a worker of pool arm; `guild explain pyfoo/2/test` says how, and `guild queue` shows all jobs that wait\n"
    );
}

#[test]
fn reporters_get_rid_of_what_they_tell_or_not() {
    let mail = || DeliveryHealth::new("fixed".to_owned(), Means::Mail(Vec::new()));
    let command = DeliveryHealth::new("fixed".to_owned(), Means::Command(vec!["/bin/tell".to_owned()]));
    command.fails("", ago(2 * HOUR), "tell failed (exit status: 1)");
    let (refused, given_up) = (mail(), mail());
    refused.fails("", ago(60), "connection refused");
    given_up.gives_up(NOW, "eve@example.org did not get \"[p] test failing\": full".to_owned());
    let found = [&mail(), &refused, &command, &given_up].map(|health| notices::judge(health, NOW));
    assert_eq!(
        text(&found),
        "good notices by mail: fixed: no notice is undelivered\n\
         warned notices by mail: fixed: not delivered for 1m: connection refused\n  \
         check `smtp`, `user` and `password_file` in [mail] of the master file; notices that wait are tried again\n\
         bad notices by /bin/tell: fixed: not delivered for 2h: tell failed (exit status: 1)\n  \
         try to run /bin/tell as the master's user; check `run` in [[notice]] of the master file\n\
         warned notices by mail: fixed: eve@example.org did not get \"[p] test failing\": full\n  \
         correct the mailbox, or remove its address from `to`; this mail is not sent again\n"
    );
}

#[test]
fn pages_answer_and_keep_logins_secret() {
    let web = |answers| Some(("127.0.0.1:8080".parse().unwrap(), answers));
    let hooks = ["pyfoo".to_owned()];
    let found = [
        pages::judge(None, "", &[]),
        pages::judge(None, "", &hooks),
        pages::judge(web(false), "https://ci.example.org", &hooks),
        pages::judge(web(true), "http://ci.example.org", &[]),
        pages::judge(web(true), "http://0.0.0.0:8080", &[]),
        pages::judge(web(true), "https://ci.example.org", &hooks),
        pages::judge(web(true), "http://[::1]:8080", &[]),
        pages::judge(web(true), "http://localhost", &[]),
    ];
    let proxy = "\n  url = \"https://...\" in the master file, and put a proxy with TLS before `web`\n";
    let key = "web = \"127.0.0.1:8080\" in [listen] of the master file";
    let expected = format!(
        "good pages: not served, as the master file says\n\
         bad pages: not served, but pyfoo waits for deliveries to its hook\n  {key}\n\
         bad pages: nobody answers at 127.0.0.1:8080\n  restart the master, read its log, and check {key}\n\
         warned pages: http://ci.example.org: logins travel unencrypted{proxy}\
         warned pages: http://0.0.0.0:8080: logins travel unencrypted{proxy}\
         good pages: served at https://ci.example.org\n\
         good pages: served at http://[::1]:8080\n\
         good pages: served at http://localhost\n"
    );
    assert_eq!(text(&found), expected);
}

#[test]
fn grants_that_end_are_told_in_time() {
    let grant = |id, name: &str, kind, created, expires, is_held: bool| GrantRow {
        id: GrantId(id),
        parent: Some(GrantId(1)),
        kind,
        name: name.to_owned(),
        what: What::default(),
        created,
        expires,
        revoked: None,
        reason: String::new(),
        join_hash: None,
        token_hash: None,
        holder: is_held.then_some(Fingerprint([1; 32])),
        is_browser: name.ends_with(".browser"),
    };
    let long_ago = ago(90 * 24 * HOUR);
    let soon = Some(ahead(3 * 24 * HOUR));
    let good = [
        grant(2, "root.browser", GrantKind::User, long_ago, soon, true),
        grant(3, "ada", GrantKind::User, long_ago, None, true),
        grant(4, "job", GrantKind::Changes, ago(60), Some(ahead(60)), true),
        grant(5, "bob", GrantKind::User, ago(HOUR), Some(ahead(5 * HOUR)), false),
        // Another grant of this name was issued since.
        grant(6, "eve", GrantKind::User, long_ago, Some(ago(HOUR)), false),
        grant(7, "eve", GrantKind::User, ago(HOUR), None, false),
    ];
    let parents_are_known = [
        grant(8, "deputy", GrantKind::Operator, long_ago, None, true),
        GrantRow { parent: Some(GrantId(8)), ..grant(9, "spy", GrantKind::Worker, long_ago, None, true) },
    ];
    assert_eq!(
        text(grants::judge(&parents_are_known, NOW).iter()),
        "warned grant 9 of spy (worker): has the pool `default`, but grant 8 of deputy, below which it was issued, does not\n  \
         if nobody wants that: guild grant revoke 9\n"
    );
    let bad = [
        grant(2, "anvil", GrantKind::Worker, long_ago, soon, true),
        grant(3, "ada", GrantKind::User, long_ago, soon, true),
        grant(4, "bob", GrantKind::User, ago(40 * HOUR), Some(ago(30 * HOUR)), false),
    ];
    assert_eq!(
        text(grants::judge(&good, NOW).iter().chain(&grants::judge(&bad, NOW))),
        "good grants: none ends within a week\n\
         warned grant 2 of anvil (worker): ends in 3d\n  \
         issue a new one before that: guild grant issue --kind worker --name NEWNAME -o NEWNAME.cap\n\
         warned grant 3 of ada (user): ends in 3d\n  issue a new one before that: guild grant issue --kind user --name ada -o ada.cap\n\
         warned grant 4 of bob (user): was never redeemed, and ended 30h ago\n  \
         if you still want it: guild grant issue --kind user --name bob -o bob.cap\n"
    );
}

#[test]
fn a_pipeline_that_cannot_be_planned_is_told() {
    let build = |outcome, diagnosis: &str| BuildRow {
        diagnosis: diagnosis.to_owned(),
        outcome: Some(outcome),
        id: BuildId(9),
        project: "pyfoo".to_owned(),
        number: 7,
        stamp: SourceStamp::default(),
        cause: BuildCause::Change,
        trust: Trust::Trusted,
        state: State::Finished,
        created: NOW,
        started: None,
        finished: None,
        subject: String::new(),
        author: String::new(),
        job_count: 0,
        by: GrantId(1),
        update: 0,
    };
    let seen = [
        build(Outcome::Failed, ""),
        build(Outcome::Skipped, "no trigger wants it"),
        build(Outcome::Skipped, "there is no guild.toml at abcd of pyfoo"),
        build(Outcome::Failed, "  × job `test` needs `lnit`\n    ╭─[guild.toml:20:11]"),
    ];
    let found: Vec<Finding> = seen.iter().filter_map(pipelines::judge).collect();
    assert_eq!(
        text(&found),
        "warned pipeline of pyfoo: pyfoo/7 was not built: there is no guild.toml at abcd of pyfoo\n  \
         run `guild init` in the repository and push the file, or follow other `branches`\n\
         bad pipeline of pyfoo: pyfoo/7 could not be planned: × job `test` needs `lnit`\n  \
         `guild show pyfoo/7` shows the whole error; mend the file, run `guild check`, and push\n"
    );
}
