//! The reader of names of refs, which come from repositories, hooks and people, and of the patterns that select refs.

use master::intake::sources::git::Patterns;
use master::keep::mirror::check_ref;
use schema::values::{ShortRef, branch_ref, full_refs};

pub fn target(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (name, pattern) = text.split_once('\n').unwrap_or((&text, "*"));
    if check_ref(name).is_ok() {
        check(name);
    }
    assert!(full_refs(name).iter().all(|full| full.ends_with(name)));
    let (pattern, name) = (start(pattern), start(name));
    assert_eq!(
        Patterns::new([&pattern]).matches(&name),
        is_match(pattern.as_bytes(), name.as_bytes()),
        "{pattern} {name}"
    );
}

/// Checks a name by the rules of git-check-ref-format(1), which are written here in another way than in the reader.
fn check(name: &str) {
    assert!(name.len() <= 512 && !name.contains(|c: char| c.is_control()));
    let short = ShortRef::of(name).name();
    assert!(name == format!("refs/tags/{short}") || name == branch_ref(short));
    let bad = [" ", "~", "^", ":", "?", "*", "[", "\\", "..", "@{", "//", "/."];
    assert!(bad.iter().all(|part| !short.contains(part)), "{short}");
    assert!(
        !short.starts_with(['-', '/', '.']) && !short.ends_with(['/', '.']) && !short.ends_with(".lock"),
        "{short}"
    );
    assert!(short != "@" && !short.split('/').any(|part| part.ends_with(".lock")));
}

/// Returns the beginning of a text, because the slow definition can only take short texts.
fn start(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Whether a pattern matches a name, by the plain definition. `*` stands for any run of bytes, and each run is tried.
fn is_match(pattern: &[u8], name: &[u8]) -> bool {
    let mut reached = vec![true; 1];
    reached.resize(name.len() + 1, false);
    for &wanted in pattern {
        let mut next = vec![false; name.len() + 1];
        for at in 0..=name.len() {
            next[at] = match wanted {
                b'*' => reached[at] || at > 0 && next[at - 1],
                _ => at > 0 && reached[at - 1] && name[at - 1] == wanted,
            };
        }
        reached = next;
    }
    reached[name.len()]
}
