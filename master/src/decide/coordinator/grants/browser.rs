//! Logins of browsers: grants below a user's own that only look. They are made by whoever may look, as often as they like, so
//! they are few at once, and nothing is kept of them when they end: no row, no event, and in the audit table two rows in an hour.

use super::grant::{join_is_known, unknown};
use crate::decide::authority::child_of;
use crate::decide::coordinator::Coordinator;
use crate::decide::coordinator::model::{Effect, Timer};
use crate::decide::coordinator::record::{GrantId, GrantRow, Record};
use schema::sturdy_ref::Fingerprint;
use schema::values::{GrantKind, Refusal, RefusalCode, Right, Time, What};
use std::time::Duration;

/// How long a browser stays logged in.
const LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long an address waits for its browser: long enough to change to another window, too short for an address that leaks later.
const UNUSED_LIFETIME: Duration = Duration::from_secs(10 * 60);
/// Logins of one grant at once. A person has some browsers; each login costs a row of about 500 bytes.
const LOGINS_MAX: usize = 10;
/// Ends the names of their grants.
const SUFFIX: &str = ".browser";
/// Rows of old grants that go in one step, and how long others have their turn before the next: an earlier master may have
/// left 44,000 logins.
const OLD_AT_ONCE: usize = 500;
const BREATH: Duration = Duration::from_millis(100);

impl Coordinator {
    /// A login of the caller's browser. Repeating it with the same join answers the same grant until that is redeemed. An
    /// address that nobody used goes first where there are too many logins, and then the oldest login.
    pub fn browse(&mut self, now: Time, by: GrantId, join_hash: [u8; 32]) -> Result<GrantId, Refusal> {
        let parent = self.live_grant(now, by)?;
        let what = What { may: [Right::View].into(), projects: parent.what.projects.clone(), ..What::default() };
        let expires = child_of(parent, GrantKind::User, &what, Some(now.after(UNUSED_LIFETIME)))?;
        let name = format!("{}{SUFFIX}", parent.name);
        if let Some(row) = self.joins.get(&join_hash).and_then(|id| self.grants.get(id)) {
            let is_same = row.is_browser && row.parent == Some(by) && row.holder.is_none();
            return if is_same { Ok(row.id) } else { Err(join_is_known()) };
        }
        while self.logins_of(by).count() >= LOGINS_MAX {
            let oldest = self.logins_of(by).min_by_key(|row| (row.holder.is_some(), row.id)).map(|row| row.id);
            oldest.into_iter().for_each(|id| self.forget_grant(id, "there were newer logins"));
        }
        self.last_grant += 1;
        let id = GrantId(self.last_grant);
        let join_hash = Some(join_hash);
        let row = GrantRow::new(id, Some(by), GrantKind::User, name, what, now);
        self.put_grant(GrantRow { expires, join_hash, is_browser: true, ..row });
        Ok(id)
    }

    /// The login that a join stands for, if a browser may still redeem it.
    pub fn open_login(&self, now: Time, join_hash: [u8; 32]) -> Result<&GrantRow, Refusal> {
        let id = *self.joins.get(&join_hash).ok_or_else(unknown)?;
        let row = self.live_grant(now, id)?;
        if !row.is_browser {
            return Err(Refusal::new(RefusalCode::NotPermitted, "this join is no browser's"));
        }
        match row.holder {
            None => Ok(row),
            Some(_) => Err(Refusal::new(RefusalCode::NotPermitted, "this address was used already")),
        }
    }

    /// Binds a login to the cookie of the browser that shows its join first; once.
    pub fn redeem_browser(
        &mut self,
        now: Time,
        join_hash: [u8; 32],
        token_hash: [u8; 32],
        cookie: Fingerprint,
    ) -> Result<GrantRow, Refusal> {
        let mut row = self.open_login(now, join_hash)?.clone();
        let parent = row.parent.and_then(|parent| self.grants.get(&parent)).ok_or_else(unknown)?;
        let (by, name) = (parent.id, parent.name.clone());
        let expires = child_of(parent, row.kind, &row.what, Some(now.after(LIFETIME)))?;
        self.unindex_grant(&row);
        (row.token_hash, row.holder, row.expires) = (Some(token_hash), Some(cookie), expires);
        self.put_grant(row.clone());
        self.audit_often(now, by, &format!("a browser logged in with grant {} ({name})", by.0));
        Ok(row)
    }

    /// Ends the login of a browser that asks for it.
    pub fn log_out(&mut self, now: Time, token_hash: [u8; 32], cookie: Fingerprint) {
        let id = self.restorable(now, token_hash, Some(cookie)).filter(|row| row.is_browser).map(|row| row.id);
        id.into_iter().for_each(|id| self.forget_grant(id, "logged out"));
    }

    /// A grant is over, and its row goes: that of a login, or one that ended long ago.
    pub(super) fn forget_grant(&mut self, id: GrantId, reason: &str) {
        if self.drop_grant(id).is_some_and(|row| row.revoked.is_none()) {
            self.effects.push_back(Effect::Revoke { grants: vec![id], reason: reason.to_owned() });
        }
    }

    /// Removes the row of a grant, and tells nobody.
    pub(super) fn drop_grant(&mut self, id: GrantId) -> Option<GrantRow> {
        let row = self.grants.forget(&mut self.effects, id)?;
        self.unindex_grant(&row);
        self.in_force.remove(&id);
        Some(row)
    }

    /// The logins of a store that are over or too many, and the oldest of the grants that ended. The master does without them.
    pub(in crate::decide::coordinator) fn find_old_grants(&mut self, now: Time) -> Vec<GrantId> {
        let is_over = |row: &&GrantRow| row.is_browser && self.grant_in_force(now, row.id).is_err();
        let mut old: Vec<GrantId> = self.grants.values().filter(is_over).map(|row| row.id).collect();
        let mut lasting: Vec<&GrantRow> = self.grants.values().filter(|row| row.is_browser && !is_over(row)).collect();
        // of each parent first those that a browser uses, and of these the newest
        lasting.sort_by_key(|row| (row.parent, row.holder.is_none(), std::cmp::Reverse(row.id)));
        let by_parent = lasting.chunk_by(|one, other| one.parent == other.parent);
        old.extend(by_parent.flat_map(|logins| logins.iter().skip(LOGINS_MAX)).map(|row| row.id));
        old.extend(self.take_ended());
        old
    }

    /// Removes some rows of old grants, and goes on in a moment.
    pub(in crate::decide::coordinator) fn sweep_old_grants(&mut self, now: Time) {
        let left = self.old_grants.len().saturating_sub(OLD_AT_ONCE);
        for id in self.old_grants.split_off(left) {
            self.record(Record::GrantForgotten(id));
        }
        if left > 0 {
            self.timers.arm(Timer::OldGrants, now.after(BREATH));
        }
    }

    fn logins_of(&self, grant: GrantId) -> impl Iterator<Item = &GrantRow> {
        let below = self.logins.range((grant, GrantId(0))..=(grant, GrantId(u64::MAX)));
        below.filter_map(|(_, id)| self.grants.get(id))
    }
}
