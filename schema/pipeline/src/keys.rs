//! The keys of `guild.toml`: their meaning, as the reference shows it, and their readers. The names of keys of later versions are here
//! too. A new key of a job or a step is an entry in `keys/job.rs` and a field of the plan. A test compares the keys with those that
//! the readers ask for.

mod job;

pub(super) use job::{DEFAULTS_LATER, JOB, JOB_LATER, ONLY_STEP, SETTINGS, STEP, STEP_LATER};

use super::axis_value::AxisValue;
use super::cron::{self, CronEntry};
use super::entry::{self, Entry, set};
use super::settings;
use crate::limits::{
    AXES_MAX, CELLS_MAX, CRON_TEXT_MAX, CRONS_MAX, ENV_MAX, JOBS_MAX, NEEDS_MAX, PATTERN_MAX, PATTERNS_MAX,
    PATTERNS_TEXT_MAX, PLAN_MAX, REPORTS_MAX, RETRY_INFRA_MAX, RULES_MAX, STEPS_MAX, WANTS_MAX,
};
use schema::limits::{FILE_MAX, JOB_BYTES, STEP_NAME, VIEW_BYTES};
use schema::values::BuildCause;
use toml_file::reference::Absent::{Is, Means, Required};
use toml_file::reference::{Form, Key, Reference, Section};

/// The keys of `guild.toml` with their forms and meanings.
pub static GUILD_TOML: Reference = Reference {
    file: "guild.toml",
    about: "[The pipeline](../pipeline.md), at the top of a repository, says what to build. It has at most 1 MiB.",
    sections: &[
        Section { title: "", places: &["the top level"], about: "", keys: &[TOP], later: &[TOP_LATER] },
        Section {
            title: "[trigger]",
            places: &["[trigger]"],
            about: "Which pushes make a build, and which builds the clock makes. A build that a person asks for (`guild run`, `guild retry`) is made in any case.",
            keys: &[TRIGGER],
            later: &[TRIGGER_LATER],
        },
        Section {
            title: "[trigger.cron.NAME]",
            places: &["[trigger.cron.NAME]"],
            about: "A build of the tip of one branch at [times of the clock](../pipeline.md#builds-by-the-clock). There are at most 20 \
                    entries, and each text has at most 255 bytes.",
            keys: &[&CRON_KEYS],
            later: &[],
        },
        Section {
            title: "[job.NAME]",
            places: &["job `NAME`"],
            about: "A job is what one worker runs, in one directory. It has either `run`, for a job of one step, or `step`. \
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
            about: "`run` of a job or of a step, as a table with a command for each system. The system is the first word of the platform. \
                    A command is a string for the shell, or an array for a program and its arguments.",
            keys: &[RUN],
            later: &[],
        },
        Section {
            title: "[job.NAME.when]",
            places: &["`when` of job `NAME`"],
            about: "Conditions for the job to run. All keys must match, except that `branch` and `tag` together mean either of them. A job that is \
                    left out counts as good for the jobs that need it; if `paths` left it out, it was good for the same content.",
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
            about: "Keys for all jobs. A job's own key goes before the key of an axis value, which goes before the key here. `want` and `env` are merged.",
            keys: &[&SETTING_KEYS],
            later: &[DEFAULTS_LATER],
        },
        Section {
            title: "[axis.NAME.VALUE]",
            places: &["[axis.NAME.VALUE]"],
            about: "A value of an axis that [`matrix`](#jobname) can name, with the keys that it gives to its jobs.",
            keys: &[&AXIS_VALUE_KEYS],
            later: &[AXIS_VALUE_LATER],
        },
    ],
};

const SETTING_KEYS: [Key; SETTINGS.len()] = entry::keys(SETTINGS);
const JOB_KEYS: [Key; JOB.len()] = entry::keys(JOB);
const ONLY_STEP_KEYS: [Key; ONLY_STEP.len()] = entry::keys(ONLY_STEP);
const STEP_KEYS: [Key; STEP.len()] = entry::keys(STEP);
const CRON_KEYS: [Key; CRON.len()] = entry::keys(CRON);
const AXIS_VALUE_KEYS: [Key; AXIS_VALUE.len()] = entry::keys(AXIS_VALUE);

