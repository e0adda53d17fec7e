//! The keys of `guild.toml`: what they mean, as its reference lists them, and how they are read; and those that are left to a
//! later version. A new key of a job or a step is an entry here, and a field of the plan. A test compares the keys with what the
//! readers ask for and take.

use super::axis::AxisValue;
use super::entry::{self, Entry, set};
use super::settings::{self, Settings};
use super::step::{Run, Step};
use crate::limits::pipeline::{
    AXES_MAX, CELLS_MAX, CPUS_MAX, ENV_MAX, FILE_MAX, JOBS_MAX, NEEDS_MAX, PATTERN_MAX, PATTERNS_MAX,
    PATTERNS_TEXT_MAX, PLAN_MAX, PRIORITY_MAX, RETRY_INFRA_MAX, RULES_MAX, STEPS_MAX, WANTS_MAX,
};
use crate::limits::{JOB_BYTES, STEP_NAME, VIEW_BYTES};
use crate::toml_file::reference::Absent::{Is, Means, Required};
use crate::toml_file::reference::{Form, Key, Reference, Section};
use crate::values::BuildCause;

/// The keys of `guild.toml`.
pub static GUILD_TOML: Reference = Reference {
    file: "guild.toml",
    about: "[The pipeline](../pipeline.md): what to build, in the repository. At most 1 MiB.",
    sections: &[
        Section { title: "", places: &["the top level"], about: "", keys: &[TOP], later: &[TOP_LATER] },
        Section {
            title: "[trigger]",
            places: &["[trigger]"],
            about: "Which pushes make a build. What a person asks for (`guild run`, `guild retry`) is built whatever it says.",
            keys: &[TRIGGER],
            later: &[TRIGGER_LATER],
        },
        Section {
            title: "[job.NAME]",
            places: &["job `NAME`"],
            about: "A job is what one worker runs, in one directory. It has either `run`, and then is a job of one step, or `step`. \
                    At most 1,000 jobs, counted after the matrix. A job has at most 1 MiB of commands and variables; all jobs together have \
                    at most 16 MiB of text, 100,000 needs, and 2 MiB of names and steps as a build shows them, which 20,000 steps have.",
            keys: &[&SETTING_KEYS, &JOB_KEYS, &ONLY_STEP_KEYS],
            later: &[JOB_LATER, STEP_LATER],
        },
        Section {
            title: "[[job.NAME.step]]",
            places: &["step 1 of job `NAME`"],
            about: "",
            keys: &[&STEP_KEYS],
            later: &[STEP_LATER],
        },
        Section {
            title: "[job.NAME.run]",
            places: &["`run` of job `NAME`", "`run` of step 1 of job `NAME`"],
            about: "`run` as a table, of a job or of a step: the command for each system, which is the first word of the platform. \
                    Each is a string for the shell, or an array for a program and its arguments.",
            keys: &[RUN],
            later: &[],
        },
        Section {
            title: "[job.NAME.when]",
            places: &["`when` of job `NAME`"],
            about: "All keys must match, where `branch` and `tag` together mean either. A job that is left out counts as satisfied for \
                    those that need it: one that `paths` leaves out was good for this content.",
            keys: &[WHEN],
            later: &[WHEN_LATER],
        },
        Section {
            title: "[job.NAME.retry]",
            places: &["`retry` of job `NAME`", "`retry` of [defaults]"],
            about: "",
            keys: &[RETRY],
            later: &[],
        },
        Section {
            title: "[defaults]",
            places: &["[defaults]"],
            about: "For all jobs. What a job says itself goes before; `want` and `env` are merged. Between both stand the values of \
                    its axes.",
            keys: &[&SETTING_KEYS],
            later: &[DEFAULTS_LATER],
        },
        Section {
            title: "[axis.NAME.VALUE]",
            places: &["[axis.NAME.VALUE]"],
            about: "A value of an axis that [`matrix`](#jobname) can name, and what it brings.",
            keys: &[&AXIS_VALUE_KEYS],
            later: &[AXIS_VALUE_LATER],
        },
    ],
};

