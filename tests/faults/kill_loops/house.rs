//! A real master and a real worker, which the campaign kills and starts again, and the files that their steps write.

use client::Guild;
use client::link::Link;
use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;
use support::programs::{Credential, Programs, connected, repository};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

pub const PROJECT: &str = "loops";
/// The number of lines of the long log.
const LINES: u64 = 150_000;
/// The longest wait until a process reaches a fail point.
const REACHED: Duration = Duration::from_secs(20);
/// The longest time that processes of a step may still run after the end of the step.
const LEFT: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Master,
    Worker,
}

pub struct House {
    dir: TempDir,
    programs: Programs,
    master: Option<Child>,
    worker: Option<Child>,
    /// The operator's credential. `None` means that the house has not logged in yet.
    credential: Option<Credential>,
}

impl House {
    pub async fn open() -> House {
        let bin = std::env::var_os("GUILD_BIN").map_or_else(|| PathBuf::from("target/release"), PathBuf::from);
        let dir = tempfile::tempdir().expect("a temporary directory");
        let programs = Programs::new(&bin, dir.path().join("home"));
        let repo = dir.path().join("repo");
        repository(&repo, &pipeline(dir.path()));
        let more = format!("\n[limits]\nlease = \"8s\"\n\n[project.{PROJECT}]\nrepo = \"{}\"\n", repo.display());
        programs.init(&dir.path().join("m"), &more);
        let mut house = House { dir, programs, master: None, worker: None, credential: None };
        house.start(Who::Master, None);
        house.credential = Some(house.programs.log_in(&house.path("m/operator.cap")).await);
        let settings = "slots = 4\npass = [\"LOOPS\"]\nreserve = 0\n";
        house.programs.enroll_worker("w", &house.path("w"), settings);
        house.start(Who::Worker, None);
        house
    }

    pub fn credential(&self) -> Credential {
        self.credential.clone().expect("an open house is logged in to")
    }

    pub async fn guild(&self) -> Guild {
        connected(&self.credential()).await
    }

    /// Starts a program. `fail` is the fail point at which the process shall die, and at which of its visits there.
    pub fn start(&mut self, who: Who, fail: Option<(&str, u32)>) {
        let (program, log) = match who {
            Who::Master => ("guild-master", "master.log"),
            Who::Worker => ("guild-worker", "worker.log"),
        };
        let log = File::options().append(true).create(true).open(self.path(log)).expect("a log");
        let mut command = self.programs.command(program);
        command.env("LOOPS", self.dir.path()).arg("run").stdout(Stdio::null()).stderr(log);
        match who {
            Who::Master => command.arg("--config").arg(self.path("m/master.toml")),
            Who::Worker => command.arg("--state").arg(self.path("w")),
        };
        if let Some((point, count)) = fail {
            let _ = std::fs::remove_file(self.path("failed"));
            command.env("GUILD_FAIL", format!("{point}:{count}")).env("GUILD_FAIL_LOG", self.path("failed"));
        }
        let child = command.spawn().unwrap_or_else(|error| panic!("{program} cannot be started: {error}"));
        *self.slot(who) = Some(child);
    }

