//! Advice for words of other systems (GitHub Actions, GitLab CI, BuildBot). It names the words of Guild that mean the same. If only a
//! later version will have the feature, it says what to do until then.

/// Returns advice on what to write instead of this key. `None` means that the reader suggests the nearest known key.
pub(super) fn advice(key: &str) -> Option<&'static str> {
    let found = WORDS.iter().find(|(keys, _)| keys.contains(&key));
    found.map(|(_, advice)| *advice)
}

const WORDS: &[(&[&str], &str)] = &[
    (&["runs-on", "runs_on"], "`on` names the platform: on = \"linux-x86_64\"; `want` names labels of the worker"),
    (
        &["script", "before_script", "after_script", "command", "commands"],
        "`run` is the command; several are [[job.NAME.step]] tables",
    ),
    (&["stages", "stage"], "there are no stages: `needs` of a job names the jobs that go before it"),
    (&["strategy", "parallel"], "matrix = { os = [\"a\", \"b\"] } makes a job of each cell"),
    (
        &["if", "only_if", "rules", "except", "doStepIf"],
        "`when` says for which branches, tags, causes and paths a job runs",
    ),
    (&["variables", "environment"], "`env` is a table of variables: env = { CC = \"clang\" }"),
    (&["uses", "with"], "there are no ready-made actions: a step is a command of its own"),
    (
        &["allow_failure", "continue-on-error", "continue_on_error", "flunkOnFailure", "warnOnFailure"],
        "a step with `continue = true` may fail, and the job is then `warned`",
    ),
    (&["alwaysRun"], "always = true"),
    (&["haltOnFailure"], "a job ends at the first step that fails, unless that has `continue = true`"),
    (&["timeout-minutes", "timeout_minutes", "maxTime"], "timeout = \"45m\""),
    (&["workdir", "working-directory", "working_directory"], "`dir` is a directory of the checkout"),
    (&["depends_on", "dependencies", "depends"], "`needs` names the jobs that go before it"),
    (
        &["builders", "factory", "schedulers", "workers", "slaves", "workernames"],
        "a pipeline has jobs and steps only; workers and projects are in the master file",
    ),
    (
        &["container"],
        "a step runs in what the worker's machine has: a label, as in want = [\"python=3.14\"], picks the machine",
    ),
    (&["branches"], "push = [\"main\", \"release/*\"] in [trigger]"),
    (&["cache"], "until then, workspace = \"clean\" or \"kept\" keeps what a job leaves in its directory"),
    (&["artifact", "artifacts"], "until then, a step of yours can upload what it made"),
    (&["secrets"], "until then, `pass` of worker.toml hands variables of the worker to its steps"),
    (&["services"], "until then, a step can start what it needs, and end it"),
    (&["schedule", "schedules"], "[trigger.cron.NAME] names a time, as at = \"0 3 * * *\""),
    (&["image"], "until then, a label, as in want = [\"python=3.14\"], picks a machine that has what the job needs"),
];
