//! What a machine can keep of the architecture: purity, direction, sizes, words.

use std::fs;
use std::path::{Path, PathBuf};

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

/// Code without its comment lines.
fn code(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn forbid(folder: &str, words: &[&str], why: &str) {
    for (path, text) in sources(folder) {
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
        "crate::store",
        "crate::driver",
        "crate::api",
    ];
    forbid("master/src/coordinator", &words, "the coordinator decides everything and does nothing");
}

#[test]
fn nothing_points_up() {
    for (krate, above) in [
        ("schema", "master worker client command"),
        ("worker", "master client command"),
        ("client", "master command"),
        ("client/command", "master worker"),
        ("master", "command"),
    ] {
        let manifest = fs::read_to_string(top().join(krate).join("Cargo.toml")).unwrap();
        for name in above.split(' ') {
            let line = format!("{name}.workspace");
            assert!(!manifest.contains(&line), "{krate} depends on {name}, which is above it");
        }
    }
    forbid("master/src/api", &["crate::up", "crate::config", "rusqlite::Connection"], "api translates and delegates");
    forbid("master/src/store", &["crate::api", "crate::driver", "crate::logs", "tokio::net"], "the store knows rows");
    forbid("master/src/sources", &["crate::api", "crate::store", "rusqlite"], "a source holds a sink");
    forbid(
        "master/src/reporters",
        &["crate::api", "crate::coordinator::Coordinator", "rusqlite"],
        "a reporter reads and tells",
    );
    forbid(
        "master/src/web",
        &["crate::driver", "crate::store", "crate::coordinator", "crate::logs"],
        "pages hold a door",
    );
    forbid(
        "client/src",
        &["clap", "IsTerminal", "stdout()", "stderr()", "process::Command"],
        "a library has no terminal",
    );
    forbid("master/src/logs", &["crate::api", "crate::driver", "crate::store"], "logs know bytes");
}

/// Each command may use what it stands on, and nothing that it stands on knows of a command.
#[test]
fn the_commands_stand_on_top() {
    for (path, text) in sources("client/command/src") {
        let is_above = path.ends_with("src/lib.rs") || path.components().any(|part| part.as_os_str() == "commands");
        let knows = code(&text).contains("crate::commands");
        assert!(is_above || !knows, "{} uses a command, which is above it", path.display());
    }
}

/// What is printed passes one place of each program, where texts of others are made harmless.
#[test]
fn nothing_is_printed_past_the_cleaner() {
    // the places themselves
    let printers = ["schema/src/shown.rs", "schema/src/manual.rs", "client/command/src/output.rs"];
    // the bytes of logs, through a screen where they go to a terminal
    let streams = ["client/command/src/output.rs", "master/src/up/follow.rs"];
    let ways = ["println!", "eprint!", "eprintln!", "print!(", "stdout().lock", "stderr().lock", "stderr(), \""];
    for folder in ["schema/src", "master/src", "worker/src", "client/src", "client/command/src"] {
        for (path, text) in sources(folder) {
            let name = path.strip_prefix(top()).unwrap().to_string_lossy().into_owned();
            let code = code(&text);
            let is_of_tests = path.components().any(|part| part.as_os_str() == "tests");
            let found = ways.iter().find(|way| code.contains(**way));
            let is_printer = printers.contains(&name.as_str()) || is_of_tests;
            assert!(is_printer || found.is_none(), "{name} prints by itself: {found:?}");
            let is_stream = streams.contains(&name.as_str());
            assert!(is_stream || !code.contains("tokio::io::stdout"), "{name} writes a log past its screen");
            let paints = code.split("#[cfg(test)]").next().is_some_and(|code| code.contains("\\x1b["));
            let may_paint = ["client/command/src/output.rs", "schema/src/shown/screen.rs"].contains(&name.as_str());
            assert!(may_paint || !paints, "{name} writes a sequence for terminals");
        }
    }
}

#[test]
fn what_crosses_a_border_is_read_with_its_limit() {
    let getters =
        ["()?.to_string()?", ")?.to_string()?", ")?.to_str()", "()?.to_vec()", "()?.to_owned()", "()?.iter()"];
    // these read one part of a log and one batch of events, whose senders bound them
    let later = ["client/src/logs.rs", "client/src/watch.rs"];
    for folder in ["schema/src/wire", "master/src/api", "worker/src", "client/src", "client/command/src"] {
        for (path, text) in sources(folder) {
            let is_test = path.to_string_lossy().ends_with("_tests.rs");
            if is_test || later.iter().any(|file| path.ends_with(file)) {
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
    for folder in ["schema/src", "master/src", "worker/src", "client/src", "client/command/src", "tests"] {
        for (path, text) in sources(folder) {
            let lines = text.lines().count();
            let tests = path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs");
            let limit = if tests { 800 } else { 500 };
            assert!(lines <= limit, "{} has {lines} lines: which noun is hiding in it?", path.display());
        }
    }
}

#[test]
fn every_module_says_what_it_owns() {
    for folder in ["schema/src", "master/src", "worker/src", "client/src", "client/command/src"] {
        for (path, text) in sources(folder) {
            assert!(text.starts_with("//!"), "{} does not begin with `//!`", path.display());
        }
    }
}

#[test]
fn the_glossary_avoids_these_words() {
    for folder in ["schema/src", "master/src", "worker/src", "client/src", "client/command/src"] {
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
