//! Grants: a tree of recorded, revocable authority. A child never has more than its parent, and dies with it.

use crate::decide::authority::{ISSUED_MAX, child_of};
use crate::decide::coordinator::Coordinator;
use crate::decide::coordinator::model::{Effect, Timer};
use crate::decide::coordinator::record::{Answer, GrantId, GrantRow};
use crate::decide::coordinator::request::Request;
use schema::sturdy_ref::Fingerprint;
use schema::values::{Fact, GrantKind, Refusal, RefusalCode, Right, Time, What};
use std::cmp::Reverse;
use std::time::Duration;

/// What a new grant shall be.
#[derive(Clone, Debug)]
pub struct GrantOrder {
    pub kind: GrantKind,
    pub name: String,
    pub what: What,
    /// `None`: no expiry.
    pub lifetime: Option<Duration>,
    /// SHA-256 of the one-use join.
    pub join_hash: [u8; 32],
}

/// Grants above a new one, the root included: each use of a grant looks at all that are above it.
const GENERATIONS_MAX: usize = 16;
/// Grants that ended and are still listed; the audit table has the older ones. Each costs the master about 1 KiB of memory.
const ENDED_MAX: usize = 10_000;

/// Everything starts here: held by nobody, it cannot be redeemed or revoked.
pub const ROOT: GrantId = GrantId(1);

impl Coordinator {
    /// Makes the root of a new store.
    pub fn found(&mut self, now: Time) {
        assert!(self.grants.is_empty(), "a store is founded once");
        let root = GrantRow::new(ROOT, None, GrantKind::Operator, "root".to_owned(), What::everything(), now);
        self.last_grant = ROOT.0;
        self.put_grant(root);
    }

    /// A new grant below the caller's.
    pub fn issue(&mut self, now: Time, request: Request, order: GrantOrder) -> Result<GrantId, Refusal> {
        let answer = self.once(now, request, |this| {
            let expires = this.may_issue(now, request.by, &order)?;
            Ok(this.put_below(now, request.by, order, expires))
        });
        answer?.grant()
    }

    /// Binds a grant to the key that shows its join first. The same key may repeat with the same token.
    pub fn redeem(
        &mut self,
        now: Time,
        join_hash: [u8; 32],
        token_hash: [u8; 32],
        holder: Fingerprint,
    ) -> Result<GrantRow, Refusal> {
        let id = *self.joins.get(&join_hash).ok_or_else(|| {
            Refusal::new(RefusalCode::Unknown, "this join is not known here")
                .help("it may be another master's: compare the address; or ask for a new one")
        })?;
        let row = self.live_grant(now, id)?.clone();
        if row.is_browser {
            return Err(Refusal::new(
                RefusalCode::NotPermitted,
                "this is the login of a browser, and makes no credential",
            )
            .help("open its address in a browser"));
        }
        match row.holder {
            None => Ok(self.bind(now, row, token_hash, holder)),
            Some(key) if key == holder && row.token_hash == Some(token_hash) => Ok(row),
            Some(_) => {
                let text = format!("the join of grant {} ({}) was shown again, by another key", id.0, row.name);
                self.raise(now, id, Some(holder), &text);
                Err(Refusal::new(RefusalCode::NotPermitted, "this join was redeemed already, by another key")
                    .help("if that was not you, revoke the grant; ask for a new join"))
            }
        }
    }