    /// Kills the master or the worker with `kill -9`.
    pub fn kill(&mut self, who: Who) {
        if let Some(mut child) = self.slot(who).take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Waits until a process dies at the fail point. Returns false if the build has ended without that.
    pub async fn await_fail_point(&mut self, point: &str, asked: &JoinHandle<u32>) -> bool {
        let failed = self.path("failed");
        let began = Instant::now();
        let mut idle_since = None;
        while began.elapsed() < REACHED {
            if std::fs::read_to_string(&failed).is_ok_and(|text| text == point) {
                return true;
            }
            // the build seems to have ended, because the request is answered and the worker holds no attempt
            let is_idle = asked.is_finished() && self.attempts_in_hand() == 0;
            let since = *idle_since.get_or_insert_with(Instant::now);
            if !is_idle {
                idle_since = None;
            } else if since.elapsed() > Duration::from_secs(2) {
                return false;
            }
            sleep(Duration::from_millis(10)).await;
        }
        false
    }

    fn attempts_in_hand(&self) -> usize {
        std::fs::read_dir(self.path("w/attempts")).map_or(0, Iterator::count)
    }

    /// Returns the lines that steps wrote into one of their files.
    pub fn lines(&self, file: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("out").join(file)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub async fn nothing_runs_on(&self) -> Result<(), String> {
        let began = Instant::now();
        loop {
            let left = self.steps_alive();
            if left.is_empty() {
                return Ok(());
            }
            if began.elapsed() > LEFT {
                return Err(format!("processes of steps run on: {left:?}"));
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    fn steps_alive(&self) -> Vec<String> {
        let home = format!("LOOPS={}", self.dir.path().display());
        let is_ours = |environment: &[u8]| {
            let mut entries = environment.split(|byte| *byte == 0);
            entries.any(|entry| entry == home.as_bytes())
                && environment.windows(14).any(|part| part == b"GUILD_ATTEMPT=")
        };
        let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let ours = all.filter(|entry| std::fs::read(entry.path().join("environ")).is_ok_and(|bytes| is_ours(&bytes)));
        ours.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Keeps the directory, so that a person can look at it.
    pub fn keep(&mut self) -> PathBuf {
        self.dir.disable_cleanup(true);
        self.dir.path().to_owned()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn slot(&mut self, who: Who) -> &mut Option<Child> {
        match who {
            Who::Master => &mut self.master,
            Who::Worker => &mut self.worker,
        }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.kill(Who::Worker);
        self.kill(Who::Master);
    }
}

/// Asks for a build again and again until there is an answer. Returns the number of the build.
pub async fn submit(credential: Credential, id: Vec<u8>) -> u32 {
    loop {
        let guild = connected(&credential).await;
        if let Ok(link) = guild.link().await
            && let Ok(Ok(number)) = timeout(Duration::from_secs(10), ask(&link, &id)).await
        {
            return number;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

async fn ask(link: &Link, id: &[u8]) -> Result<u32, client::Error> {
    let submitter = link.perspective()?.submitter_request().send().pipeline.get_submitter();
    let mut request = submitter.run_request();
    let mut ask = request.get();
    ask.set_request(id);
    ask.set_project(PROJECT);
    ask.set_ref("main");
    let answer = request.send().promise.await?;
    let answer = answer.get()?;
    match schema::wire::refusal(answer.has_refusal(), answer.get_refusal())? {
        Some(refusal) => Err(refusal.into()),
        None => Ok(answer.get_number()),
    }
}

/// Returns the log that the job `big` writes.
pub fn big_log() -> Vec<u8> {
    let mut text = String::new();
    for line in 1..=LINES {
        let _ = writeln!(text, "line {line} of a log that is long");
    }
    text.into_bytes()
}

fn pipeline(dir: &Path) -> String {
    let out = dir.join("out");
    std::fs::create_dir_all(&out).expect("a directory");
    let out = out.display();
    // each step notes that it began, and takes a lock; if another process has the lock, the step notes that it runs twice
    let begin = format!(
        "exec 9>>\\\"{out}/lock-$GUILD_BUILD-$GUILD_JOB\\\"; flock -n 9 || echo \\\"$GUILD_BUILD $GUILD_JOB\\\" >> {out}/double; \
         echo \\\"$GUILD_BUILD $GUILD_JOB\\\" >> {out}/began; "
    );
    format!(
        "version = 1\n[trigger]\npush = []\n[defaults]\nsource = \"none\"\n\
         [job.cell]\nmatrix = {{ n = [\"1\", \"2\", \"3\"] }}\n\
         run = \"{begin} for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.05; done\"\n\
         [job.after]\nneeds = [\"cell\"]\nrun = \"{begin} sleep 0.2\"\n\
         [job.effect]\nside_effects = true\nrun = \"{begin} echo $GUILD_BUILD >> {out}/effects; sleep 0.3\"\n\
         [job.big]\nrun = \"{begin} seq -f 'line %.0f of a log that is long' 1 {LINES}\"\n"
    )
}
