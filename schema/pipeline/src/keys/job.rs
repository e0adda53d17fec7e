//! The keys of a job, of `[defaults]` and of a step, with the names of keys that a later version will have.

use super::super::entry::{Entry, set};
use super::super::reports;
use super::super::settings::{self, Settings};
use super::super::step::{Run, Step};
use super::{ENV, LIST, SHELL};
use crate::limits::{CPUS_MAX, PRIORITY_MAX};
use schema::values::{ReportFormat, Tier};
use toml_file::reference::Absent::{Is, Means, Required};
use toml_file::reference::{Form, Key};

pub(crate) const DEFAULTS_LATER: &[&str] = &["image", "cache", "secrets", "keep", "lock"];
/// The keys of a job that a later version will have, besides [`STEP_LATER`].
pub(crate) const JOB_LATER: &[&str] = &["services", "keep", "use", "lock", "group", "approve", "max", "secrets"];
pub(crate) const STEP_LATER: &[&str] =
    &["secrets", "retry", "warnings", "size", "metric", "artifact", "isolation", "image", "generates", "cache"];

const RUN_FORM: Form = Form::Either(&[Form::Text, Form::Array(&Form::Text), Form::Table("[job.NAME.run]")]);
const RULES: Form = Form::Either(&[Form::Map(&LIST), Form::Array(&Form::Map(&LIST))]);
const EVERY: Form = Form::Either(&[Form::OneOf(&["*"]), Form::Array(&Form::Text)]);

/// The form of a report that can be in files or in the output of the step: patterns of files, or `true` for the output.
const PRINTED: Form = Form::Either(&[Form::Flag, Form::Text, Form::Array(&Form::Text)]);

/// The keys that both a job and `[defaults]` can have.
pub(crate) const SETTINGS: &[Entry<Settings>] = &[
    Entry::new("on", Form::Text, Means("any worker"), "\"linux-x86_64\"", "the platform of the worker", |value, to| {
        to.on = settings::on(value)
    }),
    Entry::new(
        "want",
        LIST,
        Is("[]"),
        "[\"gpu\", \"python=3.14\", \"memory>=4GiB\", \"cpus>=2\"]",
        "the labels, each with a value or without, and the sizes that the worker must have; at most 100",
        |value, to| to.want = settings::want(value),
    ),
    Entry::new(
        "cpus",
        Form::Number(CPUS_MAX),
        Means("a slot only"),
        "0.5",
        "the cores that are reserved while the job runs",
        |value, to| set(&mut to.plan.cpus_milli, settings::cpus_milli(value)),
    ),
    Entry::new(
        "memory",
        Form::Size,
        Means("a slot only"),
        "\"2GiB\"",
        "the memory that is reserved while the job runs",
        |value, to| set(&mut to.plan.memory, value.bytes()),
    ),
    Entry::new(
        "env",
        ENV,
        Is("{}"),
        "{ CC = \"clang\" }",
        "environment variables, at most 500; names that begin with `GUILD_` are reserved",
        |value, to| to.env = settings::env(value),
    ),
    Entry::new(
        "dir",
        Form::Text,
        Means("the checkout"),
        "\"src\"",
        "the directory in which steps begin, relative to the checkout; its parts are separated by `/`, and none is `..`",
        |value, to| to.dir = settings::dir(value),
    ),
    Entry::new(
        "shell",
        SHELL,
        Is("\"sh\""),
        "\"bash\"",
        "the [shell](../pipeline.md#steps), or the command, that gets each script as its last argument; for Windows the default is `\"pwsh\"`",
        |value, to| to.shell = settings::shell(value),
    ),
    Entry::new(
        "timeout",
        Form::Duration,
        Is("\"1h\""),
        "\"45m\"",
        "how long the whole job may take; the master may have a lower limit",
        |value, to| set(&mut to.plan.timeout_ms, settings::limit_ms(value)),
    ),
    Entry::new(
        "always_timeout",
        Form::Duration,
        Is("\"30s\""),
        "\"2m\"",
        "how long all `always` steps together may take after a cancel or after `timeout`; the master's limit of a job holds for it too",
        |value, to| set(&mut to.plan.always_timeout_ms, settings::limit_ms(value)),
    ),
    Entry::new(
        "idle",
        Form::Duration,
        Is("\"20m\""),
        "\"5m\"",
        "a step is ended after this time without a byte of output",
        |value, to| to.idle_ms = settings::limit_ms(value),
    ),
    Entry::new(
        "retry",
        Form::Table("[job.NAME.retry]"),
        Is("{ infra = 2 }"),
        "{ infra = 0 }",
        "how often the job is tried again; a failed test is never tried again by itself",
        |value, to| to.retry_infra = settings::retry_infra(value),
    ),
    Entry::new(
        "priority",
        Form::Whole(-PRIORITY_MAX, PRIORITY_MAX),
        Is("0"),
        "10",
        "jobs with a higher number are placed first",
        |value, to| set(&mut to.plan.priority, settings::priority(value)),
    ),
    Entry::new(
        "workspace",
        Form::OneOf(&["fresh", "clean", "kept"]),
        Is("\"fresh\""),
        "\"kept\"",
        "the files that the job finds: with `\"fresh\"` only a new checkout, with `\"clean\"` also ignored files of the previous build, with `\"kept\"` all its untracked files",
        |value, to| set(&mut to.plan.workspace, value.choice(&settings::WORKSPACES)),
    ),
    Entry::new(
        "isolation",
        Form::OneOf(&[Tier::ALL[0].word(), Tier::ALL[1].word()]),
        Means("`\"guard\"`, or the tier that its pool names"),
        "\"guard\"",
        "the weakest [tier](../pipeline.md#tiers) in which the job may run; a pool can ask for a stronger one",
        |value, to| set(&mut to.plan.isolation, value.tier().map(|tier| Some(tier.into()))),
    ),
    Entry::new(
        "source",
        Form::OneOf(&["none"]),
        Means("the commit"),
        "\"none\"",
        "with `\"none\"` there is no checkout",
        |value, to| set(&mut to.plan.sources, settings::sources(value)),
    ),
];

