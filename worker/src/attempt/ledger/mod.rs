//! The ledger of this worker. It has each attempt from its offer until the master knows its end. An attempt is in memory and in a
//! directory of its own, from which the next worker process takes it up. The ledger starts nothing and calls nobody.
//!
//! ```text
//! STATE/spare/                          see `spares`
//! STATE/attempts/TOKEN/assignment.json  the offer and its time; on a second line the name of the workspace, once its tree has
//!                                       the content that the job asks for
//!                      halt.json        the event that ended the attempt from outside
//!                      cleanup.json     the moment by which the steps that run after that must have ended
//!                      step-N.*         see `supervisor::StepFiles`
//! ```
//! The files are few, because making and removing each one takes time, and a short job has hardly more to do.

mod entry;

pub(crate) use entry::{Entry, Step};

use crate::disk::atomic_file;
use crate::disk::private_dir::private_dir;
use crate::disk::removal::remove_contended;
use crate::disk::spares::Spares;
use crate::process::environment::{ATTEMPT, token_hex};
use crate::process::supervisor::{Moment, StepFiles};
use crate::process::world::{BlockingWork, Machine, World};
use crate::workspace;
use schema::values::{Assignment, Resources, known_plan_version};
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::watch;

const ASSIGNMENT: &str = "assignment.json";

pub(crate) type Token = [u8; 16];

/// The attempts of this worker, by their tokens.
pub(crate) struct Ledger {
    dir: PathBuf,
    spares: Spares,
    /// The id of the machine's boot, with which the clock of leases began.
    boot: String,
    blocking: BlockingWork,
    entries: RefCell<BTreeMap<Token, Rc<Entry>>>,
    /// The directories of attempts that this worker does not continue. They stay until it knows whether they are its own.
    leftovers: RefCell<Vec<Leftover>>,
    /// Whether a process of an attempt could not be killed.
    has_survivors: Cell<bool>,
    changed: watch::Sender<u64>,
}

impl Ledger {
    /// Opens the ledger with the attempts that an earlier process left. Attempts that cannot be read are dropped, once their owner is
    /// known. If the directory is a copy, all are dropped, because they belong to another worker.
    pub(crate) fn open(state: &Path, workspaces: &Path, world: &World, is_copy: bool) -> io::Result<Ledger> {
        let dir = state.join("attempts");
        private_dir(&dir)?;
        let spares = Spares::open(state.join("spare/attempts"), |name| name == ASSIGNMENT || StepFiles::is_one(name))?;
        let (boot, blocking) = (world.clock.boot(), world.blocking);
        let ledger = Ledger {
            dir,
            spares,
            boot,
            blocking,
            entries: RefCell::default(),
            leftovers: RefCell::default(),
            has_survivors: Cell::new(false),
            changed: watch::Sender::new(0),
        };
        for found in std::fs::read_dir(&ledger.dir)? {
            let dir = found?.path();
            if is_copy {
                tracing::warn!(dir = %dir.display(), "an attempt is not continued: this directory is a copy of a worker's");
                ledger.leftovers.borrow_mut().push(Leftover { dir, is_own: false });
                continue;
            }
            match ledger.load(&dir, workspaces) {
                Ok(entry) => {
                    ledger.entries.borrow_mut().insert(entry.token(), Rc::new(entry));
                }
                Err(error) => {
                    tracing::warn!(dir = %dir.display(), %error, "an attempt cannot be continued");
                    ledger.leftovers.borrow_mut().push(Leftover { dir, is_own: true });
                }
            }
        }
        Ok(ledger)
    }

