//! The order for a new grant, and whether its issuer may issue it.

use super::{Grants, ROOT, join_is_known};
use crate::decide::authority::{ISSUED_MAX, child_of};
use crate::decide::records::{GrantId, GrantRow};
use schema::limits::borders::GENERATIONS;
use schema::values::{GrantKind, Refusal, RefusalCode, Right, Time, What};
use std::time::Duration;

/// The order for a new grant.
#[derive(Clone, Debug)]
pub struct GrantOrder {
    pub kind: GrantKind,
    pub name: String,
    pub what: What,
    /// How long the grant lasts. `None` means that it does not expire.
    pub lifetime: Option<Duration>,
    /// The SHA-256 of the one-use join.
    pub join_hash: [u8; 32],
}

/// The most grants above a new one, including the root. It bounds the work, because each use of a grant looks at all grants above it.
const GENERATIONS_MAX: usize = GENERATIONS.count();

impl Grants {
    /// Returns the row of a new grant below `by`, which the caller adds. Refuses a grant that `by` may not issue.
    pub(in crate::decide) fn ordered(&self, now: Time, by: GrantId, order: GrantOrder) -> Result<GrantRow, Refusal> {
        let expires = self.may_issue(now, by, &order)?;
        let GrantOrder { kind, name, mut what, join_hash, .. } = order;
        if kind == GrantKind::Worker {
            // The pools of a worker's grant decide which jobs it gets.
            (what.may, what.projects) = Default::default();
        }
        let row = GrantRow::new(self.next_id(), Some(by), kind, name, what, now);
        Ok(GrantRow { expires, join_hash: Some(join_hash), ..row })
    }

    /// Checks that `by` may issue this grant. Returns the time when the new grant ends.
    fn may_issue(&self, now: Time, by: GrantId, order: &GrantOrder) -> Result<Option<Time>, Refusal> {
        let parent = self.live(now, by)?;
        if !parent.what.may.contains(&Right::Operate) {
            return Err(Refusal::new(RefusalCode::NotPermitted, "issuing grants needs the right `operate`"));
        }
        valid_name(&order.name)?;
        if self.joins.contains_key(&order.join_hash) || self.by_token.contains_key(&order.join_hash) {
            return Err(join_is_known());
        }
        let expires = child_of(parent, order.kind, &order.what, order.lifetime.map(|lifetime| now.after(lifetime)))?;
        self.has_room_below(by)?;
        if order.kind == GrantKind::Worker && self.of_worker(&order.name).any(|row| row.revoked.is_none()) {
            let why = format!("a worker called `{}` already has a grant", order.name);
            return Err(Refusal::new(RefusalCode::Conflict, why).help("choose another name, or revoke that grant"));
        }
        Ok(expires)
    }

    /// Refuses a new grant if one of the grants above it has too many below it. So an operator gets no more room through its own
    /// operators.
    fn has_room_below(&self, by: GrantId) -> Result<(), Refusal> {
        // The line includes `by` itself, which is also above the new grant.
        if self.line_of(by).count() > GENERATIONS_MAX {
            let why =
                format!("grant {} already has {GENERATIONS_MAX} grants above it, and a grant may have no more", by.0);
            return Err(Refusal::new(RefusalCode::Unavailable, why)
                .help("ask an operator that is nearer to the root to issue it"));
        }
        let is_full =
            |row: &&GrantRow| row.id != ROOT && self.in_force.get(&row.id).is_some_and(|count| *count >= ISSUED_MAX);
        let Some(full) = self.line_of(by).find(is_full) else { return Ok(()) };
        let why = format!(
            "grant {} ({}) has {ISSUED_MAX} grants in force below it, and one operator may have no more",
            full.id.0, full.name
        );
        let help =
            "revoke grants that nobody needs: `guild grant list`, `guild grant revoke ID`; or ask another operator";
        Err(Refusal::new(RefusalCode::Unavailable, why).help(help))
    }
}

/// Refuses a text that cannot name a worker, a user or a project. A name is `[A-Za-z0-9._-]+`, so that no selector needs escaping.
pub fn valid_name(name: &str) -> Result<(), Refusal> {
    let valid = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if !name.is_empty() && name.len() <= 100 && name.chars().all(valid) {
        return Ok(());
    }
    Err(Refusal::new(RefusalCode::Invalid, format!("`{}` is not a name", name.escape_default()))
        .help("a name has 1 to 100 letters, digits, `.`, `_` and `-`"))
}
