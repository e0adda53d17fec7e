//! One attempt in the ledger: the state that its runner, its reports and its lease share.

use super::{ASSIGNMENT, Offered, Token};
use crate::attempt::next::{AttemptResult, Halt, Next, StepEnd, is_cleanup, next};
use crate::attempt::output::{Grown, Shipped, Spooled};
use crate::attempt::test_reports::ReadTests;
use crate::disk::atomic_file;
use crate::process::environment::{mark, token_hex};
use crate::process::supervisor::{Journal, Moment, StepFiles};
use crate::process::world::BlockingWork;
use crate::workspace::Workspace;
use schema::values::{Assignment, TestsReported, Time};
use schema::worker_capnp::lease;
use serde::Serialize;
use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use tokio::sync::watch;

/// The longest time between the stop of a step and the end of its lease, in milliseconds. It is enough to end the step's processes.
const MARGIN_MAX_MS: u64 = 5_000;

/// The file with the moment by which the steps that run after a cancel must have ended.
const CLEANUP: &str = "cleanup.json";

/// A lease as this process holds it: when the lease ends, and its length after each renewal.
#[derive(Clone, Copy)]
struct HeldLease {
    end: Moment,
    term_ms: u64,
}

/// An attempt of this worker: its assignment, its progress, and the lease under which it runs.
pub(crate) struct Entry {
    pub(crate) assignment: Assignment,
    /// The attempt's directory, from which the next worker process takes it up.
    pub(crate) dir: PathBuf,
    /// The moment at which the attempt was offered.
    began: Moment,
    blocking: BlockingWork,
    /// The facts about each step for the master. They are not on disk, because all of them may be reported again.
    steps: Vec<Step>,
    /// The ends of the steps so far, in the order of the steps.
    ended: RefCell<Vec<StepEnd>>,
    /// The event that ended the attempt from outside.
    halt: RefCell<Option<Halt>>,
    /// The result of the attempt. `None` means that steps still have to run.
    result: RefCell<Option<AttemptResult>>,
    /// The moment by which the steps that run after a cancel, or after the job's time, must have ended. `None` means that none has
    /// begun.
    cleanup_end: Cell<Option<Moment>>,
    /// Whether processes of the attempt could not be killed. They may still use its files.
    has_survivors: Cell<bool>,
    /// Why nobody wants the attempt's results. `None` means that the master wants them.
    abandoned: RefCell<Option<String>>,
    /// Whether all processes of the attempt have ended.
    idle: Cell<bool>,
    /// The capability of the lease. It lives no longer than the connection that brought it.
    lease: RefCell<Option<lease::Client>>,
    /// The lease itself. It is held until its end, whether or not there is a connection.
    held: Cell<Option<HeldLease>>,
    /// The lines about the checkout with which the log of the next step begins, such as missing submodules.
    notes: RefCell<Vec<String>>,
    /// The workspace, locked for as long as steps may run.
    workspace: RefCell<Option<Rc<Workspace>>>,
    /// Counters of the changes of this attempt, and of the changes of all attempts.
    changed: (watch::Sender<u64>, watch::Sender<u64>),
}

/// The facts about a step for the master, with a note of which facts it already has.
pub(crate) struct Step {
    /// The time at which the step began. `None` means that it has not begun.
    pub(crate) started: watch::Sender<Option<Time>>,
    /// The size of the output so far, and whether it is final.
    pub(crate) grown: watch::Sender<Grown>,
    /// How the step ended, and when. `None` means that it has not ended.
    pub(crate) finished: watch::Sender<Option<(StepEnd, Time)>>,
    /// The content of the step's test reports. `None` means that it has none, or that they were not read.
    pub(crate) tests: RefCell<Option<Rc<ReadTests>>>,
    /// The summary of the tests for the master, once all reports are stored there.
    pub(crate) stored: RefCell<Option<TestsReported>>,
    /// Whether no byte of the step's log has been sent yet.
    pub(crate) is_unsent: Cell<bool>,
    /// The log as the master has it. `None` means that not all of it was sent on this connection.
    pub(crate) shipped: Cell<Option<Shipped>>,
    /// Whether the master has acknowledged the step's end on this connection.
    pub(crate) is_known: Cell<bool>,
}