pub(super) const TOP_LATER: &[&str] = &["component", "include", "group", "parameter"];
pub(super) const TRIGGER_LATER: &[&str] = &["pull", "after", "each_commit", "skip_words"];
pub(super) const AXIS_VALUE_LATER: &[&str] = &["image"];
pub(super) const WHEN_LATER: &[&str] = &["parameter", "changed"];

const LIST: Form = Form::LIST;
const ENV: Form = Form::Map(&Form::Text);
const SHELL: Form = Form::Either(&[Form::OneOf(&["sh", "bash", "pwsh"]), Form::Array(&Form::Text)]);
/// The form of a command. It is not [`LIST`], because a string is a script for the shell and not an array of one word.
const WORDS: Form = Form::Either(&[Form::Array(&Form::Text), Form::Text]);
const CAUSE: Form = Form::OneOf(&BuildCause::KINDS);

const TOP: &[Key] = &[
    Key::new("version", Form::Whole(1, 1), Required, "1", "the version of this format"),
    Key::new(
        "trigger",
        Form::Table("[trigger]"),
        Means("each branch"),
        "{ tag = \"v*\" }",
        "which pushes and times make a build",
    ),
    Key::new(
        "defaults",
        Form::Table("[defaults]"),
        Means("nothing"),
        "{ on = \"linux-x86_64\" }",
        "keys for all jobs; a job's own keys go before, and `want` and `env` are merged",
    ),
    Key::new(
        "axis",
        Form::Map(&Form::Map(&Form::Table("[axis.NAME.VALUE]"))),
        Is("{}"),
        "{ python = { new = { want = \"python=3.14\" } } }",
        "axes whose values give keys to their jobs, such as `[axis.platform]`",
    ),
    Key::new(
        "job",
        Form::Map(&Form::Table("[job.NAME]")),
        Required,
        "{ a = { run = \"make\" } }",
        "the jobs; at least one",
    ),
];

const TRIGGER: &[Key] = &[
    Key::new(
        "push",
        LIST,
        Means("each branch"),
        "[\"main\", \"release/**\"]",
        "patterns of the branches whose pushes make a build; `[]` means none",
    ),
    Key::new("tag", LIST, Means("none"), "\"v*\"", "patterns of the tags whose pushes make a build"),
    Key::new(
        "paths",
        LIST,
        Means("all"),
        "[\"src/\", \"Cargo.*\"]",
        "patterns of files; a push to a branch makes no build if none of these files changed since the commit of the branch's newest \
         finished build, and that build was good; if this is not known, or for a tag, the push makes a build",
    ),
    Key::new(
        "cron",
        Form::Map(&Form::Table("[trigger.cron.NAME]")),
        Is("{}"),
        "{ nightly = { at = \"0 3 * * *\" } }",
        "builds by the clock, such as `[trigger.cron.nightly]`",
    ),
];

pub(super) const CRON: &[Entry<CronEntry>] = &[
    Entry::new(
        "at",
        Form::Text,
        Required,
        "\"30 2 * * mon-fri\"",
        "the times: minute, hour, day of the month, month and weekday, as in a crontab; `L`, `W` and `#` are known too",
        |value, to| to.at = cron::at(value).unwrap_or_default(),
    ),
    Entry::new(
        "tz",
        Form::Text,
        Is("\"UTC\""),
        "\"Europe/Berlin\"",
        "the time zone of `at`, by its name in the IANA database",
        |value, to| set(&mut to.tz, cron::tz(value)),
    ),
    Entry::new(
        "branch",
        Form::Text,
        Means("the default branch of the repository"),
        "\"release/2\"",
        "the branch that is built, which the master must follow; the `guild.toml` at its tip counts, and no other",
        |value, to| to.branch = cron::branch(value),
    ),
    Entry::new(
        "if_changed",
        Form::Flag,
        Is("false"),
        "true",
        "whether to build only if the branch moved since the last build that this entry made",
        |value, to| set(&mut to.if_changed, value.boolean()),
    ),
];

