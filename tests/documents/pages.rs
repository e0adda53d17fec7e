//! Checks that the pages in docs/reference are those that the code makes now.
//!
//! After a change of keys or arguments run `cargo test -p tests --test documents -- --ignored`, which writes them.

use crate::commands::programs;
use crate::files::FILES;
use crate::{markdown, top};

/// Returns the path and the text of each page.
fn pages() -> Vec<(String, String)> {
    let of_file = |file: &crate::files::File| {
        (format!("docs/reference/{}.md", file.reference.file), markdown::of_file(file.reference))
    };
    let mut pages: Vec<_> = FILES.iter().map(of_file).collect();
    pages.push(("docs/reference/commands.md".to_owned(), markdown::of_programs(&programs())));
    pages.push(("docs/reference/limits.md".to_owned(), crate::limits::page()));
    pages
}

#[test]
fn the_reference_is_fresh() {
    let is_stale = |path: &str, text: &str| std::fs::read_to_string(top().join(path)).ok().as_deref() != Some(text);
    let pages = pages();
    let stale: Vec<&str> = pages.iter().filter(|(path, text)| is_stale(path, text)).map(|(path, _)| &**path).collect();
    let command = "cargo test -p tests --test documents -- --ignored";
    assert!(stale.is_empty(), "{} is not what the code says: run `{command}` and commit it", stale.join(", "));
    let mut there: Vec<String> = std::fs::read_dir(top().join("docs/reference"))
        .unwrap()
        .map(|entry| format!("docs/reference/{}", entry.unwrap().file_name().to_string_lossy()))
        .collect();
    there.retain(|path| pages.iter().all(|(page, _)| page != path));
    assert!(there.is_empty(), "{} is not a page of the reference", there.join(", "));
}

#[test]
#[ignore = "writes docs/reference"]
fn write_the_reference() {
    std::fs::create_dir_all(top().join("docs/reference")).unwrap();
    for (path, text) in pages() {
        std::fs::write(top().join(path), text).unwrap();
    }
    std::fs::write(top().join("SECURITY.md"), crate::limits::security()).unwrap();
}
