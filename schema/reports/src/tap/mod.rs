//! Reads the Test Anything Protocol, in the versions 12 to 14. Other lines are skipped, because a report may be a part of the output
//! of a step.

mod line;
mod point;

use crate::collection::{Collection, Flaw};
use crate::lines::Lines;
use line::{Line, Point};
use point::{Held, Level, TapTest, Yaml, bytes_of};
use std::io::Read;

/// The most levels of subtests within each other. Deeper subtests count as tests of the deepest level.
const DEPTH_MAX: usize = 50;

/// Reads a report. `file` is the name of its file without the extension. It becomes the suite of the tests, because tests of several
/// files may have equal names. It is empty for the output of a step.
pub(crate) fn read(from: impl Read, file: &str, to: &mut Collection) -> Result<(), Flaw> {
    let mut lines = Lines::new(from);
    let mut document = TapReport {
        file,
        levels: vec![Level::default()],
        yaml: None,
        held: Held::default(),
        has_any: false,
        is_cut: false,
        ends_with_test: false,
        to,
    };
    while let Some(text) = lines.next()? {
        document.take(&text).map_err(|why| Flaw::at(lines.number, why))?;
    }
    document.is_cut = !lines.is_whole;
    document.end().map_err(|why| Flaw::at(lines.number, why))
}

/// The state of reading a report.
struct TapReport<'a> {
    file: &'a str,
    /// The plan and the results of the report itself, and of each subtest that is open.
    levels: Vec<Level>,
    /// The block of YAML that is being read, which belongs to the newest test.
    yaml: Option<Yaml>,
    held: Held,
    has_any: bool,
    /// Whether the last line has no line end, so that it may be cut.
    is_cut: bool,
    /// Whether the last line is a test.
    ends_with_test: bool,
    to: &'a mut Collection,
}

impl TapReport<'_> {
    fn take(&mut self, text: &str) -> Result<(), String> {
        if let Some(yaml) = &mut self.yaml {
            if !yaml.take(text) {
                return Ok(());
            }
            let yaml = self.yaml.take().unwrap_or_default();
            return self.tell_newest(|newest| yaml.tell(newest));
        }
        let indent = text.len() - text.trim_start_matches(' ').len();
        let depth = (indent / 4).min(DEPTH_MAX);
        let is_newest = self.levels.len() == depth + 1;
        let line = line::parse(text.trim());
        self.ends_with_test = matches!(line, Some(Line::Point(_)));
        match line {
            Some(Line::Point(point)) => self.point(depth, point),
            Some(Line::Plan(count)) => {
                self.open(depth);
                self.levels[depth].planned = Some(count);
                self.has_any = true;
                Ok(())
            }
            Some(Line::Version) if depth == 0 => self.next_report(),
            Some(Line::BailOut(why)) => Err(format!("Bail out! {why}").trim_end().to_owned()),
            Some(Line::Yaml) if self.levels.len() == indent / 4 + 1 => {
                self.yaml = Some(Yaml::new(indent));
                Ok(())
            }
            Some(Line::Comment(said)) if is_newest => self.tell_newest(|newest| newest.comment(said)),
            Some(Line::Version | Line::Yaml | Line::Comment(_)) | None => Ok(()),
        }
    }

    /// Changes the test whose result was read last, unless its subtests count in its place.
    fn tell_newest(&mut self, tell: impl FnOnce(&mut TapTest)) -> Result<(), String> {
        let level = self.levels.last_mut().filter(|level| level.has_own);
        let Some(newest) = level.and_then(|level| level.told.last_mut()) else { return Ok(()) };
        let before = newest.bytes();
        tell(newest);
        let now = newest.bytes();
        self.held.change(before, now)
    }

    fn open(&mut self, depth: usize) {
        while self.levels.len() <= depth {
            self.levels.push(Level::default());
        }
    }

    /// Takes the result of a test. The deeper tests before it are its subtests.
    fn point(&mut self, depth: usize, point: Point<'_>) -> Result<(), String> {
        self.open(depth);
        self.has_any = true;
        let mut below = Vec::new();
        while self.levels.len() > depth + 1 {
            let level = self.levels.pop().unwrap_or_default();
            if let Some(why) = level.lacks() {
                self.to.add_trouble(format_args!("{why} in the subtest `{}`", point.description));
            }
            below.splice(0..0, level.told);
        }
        let level = &mut self.levels[depth];
        level.seen += 1;
        let before = bytes_of(&below);
        let (told, has_own) = point::told(&point, level.seen, below);
        level.has_own = has_own;
        let now = bytes_of(&told);
        level.told.extend(told);
        self.held.change(before, now)?;
        // later lines can only change the newest test, so the results before it are complete
        if depth == 0 { self.hand_on(1) } else { Ok(()) }
    }

    /// Adds the results of the top level to the collection, except for the newest `kept`.
    fn hand_on(&mut self, kept: usize) -> Result<(), String> {
        let told = &mut self.levels[0].told;
        let count = told.len().saturating_sub(kept);
        for told in told.drain(..count) {
            self.to.push(told.result(self.file))?;
        }
        self.held = Held::of(told);
        Ok(())
    }

    /// Ends the report so far, because another one begins in the same file.
    fn next_report(&mut self) -> Result<(), String> {
        if self.has_any { self.end_report() } else { Ok(()) }
    }

    fn end_report(&mut self) -> Result<(), String> {
        let open = self.levels.len() > 1;
        let below: Vec<_> = self.levels.drain(1..).flat_map(|level| level.told).collect();
        self.levels[0].told.extend(below);
        let lacks = self.levels[0].lacks();
        let has_plan = self.levels[0].planned.is_some();
        self.hand_on(0)?;
        self.levels[0] = Level::default();
        match lacks {
            Some(why) => Err(why),
            None if open => Err("the report ends within a subtest".to_owned()),
            None if !has_plan => Err("the report has no plan, so tests may be missing at its end".to_owned()),
            None => Ok(()),
        }
    }

    fn end(mut self) -> Result<(), String> {
        if !self.has_any {
            return Err("there is no test and no plan of TAP in it".to_owned());
        }
        let is_amid = self.yaml.take().is_some() || (self.is_cut && self.ends_with_test);
        self.end_report()?;
        if is_amid { Err("the report ends in the middle of a test".to_owned()) } else { Ok(()) }
    }
}
