//! Removes noise from the names of tests, which differs from run to run but does not make another test. Noise is the addresses of
//! objects, temporary directories, and ports that the system chose. Only known forms of noise are removed.

use crate::cut::cut_name;
use crate::{NAME_MAX, TestId};

/// The first port that Linux chooses by itself. Ports from this one on are noise.
const EPHEMERAL: u32 = 32_768;

/// Directories in which a tool makes a new directory for each run, each with the beginning of the new directory's name.
const TEMPORARY: [(&str, &str); 5] =
    [("/tmp/", "pytest-of-"), ("/tmp/", "tmp"), ("/tmp/", ".tmp"), ("/tmp/", "go-build"), ("/var/folders/", "")];

/// Makes the identity of a test from its suite and its name, which may end with parameters in brackets. Each part is cut to its bound,
/// because readers hold and repeat it.
pub(crate) fn identity(suite: &str, name: &str) -> TestId {
    let (name, parameters) = split(name);
    TestId { suite: part(suite), name: part(name), parameters: part(parameters) }
}

/// Removes the noise from a part of an identity, and cuts the part to its bound.
pub(crate) fn part(text: &str) -> String {
    let mut part = normal(text);
    cut_name(&mut part, NAME_MAX);
    part
}

/// Splits a name such as `test_x[1-a[0]]` into `test_x` and its parameters `1-a[0]`. If a blank is before the bracket, the name is a
/// sentence and has no parameters.
fn split(name: &str) -> (&str, &str) {
    let inner = name.strip_suffix(']').and_then(|inner| inner.split_once('['));
    match inner {
        Some((name, parameters)) if !name.is_empty() && !name.ends_with(char::is_whitespace) => (name, parameters),
        _ => (name, ""),
    }
}

/// Replaces each piece of noise in a text by `…`.
fn normal(text: &str) -> String {
    let text = text.trim();
    let mut normal = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        let (kept, noise) = noise(&normal, rest).unwrap_or((char.len_utf8(), 0));
        normal.push_str(&rest[..kept]);
        if noise > 0 {
            normal.push('…');
        }
        rest = &rest[kept + noise..];
    }
    normal
}

/// Finds noise at the beginning of `rest`. Returns how many bytes before the noise stay, and how many bytes the noise has.
fn noise(before: &str, rest: &str) -> Option<(usize, usize)> {
    match rest.as_bytes()[0] {
        b'0' => address(before, rest),
        b'/' => temporary(rest),
        b':' => port(before, rest),
        _ => None,
    }
}

/// Finds an address such as `<object at 0x7f12ab34cd56>`, with which Python shows an object that has no other text.
fn address(before: &str, rest: &str) -> Option<(usize, usize)> {
    let digits = length(rest.strip_prefix("0x")?, |char| char.is_ascii_hexdigit());
    (before.ends_with(" at ") && digits >= 6).then_some((2, digits))
}

/// Finds a temporary directory such as `/tmp/tmpab12cd34` or `/tmp/pytest-of-me/pytest-12`.
fn temporary(rest: &str) -> Option<(usize, usize)> {
    let is_name = |char: char| char.is_alphanumeric() || matches!(char, '-' | '_' | '.' | '+');
    let (root, start) = TEMPORARY.into_iter().find(|(root, start)| {
        rest.strip_prefix(root).is_some_and(|part| part.starts_with(start) && part.starts_with(is_name))
    })?;
    // tools make some of the directories below new for each run as well
    let parts = if start == "pytest-of-" {
        2
    } else if root == "/tmp/" {
        1
    } else {
        3
    };
    let mut end = root.len();
    for part in 0..parts {
        let slash = usize::from(part > 0 && rest[end..].starts_with('/'));
        if part > 0 && slash == 0 {
            break;
        }
        end += slash + length(&rest[end + slash..], is_name);
    }
    Some((root.len(), end - root.len()))
}

/// Finds a port that the system chose, as in `127.0.0.1:49213`.
fn port(before: &str, rest: &str) -> Option<(usize, usize)> {
    let is_host = ["127.0.0.1", "localhost", "[::1]", "0.0.0.0"].iter().any(|host| before.ends_with(host));
    let digits = length(&rest[1..], |char| char.is_ascii_digit());
    let port: u32 = rest[1..=digits].parse().ok().filter(|_| is_host)?;
    (port >= EPHEMERAL).then_some((1, digits))
}

fn length(text: &str, is_part: impl Fn(char) -> bool) -> usize {
    text.find(|char| !is_part(char)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_noise_is_taken_out() {
        for (text, wanted) in [
            ("<A object at 0x7f12ab34cd56>-0xdeadbeef", "<A object at 0x…>-0xdeadbeef"),
            ("/tmp/pytest-of-me/pytest-12/test_x0-b", "/tmp/…/test_x0-b"),
            ("/tmp/tmpab12cd34/x,/tmp/mine", "/tmp/…/x,/tmp/mine"),
            ("http://127.0.0.1:49213/a and localhost:8080", "http://127.0.0.1:…/a and localhost:8080"),
            ("/var/folders/ab/c_d12/T/x", "/var/folders/…/x"),
            ("10:49213 é 0", "10:49213 é 0"),
            ("/tmp/", "/tmp/"),
            ("localhost:", "localhost:"),
        ] {
            assert_eq!(normal(text), wanted, "{text}");
        }
    }

    /// The hash in a long part is made without the noise, so it is the same in each run.
    #[test]
    fn a_long_part_is_cut_behind_the_noise() {
        let long = |address: &str| identity("", &format!("{}[<A at {address}>]", "x".repeat(60_000)));
        let (one, other) = (long("0x7f12ab34cd56"), long("0x7f12ab34cd78"));
        assert_eq!(one, other);
        assert_eq!((one.name.len() <= NAME_MAX, one.parameters.as_str()), (true, "<A at 0x…>"));
    }

    #[test]
    fn parameters_stand_in_brackets_at_the_end() {
        for (name, wanted) in [
            ("test_x[1-a[0]]", ("test_x", "1-a[0]")),
            ("add(int)[2]", ("add(int)", "2")),
            ("[1] first", ("[1] first", "")),
            ("[1]", ("[1]", "")),
            ("knows [brackets]", ("knows [brackets]", "")),
            ("plain", ("plain", "")),
        ] {
            assert_eq!(split(name), wanted, "{name}");
        }
    }
}