    /// The grant that a token stands for, if this key may use it.
    pub fn restore(&mut self, now: Time, token_hash: [u8; 32], key: Option<Fingerprint>) -> Result<GrantRow, Refusal> {
        if self.joins.contains_key(&token_hash) {
            return Err(Refusal::new(RefusalCode::NotPermitted, "this is a join, to be redeemed once")
                .help("`guild login FILE` or `guild-worker join FILE` makes a credential of it"));
        }
        let id = *self.by_token.get(&token_hash).ok_or_else(unknown)?;
        let row = self.live_grant(now, id)?.clone();
        if row.holder == key {
            return Ok(row);
        }
        // logins come and go, so what is done with them is counted for the grant that they are below
        let of = row.parent.filter(|_| row.is_browser).unwrap_or(id);
        let whose = if row.is_browser { "the cookie of a browser" } else { "the credential" };
        let name = self.grants.get(&of).map_or(row.name.as_str(), |row| row.name.as_str());
        let text = format!("{whose} of grant {} ({name}) was shown by another key", of.0);
        self.raise(now, of, key, &text);
        Err(Refusal::new(RefusalCode::NotPermitted, "this credential is bound to another key")
            .help("a credential works only with the identity.key beside which it was redeemed"))
    }

    /// What [`Coordinator::restore`] answers where there is nothing to note.
    pub fn restorable(&self, now: Time, token_hash: [u8; 32], key: Option<Fingerprint>) -> Option<&GrantRow> {
        let id = *self.by_token.get(&token_hash)?;
        self.live_grant(now, id).ok().filter(|row| row.holder == key)
    }

    /// Takes a grant and what is below it back.
    pub fn revoke(&mut self, now: Time, request: Request, id: GrantId, reason: &str) -> Result<Vec<GrantId>, Refusal> {
        let answer = self.once(now, request, |this| {
            if !this.lists_grant(request.by, id) {
                return Err(Refusal::new(RefusalCode::NotFound, format!("no grant {} below your own", id.0)));
            }
            let ended = this.end_grants(now, id, reason);
            if ended.is_empty() {
                return Err(Refusal::new(RefusalCode::Conflict, format!("grant {} is revoked already", id.0)));
            }
            this.audit(now, request.by, format!("revoked grant {}: {reason}", id.0));
            Ok(Answer::Grants(ended))
        });
        answer?.grants()
    }

    pub fn grant(&self, id: GrantId) -> Option<&GrantRow> {
        self.grants.get(&id)
    }

    /// A grant that its holder can use: it is in force, and this version knows its kind and the kinds of those above it.
    pub fn live_grant(&self, now: Time, id: GrantId) -> Result<&GrantRow, Refusal> {
        let row = self.grant_in_force(now, id)?;
        match self.line_of(id).find(|row| row.kind == GrantKind::Unknown) {
            None => Ok(row),
            Some(row) => Err(of_unknown_kind(row)),
        }
    }

