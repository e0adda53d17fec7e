//! Each source file must be part of a target of its package, because it would otherwise never be compiled or run. Documents must name
//! files that exist.

use super::{code, sources, top};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Returns the root files of the targets that a manifest names, and of those that cargo finds by their place.
fn roots(package: &Path) -> Vec<PathBuf> {
    let manifest = fs::read_to_string(package.join("Cargo.toml")).unwrap();
    let named = manifest.lines().filter_map(|line| line.strip_prefix("path = \"")?.strip_suffix('"'));
    let mut roots: Vec<PathBuf> = named.map(|path| package.join(path)).collect();
    roots.extend(["src/lib.rs", "src/main.rs", "build.rs"].map(|path| package.join(path)));
    for folder in ["tests", "benches", "examples"] {
        let entries = fs::read_dir(package.join(folder)).into_iter().flatten();
        roots.extend(entries.map(|entry| entry.unwrap().path()));
    }
    roots.retain(|path| path.is_file() && path.extension().is_some_and(|extension| extension == "rs"));
    roots
}

/// Returns the files of the modules that a file declares. If `is_root`, they are in the directory of the file, as for a `mod.rs`.
fn modules(file: &Path, is_root: bool) -> Vec<PathBuf> {
    let text = code(&fs::read_to_string(file).unwrap());
    let beside = file.parent().unwrap();
    let is_mod = is_root || file.file_name().is_some_and(|name| name == "mod.rs");
    let below = if is_mod { beside.to_owned() } else { beside.join(file.file_stem().unwrap()) };
    let mut found = Vec::new();
    let mut named = None;
    for line in text.lines().map(str::trim) {
        if let Some(path) = line.strip_prefix("#[path = \"").and_then(|rest| rest.strip_suffix("\"]")) {
            named = Some(beside.join(path));
        } else if let Some(name) =
            line.strip_suffix(';').and_then(|line| line.rsplit_once("mod ")).map(|(_, name)| name)
        {
            let usual = [below.join(format!("{name}.rs")), below.join(name).join("mod.rs")];
            found.extend(named.take().into_iter().chain(usual).filter(|path| path.is_file()));
        }
    }
    found
}

fn reached(package: &Path) -> BTreeSet<PathBuf> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<(PathBuf, bool)> = roots(package).into_iter().map(|root| (root, true)).collect();
    while let Some((file, is_root)) = open.pop() {
        if reached.insert(fs::canonicalize(&file).unwrap()) {
            open.extend(modules(&file, is_root).into_iter().map(|module| (module, false)));
        }
    }
    reached
}

#[test]
fn every_source_file_is_reached_from_a_target() {
    let manifest = fs::read_to_string(top().join("Cargo.toml")).unwrap();
    let members = manifest.lines().find_map(|line| line.strip_prefix("members = [")).unwrap();
    let members: Vec<&str> = members.trim_end_matches(']').split(", ").collect();
    // the crate for libFuzzer is not a member of the workspace
    let crates = members.into_iter().map(|member| member.trim_matches('"')).chain(["tests/fuzz"]);
    let reached: BTreeSet<PathBuf> = crates.flat_map(|member| reached(&top().join(member))).collect();
    for folder in ["schema", "master", "worker", "client", "tests"] {
        for (path, _) in sources(folder) {
            let path = fs::canonicalize(path).unwrap();
            assert!(reached.contains(&path), "{} is not a part of a target: it is never compiled", path.display());
        }
    }
}

/// The files that documents for contributors name exist. Without this test, nobody would notice that one has moved.
#[test]
fn what_the_documents_name_is_there() {
    for document in ["README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/architecture.md", "tests/README.md"] {
        let text = fs::read_to_string(top().join(document)).unwrap();
        for name in text.split('`').skip(1).step_by(2) {
            let is_path =
                ["schema/", "master/", "worker/", "client/", "tests/"].iter().any(|top| name.starts_with(top));
            let is_plain = !name.contains([' ', '*', '…']);
            assert!(!is_path || !is_plain || top().join(name).exists(), "{document} names {name}, which is not there");
        }
    }
}

/// Each test target and each flow has a row in `tests/README.md`, so that one table shows which test keeps a promise.
#[test]
fn each_test_target_and_each_flow_has_its_row() {
    let table = fs::read_to_string(top().join("tests/README.md")).unwrap();
    let manifest = fs::read_to_string(top().join("tests/Cargo.toml")).unwrap();
    let targets = manifest.split("[[test]]\nname = \"").skip(1).map(|rest| rest.split('"').next().unwrap());
    let targets = targets.map(|name| format!("--test {name}"));
    let flows = fs::read_dir(top().join("tests/flows")).unwrap().map(|entry| entry.unwrap());
    let flows = flows.filter(|entry| entry.path().is_file());
    let flows = flows.map(|entry| format!("tests/flows/{}", entry.file_name().to_string_lossy()));
    let missing: Vec<String> = targets.chain(flows).filter(|name| !table.contains(name)).collect();
    assert!(missing.is_empty(), "without a row in tests/README.md: {missing:?}");
}
