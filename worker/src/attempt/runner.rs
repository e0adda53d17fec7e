//! Drives one attempt: its workspace and checkout, then step by step as [`crate::attempt::next`] says, each under a supervisor of its
//! own. Takes up what an earlier worker began. Tells the master nothing, but writes what happens into the ledger.

use crate::attempt::ledger::Entry;
use crate::attempt::next::{Halt, Next, next};
use crate::attempt::shared::AttemptShared;
use crate::attempt::test_reports::{self, ReadTests};
use crate::process::environment::{GIT_OBJECTS, temporary};
use crate::process::supervised::{Death, Said, Supervised, settle};
use crate::process::supervisor::{Journal, KillCause, Limits, Order, append_notes, shortened, wall_of};
use crate::workspace::checkout::{CheckoutError, checkout};
use crate::workspace::{self, Workspace};
use schema::values::{Command, RefusalCode, StepPlan, Tier};
use schema::wire;
use schema::worker_capnp::lease;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;
use system::fail_point::fail_point;
use tokio::time::{sleep, timeout};

/// The number of tries for a checkout whose calls fail while the connection is up. If the connection is lost, there is no limit.
const CHECKOUTS_MAX: u32 = 3;
/// The pause before the next try of a checkout.
const CHECKOUT_PAUSE: Duration = Duration::from_secs(1);

/// How long the worker waits before it connects again to a supervisor that accepted another connection.
const LINE_PAUSE: Duration = Duration::from_millis(100);

/// How much longer than the time after a cancel, in milliseconds, a step may run that began before the cancel. Its supervisor does not
/// know that time, so the worker stops the step, a little later than a supervisor would.
const OVERTIME_MS: u64 = 500;

/// Runs an attempt to its end, or goes on from where an earlier worker left it.
pub(crate) async fn run(shared: Rc<AttemptShared>, entry: Rc<Entry>) {
    let job = &entry.assignment.job;
    while entry.abandoned().is_none() {
        let (ended, halt) = (entry.ended(), entry.halt());
        match next(job, &ended, halt.as_ref()) {
            Next::Run(step) => run_step(&shared, &entry, step).await,
            Next::CleanUp(step) if entry.time_left(shared.world.clock.now()) > 0 => {
                run_step(&shared, &entry, step).await
            }
            Next::CleanUp(step) | Next::Skip(step) => pass_over(&shared, &entry, step).await,
            Next::Done(result) => {
                entry.set_result(result);
                break;
            }
        }
    }
    let scratch = temporary(&shared.state, &entry.token());
    if scratch.exists() {
        // If a process of this attempt may still live, its files must not be used for the next attempt.
        let is_guarded = shared.tier_of(&entry.assignment) == Ok(Tier::Guard);
        let is_left_alone = is_guarded && !entry.has_survivors();
        let rest = if is_left_alone { shared.scratch.keep(scratch) } else { Some(scratch) };
        if let Some(rest) = rest {
            let _ = shared.world.blocking.run(move || workspace::remove_tree(&rest)).await;
        }
    }
    entry.set_idle();
    if entry.abandoned().is_some() {
        shared.ledger.remove(&entry);
    }
}

async fn run_step(shared: &AttemptShared, entry: &Rc<Entry>, step: u16) {
    let ran = match take_up(shared, entry, step).await {
        Ok(None) => match prepare(shared, entry).await {
            // The attempt may have been cancelled meanwhile, or may no longer belong to this worker.
            Ok(Some(workspace)) if entry.stop_reason().is_none() => start(shared, entry, step, &workspace).await,
            Ok(_) => return,
            Err(why) => Err(io::Error::other(why)),
        },
        Ok(Some(journal)) => Ok(journal),
        Err(error) => Err(error),
    };
    end_step(shared, entry, step, ran).await;
}

/// Skips a step that must not run. If an earlier worker has started it, this waits for its end instead.
async fn pass_over(shared: &AttemptShared, entry: &Entry, step: u16) {
    match take_up(shared, entry, step).await {
        Ok(None) => entry.step_skipped(step, shared.world.clock.wall()),
        Ok(Some(journal)) => end_step(shared, entry, step, Ok(journal)).await,
        Err(error) => end_step(shared, entry, step, Err(error)).await,
    }
}

async fn end_step(shared: &AttemptShared, entry: &Entry, step: u16, ran: io::Result<Journal>) {
    let mut journal = ran.unwrap_or_else(|error| {
        let text = shortened(&shared.with_lack_of_room(format!("cannot be run: {error}")));
        Journal::without_process(KillCause::Broken(text.clone()), &text, shared.world.clock.wall())
    });
    if journal.survivors > 0 {
        tracing::error!(step, survivors = journal.survivors, dir = %entry.dir.display(), "processes cannot be killed");
    }
    if matches!(journal.cause, KillCause::Broken(_)) {
        shared.troubles.look.notify_one();
    }
    fail_point("worker-step-ended");
    let tests = tests_of(shared, entry, step, &mut journal).await;
    entry.step_ended(step, &journal, tests);
}

