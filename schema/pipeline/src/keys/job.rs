//! The keys of a job, of `[defaults]` and of a step, with the keys that are left to a later version.

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
/// Keys of a job that are left to a later version, besides [`STEP_LATER`].
pub(crate) const JOB_LATER: &[&str] = &["services", "keep", "use", "lock", "group", "approve", "max", "secrets"];
pub(crate) const STEP_LATER: &[&str] =
    &["secrets", "retry", "warnings", "size", "metric", "artifact", "isolation", "image", "generates", "cache"];

const RUN_FORM: Form = Form::Either(&[Form::Text, Form::Array(&Form::Text), Form::Table("[job.NAME.run]")]);
const RULES: Form = Form::Either(&[Form::Map(&LIST), Form::Array(&Form::Map(&LIST))]);
const EVERY: Form = Form::Either(&[Form::OneOf(&["*"]), Form::Array(&Form::Text)]);

/// Files, or what the step prints.
const PRINTED: Form = Form::Either(&[Form::Flag, Form::Text, Form::Array(&Form::Text)]);

/// What a job and `[defaults]` have.
pub(crate) const SETTINGS: &[Entry<Settings>] = &[
    Entry::new("on", Form::Text, Means("any worker"), "\"linux-x86_64\"", "the platform", |value, to| {
        to.on = settings::on(value)
    }),
    Entry::new(
        "want",
        LIST,
        Is("[]"),
        "[\"gpu\", \"python=3.14\", \"memory>=4GiB\", \"cpus>=2\"]",
        "what the worker must have: labels, with a value or without, and sizes; at most 100",
        |value, to| to.want = settings::want(value),
    ),
    Entry::new(
        "cpus",
        Form::Number(CPUS_MAX),
        Means("a slot only"),
        "0.5",
        "cores, reserved while it runs",
        |value, to| set(&mut to.plan.cpus_milli, settings::cpus_milli(value)),
    ),
    Entry::new("memory", Form::Size, Means("a slot only"), "\"2GiB\"", "reserved while it runs", |value, to| {
        set(&mut to.plan.memory, value.bytes())
    }),
    Entry::new(
        "env",
        ENV,
        Is("{}"),
        "{ CC = \"clang\" }",
        "variables, at most 500; names that begin with `GUILD_` are guild's own",
        |value, to| to.env = settings::env(value),
    ),
    Entry::new(
        "dir",
        Form::Text,
        Means("the checkout"),
        "\"src\"",
        "a directory in it, with `/` and without `..`",
        |value, to| to.dir = settings::dir(value),
    ),
    Entry::new(
        "shell",
        SHELL,
        Is("\"sh\""),
        "\"bash\"",
        "what scripts are given to as the last argument, see [shells](../pipeline.md#steps); for Windows `\"pwsh\"` where it is absent",
        |value, to| to.shell = settings::shell(value),
    ),
    Entry::new(
        "timeout",
        Form::Duration,
        Is("\"1h\""),
        "\"45m\"",
        "of the whole job; the master may have a lower limit",
        |value, to| set(&mut to.plan.timeout_ms, settings::limit_ms(value)),
    ),
    Entry::new(
        "always_timeout",
        Form::Duration,
        Is("\"30s\""),
        "\"2m\"",
        "of all its `always` steps together that run after a cancel or after `timeout`; the master's limit of a job holds for it too",
        |value, to| set(&mut to.plan.always_timeout_ms, settings::limit_ms(value)),
    ),
    Entry::new(
        "idle",
        Form::Duration,
        Is("\"20m\""),
        "\"5m\"",
        "of its steps: they are ended after this time without a byte of output",
        |value, to| to.idle_ms = settings::limit_ms(value),
    ),
    Entry::new(
        "retry",
        Form::Table("[job.NAME.retry]"),
        Is("{ infra = 2 }"),
        "{ infra = 0 }",
        "further attempts; a failed test is never tried again by itself",
        |value, to| to.retry_infra = settings::retry_infra(value),
    ),
    Entry::new(
        "priority",
        Form::Whole(-PRIORITY_MAX, PRIORITY_MAX),
        Is("0"),
        "10",
        "higher goes first",
        |value, to| set(&mut to.plan.priority, settings::priority(value)),
    ),
    Entry::new(
        "workspace",
        Form::OneOf(&["fresh", "clean", "kept"]),
        Is("\"fresh\""),
        "\"kept\"",
        "`\"fresh\"`: a new checkout; `\"clean\"`: ignored files stay; `\"kept\"`: everything that is not tracked stays",
        |value, to| set(&mut to.plan.workspace, value.choice(&settings::WORKSPACES)),
    ),
    Entry::new(
        "isolation",
        Form::OneOf(&[Tier::ALL[0].word(), Tier::ALL[1].word()]),
        Means("`\"guard\"`, or what its pool says"),
        "\"guard\"",
        "the weakest [tier](../pipeline.md#tiers) in which it may run; a pool can ask for a stronger one",
        |value, to| set(&mut to.plan.isolation, value.tier().map(|tier| Some(tier.into()))),
    ),
    Entry::new(
        "source",
        Form::OneOf(&["none"]),
        Means("the commit"),
        "\"none\"",
        "`\"none\"`: no checkout",
        |value, to| set(&mut to.plan.sources, settings::sources(value)),
    ),
];

