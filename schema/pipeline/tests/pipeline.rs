//! Good pipelines, and the plans that are made from them.

use pipeline::{Changed, Context, load};
use schema::values::{BuildCause, Command, JobPlan, Plan, Tier, TierName, Trust, Workspace};
use std::sync::Arc;

fn context(ref_name: &str) -> Context {
    Context {
        ref_name: ref_name.to_owned(),
        cause: BuildCause::Change,
        changed: Changed::default(),
        trust: Trust::Trusted,
    }
}

fn plan_for(text: &str, context: &Context) -> Plan {
    let pipeline = load("guild.toml", text.as_bytes()).unwrap_or_else(|errors| panic!("{errors}"));
    pipeline.expand(context).expect("what loads expands")
}

fn plan(text: &str) -> Plan {
    plan_for(text, &context("refs/heads/main"))
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.jobs.iter().map(|job| job.name.as_str()).collect()
}

/// Returns a line for each job: its name and the names of the jobs that it needs.
fn needs(plan: &Plan) -> Vec<String> {
    let line = |job: &JobPlan| {
        let needs: Vec<&str> = job.needs.iter().map(|&at| plan.jobs[at as usize].name.as_str()).collect();
        format!("{} <- {}", job.name, needs.join(" "))
    };
    plan.jobs.iter().map(line).collect()
}

fn job<'p>(plan: &'p Plan, name: &str) -> &'p JobPlan {
    plan.jobs.iter().find(|job| job.name == name).expect("a job of the plan")
}

fn env(job: &JobPlan) -> String {
    let pairs: Vec<String> = job.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join(" ")
}

const FULL: &str = r#"
version = 1

[trigger]
push = ["main", "release/*"]
tag = ["v*"]
paths = ["**/*.rs"]

[defaults]
timeout = "45m"
env = { A = "defaults", CARGO_TERM_COLOR = "always" }
want = ["git"]

[axis.platform]
linux-x86_64 = { on = "linux-x86_64", want = ["memory>=4GiB"], env = { A = "axis", B = "axis" } }
linux-aarch64 = { on = "linux-aarch64" }
windows-x86_64 = { on = "windows-x86_64" }

[job.publish]
needs = ["test"]
when = { tag = ["v*"] }
side_effects = true
run = "./ci/publish.sh"

[job.test]
needs = ["lint", "build"]
matrix = { platform = "*", python = ["3.11", "3.14"] }
skip = [{ platform = "linux-aarch64", python = "3.11" }]
want = ["python={python}"]
cpus = 0.5
memory = "1GiB"
env = { A = "job {python}" }
priority = 3
retry = { infra = 5 }
workspace = "clean"

[[job.test.step]]
run = { default = "pytest ${python} {{python}} {x}", windows = ["py", "{python}", "${X} {{python}} {}"] }
env = { S = "{platform}" }

[[job.test.step]]
name = "after {python}"
run = "true"
shell = "bash"
dir = "sub/{python}"
timeout = "1m30s"
idle = "1h"
always = true
continue = true

[job.build]
matrix = { platform = "*" }
run = "make"

[job.lint]
on = "linux-x86_64"
source = "none"
run = "cargo clippy"
shell = ["zsh", "-c"]
name = "clippy"
"#;

#[test]
fn order_and_alignment() {
    assert_eq!(
        needs(&plan(FULL)),
        [
            "build@linux-x86_64 <- ",
            "build@linux-aarch64 <- ",
            "build@windows-x86_64 <- ",
            "lint <- ",
            "test@linux-x86_64,3.11 <- build@linux-x86_64 lint",
            "test@linux-x86_64,3.14 <- build@linux-x86_64 lint",
            "test@linux-aarch64,3.14 <- build@linux-aarch64 lint",
            "test@windows-x86_64,3.11 <- build@windows-x86_64 lint",
            "test@windows-x86_64,3.14 <- build@windows-x86_64 lint",
            "publish <- test@linux-x86_64,3.11 test@linux-x86_64,3.14 test@linux-aarch64,3.14 \
             test@windows-x86_64,3.11 test@windows-x86_64,3.14",
        ]
    );
}