/// Reads the test reports of a step that has ended. Notes missing reports at the end of the step's log.
async fn tests_of(shared: &AttemptShared, entry: &Entry, step: u16, journal: &mut Journal) -> Option<ReadTests> {
    let stopped = wait_for(entry, Entry::stop_reason);
    let tests = tokio::select! {
        biased;
        tests = test_reports::read(shared.world.blocking, entry, step, journal) => tests?,
        _ = stopped => return None,
    };
    if !tests.lacks.is_empty() {
        match append_notes(&entry.files(step), journal.size, &tests.lacks) {
            Ok(size) => journal.size = size,
            Err(error) => tracing::warn!(step, %error, "cannot note in the log of a step which report is missing"),
        }
    }
    Some(tests)
}

/// Takes up a step that an earlier worker began, and waits for its end. `None` means that the step has not begun.
async fn take_up(shared: &AttemptShared, entry: &Entry, step: u16) -> io::Result<Option<Journal>> {
    let files = entry.files(step);
    let Some(ordered) = files.ordered()?.map(wall_of) else { return Ok(None) };
    let Some(supervised) = Supervised::find(&shared.world, &entry.dir, step).await? else {
        if files.has_begun()? {
            if files.read_journal()?.is_none() {
                until_it_may_be_ended(shared, entry, step).await?;
            }
            let death = match shared.was_killed {
                true => {
                    let is_alone = shared.ledger.all().len() == 1;
                    Death::WithWorker { attempt: entry.assignment.attempt, is_alone }
                }
                false => Death::Alone,
            };
            return settle(&shared.world, &entry.dir, step, &entry.mark(), death).await.map(Some);
        }
        // The worker died after it had written the order, before a supervisor took it.
        std::fs::remove_file(files.order())?;
        return Ok(None);
    };
    tracing::info!(job = %entry.assignment.job.name, step, "a step that outlived its worker is taken up");
    entry.step_started(step, ordered);
    follow(shared, entry, step, supervised).await.map(Some)
}

/// Waits until the processes of a step may be killed. While the owner of the state directory is not known, they may be another
/// worker's. They are killed in any case once somebody wants the step to end, or once its lease ends, because the job may then run
/// elsewhere.
async fn until_it_may_be_ended(shared: &AttemptShared, entry: &Entry, step: u16) -> io::Result<()> {
    let lease_left = Duration::from_millis(entry.files(step).lease_left(shared.world.clock.now())?);
    let mut is_ours = shared.is_ours.subscribe();
    tokio::select! {
        biased;
        // `shared` holds the sender, so waiting can only end when the value is true.
        _ = is_ours.wait_for(|is_ours| *is_ours) => {}
        _ = wait_for(entry, Entry::stop_reason) => {}
        () = sleep(lease_left) => {}
    }
    Ok(())
}

async fn start(shared: &AttemptShared, entry: &Entry, step: u16, workspace: &Workspace) -> io::Result<Journal> {
    let plan = &entry.assignment.job.steps[usize::from(step)];
    let dir = match directory(&workspace.tree(), &plan.dir) {
        Ok(dir) => dir,
        Err(why) => {
            return Ok(Journal::without_process(KillCause::Impossible(why.clone()), &why, shared.world.clock.wall()));
        }
    };
    // The tier is checked each time, because an earlier process of this worker may have offered more.
    let tier = shared.tier_of(&entry.assignment).map_err(io::Error::other)?;
    let mut order = order(shared, entry, plan, dir, tier);
    order.notes = entry.take_notes();
    fail_point("worker-before-start");
    let supervised = Supervised::start(&shared.world, &entry.dir, step, &order)?;
    fail_point("worker-started");
    entry.step_started(step, shared.world.clock.wall());
    follow(shared, entry, step, supervised).await
}