pub(crate) const JOB: &[Entry<Settings>] = &[
    Entry::of_owner(Key::new(
        "needs",
        Form::Array(&Form::Text),
        Is("[]"),
        "[\"other\"]",
        "names of jobs that come before",
    )),
    Entry::of_owner(Key::new(
        "matrix",
        Form::Map(&EVERY),
        Means("one cell"),
        "{ python = [\"3.11\", \"3.14\"] }",
        "axes, at most 16: [a job for each combination](../pipeline.md#matrix), at most 1,000; `\"*\"`: all values of `[axis.NAME]`",
    )),
    Entry::of_owner(Key::new(
        "skip",
        RULES,
        Is("[]"),
        "[{ python = \"3.11\" }]",
        "tables of axes and values, at most 100: cells that one of them matches are left out; only with `matrix`",
    )),
    Entry::of_owner(Key::new(
        "only",
        RULES,
        Means("all cells"),
        "{ python = [\"3.14\"] }",
        "like `skip`, for cells that are kept",
    )),
    Entry::of_owner(Key::new(
        "when",
        Form::Table("[job.NAME.when]"),
        Means("always"),
        "{ branch = \"main\" }",
        "for which builds; else the job is skipped",
    )),
    Entry::new(
        "side_effects",
        Form::Flag,
        Is("false"),
        "true",
        "never run a second time by itself, and so without `retry`",
        |value, to| set(&mut to.plan.side_effects, value.boolean()),
    ),
    Entry::new(
        "may_fail",
        Form::Flag,
        Is("false"),
        "true",
        "[its failure is a warning](../pipeline.md#a-job-that-may-fail) for the build and for the jobs that need it",
        |value, to| set(&mut to.plan.may_fail, value.boolean()),
    ),
    Entry::of_owner(Key::new(
        "step",
        Form::Array(&Form::Table("[[job.NAME.step]]")),
        Means("`run`"),
        "[{ run = \"make\" }]",
        "from 1 to 100",
    )),
];

/// What a job has of the step that it is.
pub(crate) const ONLY_STEP: &[Entry<Step>] = &[
    Entry::new("run", RUN_FORM, Means("`step`"), "\"make\"", "what its only step runs", |value, to| {
        to.run = Run::read(value)
    }),
    Entry::new(
        "name",
        Form::Text,
        Means("the job's"),
        "\"tests\"",
        "of its only step; at most 200 bytes, as in `step`",
        |value, to| to.name = value.text(),
    ),
    Entry::new(
        "always",
        Form::Flag,
        Is("false"),
        "true",
        "of its only step: known, and without effect, as no step is before it",
        |value, to| set(&mut to.plan.always, value.boolean()),
    ),
    Entry::new(
        "continue",
        Form::Flag,
        Is("false"),
        "true",
        "of its only step: its failure makes the job `warned`",
        |value, to| set(&mut to.plan.continue_on_failure, value.boolean()),
    ),
    Entry::new(
        "junit",
        LIST,
        Means("none"),
        "\"build/**/TEST-*.xml\"",
        "of its only step: patterns of files of JUnit XML that the command writes, relative to `dir`; at most 20 patterns of all forms together: [test reports](../pipeline.md#test-reports)",
        |value, to| reports::read(value, ReportFormat::Junit, &mut to.reports),
    ),
    Entry::new(
        "tap",
        PRINTED,
        Is("false"),
        "true",
        "of its only step: `true`: the command prints TAP, of the versions 12 to 14; or patterns of files of it",
        |value, to| reports::read(value, ReportFormat::Tap, &mut to.reports),
    ),
    Entry::new(
        "subunit",
        LIST,
        Means("none"),
        "\"tests.subunit\"",
        "of its only step: patterns of files of subunit, version 2",
        |value, to| reports::read(value, ReportFormat::Subunit, &mut to.reports),
    ),
    Entry::new(
        "libtest",
        PRINTED,
        Is("false"),
        "true",
        "of its only step: `true`: the command is `cargo test`, or prints what that does; or patterns of files of it",
        |value, to| reports::read(value, ReportFormat::Libtest, &mut to.reports),
    ),
];

