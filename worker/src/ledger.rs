//! What this worker has in hand: each attempt from its offer until the master knows its end, in memory and in a directory
//! of its own, from which the next worker process takes it up. Starts nothing and calls nobody.
//!
//! ```text
//! STATE/spare/                          see `spares`
//! STATE/attempts/TOKEN/assignment.json  what was offered, and when; in a line behind it the name of its workspace, once that
//!                                       is as the job wants it
//!                      halt.json        what ended it from outside
//!                      step-N.*         see `supervisor::StepFiles`
//! ```
//! Few files, since each costs time to make and to remove: a short job has hardly more to do.

use crate::attempt::{Halt, StepEnd, Verdict};
use crate::environment::{ATTEMPT, mark, token_hex};
use crate::output::{Grown, Shipped, Spooled};
use crate::spares::Spares;
use crate::supervisor::{Journal, Moment, StepFiles};
use crate::whole;
use crate::workspace::{self, Workspace};
use crate::world::{Hands, World};
use schema::values::{Assignment, Resources, Time};
use schema::worker_capnp::lease;
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use tokio::sync::watch;

const ASSIGNMENT: &str = "assignment.json";

pub(crate) type Token = [u8; 16];

/// All attempts in hand.
pub(crate) struct Ledger {
    dir: PathBuf,
    spares: Spares,
    hands: Hands,
    entries: RefCell<BTreeMap<Token, Rc<Entry>>>,
    changed: watch::Sender<u64>,
}

impl Ledger {
    /// With the attempts that an earlier process left. What cannot be read is dropped: the master places it again.
    pub(crate) fn open(state: &Path, workspaces: &Path, world: &World) -> io::Result<Ledger> {
        let dir = state.join("attempts");
        private_dir(&dir)?;
        let spares = Spares::open(state.join("spare/attempts"), |name| name == ASSIGNMENT || StepFiles::is_one(name))?;
        let ledger =
            Ledger { dir, spares, hands: world.hands, entries: RefCell::default(), changed: watch::Sender::new(0) };
        for found in std::fs::read_dir(&ledger.dir)? {
            let dir = found?.path();
            match Entry::load(&dir, workspaces, ledger.hands, &ledger.changed) {
                Ok(entry) => {
                    ledger.entries.borrow_mut().insert(entry.token(), Rc::new(entry));
                }
                Err(error) => {
                    tracing::warn!(dir = %dir.display(), %error, "an attempt cannot be taken up");
                    let token = dir.file_name().unwrap_or_default().to_string_lossy();
                    world.machine.kill_marked(&format!("{ATTEMPT}={token}"));
                    std::fs::remove_dir_all(&dir)?;
                }
            }
        }
        Ok(ledger)
    }

    /// Begins an entry for what was offered.
    pub(crate) fn enter(&self, assignment: Assignment, now: Moment) -> io::Result<Rc<Entry>> {
        let dir = self.dir.join(token_hex(&assignment.token));
        let offered = Offered { began: now.0, assignment };
        if let Err(error) = self.note(&dir, &offered) {
            let _ = std::fs::remove_dir_all(&dir);
            return Err(error);
        }
        let entry = Rc::new(Entry::new(dir, offered, self.hands, None, None, self.changed.clone()));
        self.entries.borrow_mut().insert(entry.token(), entry.clone());
        self.tell();
        Ok(entry)
    }

    /// Before it is accepted: what is cut short here is no attempt yet.
    fn note(&self, dir: &Path, offered: &Offered) -> io::Result<()> {
        self.spares.make(dir)?;
        std::fs::write(dir.join(ASSIGNMENT), serde_json::to_vec(offered)?)
    }

    /// Forgets an attempt, on disk too.
    pub(crate) fn remove(&self, entry: &Entry) {
        self.entries.borrow_mut().remove(&entry.token());
        self.tell();
        let (dir, spares) = (entry.dir.clone(), self.spares.clone());
        self.hands.begin(move || {
            if let Err(error) = spares.remove(&dir) {
                tracing::warn!(dir = %dir.display(), %error, "cannot remove what is left of an attempt");
            }
        });
    }

