//! Which grants are in force, and which are above and below others.

use super::{Grants, unknown};
use crate::decide::records::{GrantId, GrantRow};
use schema::values::{GrantKind, Refusal, RefusalCode, Time};
use std::collections::BTreeSet;

impl Grants {
    /// Returns a grant that its holder can use. It is in force, and this version knows its kind and the kinds of all grants above it.
    pub fn live(&self, now: Time, id: GrantId) -> Result<&GrantRow, Refusal> {
        let row = self.find_in_force(now, id)?;
        match self.line_of(id).find(|row| row.kind == GrantKind::Unknown) {
            None => Ok(row),
            Some(row) => Err(of_unknown_kind(row)),
        }
    }

    /// The numbers of the grants that are not revoked, among this grant and all grants below it.
    pub(in crate::decide) fn unrevoked_tree(&self, top: GrantId) -> Vec<GrantId> {
        let is_unrevoked = |id: &GrantId| self.get(*id).is_some_and(|row| row.revoked.is_none());
        self.tree_of(top).into_iter().filter(is_unrevoked).collect()
    }

    /// Returns a grant that is in force, which means that neither it nor a grant above it is revoked or expired.
    pub(super) fn find_in_force(&self, now: Time, id: GrantId) -> Result<&GrantRow, Refusal> {
        let mut next = Some(id);
        while let Some(id) = next {
            let row = self.get(id).ok_or_else(unknown)?;
            if row.revoked.is_some() {
                let why = format!("grant {} ({}) was revoked: {}", id.0, row.name, row.reason);
                return Err(Refusal::new(RefusalCode::Revoked, why));
            }
            if row.expires.is_some_and(|expires| expires <= now) {
                let why = format!("grant {} ({}) is expired", id.0, row.name);
                return Err(Refusal::new(RefusalCode::Expired, why).help("ask for a new one"));
            }
            next = row.parent;
        }
        Ok(&self.rows[&id])
    }

    pub(super) fn is_below(&self, id: GrantId, top: GrantId) -> bool {
        self.line_of(id).any(|row| row.id == top)
    }

    /// A grant, its parent, and so on to the root.
    pub(super) fn line_of(&self, id: GrantId) -> impl Iterator<Item = &GrantRow> {
        std::iter::successors(self.get(id), |row| row.parent.and_then(|parent| self.get(parent)))
    }

    pub(super) fn above(&self, row: &GrantRow) -> Vec<GrantId> {
        row.parent.into_iter().flat_map(|parent| self.line_of(parent)).map(|row| row.id).collect()
    }

    /// The numbers of a grant and of all grants below it.
    fn tree_of(&self, top: GrantId) -> BTreeSet<GrantId> {
        let (mut tree, mut open) = (BTreeSet::new(), vec![top]);
        while let Some(id) = open.pop() {
            if tree.insert(id) {
                let below = self.children.range((id, GrantId(0))..=(id, GrantId(u64::MAX)));
                open.extend(below.map(|(_, child)| *child));
            }
        }
        tree
    }
}

/// The grant to which the costs of this one are charged. The costs of a browser's login are charged to the person's grant.
pub fn account_of(row: &GrantRow) -> GrantId {
    row.parent.filter(|_| row.is_browser).unwrap_or(row.id)
}

fn of_unknown_kind(row: &GrantRow) -> Refusal {
    let why = format!("grant {} ({}) is of a kind that this version of the master does not know", row.id.0, row.name);
    Refusal::new(RefusalCode::Version, why).help("ask for the master to be upgraded")
}
