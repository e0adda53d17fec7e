//! Reads `[trigger]` and `when`, and decides by the ref, the changed paths and the cause whether a build is made or a job runs. Both
//! are tables of patterns with fixed keys. There is no expression language.

use super::cron::CronEntry;
use super::{crons, keys, mistake};
use crate::limits::{PATTERN_MAX, PATTERNS_MAX, PATTERNS_TEXT_MAX};
use globset::{GlobBuilder, GlobMatcher};
use schema::values::{BuildCause, ShortRef};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use toml_file::{At, Table, Value};

/// The most work that one plan does for `paths`, in characters of patterns times paths. It takes about two seconds.
const WORK_MAX: usize = 500_000_000;

/// The key whose patterns match paths. The patterns of all other keys match names of branches and tags.
const PATHS: &str = "paths";

/// A list of globs of which one must match. `*` does not match a `/`, and `**` does.
#[derive(Clone, Debug, Default)]
pub(super) struct Patterns {
    texts: Vec<String>,
    globs: Vec<GlobMatcher>,
}

impl Patterns {
    fn read(table: &Table<'_>, key: &'static str, room: &Room) -> Option<Patterns> {
        let value = table.get(key)?;
        let texts = value.one_or_more()?;
        if texts.len() > PATTERNS_MAX {
            value.refuse(format_args!("has {} patterns, but only {PATTERNS_MAX} are allowed", texts.len()), "", "");
            return None;
        }
        if !room.take(&texts) {
            let message = format!(
                "is too long: all patterns of the file together may have at most {PATTERNS_TEXT_MAX} characters"
            );
            value.refuse(message, "this goes beyond the limit", "name folders instead of the files in them");
            return None;
        }
        let is_of_paths = key == PATHS;
        let mut patterns = Patterns::default();
        for text in texts {
            let mistake =
                if is_of_paths { mistake::in_path(&text.value) } else { mistake::in_glob_of_refs(&text.value) };
            if let Some(mistake) = mistake {
                let message = format!("{} has `{}`, which matches nothing: {}", value.what(), text.value, mistake.why);
                table.page().error(text.span, message, "", mistake.help);
                continue;
            }
            match globs(&text.value, is_of_paths) {
                Ok(globs) => {
                    patterns.globs.extend(globs);
                    patterns.texts.push(text.value);
                }
                Err(why) => {
                    let message = format!("{} has a broken pattern: {why}", value.what());
                    table.page().error(text.span, message, "", "");
                }
            }
        }
        Some(patterns)
    }

    fn size(&self) -> usize {
        self.texts.iter().map(String::len).sum()
    }

    fn matches(&self, text: &str) -> bool {
        self.globs.iter().any(|glob| glob.is_match(text))
    }
}

/// The number of characters that are left for the patterns of one file.
pub(super) struct Room(Cell<usize>);

impl Room {
    pub(super) fn new() -> Room {
        Room(Cell::new(PATTERNS_TEXT_MAX))
    }

    /// Takes the room of these patterns. Returns `false` if there is too little.
    fn take(&self, texts: &[At<String>]) -> bool {
        let wanted = texts.iter().map(|text| text.value.len()).sum();
        let left = self.0.get().checked_sub(wanted);
        self.0.set(left.unwrap_or(0));
        left.is_some()
    }
}

/// The results of matching patterns with paths in one plan. Cells share their patterns, and most jobs share their changed paths, so
/// each pair is matched only once.
#[derive(Default)]
pub(super) struct Matching {
    known: BTreeMap<(usize, usize), bool>,
    work: usize,
}

impl Matching {
    /// Whether one of the patterns matches one of the paths. If that is too much work, it counts as a match, because everything unknown
    /// does.
    fn any(&mut self, patterns: &Patterns, paths: &Arc<Vec<String>>) -> bool {
        let pair = (std::ptr::from_ref(patterns).addr(), Arc::as_ptr(paths).addr());
        if let Some(known) = self.known.get(&pair) {
            return *known;
        }
        self.work = self.work.saturating_add(patterns.size().saturating_mul(paths.len()));
        let found = self.work > WORK_MAX || any(patterns, paths);
        self.known.insert(pair, found);
        found
    }
}

fn globs(text: &str, is_of_paths: bool) -> Result<Vec<GlobMatcher>, String> {
    if text.len() > PATTERN_MAX {
        return Err(format!("{} characters, but only {PATTERN_MAX} are allowed", text.len()));
    }
    let Some(folder) = text.strip_suffix('/') else { return Ok(vec![glob(text)?]) };
    // `docs/` matches everything below it, and as a path also `docs` itself, which may be a submodule or a link
    let below = glob(&format!("{text}**"))?;
    Ok(if is_of_paths { vec![glob(folder)?, below] } else { vec![below] })
}

