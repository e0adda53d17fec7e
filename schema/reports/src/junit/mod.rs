//! Reads JUnit XML, for which each tool has its own form. The root is `testsuites` or `testsuite`, suites may contain suites, and any
//! attribute may be missing. If a file is cut, its complete test cases are kept.

mod case;
mod source;

use crate::collection::{Collection, Flaw};
use crate::noise::part;
use case::{Case, Part};
use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};
use source::Source;
use std::io::Read;

/// The most bytes of the name of an entity. The longest known name is the number of a character, such as `#x10FFFF`.
const REFERENCE_MAX: usize = 8;

/// The most levels of elements within each other. Real reports have about ten.
const DEPTH_MAX: usize = 1_000;

pub(crate) fn read(from: impl Read, to: &mut Collection) -> Result<(), Flaw> {
    let mut reader = Reader::from_reader(Source::new(from));
    let config = reader.config_mut();
    config.allow_dangling_amp = true;
    config.expand_empty_elements = true;
    let mut document = JunitReport { suites: Vec::new(), case: None, depth: 0, has_root: false, to };
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        reader.get_mut().begin_event();
        let event = reader.read_event_into(&mut bytes);
        let step = match event {
            Ok(Event::Eof) => break,
            Ok(event) => document.take(&event),
            Err(quick_xml::Error::Io(error)) => Err(error.to_string()),
            Err(error) => Err(format!("it is not XML from here on: {error}")),
        };
        if let Err(why) = step {
            return Err(Flaw::at(reader.get_ref().line(), why));
        }
    }
    document.end().map_err(|why| Flaw::at(reader.get_ref().line(), why))
}

/// The state of reading a report.
struct JunitReport<'a> {
    /// The suites that are open, the innermost last.
    suites: Vec<Suite>,
    case: Option<Case>,
    depth: usize,
    has_root: bool,
    to: &'a mut Collection,
}

/// A suite that is open.
struct Suite {
    name: String,
    /// The names of the suites around it and its own, with `/` between. It is made and cut once, because a suite can have many cases.
    path: String,
    file: String,
}

impl JunitReport<'_> {
    fn take(&mut self, event: &Event<'_>) -> Result<(), String> {
        match event {
            Event::Start(start) => self.begin(start),
            Event::End(end) => self.close(end.local_name().as_ref()),
            Event::Text(text) => self.text(text),
            Event::CData(text) => self.text(text),
            Event::GeneralRef(reference) => self.text(&resolved(reference)),
            // entities that the file itself declares are never expanded
            Event::DocType(_) | Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::Empty(_) | Event::Eof => {
                Ok(())
            }
        }
    }

    fn begin(&mut self, start: &BytesStart<'_>) -> Result<(), String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(format!("its elements stand in each other more than {DEPTH_MAX} levels deep"));
        }
        let name = start.local_name();
        let name = name.as_ref();
        if !std::mem::replace(&mut self.has_root, true) && !matches!(name, "testsuites" | "testsuite") {
            return Err(format!(
                "it is not JUnit XML: it begins with <{}>, not with <testsuites> or <testsuite>",
                shown(name)
            ));
        }
        match (name, &mut self.case) {
            ("testsuite", None) => self.suites.push(self.new_suite(start)),
            ("testcase", None) => self.case = Some(self.new_case(start)),
            (_, None) => {}
            (name, Some(case)) => case.begin(Part::of_element(name), start),
        }
        Ok(())
    }

    fn new_suite(&self, start: &BytesStart<'_>) -> Suite {
        let attribute = |name| attribute(start, name);
        let name = part(&attribute("name").unwrap_or_default());
        let around = self.suites.last().map_or("", |suite| &suite.path);
        let path = match (around, name.as_str()) {
            (around, name) if is_of_tool(name) => around.to_owned(),
            ("", name) => name.to_owned(),
            (around, name) => part(&format!("{around}/{name}")),
        };
        let file = attribute("file").or_else(|| attribute("filepath")).unwrap_or_default();
        Suite { name, path, file: case::bounded(file) }
    }

    fn new_case(&self, start: &BytesStart<'_>) -> Case {
        let (path, file) = self.suites.last().map_or(("", ""), |suite| (&suite.path, &suite.file));
        Case::new(start, path, file)
    }

    fn close(&mut self, name: &str) -> Result<(), String> {
        self.depth = self.depth.saturating_sub(1);
        match name {
            "testcase" => self.case.take().map_or(Ok(()), |case| case.finish(self.to)),
            "testsuite" if self.case.is_none() => {
                self.suites.pop();
                Ok(())
            }
            name => {
                if let Some(case) = &mut self.case {
                    case.close(Part::of_element(name));
                }
                Ok(())
            }
        }
    }

    fn text(&mut self, text: &str) -> Result<(), String> {
        if let Some(case) = &mut self.case {
            case.text(text);
        }
        Ok(())
    }

    fn end(self) -> Result<(), String> {
        match (&self.case, self.suites.last()) {
            _ if !self.has_root => Err("it is not JUnit XML: it has no element".to_owned()),
            (Some(case), _) => Err(format!("the file ends within the test case `{}`", shown(case.name()))),
            (None, Some(suite)) => Err(format!("the file ends within the suite `{}`", shown(&suite.name))),
            (None, None) if self.depth > 0 => Err("the file ends within <testsuites>".to_owned()),
            (None, None) => Ok(()),
        }
    }
}

