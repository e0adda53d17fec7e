//! The limits in the documents: `docs/reference/limits.md` and the bounds in `SECURITY.md` are written from the tables of
//! `schema::limits`. The tests that `SECURITY.md` names must exist.

use crate::{read, top};
use schema::limits::borders::{BOUNDS, Bound, size};
use schema::limits::{Beyond, Limit, Unit, grouped, rows};
use std::fmt::Write as _;
use std::path::Path;

/// The line of `SECURITY.md` before the generated bounds; [`END`] is the line after them.
const BEGIN: &str = "<!-- written from schema/src/limits: bounds -->\n";
const END: &str = "<!-- end of the bounds -->\n";

/// Returns the text of `docs/reference/limits.md`.
pub fn page() -> String {
    let mut page = String::from(
        "# Limits\n\nEach text, list and size that crosses a border has its bound here. The page is written from `schema/src/limits`, \
         from which programs\ntake them as well, and tests send each of them over a real connection. \
         [SECURITY.md](../../SECURITY.md) says who is trusted with what.\n\n## Borders\n\n",
    );
    page += "| border | what | at most | why |\n| --- | --- | --- | --- |\n";
    for bound in BOUNDS {
        let Bound { border, name, why, .. } = bound;
        let _ = writeln!(page, "| {border} | {name} | {} | {} |", bound.text(), cell(why));
    }
    page += "\n## Fields of the schema\n\nA value beyond its limit is refused by an exception that names it (`invalid: the name of the \
             project has 200 bytes; at most 100\nare taken`), or it is cut. What a master tells is cut by whoever reads it, because older \
             masters have no limits.\n`Build.log(job)` is a parameter, `Build.log -> reader` a result, `jobs[]` an element of a list.\n\n";
    page += "| value | at most | beyond | why | fields |\n| --- | --- | --- | --- | --- |\n";
    rows().for_each(|limit| page += &row(limit));
    page
}

fn row(limit: &Limit) -> String {
    let most = match limit.unit {
        Unit::Bytes => size(limit.most as u64),
        Unit::Elements => format!("{} elements", grouped(limit.most)),
    };
    let beyond = match limit.beyond {
        Beyond::Refused => "refused",
        Beyond::Cut => "cut",
    };
    let fields: Vec<String> = limit.fields.iter().map(|field| format!("`{field}`")).collect();
    format!("| {} | {most} | {beyond} | {} | {} |\n", limit.name, cell(limit.why), fields.join(", "))
}

/// Returns a comment of the code as the text of a cell of a table.
fn cell(why: &str) -> String {
    let plain = why.replace(['[', ']'], "").replace("`super::borders`", "`borders.rs`");
    plain.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// Returns the table of `SECURITY.md`, which has a row for each border.
fn table() -> String {
    let mut table = String::from("| border | bounds |\n| --- | --- |\n");
    let mut borders: Vec<&str> = BOUNDS.iter().map(|bound| bound.border).collect();
    borders.dedup();
    for border in borders {
        let of: Vec<String> = BOUNDS
            .iter()
            .filter(|bound| bound.border == border)
            .map(|bound| format!("{}: {}", bound.name, bound.text()))
            .collect();
        let _ = writeln!(table, "| {border} | {} |", of.join("; "));
    }
    table
}

/// Returns the text of `SECURITY.md` with the table that the code makes now.
pub fn security() -> String {
    let text = read("SECURITY.md");
    let (before, rest) = text.split_once(BEGIN).expect("SECURITY.md has its bounds");
    let (_, after) = rest.split_once(END).expect("the bounds end");
    format!("{before}{BEGIN}{}{END}{after}", table())
}

/// The bounds in `SECURITY.md` are those that the table of limits has now.
#[test]
fn the_bounds_of_security_are_those_of_the_table() {
    let command = "cargo test -p tests --test documents -- --ignored";
    assert!(security() == read("SECURITY.md"), "SECURITY.md is not what the code says: run `{command}` and commit it");
}

/// Every attack in `SECURITY.md` has a test, and each test that it names exists.
#[test]
fn the_tests_of_security_are_there() {
    let text = read("SECURITY.md");
    let (_, attacks) = text.split_once("## Attacks, and the test of each").expect("the attacks");
    let rows = attacks.lines().filter(|line| line.starts_with("| ")).skip(2);
    let mut count = 0;
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let named: Vec<&str> = cells.last().unwrap().split('`').skip(1).step_by(2).collect();
        assert!(cells.len() == 3 && !named.is_empty(), "no test of: {row}");
        for name in named {
            assert!(is_there(name), "there is no test `{name}`, of: {row}");
            count += 1;
        }
    }
    assert!(count > 40, "{count} tests are named");
}

/// Whether a test exists: `cargo test -p master --lib places`, `--test hostile grants`, or the name of a flow like `survivors`.
fn is_there(name: &str) -> bool {
    let words: Vec<&str> = name.strip_prefix("cargo test ").unwrap_or(name).split(' ').collect();
    match words[..] {
        ["-p", package, "--lib", filter] => has_tests(&folder_of(package).join("src"), filter),
        ["-p", package, "--test", target] => folder_of(package).join("tests").join(format!("{target}.rs")).exists(),
        ["-p", package, "--test", target, filter] => {
            read_if(&folder_of(package).join("tests").join(format!("{target}.rs")))
                .is_some_and(|text| text.contains(filter))
        }
        ["--test", target] => target_of(target).is_some(),
        ["--test", target, filter] => target_of(target).is_some_and(|path| {
            let folder = top().join("tests").join(path).parent().unwrap().to_owned();
            has_tests(&folder, filter)
        }),
        [flow] => top().join("tests/flows").join(flow).exists(),
        _ => false,
    }
}

fn folder_of(package: &str) -> std::path::PathBuf {
    let folder = match package {
        "command" => "client/command",
        "pipeline" | "reports" | "system" | "snapshot" | "toml_file" => return top().join("schema").join(package),
        package => package,
    };
    top().join(folder)
}

fn read_if(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// Returns the file of a target of the crate `tests`, from its manifest.
fn target_of(target: &str) -> Option<String> {
    let manifest = read("tests/Cargo.toml");
    let (_, rest) = manifest.split_once(&format!("[[test]]\nname = \"{target}\"\npath = \""))?;
    Some(rest.split_once('"')?.0.to_owned())
}

/// Whether a file below this folder has tests whose path or name contains `filter`.
fn has_tests(folder: &Path, filter: &str) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.map(|entry| entry.unwrap().path()).any(|path| {
        if path.is_dir() {
            return has_tests(&path, filter);
        }
        let Some(text) = read_if(&path).filter(|text| text.contains("#[test]") || text.contains("::test]")) else {
            return false;
        };
        let names_it = path.to_string_lossy().contains(&filter.replace("::", ""));
        names_it || text.lines().any(|line| line.contains("fn ") && line.contains(filter))
    })
}