pub(crate) const JOB: &[Entry<Settings>] = &[
    Entry::of_owner(Key::new(
        "needs",
        Form::Array(&Form::Text),
        Is("[]"),
        "[\"other\"]",
        "the names of the jobs that this job waits for",
    )),
    Entry::of_owner(Key::new(
        "matrix",
        Form::Map(&EVERY),
        Means("one cell"),
        "{ python = [\"3.11\", \"3.14\"] }",
        "the axes, at most 16; the matrix makes [a job for each combination](../pipeline.md#matrix), at most 1,000; `\"*\"` means all values of `[axis.NAME]`",
    )),
    Entry::of_owner(Key::new(
        "skip",
        RULES,
        Is("[]"),
        "[{ python = \"3.11\" }]",
        "tables of axes and values, at most 100; cells that one of them matches are left out; this needs `matrix`",
    )),
    Entry::of_owner(Key::new(
        "only",
        RULES,
        Means("all cells"),
        "{ python = [\"3.14\"] }",
        "tables like those of `skip`; only cells that one of them matches are kept",
    )),
    Entry::of_owner(Key::new(
        "when",
        Form::Table("[job.NAME.when]"),
        Means("always"),
        "{ branch = \"main\" }",
        "the builds in which the job runs; it is skipped in all others",
    )),
    Entry::new(
        "side_effects",
        Form::Flag,
        Is("false"),
        "true",
        "whether the job has effects outside; such a job is never run again by itself, and has no `retry`",
        |value, to| set(&mut to.plan.side_effects, value.boolean()),
    ),
    Entry::new(
        "may_fail",
        Form::Flag,
        Is("false"),
        "true",
        "whether [its failure is only a warning](../pipeline.md#a-job-that-may-fail) for the build and for the jobs that need it",
        |value, to| set(&mut to.plan.may_fail, value.boolean()),
    ),
    Entry::of_owner(Key::new(
        "step",
        Form::Array(&Form::Table("[[job.NAME.step]]")),
        Means("`run`"),
        "[{ run = \"make\" }]",
        "the steps, at least 1 and at most 100",
    )),
];

