//! What is known of the refs of each project, deleted ones included: a ref that comes back to where it was is not built again.

use crate::decide::coordinator::Coordinator;
use crate::decide::coordinator::model::Effect;
use crate::decide::coordinator::model::Effects;
use crate::decide::coordinator::record::{BuildCause, Head, HeadRow, Record};
use schema::values::{Change, Time};
use std::collections::{BTreeMap, BTreeSet};

/// Deleted refs of one project that are remembered. The one that was deleted first is forgotten first. So many, because a
/// repository may be emptied and filled again, and some have 100,000 refs.
const GONE_MAX: usize = 100_000;

#[derive(Debug, Default)]
pub(in crate::decide::coordinator) struct Heads(BTreeMap<String, Refs>);

/// The refs of one project.
#[derive(Debug, Default)]
struct Refs {
    by_name: BTreeMap<String, Head>,
    /// The deleted ones, in the order of their deletion.
    gone: BTreeSet<(Time, String)>,
}

impl Heads {
    pub(in crate::decide::coordinator) fn load(rows: Vec<HeadRow>) -> Heads {
        let mut heads = Heads::default();
        for row in rows {
            heads.insert(&row.project, &row.ref_name, row.head);
        }
        heads
    }

    pub(in crate::decide::coordinator) fn get(&self, project: &str, ref_name: &str) -> Option<&Head> {
        self.0.get(project)?.by_name.get(ref_name)
    }

    fn of(&self, project: &str) -> impl Iterator<Item = (&String, &Head)> {
        self.0.get(project).into_iter().flat_map(|refs| &refs.by_name)
    }

    /// Records a ref as it is now. Where that is one deleted ref too many, records that the oldest of them is forgotten.
    fn put(&mut self, effects: &mut Effects, project: &str, ref_name: &str, head: Head) {
        let row = HeadRow { project: project.to_owned(), ref_name: ref_name.to_owned(), head: head.clone() };
        effects.push_back(Effect::Record(Record::Head(row)));
        if let Some(oldest) = self.insert(project, ref_name, head) {
            effects.push_back(forgotten(project, oldest));
        }
    }

    /// Removes a ref, here and in the store.
    fn forget(&mut self, effects: &mut Effects, project: &str, ref_name: &str) {
        self.remove(project, ref_name);
        effects.push_back(forgotten(project, ref_name.to_owned()));
    }

    /// Answers a deleted ref that is one too many, and is forgotten.
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

impl Coordinator {
    /// These refs are history, or deleted ones that came back to where they were: no build is made of them. (ref, revision)
    pub fn see_refs(&mut self, project: &str, refs: Vec<(String, String)>) {
        for (ref_name, revision) in refs {
            let known = self.heads.get(project, &ref_name).filter(|head| head.revision == revision);
            if known.is_some_and(|head| head.gone.is_none()) {
                continue;
            }
            let next = self.numbers.get(project).copied().unwrap_or_default() + 1;
            let since = match self.heads.get(project, &ref_name) {
                Some(head) if head.gone.is_some() => next,
                Some(head) => head.since,
                None => 0,
            };
            let head = match known {
                Some(known) => Head { gone: None, ..known.clone() },
                None => Head { revision, since, ..Head::default() },
            };
            self.set_head(project, &ref_name, head);
        }
    }

    /// What is known of each ref of a project.
    pub fn heads_of(&self, project: &str) -> Vec<(String, Head)> {
        self.heads.of(project).map(|(ref_name, head)| (ref_name.clone(), head.clone())).collect()
    }

    pub fn head(&self, project: &str, ref_name: &str) -> Option<Head> {
        self.heads.get(project, ref_name).cloned()
    }

    pub(in crate::decide::coordinator) fn set_head(&mut self, project: &str, ref_name: &str, head: Head) {
        self.heads.put(&mut self.effects, project, ref_name, head);
    }

    /// The ref was deleted. It is remembered, unless its build had not begun: then it is built when it comes back.
    pub(in crate::decide::coordinator) fn leave_head(&mut self, now: Time, change: &Change, head: Head) {
        let (project, ref_name) = (&change.project, &change.ref_name);
        let mut of_ref = self.open_builds_of(project, ref_name);
        let is_unbuilt = of_ref.any(|build| {
            let revision = build.row.stamp.sources.first().map(|source| &source.revision);
            let opened_it = build.row.cause == BuildCause::Change && build.row.update == head.update;
            opened_it && build.row.started.is_none() && revision == Some(&head.revision)
        });
        drop(of_ref);
        if is_unbuilt {
            self.heads.forget(&mut self.effects, project, ref_name);
        } else {
            self.set_head(project, ref_name, Head { gone: Some(now), ..head });
        }
    }
}

fn forgotten(project: &str, ref_name: String) -> Effect {
    Effect::Record(Record::HeadForgotten { project: project.to_owned(), ref_name })
}