const SETTING_KEYS: [Key; SETTINGS.len()] = entry::keys(SETTINGS);
const JOB_KEYS: [Key; JOB.len()] = entry::keys(JOB);
const ONLY_STEP_KEYS: [Key; ONLY_STEP.len()] = entry::keys(ONLY_STEP);
const STEP_KEYS: [Key; STEP.len()] = entry::keys(STEP);
const AXIS_VALUE_KEYS: [Key; AXIS_VALUE.len()] = entry::keys(AXIS_VALUE);

pub(super) const TOP_LATER: &[&str] = &["component", "include", "group", "parameter"];
pub(super) const TRIGGER_LATER: &[&str] = &["pull", "cron", "after", "each_commit", "skip_words"];
pub(super) const DEFAULTS_LATER: &[&str] = &["image", "isolation", "cache", "secrets", "may_fail", "keep", "lock"];
pub(super) const AXIS_VALUE_LATER: &[&str] = &["image"];
pub(super) const WHEN_LATER: &[&str] = &["cron", "parameter", "changed"];
/// Of a job, besides [`STEP_LATER`].
pub(super) const JOB_LATER: &[&str] =
    &["may_fail", "services", "keep", "use", "lock", "group", "approve", "max", "secrets"];
pub(super) const STEP_LATER: &[&str] = &[
    "secrets",
    "retry",
    "junit",
    "tap",
    "subunit",
    "libtest",
    "warnings",
    "size",
    "metric",
    "artifact",
    "isolation",
    "image",
    "generates",
    "cache",
];

const LIST: Form = Form::LIST;
const ENV: Form = Form::Map(&Form::Text);
const SHELL: Form = Form::Either(&[Form::OneOf(&["sh", "bash", "pwsh"]), Form::Array(&Form::Text)]);
/// Not a list: a string is given to the shell.
const WORDS: Form = Form::Either(&[Form::Array(&Form::Text), Form::Text]);
const RUN_FORM: Form = Form::Either(&[Form::Text, Form::Array(&Form::Text), Form::Table("[job.NAME.run]")]);
const RULES: Form = Form::Either(&[Form::Map(&LIST), Form::Array(&Form::Map(&LIST))]);
const CAUSE: Form = Form::OneOf(&BuildCause::KINDS);
const EVERY: Form = Form::Either(&[Form::OneOf(&["*"]), Form::Array(&Form::Text)]);

const TOP: &[Key] = &[
    Key::new("version", Form::Whole(1, 1), Required, "1", "of the format"),
    Key::new(
        "trigger",
        Form::Table("[trigger]"),
        Means("each branch"),
        "{ tag = \"v*\" }",
        "which pushes make a build",
    ),
    Key::new(
        "defaults",
        Form::Table("[defaults]"),
        Means("nothing"),
        "{ on = \"linux-x86_64\" }",
        "what all jobs have",
    ),
    Key::new(
        "axis",
        Form::Map(&Form::Map(&Form::Table("[axis.NAME.VALUE]"))),
        Is("{}"),
        "{ python = { new = { want = \"python=3.14\" } } }",
        "axes whose values bring something: `[axis.platform]`",
    ),
    Key::new("job", Form::Map(&Form::Table("[job.NAME]")), Required, "{ a = { run = \"make\" } }", "at least one"),
];

const TRIGGER: &[Key] = &[
    Key::new("push", LIST, Means("each branch"), "[\"main\", \"release/**\"]", "patterns of branches; `[]` means none"),
    Key::new("tag", LIST, Means("none"), "\"v*\"", "patterns of tags"),
    Key::new(
        "paths",
        LIST,
        Means("all"),
        "[\"src/\", \"Cargo.*\"]",
        "patterns of files: a push to a branch is left out only if the branch's newest finished build was good and nothing \
         changed here since its commit; what is not known matches, and so does a tag",
    ),
];