/// Passes on what the supervisor reports, and tells it of the lease and of a halt, until the step has ended.
async fn follow(shared: &AttemptShared, entry: &Entry, step: u16, mut supervised: Supervised) -> io::Result<Journal> {
    let mut changes = entry.changes();
    let (mut is_stopped, mut lease_end) = (false, None);
    loop {
        if let Some(end) = entry.lease_end().filter(|end| lease_end != Some(*end)) {
            lease_end = Some(end);
            supervised.tell_lease(end, shared.world.clock.now()).await;
        }
        if let Some(why) = entry.stop_reason().filter(|_| !is_stopped) {
            is_stopped = true;
            supervised.tell_stop(&why).await;
        }
        let now = shared.world.clock.now();
        let overtime = entry.cleanup_end(now).filter(|_| !is_stopped).map(|end| end.plus(OVERTIME_MS).since(now));
        tokio::select! {
            biased;
            said = supervised.hear() => match said {
                Said::Output(size) => entry.step_grew(step, size),
                Said::Gone => {
                    // The supervisor writes the journal before it reports the end, so the journal can be read while the supervisor
                    // is still about to end.
                    if let Some(journal) = entry.files(step).read_journal()? {
                        return Ok(journal);
                    }
                    match Supervised::find(&shared.world, &entry.dir, step).await? {
                        // The supervisor lives, and has only accepted another connection.
                        Some(again) => {
                            sleep(LINE_PAUSE).await;
                            (supervised, is_stopped, lease_end) = (again, false, None);
                        }
                        None => return settle(&shared.world, &entry.dir, step, &entry.mark(), Death::Alone).await,
                    }
                }
            },
            _ = changes.changed() => {}
            () = sleep(Duration::from_millis(overtime.unwrap_or_default())), if overtime.is_some() => {
                is_stopped = true;
                supervised.tell_stop("the time for the steps that always run was over").await;
            }
        }
    }
}

/// Prepares the workspace as the job wants it, and waits for a lease under which a process may start. `None` means that the attempt was
/// halted. An error ends only this step, which cleans up after an attempt that has already ended.
async fn prepare(shared: &AttemptShared, entry: &Rc<Entry>) -> Result<Option<Rc<Workspace>>, String> {
    let time_left = Duration::from_millis(entry.time_left(shared.world.clock.now()));
    let preparing = async {
        if entry.workspace().is_none() {
            make_workspace(shared, entry).await?;
        }
        wait_for(entry, |entry| entry.is_leased(shared.world.clock.now()).then_some(())).await;
        Ok(())
    };
    let stopped = wait_for(entry, |entry| entry.stop_reason());
    let prepared = tokio::select! {
        biased;
        prepared = timeout(time_left, preparing) => prepared,
        _ = stopped => return Ok(None),
    };
    let is_cleanup = entry.cleanup_end(shared.world.clock.now()).is_some();
    match prepared {
        Ok(Ok(())) => return Ok(entry.workspace()),
        Ok(Err(Unready::Broken(why) | Unready::Unusable(why))) if is_cleanup => return Err(why),
        Ok(Err(Unready::Broken(why))) => entry.set_halt(Halt::Errored(shared.with_lack_of_room(why))),
        Ok(Err(Unready::Unusable(why))) => entry.set_halt(Halt::Unusable(why)),
        // The step has no time left, so the next round skips it.
        Err(_) if is_cleanup => {}
        Err(_) => entry.set_halt(Halt::OutOfTime),
    }
    Ok(None)
}

/// Why an attempt has no workspace.
enum Unready {
    /// The workspace cannot be prepared. Another attempt may succeed.
    Broken(String),
    /// The commit cannot be checked out, neither here nor on another worker.
    Unusable(String),
}

impl From<String> for Unready {
    fn from(why: String) -> Unready {
        Unready::Broken(why)
    }
}

impl From<CheckoutError> for Unready {
    fn from(error: CheckoutError) -> Unready {
        let why = error.to_string();
        if matches!(error, CheckoutError::Unusable(_)) { Unready::Unusable(why) } else { Unready::Broken(why) }
    }
}

async fn make_workspace(shared: &AttemptShared, entry: &Entry) -> Result<(), Unready> {
    let opened = workspace::open(&shared.workspaces, &entry.assignment.lane, entry.assignment.job.workspace);
    let workspace = opened.map_err(|error| format!("cannot open a workspace: {error}"))?;
    if entry.assignment.job.sources {
        check_out(shared, entry, &workspace).await?;
    }
    let scratch = temporary(&shared.state, &entry.token());
    shared.scratch.make(&scratch).map_err(|error| format!("cannot make {}: {error}", scratch.display()))?;
    entry.set_workspace(workspace).map_err(|error| format!("cannot note the workspace: {error}"))?;
    Ok(())
}