#[test]
fn what_a_cell_brings() {
    let plan = plan(FULL);
    let linux = job(&plan, "test@linux-x86_64,3.14");
    assert_eq!((linux.base.as_str(), linux.on.as_str()), ("test", "linux-x86_64"));
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(linux.cell, [pair("platform", "linux-x86_64"), pair("python", "3.14")]);
    assert_eq!(
        env(linux),
        "GUILD_AXIS_PLATFORM=linux-x86_64 GUILD_AXIS_PYTHON=3.14 A=job 3.14 CARGO_TERM_COLOR=always B=axis"
    );
    assert_eq!(linux.want, ["git", "memory>=4GiB", "python=3.14"]);
    assert_eq!((linux.cpus_milli, linux.memory, linux.priority), (500, 1 << 30, 3));
    assert_eq!((linux.timeout_ms, linux.retry_infra, linux.workspace), (45 * 60_000, 5, Workspace::Clean));
}

#[test]
fn steps() {
    let plan = plan(FULL);
    let strings = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let shell = |words: &[&str], script: &str| Command::Shell { shell: strings(words), script: script.to_owned() };

    let linux = job(&plan, "test@linux-x86_64,3.14");
    let first = &linux.steps[0];
    // the value of an axis is never put into a script
    assert_eq!(first.command, shell(&["sh", "-eu", "-c"], "pytest ${python} {{python}} {x}"));
    assert_eq!(
        (first.name.as_str(), first.dir.as_str(), first.timeout_ms, first.idle_ms),
        ("step 1", "", 0, 1_200_000)
    );
    assert_eq!(first.env, [("S".to_owned(), "linux-x86_64".to_owned())]);
    let second = &linux.steps[1];
    assert_eq!(second.command, shell(&["bash", "-eu", "-o", "pipefail", "-c"], "true"));
    assert_eq!((second.name.as_str(), second.dir.as_str()), ("after 3.14", "sub/3.14"));
    assert_eq!((second.timeout_ms, second.idle_ms), (90_000, 3_600_000));
    assert!(second.always && second.continue_on_failure && !first.always && !first.continue_on_failure);

    let windows = job(&plan, "test@windows-x86_64,3.11");
    assert_eq!(windows.steps[0].command, Command::Exec(strings(&["py", "3.11", "${X} {python} {}"])));
    let build = &job(&plan, "build@windows-x86_64").steps[0];
    assert_eq!(build.command, shell(&["pwsh", "-NoProfile", "-Command"], "make"));
    assert_eq!(build.name, "build");
    let lint = job(&plan, "lint");
    assert_eq!((lint.steps[0].name.as_str(), lint.sources), ("clippy", false));
    assert_eq!(lint.steps[0].command, shell(&["zsh", "-c"], "cargo clippy"));
}

#[test]
fn the_weakest_tier_is_that_of_the_job_or_of_the_defaults() {
    let text = "version = 1\ndefaults.isolation = \"plain\"\n[job.a]\nrun = \"a\"\n[job.b]\nrun = \"b\"\nisolation = \"guard\"\n";
    let plan = plan(text);
    let tier = |name| job(&plan, name).isolation.as_ref().and_then(TierName::known);
    assert_eq!((tier("a"), tier("b")), (Some(Tier::Plain), Some(Tier::Guard)));
}

#[test]
fn defaults_of_the_file_format() {
    let plan = plan("version = 1\njob.test.run = \"make test\"\n");
    let JobPlan { name, on, timeout_ms, retry_infra, workspace, sources, .. } = &plan.jobs[0];
    assert_eq!((name.as_str(), on.as_str(), *timeout_ms, *retry_infra), ("test", "", 3_600_000, 2));
    assert_eq!((*workspace, *sources, plan.version, plan.trust), (Workspace::Fresh, true, 1, Trust::Trusted));
    let publish = plan_for(FULL, &context("refs/tags/v1"));
    assert_eq!(job(&publish, "publish").retry_infra, 0);
    assert_eq!((plan.jobs[0].always_timeout_ms, &plan.jobs[0].isolation), (30_000, &None));
    assert!(job(&publish, "publish").side_effects);
}

#[test]
fn only_and_lists() {
    let text = "version = 1\n[job.a]\nmatrix = { x = [\"1\", \"2\", \"3\"], y = [\"p\", \"q\"] }\n\
                only = [{ x = [\"1\", \"2\"] }, { y = \"q\" }]\nskip = { x = \"1\", y = \"p\" }\nrun = \"r\"\n";
    assert_eq!(names(&plan(text)), ["a@1,q", "a@2,p", "a@2,q", "a@3,q"]);
}

