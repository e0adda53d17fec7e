//! The memory that hostile peers cost a master, and how much longer another client's calls and logins take meanwhile.

use super::{Bench, itself};
use crate::crowd::Crowd;
use crate::figures::{at, sorted};
use crate::inside::hostile::names;
use crate::lab::{Lab, one_job};
use crate::proc::memory_kib;
use client::Guild;
use schema::identity::Identity;
use schema::values::{GrantKind, Right, What};
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use support::guild::enroll;
use tokio::time::sleep;

/// The pause between two calls of the other client.
const CALL_EVERY: Duration = Duration::from_millis(20);
/// The time from one login of the other client to the next.
const LOGIN_EVERY: Duration = Duration::from_millis(500);
/// The time for which the other client is timed before the attack, for comparison.
const BEFORE: Duration = Duration::from_secs(5);
/// The time that the master's memory gets to go back after the long attack.
const AFTER: Duration = Duration::from_secs(30);
/// The number of lines of the log that the attackers read.
const LINES: usize = 10_000;

/// `Seen` has the times of the other client's calls and logins during one interval, in seconds, and the master's memory.
struct Seen {
    calls: Vec<f64>,
    logins: Vec<f64>,
    /// The largest resident memory of the master in the interval, in KiB.
    memory: f64,
}

/// Plays each attack for some seconds.
pub async fn measure(bench: &Bench<'_>) {
    let scene = Scene::open(bench).await;
    let lasts = Duration::from_secs(bench.size(5, 20) as u64);
    for attack in names() {
        scene.play(bench, attack, lasts, Duration::from_secs(5)).await;
    }
}

/// Plays a holder of the right `view` that makes all calls that it may, for 10 minutes or for `--minutes`.
pub async fn view_only(bench: &Bench<'_>) {
    let minutes = bench.minutes.unwrap_or(if bench.quick { 0.5 } else { 10.0 });
    let scene = Scene::open(bench).await;
    scene.play(bench, "everything", Duration::from_secs_f64(minutes * 60.0), AFTER).await;
}

/// `Scene` is a master with a finished build and a queued one, a hostile holder of a credential, and an honest client.
struct Scene {
    lab: Lab,
    honest: Guild,
}

impl Scene {
    async fn open(bench: &Bench<'_>) -> Scene {
        let lab = Lab::open(bench.bin, &one_job(&itself(&format!("_print {LINES}"))), &[1]).await;
        let mut finished = lab.finished().await;
        finished.all_of([lab.run().await].into()).await;
        lab.queue_up(1).await;
        let mallory = Identity::load_or_create(&lab.path("mallory.key")).expect("a key");
        let looks = || What { may: [Right::View].into(), projects: ["*".to_owned()].into(), ..What::default() };
        let (cap, _) = enroll(&lab.guild, &lab.credential.0, &mallory, GrantKind::User, "mallory", looks()).await;
        cap.save(&lab.path("mallory.cap")).expect("a file");
        let alice = Identity::generate();
        let (cap, _) = enroll(&lab.guild, &lab.credential.0, &alice, GrantKind::User, "alice", looks()).await;
        let honest = Guild::connect(cap, Rc::new(alice)).await.expect("it connects");
        Scene { lab, honest }
    }

    async fn play(&self, bench: &Bench<'_>, attack: &str, lasts: Duration, after: Duration) {
        let before = self.look(BEFORE).await;
        let (cap, key) = (self.lab.path("mallory.cap"), self.lab.path("mallory.key"));
        let words: [&OsStr; 4] = ["_attack".as_ref(), attack.as_ref(), cap.as_os_str(), key.as_os_str()];
        let crowd = Crowd::gather(&words);
        let seen = self.look(lasts).await;
        let answered: Value = serde_json::from_str(&crowd.leave()).expect("counts");
        sleep(after).await;
        let left = memory_kib(self.lab.master(), "Rss");
        self.tell(bench, attack, [&before, &seen], left, answered);
    }

    fn tell(&self, bench: &Bench<'_>, attack: &str, [before, seen]: [&Seen; 2], left: f64, answered: Value) {
        let mib = |kib: f64| kib / 1024.0;
        let p99 = |seconds: &[f64]| at(&sorted(seconds.to_vec()), 0.99) * 1e3;
        let tell = |name: &str, value, unit, count: usize, detail: Value| {
            bench.figures.tell(&format!("hostile_{attack}_{name}"), value, unit, count, detail);
        };
        tell(
            "memory",
            mib(seen.memory - before.memory),
            "MiB",
            1,
            json!({"idle_mib": mib(before.memory), "answered": answered}),
        );
        tell("memory_after", mib(left - before.memory), "MiB", 1, json!({}));
        tell("call_p99", p99(&seen.calls), "ms", seen.calls.len(), json!({"before_ms": p99(&before.calls)}));
        tell("login_p99", p99(&seen.logins), "ms", seen.logins.len(), json!({"before_ms": p99(&before.logins)}));
    }

    /// Times the calls and the logins of the other client for this long, and samples the master's memory meanwhile.
    async fn look(&self, lasts: Duration) -> Seen {
        let (end, mut seen) = (Instant::now() + lasts, Seen { calls: Vec::new(), logins: Vec::new(), memory: 0.0 });
        let mut login = Instant::now();
        while Instant::now() < end {
            seen.calls.push(timed(async { drop(self.honest.projects().await.expect("others are served")) }).await);
            if login <= Instant::now() {
                login += LOGIN_EVERY;
                seen.logins.push(timed(self.log_in()).await);
                seen.memory = seen.memory.max(memory_kib(self.lab.master(), "Rss"));
            }
            sleep(CALL_EVERY).await;
        }
        seen
    }

    async fn log_in(&self) {
        let (reference, identity) = self.lab.credential.clone();
        drop(Guild::connect(reference, identity).await.expect("whoever has a credential gets in"));
    }
}

async fn timed(work: impl Future<Output = ()>) -> f64 {
    let began = Instant::now();
    work.await;
    began.elapsed().as_secs_f64()
}
