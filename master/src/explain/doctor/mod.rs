//! Examines an installation, and judges each part by a pure function over what was seen. It changes nothing, and asks no other machine.
//! The sources of repositories and the reporters note their own health, and the doctor only reads their notes.

mod config_facts;
mod crons;
mod disk;
mod files;
mod grants;
mod machines;
mod notices;
mod pages;
mod pipelines;
mod pools;
mod queue;
mod repositories;
mod restored;
mod soundness;
#[cfg(test)]
mod tests;

pub use config_facts::ConfigFacts;

use crate::commit::state_reader::StateReader;
use crate::decide::coordinator::record::{GrantId, GrantRow};
use crate::decide::coordinator::{Coordinator, HeldProject};
use crate::explain::{Explainer, MachineStatus, PoolStatus, QueueStatus, WorkerStatus};
use crate::intake::sources::Repositories;
use crate::keep::store::Reading;
use client::words::count;
use schema::values::{Finding, Refusal, Time, What};
use std::rc::Rc;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);
const WEEK: Duration = Duration::from_secs(7 * 86_400);
/// The most characters that a finding shows of a text from outside. The log has the rest.
const SEEN_CHARS: usize = 300;

/// The parts of the master that the doctor looks at, and the caller for whom it does so.
pub struct DoctorAccess {
    pub state: StateReader,
    pub readers: Reading,
    pub repositories: Rc<Repositories>,
    pub config_facts: Rc<ConfigFacts>,
    pub caller: GrantId,
    /// The projects and other things that the caller may see.
    pub what: What,
    /// Whether the caller may see everything, including the machine, the pages and the notices, which belong to no project.
    pub is_whole: bool,
}

/// Examines the installation. This takes a few seconds at most.
pub async fn examine(reach: &DoctorAccess) -> Vec<Finding> {
    let config_facts = &reach.config_facts;
    let now = reach.state.now();
    let (local, pages, pipelines, crons, held) = tokio::join!(
        local(reach),
        pages::examine(config_facts, &reach.what),
        pipelines::examine(reach),
        crons::examine(reach),
        reach.state.look(|it, now| CommittedState::of(it, now, reach.caller)),
    );
    let mut findings = if reach.is_whole { local } else { Vec::new() };
    if reach.is_whole {
        findings.push(soundness::judge(&config_facts.soundness.get(), now));
        findings.extend(config_facts.writes.trouble().map(|trouble| disk::judge_writes(&trouble)));
    }
    findings.extend(repositories::judge_all(reach, now));
    findings.extend(pipelines);
    findings.extend(crons);
    match held {
        Ok(held) => {
            findings.extend(held.judge_restored(reach));
            findings.extend(held.judge(&reach.what, now));
        }
        Err(refusal) => findings.push(unknown(&refusal)),
    }
    if reach.is_whole {
        findings.extend(notices::judge_all(&config_facts.reporters, now));
        findings.push(pages);
    }
    findings
}

/// Examines the disk and the files of the master's machine.
async fn local(reach: &DoctorAccess) -> Vec<Finding> {
    let (logs, blobs) = (reach.readers.log_bytes().await.ok(), reach.readers.blob_bytes().await.ok());
    let (config_facts, is_full) = (reach.config_facts.clone(), reach.state.is_full());
    let of_others = |file: &files::NamedFile| !file.project.is_empty() && !reach.what.sees(&file.project);
    let files = config_facts.files.iter().filter(|file| !of_others(file)).cloned().collect();
    let state = config_facts.state.clone();
    let looking = tokio::task::spawn_blocking(move || (disk::look(&state), files::look(files)));
    match tokio::time::timeout(disk::PATIENCE, looking).await {
        Ok(Ok((disk, files))) => {
            let disk = disk::judge(&config_facts.state, &disk, disk::KeptBytes { logs, blobs }, is_full);
            let stored = blobs.and_then(|blobs| disk::judge_stored(blobs, config_facts.blob_bytes_total));
            [disk].into_iter().chain(stored).chain(files::judge(&files)).collect()
        }
        Ok(Err(_)) | Err(_) => vec![disk::silent(&config_facts.state)],
    }
}

/// The bytes of the database, and the free bytes of its disk. `None` means that the file system does not say. It may never answer.
pub fn disk_bytes(state: &std::path::Path) -> Option<(u64, u64)> {
    let seen = disk::look(state);
    Some((seen.database, seen.room.ok()?.free))
}

/// The committed state of the coordinator, as far as the doctor judges it.
struct CommittedState {
    pools: Vec<PoolStatus>,
    workers: Vec<WorkerStatus>,
    machines: Vec<MachineStatus>,
    /// The names of the workers that do not offer the usual tier of isolation, each with its lack.
    without_tier: Vec<(String, String)>,
    queue: Vec<QueueStatus>,
    grants: Vec<GrantRow>,
    restored: Vec<HeldProject>,
}

impl CommittedState {
    fn of(coordinator: &Coordinator, now: Time, caller: GrantId) -> CommittedState {
        let explainer = Explainer::new(coordinator, now);
        CommittedState {
            pools: explainer.pools(),
            workers: explainer.workers(),
            machines: explainer.machines(),
            without_tier: explainer.without_usual_tier(),
            queue: explainer.queue(),
            grants: coordinator.grants().below(caller).cloned().collect(),
            restored: coordinator.held_list(),
        }
    }

    fn judge_restored(&self, reach: &DoctorAccess) -> Vec<Finding> {
        let seen = self.restored.iter().filter(|held| reach.what.sees(&held.project));
        seen.filter_map(|held| restored::judge(held, reach.repositories.get(&held.project).is_some())).collect()
    }

    fn judge(mut self, what: &What, now: Time) -> Vec<Finding> {
        self.pools.iter_mut().for_each(|pool| pool.projects.retain(|project| what.sees(project)));
        self.queue.retain(|job| what.sees(&job.project));
        let pools = self.pools.iter().filter(|pool| !pool.projects.is_empty()).map(|pool| pools::judge(pool, now));
        let mut findings: Vec<Finding> = pools.collect();
        findings.extend(self.workers.iter().filter_map(|worker| pools::judge_worker(worker, now)));
        findings.extend(self.machines.iter().flat_map(machines::judge));
        findings.extend(self.without_tier.iter().map(|(worker, lack)| pools::judge_tier(worker, lack)));
        findings.push(queue::judge(&self.queue, now));
        findings.extend(grants::judge(&self.grants, now));
        findings
    }
}

fn unknown(refusal: &Refusal) -> Finding {
    let remedy = if refusal.help.is_empty() { "run `guild doctor` again when the master runs" } else { &refusal.help };
    Finding::bad("workers, queue and grants", format!("not known: {}", refusal.text), remedy)
}

/// Turns a text from outside into one line of at most [`SEEN_CHARS`] characters.
fn line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ");
    match text.chars().count() > SEEN_CHARS {
        true => text.chars().take(SEEN_CHARS).chain(['…']).collect(),
        false => text,
    }
}

/// A duration in one unit, such as `12m`.
fn rough(duration: Duration) -> String {
    schema::values::TimeSpan(duration).rough()
}