/// The keys of a step that a job with `run` has itself, because it is its own only step.
pub(crate) const ONLY_STEP: &[Entry<Step>] = &[
    Entry::new("run", RUN_FORM, Means("`step`"), "\"make\"", "the command of its only step", |value, to| {
        to.run = Run::read(value)
    }),
    Entry::new(
        "name",
        Form::Text,
        Means("the job's"),
        "\"tests\"",
        "the name of its only step; at most 200 bytes, as in `step`",
        |value, to| to.name = value.text(),
    ),
    Entry::new(
        "always",
        Form::Flag,
        Is("false"),
        "true",
        "accepted for its only step, but without effect, because no step is before it",
        |value, to| set(&mut to.plan.always, value.boolean()),
    ),
    Entry::new(
        "continue",
        Form::Flag,
        Is("false"),
        "true",
        "whether a failure of its only step makes the job only `warned`",
        |value, to| set(&mut to.plan.continue_on_failure, value.boolean()),
    ),
    Entry::new(
        "junit",
        LIST,
        Means("none"),
        "\"build/**/TEST-*.xml\"",
        "patterns of the files of JUnit XML that its only step writes, relative to `dir`; all forms of [test reports](../pipeline.md#test-reports) together have at most 20 patterns",
        |value, to| reports::read(value, ReportFormat::Junit, &mut to.reports),
    ),
    Entry::new(
        "tap",
        PRINTED,
        Is("false"),
        "true",
        "`true` if its only step prints TAP of the versions 12 to 14, or patterns of the files of TAP that it writes",
        |value, to| reports::read(value, ReportFormat::Tap, &mut to.reports),
    ),
    Entry::new(
        "subunit",
        LIST,
        Means("none"),
        "\"tests.subunit\"",
        "patterns of the files of subunit, version 2, that its only step writes",
        |value, to| reports::read(value, ReportFormat::Subunit, &mut to.reports),
    ),
    Entry::new(
        "libtest",
        PRINTED,
        Is("false"),
        "true",
        "`true` if its only step runs `cargo test` or prints the same, or patterns of the files with such output",
        |value, to| reports::read(value, ReportFormat::Libtest, &mut to.reports),
    ),
];

pub(crate) const STEP: &[Entry<Step>] = &[
    Entry::new(
        "name",
        Form::Text,
        Means("`step N`"),
        "\"tests\"",
        "the name under which the step is shown; at most 200 bytes, with its placeholders filled in",
        |value, to| to.name = value.text(),
    ),
    Entry::new(
        "run",
        RUN_FORM,
        Required,
        "[\"make\", \"-j4\"]",
        "the command: a string for the shell, an array for a program and its arguments, or a table with a command for each system",
        |value, to| to.run = Run::read(value),
    ),
    Entry::new(
        "shell",
        SHELL,
        Means("the job's"),
        "\"bash\"",
        "the [shell](../pipeline.md#steps) of the step",
        |value, to| to.shell = settings::shell(value),
    ),
    Entry::new(
        "env",
        ENV,
        Is("{}"),
        "{ CC = \"clang\" }",
        "further environment variables, besides those of the job",
        |value, to| to.env = settings::env(value),
    ),
    Entry::new(
        "dir",
        Form::Text,
        Means("the job's"),
        "\"src\"",
        "the directory in which the step begins, relative to the checkout",
        |value, to| to.dir = settings::dir(value),
    ),
    Entry::new(
        "timeout",
        Form::Duration,
        Means("the job's"),
        "\"5m\"",
        "how long this step may take; the `timeout` of the job holds too",
        |value, to| set(&mut to.plan.timeout_ms, settings::limit_ms(value)),
    ),
    Entry::new(
        "idle",
        Form::Duration,
        Is("\"20m\""),
        "\"5m\"",
        "the step is ended after this time without output; the default is the job's, if that has one",
        |value, to| to.idle_ms = settings::limit_ms(value),
    ),
    Entry::new(
        "always",
        Form::Flag,
        Is("false"),
        "true",
        "whether the step also runs after an earlier step failed, was [cancelled](../pipeline.md#how-a-step-ends) or used up the job's time",
        |value, to| set(&mut to.plan.always, value.boolean()),
    ),
    Entry::new(
        "continue",
        Form::Flag,
        Is("false"),
        "true",
        "whether a failure makes the job only `warned`, and the next step runs",
        |value, to| set(&mut to.plan.continue_on_failure, value.boolean()),
    ),
    Entry::new(
        "junit",
        LIST,
        Means("none"),
        "\"build/**/TEST-*.xml\"",
        "patterns of the files of JUnit XML that the command writes, relative to `dir`; all forms of [test reports](../pipeline.md#test-reports) together have at most 20 patterns",
        |value, to| reports::read(value, ReportFormat::Junit, &mut to.reports),
    ),
    Entry::new(
        "tap",
        PRINTED,
        Is("false"),
        "true",
        "`true` if the command prints TAP of the versions 12 to 14, or patterns of the files of TAP that it writes",
        |value, to| reports::read(value, ReportFormat::Tap, &mut to.reports),
    ),
    Entry::new(
        "subunit",
        LIST,
        Means("none"),
        "\"tests.subunit\"",
        "patterns of the files of subunit, version 2, that the command writes",
        |value, to| reports::read(value, ReportFormat::Subunit, &mut to.reports),
    ),
    Entry::new(
        "libtest",
        PRINTED,
        Is("false"),
        "true",
        "`true` if the command is `cargo test` or prints the same, or patterns of the files with such output",
        |value, to| reports::read(value, ReportFormat::Libtest, &mut to.reports),
    ),
];
