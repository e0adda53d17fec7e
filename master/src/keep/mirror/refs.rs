//! Decides which ref names and object ids are accepted. Everything from a repository or from the network is checked here before
//! it is compared, shown or handed to git.

use schema::values::ShortRef;

/// The length of a ref's name, at most, in bytes; longer names are refused.
const NAME_BYTES_MAX: usize = 512;

/// A ref that is left out, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRef {
    /// The name of the ref; bytes that are not UTF-8 are replaced.
    pub name: String,
    /// Why the ref is refused, for a person.
    pub why: String,
}

/// Checks that this is an accepted full name of a branch or a tag. The error says why it is not.
pub fn check_ref(name: &str) -> Result<(), String> {
    let short = match ShortRef::of(name) {
        ShortRef::Branch(short) | ShortRef::Tag(short) => short,
        ShortRef::Other(_) => {
            return Err("it is neither a branch nor a tag: write refs/heads/NAME or refs/tags/NAME".to_string());
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
    if is_well_formed(short) { Ok(()) } else { Err("git does not allow this name".to_string()) }
}

/// Checks a name like [`check_ref`], for bytes from git.
pub(super) fn accept(name: &[u8]) -> Result<&str, RefusedRef> {
    let refused = |why| RefusedRef { name: String::from_utf8_lossy(name).chars().take(NAME_BYTES_MAX).collect(), why };
    let text = std::str::from_utf8(name).map_err(|_| refused("its name is not UTF-8".to_string()))?;
    check_ref(text).map_err(refused)?;
    Ok(text)
}

/// The reason why a ref that names a tree or a file is left out.
pub(super) const NO_COMMIT: &str = "it names no commit";

/// An accepted ref, as `git for-each-ref` lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ListedRef {
    /// The full name of the ref, and its commit.
    Names(String, String),
    /// The full name of the ref, and a tag whose commit has to be asked from git. Older versions of git peel a tag of a tag
    /// only once.
    NamesTag(String, String),
}

/// Reads a line of `git for-each-ref`: an object's type and id, the type and id of what a tag names, and the ref's name. `None`
/// means that it is not such a line.
pub(super) fn listed(line: &[u8]) -> Option<Result<ListedRef, RefusedRef>> {
    let words: Vec<&[u8]> = line.splitn(5, |byte| *byte == b' ').collect();
    let [kind, id, peeled_kind, peeled, name] = words[..] else { return None };
    let name = match accept(name) {
        Ok(name) => name.to_string(),
        Err(refused) => return Some(Err(refused)),
    };
    let ascii = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Some(match (kind, peeled_kind) {
        (b"commit", _) => Ok(ListedRef::Names(name, ascii(id))),
        (b"tag", b"commit") => Ok(ListedRef::Names(name, ascii(peeled))),
        (b"tag", b"tag") => Ok(ListedRef::NamesTag(name, ascii(peeled))),
        _ => Err(RefusedRef { name, why: NO_COMMIT.to_string() }),
    })
}

/// Reads a line with the id of a tag and its full name. `None` means that it is not such a line, or that the name is not
/// accepted.
pub(super) fn listed_tag(line: &[u8]) -> Option<(String, String)> {
    let (id, name) = line.split_at_checked(line.iter().position(|byte| *byte == b' ')?)?;
    let name = accept(&name[1..]).ok()?;
    Some((name.to_string(), String::from_utf8_lossy(id).into_owned()))
}

/// Returns the number of digits of the ids in an answer of `git ls-remote --symref`. `None` means that it has no line with an
/// id.
pub(super) fn digits_of_ids(listing: &[u8]) -> Option<usize> {
    let mut lines = listing.split(|byte| *byte == b'\n');
    let first = lines.find(|line| !line.starts_with(b"ref: "))?;
    first.split(|byte| *byte == b'\t').next().map(<[u8]>::len)
}

/// Whether a text is a complete object id: 40 or 64 hex digits.
pub fn is_object_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && is_hex(text)
}

/// Whether a text may be the prefix of an object id: 4 to 64 hex digits.
pub(super) fn is_id_prefix(text: &str) -> bool {
    (4..=64).contains(&text.len()) && is_hex(text)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a name follows the rules of git-check-ref-format(1).
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
