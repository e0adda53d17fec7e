//! Finds parts of a plan that are not errors but probably mistakes. `guild check` reports them, and the build goes on.

use schema::values::Plan;
use std::collections::BTreeSet;

/// The variables that people expect to be replaced in a value of `env`, as a shell does.
const EXPECTED: &[&str] = &["PATH", "HOME", "PWD", "USER", "TMPDIR"];

/// Returns a sentence about each probable mistake of a plan, each only once.
pub fn doubts(plan: &Plan) -> Vec<String> {
    let of_jobs = plan.jobs.iter().flat_map(|job| job.env.iter().map(|entry| (job.base.as_str(), entry)));
    let of_steps = plan
        .jobs
        .iter()
        .flat_map(|job| job.steps.iter().flat_map(|step| step.env.iter().map(|entry| (job.base.as_str(), entry))));
    let found: BTreeSet<String> =
        of_jobs.chain(of_steps).filter_map(|(job, (name, value))| unfilled(job, name, value)).collect();
    found.into_iter().collect()
}

fn unfilled(job: &str, name: &str, value: &str) -> Option<String> {
    let variable = EXPECTED.iter().find(|variable| names(value, variable))?;
    let way = match name {
        "PATH" => "set it in the command, as `PATH=\"$HOME/bin:$PATH\" make`, or leave it out to get the worker's own",
        _ => "set it in the command instead, because the shell replaces variables there",
    };
    Some(format!("job {job}: `{name}` of its `env` is used as written, so `${variable}` in it is not replaced; {way}"))
}

/// Whether a text refers to a variable as `$NAME` or `${NAME}`. A longer name that begins with `NAME` does not count.
fn names(value: &str, variable: &str) -> bool {
    value.match_indices('$').any(|(at, _)| {
        let rest = &value[at + 1..];
        let rest = rest.strip_prefix('{').unwrap_or(rest);
        rest.strip_prefix(variable)
            .is_some_and(|after| !after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::values::{JobPlan, Trust};

    fn doubted(name: &str, value: &str) -> Vec<String> {
        let env = vec![(name.to_owned(), value.to_owned())];
        let job = JobPlan { base: "test".to_owned(), env, ..JobPlan::default() };
        doubts(&Plan { version: 1, jobs: vec![job.clone(), job], trust: Trust::Trusted })
    }

    /// C47: a value is a literal text, so `$PATH` in it names a directory that does not exist.
    #[test]
    fn a_path_with_variables_in_it_is_doubted() {
        let found = doubted("PATH", "$HOME/bin:$PATH");
        assert_eq!(found.len(), 1, "once, though the job has two cells");
        assert!(found[0].starts_with("job test: `PATH` of its `env`") && found[0].contains("`$PATH`"), "{found:?}");
        assert_eq!(doubted("CACHE", "${HOME}/.cache").len(), 1);
        for fine in ["/usr/bin:/bin", "$1", "a$", "$PATHOLOGY", "$(HOME)", "100$"] {
            assert_eq!(doubted("PATH", fine), Vec::<String>::new(), "{fine}");
        }
    }
}