impl Entry {
    pub(super) fn new(
        dir: PathBuf,
        offered: Offered,
        blocking: BlockingWork,
        halt: Option<Halt>,
        workspace: Option<Workspace>,
        all_changed: watch::Sender<u64>,
    ) -> Entry {
        let steps = offered.assignment.job.steps.iter().map(|_| Step::new()).collect();
        Entry {
            assignment: offered.assignment,
            dir,
            began: Moment(offered.began),
            blocking,
            steps,
            ended: RefCell::default(),
            halt: RefCell::new(halt),
            result: RefCell::default(),
            cleanup_end: Cell::new(None),
            has_survivors: Cell::new(false),
            abandoned: RefCell::default(),
            idle: Cell::new(false),
            lease: RefCell::default(),
            held: Cell::default(),
            notes: RefCell::default(),
            workspace: RefCell::new(workspace.map(Rc::new)),
            changed: (watch::Sender::new(0), all_changed),
        }
    }

    /// Notes that an earlier process may already have reported this attempt to the master.
    pub(super) fn may_be_known(&self) {
        for step in &self.steps {
            step.is_unsent.set(false);
        }
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
        Spooled { log: files.spool(), marks: files.marks(), blocking: self.blocking }
    }

    pub(crate) fn step(&self, step: u16) -> &Step {
        &self.steps[usize::from(step)]
    }

