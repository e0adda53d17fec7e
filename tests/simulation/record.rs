//! A record of what really happened: which processes ran and when, what they wrote, and how they ended. The tests compare what the
//! master says with it. Only the simulated machines write it.

use schema::values::Exit;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;
use worker::supervisor::KillCause;

/// `Job` names a job: the number of its build, and its own name.
pub type Job = (u32, String);
/// `Token` names the lease of an attempt, in hexadecimal.
pub type Token = String;

/// `Process` is one process of a step.
#[derive(Clone)]
pub struct Process {
    pub worker: String,
    pub token: Token,
    pub step: u16,
    pub began: Instant,
    /// When, why and how it ended; `None` means that it still runs. The cause is `None` if its supervisor was killed.
    pub ended: Option<(Instant, Option<KillCause>, Exit)>,
    pub output: Vec<u8>,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Process { worker, token, step, ended, output, .. } = self;
        let ended = ended.as_ref().map(|(_, cause, exit)| (cause, exit));
        write!(f, "step {step} of {} at {worker}, {} bytes, ended {ended:?}", &token[..6], output.len())
    }
}

#[derive(Default)]
pub struct Facts {
    pub processes: BTreeMap<Job, Vec<Process>>,
    pub violations: Vec<String>,
    trace: blake3::Hasher,
    began: Option<Instant>,
    pub tells: bool,
}

#[derive(Clone, Default)]
pub struct Record(Arc<Mutex<Facts>>);

impl Record {
    pub fn facts(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line to the trace. Two runs with one seed are compared by their traces.
    pub fn tell(&self, what: &str) {
        self.facts().tell(what);
    }

    pub fn violated(&self, what: String) {
        let mut facts = self.facts();
        facts.tell(&format!("VIOLATED: {what}"));
        facts.violations.push(what);
    }

    pub fn begin(&self, job: &Job, process: Process) {
        let mut facts = self.facts();
        facts.tell(&format!("{}: step {} of {job:?} begins ({})", process.worker, process.step, &process.token[..6]));
        let all = facts.processes.entry(job.clone()).or_default();
        let other = all.iter().find(|other| other.ended.is_none()).cloned();
        all.push(process);
        if let Some(other) = other {
            let text =
                format!("P2: two processes of {job:?} at once; the other is of {} at {}", other.token, other.worker);
            facts.tell(&format!("VIOLATED: {text}"));
            facts.violations.push(text);
        }
    }

    pub fn write(&self, job: &Job, token: &str, step: u16, bytes: &[u8]) {
        if let Some(process) = self.facts().running(job, token, step) {
            process.output.extend_from_slice(bytes);
        }
    }

    /// Records the end of a process. Does nothing if the record already has its end.
    pub fn end(&self, job: &Job, token: &str, step: u16, cause: Option<KillCause>, exit: Exit) {
        let mut facts = self.facts();
        let text = format!("step {step} of {job:?} ends: {cause:?} {exit:?}");
        let Some(process) = facts.running(job, token, step) else { return };
        process.ended = Some((Instant::now(), cause, exit));
        facts.tell(&text);
    }

    /// Returns the number of processes that run at a worker now.
    pub fn running_at(&self, worker: &str) -> usize {
        let facts = self.facts();
        let all = facts.processes.values().flatten();
        all.filter(|process| process.worker == worker && process.ended.is_none()).count()
    }

    pub fn fingerprint(&self) -> String {
        self.facts().trace.finalize().to_hex()[..16].to_owned()
    }
}

impl Facts {
    fn running(&mut self, job: &Job, token: &str, step: u16) -> Option<&mut Process> {
        let all = self.processes.get_mut(job)?;
        all.iter_mut().find(|process| process.token == token && process.step == step && process.ended.is_none())
    }

    fn tell(&mut self, what: &str) {
        let began = *self.began.get_or_insert_with(Instant::now);
        let line = format!("{:>9.3} {what}", began.elapsed().as_secs_f64());
        self.trace.update(line.as_bytes());
        if self.tells {
            tracing::info!("{line}");
        }
    }

    /// Returns the processes of a job's latest attempt that had any, by the index of the step.
    pub fn latest(&self, job: &Job) -> BTreeMap<u16, &Process> {
        let all = self.processes.get(job).map(Vec::as_slice).unwrap_or_default();
        let Some(last) = all.last() else { return BTreeMap::new() };
        let of_last = all.iter().filter(|process| process.token == last.token);
        of_last.map(|process| (process.step, process)).collect()
    }
}
