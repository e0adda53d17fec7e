//! The part of a plan that a try runs: the jobs that were asked for and those that they need, without effects outside.

use schema::limits::SKIPPED;
use schema::values::{JobPlan, Plan};

/// Leaves out the jobs of a plan that a try does not run, each with its reason. `jobs` are the names that were asked for, with or
/// without their cells; empty means all. `platform` is the only platform that was asked for; empty means any. A job that names no
/// platform runs on that one.
///
/// # Errors
/// Says what was asked for in vain.
pub fn tried(mut plan: Plan, jobs: &[String], platform: &str) -> Result<Plan, String> {
    if let Some(unknown) = jobs.iter().find(|name| !plan.jobs.iter().any(|job| is_named(job, name))) {
        return Err(format!("there is no job `{unknown}`; there are {}", names(plan.jobs.iter().map(|job| &job.base))));
    }
    let on_platform = |job: &JobPlan| platform.is_empty() || job.on.is_empty() || job.on == platform;
    let is_asked = |job: &JobPlan| jobs.is_empty() || jobs.iter().any(|name| is_named(job, name));
    let asked: Vec<bool> = plan.jobs.iter().map(|job| is_asked(job) && on_platform(job)).collect();
    if !asked.contains(&true) {
        let platforms = plan.jobs.iter().filter(|job| is_asked(job)).map(|job| &job.on);
        return Err(format!("no such job is for the platform `{platform}`; there are jobs for {}", names(platforms)));
    }
    let wanted = with_needs(&plan, asked.clone());
    for index in 0..plan.jobs.len() {
        let why = why_left_out(&plan, index, wanted[index]);
        let job = &mut plan.jobs[index];
        job.skipped_in_retry = None;
        if let Some(why) = why {
            job.skipped = SKIPPED.cut(&why).into_owned();
        }
        if asked[index] && job.on.is_empty() {
            platform.clone_into(&mut job.on);
        }
    }
    Ok(plan)
}

/// Why a try leaves out a job. `None` means that the pipeline alone decides. The jobs before it are decided.
fn why_left_out(plan: &Plan, index: usize, is_wanted: bool) -> Option<String> {
    let job = &plan.jobs[index];
    if !is_wanted {
        return Some("was not asked for in this try".to_owned());
    }
    if job.side_effects {
        return Some("has side effects, and a try has none".to_owned());
    }
    let needs = job.needs.iter().filter_map(|need| plan.jobs.get(*need as usize));
    let without = needs.clone().find(|need| need.side_effects || need.skipped.ends_with(AFTER_EFFECTS))?;
    Some(format!("needs `{}`, {AFTER_EFFECTS}", without.name))
}

/// The end of the reason of a job that needs a job with side effects, directly or not.
const AFTER_EFFECTS: &str = "which a try leaves out for its side effects";

/// Adds the jobs that these jobs need. Each job needs only jobs before it.
fn with_needs(plan: &Plan, mut wanted: Vec<bool>) -> Vec<bool> {
    for (index, job) in plan.jobs.iter().enumerate().rev() {
        if wanted[index] {
            job.needs.iter().for_each(|need| wanted[*need as usize] = true);
        }
    }
    wanted
}

fn is_named(job: &JobPlan, name: &str) -> bool {
    job.name == name || job.base == name
}

fn names<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let mut names: Vec<String> = names.filter(|name| !name.is_empty()).map(|name| format!("`{name}`")).collect();
    names.sort();
    names.dedup();
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::values::Trust;

    fn job(name: &str, on: &str, needs: &[u32]) -> JobPlan {
        let base = name.split('@').next().unwrap_or_default().to_owned();
        JobPlan { name: name.to_owned(), base, on: on.to_owned(), needs: needs.to_vec(), ..JobPlan::default() }
    }

    /// Returns each job that runs with its platform, after the jobs that are left out with the reason.
    fn tried_in_short(jobs: &[&str], platform: &str) -> Result<String, String> {
        let publish = JobPlan { side_effects: true, ..job("publish", "", &[1]) };
        let all = vec![
            job("lint", "", &[]),
            job("test@linux", "linux", &[0]),
            job("test@mac", "mac", &[0]),
            publish,
            job("announce", "", &[3]),
        ];
        let jobs: Vec<String> = jobs.iter().map(|name| (*name).to_owned()).collect();
        let plan = tried(Plan { version: 1, jobs: all, trust: Trust::Trusted }, &jobs, platform)?;
        let shown = |job: &JobPlan| match job.skipped.as_str() {
            "" => format!("{}={}", job.name, job.on),
            why => format!("{}: {}", job.name, why.split(' ').next().unwrap_or_default()),
        };
        Ok(plan.jobs.iter().map(shown).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_try_has_what_was_asked_for_and_its_needs_and_no_effects() {
        let table = [
            (&[][..], "", "lint= test@linux=linux test@mac=mac publish: has announce: needs"),
            (&["test@mac"], "", "lint= test@linux: was test@mac=mac publish: was announce: was"),
            (&["test"], "linux", "lint= test@linux=linux test@mac: was publish: was announce: was"),
            (&[], "linux", "lint=linux test@linux=linux test@mac: was publish: has announce: needs"),
            (&["announce"], "", "lint= test@linux=linux test@mac: was publish: has announce: needs"),
        ];
        for (jobs, platform, expected) in table {
            assert_eq!(tried_in_short(jobs, platform).as_deref(), Ok(expected), "{jobs:?} {platform}");
        }
    }

    #[test]
    fn what_was_asked_for_in_vain_is_said() {
        let unknown = "there is no job `tset`; there are `announce`, `lint`, `publish`, `test`";
        assert_eq!(tried_in_short(&["tset"], ""), Err(unknown.to_owned()));
        let elsewhere = "no such job is for the platform `windows`; there are jobs for `linux`, `mac`";
        assert_eq!(tried_in_short(&["test"], "windows"), Err(elsewhere.to_owned()));
    }
}
