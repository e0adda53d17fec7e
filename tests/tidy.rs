//! What a machine can keep of the architecture: purity, direction, sizes, words.

use std::collections::BTreeMap;
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
    for (krate, above) in [("schema", "master worker client"), ("worker", "master client"), ("client", "master")] {
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
    forbid("master/src/logs", &["crate::api", "crate::driver", "crate::store"], "logs know bytes");
}

/// What is printed passes one place of each program, where texts of others are made harmless.
#[test]
fn nothing_is_printed_past_the_cleaner() {
    // the places themselves
    let printers = ["schema/src/shown.rs", "schema/src/manual.rs", "client/src/output.rs"];
    // the bytes of logs, through a screen where they go to a terminal
    let streams = ["client/src/output.rs", "master/src/up/follow.rs"];
    let ways = ["println!", "eprint!", "eprintln!", "print!(", "stdout().lock", "stderr().lock", "stderr(), \""];
    for folder in ["schema/src", "master/src", "worker/src", "client/src"] {
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
            let may_paint = ["client/src/output.rs", "schema/src/shown/screen.rs"].contains(&name.as_str());
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
    for folder in ["schema/src/wire", "master/src/api", "worker/src", "client/src"] {
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
    for folder in ["schema/src", "master/src", "worker/src", "client/src", "tests"] {
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
    for folder in ["schema/src", "master/src", "worker/src", "client/src"] {
        for (path, text) in sources(folder) {
            assert!(text.starts_with("//!"), "{} does not begin with `//!`", path.display());
        }
    }
}

#[test]
fn the_glossary_avoids_these_words() {
    for folder in ["schema/src", "master/src", "worker/src", "client/src"] {
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

/// How many names of types may still be declared for more than one type of the same crate. The number only falls: whoever gives
/// such a type a name of its own lowers it.
const NAMES_DECLARED_TWICE: usize = 62;

/// A word with one meaning in a crate is understood wherever it is read.
#[test]
fn a_name_is_declared_once_in_its_crate() {
    let crates = ["schema/src", "schema/snapshot/src", "master/src", "worker/src", "client/src"];
    let twice: Vec<String> = crates.into_iter().flat_map(declared_twice).collect();
    let (count, list) = (twice.len(), twice.join("\n"));
    assert!(
        count <= NAMES_DECLARED_TWICE,
        "{count} names, {NAMES_DECLARED_TWICE} are allowed; the new one is among\n{list}"
    );
    assert_eq!(count, NAMES_DECLARED_TWICE, "fewer than before: lower the number of this test\n{list}");
}

/// Each such name with the places of its declarations, as a line of text.
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

/// Whether a file of a crate's sources holds tests alone.
fn is_of_tests(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_string_lossy();
    let is_below = path.components().any(|part| part.as_os_str() == "tests");
    is_below || name == "tests.rs" || name.ends_with("_tests.rs")
}

/// The name of the type that a line declares. An associated type of a trait or of its `impl` stands indented, and is no type
/// of its own.
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
        ("pub(in crate::web) type Rows = Vec<Row>;", Some("Rows")),
        ("    type Item = u8;", None),
        ("    let structure = Build {", None),
        ("publish(struct_list)", None),
    ];
    for (line, name) in lines {
        assert_eq!(declared(line), name, "{line}");
    }
}
