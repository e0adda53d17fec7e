//! Selectors: the text by which a person names a project, a build, a job, a step or lines of its log, taken apart. [`crate::resolve`]
//! decides which build the parts mean.
//!
//! `pyfoo` · `pyfoo/412` · `pyfoo/412/test@linux-aarch64,3.14` · `…/2` · `…/2:L120-L140`; a bare number; a commit; a
//! branch or a tag; a full ref; a pasted web address `https://ci.example.org/p/pyfoo/412`. `pyfoo/` is the project and
//! never a branch, and `#412` is the build and never a branch.

/// The parts of a selector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Words {
    /// The parts between the slashes, never empty.
    pub(crate) parts: Vec<String>,
    /// The first and the last line, counted from 1.
    pub(crate) lines: Option<(u64, u64)>,
    /// Whether the first part can only be a project, because the text is a web address or ends with a slash.
    pub(crate) names_project: bool,
    /// Whether the rest can only be a branch or a tag, because the address has `?branch=`.
    pub(crate) names_ref: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SelectorError {
    #[error("the selector is empty")]
    Empty,
    #[error("`{0}` does not name lines: write L120 or L120-L140")]
    Lines(String),
    #[error("`{0}` does not name a step: steps are counted from 1")]
    Step(String),
    #[error("`{0}` has too many parts: write PROJECT/BUILD/JOB/STEP:LINES")]
    TooLong(String),
    #[error("lines need their step: write .../STEP:{0}")]
    LinesOfNoStep(String),
}

impl Words {
    pub(crate) fn parse(text: &str) -> Result<Words, SelectorError> {
        let text = text.trim();
        if let Some(address) = Address::read(text) {
            return address.words();
        }
        let (path, lines) = split_lines(text)?;
        let names_project = path.ends_with('/');
        Words { lines, names_project, ..Words::default() }.with_parts(path)
    }

    fn with_parts(mut self, path: &str) -> Result<Words, SelectorError> {
        self.parts = path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        if self.parts.is_empty() { Err(SelectorError::Empty) } else { Ok(self) }
    }
}

/// Reads the number of a build. `#412` can only be a build.
pub(crate) fn read_number(part: &str) -> Option<u32> {
    // The number of a build has at most 10 digits. A commit id of digits only is longer, unless it is shortened.
    part.strip_prefix('#').unwrap_or(part).parse().ok().filter(|number| *number > 0)
}

/// Reads the first digits of a commit id, and returns them in lower case. There are at least 4, as in git.
pub(crate) fn read_commit(part: &str) -> Option<String> {
    let is_commit = (4..=40).contains(&part.len()) && part.chars().all(|c| c.is_ascii_hexdigit());
    is_commit.then(|| part.to_lowercase())
}

pub(crate) fn read_step(text: &str) -> Result<u16, SelectorError> {
    text.parse().ok().filter(|step| *step > 0).ok_or_else(|| SelectorError::Step(text.to_owned()))
}

/// Whether `wanted` names the job, either with its cell or, for all cells, without one.
pub(crate) fn chooses(wanted: &str, job: &str) -> bool {
    wanted == job || job.split('@').next() == Some(wanted)
}

/// The address of one of the master's pages.
struct Address {
    /// The part of the address after `/p/`.
    path: String,
    branch: Option<String>,
    /// The lines that the address names, such as `L120-L140`, or nothing.
    lines: String,
}

impl Address {
    fn read(text: &str) -> Option<Address> {
        if !text.starts_with("http://") && !text.starts_with("https://") {
            return None;
        }
        let (address, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (address, query) = address.split_once('?').unwrap_or((address, ""));
        let (_, path) = address.split_once("/p/")?;
        // A browser shows a log as it is at the address that ends with `/raw`.
        let path = path.trim_end_matches('/').trim_end_matches("/raw");
        let branch = query.split('&').find_map(|pair| pair.strip_prefix("branch="));
        Some(Address {
            path: percent_decode(path),
            branch: branch.map(|branch| percent_decode(&branch.replace('+', " "))).filter(|name| !name.is_empty()),
            lines: if fragment.starts_with('L') { fragment.to_owned() } else { String::new() },
        })
    }

    fn words(self) -> Result<Words, SelectorError> {
        let lines = if self.lines.is_empty() { None } else { Some(read_lines(&self.lines)?) };
        let words = Words { lines, names_project: true, ..Words::default() };
        match self.branch {
            Some(branch) => Words { names_ref: true, ..words }.with_parts(&format!("{}/{branch}", self.path)),
            None => words.with_parts(&self.path),
        }
    }
}

fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A path, and the first and the last line if it names lines.
type PathAndLines<'a> = (&'a str, Option<(u64, u64)>);