/// Checks the source out. Tries again after a lost connection, because the next connection brings the lease again. Also tries again
/// while the master's disk is full.
async fn check_out(shared: &AttemptShared, entry: &Entry, workspace: &Workspace) -> Result<(), Unready> {
    let [source] = entry.assignment.stamp.sources.as_slice() else {
        let count = entry.assignment.stamp.sources.len();
        return Err(format!("the job needs {count} repositories, and this worker checks out exactly one").into());
    };
    let mut failures = 0;
    loop {
        let lease = wait_for(entry, Entry::lease).await;
        let pack = source_pack(&lease).await;
        let done = match pack {
            Ok(pack) => checkout(workspace, &shared.stores, source, entry.assignment.job.workspace, pack).await,
            Err(error) => Err(error),
        };
        match done {
            Ok(done) => {
                entry.set_notes(done.notes);
                let ms = crate::process::supervisor::milliseconds(done.took);
                tracing::debug!(repository = %source.repository, fetched = done.fetched, ms, "checked out");
                return Ok(());
            }
            Err(CheckoutError::Lost(error)) => {
                let is_cut = error.kind == capnp::ErrorKind::Disconnected;
                failures += u32::from(!is_cut);
                if failures >= CHECKOUTS_MAX {
                    return Err(CheckoutError::Lost(error).into());
                }
                sleep(CHECKOUT_PAUSE).await;
            }
            Err(CheckoutError::Refused(refusal)) if refusal.code == RefusalCode::Unavailable => {
                tracing::warn!(%refusal, "the source cannot be fetched yet; trying again");
                sleep(CHECKOUT_PAUSE).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn source_pack(lease: &lease::Client) -> Result<schema::worker_capnp::source_pack::Client, CheckoutError> {
    let answer = lease.source_request().send().promise.await?;
    let results = answer.get()?;
    match wire::refusal(results.has_refusal(), results.get_refusal())? {
        Some(refusal) => Err(CheckoutError::Refused(refusal)),
        None => Ok(results.get_source()?),
    }
}

async fn wait_for<T>(entry: &Entry, is_so: impl Fn(&Entry) -> Option<T>) -> T {
    let mut changes = entry.changes();
    loop {
        if let Some(found) = is_so(entry) {
            return found;
        }
        if changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Returns the directory of a step, which must be in the tree even after following links.
fn directory(tree: &Path, relative: &str) -> Result<PathBuf, String> {
    let path = Path::new(relative);
    if path.components().all(|part| part == Component::CurDir) {
        return Ok(tree.to_owned());
    }
    if path.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(format!("the directory `{relative}` is not within the checkout"));
    }
    let found = tree.join(path).canonicalize().map_err(|error| format!("the directory `{relative}`: {error}"))?;
    let tree = tree.canonicalize().map_err(|error| format!("{}: {error}", tree.display()))?;
    match found.starts_with(tree) {
        true => Ok(found),
        false => Err(format!("the directory `{relative}` leads out of the checkout")),
    }
}

/// Returns the directory of the objects that the `.git` of the checkout borrows. `None` means that the job has no checkout.
fn objects(shared: &AttemptShared, entry: &Entry) -> Option<PathBuf> {
    let source = entry.assignment.stamp.sources.first().filter(|_| entry.assignment.job.sources)?;
    Some(shared.stores.objects_of(&source.repository, &source.revision))
}

fn order(shared: &AttemptShared, entry: &Entry, plan: &StepPlan, dir: PathBuf, tier: Tier) -> Order {
    let argv = match &plan.command {
        Command::Shell { shell, script } => shell.iter().chain([script]).cloned().collect(),
        Command::Exec(argv) => argv.clone(),
    };
    let now = shared.world.clock.now();
    let mut env =
        shared.host_environment.environment(&entry.assignment, plan, &temporary(&shared.state, &entry.token()));
    if let Some(objects) = objects(shared, entry) {
        env.push((GIT_OBJECTS.to_owned(), objects.display().to_string()));
    }
    Order {
        argv,
        tier,
        env,
        notes: Vec::new(),
        dir,
        limits: Limits {
            step_ms: plan.timeout_ms,
            idle_ms: plan.idle_ms,
            attempt_ms: entry.time_left(now),
            lease_ms: entry.lease_end().map_or(0, |end| end.since(now)),
            lease_end: entry.lease_end().map_or(0, |end| end.0),
            margin_ms: entry.margin_ms(),
            orphan_ms: shared.orphan_ms,
            grace_ms: shared.grace_ms,
            output_max: shared.output_max,
            processes_max: shared.bounds.processes,
            memory_max: shared.bounds.memory,
            files_max: shared.bounds.files,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_stays_in_its_checkout() {
        let root = tempfile::tempdir().unwrap();
        let tree = root.path().join("tree");
        std::fs::create_dir_all(tree.join("a/b")).unwrap();
        std::os::unix::fs::symlink("..", tree.join("up")).unwrap();
        std::os::unix::fs::symlink("a", tree.join("in")).unwrap();
        assert_eq!(directory(&tree, "").unwrap(), tree.canonicalize().unwrap());
        assert_eq!(directory(&tree, "./in/b").unwrap(), tree.join("a/b").canonicalize().unwrap());
        for bad in ["..", "a/../..", "/", "/tmp", "up", "none"] {
            assert!(directory(&tree, bad).is_err(), "{bad}");
        }
    }
}
