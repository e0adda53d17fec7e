//! Grants: a tree of recorded, revocable authority. A child never has more than its parent, and dies with it.

use super::Coordinator;
use super::model::{Effect, Timer};
use super::record::{Answer, GrantId, GrantRow, Record};
use super::request::Request;
use schema::sturdy_ref::Fingerprint;
use schema::values::{Fact, GrantKind, Refusal, RefusalCode, Right, Time, What};
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

/// How long a browser stays logged in.
const BROWSER_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);

/// Ends the names of their grants.
const BROWSER: &str = ".browser";

/// Everything starts here: held by nobody, it cannot be redeemed or revoked.
pub const ROOT: GrantId = GrantId(1);

impl Coordinator {
    /// Makes the root of a new store.
    pub fn found(&mut self, now: Time) {
        assert!(self.grants.is_empty(), "a store is founded once");
        let root = GrantRow {
            id: ROOT,
            parent: None,
            kind: GrantKind::Operator,
            name: "root".to_owned(),
            what: What::everything(),
            created: now,
            expires: None,
            revoked: None,
            reason: String::new(),
            join_hash: None,
            token_hash: None,
            holder: None,
        };
        self.last_grant = ROOT.0;
        self.put_grant(root);
    }

    /// A new grant below the caller's.
    pub fn issue(&mut self, now: Time, request: Request, order: GrantOrder) -> Result<GrantId, Refusal> {
        let answer = self.once(now, request, |this| {
            this.may_issue(now, request.by, &order)?;
            this.put_below(now, request.by, order)
        })?;
        issued(answer)
    }

    /// A login of the caller's browser: a grant below its own that only looks.
    pub fn browse(&mut self, now: Time, request: Request, join_hash: [u8; 32]) -> Result<GrantId, Refusal> {
        let answer = self.once(now, request, |this| {
            let parent = this.live_grant(now, request.by)?;
            if !parent.what.may.contains(&Right::View) {
                return Err(Refusal::new(RefusalCode::NotPermitted, "your grant has not the right `view`"));
            }
            let what = What { may: [Right::View].into(), projects: parent.what.projects.clone(), ..What::default() };
            let name = format!("{}{BROWSER}", parent.name);
            let order = GrantOrder { kind: GrantKind::User, name, what, lifetime: Some(BROWSER_LIFETIME), join_hash };
            this.put_below(now, request.by, order)
        })?;
        issued(answer)
    }