    /// Returns a receiver that is notified of each change of this attempt.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.0.subscribe()
    }

    fn tell(&self) {
        self.changed.0.send_modify(|count| *count += 1);
        self.changed.1.send_modify(|count| *count += 1);
    }

    // The methods for the steps.

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

    /// Notes the end of a step. `tests` is the content of its test reports, if they were read.
    pub(crate) fn step_ended(&self, step: u16, journal: &Journal, tests: Option<ReadTests>) {
        if journal.survivors > 0 {
            self.has_survivors.set(true);
        }
        let plan = &self.assignment.job.steps[usize::from(step)];
        let known = self.step(step);
        known.started.send_if_modified(|started| started.replace(journal.started).is_none());
        known.grown.send_replace(Grown { size: journal.size, is_final: true });
        let mut end = StepEnd::of(journal, plan.continue_on_failure);
        if let Some(why) = tests.as_ref().and_then(|tests| tests.lacks.first()) {
            end = end.lacking(why.clone(), plan.continue_on_failure);
        }
        known.tests.replace(tests.map(Rc::new));
        self.end_step(step, end, journal.ended);
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

    // The methods for the end of the attempt.

    pub(crate) fn halt(&self) -> Option<Halt> {
        self.halt.borrow().clone()
    }

    /// Halts the attempt. The first halt counts, unless a later one stops more steps.
    pub(crate) fn set_halt(&self, halt: Halt) {
        let is_news = self.halt.borrow().as_ref().is_none_or(|earlier| halt.overrides(earlier));
        if !is_news || self.result.borrow().is_some() {
            return;
        }
        if let Err(error) = write_whole(&self.dir.join("halt.json"), &halt) {
            tracing::warn!(attempt = %token_hex(&self.token()), %error, "cannot note why an attempt ended: a restart would forget it");
        }
        *self.halt.borrow_mut() = Some(halt);
        self.tell();
    }

    pub(crate) fn result(&self) -> Option<AttemptResult> {
        self.result.borrow().clone()
    }

    pub(crate) fn set_result(&self, result: AttemptResult) {
        *self.result.borrow_mut() = Some(result);
        self.tell();
    }

    pub(crate) fn abandoned(&self) -> Option<String> {
        self.abandoned.borrow().clone()
    }

    pub(super) fn abandon(&self, why: &str) {
        self.abandoned.borrow_mut().get_or_insert_with(|| why.to_owned());
        self.drop_lease();
        self.tell();
    }

    /// Returns why the present step, or the next one, must end. `None` means that it may run.
    pub(crate) fn stop_reason(&self) -> Option<String> {
        if let Some(why) = self.abandoned() {
            return Some(why);
        }
        let is_spared = is_cleanup(&self.assignment.job, &self.ended.borrow());
        match self.halt()? {
            Halt::Cancelled(_) | Halt::OutOfTime if is_spared => None,
            Halt::Cancelled(why) | Halt::CancelledNow(why) => Some(format!("cancelled: {why}")),
            Halt::OutOfTime => Some("its timeout passed".to_owned()),
            Halt::Errored(why) | Halt::Unusable(why) => Some(why),
        }
    }

    pub(crate) fn has_survivors(&self) -> bool {
        self.has_survivors.get()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.idle.get()
    }

    /// Notes that no process of the attempt is left, which frees its resources and its workspace.
    pub(crate) fn set_idle(&self) {
        self.idle.set(true);
        self.workspace.borrow_mut().take();
        self.tell();
    }

    /// Returns how long the present step, or the next one, may take, in milliseconds.
    pub(crate) fn time_left(&self, now: Moment) -> u64 {
        let own = match self.assignment.job.timeout_ms {
            0 => u64::MAX,
            timeout => timeout.saturating_sub(now.since(self.began)),
        };
        if let Some(end) = self.cleanup_end(now) {
            return end.since(now);
        }
        // A step that may run beyond the time of the job gets its full time, even if the time of the job is nearly over.
        match is_cleanup(&self.assignment.job, &self.ended.borrow()) {
            true => own.max(self.cleanup_ms()),
            false => own,
        }
    }

    /// Returns the moment by which the steps that run after a cancel, or after the job's time, must have ended. All these steps share
    /// it, and it is set when the first of them is next. `None` means that the next step is not such a step.
    pub(crate) fn cleanup_end(&self, now: Moment) -> Option<Moment> {
        let next = next(&self.assignment.job, &self.ended.borrow(), self.halt.borrow().as_ref());
        if !matches!(next, Next::CleanUp(_)) {
            return None;
        }
        if self.cleanup_end.get().is_none() {
            let end = now.plus(self.cleanup_ms());
            if let Err(error) = write_whole(&self.dir.join(CLEANUP), &end.0) {
                tracing::warn!(attempt = %token_hex(&self.token()), %error, "after a restart the time begins anew");
            }
            self.cleanup_end.set(Some(end));
        }
        self.cleanup_end.get()
    }

    fn cleanup_ms(&self) -> u64 {
        self.assignment.job.cleanup_ms().unwrap_or_default()
    }

    /// Restores the moment by which the steps that run after a cancel must have ended, if an earlier process has noted it.
    pub(super) fn resume_cleanup(&self) -> io::Result<()> {
        match atomic_file::read(&self.dir.join(CLEANUP))? {
            Some(noted) => self.note_cleanup(&noted),
            None => Ok(()),
        }
    }

    pub(super) fn note_cleanup(&self, noted: &[u8]) -> io::Result<()> {
        self.cleanup_end.set(Some(Moment(serde_json::from_slice(noted)?)));
        Ok(())
    }

    // The methods for the lease.

    pub(crate) fn lease(&self) -> Option<lease::Client> {
        self.lease.borrow().clone()
    }

    pub(crate) fn set_lease(&self, lease: lease::Client) {
        let before = self.lease.borrow_mut().replace(lease);
        drop(before);
        self.tell();
    }

    /// Forgets the capability of the lease, because the connection that brought it is gone.
    pub(crate) fn drop_lease(&self) {
        let before = self.lease.borrow_mut().take();
        drop(before);
    }

    /// Notes that the master gave the lease a full term. The term began when the master handled our request, and so not before `asked`.
    pub(crate) fn renewed(&self, asked: Moment, term_ms: u64) {
        self.held.set(Some(HeldLease { end: asked.plus(term_ms), term_ms }));
        self.tell();
    }

    /// Returns the moment at which the lease ends. `None` means that the master has not given it to this process yet.
    pub(crate) fn lease_end(&self) -> Option<Moment> {
        self.held.get().map(|held| held.end)
    }

    /// Returns the length of the lease in milliseconds. `None` means that this process does not hold the lease.
    pub(crate) fn term_ms(&self) -> Option<u64> {
        self.held.get().map(|held| held.term_ms)
    }

    /// Returns how long before the end of the lease a step is stopped, in milliseconds.
    pub(crate) fn margin_ms(&self) -> u64 {
        self.term_ms().map_or(0, |term_ms| MARGIN_MAX_MS.min(term_ms / 4))
    }

    /// Whether the lease lasts long enough to start a process.
    pub(crate) fn is_leased(&self, now: Moment) -> bool {
        self.lease_end().is_some_and(|end| end.since(now) > self.margin_ms())
    }

    // The methods for the workspace.

    pub(crate) fn workspace(&self) -> Option<Rc<Workspace>> {
        self.workspace.borrow().clone()
    }

    pub(crate) fn set_notes(&self, notes: Vec<String>) {
        self.notes.replace(notes);
    }

    pub(crate) fn take_notes(&self) -> Vec<String> {
        self.notes.take()
    }

    /// Notes the workspace of the attempt. The tree in it has the content that the job asks for.
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
            tests: RefCell::default(),
            stored: RefCell::default(),
            is_unsent: Cell::new(true),
            shipped: Cell::new(None),
            is_known: Cell::new(false),
        }
    }

    /// Marks all facts as unknown to the master, because it may have lost them.
    pub(crate) fn tell_again(&self) {
        self.shipped.set(None);
        self.stored.take();
        self.is_known.set(false);
    }
}

fn write_whole(path: &Path, value: &impl Serialize) -> io::Result<()> {
    atomic_file::write(path, &serde_json::to_vec(value)?)
}