fn split_lines(path: &str) -> Result<PathAndLines<'_>, SelectorError> {
    // A ref has no colon (git-check-ref-format), so the last colon can only begin lines.
    let Some((path, lines)) = path.rsplit_once(':') else { return Ok((path, None)) };
    read_lines(lines).map(|lines| (path, Some(lines)))
}

fn read_lines(lines: &str) -> Result<(u64, u64), SelectorError> {
    let (first, last) = lines.split_once('-').unwrap_or((lines, lines));
    let number = |text: &str| text.strip_prefix('L').unwrap_or(text).parse::<u64>().ok();
    match (number(first), number(last)) {
        (Some(first @ 1..), Some(last)) if last >= first => Ok((first, last)),
        _ => Err(SelectorError::Lines(lines.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match Words::parse(text) {
            Ok(Words { parts, lines, names_project, names_ref }) => {
                let exact = match (names_project, names_ref) {
                    (true, true) => " project, ref",
                    (true, false) => " project",
                    (false, _) => "",
                };
                let lines = lines.map_or_else(String::new, |(first, last)| format!(" {first}-{last}"));
                format!("{}{lines}{exact}", parts.join(" "))
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn every_form_is_read() {
        let forms = [
            ("pyfoo", "pyfoo"),
            ("pyfoo/", "pyfoo project"),
            ("pyfoo/412", "pyfoo 412"),
            ("#412", "#412"),
            ("pyfoo/412/test@a,3.14", "pyfoo 412 test@a,3.14"),
            ("pyfoo/412/test/2:L3", "pyfoo 412 test 2 3-3"),
            ("pyfoo/412/test/2:L120-L140", "pyfoo 412 test 2 120-140"),
            ("feature/x", "feature x"),
            ("pyfoo/refs/heads/x", "pyfoo refs heads x"),
            (
                "https://ci.example.org/sub/p/pyfoo/412/test%40a%2C3.14/2?x=1#L7-L9",
                "pyfoo 412 test@a,3.14 2 7-9 project",
            ),
            ("https://ci.example.org/p/pyfoo?branch=feature%2Fx", "pyfoo feature x project, ref"),
            ("http://[::1]:8080/p/r/", "r project"),
            ("http://[::1]:8080/p/r/7/test/1/raw", "r 7 test 1 project"),
        ];
        for (text, expected) in forms {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        assert_eq!(shown(""), "the selector is empty");
        assert_eq!(shown("/"), "the selector is empty");
        assert_eq!(shown("r/1/j/2:L9-L3"), "`L9-L3` does not name lines: write L120 or L120-L140");
        assert_eq!(read_step("0").unwrap_err().to_string(), "`0` does not name a step: steps are counted from 1");
    }

    #[test]
    fn numbers_and_commits_are_told_apart() {
        assert_eq!((read_number("412"), read_number("#412"), read_number("0")), (Some(412), Some(412), None));
        assert_eq!(read_number("1234567890123456789012345678901234567890"), None);
        assert_eq!(
            (read_commit("3F9C2ab").as_deref(), read_commit("abc"), read_commit("main")),
            (Some("3f9c2ab"), None, None)
        );
    }

    #[test]
    fn a_job_without_a_cell_means_all_its_cells() {
        assert!(chooses("test", "test@a") && chooses("test", "test") && !chooses("test", "test2"));
        assert!(!chooses("test@a", "test@b"));
    }
}