    /// As [`Coordinator::redeem`], of a join that [`Coordinator::browse`] made and that is no older than `age`.
    pub fn redeem_browser(
        &mut self,
        now: Time,
        age: Duration,
        join_hash: [u8; 32],
        token_hash: [u8; 32],
        holder: Fingerprint,
    ) -> Result<GrantRow, Refusal> {
        let row = self.joins.get(&join_hash).and_then(|id| self.grants.get(id)).ok_or_else(unknown)?;
        if !is_browser(row) {
            return Err(Refusal::new(RefusalCode::NotPermitted, "this join is no browser's"));
        }
        if now.since(row.created) > age {
            return Err(Refusal::new(RefusalCode::Expired, "this address was to be used sooner"));
        }
        self.redeem(now, join_hash, token_hash, holder)
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
        let text = format!("the credential of grant {} ({}) was shown by another key", id.0, row.name);
        self.raise(now, id, key, &text);
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
            if id == ROOT || !this.grants_below(request.by).any(|row| row.id == id) {
                return Err(Refusal::new(RefusalCode::NotFound, format!("no grant {} below your own", id.0)));
            }
            let ended = this.end_grants(now, id, reason);
            if ended.is_empty() {
                return Err(Refusal::new(RefusalCode::Conflict, format!("grant {} is revoked already", id.0)));
            }
            this.audit(now, request.by, format!("revoked grant {}: {reason}", id.0));
            Ok(Answer::Grants(ended))
        })?;
        match answer {
            Answer::Grants(ended) => Ok(ended),
            Answer::Done | Answer::Build(_) | Answer::Grant(_) => Err(unknown()),
        }
    }

    pub fn grant(&self, id: GrantId) -> Option<&GrantRow> {
        self.grants.get(&id)
    }

    /// The caller's own grant and what is below it. An operator directly below the root sees the root's whole tree, so
    /// that a lost operator credential can be replaced by another.
    pub fn grants_below(&self, caller: GrantId) -> impl Iterator<Item = &GrantRow> + '_ {
        let top = match self.grants.get(&caller) {
            Some(row) if row.kind == GrantKind::Operator && row.parent == Some(ROOT) => ROOT,
            Some(_) | None => caller,
        };
        self.grants.values().filter(move |row| row.id != ROOT && self.is_below(row.id, top))
    }

    /// Whether a grant is in force: neither it nor one above it is revoked or expired.
    pub fn live_grant(&self, now: Time, id: GrantId) -> Result<&GrantRow, Refusal> {
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

    pub(super) fn grant_timeout(&mut self, now: Time, id: GrantId) {
        self.end_grants(now, id, "its time is over");
    }

    pub(super) fn put_grant(&mut self, row: GrantRow) {
        self.index_grant(&row);
        self.record(Record::Grant(row.clone()));
        self.grants.insert(row.id, row);
    }

    pub(super) fn index_grant(&mut self, row: &GrantRow) {
        if let Some(hash) = row.join_hash {
            self.joins.insert(hash, row.id);
        }
        if let Some(hash) = row.token_hash {
            self.by_token.insert(hash, row.id);
        }
        if let (Some(expires), None) = (row.expires, row.revoked) {
            self.timers.insert((expires, Timer::Grant(row.id)));
        }
    }

    fn put_below(&mut self, now: Time, parent: GrantId, order: GrantOrder) -> Result<Answer, Refusal> {
        self.last_grant += 1;
        let id = GrantId(self.last_grant);
        let limit = self.grants.get(&parent).ok_or_else(unknown)?.expires;
        let expires = earliest(order.lifetime.map(|lifetime| now.after(lifetime)), limit);
        let (name, kind) = (order.name.clone(), order.kind);
        self.put_grant(GrantRow {
            id,
            parent: Some(parent),
            kind,
            name: order.name,
            what: order.what,
            created: now,
            expires,
            revoked: None,
            reason: String::new(),
            join_hash: Some(order.join_hash),
            token_hash: None,
            holder: None,
        });
        self.audit(now, parent, format!("issued grant {} of kind {kind} to {name}", id.0));
        let fact = Fact::GrantIssued { grant: id.0, name, grant_kind: kind.word().to_owned() };
        self.tell_of(now, "", 0, fact);
        Ok(Answer::Grant(id))
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
    pub(super) fn end_grants(&mut self, now: Time, top: GrantId, reason: &str) -> Vec<GrantId> {
        let of_tree = self.grants.values().filter(|row| row.revoked.is_none() && self.is_below(row.id, top));
        let ended: Vec<GrantId> = of_tree.map(|row| row.id).collect();
        for id in &ended {
            let row = self.grants.get_mut(id).expect("listed a moment ago");
            row.revoked = Some(now);
            row.reason = reason.to_owned();
            let row = row.clone();
            if let Some(expires) = row.expires {
                self.timers.remove(&(expires, Timer::Grant(*id)));
            }
            let fact = Fact::GrantRevoked { grant: id.0, name: row.name.clone(), reason: reason.to_owned() };
            self.record(Record::Grant(row));
            self.tell_of(now, "", 0, fact);
        }
        if !ended.is_empty() {
            self.effects.push_back(Effect::Revoke { grants: ended.clone(), reason: reason.to_owned() });
            self.end_sessions_of(now, &ended);
        }
        ended
    }

    fn is_below(&self, id: GrantId, top: GrantId) -> bool {
        let mut next = Some(id);
        while let Some(id) = next {
            if id == top {
                return true;
            }
            next = self.grants.get(&id).and_then(|row| row.parent);
        }
        false
    }

    fn may_issue(&self, now: Time, by: GrantId, order: &GrantOrder) -> Result<(), Refusal> {
        let parent = self.live_grant(now, by)?;
        if !parent.what.may.contains(&Right::Operate) {
            return Err(Refusal::new(RefusalCode::NotPermitted, "issuing grants needs the right `operate`"));
        }
        valid_name(&order.name)?;
        if let Some(right) = order.what.may.difference(&parent.what.may).next() {
            return Err(Refusal::new(RefusalCode::NotPermitted, format!("your own grant has not the right `{right}`")));
        }
        if let Some(project) = order.what.projects.iter().find(|project| !parent.what.sees(project)) {
            let why = format!("your own grant does not reach project `{project}`");
            return Err(Refusal::new(RefusalCode::NotPermitted, why));
        }
        let same = |row: &&GrantRow| row.kind == GrantKind::Worker && row.name == order.name && row.revoked.is_none();
        if order.kind == GrantKind::Worker && self.grants.values().any(|row| same(&row)) {
            let why = format!("a worker called `{}` has a grant already", order.name);
            return Err(Refusal::new(RefusalCode::Conflict, why).help("choose another name, or revoke that grant"));
        }
        Ok(())
    }
}

/// Whether this is the login of a browser, which nobody renews.
pub fn is_browser(row: &GrantRow) -> bool {
    row.kind == GrantKind::User && row.name.ends_with(BROWSER)
}

/// The grant that is answerable for what this one costs: a browser is its person's.
pub fn account_of(row: &GrantRow) -> GrantId {
    row.parent.filter(|_| is_browser(row)).unwrap_or(row.id)
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

fn issued(answer: Answer) -> Result<GrantId, Refusal> {
    match answer {
        Answer::Grant(id) => Ok(id),
        Answer::Done | Answer::Build(_) | Answer::Grants(_) => Err(unknown()),
    }
}

fn earliest(one: Option<Time>, other: Option<Time>) -> Option<Time> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

fn unknown() -> Refusal {
    Refusal::new(RefusalCode::Unknown, "this credential is not known here")
        .help("it may be another master's, or this master's store was replaced")
}