    /// Waits until nothing is on disk that is not in hand: the end of the process would come before the end of removing.
    pub(crate) async fn sweep(&self) {
        let kept: Vec<PathBuf> = self.all().iter().map(|entry| entry.dir.clone()).collect();
        let dir = self.dir.clone();
        let sweeping = self.hands.run(move || {
            let found = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|found| found.path());
            for dir in found.filter(|dir| !kept.contains(dir)) {
                // twice: another thread may be at it, each taking what the other has listed
                if std::fs::remove_dir_all(&dir).is_err() {
                    let _ = std::fs::remove_dir_all(&dir);
                }
            }
        });
        if let Err(error) = sweeping.await {
            tracing::warn!(%error, "what is left of attempts was not removed");
        }
    }

    /// Nobody wants the results of an attempt: its steps are stopped, and then it is forgotten.
    pub(crate) fn abandon(&self, entry: &Entry, why: &str) {
        entry.abandon(why);
        if entry.is_idle() {
            self.remove(entry);
        }
    }

    pub(crate) fn get(&self, token: &Token) -> Option<Rc<Entry>> {
        self.entries.borrow().get(token).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Rc<Entry>> {
        self.entries.borrow().values().cloned().collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.borrow().is_empty()
    }

    pub(crate) fn count(&self) -> usize {
        self.entries.borrow().len()
    }

    /// What the attempts that still have something to do take up.
    pub(crate) fn used(&self) -> Resources {
        let mut used = Resources::default();
        for entry in self.entries.borrow().values().filter(|entry| !entry.is_idle()) {
            let job = &entry.assignment.job;
            used.slots = used.slots.saturating_add(1);
            used.cpus_milli = used.cpus_milli.saturating_add(job.cpus_milli);
            used.memory = used.memory.saturating_add(job.memory);
        }
        used
    }

    /// Tells of every change in any attempt.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn tell(&self) {
        self.changed.send_modify(|count| *count += 1);
    }
}

#[derive(Serialize, Deserialize)]
struct Offered {
    /// By the clock of [`Moment`].
    began: u64,
    assignment: Assignment,
}

/// One attempt in hand.
pub(crate) struct Entry {
    pub(crate) assignment: Assignment,
    pub(crate) dir: PathBuf,
    began: Moment,
    hands: Hands,
    /// Everything here may be repeated: what is lost with the process is said again.
    steps: Vec<Step>,
    ended: RefCell<Vec<StepEnd>>,
    halt: RefCell<Option<Halt>>,
    verdict: RefCell<Option<Verdict>>,
    /// Nobody wants its results: why.
    abandoned: RefCell<Option<String>>,
    /// Nothing of it runs any more.
    idle: Cell<bool>,
    lease: RefCell<Option<lease::Client>>,
    lease_end: Cell<Option<Moment>>,
    margin_ms: Cell<u64>,
    /// Held for as long as steps may run.
    workspace: RefCell<Option<Rc<Workspace>>>,
    /// Of this one, and of all.
    changed: (watch::Sender<u64>, watch::Sender<u64>),
}

/// What the master is to know of one step.
pub(crate) struct Step {
    pub(crate) started: watch::Sender<Option<Time>>,
    pub(crate) grown: watch::Sender<Grown>,
    pub(crate) finished: watch::Sender<Option<(StepEnd, Time)>>,
    /// Nothing of its log was ever sent.
    pub(crate) is_unsent: Cell<bool>,
    pub(crate) shipped: Cell<Option<Shipped>>,
    /// The master knows its end, as was said on this connection.
    pub(crate) is_known: Cell<bool>,
}

