//! The three files that people write: their references, their readers, and texts in which each section can be tried.

use master::config::keys::MASTER_TOML;
use pipeline::keys::GUILD_TOML;
use std::path::Path;
use toml_file::reference::Reference;
use toml_file::witness::{Asked, AskedOf, watch};
use worker::WORKER_TOML;

pub struct File {
    pub reference: &'static Reference,
    /// Reads a text. Returns the result as text, or the errors.
    pub read: fn(&str) -> Result<String, String>,
    /// Returns the keys that the reader asks for while it reads a text.
    pub asked: fn(&str) -> Asked,
    /// Returns files for a section, in which `KEYS` stands for its keys. If a file also has `KEY`, that stands for the name of the
    /// key that is tried.
    pub frames: fn(&str) -> &'static [&'static str],
    /// Returns the lines that a file needs if a key has this value. Without a value, the key is not in the file.
    pub company: fn(&str, &str, Option<&str>) -> &'static str,
}

pub const FILES: [File; 3] = [
    File {
        reference: &GUILD_TOML,
        read: pipeline,
        asked: |text| watch(|| drop(pipeline(text))),
        frames: pipeline_frames,
        company: pipeline_company,
    },
    File {
        reference: &MASTER_TOML,
        read: master,
        asked: |text| watch(|| drop(master(text))),
        frames: master_frames,
        company: master_company,
    },
    File { reference: &WORKER_TOML, read: worker, asked: asked_by_serde, frames: |_| &["KEYS"], company: |_, _, _| "" },
];

fn pipeline(text: &str) -> Result<String, String> {
    let pipeline = pipeline::load("guild.toml", text.as_bytes());
    pipeline.map(|pipeline| format!("{pipeline:?}")).map_err(|errors| errors.to_string())
}

fn master(text: &str) -> Result<String, String> {
    let config = master::config::Config::parse("master.toml", text.as_bytes(), Path::new("/base"));
    config.map(|config| format!("{config:?}")).map_err(|errors| errors.to_string())
}

fn worker(text: &str) -> Result<String, String> {
    worker::Config::parse(Path::new("/base"), text).map(|config| format!("{config:?}"))
}

/// Returns the keys that serde knows. It lists them in its error about an unknown key.
fn asked_by_serde(_: &str) -> Asked {
    let error = worker("there-is-no-such-key = 1").unwrap_err();
    let (_, names) = error.split_once("expected one of ").expect(&error);
    let known = names.split('`').skip(1).step_by(2).map(|name| &*name.to_owned().leak()).collect();
    Asked::from([("the top level".to_owned(), AskedOf { known, ..AskedOf::default() })])
}

fn pipeline_frames(title: &str) -> &'static [&'static str] {
    match title {
        "" => &["KEYS"],
        "[trigger.cron.NAME]" => &["version = 1\n[job.NAME]\nrun = 'x'\n[trigger.cron.NAME]\nKEYS"],
        "[trigger]" => &["version = 1\n[job.NAME]\nrun = 'x'\n[trigger]\nKEYS"],
        "[job.NAME]" => &["version = 1\n[job.other]\nrun = 'x'\n[job.NAME]\nKEYS"],
        "[[job.NAME.step]]" => &["version = 1\n[[job.NAME.step]]\nKEYS"],
        "[job.NAME.run]" => &[
            "version = 1\n[job.NAME]\non = 'KEY-x'\n[job.NAME.run]\nKEYS",
            "version = 1\n[job.NAME]\non = 'KEY-x'\n[[job.NAME.step]]\n[job.NAME.step.run]\nKEYS",
        ],
        "[job.NAME.when]" => &[concat!(
            "version = 1\n[trigger.cron.nightly]\nat = '0 3 * * *'\n",
            "[job.NAME]\nrun = 'x'\n[job.NAME.when]\nKEYS"
        )],
        "[job.NAME.retry]" => &[
            "version = 1\n[job.NAME]\nrun = 'x'\n[job.NAME.retry]\nKEYS",
            "version = 1\n[job.NAME]\nrun = 'x'\n[defaults.retry]\nKEYS",
        ],
        "[defaults]" => &["version = 1\n[job.NAME]\nrun = 'x'\n[defaults]\nKEYS"],
        "[axis.NAME.VALUE]" => {
            &["version = 1\n[job.NAME]\nrun = 'x'\nmatrix = { NAME = '*' }\n[axis.NAME.VALUE]\nKEYS"]
        }
        other => panic!("say here what a file with {other} needs besides"),
    }
}

