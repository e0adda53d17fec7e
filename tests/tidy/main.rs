//! Checks the architecture as far as a machine can: purity, the direction of dependencies, sizes and words.

mod cases;
mod circles;
mod english;
mod listed;
mod manual;
mod mutants;
mod rooms;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The source directories of the crates that are part of a program.
const CRATES: [&str; 10] = [
    "schema/src",
    "schema/pipeline/src",
    "schema/reports/src",
    "schema/snapshot/src",
    "schema/system/src",
    "schema/toml_file/src",
    "master/src",
    "worker/src",
    "client/src",
    "client/command/src",
];

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut open = vec![top().join(folder)];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "{folder} has no sources");
    found
}

/// Returns code without its comment lines.
fn code(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn forbid(folder: &str, words: &[&str], why: &str) {
    forbid_outside(folder, None, words, why);
}

/// Like [`forbid`], but leaves out tests, which may use more than the code that they test.
fn forbid_save_tests(folder: &str, words: &[&str], why: &str) {
    let mut found = sources(folder);
    found.retain(|(path, _)| !path.file_name().is_some_and(|name| name.to_string_lossy().ends_with("tests.rs")));
    forbid_in(found, words, why);
}

/// Forbids words in a folder, except in one folder (`room`) within it.
fn forbid_outside(folder: &str, room: Option<&str>, words: &[&str], why: &str) {
    let room = room.map(|room| top().join(folder).join(room));
    assert!(room.as_ref().is_none_or(|room| room.is_dir()), "{room:?} is not there");
    let is_outside = |path: &Path| room.as_ref().is_none_or(|room| !path.starts_with(room));
    forbid_in(sources(folder).into_iter().filter(|(path, _)| is_outside(path)).collect(), words, why);
}

fn forbid_in(files: Vec<(PathBuf, String)>, words: &[&str], why: &str) {
    for (path, text) in files {
        let code = code(&text);
        for word in words {
            assert!(!code.contains(word), "{} has `{word}`: {why}", path.display());
        }
    }
}

#[test]
fn the_coordinator_is_pure() {
    let words = [
        "tokio",
        "capnp",
        "rusqlite",
        "std::fs",
        "std::io",
        "std::net",
        "std::env",
        "Instant",
        "SystemTime",
        "HashMap",
        "HashSet",
        "random(",
        "async ",
        "tracing",
        "thread",
    ];
    forbid("master/src/decide", &words, "the coordinator decides everything and does nothing");
}

/// The folders of `decide` form layers, and none uses a layer above it. Placement knows tickets, and neither builds nor grants.
#[test]
fn placement_knows_no_builds() {
    let above = ["coordinator", "records", "builds", "authority", "BuildId", "JobKey", "GrantId", "JobPlan"];
    forbid("master/src/decide/placement", &above, "placement knows tickets and their owners");
    forbid("master/src/decide/matching", &above, "matching knows tickets and their owners");
    forbid("master/src/decide/matching", &["decide::placement"], "matching does not know who is busy");
    forbid("master/src/decide/records", &["decide::coordinator", "decide::builds"], "records are below who makes them");
    forbid("master/src/decide/builds", &["decide::coordinator"], "builds are below what is decided of them");
    forbid(
        "master/src/decide/refs",
        &["decide::coordinator", "decide::builds"],
        "refs are below what is built of them",
    );
    forbid(
        "master/src/decide/grants",
        &["decide::coordinator", "decide::builds"],
        "grants are below what follows from them",
    );
}

/// The limits for the lines of the folders of `decide`, without tests. If a folder is larger, it does the work of another owner too.
const DECIDE_LINES: [(&str, usize); 5] =
    [("coordinator", COORDINATOR_LINES), ("placement", 1_300), ("matching", 400), ("builds", 1_000), ("grants", 700)];

/// The limit for the lines of the coordinator. If you move a part of it to an owner of its own, lower the number; nobody may raise it.
const COORDINATOR_LINES: usize = 2_850;

#[test]
fn the_heart_does_not_grow() {
    for (folder, most) in DECIDE_LINES {
        let files = sources(&format!("master/src/decide/{folder}"));
        let product = files.iter().filter(|(path, _)| !is_of_tests(path));
        let counts = product.map(|(_, text)| text.lines().take_while(|line| *line != "#[cfg(test)]").count());
        let lines: usize = counts.sum();
        assert!(lines <= most, "decide/{folder} has {lines} lines, and {most} are allowed: which owner hides in it?");
        let is_fresh = folder != "coordinator" || lines + 20 >= most;
        assert!(is_fresh, "decide/coordinator has {lines} lines, fewer than before: lower the number of this test");
    }
}

#[test]
fn nothing_points_up() {
    for (krate, above) in [
        ("schema/system", "schema pipeline reports toml_file snapshot master worker client command"),
        ("schema/snapshot", "schema pipeline reports toml_file system master worker client command"),
        ("schema", "pipeline reports toml_file snapshot master worker client command"),
        ("schema/toml_file", "pipeline reports snapshot master worker client command"),
        ("schema/pipeline", "reports snapshot master worker client command"),
        ("schema/reports", "pipeline toml_file snapshot system master worker client command"),
        ("worker", "pipeline snapshot master client command"),
        ("client", "pipeline master worker command"),
        ("client/command", "master worker"),
        ("master", "command"),
    ] {
        let manifest = fs::read_to_string(top().join(krate).join("Cargo.toml")).unwrap();
        for name in above.split(' ') {
            let ways = [format!("{name}.workspace"), format!("{name} = {{")];
            let names = |line: &str| ways.iter().any(|way| line.starts_with(way));
            assert!(!manifest.lines().any(names), "{krate} depends on {name}, which is not below it");
        }
    }
    forbid(
        "master/src/serve/api",
        &["crate::config::Config", "crate::config::ProjectConfig"],
        "api translates and delegates",
    );
    forbid_outside("master/src", Some("keep/store/sqlite"), &["rusqlite"], "SQLite is known in one folder");
    forbid("master/src/keep/store", &["crate::keep::logs", "tokio::net"], "the store knows rows");
    forbid(
        "client/src",
        &["clap", "IsTerminal", "stdout()", "stderr()", "process::Command"],
        "a library has no terminal",
    );
    forbid(
        "master/src/keep/logs",
        &["crate::serve::api", "crate::commit::driver", "crate::keep::store"],
        "logs know bytes",
    );
}

/// Code that explains a decision is above the code that makes it, and changes nothing.
#[test]
fn the_explanation_reads_from_outside() {
    let commands = [".call(", ".call_with(", ".begin(", ".note(", ".mark(", ".remove(", ".sweep(", "&mut Coordinator"];
    forbid("master/src/explain", &commands, "an explanation gives no commands");
    let reach = ["rusqlite", "crate::commit::driver"];
    forbid_save_tests("master/src/explain", &reach, "an explanation reads the state and what the store names");
}

/// Each of these rooms uses only what it is given. All of them may use the types of records, lanes and answers. So
/// `crate::decide::coordinator::record`, `crate::decide::coordinator::lane` and the like are forbidden to the pages only.
#[test]
fn who_is_given_little_cannot_reach_more() {
    let commands = ["crate::serve::api", "crate::commit::driver", "Coordinator", "crate::keep::store", "rusqlite"];
    forbid_save_tests("master/src/intake/sources", &commands, "a source holds a sink for changes");
    forbid_save_tests("master/src/intake/planner", &commands, "the planner holds mirrors and a way to read past runs");
    forbid_save_tests(
        "master/src/serve/reporters",
        &commands,
        "a reporter holds events, named reads and a sink for deliveries",
    );
    let of_pages = [
        "crate::commit::driver",
        "Coordinator",
        "crate::keep::store",
        "rusqlite",
        "crate::decide::coordinator",
        "crate::keep::logs",
    ];
    forbid_save_tests("master/src/serve/web", &of_pages, "pages hold a door");
}

/// The objects of one audience share one struct, and use nothing else. See the table in `master/src/serve/api/mod.rs`.
#[test]
fn the_objects_of_an_audience_reach_no_other() {
    let rooms = [
        (
            "ViewerAccess",
            "viewer viewer_access blob build branch cron detail event explain log room suspects view",
            "crate::commit::driver",
        ),
        ("SubmitterAccess ViewerAccess", "submitter submitter_access changes", "Readers"),
        ("WorkerAccess", "worker worker_access lease report sink source attempt_logs", "Readers"),
        ("OperatorAccess ViewerAccess", "operator operator_access master_file examine", "Readers"),
    ];
    for (own, files, beyond) in rooms {
        let mut words = vec!["ViewerAccess", "SubmitterAccess", "WorkerAccess", "OperatorAccess", "GatewayAccess"];
        words.retain(|word| !own.split(' ').any(|own| own == *word));
        words.push(beyond);
        if !own.contains("OperatorAccess") {
            words.extend(["ConfigCalls", "config_calls", "ConfigFacts"]);
        }
        let files = files.split(' ').map(|file| top().join(format!("master/src/serve/api/{file}.rs")));
        let files = files.map(|path| (path.clone(), fs::read_to_string(path).unwrap()));
        forbid_in(files.collect(), &words, "it reaches what its audience may not");
    }
}

/// A room of the worker uses only rooms below it. See the table in `worker/src/lib.rs`.
#[test]
fn the_rooms_of_the_worker_stand_one_above_the_other() {
    let rooms = ["disk", "process", "config", "workspace", "attempt", "worker_shared", "session", "program"];
    for (place, room) in rooms.iter().enumerate() {
        let above: Vec<String> = rooms[place + 1..].iter().map(|room| format!("crate::{room}::")).collect();
        let above: Vec<&str> = above.iter().map(String::as_str).collect();
        match *room {
            // this room is a single file
            "worker_shared" => {
                let text = fs::read_to_string(top().join("worker/src/worker_shared.rs")).unwrap();
                assert!(
                    above.iter().all(|word| !code(&text).contains(word)),
                    "what is shared knows nobody who shares it"
                );
            }
            room => forbid(&format!("worker/src/{room}"), &above, "a room uses those below it"),
        }
    }
}

/// Commands may use the other modules of their crate, and no other module uses a command.
#[test]
fn the_commands_stand_on_top() {
    for (path, text) in sources("client/command/src") {
        let is_above = path.ends_with("src/lib.rs") || path.components().any(|part| part.as_os_str() == "commands");
        let knows = code(&text).contains("crate::commands");
        assert!(is_above || !knows, "{} uses a command, which is above it", path.display());
    }
}

/// Everything that a program prints passes one place, which makes texts of others harmless.
#[test]
fn nothing_is_printed_past_the_cleaner() {
    // these are the places themselves
    let printers = ["schema/src/shown.rs", "schema/src/manual.rs", "client/command/src/output.rs"];
    // these print the bytes of logs, which pass a screen if they go to a terminal
    let streams = ["client/command/src/output.rs", "master/src/program/up/follow.rs"];
    let ways = ["println!", "eprint!", "eprintln!", "print!(", "stdout().lock", "stderr().lock", "stderr(), \""];
    for folder in CRATES {
        for (path, text) in sources(folder) {
            let name = path.strip_prefix(top()).unwrap().to_string_lossy().into_owned();
            let code = code(&text);
            let is_of_tests = has_folder_of_tests(&path);
            let found = ways.iter().find(|way| code.contains(**way));
            let is_printer = printers.contains(&name.as_str()) || is_of_tests;
            assert!(is_printer || found.is_none(), "{name} prints by itself: {found:?}");
            let is_stream = streams.contains(&name.as_str());
            assert!(is_stream || !code.contains("tokio::io::stdout"), "{name} writes a log past its screen");
            let paints = code.split("#[cfg(test)]").next().is_some_and(|code| code.contains("\\x1b["));
            let may_paint = ["client/src/painted.rs", "client/command/src/output.rs", "schema/src/shown/screen.rs"]
                .contains(&name.as_str());
            assert!(may_paint || !paints, "{name} writes a sequence for terminals");
        }
    }
}

#[test]
fn what_crosses_a_border_is_read_with_its_limit() {
    let getters =
        ["()?.to_string()?", ")?.to_string()?", ")?.to_str()", "()?.to_vec()", "()?.to_owned()", "()?.iter()"];
    for folder in ["schema/src/wire", "master/src/serve/api", "worker/src", "client/src", "client/command/src"] {
        for (path, text) in sources(folder) {
            let is_test = path.to_string_lossy().ends_with("_tests.rs");
            if is_test {
                continue;
            }
            for line in code(&text).lines().filter(|line| line.contains("get_")) {
                for getter in getters {
                    let why = "read it by `schema::limits`, with its row of the table";
                    assert!(!line.contains(getter), "{} has `{}`: {why}", path.display(), line.trim());
                }
            }
        }
    }
}

#[test]
fn files_stay_small() {
    for folder in CRATES.into_iter().chain(["tests"]) {
        for (path, text) in sources(folder) {
            let lines = text.lines().count();
            let tests = has_folder_of_tests(&path) || path.ends_with("tests.rs");
            let limit = if tests { 800 } else { 500 };
            assert!(lines <= limit, "{} has {lines} lines: which noun is hiding in it?", path.display());
        }
    }
}

#[test]
fn every_module_says_what_it_owns() {
    for folder in CRATES {
        for (path, text) in sources(folder) {
            assert!(text.starts_with("//!"), "{} does not begin with `//!`", path.display());
        }
    }
}

#[test]
fn the_glossary_avoids_these_words() {
    for folder in CRATES {
        for (path, _) in sources(folder) {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            for word in [
                "manager",
                "handler",
                "helper",
                "util",
                "utils",
                "service",
                "data",
                "info",
                "agent",
                "scheduler",
                "builder",
                "core",
            ] {
                assert_ne!(name, word, "{} has a name that says nothing", path.display());
            }
        }
    }
}

#[test]
fn the_top_level_is_fixed() {
    let allowed = [
        "Cargo.toml",
        "Cargo.lock",
        "schema",
        "master",
        "worker",
        "client",
        "tests",
        "README.md",
        "CHANGELOG.md",
        "SECURITY.md",
        "CONTRIBUTING.md",
        "LICENSE",
        "guild.toml",
        "docs",
        "rustfmt.toml",
        "clippy.toml",
        "deny.toml",
        "rust-toolchain.toml",
        "Dockerfile",
        ".ci",
        ".config",
        ".gitignore",
        ".git",
        "target",
    ];
    for entry in fs::read_dir(top()).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(allowed.contains(&name.as_str()), "`{name}` does not belong at the top level");
    }
}