    /// A grant that is in force: neither it nor one above it is revoked or expired.
    pub(super) fn grant_in_force(&self, now: Time, id: GrantId) -> Result<&GrantRow, Refusal> {
        let mut next = Some(id);
        while let Some(id) = next {
            let row = self.grants.get(&id).ok_or_else(unknown)?;
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
        Ok(&self.grants[&id])
    }

    pub(in crate::decide::coordinator) fn grant_timeout(&mut self, now: Time, id: GrantId) {
        self.end_grants(now, id, "its time is over");
    }

    pub(super) fn put_grant(&mut self, row: GrantRow) {
        if !self.grants.contains_key(&row.id) {
            self.count_grant(&row);
        }
        self.index_grant(&row);
        self.grants.put(&mut self.effects, row.id, row);
    }

    pub(in crate::decide::coordinator) fn index_grant(&mut self, row: &GrantRow) {
        if let Some(hash) = row.join_hash {
            self.joins.insert(hash, row.id);
        }
        if let Some(hash) = row.token_hash {
            self.by_token.insert(hash, row.id);
        }
        if let (Some(expires), None) = (row.expires, row.revoked) {
            self.timers.arm(Timer::Grant(row.id), expires);
        }
        if let Some(parent) = row.parent {
            self.children.insert((parent, row.id));
        }
        if let (true, Some(parent)) = (row.is_browser, row.parent) {
            self.logins.insert((parent, row.id));
        }
    }

    pub(in crate::decide::coordinator) fn unindex_grant(&mut self, row: &GrantRow) {
        if let Some(hash) = row.join_hash {
            self.joins.remove(&hash);
        }
        if let Some(hash) = row.token_hash {
            self.by_token.remove(&hash);
        }
        self.timers.disarm(&Timer::Grant(row.id));
        if let Some(parent) = row.parent {
            self.children.remove(&(parent, row.id));
            self.logins.remove(&(parent, row.id));
        }
    }

    /// Counts a grant that is in force for all that are above it, and one that is over among those.
    pub(in crate::decide::coordinator) fn count_grant(&mut self, row: &GrantRow) {
        if row.is_browser {
            return;
        }
        if let Some(revoked) = row.revoked {
            self.ended.insert((revoked, Reverse(row.id)));
            return;
        }
        self.above(row).into_iter().for_each(|id| *self.in_force.entry(id).or_default() += 1);
    }

    fn above(&self, row: &GrantRow) -> Vec<GrantId> {
        row.parent.into_iter().flat_map(|parent| self.line_of(parent)).map(|row| row.id).collect()
    }

    fn put_below(&mut self, now: Time, parent: GrantId, order: GrantOrder, expires: Option<Time>) -> Answer {
        self.last_grant += 1;
        let id = GrantId(self.last_grant);
        let GrantOrder { kind, name, mut what, join_hash, .. } = order;
        if kind == GrantKind::Worker {
            // its pools decide which jobs it gets
            (what.may, what.projects) = Default::default();
        }
        let row = GrantRow::new(id, Some(parent), kind, name.clone(), what, now);
        self.put_grant(GrantRow { expires, join_hash: Some(join_hash), ..row });
        self.audit(now, parent, format!("issued grant {} of kind {kind} to {name}", id.0));
        let fact = Fact::GrantIssued { grant: id.0, name, grant_kind: kind.word().to_owned() };
        self.tell_of(now, "", 0, fact);
        Answer::Grant(id)
    }

    fn bind(&mut self, now: Time, mut row: GrantRow, token_hash: [u8; 32], holder: Fingerprint) -> GrantRow {
        row.token_hash = Some(token_hash);
        row.holder = Some(holder);
        self.put_grant(row.clone());
        self.audit(now, row.id, format!("redeemed grant {} by {holder}", row.id.0));
        self.tell_of(now, "", 0, Fact::GrantRedeemed { grant: row.id.0, name: row.name.clone() });
        row
    }

    /// Revokes a subtree; answers the grants that were in force.
    pub(in crate::decide::coordinator) fn end_grants(&mut self, now: Time, top: GrantId, reason: &str) -> Vec<GrantId> {
        let in_force = |id: &GrantId| self.grants.get(id).is_some_and(|row| row.revoked.is_none());
        let ended: Vec<GrantId> = self.tree_of(top).into_iter().filter(in_force).collect();
        ended.iter().for_each(|id| self.end_grant(now, *id, reason));
        if !ended.is_empty() {
            self.effects.push_back(Effect::Revoke { grants: ended.clone(), reason: reason.to_owned() });
            self.end_sessions_of(now, &ended);
            self.take_ended().into_iter().for_each(|id| self.forget_grant(id, reason));
        }
        ended
    }

    /// The rows of logins go; others stay, and are listed as ended.
    fn end_grant(&mut self, now: Time, id: GrantId, reason: &str) {
        if self.grants.get(&id).is_some_and(|row| row.is_browser) {
            // the caller tells of the end
            self.drop_grant(id);
            return;
        }
        let edit = |row: &mut GrantRow| (row.revoked, row.reason) = (Some(now), reason.to_owned());
        let Some(row) = self.grants.edit(&mut self.effects, &id, edit).cloned() else { return };
        for above in self.above(&row) {
            let count = self.in_force.entry(above).or_default();
            *count = count.saturating_sub(1);
        }
        self.timers.disarm(&Timer::Grant(id));
        self.ended.insert((now, Reverse(id)));
        let fact = Fact::GrantRevoked { grant: id.0, name: row.name, reason: reason.to_owned() };
        self.tell_of(now, "", 0, fact);
    }

    /// Takes out those that ended first, where too many ended.
    pub(in crate::decide::coordinator) fn take_ended(&mut self) -> Vec<GrantId> {
        let more = self.ended.len().saturating_sub(ENDED_MAX);
        (0..more).filter_map(|_| self.ended.pop_first()).map(|(_, Reverse(id))| id).collect()
    }

    /// Answers when the new grant ends.
    fn may_issue(&self, now: Time, by: GrantId, order: &GrantOrder) -> Result<Option<Time>, Refusal> {
        let parent = self.live_grant(now, by)?;
        if !parent.what.may.contains(&Right::Operate) {
            return Err(Refusal::new(RefusalCode::NotPermitted, "issuing grants needs the right `operate`"));
        }
        valid_name(&order.name)?;
        if self.joins.contains_key(&order.join_hash) || self.by_token.contains_key(&order.join_hash) {
            return Err(join_is_known());
        }
        let expires = child_of(parent, order.kind, &order.what, order.lifetime.map(|lifetime| now.after(lifetime)))?;
        self.has_room_below(by)?;
        let same = |row: &GrantRow| row.kind == GrantKind::Worker && row.name == order.name && row.revoked.is_none();
        if order.kind == GrantKind::Worker && self.grants.values().any(same) {
            let why = format!("a worker called `{}` has a grant already", order.name);
            return Err(Refusal::new(RefusalCode::Conflict, why).help("choose another name, or revoke that grant"));
        }
        Ok(expires)
    }

    /// Whoever is above counts what is below, so that an operator has no more by way of its own operators.
    fn has_room_below(&self, by: GrantId) -> Result<(), Refusal> {
        if self.line_of(by).count() >= GENERATIONS_MAX {
            let why = format!("grant {} has {GENERATIONS_MAX} grants above it, which is the most", by.0);
            return Err(Refusal::new(RefusalCode::Unavailable, why).help("ask an operator that is nearer to the root"));
        }
        let is_full =
            |row: &&GrantRow| row.id != ROOT && self.in_force.get(&row.id).is_some_and(|count| *count >= ISSUED_MAX);
        let Some(full) = self.line_of(by).find(is_full) else { return Ok(()) };
        let why = format!(
            "grant {} ({}) has {ISSUED_MAX} grants in force below it, which is the most that one operator may issue",
            full.id.0, full.name
        );
        let help =
            "revoke those that nobody needs: `guild grant list`, `guild grant revoke ID`; or ask another operator";
        Err(Refusal::new(RefusalCode::Unavailable, why).help(help))
    }
}

/// The grant that is answerable for what this one costs: a browser is its person's.
pub fn account_of(row: &GrantRow) -> GrantId {
    row.parent.filter(|_| row.is_browser).unwrap_or(row.id)
}

/// Names of workers, users and projects: `[A-Za-z0-9._-]+`, so that no selector needs escaping.
pub fn valid_name(name: &str) -> Result<(), Refusal> {
    let valid = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if !name.is_empty() && name.len() <= 100 && name.chars().all(valid) {
        return Ok(());
    }
    Err(Refusal::new(RefusalCode::Invalid, format!("`{}` is no name", name.escape_default()))
        .help("a name has 1 to 100 letters, digits, `.`, `_` and `-`"))
}

fn of_unknown_kind(row: &GrantRow) -> Refusal {
    let why = format!("grant {} ({}) is of a kind that this version of the master does not know", row.id.0, row.name);
    Refusal::new(RefusalCode::Version, why).help("ask for the master to be upgraded")
}

pub(super) fn join_is_known() -> Refusal {
    Refusal::new(RefusalCode::Conflict, "this join was issued before").help("make another: 32 random bytes")
}

pub(super) fn unknown() -> Refusal {
    Refusal::new(RefusalCode::Unknown, "this credential is not known here")
        .help("it may be another master's, or this master's store was replaced")
}
