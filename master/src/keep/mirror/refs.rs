//! Which ref names and object ids go any further. Everything that came from a repository or over the network passes here
//! before it is compared, shown or handed to git.

use schema::values::ShortRef;

/// Longer names are refused.
const NAME_BYTES_MAX: usize = 512;

/// A ref that is left out, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRef {
    /// Bytes that are not UTF-8 are replaced.
    pub name: String,
    /// For a person.
    pub why: String,
}

/// Whether this is a full name of a branch or a tag that we accept.
pub fn check_ref(name: &str) -> Result<(), String> {
    let short = match ShortRef::of(name) {
        ShortRef::Branch(short) | ShortRef::Tag(short) => short,
        ShortRef::Other(_) => {
            return Err("it is neither a branch nor a tag: say refs/heads/NAME or refs/tags/NAME".to_string());
        }
    };
    if name.len() > NAME_BYTES_MAX {
        return Err(format!("its name is longer than {NAME_BYTES_MAX} bytes"));
    }
    if short.starts_with('-') {
        return Err("its name begins with `-`, as an option does".to_string());
    }
    if is_object_id(short) {
        return Err("its name looks like an object id".to_string());
    }
    if is_well_formed(short) { Ok(()) } else { Err("its name is none that git allows".to_string()) }
}

/// As [`check_ref`], of bytes from git.
pub(super) fn accept(name: &[u8]) -> Result<&str, RefusedRef> {
    let refused = |why| RefusedRef { name: String::from_utf8_lossy(name).chars().take(NAME_BYTES_MAX).collect(), why };
    let text = std::str::from_utf8(name).map_err(|_| refused("its name is not UTF-8".to_string()))?;
    check_ref(text).map_err(refused)?;
    Ok(text)
}

/// A complete object id: 40 or 64 hex digits.
pub fn is_object_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && is_hex(text)
}

/// What may stand for an object id: 4 digits or more.
pub(super) fn is_id_prefix(text: &str) -> bool {
    (4..=64).contains(&text.len()) && is_hex(text)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The rules of git-check-ref-format(1).
fn is_well_formed(short: &str) -> bool {
    let bad = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
    !short.chars().any(bad)
        && !short.contains("..")
        && !short.contains("@{")
        && short != "@"
        && !short.ends_with('.')
        && short.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in ["refs/heads/main", "refs/tags/v1.0", "refs/heads/a/-b", "refs/heads/cafe", "refs/heads/ü"] {
            assert_eq!(check_ref(name), Ok(()), "{name}");
        }
        let id = format!("refs/heads/{}", "a".repeat(40));
        for name in [
            "main",
            "refs/notes/x",
            "refs/heads/",
            "refs/heads/--upload-pack=x",
            &id,
            "refs/heads/a..b",
            "refs/heads/a@{1}",
            "refs/heads/a b",
            "refs/heads/a\u{1b}b",
            "refs/heads/.a",
            "refs/heads/a.lock",
            "refs/heads/a//b",
            "refs/tags/@",
        ] {
            assert!(check_ref(name).is_err(), "{name}");
        }
        assert_eq!(accept(b"refs/heads/\xff").unwrap_err().why, "its name is not UTF-8");
    }
}