fn glob(text: &str) -> Result<GlobMatcher, String> {
    let glob = GlobBuilder::new(text).literal_separator(true).backslash_escape(true).build();
    glob.map(|glob| glob.compile_matcher()).map_err(|error| error.kind().to_string())
}

/// The table `[trigger]`, which says which pushes make a build.
#[derive(Clone, Debug, Default)]
pub(super) struct Trigger {
    /// The branches whose pushes make a build. `None` means every branch.
    push: Option<Patterns>,
    /// The tags whose pushes make a build. `None` means no tag.
    tag: Option<Patterns>,
    paths: Option<Patterns>,
    pub(super) crons: Vec<CronEntry>,
}

impl Trigger {
    pub(super) fn read(root: &Table<'_>, room: &Room) -> Trigger {
        let Some(table) = root.get("trigger").and_then(|value| value.table("[trigger]")) else {
            return Trigger::default();
        };
        let trigger = Trigger {
            push: Patterns::read(&table, "push", room),
            tag: Patterns::read(&table, "tag", room),
            paths: Patterns::read(&table, PATHS, room),
            crons: crons::read(&table),
        };
        table.close(keys::TRIGGER_LATER);
        trigger
    }

    pub(super) fn asks_for_paths(&self) -> bool {
        self.paths.is_some()
    }

    /// Returns the reason why a push makes no build. `None` means that it makes one.
    pub(super) fn reason(&self, ref_name: &str, paths: Option<&[String]>) -> Option<String> {
        let (is_wanted, is_branch) = match ShortRef::of(ref_name) {
            ShortRef::Branch(name) => (self.push.as_ref().is_none_or(|push| push.matches(name)), true),
            // a tag is not compared with another commit, so its paths always match
            ShortRef::Tag(name) => (self.tag.as_ref().is_some_and(|tag| tag.matches(name)), false),
            ShortRef::Other(_) => (false, false),
        };
        if !is_wanted {
            return Some(format!("does not ask for {ref_name}"));
        }
        let (wanted, paths) = (self.paths.as_ref().filter(|_| is_branch)?, paths?);
        (!any(wanted, paths))
            .then(|| format!("asks for changes of its `paths`, and nothing changed in {}", list(&wanted.texts)))
    }
}

fn any(patterns: &Patterns, paths: &[String]) -> bool {
    paths.iter().any(|path| patterns.matches(path))
}

/// The `when` of a job. All its keys must match, except that `branch` and `tag` together mean either of them.
#[derive(Clone, Debug, Default)]
pub(super) struct When {
    branch: Option<Patterns>,
    tag: Option<Patterns>,
    paths: Option<Patterns>,
    causes: Option<Vec<&'static str>>,
    /// The names of entries of `[trigger.cron]` in whose builds the job runs.
    pub(super) crons: Option<Vec<At<String>>>,
}

impl When {
    pub(super) fn read(job: &Table<'_>, room: &Room) -> When {
        let Some(table) = job.get("when").and_then(|value| value.table(format!("`when` of {}", job.place()))) else {
            return When::default();
        };
        let when = When {
            branch: Patterns::read(&table, "branch", room),
            tag: Patterns::read(&table, "tag", room),
            paths: Patterns::read(&table, PATHS, room),
            causes: table.get("cause").and_then(|value| causes(&value)),
            crons: table.get("cron").and_then(|value| value.one_or_more()),
        };
        table.close(keys::WHEN_LATER);
        when
    }

    pub(super) fn asks_for_paths(&self) -> bool {
        self.paths.is_some()
    }

    /// Returns the reason why the job is skipped in a build. `None` means that it is not skipped. A retry has a `kind` of its own, but
    /// the `cause` of the build that it repeats. So a retry of a cron's build runs the same jobs.
    pub(super) fn reason(
        &self,
        ref_name: &str,
        kind: &str,
        cause: &BuildCause,
        paths: Option<&Arc<Vec<String>>>,
        matching: &mut Matching,
    ) -> Option<String> {
        let short = ShortRef::of(ref_name);
        let of_ref = self.reason_of_ref(short);
        let of_cause = || self.reason_of_cause(kind).or_else(|| self.reason_of_cron(cause));
        of_ref.or_else(of_cause).or_else(|| match short {
            ShortRef::Tag(_) => None,
            ShortRef::Branch(_) | ShortRef::Other(_) => self.reason_of_paths(paths?, matching),
        })
    }