    /// Reads an attempt from its directory. Fails for an attempt from before a reboot, because the clock began anew and no process of
    /// the attempt runs any more. After a loss of power, its files may also lack bytes that were not synced.
    fn load(&self, dir: &Path, workspaces: &Path) -> io::Result<Entry> {
        let (offered, name) = read_offer(&std::fs::read(dir.join(ASSIGNMENT))?)?;
        if !offered.boot.is_empty() && offered.boot != self.boot {
            return Err(io::Error::other("the machine was restarted"));
        }
        let halt = atomic_file::read(&dir.join("halt.json"))?;
        let halt = halt.map(|bytes| serde_json::from_slice(&bytes)).transpose()?;
        // A worker of 0.1.0 noted the name in a file of its own.
        let name = name.or_else(|| std::fs::read_to_string(dir.join("workspace")).ok());
        let workspace = name.map(|name| workspace::reopen(workspaces, &name)).transpose()?.flatten();
        let entry = Entry::new(dir.to_owned(), offered, self.blocking, halt, workspace, self.changed.clone());
        entry.may_be_known();
        entry.resume_cleanup()?;
        Ok(entry)
    }

    /// Removes the attempts that are not taken up, and kills their processes if they are this worker's own. Call it once the owner of
    /// the state directory is known.
    pub(crate) async fn clear_leftovers(&self, machine: &Arc<dyn Machine>) {
        let (leftovers, machine) = (self.leftovers.take(), machine.clone());
        if leftovers.is_empty() {
            return;
        }
        let cleared = self.blocking.run(move || leftovers.iter().for_each(|leftover| leftover.clear(&*machine)));
        if let Err(error) = cleared.await {
            tracing::warn!(%error, "the directories of earlier attempts were not removed");
        }
    }

    /// Waits until no attempt is left. Returns false if a process could not be killed and so still runs.
    pub(crate) async fn when_all_ended(&self) -> bool {
        let mut changes = self.changes();
        while !self.is_empty() && changes.changed().await.is_ok() {}
        !self.has_survivors.get()
    }

    /// Adds an attempt for an offer, in memory and on disk.
    pub(crate) fn enter(&self, assignment: Assignment, now: Moment) -> io::Result<Rc<Entry>> {
        let dir = self.dir.join(token_hex(&assignment.token));
        let offered = Offered { began: now.0, boot: self.boot.clone(), assignment };
        if let Err(error) = self.note(&dir, &offered) {
            let _ = std::fs::remove_dir_all(&dir);
            return Err(error);
        }
        let entry = Rc::new(Entry::new(dir, offered, self.blocking, None, None, self.changed.clone()));
        self.entries.borrow_mut().insert(entry.token(), entry.clone());
        self.tell();
        Ok(entry)
    }

    /// Writes the offer to disk before the worker accepts it. If the write is cut short, there is no attempt.
    fn note(&self, dir: &Path, offered: &Offered) -> io::Result<()> {
        self.spares.make(dir)?;
        std::fs::write(dir.join(ASSIGNMENT), serde_json::to_vec(offered)?)
    }

    /// Removes an attempt, on disk too.
    pub(crate) fn remove(&self, entry: &Entry) {
        self.has_survivors.set(self.has_survivors.get() || entry.has_survivors());
        self.entries.borrow_mut().remove(&entry.token());
        self.tell();
        let (dir, spares) = (entry.dir.clone(), self.spares.clone());
        self.blocking.begin(move || {
            if let Err(error) = spares.remove(&dir) {
                tracing::warn!(dir = %dir.display(), %error, "cannot remove the directory of an attempt");
            }
        });
    }

