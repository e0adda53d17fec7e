//! The list of the commits and tags that are complete in a store. It is a file in the store's directory, with one line for each, oldest
//! first.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use super::private::is_id;
use crate::disk::atomic_file;

/// The name of the list's file. In its lines, `c` is a commit, `t` is a tag object, and `l` is a commit that a tag names.
const HELD_FILE: &str = "guild.held";
/// The limit for listed commits. More of them make git slow, and the oldest are rarely requested again.
const COMMITS_MAX: usize = 256;
const TAGS_MAX: usize = 2048;
/// The number of ids that the master looks at in one request.
const HAVE_MAX: usize = 256;
/// The limit for tags among the ids that the worker sends. The rest is for commits, because each one saves the master more than a tag.
const HAVE_TAGS_MAX: usize = 192;

/// The commits and tags that are complete in a store, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HeldObjects {
    pub(super) commits: Vec<String>,
    /// Each tag's kind, which is `t` or `l`, and its id.
    pub(super) tags: Vec<(char, String)>,
}

impl HeldObjects {
    /// Reads the list. If it cannot be read, it is empty: git knows what the store has, and the list only saves asking git.
    pub(super) fn read(dir: &Path) -> HeldObjects {
        HeldObjects::from_text(&std::fs::read_to_string(dir.join(HELD_FILE)).unwrap_or_default())
    }

    pub(super) fn write(&self, dir: &Path) -> io::Result<()> {
        atomic_file::write(&dir.join(HELD_FILE), self.to_text().as_bytes())
    }

    /// Notes a commit as the newest.
    pub(super) fn add(&mut self, revision: &str) {
        self.commits.retain(|known| known != revision);
        self.commits.push(revision.to_string());
        self.bound();
    }

    pub(super) fn has(&self, revision: &str) -> bool {
        self.commits.iter().any(|known| known == revision)
    }

    pub(super) fn ids(&self) -> Vec<&str> {
        self.commits.iter().chain(self.tags.iter().map(|(_, id)| id)).map(String::as_str).collect()
    }

    /// Forgets all commits and tags except these.
    pub(super) fn keep(&mut self, ids: &HashSet<String>) {
        self.commits.retain(|id| ids.contains(id));
        self.tags.retain(|(_, id)| ids.contains(id));
    }

    fn from_text(text: &str) -> HeldObjects {
        let mut held = HeldObjects::default();
        for line in text.lines() {
            match line.split_once(' ') {
                Some((_, id)) if !is_id(id) => {}
                Some(("c", id)) => held.commits.push(id.to_string()),
                Some(("t", id)) => held.tags.push(('t', id.to_string())),
                Some(("l", id)) => held.tags.push(('l', id.to_string())),
                _ => {}
            }
        }
        held
    }

    fn to_text(&self) -> String {
        let commits = self.commits.iter().map(|id| format!("c {id}\n"));
        commits.chain(self.tags.iter().map(|(kind, id)| format!("{kind} {id}\n"))).collect()
    }

    fn bound(&mut self) {
        self.commits.drain(..self.commits.len().saturating_sub(COMMITS_MAX));
        self.tags.drain(..self.tags.len().saturating_sub(TAGS_MAX));
    }

    /// Returns the ids of objects that the master need not send: the newest commits, and the newest tag objects. Without the tags, each
    /// pack would bring all of them again. `besides` is a commit that the store has whole and that may not be on the list.
    pub(super) fn have(&self, besides: Option<&str>) -> Vec<String> {
        let tags = self.tags.iter().rev().filter(|(kind, _)| *kind == 't').map(|(_, id)| id.as_str());
        let tags: Vec<&str> = tags.take(HAVE_TAGS_MAX).collect();
        let listed = self.commits.iter().rev().map(String::as_str);
        let besides = besides.filter(|revision| !self.has(revision));
        let commits = besides.into_iter().chain(listed).take(HAVE_MAX - tags.len());
        commits.chain(tags.iter().copied()).map(str::to_owned).collect()
    }

    pub(super) fn refs(&self) -> HashSet<String> {
        let commits = self.commits.iter().map(|id| format!("refs/guild/{id}"));
        let tags = self.tags.iter().filter(|(kind, _)| *kind == 't').map(|(_, id)| format!("refs/guild-tags/{id}"));
        commits.chain(tags).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> String {
        format!("{number:040x}")
    }

    #[test]
    fn the_master_is_told_of_as_many_commits_as_tags_leave_room_for() {
        let mut held = HeldObjects::default();
        (0..300).for_each(|number| held.add(&id(number)));
        assert_eq!(held.commits.len(), 256);
        let have = held.have(None);
        assert_eq!((have.len(), &have[0], &have[255]), (256, &id(299), &id(44)));
        held.tags.extend((1_000..2_000).map(|number| ('t', id(number))));
        let have = held.have(Some(&id(7)));
        assert_eq!((have.len(), &have[0], &have[1], &have[63]), (256, &id(7), &id(299), &id(237)));
        assert_eq!((&have[64], &have[255]), (&id(1_999), &id(1_808)));
        assert_eq!(held.have(Some(&id(299)))[..2], [id(299), id(298)]);
    }

    #[test]
    fn what_is_no_id_is_not_taken_for_one() {
        let text = format!("c {}\nc ../x\nt {}\n\0\nl {}\nx {}\n", id(1), id(2), id(3), id(4));
        let held = HeldObjects::from_text(&text);
        assert_eq!((held.commits.clone(), held.tags.clone()), (vec![id(1)], vec![('t', id(2)), ('l', id(3))]));
        assert_eq!(HeldObjects::from_text(&held.to_text()), held);
    }
}