/// What a job and `[defaults]` have.
pub(super) const SETTINGS: &[Entry<Settings>] = &[
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
        "source",
        Form::OneOf(&["none"]),
        Means("the commit"),
        "\"none\"",
        "`\"none\"`: no checkout",
        |value, to| set(&mut to.plan.sources, settings::sources(value)),
    ),
];

pub(super) const JOB: &[Entry<Settings>] = &[
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
    Entry::of_owner(Key::new(
        "step",
        Form::Array(&Form::Table("[[job.NAME.step]]")),
        Means("`run`"),
        "[{ run = \"make\" }]",
        "from 1 to 100",
    )),
];

/// What a job has of the step that it is.
pub(super) const ONLY_STEP: &[Entry<Step>] = &[
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
];

pub(super) const STEP: &[Entry<Step>] = &[
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
];

const RUN: &[Key] = &[
    Key::new("default", WORDS, Means("none"), "\"make\"", "where the system has none; a job without `on` needs it"),
    Key::new("linux", WORDS, Means("`default`"), "\"make\"", ""),
    Key::new("windows", WORDS, Means("`default`"), "[\"nmake\"]", ""),
    Key::new("macos", WORDS, Means("`default`"), "\"gmake\"", ""),
];

const WHEN: &[Key] = &[
    Key::new("branch", LIST, Means("any ref"), "\"main\"", "patterns of the branch that is built"),
    Key::new("tag", LIST, Means("any ref"), "[\"v*\"]", "patterns of the tag that is built"),
    Key::new(
        "paths",
        LIST,
        Means("all"),
        "[\"docs/\", \"**/*.md\"]",
        "the job is left out only if its newest run on the branch was good and nothing changed here since that run's commit; \
         what is not known matches, and so does a tag",
    ),
    Key::new(
        "cause",
        Form::Either(&[CAUSE, Form::Array(&CAUSE)]),
        Means("all"),
        "\"run\"",
        "`\"change\"`: a push; `\"run\"`: someone asked; `\"retry\"`: someone asked for an earlier build again",
    ),
];

const RETRY: &[Key] =
    &[Key::new("infra", Form::Whole(0, RETRY_INFRA_MAX), Is("2"), "5", "further attempts after a lost worker")];

pub(super) const AXIS_VALUE: &[Entry<AxisValue>] = &[
    Entry::new(
        "on",
        Form::Text,
        Means("that of the job"),
        "\"linux-x86_64\"",
        "the platform; one axis of a matrix may say it",
        |value, to| to.on = settings::on(value),
    ),
    Entry::new("want", LIST, Is("[]"), "[\"memory>=4GiB\"]", "added to what the job wants", |value, to| {
        to.want = settings::want(value)
    }),
    Entry::new("env", ENV, Is("{}"), "{ CC = \"clang\" }", "variables; what the job says goes before", |value, to| {
        to.env = settings::env(value)
    }),
    Entry::new(
        "shell",
        SHELL,
        Means("that of `[defaults]`"),
        "\"bash\"",
        "see [shells](../pipeline.md#steps); what the job says goes before",
        |value, to| to.shell = settings::shell(value),
    ),
];

// The words above say these limits.
const _: () = {
    assert!(JOBS_MAX == 1_000 && CELLS_MAX == 1_000 && STEPS_MAX == 100 && AXES_MAX == 16 && RULES_MAX == 100);
    assert!(WANTS_MAX == 100 && ENV_MAX == 500 && NEEDS_MAX == 100_000);
    assert!(PATTERNS_MAX == 1_000 && PATTERN_MAX == 1_000, "docs/pipeline.md says them");
    assert!(PATTERNS_TEXT_MAX == 200_000, "docs/pipeline.md says it");
    assert!(PLAN_MAX == 16 << 20 && FILE_MAX == 1 << 20 && JOB_BYTES == 1 << 20 && VIEW_BYTES == 2 << 20);
    assert!(STEP_NAME.most == 200);
};