    /// Removes the directories of all forgotten attempts, and waits for that, because the process might otherwise end before they are
    /// removed.
    pub(crate) async fn sweep(&self) {
        let kept: Vec<PathBuf> = self.all().iter().map(|entry| entry.dir.clone()).collect();
        let (dir, spares) = (self.dir.clone(), self.spares.clone());
        let sweeping = self.blocking.run(move || {
            let found = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|found| found.path());
            found.filter(|dir| !kept.contains(dir)).for_each(|dir| remove_contended(&dir));
            spares.close();
        });
        if let Err(error) = sweeping.await {
            tracing::warn!(%error, "the directories of earlier attempts were not removed");
        }
    }

    /// Stops the steps of an attempt whose results nobody wants. Then removes it.
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

    /// Returns the resources that busy attempts use. An attempt without processes uses none, even if its end is not reported yet.
    pub(crate) fn used(&self) -> Resources {
        let entries = self.entries.borrow();
        let busy = entries.values().filter(|entry| !entry.is_idle());
        busy.fold(Resources::default(), |used, entry| used.plus(&entry.assignment.job.room()))
    }

    /// Returns a receiver that is notified of each change of any attempt.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn tell(&self) {
        self.changed.send_modify(|count| *count += 1);
    }
}

/// The directory of an attempt that an earlier process left and that this worker does not continue.
struct Leftover {
    dir: PathBuf,
    /// Whether the attempt is this worker's own. In a copy of another worker's state directory it is not.
    is_own: bool,
}

impl Leftover {
    fn clear(&self, machine: &dyn Machine) {
        if self.is_own {
            let token = self.dir.file_name().unwrap_or_default().to_string_lossy();
            machine.kill_marked(&format!("{ATTEMPT}={token}"));
        }
        if let Err(error) = std::fs::remove_dir_all(&self.dir) {
            tracing::warn!(dir = %self.dir.display(), %error, "cannot remove the directory of an attempt");
        }
    }
}

/// An attempt as the master offered it, in the first line of its file.
#[derive(Serialize, Deserialize)]
struct Offered {
    /// The moment of the offer, by the clock of [`Moment`].
    began: u64,
    /// The id of the machine's boot in which that clock ran. Empty means that a worker of 0.1.0 wrote this.
    #[serde(default)]
    boot: String,
    assignment: Assignment,
}

/// Reads the file of an offer: the offer, and the name of its workspace if that follows it.
fn read_offer(noted: &[u8]) -> io::Result<(Offered, Option<String>)> {
    let mut lines = noted.split(|byte| *byte == b'\n');
    let offered: Offered = serde_json::from_slice(lines.next().unwrap_or_default())?;
    known_plan_version(offered.assignment.plan_version).map_err(io::Error::other)?;
    // A line that was cut short does not count.
    let name = lines.filter_map(|line| serde_json::from_slice(line).ok()).next_back();
    Ok((offered, name))
}