const RUN: &[Key] = &[
    Key::new(
        "default",
        WORDS,
        Means("none"),
        "\"make\"",
        "the command for systems without a key of their own; a job without `on` needs it",
    ),
    Key::new("linux", WORDS, Means("`default`"), "\"make\"", "the command on Linux"),
    Key::new("windows", WORDS, Means("`default`"), "[\"nmake\"]", "the command on Windows"),
    Key::new("macos", WORDS, Means("`default`"), "\"gmake\"", "the command on macOS"),
];

const WHEN: &[Key] = &[
    Key::new("branch", LIST, Means("any ref"), "\"main\"", "patterns of the branch that is built"),
    Key::new("tag", LIST, Means("any ref"), "[\"v*\"]", "patterns of the tag that is built"),
    Key::new(
        "paths",
        LIST,
        Means("all"),
        "[\"docs/\", \"**/*.md\"]",
        "patterns of files; the job is left out if none of these files changed since the commit of its newest run on the branch, and \
         that run was good; if this is not known, or for a tag, the job runs",
    ),
    Key::new(
        "cause",
        Form::Either(&[CAUSE, Form::Array(&CAUSE)]),
        Means("all"),
        "\"run\"",
        "what made the build: `\"change\"` is a push, `\"run\"` is `guild run`, `\"retry\"` is `guild retry`, `\"try\"` is `guild try`, and `\"cron\"` is the \
         clock",
    ),
    Key::new(
        "cron",
        LIST,
        Means("any cause"),
        "\"nightly\"",
        "names of entries of `[trigger.cron]`; the job runs only in builds that these make",
    ),
];

const RETRY: &[Key] = &[Key::new(
    "infra",
    Form::Whole(0, RETRY_INFRA_MAX),
    Is("2"),
    "5",
    "how many further attempts a job gets if its worker is lost",
)];

pub(super) const AXIS_VALUE: &[Entry<AxisValue>] = &[
    Entry::new(
        "on",
        Form::Text,
        Means("`on` of the job, or of `[defaults]`"),
        "\"linux-x86_64\"",
        "the platform of the job; only one axis of a matrix may have this key",
        |value, to| to.on = settings::on(value),
    ),
    Entry::new(
        "want",
        LIST,
        Is("[]"),
        "[\"memory>=4GiB\"]",
        "further labels and sizes, besides those of the job",
        |value, to| to.want = settings::want(value),
    ),
    Entry::new(
        "env",
        ENV,
        Is("{}"),
        "{ CC = \"clang\" }",
        "environment variables; the job's own go before",
        |value, to| to.env = settings::env(value),
    ),
    Entry::new(
        "shell",
        SHELL,
        Means("the shell of `[defaults]`"),
        "\"bash\"",
        "the [shell](../pipeline.md#steps) of the steps; the job's own goes before",
        |value, to| to.shell = settings::shell(value),
    ),
];

// The texts above name these limits.
const _: () = {
    assert!(JOBS_MAX == 1_000 && CELLS_MAX == 1_000 && STEPS_MAX == 100 && AXES_MAX == 16 && RULES_MAX == 100);
    assert!(WANTS_MAX == 100 && ENV_MAX == 500 && NEEDS_MAX == 100_000);
    assert!(CRONS_MAX == 20 && CRON_TEXT_MAX == 255 && REPORTS_MAX == 20);
    assert!(PATTERNS_MAX == 1_000 && PATTERN_MAX == 1_000, "docs/pipeline.md says them");
    assert!(PATTERNS_TEXT_MAX == 200_000, "docs/pipeline.md says it");
    assert!(PLAN_MAX == 16 << 20 && FILE_MAX == 1 << 20 && JOB_BYTES == 1 << 20 && VIEW_BYTES == 2 << 20);
    assert!(STEP_NAME.most == 200);
};
