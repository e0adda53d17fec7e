//! What a person writes to name a project, a build, a job, a step or lines of its log. Pure: which build a branch or a
//! commit stands for is asked elsewhere.
//!
//! `pyfoo` · `pyfoo/412` · `pyfoo/412/test@linux-aarch64,3.14` · `…/2` · `…/2:L120-L140`; a bare number; a commit; a
//! branch; a pasted web address `https://ci.example.org/p/pyfoo/412`.

use std::fmt;

/// A selector with everything that its text says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// None: the text does not say; the repository here does.
    pub project: Option<String>,
    pub build: Which,
    /// With its cell; without one, all cells of that name.
    pub job: Option<String>,
    /// From 1.
    pub step: Option<u16>,
    /// First and last, from 1.
    pub lines: Option<(u64, u64)>,
}

/// Which build of a project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Which {
    #[default]
    Newest,
    Number(u32),
    /// A branch's short name, a full ref, or the beginning of a commit.
    Named(String),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    #[error("the selector is empty")]
    Empty,
    #[error("`{0}` names no lines: write L120 or L120-L140")]
    Lines(String),
    #[error("`{0}` names no step: steps count from 1")]
    Step(String),
    #[error("too many parts in `{0}`: PROJECT/BUILD/JOB/STEP:LINES")]
    TooLong(String),
    #[error("lines belong to a step: write .../STEP:{0}")]
    LinesOfNoStep(String),
}

impl Selector {
    /// `projects`: the names that there are; they decide whether a word is a project or a branch.
    pub fn parse(text: &str, projects: &[String]) -> Result<Selector, SelectorError> {
        let text = text.trim();
        let path = web_path(text).unwrap_or_else(|| text.to_owned());
        let (path, lines) = split_lines(&path)?;
        let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        if parts.is_empty() {
            return Err(SelectorError::Empty);
        }
        let mut selector = Selector { lines, ..Selector::default() };
        if projects.iter().any(|project| project == parts[0]) {
            selector.project = Some(parts.remove(0).to_owned());
        }
        selector.read_build(&parts)?;
        match (&selector.lines, selector.step) {
            (Some((first, _)), None) => Err(SelectorError::LinesOfNoStep(format!("L{first}"))),
            _ => Ok(selector),
        }
    }

    fn read_build(&mut self, parts: &[&str]) -> Result<(), SelectorError> {
        let Some(first) = parts.first() else { return Ok(()) };
        // a build's number has at most 10 digits; a commit that is all digits is longer
        let Ok(number) = first.trim_start_matches('#').parse() else {
            self.build = Which::Named(parts.join("/"));
            return Ok(());
        };
        self.build = Which::Number(number);
        match &parts[1..] {
            [] => {}
            [job] => self.job = Some((*job).to_owned()),
            [job, step] => {
                self.job = Some((*job).to_owned());
                self.step = Some(read_step(step)?);
            }
            _ => return Err(SelectorError::TooLong(parts.join("/"))),
        }
        Ok(())
    }

    /// Where a job's part is really a step of the only job: `pyfoo/412/2`.
    pub fn step_of_only_job(&mut self, names: &[&str]) {
        let [only] = names else { return };
        let Some(job) = &self.job else { return };
        if self.step.is_none()
            && job != only
            && let Ok(step @ 1..) = job.parse()
        {
            self.step = Some(step);
            self.job = Some((*only).to_owned());
        }
    }

    /// Whether this names the job, or all cells of its name, or all jobs.
    pub fn chooses(&self, job: &str) -> bool {
        match &self.job {
            None => true,
            Some(wanted) => wanted == job || job.split('@').next() == Some(wanted),
        }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Which::Newest => f.write_str("the newest build"),
            Which::Number(number) => write!(f, "build {number}"),
            Which::Named(name) => write!(f, "`{name}`"),
        }
    }
}

/// The path of a page, after `/p/`, with the fragment `#L120-L140` as `:L120-L140`.
fn web_path(text: &str) -> Option<String> {
    if !text.starts_with("http://") && !text.starts_with("https://") {
        return None;
    }
    let (address, fragment) = text.split_once('#').unwrap_or((text, ""));
    let address = address.split('?').next().unwrap_or(address);
    let (_, path) = address.split_once("/p/")?;
    // what a browser shows of a log as it is
    let path = path.trim_end_matches('/').trim_end_matches("/raw");
    let path = percent_decode(path);
    Some(if fragment.starts_with('L') { format!("{path}:{fragment}") } else { path })
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

/// A path, and the first and the last line where it names some.
type PathAndLines<'a> = (&'a str, Option<(u64, u64)>);

