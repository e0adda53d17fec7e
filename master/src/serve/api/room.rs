//! The sizes of rows for people, and what is left out if they do not fit into one answer. First the names of failing tests are left out,
//! then reasons are shortened, and then the steps of the last jobs are left out. So a long text of one peer cannot push the others out of
//! an answer.

use super::detail::JobDetail;
use crate::decide::coordinator::record::{AttemptRow, BuildRow};
use crate::explain::{Candidate, QueueStatus, WorkerStatus};
use schema::limits::{
    self, ADDRESS, ANSWER_BYTES, ATTEMPTS, CANDIDATE_JOBS, JOB_VIEW, LABELS, LABELS_IN_FORCE, PATTERNS, POOLS, RUNNING,
    STEP_VIEW, TESTS_VIEW, TIERS, WORD, text_bytes,
};
use schema::values::{Exit, TestsReported, TierName, TierProbe, Time};
use std::borrow::Cow;

/// The most jobs that a row of a list names for one worker. They show what the worker does, and bound a row of a worker with many slots.
pub(super) const RUNNING_SHOWN: usize = RUNNING.most;
/// The most jobs that an explanation, which shows up to 20 workers, names for one worker.
pub(super) const CANDIDATE_SHOWN: usize = CANDIDATE_JOBS.most;
/// The most bytes of attempts in an explanation, enough for about 200 attempts with the longest reasons.
const ATTEMPTS_BYTES: usize = 1 << 20;
/// The most bytes of each of a worker's five lists, which leaves a sixth of the answer for its texts. Only rows from older masters can
/// have more.
const WORKER_LIST_BYTES: usize = ANSWER_BYTES / 6;
/// The numbers of failing tests to name for each step, tried in this order if not all names have room.
const FAILING_NAMED: [usize; 3] = [5, 1, 0];
/// The bytes of a row of a list without its texts: its numbers and pointers, with room for new fields.
const ROW: usize = 40 * WORD;

/// Returns the bytes of a build without its jobs.
pub(super) fn build_bytes(row: &BuildRow, diagnosis: &str) -> usize {
    let source = row.stamp.sources.first();
    let of_source = source.map_or(0, |source| text_bytes(&source.ref_name) + text_bytes(&source.revision));
    let cause = text_bytes(&row.cause.to_string());
    ROW + text_bytes(&row.project)
        + of_source
        + text_bytes(&row.subject)
        + text_bytes(&row.author)
        + cause
        + text_bytes(diagnosis)
}

/// A `ProjectRow` is a project in a list, with as many of its aliases as one answer can hold.
pub(super) struct ProjectRow<'a> {
    pub(super) name: &'a str,
    pub(super) address: Cow<'a, str>,
    pub(super) main_branch: String,
    pub(super) next_look: Option<Time>,
    pub(super) aliases: &'a [String],
}

