//! The cost of many projects, each with a small repository on this machine: how soon the master serves, its memory, processes and
//! descriptors, and the CPU of polling a repository that did not change.

use super::Bench;
use crate::lab::{Lab, one_job};
use crate::proc::{Cpu, GitProcesses, descriptors, memory_kib, peak_kib};
use serde_json::json;
use std::cell::Cell;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// The number of repositories that are polled per second, however many projects there are. At this rate 5,000 projects are each
/// polled every 2 minutes.
const LOOKS: usize = 42;
/// The pause between two counts of processes and descriptors.
const COUNTED_EVERY: Duration = Duration::from_millis(50);
/// The longest time that the master may take until it has looked at each repository once.
const PATIENCE: Duration = Duration::from_secs(1800);
/// The master counts as idle if none of its git processes has worked for this long.
const QUIET: Duration = Duration::from_secs(1);
/// The longest wait until the master is idle. Polling itself may run git, and with many projects some git is then always at work.
const QUIET_MAX: Duration = Duration::from_secs(20);

pub async fn measure(bench: &Bench<'_>) {
    let counts = if bench.quick { &[10_usize, 200][..] } else { &[10, 1_000, 5_000] };
    for count in counts.iter().copied() {
        let mut lab = Lab::open(bench.bin, &one_job("true"), &[]).await;
        lab.stop_all();
        let poll = Duration::from_secs((count.div_ceil(LOOKS) as u64).max(1));
        make_projects(&lab, count, poll);
        let first = lab.start_master().await;
        let began = Instant::now();
        let most = Counted::begin(lab.master());
        until_looked_at(&lab, count).await;
        let looked = began.elapsed().as_secs_f64();
        let detail = json!({"git_at_work_most": most.at_work.get(), "git_that_waits_most": most.waiting.get(), "descriptors_most": most.descriptors.get()});
        drop(most);
        bench.figures.tell(&format!("projects_first_{count}"), first, "s", count, json!({"looked_at_all_s": looked}));
        bench.figures.tell(&format!("projects_looked_{count}"), looked, "s", count, detail);
        lab.stop_all();
        let again = lab.start_master().await;
        bench.figures.tell(&format!("projects_serves_{count}"), again, "s", count, json!({"note": "a restart"}));
        measure_polls(bench, &lab, count, poll).await;
    }
}

async fn measure_polls(bench: &Bench<'_>, lab: &Lab, count: usize, poll: Duration) {
    // after this time each repository has been polled since the restart
    sleep(poll).await;
    until_quiet(lab.master()).await;
    let window = poll.max(Duration::from_secs(if bench.quick { 5 } else { 20 }));
    let most = Counted::begin(lab.master());
    let (before, began) = (Cpu::of(lab.master()), Instant::now());
    sleep(window).await;
    let (cpu, seconds) = (Cpu::of(lab.master()).since(before), began.elapsed().as_secs_f64());
    let looks = count as f64 * seconds / poll.as_secs_f64();
    let detail = json!({
        "poll_s": poll.as_secs(), "looks": looks, "of_children_ms": cpu.children * 1e3 / looks, "window_s": seconds,
        "git_at_work_most": most.at_work.get(), "git_that_waits_most": most.waiting.get(), "descriptors_most": most.descriptors.get(),
    });
    bench.figures.tell(&format!("projects_look_{count}"), cpu.all() * 1e3 / looks, "ms", count, detail);
    let detail = json!({"peak_mib": peak_kib(lab.master()) / 1024.0});
    bench.figures.tell(
        &format!("projects_rss_{count}"),
        memory_kib(lab.master(), "Rss") / 1024.0,
        "MiB",
        count,
        detail,
    );
}

/// Makes `count` repositories, which all use the objects of one, and adds a project for each to the master file.
fn make_projects(lab: &Lab, count: usize, poll: Duration) {
    let mut text = String::new();
    for number in 0..count {
        let repo = lab.path(&format!("repos/{number}"));
        make_repository(&repo, &lab.path("repo/.git/objects"), &lab.revision).expect("a repository is written");
        let (repo, poll) = (repo.display(), poll.as_secs());
        writeln!(text, "[project.p{number}]\nrepo = \"{repo}\"\npoll = \"{poll}s\"").expect("memory");
    }
    let file = lab.path("m/master.toml");
    let before = std::fs::read_to_string(&file).expect("the master file");
    std::fs::write(&file, format!("{before}\n{text}")).expect("the master file is written");
}

fn make_repository(dir: &Path, objects: &Path, revision: &str) -> std::io::Result<()> {
    for folder in ["objects/info", "objects/pack", "refs/heads", "refs/tags"] {
        std::fs::create_dir_all(dir.join(folder))?;
    }
    std::fs::write(dir.join("HEAD"), "ref: refs/heads/main\n")?;
    std::fs::write(dir.join("config"), "[core]\n\trepositoryformatversion = 0\n\tbare = true\n")?;
    std::fs::write(dir.join("objects/info/alternates"), format!("{}\n", objects.display()))?;
    std::fs::write(dir.join("refs/heads/main"), format!("{revision}\n"))
}

/// Waits until every mirror has been fetched and the master has no git at work any more.
async fn until_looked_at(lab: &Lab, count: usize) {
    let began = Instant::now();
    let heads: Vec<PathBuf> = (0..count).map(|number| lab.path(&format!("m/mirrors/p{number}/guild.head"))).collect();
    while !heads.iter().all(|head| head.exists()) {
        assert!(began.elapsed() < PATIENCE, "the master looks at all repositories");
        sleep(Duration::from_millis(100)).await;
    }
    until_quiet(lab.master()).await;
}

async fn until_quiet(master: u32) {
    let began = Instant::now();
    let mut since = Instant::now();
    while since.elapsed() < QUIET && began.elapsed() < QUIET_MAX {
        if GitProcesses::below(master).at_work > 0 {
            since = Instant::now();
        }
        sleep(COUNTED_EVERY).await;
    }
}

/// `Counted` has the largest numbers of git processes and of descriptors that were seen since it began. It counts until it is dropped.
struct Counted {
    at_work: Rc<Cell<usize>>,
    waiting: Rc<Cell<usize>>,
    descriptors: Rc<Cell<usize>>,
    task: tokio::task::JoinHandle<()>,
}

impl Counted {
    fn begin(master: u32) -> Counted {
        let [at_work, waiting, open] = [(); 3].map(|()| Rc::new(Cell::new(0)));
        let counted = (at_work.clone(), waiting.clone(), open.clone());
        let task = tokio::task::spawn_local(async move {
            let (at_work, waiting, open) = counted;
            loop {
                let found = GitProcesses::below(master);
                at_work.set(at_work.get().max(found.at_work));
                waiting.set(waiting.get().max(found.waiting));
                open.set(open.get().max(descriptors(master)));
                sleep(COUNTED_EVERY).await;
            }
        });
        Counted { at_work, waiting, descriptors: open, task }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.task.abort();
    }
}