pub(crate) const STEP: &[Entry<Step>] = &[
    Entry::new(
        "name",
        Form::Text,
        Means("`step N`"),
        "\"tests\"",
        "how it is shown; at most 200 bytes, with its placeholders filled in",
        |value, to| to.name = value.text(),
    ),
    Entry::new(
        "run",
        RUN_FORM,
        Required,
        "[\"make\", \"-j4\"]",
        "a string for the shell, an array for a program and its arguments, or a table of systems",
        |value, to| to.run = Run::read(value),
    ),
    Entry::new("shell", SHELL, Means("the job's"), "\"bash\"", "see [shells](../pipeline.md#steps)", |value, to| {
        to.shell = settings::shell(value)
    }),
    Entry::new("env", ENV, Is("{}"), "{ CC = \"clang\" }", "added to the job's", |value, to| {
        to.env = settings::env(value)
    }),
    Entry::new("dir", Form::Text, Means("the job's"), "\"src\"", "relative to the checkout", |value, to| {
        to.dir = settings::dir(value)
    }),
    Entry::new(
        "timeout",
        Form::Duration,
        Means("the job's"),
        "\"5m\"",
        "of this step; that of the job holds too",
        |value, to| set(&mut to.plan.timeout_ms, settings::limit_ms(value)),
    ),
    Entry::new(
        "idle",
        Form::Duration,
        Is("\"20m\""),
        "\"5m\"",
        "ended after this time without output; the job's where that has one",
        |value, to| to.idle_ms = settings::limit_ms(value),
    ),
    Entry::new(
        "always",
        Form::Flag,
        Is("false"),
        "true",
        "runs also after an earlier step failed, was [cancelled](../pipeline.md#how-a-step-ends) or used up the job's time",
        |value, to| set(&mut to.plan.always, value.boolean()),
    ),
    Entry::new(
        "continue",
        Form::Flag,
        Is("false"),
        "true",
        "its failure makes the job `warned`, and the next step runs",
        |value, to| set(&mut to.plan.continue_on_failure, value.boolean()),
    ),
    Entry::new(
        "junit",
        LIST,
        Means("none"),
        "\"build/**/TEST-*.xml\"",
        "patterns of files of JUnit XML that the command writes, relative to `dir`; at most 20 patterns of all forms together: [test reports](../pipeline.md#test-reports)",
        |value, to| reports::read(value, ReportFormat::Junit, &mut to.reports),
    ),
    Entry::new(
        "tap",
        PRINTED,
        Is("false"),
        "true",
        "`true`: the command prints TAP, of the versions 12 to 14; or patterns of files of it",
        |value, to| reports::read(value, ReportFormat::Tap, &mut to.reports),
    ),
    Entry::new(
        "subunit",
        LIST,
        Means("none"),
        "\"tests.subunit\"",
        "patterns of files of subunit, version 2",
        |value, to| reports::read(value, ReportFormat::Subunit, &mut to.reports),
    ),
    Entry::new(
        "libtest",
        PRINTED,
        Is("false"),
        "true",
        "`true`: the command is `cargo test`, or prints what that does; or patterns of files of it",
        |value, to| reports::read(value, ReportFormat::Libtest, &mut to.reports),
    ),
];
