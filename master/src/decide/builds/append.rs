//! Adds jobs to the plan of a build. Pure.

use pipeline::limits::{JOBS_MAX, NEEDS_MAX, PLAN_MAX};
use schema::limits::{self, JOB_BYTES, VIEW_BYTES};
use schema::values::{JobPlan, Plan, Refusal, RefusalCode};
use std::collections::BTreeMap;

/// A job to be added to a build.
#[derive(Clone, Debug)]
pub struct AddedJob {
    /// The plan of the job. Its `needs` are ignored, because they follow from the names.
    pub plan: JobPlan,
    /// The names of the jobs that this job needs. The build has them, or they are added before this one.
    pub needs: Vec<String>,
}

/// Returns the plan with these jobs at its end. The names of their needs are resolved to indices here, once and for all.
pub(super) fn extended(plan: &Plan, jobs: Vec<AddedJob>) -> Result<Plan, Refusal> {
    let mut plan = plan.clone();
    let mut indices: BTreeMap<String, u32> = (0..).zip(&plan.jobs).map(|(at, job)| (job.name.clone(), at)).collect();
    for AddedJob { plan: mut job, needs } in jobs {
        let index = |need: &String| indices.get(need).copied().ok_or_else(|| no_need(&job.name, need));
        job.needs = needs.iter().map(index).collect::<Result<_, _>>()?;
        let at = schema::wire::length(plan.jobs.len());
        if indices.insert(job.name.clone(), at).is_some() {
            let text = format!("the build has a job `{}` already", job.name);
            return Err(Refusal::new(RefusalCode::Conflict, text).help("choose another name"));
        }
        plan.jobs.push(job);
    }
    within_bounds(&plan)?;
    Ok(plan)
}

/// Refuses a plan that exceeds the limits of plans, which are the limits of the pipeline reader.
fn within_bounds(plan: &Plan) -> Result<(), Refusal> {
    let sizes = || plan.jobs.iter().map(JobPlan::size);
    let needs: usize = plan.jobs.iter().map(|job| job.needs.len()).sum();
    let text = match () {
        () if plan.jobs.len() > JOBS_MAX => format!("{JOBS_MAX} jobs"),
        () if needs > NEEDS_MAX => format!("{} needs", limits::grouped(NEEDS_MAX)),
        () if sizes().any(|size| size > JOB_BYTES) => format!("{} MiB of one job", JOB_BYTES >> 20),
        () if sizes().sum::<usize>() > PLAN_MAX => format!("{} MiB of text", PLAN_MAX >> 20),
        () if plan.jobs.iter().map(limits::view_bytes).sum::<usize>() > VIEW_BYTES => {
            format!("{} MiB of jobs and steps as they are shown", VIEW_BYTES >> 20)
        }
        () => return Ok(()),
    };
    Err(Refusal::new(RefusalCode::Invalid, format!("the plan of the build would have more than {text}")))
}

fn no_need(job: &str, need: &str) -> Refusal {
    let text = format!("job `{job}` needs `{need}`, which is not a job of the build before it");
    Refusal::new(RefusalCode::Invalid, text)
}