/// No two types of a crate have the same name, so that a name has one meaning wherever it is read.
#[test]
fn a_name_is_declared_once_in_its_crate() {
    let twice: Vec<String> = CRATES.into_iter().flat_map(declared_twice).collect();
    assert!(twice.is_empty(), "give all but one of each of these types a name of its own\n{}", twice.join("\n"));
}

/// Returns a line for each name that more than one type has, with the places of their declarations.
fn declared_twice(folder: &str) -> Vec<String> {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, text) in sources(folder).into_iter().filter(|(path, _)| !is_of_tests(path)) {
        let shown = path.strip_prefix(top()).unwrap().display().to_string();
        let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for (number, name) in (1..).zip(product.lines()).filter_map(|(number, line)| Some((number, declared(line)?))) {
            places.entry(name.to_owned()).or_default().push(format!("{shown}:{number}"));
        }
    }
    let twice = places.into_iter().filter(|(_, places)| places.len() > 1);
    twice.map(|(name, mut places)| (places.sort(), format!("  {name}: {}", places.join(", "))).1).collect()
}

/// Whether a source file of a crate contains only tests.
fn is_of_tests(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_string_lossy();
    has_folder_of_tests(path) || name == "tests.rs" || name.ends_with("_tests.rs")
}

/// Whether a file is below a folder `tests` of the repository. The folders above the repository do not count.
fn has_folder_of_tests(path: &Path) -> bool {
    path.strip_prefix(top()).unwrap().components().any(|part| part.as_os_str() == "tests")
}

/// Returns the name of the type that a line declares. An associated type of a trait or of its `impl` is indented, and is not
/// counted as a type.
fn declared(line: &str) -> Option<&str> {
    let plain = line.trim_start();
    let plain = plain.strip_prefix("pub").map_or(plain, |rest| match rest.strip_prefix('(') {
        Some(limited) => limited.split_once(") ").map_or(rest, |(_, rest)| rest),
        None => rest.trim_start(),
    });
    let (keyword, rest) = plain.split_once(' ')?;
    let is_type = matches!(keyword, "struct" | "enum" | "trait") || keyword == "type" && !line.starts_with(' ');
    let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    (is_type && name.starts_with(char::is_uppercase)).then_some(name)
}

#[test]
fn declarations_are_read() {
    let lines = [
        ("pub struct Build {", Some("Build")),
        ("    pub(super) enum Kind<'a> {", Some("Kind")),
        ("trait Channel {", Some("Channel")),
        ("pub(in crate::serve::web) type Rows = Vec<Row>;", Some("Rows")),
        ("    type Item = u8;", None),
        ("    let structure = Build {", None),
        ("publish(struct_list)", None),
    ];
    for (line, name) in lines {
        assert_eq!(declared(line), name, "{line}");
    }
}
