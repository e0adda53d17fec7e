//! Explains a job from the facts that the coordinator has now, and from the history of its attempts.

use super::cron::cron_hint;
use super::room::shorten;
use super::viewer_access::ViewerAccess;
use super::{Holder, broken};
use crate::decide::coordinator::record::{AttemptRow, BuildId};
use crate::explain::{self, Candidate, Explainer, Explanation, Remedy, RemedyStep, Why};
use crate::keep::store::JobHistory;
use schema::limits::{COMMAND, HINTS, REASON, SENTENCE};
use schema::perspective_capnp::{attempt_view, candidate, explanation, remedy, remedy_step};
use schema::values::{Refusal, RefusalCode, Right, TierName};
use schema::wire;

/// An `Explained` is an explanation with the attempts of the job.
pub(super) struct Explained {
    told: Explanation,
    attempts: Vec<AttemptRow>,
}

/// Explains a job to a holder. The explanation names no job that the holder may not see.
pub(super) async fn explain(
    access: &ViewerAccess,
    holder: &Holder,
    build: BuildId,
    job: String,
) -> capnp::Result<Result<Explained, Refusal>> {
    // The coordinator is asked first, and its answer waits for the commit, because history knows what ended meanwhile.
    let told = match access.look(holder, |it, now| Explainer::new(it, now).explain(build, &job)).await {
        Ok(told) => told,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let past = access.history(holder).job_history(build, &job).await.map_err(broken)?;
    let Some(JobHistory { build, row, plan, mut attempts }) = past else {
        let text = format!("the build has no job `{job}`");
        return Ok(Err(Refusal::new(RefusalCode::NotFound, text)));
    };
    let mut told = told.unwrap_or_else(|| explain::explain_past(&build, &row, plan.as_ref()));
    if matches!(told.why, Why::Restored(_)) {
        told.hints.push(unread(access, holder, &build.project));
    }
    told.hints.extend(cron_hint(access, &build));
    told.hide(|project| holder.what.sees(project));
    for placed in attempts.iter_mut().filter_map(|attempt| attempt.placed.as_mut()) {
        explain::hide_placed(placed, |project| holder.what.sees(project));
    }
    shorten(&mut told.workers, &mut attempts);
    Ok(Ok(Explained { told, attempts }))
}

/// Returns why the repository cannot be read. Only operators get git's own words, because these may name paths.
fn unread(access: &ViewerAccess, holder: &Holder, project: &str) -> String {
    let Some(repository) = access.repository(project) else {
        return format!(
            "the master file has no [project.{project}], so nothing reads its repository; put it back, or cancel the build"
        );
    };
    match repository.trouble() {
        None => "the master is reading it now".to_owned(),
        Some(trouble) if holder.what.may.contains(&Right::Operate) => format!("it cannot be read: {trouble}"),
        Some(_) => "it cannot be read; `guild doctor` tells an operator why".to_owned(),
    }
}

pub(super) fn write_explanation(mut to: explanation::Builder<'_>, explained: &Explained) {
    let told = &explained.told;
    to.set_kind(told.why.kind());
    to.set_text(SENTENCE.cut(&told.why.text()));
    to.set_since(told.since.map_or(0, wire::time));
    to.set_ahead(wire::length(told.ahead));
    to.set_worker_count(wire::length(told.worker_count));
    let hints = &told.hints[..told.hints.len().min(HINTS.most)];
    let texts = hints.iter().map(|hint| SENTENCE.cut(hint));
    wire::write_texts(to.reborrow().init_hints(wire::length(hints.len())), texts);
    let mut workers = to.reborrow().init_workers(wire::length(told.workers.len()));
    for (index, worker) in (0..).zip(&told.workers) {
        write_candidate(workers.reborrow().get(index), worker);
    }
    let mut remedies = to.reborrow().init_remedies(wire::length(told.remedies.len()));
    for (index, remedy) in (0..).zip(&told.remedies) {
        write_remedy(remedies.reborrow().get(index), remedy);
    }
    let mut attempts = to.init_attempts(wire::length(explained.attempts.len()));
    for (index, attempt) in (0..).zip(&explained.attempts) {
        write_attempt(attempts.reborrow().get(index), attempt);
    }
}

fn write_candidate(mut to: candidate::Builder<'_>, worker: &Candidate) {
    to.set_name(&worker.name);
    to.set_standing(worker.availability.word());
    to.set_text(SENTENCE.cut(&worker.text));
    wire::write_texts(to.reborrow().init_jobs(wire::length(worker.jobs.len())), &worker.jobs);
    to.set_since(worker.since.map_or(0, wire::time));
}

fn write_remedy(mut to: remedy::Builder<'_>, remedy: &Remedy) {
    to.set_text(SENTENCE.cut(&remedy.text()));
    let mut steps = to.init_steps(wire::length(remedy.steps.len()));
    for (index, step) in (0..).zip(&remedy.steps) {
        write_step(steps.reborrow().get(index), step);
    }
}

fn write_step(mut to: remedy_step::Builder<'_>, step: &RemedyStep) {
    // A command that was cut in half would do something else, so a long command is left out.
    to.set_command(Some(step.command()).filter(|command| command.len() <= COMMAND.most).unwrap_or_default());
    match step {
        RemedyStep::Wait(job) => {
            to.set_act(remedy_step::Act::Wait);
            to.set_object(job);
        }
        RemedyStep::Resume(worker) => {
            to.set_act(remedy_step::Act::Resume);
            to.set_object(worker);
        }
        RemedyStep::Start { worker, .. } => {
            to.set_act(remedy_step::Act::Start);
            to.set_object(worker);
        }
        RemedyStep::Join(wanted) => {
            to.set_act(remedy_step::Act::Join);
            to.set_pool(&wanted.pool);
            to.set_platform(&wanted.platform);
            wire::write_pairs(to.reborrow().init_labels(wire::length(wanted.labels.len())), &wanted.labels);
            wire::write_resources(to.init_room(), &wanted.room);
        }
    }
}

fn write_attempt(mut to: attempt_view::Builder<'_>, row: &AttemptRow) {
    to.set_number(row.number);
    to.set_worker(&row.worker);
    to.set_started(wire::time(row.started));
    to.set_finished(row.finished.map_or(0, wire::time));
    // While the attempt runs, its outcome is only the requested one.
    to.set_outcome(wire::outcome_to_wire(row.outcome.filter(|_| row.finished.is_some())));
    to.set_reason(REASON.cut(&row.reason));
    to.set_isolation(row.isolation.as_ref().map_or("", TierName::word));
    if let Some(placed) = &row.placed {
        to.set_placed(SENTENCE.cut(&explain::placed_text(placed)));
        to.set_because(placed.because.word());
        to.set_able(placed.able);
        to.set_free(placed.free);
        to.set_waited(placed.waited_ms);
        to.set_waited_for(SENTENCE.cut(&explain::waited_text(placed, &row.worker)));
    }
}
