//! What this worker has in hand: each attempt from its offer until the master knows its end, in memory and in a directory
//! of its own, from which the next worker process takes it up. Starts nothing and calls nobody.
//!
//! ```text
//! STATE/spare/                          see `spares`
//! STATE/attempts/TOKEN/assignment.json  what was offered, and when; in a line behind it the name of its workspace, once that
//!                                       is as the job wants it
//!                      halt.json        what ended it from outside
//!                      cleanup.json     when what runs after that must have ended
//!                      step-N.*         see `supervisor::StepFiles`
//! ```
//! Few files, since each costs time to make and to remove: a short job has hardly more to do.

mod entry;

pub(crate) use entry::{Entry, Step};

use crate::environment::{ATTEMPT, token_hex};
use crate::spares::Spares;
use crate::supervisor::{Moment, StepFiles};
use crate::workspace;
use crate::world::{Hands, World};
use schema::values::{Assignment, Resources};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
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
    /// See [`Offered`].
    boot: String,
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
        let (boot, hands) = (world.clock.boot(), world.hands);
        let ledger = Ledger { dir, spares, boot, hands, entries: RefCell::default(), changed: watch::Sender::new(0) };
        for found in std::fs::read_dir(&ledger.dir)? {
            let dir = found?.path();
            match ledger.load(&dir, workspaces) {
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

    /// What another start of the machine left is not taken up: its clock is not ours, none of it runs, and a loss of power
    /// takes from files what was not synced, such as that a step began.
    fn load(&self, dir: &Path, workspaces: &Path) -> io::Result<Entry> {
        let noted = std::fs::read(dir.join(ASSIGNMENT))?;
        let mut lines = noted.split(|byte| *byte == b'\n');
        let offered: Offered = serde_json::from_slice(lines.next().unwrap_or_default())?;
        if !offered.boot.is_empty() && offered.boot != self.boot {
            return Err(io::Error::other("the machine was started again"));
        }
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
        let entry = Entry::new(dir.to_owned(), offered, self.hands, halt, workspace, self.changed.clone());
        entry.may_be_known();
        entry.resume_cleanup()?;
        Ok(entry)
    }

    /// Begins an entry for what was offered.
    pub(crate) fn enter(&self, assignment: Assignment, now: Moment) -> io::Result<Rc<Entry>> {
        let dir = self.dir.join(token_hex(&assignment.token));
        let offered = Offered { began: now.0, boot: self.boot.clone(), assignment };
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
        let (dir, spares) = (self.dir.clone(), self.spares.clone());
        let sweeping = self.hands.run(move || {
            let found = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|found| found.path());
            for dir in found.filter(|dir| !kept.contains(dir)) {
                // twice: another thread may be at it, each taking what the other has listed
                if std::fs::remove_dir_all(&dir).is_err() {
                    let _ = std::fs::remove_dir_all(&dir);
                }
            }
            spares.close();
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
        let entries = self.entries.borrow();
        let busy = entries.values().filter(|entry| !entry.is_idle());
        busy.fold(Resources::default(), |used, entry| used.plus(&entry.assignment.job.room()))
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
    /// By the clock of [`Moment`], of this start of the machine. Empty: unknown, as in those of 0.1.0.
    began: u64,
    #[serde(default)]
    boot: String,
    assignment: Assignment,
}

pub(crate) fn private_dir(dir: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::values::{JobPlan, SourceStamp, Trust};

    fn assignment() -> Assignment {
        Assignment {
            token: [7; 16],
            project: "pyfoo".to_owned(),
            build: 1,
            attempt: 1,
            job: JobPlan::default(),
            stamp: SourceStamp { sources: Vec::new() },
            lane: String::new(),
            trust: Trust::Trusted,
        }
    }

    #[test]
    fn what_an_earlier_start_of_the_machine_left_is_dropped() {
        let state = tempfile::tempdir().unwrap();
        let world = World::real(PathBuf::from("/nonexistent"));
        let open = || Ledger::open(state.path(), state.path(), &world).unwrap();
        let dir = open().enter(assignment(), world.clock.now()).unwrap().dir.clone();
        assert_eq!(open().count(), 1);
        let noted = std::fs::read_to_string(dir.join(ASSIGNMENT)).unwrap();
        std::fs::write(dir.join(ASSIGNMENT), noted.replace(&world.clock.boot(), "another")).unwrap();
        assert_eq!((open().count(), dir.exists()), (0, false));
    }
}
