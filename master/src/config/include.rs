//! Reads the files that a master file includes. Knows none of their keys.

use globset::{Glob, GlobMatcher};
use std::io;
use std::path::{Path, PathBuf};
use toml_file::{At, Table};

/// The most files that a master file can include, which bounds the memory for their texts.
const FILES_MAX: usize = 10_000;

/// A `Text` is a file as it was read.
pub(super) struct Text {
    /// The name of the file as people see it.
    pub name: String,
    pub bytes: Vec<u8>,
    /// The directory to which the file's paths are relative.
    pub base: PathBuf,
}

/// Returns the patterns of a master file, and the texts of the files that they name, in order. `more` is a file that counts as present.
pub(super) fn included(root: &Table<'_>, base: &Path, more: Option<Text>) -> (Vec<String>, Vec<Text>) {
    let Some(value) = root.get("include") else { return (Vec::new(), Vec::new()) };
    let patterns = value.one_or_more().unwrap_or_default();
    let mut texts: Vec<Text> = Vec::new();
    for pattern in &patterns {
        match read(base, &pattern.value) {
            Ok(read) => texts.extend(read),
            Err(why) => refuse(root, pattern, &why),
        }
    }
    let names_more =
        |text: &Text| patterns.iter().any(|pattern| names(base, &pattern.value, &text.base.join(&text.name)));
    texts.extend(more.filter(names_more).map(|text| Text { name: shown(base, &text.base.join(&text.name)), ..text }));
    texts.sort_by(|one, other| one.name.cmp(&other.name));
    texts.dedup_by(|one, other| one.name == other.name);
    if texts.len() > FILES_MAX {
        value.refuse(format_args!("names {} files, but only {FILES_MAX} are allowed", texts.len()), "", "");
    }
    (patterns.into_iter().map(|pattern| pattern.value).collect(), texts)
}

/// Whether one pattern names this file, even if the file does not exist.
fn names(base: &Path, pattern: &str, file: &Path) -> bool {
    let Ok((dir, last)) = split(base, pattern) else { return false };
    file.parent() == Some(&dir) && file.file_name().is_some_and(|name| last.is_match(name))
}

fn refuse(root: &Table<'_>, pattern: &At<String>, why: &str) {
    let message = format!("`include` has `{}`: {why}", pattern.value);
    root.page().error(pattern.span.clone(), message, "", "write it like \"projects/*.toml\"");
}

/// Reads the files that a pattern names. A pattern may match no file, but a plain name without a file is a mistake.
fn read(base: &Path, pattern: &str) -> Result<Vec<Text>, String> {
    let (dir, last) = split(base, pattern)?;
    let is_plain = !pattern.contains(['*', '?', '[', '{']);
    let mut files = match std::fs::read_dir(&dir) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<Vec<_>>>(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
    .map_err(|error| format!("{}: {error}", dir.display()))?;
    files.retain(|name| last.is_match(name) && !name.as_encoded_bytes().starts_with(b"."));
    if files.is_empty() && is_plain {
        return Err("there is no such file".to_owned());
    }
    let texts = files.into_iter().map(|name| {
        let path = dir.join(name);
        let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Text { name: shown(base, &path), bytes, base: dir.clone() })
    });
    texts.collect()
}

/// Returns the files that the patterns name now.
pub(super) fn files(base: &Path, patterns: &[String]) -> Vec<PathBuf> {
    let texts = patterns.iter().filter_map(|pattern| read(base, pattern).ok()).flatten();
    texts.map(|text| base.join(text.name)).collect()
}

fn split(base: &Path, pattern: &str) -> Result<(PathBuf, GlobMatcher), String> {
    let (dir, last) =
        pattern.rsplit_once('/').map_or(("", pattern), |(dir, last)| (if dir.is_empty() { "/" } else { dir }, last));
    if dir.contains(['*', '?', '[', '{']) {
        return Err("only the last part of a path may be a pattern".to_owned());
    }
    let glob = Glob::new(last).map_err(|error| error.to_string())?;
    Ok((base.join(dir).components().collect(), glob.compile_matcher()))
}

fn shown(base: &Path, path: &Path) -> String {
    path.strip_prefix(base).unwrap_or(path).display().to_string()
}