impl Entry {
    fn new(
        dir: PathBuf,
        offered: Offered,
        hands: Hands,
        halt: Option<Halt>,
        workspace: Option<Workspace>,
        all_changed: watch::Sender<u64>,
    ) -> Entry {
        let steps = offered.assignment.job.steps.iter().map(|_| Step::new()).collect();
        Entry {
            assignment: offered.assignment,
            dir,
            began: Moment(offered.began),
            hands,
            steps,
            ended: RefCell::default(),
            halt: RefCell::new(halt),
            verdict: RefCell::default(),
            abandoned: RefCell::default(),
            idle: Cell::new(false),
            lease: RefCell::default(),
            lease_end: Cell::default(),
            margin_ms: Cell::new(0),
            workspace: RefCell::new(workspace.map(Rc::new)),
            changed: (watch::Sender::new(0), all_changed),
        }
    }

    fn load(dir: &Path, workspaces: &Path, hands: Hands, changed: &watch::Sender<u64>) -> io::Result<Entry> {
        let noted = std::fs::read(dir.join(ASSIGNMENT))?;
        let mut lines = noted.split(|byte| *byte == b'\n');
        let offered: Offered = serde_json::from_slice(lines.next().unwrap_or_default())?;
        let halt = match std::fs::read(dir.join("halt.json")) {
            Ok(bytes) => Some(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        // a line that was cut short is none
        let name: Option<String> = lines.filter_map(|line| serde_json::from_slice(line).ok()).next_back();
        // where a worker of 0.1.0 noted it
        let name = name.or_else(|| std::fs::read_to_string(dir.join("workspace")).ok());
        let workspace = name.map(|name| workspace::reopen(workspaces, &name)).transpose()?.flatten();
        let entry = Entry::new(dir.to_owned(), offered, hands, halt, workspace, changed.clone());
        for step in &entry.steps {
            step.is_unsent.set(false);
        }
        Ok(entry)
    }

    pub(crate) fn token(&self) -> Token {
        self.assignment.token
    }

    pub(crate) fn mark(&self) -> String {
        mark(&self.assignment.token)
    }

    pub(crate) fn files(&self, step: u16) -> StepFiles {
        StepFiles::new(&self.dir, step)
    }

    pub(crate) fn spooled(&self, step: u16) -> Spooled {
        let files = self.files(step);
        Spooled { log: files.spool(), marks: files.marks(), hands: self.hands }
    }

    pub(crate) fn step(&self, step: u16) -> &Step {
        &self.steps[usize::from(step)]
    }

    /// Tells of every change in this attempt.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.0.subscribe()
    }

    fn tell(&self) {
        self.changed.0.send_modify(|count| *count += 1);
        self.changed.1.send_modify(|count| *count += 1);
    }

    // the steps

    pub(crate) fn ended(&self) -> Vec<StepEnd> {
        self.ended.borrow().clone()
    }

    pub(crate) fn step_started(&self, step: u16, at: Time) {
        self.step(step).started.send_replace(Some(at));
        self.tell();
    }

    pub(crate) fn step_grew(&self, step: u16, size: u64) {
        self.step(step).grown.send_modify(|grown| grown.size = grown.size.max(size));
    }

    pub(crate) fn step_ended(&self, step: u16, journal: &Journal) {
        let plan = &self.assignment.job.steps[usize::from(step)];
        let known = self.step(step);
        known.started.send_if_modified(|started| started.replace(journal.started).is_none());
        known.grown.send_replace(Grown { size: journal.size, is_final: true });
        self.end_step(step, StepEnd::of(journal, plan.continue_on_failure), journal.ended);
    }

    pub(crate) fn step_skipped(&self, step: u16, at: Time) {
        self.step(step).grown.send_replace(Grown { size: 0, is_final: true });
        self.end_step(step, StepEnd::skipped(), at);
    }

    fn end_step(&self, step: u16, end: StepEnd, at: Time) {
        self.ended.borrow_mut().push(end.clone());
        self.step(step).finished.send_replace(Some((end, at)));
        self.tell();
    }

    // the end

    pub(crate) fn halt(&self) -> Option<Halt> {
        self.halt.borrow().clone()
    }

    /// The first one counts.
    pub(crate) fn set_halt(&self, halt: Halt) {
        if self.halt.borrow().is_some() || self.verdict.borrow().is_some() {
            return;
        }
        if let Err(error) = write_whole(&self.dir.join("halt.json"), &halt) {
            tracing::warn!(attempt = %token_hex(&self.token()), %error, "a restart would forget why an attempt ended");
        }
        *self.halt.borrow_mut() = Some(halt);
        self.tell();
    }

    pub(crate) fn verdict(&self) -> Option<Verdict> {
        self.verdict.borrow().clone()
    }

    pub(crate) fn set_verdict(&self, verdict: Verdict) {
        *self.verdict.borrow_mut() = Some(verdict);
        self.tell();
    }

    pub(crate) fn abandoned(&self) -> Option<String> {
        self.abandoned.borrow().clone()
    }

    fn abandon(&self, why: &str) {
        self.abandoned.borrow_mut().get_or_insert_with(|| why.to_owned());
        self.drop_lease();
        self.tell();
    }

    /// Why its steps must end, if they must.
    pub(crate) fn stop_reason(&self) -> Option<String> {
        if let Some(why) = self.abandoned() {
            return Some(why);
        }
        match self.halt()? {
            Halt::Cancelled(why) => Some(format!("cancelled: {why}")),
            Halt::OutOfTime => Some("its time was over".to_owned()),
            Halt::Errored(why) => Some(why),
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.idle.get()
    }

    /// No process of it is left: its room and its workspace are free.
    pub(crate) fn set_idle(&self) {
        self.idle.set(true);
        self.workspace.borrow_mut().take();
        self.tell();
    }

    /// Of the attempt's own time, in milliseconds.
    pub(crate) fn time_left(&self, now: Moment) -> u64 {
        match self.assignment.job.timeout_ms {
            0 => u64::MAX,
            timeout => timeout.saturating_sub(now.since(self.began)),
        }
    }

    // the lease

    pub(crate) fn lease(&self) -> Option<lease::Client> {
        self.lease.borrow().clone()
    }

    pub(crate) fn set_lease(&self, lease: lease::Client) {
        let before = self.lease.borrow_mut().replace(lease);
        drop(before);
        self.tell();
    }

    /// The connection is gone, and with it what it brought.
    pub(crate) fn drop_lease(&self) {
        let before = self.lease.borrow_mut().take();
        drop(before);
    }

    /// The master gave the lease until `end`; steps stop so long before it.
    pub(crate) fn renewed(&self, end: Moment, margin_ms: u64) {
        self.margin_ms.set(margin_ms);
        self.lease_end.set(Some(end));
        self.tell();
    }

    pub(crate) fn lease_end(&self) -> Option<Moment> {
        self.lease_end.get()
    }

    pub(crate) fn margin_ms(&self) -> u64 {
        self.margin_ms.get()
    }

    /// Whether a process may start.
    pub(crate) fn is_leased(&self, now: Moment) -> bool {
        self.lease_end.get().is_some_and(|end| end.since(now) > self.margin_ms.get())
    }

    // the workspace

    pub(crate) fn workspace(&self) -> Option<Rc<Workspace>> {
        self.workspace.borrow().clone()
    }

    /// Its tree is as the job wants it.
    pub(crate) fn set_workspace(&self, workspace: Workspace) -> io::Result<()> {
        let name = workspace.dir().file_name().unwrap_or_default().to_string_lossy();
        let line = format!("\n{}\n", serde_json::Value::from(name));
        File::options().append(true).open(self.dir.join(ASSIGNMENT))?.write_all(line.as_bytes())?;
        *self.workspace.borrow_mut() = Some(Rc::new(workspace));
        Ok(())
    }
}

impl Step {
    fn new() -> Step {
        Step {
            started: watch::Sender::new(None),
            grown: watch::Sender::default(),
            finished: watch::Sender::new(None),
            is_unsent: Cell::new(true),
            shipped: Cell::new(None),
            is_known: Cell::new(false),
        }
    }

    /// Whoever was told of it may have lost it.
    pub(crate) fn tell_again(&self) {
        self.shipped.set(None);
        self.is_known.set(false);
    }
}

fn write_whole(path: &Path, value: &impl Serialize) -> io::Result<()> {
    whole::write(path, &serde_json::to_vec(value)?)
}

pub(crate) fn private_dir(dir: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}