/// Plays the files of an attempt and returns what follows from them, for `tests/fuzz`.
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz {
    use super::*;
    use crate::attempt::next::{Next, next};
    use crate::process::supervisor::{Journal, Limits, parts_of_order};

    /// Takes an attempt up from its files and lets its steps end as their journals say. Returns the number of steps that it went
    /// through.
    pub(crate) fn take_up(offer: &[u8], halt: &[u8], cleanup: &[u8], orders: &[&[u8]]) -> Option<usize> {
        let (offered, name) = read_offer(offer).ok()?;
        name.iter().for_each(|name| assert!(!workspace::is_name(name) || !name.contains('/'), "{name}"));
        let halt = serde_json::from_slice(halt).ok();
        let count = offered.assignment.job.steps.len();
        let entry =
            Entry::new(PathBuf::from("/nonexistent"), offered, BlockingWork::Inline, halt, None, watch::Sender::new(0));
        entry.may_be_known();
        let _ = entry.note_cleanup(cleanup);
        let mut journals = orders.iter().map(|bytes| journal_in(bytes));
        for went in 0..=count {
            entry.time_left(Moment(1_000));
            entry.stop_reason();
            match next(&entry.assignment.job, &entry.ended(), entry.halt().as_ref()) {
                Next::Done(_) => return Some(went),
                Next::Skip(step) => entry.step_skipped(step, schema::values::Time(1)),
                Next::Run(step) | Next::CleanUp(step) => entry.step_ended(step, &journals.next().flatten()?, None),
            }
        }
        panic!("more steps than the plan's {count} would run")
    }

    fn journal_in(bytes: &[u8]) -> Option<Journal> {
        let (order, journal) = parts_of_order(bytes);
        let Limits { output_max, .. } = order.map(|order| order.limits)?;
        journal.map(|journal| Journal { size: journal.size.min(output_max), ..journal })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::values::{JobPlan, SourceStamp, Trust};

    /// Returns an assignment with a token that no other test has, because leftovers are searched on the whole machine.
    fn assignment() -> Assignment {
        Assignment {
            token: system::chance::bytes(),
            project: "pyfoo".to_owned(),
            build: 1,
            attempt: 1,
            job: JobPlan::default(),
            stamp: SourceStamp { sources: Vec::new() },
            lane: String::new(),
            trust: Trust::Trusted,
            term_ms: 0,
            plan_version: 0,
            isolation: None,
        }
    }

    /// Returns an attempt in a state directory, and a function that opens the directory again, as a copy or as the worker's own.
    fn entered() -> (tempfile::TempDir, PathBuf, impl Fn(&Path, bool) -> Ledger) {
        let state = tempfile::tempdir().unwrap();
        let open = |state: &Path, is_copy| {
            Ledger::open(state, state, &World::real(PathBuf::from("/nonexistent")), is_copy).unwrap()
        };
        let now = World::real(PathBuf::from("/nonexistent")).clock.now();
        let dir = open(state.path(), false).enter(assignment(), now).unwrap().dir.clone();
        (state, dir, open)
    }

    fn machine() -> Arc<dyn Machine> {
        World::real(PathBuf::from("/nonexistent")).machine
    }

    #[tokio::test]
    async fn what_an_earlier_start_of_the_machine_left_is_dropped() {
        let (state, dir, open) = entered();
        assert_eq!(open(state.path(), false).count(), 1);
        let noted = std::fs::read_to_string(dir.join(ASSIGNMENT)).unwrap();
        std::fs::write(dir.join(ASSIGNMENT), noted.replace(&system::boot::boot_id(), "another")).unwrap();
        let ledger = open(state.path(), false);
        assert_eq!((ledger.count(), dir.exists()), (0, true), "nothing is done before it is known whose it is");
        ledger.clear_leftovers(&machine()).await;
        assert!(!dir.exists());
    }

    #[tokio::test]
    async fn what_a_newer_worker_left_is_taken_up_where_its_plan_is_known() {
        let (state, dir, open) = entered();
        let noted = std::fs::read_to_string(dir.join(ASSIGNMENT)).unwrap();
        let with = |field: &str| noted.replacen(r#""plan_version":0"#, field, 1);
        std::fs::write(dir.join(ASSIGNMENT), with(r#""plan_version":1,"someday":{"a":[1]}"#)).unwrap();
        assert_eq!(open(state.path(), false).count(), 1, "a field that it does not know is passed over");
        std::fs::write(dir.join(ASSIGNMENT), with(r#""plan_version":2"#)).unwrap();
        assert_eq!(open(state.path(), false).count(), 0);
    }

    /// A process with the mark of the attempt in its environment belongs to another worker, so the copy must not end it.
    #[tokio::test]
    async fn a_copy_takes_up_nothing_and_ends_nothing() {
        let (state, dir, open) = entered();
        let mut sleeping = std::process::Command::new("sleep");
        let mut step = sleeping.arg("1000").env(ATTEMPT, dir.file_name().unwrap()).spawn().unwrap();
        let ledger = open(state.path(), true);
        assert_eq!((ledger.count(), dir.exists()), (0, true));
        ledger.clear_leftovers(&machine()).await;
        assert!(!dir.exists());
        assert_eq!(step.try_wait().unwrap(), None, "it runs on");
        std::fs::create_dir(&dir).unwrap();
        open(state.path(), false).clear_leftovers(&machine()).await;
        assert!(!step.wait().unwrap().success(), "what is our own and cannot be read is ended");
    }
}