#[test]
fn when() {
    let text = "version = 1\n\
                [job.a]\nrun = \"r\"\nwhen = { branch = \"release/*\", tag = [\"v*\"] }\n\
                [job.b]\nrun = \"r\"\nwhen = { paths = [\"docs/\", \"*.md\"] }\n\
                [job.c]\nrun = \"r\"\nneeds = [\"a\"]\nwhen = { cause = [\"run\", \"retry\"] }\n";
    let skipped = |ref_name: &str, cause, paths: Option<&[&str]>| {
        let mut changed = Changed::default();
        if let Some(paths) = paths {
            let paths = Arc::new(paths.iter().map(|&path| path.to_owned()).collect());
            for job in ["a", "b", "c"] {
                changed.insert(job.to_owned(), Arc::clone(&paths));
            }
        }
        let plan = plan_for(text, &Context { cause, changed, ..context(ref_name) });
        plan.jobs.iter().map(|job| job.skipped.clone()).collect::<Vec<_>>()
    };
    let cause = "runs only for the cause run, retry; this one is change";
    let not_main = "runs only for branches release/* and tags v*; this is branch main";
    assert_eq!(skipped("refs/heads/main", BuildCause::Change, None), [not_main, "", cause]);
    assert_eq!(skipped("refs/heads/release/1", BuildCause::Run { by: String::new() }, None), ["", "", ""]);
    let deep = "runs only for branches release/* and tags v*; this is branch release/1/2";
    assert_eq!(
        skipped("refs/heads/release/1/2", BuildCause::Retry { number: 1, by: String::new() }, None),
        [deep, "", ""]
    );
    assert_eq!(skipped("refs/tags/v2", BuildCause::Change, Some(&[])), ["", "", cause]);
    let paths = "runs only when docs/, *.md changes; nothing there did";
    assert_eq!(
        skipped("refs/tags/2", BuildCause::Run { by: String::new() }, Some(&["x"])),
        ["runs only for branches release/* and tags v*; this is tag 2", "", ""]
    );
    assert_eq!(
        skipped("refs/heads/main", BuildCause::Run { by: String::new() }, Some(&["a/b.md"])),
        [not_main, paths, ""]
    );
    assert_eq!(
        skipped("refs/heads/main", BuildCause::Run { by: String::new() }, Some(&["x", "docs/a/b"])),
        [not_main, "", ""]
    );
    assert_eq!(
        skipped("", BuildCause::Run { by: String::new() }, None)[0],
        "runs only for branches release/* and tags v*; this is a commit without a branch"
    );
}

#[test]
fn triggers() {
    let pipeline = load("guild.toml", FULL.as_bytes()).unwrap();
    let rust = ["src/a.rs".to_owned()];
    let text = ["README".to_owned()];
    assert!(pipeline.triggers("refs/heads/main", None));
    assert!(pipeline.triggers("refs/heads/release/1", Some(&rust)));
    assert!(!pipeline.triggers("refs/heads/main", Some(&text)));
    assert!(!pipeline.triggers("refs/heads/release/1/2", None));
    assert!(!pipeline.triggers("refs/heads/dev", None));
    assert!(pipeline.triggers("refs/tags/v1", Some(&text)));
    assert!(!pipeline.triggers("refs/tags/1", None));
    assert!(!pipeline.triggers("refs/pull/1/head", None));
    let why = |ref_name: &str, paths| pipeline.not_triggered(ref_name, paths).unwrap();
    assert_eq!(why("refs/heads/dev", Some(&text[..])), "does not ask for refs/heads/dev");
    let of_paths = why("refs/heads/main", Some(&text[..]));
    assert!(of_paths.starts_with("asks for changes of its `paths`, and nothing changed in "), "{of_paths}");

    let usual = load("guild.toml", b"version = 1\njob.a.run = \"r\"").unwrap();
    assert!(usual.triggers("refs/heads/a/b", Some(&[])));
    assert!(!usual.triggers("refs/tags/v1", None));
}