impl<'a> ProjectRow<'a> {
    pub(super) fn new(name: &'a str, address: &'a str, main_branch: String, aliases: &'a [String]) -> ProjectRow<'a> {
        let mut row = ProjectRow { name, address: ADDRESS.cut(address), main_branch, next_look: None, aliases: &[] };
        let shown = limits::fitting(row.bytes(), aliases.iter().map(|alias| text_bytes(alias)));
        row.aliases = &aliases[..shown.min(PATTERNS.most)];
        row
    }

    pub(super) fn bytes(&self) -> usize {
        let texts = text_bytes(self.name) + text_bytes(&self.address) + text_bytes(&self.main_branch);
        JOB_VIEW + texts + limits::listed(self.aliases)
    }
}

/// Shortens each list of a worker to the part that has room in a row.
pub(super) fn shorten_worker(worker: &mut WorkerStatus) {
    fn keep<T>(list: &mut Vec<T>, most: &limits::Limit, bytes: impl Fn(&T) -> usize) {
        list.truncate(most.most);
        list.truncate(limits::fitting(ANSWER_BYTES - WORKER_LIST_BYTES, list.iter().map(bytes)));
    }
    let pair = |(name, value): &(String, String)| text_bytes(name) + text_bytes(value);
    let text = |text: &String| text_bytes(text);
    keep(&mut worker.running, &RUNNING, text);
    keep(&mut worker.pools, &POOLS, text);
    keep(&mut worker.description.isolation, &TIERS, |tier| text_bytes(tier.word()));
    keep(&mut worker.description.probes, &TIERS, probe_bytes);
    keep(&mut worker.description.labels, &LABELS, pair);
    keep(&mut worker.labels, &LABELS_IN_FORCE, pair);
}

pub(super) fn worker_bytes(worker: &WorkerStatus) -> usize {
    let about = &worker.description;
    let labels = about.labels.iter().chain(&worker.labels);
    let labels: usize = labels.map(|(name, value)| text_bytes(name) + text_bytes(value)).sum();
    let texts =
        [&worker.name, &worker.held, &worker.waits, &worker.revoked, &about.platform, &about.host, &about.version];
    let texts: usize = texts.map(|text| text_bytes(text)).iter().sum();
    let tiers: usize = about.isolation.iter().map(|tier| text_bytes(tier.word())).sum();
    let lists = limits::listed(&worker.pools) + tiers + about.probes.iter().map(probe_bytes).sum::<usize>();
    let bounds = about.bounds.as_ref().map_or(0, |bounds| 3 * WORD + bounds.lack.as_deref().map_or(0, text_bytes));
    ROW + bounds + texts + labels + lists + limits::listed(worker.running.iter().take(RUNNING_SHOWN))
}

fn probe_bytes(probe: &TierProbe) -> usize {
    text_bytes(probe.tier.word()) + probe.lack.as_deref().map_or(0, text_bytes)
}

pub(super) fn queue_bytes(item: &QueueStatus) -> usize {
    let why = text_bytes(&item.why.text()) + text_bytes(&item.why.remedy());
    ROW + text_bytes(&item.project) + text_bytes(&item.job) + why
}

/// Shortens the job lists of workers that run many jobs, and leaves out the oldest attempts if there are many.
pub(super) fn shorten(workers: &mut [Candidate], attempts: &mut Vec<AttemptRow>) {
    workers.iter_mut().for_each(|worker| worker.jobs.truncate(CANDIDATE_SHOWN));
    let sizes = attempts.iter().rev().map(|attempt| 2 * ROW + text_bytes(&attempt.reason));
    let kept = limits::fitting(ANSWER_BYTES - ATTEMPTS_BYTES, sizes).min(ATTEMPTS.most);
    attempts.drain(..attempts.len() - kept);
}

/// Makes the jobs of a build fit into `most` bytes, and returns their bytes, at most `most`. If they have no room even without their
/// steps, none is left.
pub(super) fn fit(jobs: &mut Vec<JobDetail>, most: usize) -> usize {
    for named in FAILING_NAMED {
        let whole: usize = jobs.iter().map(bytes).sum();
        if whole <= most {
            return whole;
        }
        name_failing(jobs, named);
    }
    let mut fixed: usize = jobs.iter().map(fixed_bytes).sum();
    for job in jobs.iter_mut().rev() {
        if fixed <= most {
            break;
        }
        fixed -= job.steps.iter().map(fixed_step).sum::<usize>();
        job.steps.clear();
    }
    if fixed > most {
        jobs.clear();
    }
    cut_words(jobs, most.saturating_sub(fixed));
    jobs.iter().map(bytes).sum()
}

/// Shortens the names of failing tests to at most this many for each step.
fn name_failing(jobs: &mut [JobDetail], most: usize) {
    let steps = jobs.iter_mut().flat_map(|job| &mut job.steps);
    steps.filter_map(|step| step.tests.as_mut()).for_each(|tests| tests.failing.truncate(most));
}

/// Makes the jobs of several builds fit into one answer, and returns the number of builds that fit. The smallest builds are shown whole,
/// so that a large build leaves room for the others.
pub(super) fn fit_all(builds: &mut [(BuildRow, Vec<JobDetail>)]) -> usize {
    let rows = builds.iter().map(|(row, _)| build_bytes(row, &row.diagnosis));
    let shown = limits::page(rows);
    let used: usize = builds[..shown].iter().map(|(row, _)| build_bytes(row, &row.diagnosis)).sum();
    let mut left = ANSWER_BYTES.saturating_sub(used);
    let mut order: Vec<usize> = (0..shown).collect();
    order.sort_by_cached_key(|at| builds[*at].1.iter().map(bytes).sum::<usize>());
    for at in order {
        left = left.saturating_sub(fit(&mut builds[at].1, left));
    }
    shown
}

/// Returns the bytes of one job with all its texts.
fn bytes(job: &JobDetail) -> usize {
    fixed_bytes(job) + words_of(job).map(beyond_first).sum::<usize>()
}

/// Returns the bytes of one job whose texts are cut to nothing. Each text still has the word of its final zero.
fn fixed_bytes(job: &JobDetail) -> usize {
    let row = &job.row;
    let isolation = row.isolation.as_ref().map_or("", TierName::word);
    let texts = [row.name.as_str(), &row.worker, &row.platform, isolation].into_iter().map(text_bytes).sum::<usize>();
    let reason = WORD;
    JOB_VIEW
        + 2 * WORD
        + texts
        + reason
        + WORD
        + size_of_val(job.needs.as_slice())
        + job.steps.iter().map(fixed_step).sum::<usize>()
}

fn fixed_step(step: &crate::decide::coordinator::record::StepRow) -> usize {
    let lost = if matches!(step.exit, Exit::Lost(_)) { WORD } else { 0 };
    STEP_VIEW + 2 * WORD + text_bytes(&step.name) + lost + step.tests.as_ref().map_or(0, tests_bytes)
}

/// Returns the bytes of a step's test results, without the text of the trouble.
fn tests_bytes(tests: &TestsReported) -> usize {
    TESTS_VIEW + WORD + tests.failing.iter().map(|name| text_bytes(name)).sum::<usize>()
}

/// Returns the bytes of a text beyond its first word of 8 bytes, which an empty text has too.
fn beyond_first(length: usize) -> usize {
    length / WORD * WORD
}

/// Returns the lengths of the texts that may be cut: why the job ended or waits, how steps were lost, and what reports lack.
fn words_of(job: &JobDetail) -> impl Iterator<Item = usize> {
    let reason = if job.waits.is_empty() { job.row.reason.len() } else { job.waits.len() };
    let lost = job.steps.iter().filter_map(|step| match &step.exit {
        Exit::Lost(why) => Some(why.len()),
        Exit::None | Exit::Code(_) | Exit::Signal(_) | Exit::Timeout | Exit::Idle => None,
    });
    let trouble = job.steps.iter().filter_map(|step| step.tests.as_ref()).map(|tests| tests.trouble.len());
    std::iter::once(reason).chain(lost).chain(trouble)
}

/// Cuts the longest texts, so that all texts together have at most `room` bytes beyond what empty ones have.
fn cut_words(jobs: &mut [JobDetail], room: usize) {
    let mut lengths: Vec<usize> = jobs.iter().flat_map(words_of).collect();
    lengths.sort_unstable();
    let level = level(&lengths, room);
    let cut = |text: &mut String| {
        if text.len() > level {
            *text = limits::cut(text, level).into_owned();
        }
    };
    for job in jobs {
        cut(&mut job.row.reason);
        cut(&mut job.waits);
        for step in &mut job.steps {
            if let Exit::Lost(why) = &mut step.exit {
                cut(why);
            }
            if let Some(tests) = &mut step.tests {
                cut(&mut tests.trouble);
            }
        }
    }
}

/// Returns the greatest length to which the texts can be cut so that they have room. Shorter texts stay whole.
fn level(sorted: &[usize], room: usize) -> usize {
    let mut left = room;
    for (index, length) in sorted.iter().enumerate() {
        let share = left / (sorted.len() - index);
        if beyond_first(*length) > share {
            return share;
        }
        left -= beyond_first(*length);
    }
    usize::MAX
}

#[cfg(test)]
mod tests;