    fn reason_of_ref(&self, kind: ShortRef<'_>) -> Option<String> {
        let (matches, name) = match kind {
            ShortRef::Branch(name) => {
                (self.branch.as_ref().is_some_and(|wanted| wanted.matches(name)), format!("branch {name}"))
            }
            ShortRef::Tag(name) => {
                (self.tag.as_ref().is_some_and(|wanted| wanted.matches(name)), format!("tag {name}"))
            }
            ShortRef::Other("") => (false, "a commit without a branch".to_owned()),
            ShortRef::Other(name) => (false, name.to_owned()),
        };
        let wanted: Vec<String> = [("branch", "branches", &self.branch), ("tag", "tags", &self.tag)]
            .into_iter()
            .filter_map(|(one, many, wanted)| {
                let texts = &wanted.as_ref()?.texts;
                let is_one = matches!(texts.as_slice(), [text] if !text.contains(['*', '?', '[', '{']));
                Some(format!("{} {}", if is_one { one } else { many }, list(texts)))
            })
            .collect();
        (!matches && !wanted.is_empty()).then(|| format!("runs only for {}; this is {name}", wanted.join(" and ")))
    }

    fn reason_of_cause(&self, kind: &str) -> Option<String> {
        let wanted = self.causes.as_ref()?;
        let names: Vec<String> = wanted.iter().map(|&kind| kind.to_owned()).collect();
        (!wanted.contains(&kind)).then(|| format!("runs only for the cause {}; this one is {kind}", list(&names)))
    }

    fn reason_of_cron(&self, cause: &BuildCause) -> Option<String> {
        let wanted = self.crons.as_ref()?;
        let names = || list(&wanted.iter().map(|name| name.value.clone()).collect::<Vec<_>>());
        let is_of_one = matches!(cause, BuildCause::Cron { name } if wanted.iter().any(|wanted| wanted.value == *name));
        (!is_of_one).then(|| format!("runs only for cron {}; the cause of this build is {cause}", names()))
    }

    fn reason_of_paths(&self, paths: &Arc<Vec<String>>, matching: &mut Matching) -> Option<String> {
        let wanted = self.paths.as_ref()?;
        (!matching.any(wanted, paths))
            .then(|| format!("runs only when {} changes; nothing there did", list(&wanted.texts)))
    }
}

/// Lists the first five names, with `…` if there are more.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let more = if names.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", "))
}

fn causes(value: &Value<'_>) -> Option<Vec<&'static str>> {
    let kinds = BuildCause::KINDS.map(|kind| (kind, kind));
    let elements = if value.is_array() { value.array()? } else { vec![value.clone()] };
    Some(elements.iter().filter_map(|element| element.choice(&kinds)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load;

    /// Returns a pipeline with `count` patterns of 1,000 characters, and the patterns `more` in another job.
    fn pipeline(count: usize, more: &str) -> String {
        let patterns: Vec<String> = (0..count).map(|at| format!("\"{at:0>PATTERN_MAX$}\"")).collect();
        let job = |name, paths: &str| format!("[job.{name}]\nrun = \"true\"\nwhen = {{ paths = [{paths}] }}\n");
        format!("version = 1\n{}{}", job("a", &patterns.join(",")), job("b", more))
    }

    #[test]
    fn all_patterns_of_a_file_have_a_bound_together() {
        let most = PATTERNS_TEXT_MAX / PATTERN_MAX;
        assert!(load("guild.toml", pipeline(most - 1, "\"x\"").as_bytes()).is_ok());
        assert!(load("guild.toml", pipeline(most, "").as_bytes()).is_ok(), "exactly as much");
        let refused = load("guild.toml", pipeline(most, "\"x\"").as_bytes()).unwrap_err();
        assert_eq!(refused.0.len(), 1, "{refused}");
        assert!(refused.0[0].message.contains("all patterns of the file together may have at most 200000 characters"));
    }

    #[test]
    fn what_is_too_much_work_counts_as_a_match() {
        let long = "x".repeat(PATTERN_MAX);
        let patterns = Patterns { globs: vec![glob(&long).unwrap()], texts: vec![long] };
        let list = |count: usize| Arc::new(vec![String::from("y"); count]);
        let (some, more) = (list(WORK_MAX / PATTERN_MAX / 2), list(WORK_MAX / PATTERN_MAX / 2));
        let mut matching = Matching::default();
        assert!(!matching.any(&patterns, &some) && !matching.any(&patterns, &some), "known, and so no work");
        assert!(!matching.any(&patterns, &more), "exactly as much");
        assert!(matching.any(&patterns, &list(1)));
        assert!(!matching.any(&patterns, &some), "what is known stays so");
    }
}
