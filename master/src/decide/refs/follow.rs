//! How the repositories of projects are followed. Each row has the scopes that were followed since a source last looked at all refs, and
//! the store's incarnation at that look.
//!
//! A store that was restored from a backup does not know what was pushed since. So a project's plans and jobs are held back until a
//! source has looked at all refs of its repository in this incarnation. Attempts that run go on.

use crate::decide::records::{FollowedRow, Loaded, Recorder, RefScope, Rows};
use std::collections::BTreeSet;

/// The most scopes that are kept for one project since the last look at all its refs. If there are more, none of them counts. The number
/// is small because each scope is a reload of the master file at a time when the repository could not be read.
const SCOPES_MAX: usize = 16;
/// The first incarnation of a store. In it, the store cannot have been restored.
const FIRST: u64 = 1;

/// How a repository was followed until a source began to follow it anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Before {
    /// The row of the repository. `None` means that nobody ever looked at all its refs.
    pub row: Option<FollowedRow>,
    /// Whether the store was restored from a backup since the last look.
    pub is_restored: bool,
}

impl Before {
    /// Whether the last look was by an older version, which did not note the address.
    pub fn is_unnoted(&self) -> bool {
        self.row.as_ref().is_some_and(|row| row.address.is_empty())
    }
}

/// A project that is held back, as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldProject {
    pub project: String,
    /// The number of the project's builds that are not finished.
    pub open: usize,
}

/// How the repositories are followed, and which projects are held back.
#[derive(Debug)]
pub(in crate::decide) struct Followed {
    /// The rows, by their project.
    rows: Rows<String, FollowedRow>,
    /// The number of the store's present incarnation.
    incarnation: u64,
    /// The projects at whose repositories no source has looked in this incarnation.
    held: BTreeSet<String>,
}

impl Followed {
    pub(in crate::decide) fn load(loaded: &Loaded) -> Followed {
        Followed {
            held: held_at_load(loaded),
            rows: Rows::loaded(loaded.followed.clone(), |row| row.project.clone()),
            incarnation: loaded.incarnation,
        }
    }

    /// The number of the store's present incarnation.
    pub(in crate::decide) fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Whether a project waits for the first look at its repository in this incarnation.
    pub(in crate::decide) fn holds(&self, project: &str) -> bool {
        self.held.contains(project)
    }

    /// The projects that are held back.
    pub(in crate::decide) fn held(&self) -> impl Iterator<Item = &String> {
        self.held.iter()
    }

    /// Releases a project. `false` means that it was not held back.
    pub(in crate::decide) fn release(&mut self, project: &str) -> bool {
        self.held.remove(project)
    }

    /// Notes that a source begins to follow a repository. Returns how the repository was followed until now.
    pub(in crate::decide) fn begin(&mut self, project: &str, scope: &RefScope, to: &mut impl Recorder) -> Before {
        let row = self.rows.get(project).cloned();
        let is_restored = row.as_ref().is_some_and(|row| row.looked_in != self.incarnation);
        if let Some(row) = &row {
            self.ask_for(row.clone(), scope.clone(), to);
        }
        Before { row, is_restored }
    }

    /// Notes that a source looked at all refs of a repository.
    pub(in crate::decide) fn looked_at_all(
        &mut self,
        project: &str,
        address: &str,
        scope: &RefScope,
        to: &mut impl Recorder,
    ) {
        let row = FollowedRow {
            project: project.to_owned(),
            address: address.to_owned(),
            scopes: vec![scope.clone()],
            looked_in: self.incarnation,
        };
        self.put(row, to);
    }

    /// Stops following all projects except those for which `is_followed` is true.
    pub(in crate::decide) fn stop_others(&mut self, is_followed: impl Fn(&str) -> bool, to: &mut impl Recorder) {
        let others = self.rows.values().filter(|row| !is_followed(&row.project));
        for row in others.cloned().collect::<Vec<_>>() {
            self.ask_for(row, RefScope::default(), to);
        }
    }

    fn ask_for(&mut self, mut row: FollowedRow, scope: RefScope, to: &mut impl Recorder) {
        if row.scopes.last() == Some(&scope) {
            return;
        }
        row.scopes.push(scope);
        if row.scopes.len() > SCOPES_MAX {
            row.scopes = vec![RefScope::default()];
        }
        self.put(row, to);
    }

    fn put(&mut self, row: FollowedRow, to: &mut impl Recorder) {
        if self.rows.get(&row.project) != Some(&row) {
            self.rows.put(to, row.project.clone(), row);
        }
    }
}

/// The projects at whose repositories no source has looked in this incarnation of the store.
fn held_at_load(loaded: &Loaded) -> BTreeSet<String> {
    let stale = loaded.followed.iter().filter(|row| row.looked_in != loaded.incarnation);
    let never_looked = |project: &&String| !loaded.followed.iter().any(|row| row.project == **project);
    let building = loaded.builds.iter().map(|(row, ..)| &row.project);
    let building = building.filter(|_| loaded.incarnation > FIRST).filter(never_looked);
    stale.map(|row| &row.project).chain(building).cloned().collect()
}