fn pipeline_company(title: &str, key: &str, value: Option<&str>) -> &'static str {
    match (title, key, value) {
        ("", "axis", _) => "job = { a = { run = 'x', matrix = { python = ['new'] } } }",
        ("[job.NAME]", "run", None) => "step = [{ run = 'other' }]",
        ("[job.NAME]", "run" | "step", Some(_)) => "",
        ("[job.NAME]", "step", None) => "run = 'other'",
        ("[job.NAME]", "skip" | "only", _) => "run = 'x'\nmatrix = { python = ['3.11', '3.14'] }",
        ("[job.NAME]", ..) => "run = 'x'",
        ("[[job.NAME.step]]", "shell", _) => "run = 'x'",
        ("[job.NAME.run]", "default", Some(_)) => "",
        ("[job.NAME.run]", "default", None) => "linux = 'other'",
        ("[job.NAME.run]", ..) => "default = 'other'",
        _ => "",
    }
}

fn master_frames(title: &str) -> &'static [&'static str] {
    macro_rules! with_listen {
        ($rest:literal) => {
            &[concat!("version = 1\nlisten = { rpc = 'h:1', advertise = 'h:1' }\n", $rest)]
        };
    }
    match title {
        "" => &["KEYS"],
        "[listen]" => &["version = 1\n[listen]\nKEYS"],
        "[limits]" => with_listen!("[limits]\nKEYS"),
        "[limits.retain]" => with_listen!("[limits.retain]\nKEYS"),
        "[defaults]" => with_listen!("[project.x]\nrepo = 'x'\n[defaults]\nKEYS"),
        "[defaults.project]" => with_listen!("[project.x]\nrepo = 'x'\n[defaults.project]\nKEYS"),
        "[project.NAME]" => with_listen!("[pool.linux]\n[project.NAME]\nKEYS"),
        "[project.NAME.hook]" => with_listen!("[project.NAME]\nrepo = 'x'\n[project.NAME.hook]\nKEYS"),
        "[pool.NAME]" => with_listen!("[pool.NAME]\nKEYS"),
        "[role.NAME]" => with_listen!("[role.NAME]\nKEYS"),
        "[mail]" => with_listen!("[mail]\nKEYS"),
        "[[notice]]" => {
            with_listen!("[mail]\nsmtp = 'h:25'\nfrom = 'g@h.example'\n[project.pyfoo]\nrepo = 'x'\n[[notice]]\nKEYS")
        }
        other => panic!("say here what a file with {other} needs besides"),
    }
}

fn master_company(title: &str, key: &str, value: Option<&str>) -> &'static str {
    match (title, key, value) {
        ("", "defaults", _) => "project = { x = { repo = 'y' } }",
        ("[mail]", "user", Some(_)) => "password_file = 'p'",
        ("[mail]", "password_file", Some(_)) => "user = 'u'",
        ("[[notice]]", "by", Some("\"mail\"")) => "to = 'blame'",
        ("[[notice]]", "by", Some("\"webhook\"")) => "url = 'https://h.example/x'\nsecret_file = 's'",
        ("[[notice]]", "url", Some(_)) => "by = 'webhook'\nsecret_file = 's'",
        ("[[notice]]", "secret_file", Some(_)) => "by = 'webhook'\nurl = 'https://h.example/x'",
        ("[[notice]]", "private", _) => "by = 'webhook'\nurl = 'https://h.example/x'\nsecret_file = 's'",
        ("[[notice]]", "to", Some(_)) => "by = 'mail'",
        ("[[notice]]", "run", Some(_)) => "by = 'command'",
        ("[[notice]]", "run", None) => "by = 'mail'\nto = 'blame'",
        ("[[notice]]", ..) => "run = 'x'",
        _ => "",
    }
}