#[test]
fn a_folder_is_also_the_submodule_or_link_of_its_name() {
    let text = "version = 1\ntrigger.paths = 'lib/'\njob.a = { run = 'r', when = { paths = ['lib/', 'docs/'] } }";
    let pipeline = load("guild.toml", text.as_bytes()).unwrap();
    for (path, is_in) in [("lib", true), ("lib/a", true), ("lib/a/b", true), ("library", false), ("a/lib", false)] {
        let paths = vec![path.to_owned()];
        assert_eq!(pipeline.triggers("refs/heads/main", Some(&paths)), is_in, "{path}");
        let mut changed = Changed::default();
        changed.insert("a".to_owned(), Arc::new(paths));
        let context = Context { changed, ..context("refs/heads/main") };
        assert_eq!(pipeline.expand(&context).unwrap().jobs[0].skipped.is_empty(), is_in, "{path}");
    }
}

#[test]
fn the_time_of_what_clears_up() {
    let text = r#"
version = 1
[defaults]
always_timeout = "1m"
[job.one]
run = "true"
always = true
[job.two]
always_timeout = "2m"
[[job.two.step]]
run = "true"
[[job.two.step]]
run = "true"
always = true
[job.three]
[[job.three.step]]
run = "true"
[[job.three.step]]
run = "true"
always = true
"#;
    let plan = plan(text);
    let times = |name: &str| (job(&plan, name).always_timeout_ms, job(&plan, name).cleanup_ms());
    assert_eq!(times("one"), (60_000, None), "nothing is before its only step");
    assert_eq!(times("two"), (120_000, Some(120_000)));
    assert_eq!(times("three"), (60_000, Some(60_000)));
    // a plan of a master of version 0.1 has no such time
    let before = JobPlan { always_timeout_ms: 0, ..job(&plan, "three").clone() };
    assert_eq!(before.cleanup_ms(), Some(30_000));
    let mut stored = serde_json::to_value(&before).expect("a plan is JSON");
    stored.as_object_mut().expect("an object").remove("always_timeout_ms");
    assert_eq!(serde_json::from_value::<JobPlan>(stored).expect("an older plan is read"), before);
}

const LINES: &str = r#"version = 1
# a comment
[job.a]
run = """
set -e
echo one \
  two
printf 'x\r\n'
"""
env.TEXT = """
one
two"""
[[job.b.step]]
name = "s"
run = '''
set -e
echo one
'''
"#;

/// A file with `\r\n` as its line ends means the same. Line ends that are written as escapes in strings stay as they are.
#[test]
fn line_ends_of_the_file_are_not_of_its_strings() {
    let saved = LINES.replace('\n', "\r\n");
    assert_eq!(plan(&saved), plan(LINES));
    let jobs = plan(&saved).jobs;
    let script = |job: &JobPlan| match &job.steps[0].command {
        Command::Shell { script, .. } => script.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(script(&jobs[0]), "set -e\necho one two\nprintf 'x\r\n'\n");
    assert_eq!(env(&jobs[0]), "TEXT=one\ntwo");
    assert_eq!(script(&jobs[1]), "set -e\necho one\n");
    // some editors put this mark at the beginning of a file
    assert_eq!(plan(&format!("\u{feff}{saved}")), plan(LINES));
}

#[test]
fn the_reports_of_a_step_are_patterns_or_what_it_prints() {
    let plan = plan(
        "version = 1\n[job.a]\nmatrix.os = ['l', 'w']\nrun = 'x'\njunit = ['{os}/**/*.xml', 'b.xml']\nlibtest = true\ntap = false\n\
         [job.b]\ndir = 'sub'\n[[job.b.step]]\nrun = 'x'\ntap = 't/?.tap'\nsubunit = 's.bin'\n[[job.b.step]]\nrun = 'y'\n",
    );
    let shown = |job: &JobPlan, step: usize| {
        let one = |report: &schema::values::ReportPlan| format!("{}={}", report.format, report.path);
        job.steps[step].reports.iter().map(one).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(shown(job(&plan, "a@l"), 0), "junit=l/**/*.xml junit=b.xml libtest=");
    assert_eq!(shown(job(&plan, "a@w"), 0), "junit=w/**/*.xml junit=b.xml libtest=");
    assert_eq!(shown(job(&plan, "b"), 0), "tap=t/?.tap subunit=s.bin");
    assert_eq!(shown(job(&plan, "b"), 1), "");
}