/// Whether a tool gives this name to all its suites, so that the name says nothing.
fn is_of_tool(name: &str) -> bool {
    ["", "pytest", "(empty)", "Root Suite", "undefined"].contains(&name)
}

/// Shortens a name for a message.
fn shown(name: &str) -> &str {
    &name[..name.floor_char_boundary(name.len().min(100))]
}

/// Returns the value of an attribute with its entities resolved. If the list of attributes is broken, it has those before the fault.
fn attribute(start: &BytesStart<'_>, name: &str) -> Option<String> {
    let mut attributes = start.attributes();
    let found = attributes.with_checks(false).flatten().find(|found| found.key.local_name().as_ref() == name)?;
    Some(with_entities(&found.value))
}

/// Resolves the entities of a text. Entities that XML itself does not define stay as they are.
fn with_entities(text: &str) -> String {
    let mut whole = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        whole.push_str(before);
        // the end is not looked for further on, because the text may have a million `&` without one
        let end = after.bytes().take(REFERENCE_MAX + 1).position(|byte| byte == b';');
        let (put, left) = match end {
            Some(end) => (resolved(&BytesRef::new(&after[..end])), &after[end + 1..]),
            None => ("&".to_owned(), after),
        };
        whole.push_str(&put);
        rest = left;
    }
    whole.push_str(rest);
    whole
}

fn resolved(reference: &BytesRef<'_>) -> String {
    if let Ok(Some(char)) = reference.resolve_char_ref() {
        return char.to_string();
    }
    match &**reference {
        "lt" => "<".to_owned(),
        "gt" => ">".to_owned(),
        "amp" => "&".to_owned(),
        "quot" => "\"".to_owned(),
        "apos" => "'".to_owned(),
        other => format!("&{other};"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn entities_are_put_in() {
        for (text, wanted) in [
            ("a &lt; b &amp;&#x10FFFF;", "a < b &\u{10ffff}"),
            ("&other; &toolongname; & ; &", "&other; &toolongname; & ; &"),
            ("&é; &ééééé;", "&é; &ééééé;"),
        ] {
            assert_eq!(with_entities(text), wanted);
        }
    }

    #[test]
    fn many_ampersands_take_no_longer_than_other_text() {
        let text = "&".repeat(1 << 20);
        let began = Instant::now();
        assert_eq!(with_entities(&text).len(), text.len());
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }

    /// The names, the file and the messages of a case are cut when they are read, because cases and attempts repeat them.
    #[test]
    fn long_attributes_are_not_repeated() {
        let long = "x".repeat(1 << 20);
        let suite = format!("<testsuite name='{long}' file='{long}'>");
        let rerun = format!("<rerunFailure message='{long}'/>").repeat(5);
        let case = format!("<testcase name='{long}' file='{long}'><failure/>{rerun}</testcase>");
        let text = format!("{suite}{suite}{case}{}", "<testcase name='t'/>".repeat(20_000));
        let mut collection = Collection::default();
        let began = Instant::now();
        let flaw = read(text.as_bytes(), &mut collection).unwrap_err();
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        assert!(flaw.why.contains("ends within the suite"), "{}", flaw.why);
        assert_eq!(collection.len(), 20_006);
    }
}
