//! The files of a crate must not import each other in a circle, because none of them could be read, tested or moved without the
//! others. As a rule a type is in the wrong file then: move it to a file of its own that imports none of the others.

use super::{CRATES, code, is_of_tests, sources, top};
use std::collections::{BTreeMap, BTreeSet};

/// `Module` is the path of a module from the root of its crate.
type Module = Vec<String>;
/// `Imports` has the modules that each module imports. Imports between a module and those below it are left out, because they are
/// one mechanism.
type Imports = BTreeMap<Module, BTreeSet<Module>>;

#[test]
fn no_files_import_each_other_in_a_circle() {
    let circles: Vec<(&str, BTreeSet<Module>)> = CRATES
        .into_iter()
        .flat_map(|krate| circles(&imports(krate)).into_iter().map(move |one| (krate, one)))
        .collect();
    let shown = |(krate, circle): &(&str, BTreeSet<Module>)| {
        let files: Vec<String> = circle.iter().map(|module| module.join("/")).collect();
        format!("  {krate}: {}", files.join(", "))
    };
    let list: Vec<String> = circles.iter().map(shown).collect();
    let hint = "define what two of them share in a file below both";
    assert!(list.is_empty(), "files import each other: {hint}\n{}", list.join("\n"));
}

fn imports(krate: &str) -> Imports {
    let files = sources(krate).into_iter().filter(|(path, _)| !is_of_tests(path) && !path.ends_with("main.rs"));
    let texts: BTreeMap<Module, String> = files
        .map(|(path, text)| {
            let inner = path.strip_prefix(top().join(krate)).unwrap().with_extension("");
            let mut module: Module = inner.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            module.pop_if(|last| ["lib", "mod"].contains(&last.as_str()));
            (module, code(text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default()))
        })
        .collect();
    let imported = |module: &Module, text: &str| {
        let targets = paths(text).into_iter().filter_map(|path| target(module, &path, &texts));
        targets.filter(|target| !target.starts_with(module) && !module.starts_with(target)).collect()
    };
    texts.iter().map(|(module, text)| (module.clone(), imported(module, text))).collect()
}

/// Returns the module of the file that has the item of a path.
fn target(from: &Module, path: &[&str], texts: &BTreeMap<Module, String>) -> Option<Module> {
    let mut target = if path[0] == "crate" { Module::new() } else { from.clone() };
    for word in path {
        match *word {
            "crate" | "self" => {}
            "super" => drop(target.pop()),
            name => target.push(name.to_owned()),
        }
    }
    while !texts.contains_key(&target) {
        target.pop()?;
    }
    Some(target)
}

/// Returns the paths in a text that begin with `crate`, `super` or `self`. `use super::{a::B, c::D}` has two.
fn paths(text: &str) -> Vec<Vec<&str>> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for (at, _) in ["crate::", "super::", "self::"].iter().flat_map(|root| text.match_indices(root)) {
        if text[..at].ends_with(|c: char| is_name(c) || c == ':') {
            continue;
        }
        let end = text[at..].find(|c: char| !is_name(c) && c != ':').map_or(text.len(), |length| at + length);
        let stem: Vec<&str> = words(&text[at..end]);
        match text[end..].strip_prefix('{') {
            Some(group) => found.extend(items(group).into_iter().map(|item| [stem.as_slice(), &words(item)].concat())),
            None => found.push(stem),
        }
    }
    found
}

fn words(path: &str) -> Vec<&str> {
    path.split("::").filter(|word| !word.is_empty()).collect()
}

/// Returns the beginnings of the items of a group, up to its closing brace.
fn items(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                found.push(group[start..at].trim().split(['{', ' ']).next().unwrap_or_default());
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    found
}

/// Returns the circles: sets of modules, each of which imports each other one directly or through others.
fn circles(imports: &Imports) -> Vec<BTreeSet<Module>> {
    let reached: BTreeMap<&Module, BTreeSet<Module>> =
        imports.keys().map(|module| (module, reached(module, imports))).collect();
    let mut circles = BTreeSet::new();
    for (module, from_it) in reached.iter().filter(|(module, from_it)| from_it.contains(**module)) {
        circles.insert(from_it.iter().filter(|other| reached[*other].contains(*module)).cloned().collect());
    }
    circles.into_iter().collect()
}

fn reached(from: &Module, imports: &Imports) -> BTreeSet<Module> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(module) = open.pop() {
        open.extend(imports[module].iter().filter(|next| reached.insert((*next).clone())));
    }
    reached
}

#[test]
fn a_circle_is_found() {
    assert_eq!(
        paths("use super::{a::B, c::{D, E}};\nlet x = crate::f::g(self::h);"),
        [vec!["crate", "f", "g"], vec!["super", "a", "B"], vec!["super", "c"], vec!["self", "h"]]
    );
    let module = |name: &str| vec![name.to_owned()];
    let imports = |pairs: &[(&str, &str)]| {
        let mut imports: Imports = ["a", "b", "c"].into_iter().map(|name| (module(name), BTreeSet::new())).collect();
        for (from, to) in pairs {
            imports.entry(module(from)).or_default().insert(module(to));
        }
        imports
    };
    assert_eq!(circles(&imports(&[("a", "b"), ("b", "c")])), []);
    assert_eq!(circles(&imports(&[("a", "b"), ("b", "a"), ("c", "a")])), [[module("a"), module("b")].into()]);
}
