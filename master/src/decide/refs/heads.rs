//! The known state of each project's refs, including deleted ones. So a ref that comes back at its old revision is not built again.

use crate::decide::records::{Head, HeadRow, Record, Recorder};
use schema::values::Time;
use std::collections::{BTreeMap, BTreeSet};

/// The most deleted refs of one project that are remembered. The ref that was deleted first is forgotten first. The number is large
/// because a repository may be emptied and filled again, and some have 100,000 refs.
const GONE_MAX: usize = 100_000;

/// The known states of the refs of all projects.
#[derive(Debug, Default)]
pub(in crate::decide) struct Heads(BTreeMap<String, Refs>);

/// The refs of one project.
#[derive(Debug, Default)]
struct Refs {
    by_name: BTreeMap<String, Head>,
    /// The deleted refs, in the order of their deletion.
    gone: BTreeSet<(Time, String)>,
}

impl Heads {
    pub(in crate::decide) fn load(rows: Vec<HeadRow>) -> Heads {
        let mut heads = Heads::default();
        for row in rows {
            heads.insert(&row.project, &row.ref_name, row.head);
        }
        heads
    }

    pub(in crate::decide) fn get(&self, project: &str, ref_name: &str) -> Option<&Head> {
        self.0.get(project)?.by_name.get(ref_name)
    }

    /// The known state of each ref of a project.
    pub(in crate::decide) fn of(&self, project: &str) -> impl Iterator<Item = (&String, &Head)> {
        self.0.get(project).into_iter().flat_map(|refs| &refs.by_name)
    }

    /// Notes refs, each with its revision, of which no build is made. They are history, or deleted refs that came back unchanged. `next`
    /// is the number that the next build of the project gets.
    pub(in crate::decide) fn see(
        &mut self,
        project: &str,
        refs: Vec<(String, String)>,
        next: u32,
        to: &mut impl Recorder,
    ) {
        for (ref_name, revision) in refs {
            let head = self.get(project, &ref_name);
            if head.is_some_and(|head| head.revision == revision && head.gone.is_none()) {
                continue;
            }
            let head = seen(head, revision, next);
            self.put(project, &ref_name, head, to);
        }
    }

    /// Records a ref as it is now. If too many deleted refs are kept, records that the oldest of them is forgotten.
    pub(in crate::decide) fn put(&mut self, project: &str, ref_name: &str, head: Head, to: &mut impl Recorder) {
        let row = HeadRow { project: project.to_owned(), ref_name: ref_name.to_owned(), head: head.clone() };
        to.record(Record::Head(row));
        if let Some(oldest) = self.insert(project, ref_name, head) {
            to.record(forgotten(project, oldest));
        }
    }

    /// Removes a ref, here and in the store.
    pub(in crate::decide) fn forget(&mut self, project: &str, ref_name: &str, to: &mut impl Recorder) {
        self.remove(project, ref_name);
        to.record(forgotten(project, ref_name.to_owned()));
    }

    /// Keeps the state of a ref. Returns the deleted ref that is forgotten because there is one too many.
    fn insert(&mut self, project: &str, ref_name: &str, head: Head) -> Option<String> {
        let refs = self.0.entry(project.to_owned()).or_default();
        let gone = head.gone;
        let before = refs.by_name.insert(ref_name.to_owned(), head);
        if let Some(time) = before.and_then(|before| before.gone) {
            refs.gone.remove(&(time, ref_name.to_owned()));
        }
        refs.gone.extend(gone.map(|time| (time, ref_name.to_owned())));
        if refs.gone.len() <= GONE_MAX {
            return None;
        }
        let (_, oldest) = refs.gone.pop_first()?;
        refs.by_name.remove(&oldest);
        Some(oldest)
    }

    fn remove(&mut self, project: &str, ref_name: &str) {
        let Some(refs) = self.0.get_mut(project) else { return };
        if let Some(time) = refs.by_name.remove(ref_name).and_then(|head| head.gone) {
            refs.gone.remove(&(time, ref_name.to_owned()));
        }
    }
}

/// The state of a ref that is seen at a revision of which no build is made. If it was deleted and has another revision now, it is a new
/// ref.
fn seen(known: Option<&Head>, revision: String, next: u32) -> Head {
    let since = match known {
        Some(known) if known.revision == revision => return Head { gone: None, ..known.clone() },
        Some(known) if known.gone.is_some() => next,
        Some(known) => known.since,
        None => 0,
    };
    Head { revision, since, ..Head::default() }
}

fn forgotten(project: &str, ref_name: String) -> Record {
    Record::HeadForgotten { project: project.to_owned(), ref_name }
}
