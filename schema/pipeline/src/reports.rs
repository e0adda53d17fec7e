//! Reads the keys `junit`, `tap`, `subunit` and `libtest`, which name the test reports of a step.

use super::mistake;
use crate::limits::{PATTERN_MAX, REPORTS_MAX};
use schema::values::ReportFormat;
use toml_file::{At, Value};

/// One report that a key of the file names.
#[derive(Clone, Debug)]
pub(super) struct ReportKey {
    pub format: ReportFormat,
    /// The pattern of the report's files. `None` means that the report is the output of the step.
    pub pattern: Option<At<String>>,
}

/// Reads the key of one form of report, and adds its reports to `to`.
pub(super) fn read(value: &Value<'_>, format: ReportFormat, to: &mut Vec<ReportKey>) {
    let may_print = matches!(format, ReportFormat::Tap | ReportFormat::Libtest);
    let patterns = match (value.is_boolean() && may_print, value.is_string() || value.is_array()) {
        (true, _) => {
            let printed = value.boolean().filter(|printed| *printed);
            return to.extend(printed.map(|_| ReportKey { format, pattern: None }));
        }
        (false, true) => value.one_or_more().unwrap_or_default(),
        (false, false) if may_print => {
            let _: Option<()> = value.wrong("a string, an array of strings, or true for what the step prints");
            return;
        }
        (false, false) => value.one_or_more().unwrap_or_default(),
    };
    if to.len() + patterns.len() > REPORTS_MAX {
        let count = to.len() + patterns.len();
        let help = "one pattern can match many files: `reports/*.xml`";
        value.refuse(
            format_args!("makes {count} reports of one step, but only {REPORTS_MAX} are allowed"),
            "this goes beyond the limit",
            help,
        );
        return;
    }
    to.extend(patterns.into_iter().map(|pattern| ReportKey { format, pattern: Some(pattern) }));
}

/// Returns why a pattern of reports is refused, with a suggestion. `None` means that it is fine. A worker knows only `*`, `?` and `**`.
pub(super) fn mistake(pattern: &str) -> Option<(String, String)> {
    let of_report = |why: String, help: &str| Some((why, help.to_owned()));
    if pattern.chars().count() > PATTERN_MAX {
        return of_report(format!("it must have at most {PATTERN_MAX} characters"), "");
    }
    if pattern.split('/').any(|part| part == "..") {
        return of_report(
            "a report must be in the step's directory or below it".to_owned(),
            "use `dir` for another directory",
        );
    }
    if let Some(mistake) = mistake::in_path(pattern) {
        return Some((mistake.why, mistake.help));
    }
    let odd = pattern.chars().find(|char| "[]{}\\:".contains(*char))?;
    of_report(
        format!("`{odd}` is not allowed in a pattern"),
        "`*`, `?` and `**` are special; several patterns are a list",
    )
}
