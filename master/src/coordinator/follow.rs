//! How the repositories of projects are followed: what was asked for since the last look at all refs, and in which life of the
//! store that look was.

use super::Coordinator;
use super::record::{FollowedRow, Record, RefScope};

/// Scopes that one project had since the last look at all its refs; with more, all of them count for nothing. So few, because
/// each is one reload of the master file while the repository could not be read.
const SCOPES_MAX: usize = 16;

/// How a repository was followed before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Before {
    /// None: all its refs were never looked at.
    pub row: Option<FollowedRow>,
    /// The store was restored from a backup since the last look.
    pub is_restored: bool,
}

impl Before {
    /// A version that did not note what it saw looked last.
    pub fn is_unnoted(&self) -> bool {
        self.row.as_ref().is_some_and(|row| row.address.is_empty())
    }
}

impl Coordinator {
    /// A source begins to follow a repository. Answers how that was followed before.
    pub fn begin_following(&mut self, project: &str, scope: &RefScope) -> Before {
        let row = self.followed.get(project).cloned();
        let is_restored = row.as_ref().is_some_and(|row| row.looked_in != self.incarnation);
        if let Some(row) = &row {
            self.ask_for(row.clone(), scope.clone());
        }
        Before { row, is_restored }
    }

    /// A source has looked at all refs of a repository, and told what it saw.
    pub fn looked_at_all(&mut self, project: &str, address: &str, scope: &RefScope) {
        let row = FollowedRow {
            project: project.to_owned(),
            address: address.to_owned(),
            scopes: vec![scope.clone()],
            looked_in: self.incarnation,
        };
        self.set_followed(row);
    }

    /// Nothing is asked for any more of projects that the master file does not have: what comes until one of them is put back
    /// is history then.
    pub fn stop_following_others(&mut self) {
        let others = self.followed.values().filter(|row| !self.terms.projects.contains_key(&row.project));
        for row in others.cloned().collect::<Vec<_>>() {
            self.ask_for(row, RefScope::default());
        }
    }

    fn ask_for(&mut self, mut row: FollowedRow, scope: RefScope) {
        if row.scopes.last() == Some(&scope) {
            return;
        }
        row.scopes.push(scope);
        if row.scopes.len() > SCOPES_MAX {
            row.scopes = vec![RefScope::default()];
        }
        self.set_followed(row);
    }

    fn set_followed(&mut self, row: FollowedRow) {
        if self.followed.get(&row.project) != Some(&row) {
            self.followed.insert(row.project.clone(), row.clone());
            self.record(Record::Followed(row));
        }
    }
}
