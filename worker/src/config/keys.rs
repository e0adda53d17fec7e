//! The keys of `worker.toml` and what they mean, from which its reference is generated. A test compares them with the keys that the
//! worker reads.

use schema::values::Tier;
use toml_file::reference::Absent::{Is, Means};
use toml_file::reference::{Form, Key, Reference, Section};

/// The keys of `worker.toml` with their forms and meanings.
pub static WORKER_TOML: Reference = Reference {
    file: "worker.toml",
    about: "The worker's file, in its state directory (`--state`); all of it is optional, and so is the file. Relative paths are \
            relative to that directory. `guild-worker probe` prints the resulting settings. The worker reads the file when it starts.",
    sections: &[Section { title: "", places: &["the top level"], about: "", keys: &[TOP], later: &[] }],
};

/// The form of a size, which may also be a bare number of bytes.
const SIZE: Form = Form::Either(&[Form::Size, Form::Whole(0, i64::MAX)]);
/// The form of a duration, which may also be a bare number of seconds.
const SPAN: Form = Form::Either(&[Form::Duration, Form::Whole(0, i64::MAX)]);

const TOP: &[Key] = &[
    Key::new(
        "slots",
        Form::Whole(1, u16::MAX as i64),
        Means("one for each two `cpus`"),
        "3",
        "how many jobs run at the same time; drain the worker if it shall take no jobs",
    ),
    Key::new(
        "cpus",
        Form::Number(super::CPUS_MAX),
        Means("the cores of the machine"),
        "1.5",
        "the cores that jobs can reserve",
    ),
    Key::new(
        "memory",
        SIZE,
        Means("the memory of the machine, or of the container"),
        "\"4GiB\"",
        "the memory that jobs can reserve; a bare number is in bytes",
    ),
    Key::new(
        "pass",
        Form::Array(&Form::Text),
        Is("[]"),
        "[\"HTTPS_PROXY\"]",
        "the names of variables of the worker's environment that steps get, besides `PATH`, `HOME`, `USER`, `CARGO_HOME` and `RUSTUP_HOME`",
    ),
    Key::new(
        "labels",
        Form::Map(&Form::Text),
        Is("{}"),
        "{ gpu = \"yes\" }",
        "the labels that the worker claims; the master believes those that its grant allows",
    ),
    Key::new("workspace", Form::Text, Is("\"workspaces\""), "\"/big\"", "the directory in which jobs run"),
    Key::new(
        "reserve",
        SIZE,
        Is("\"1GiB\""),
        "\"20GiB\"",
        "the room that must stay free on the disks of `--state` and `workspace`: with less, the worker takes no job; a bare number is in bytes",
    ),
    Key::new(
        "orphan_grace",
        SPAN,
        Is("\"2m\""),
        "\"10m\"",
        "how long steps run on without their worker; a bare number is in seconds",
    ),
    Key::new(
        "isolation",
        Form::OneOf(&[Tier::Plain.word(), Tier::Guard.word()]),
        Is("\"guard\""),
        "\"plain\"",
        "the strongest [tier](../worker.md#tiers) to offer: `\"plain\"`, a process group for each step; `\"guard\"`, a supervisor that \
         no process of the step can leave. A tier that does not work on the machine is not offered",
    ),
    Key::new(
        "output",
        SIZE,
        Is("\"1GiB\""),
        "\"64MiB\"",
        "the most output of one step that is kept; a bare number is in bytes",
    ),
    Key::new(
        "processes",
        Form::Whole(0, i64::MAX),
        Is("4096"),
        "500",
        "the most processes that one step may have at a time, and eight times as many threads; a step with more is killed, and has \
         failed; 0 means any number",
    ),
    Key::new(
        "step_memory",
        SIZE,
        Means("nine tenths of the memory of the machine, or of the container"),
        "\"8GiB\"",
        "the most memory that the processes of one step may take together; a step that takes more is killed, and has failed; a bare \
         number is in bytes; 0 means any",
    ),
    Key::new(
        "open_files",
        Form::Whole(64, i64::MAX),
        Is("65536"),
        "4096",
        "the most files that each process of a step may have open",
    ),
];