fn split_lines(path: &str) -> Result<PathAndLines<'_>, SelectorError> {
    // a ref holds no colon (git-check-ref-format), so that this is unambiguous
    let Some((path, lines)) = path.rsplit_once(':') else { return Ok((path, None)) };
    let (first, last) = lines.split_once('-').unwrap_or((lines, lines));
    let number = |text: &str| text.strip_prefix('L').unwrap_or(text).parse::<u64>().ok();
    match (number(first), number(last)) {
        (Some(first @ 1..), Some(last)) if last >= first => Ok((path, Some((first, last)))),
        _ => Err(SelectorError::Lines(lines.to_owned())),
    }
}

fn read_step(text: &str) -> Result<u16, SelectorError> {
    text.parse().ok().filter(|step| *step > 0).ok_or_else(|| SelectorError::Step(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Selector, SelectorError> {
        Selector::parse(text, &["pyfoo".to_owned(), "r".to_owned()])
    }

    fn shown(text: &str) -> String {
        match parse(text) {
            Ok(Selector { project, build, job, step, lines }) => {
                format!("{} {build} {job:?} {step:?} {lines:?}", project.as_deref().unwrap_or("-"))
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn every_form_is_read() {
        let forms = [
            ("pyfoo", "pyfoo the newest build None None None"),
            ("pyfoo/412", "pyfoo build 412 None None None"),
            ("pyfoo/#412", "pyfoo build 412 None None None"),
            ("#412", "- build 412 None None None"),
            ("412", "- build 412 None None None"),
            ("412/test", "- build 412 Some(\"test\") None None"),
            ("pyfoo/412/test@a,3.14", "pyfoo build 412 Some(\"test@a,3.14\") None None"),
            ("pyfoo/412/test/2", "pyfoo build 412 Some(\"test\") Some(2) None"),
            ("pyfoo/412/test/2:L3", "pyfoo build 412 Some(\"test\") Some(2) Some((3, 3))"),
            ("pyfoo/412/test/2:L120-L140", "pyfoo build 412 Some(\"test\") Some(2) Some((120, 140))"),
            ("main", "- `main` None None None"),
            ("feature/x", "- `feature/x` None None None"),
            ("pyfoo/feature/x", "pyfoo `feature/x` None None None"),
            ("3f9c2ab", "- `3f9c2ab` None None None"),
            ("1234567890123456789012345678901234567890", "- `1234567890123456789012345678901234567890` None None None"),
            (
                "https://ci.example.org/sub/p/pyfoo/412/test%40a%2C3.14/2?x=1#L7-L9",
                "pyfoo build 412 Some(\"test@a,3.14\") Some(2) Some((7, 9))",
            ),
            ("http://[::1]:8080/p/r/", "r the newest build None None None"),
        ];
        for (text, expected) in forms {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        assert_eq!(shown(""), "the selector is empty");
        assert_eq!(shown("r/1/j/0"), "`0` names no step: steps count from 1");
        assert_eq!(shown("r/1/j/2/3"), "too many parts in `1/j/2/3`: PROJECT/BUILD/JOB/STEP:LINES");
        assert_eq!(shown("r/1/j/2:L9-L3"), "`L9-L3` names no lines: write L120 or L120-L140");
        assert_eq!(shown("r/1/j:L9"), "lines belong to a step: write .../STEP:L9");
    }

    #[test]
    fn a_number_after_a_build_of_one_job_is_its_step() {
        let mut selector = Selector::parse("r/1/2", &["r".to_owned()]).unwrap();
        selector.step_of_only_job(&["test"]);
        assert_eq!((selector.job.as_deref(), selector.step), (Some("test"), Some(2)));
        let mut selector = Selector::parse("r/1/2", &["r".to_owned()]).unwrap();
        selector.step_of_only_job(&["2", "3"]);
        assert_eq!((selector.job.as_deref(), selector.step), (Some("2"), None));
    }

    #[test]
    fn a_job_without_a_cell_means_all_its_cells() {
        let selector = parse("r/1/test").unwrap();
        assert!(selector.chooses("test@a") && selector.chooses("test") && !selector.chooses("test2"));
        assert!(!parse("r/1/test@a").unwrap().chooses("test@b"));
    }
}
