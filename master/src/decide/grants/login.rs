//! Logins of browsers, which are grants below a user's own that can only look. Every user can make them as often as they like. So
//! only a few exist at once, and they leave no row and no event when they end. The audit table gets at most two rows in an hour.

use super::{Grants, join_is_known, unknown};
use crate::decide::authority::child_of;
use crate::decide::records::{GrantId, GrantRow, Recorder};
use schema::limits::borders::{LOGIN_LIFETIME, LOGIN_TIME, LOGINS};
use schema::sturdy_ref::Fingerprint;
use schema::values::{GrantKind, Refusal, RefusalCode, Right, Time, What};
use std::cmp::Reverse;
use std::time::Duration;

/// How long a browser stays logged in.
const LIFETIME: Duration = LOGIN_LIFETIME.time();
/// How long the address of a login can be used. It is long enough to change to a browser, and too short for an address that leaks later.
const UNUSED_LIFETIME: Duration = LOGIN_TIME.time();
/// The most logins that one grant has at once. A person has several browsers, and each login costs a row of about 500 bytes.
const LOGINS_MAX: usize = LOGINS.count();
/// The ending of the names of grants that are logins.
const SUFFIX: &str = ".browser";

/// The login that a person gets who asks for one.
#[derive(Debug)]
pub(in crate::decide) enum AskedLogin {
    /// This login was made for the same join before, and waits for its browser.
    Made(GrantId),
    /// The row of a new login, which the caller adds once there is room.
    New(Box<GrantRow>),
}

impl Grants {
    /// Returns the login of a browser below the grant `by`, for this join.
    pub(in crate::decide) fn login(&self, now: Time, by: GrantId, join_hash: [u8; 32]) -> Result<AskedLogin, Refusal> {
        let parent = self.live(now, by)?;
        let what = What { may: [Right::View].into(), projects: parent.what.projects.clone(), ..What::default() };
        let expires = child_of(parent, GrantKind::User, &what, Some(now.after(UNUSED_LIFETIME)))?;
        let name = format!("{}{SUFFIX}", parent.name);
        if let Some(row) = self.joins.get(&join_hash).and_then(|id| self.get(*id)) {
            let is_same = row.is_browser && row.parent == Some(by) && row.holder.is_none();
            return if is_same { Ok(AskedLogin::Made(row.id)) } else { Err(join_is_known()) };
        }
        let row = GrantRow::new(self.next_id(), Some(by), GrantKind::User, name, what, now);
        Ok(AskedLogin::New(Box::new(GrantRow { expires, join_hash: Some(join_hash), is_browser: true, ..row })))
    }

    /// The login below this grant that must be removed before another is made. A login whose address nobody has used is removed first,
    /// and then the oldest login. `None` means that there is room.
    pub(in crate::decide) fn login_in_the_way(&self, of: GrantId) -> Option<GrantId> {
        let is_full = self.logins_of(of).count() >= LOGINS_MAX;
        let oldest = self.logins_of(of).min_by_key(|row| (row.holder.is_some(), row.id));
        oldest.filter(|_| is_full).map(|row| row.id)
    }

    /// Returns the login of a join, if a browser may still redeem it.
    pub fn open_login(&self, now: Time, join_hash: [u8; 32]) -> Result<&GrantRow, Refusal> {
        let id = *self.joins.get(&join_hash).ok_or_else(unknown)?;
        let row = self.live(now, id)?;
        if !row.is_browser {
            return Err(Refusal::new(RefusalCode::NotPermitted, "this join is not for a browser"));
        }
        match row.holder {
            None => Ok(row),
            Some(_) => Err(Refusal::new(RefusalCode::NotPermitted, "this address was used already")),
        }
    }

    /// Binds a login, once, to the cookie of the first browser that shows its join. Returns the login, and the grant above it.
    pub(in crate::decide) fn redeem_login(
        &mut self,
        now: Time,
        join_hash: [u8; 32],
        token_hash: [u8; 32],
        cookie: Fingerprint,
        to: &mut impl Recorder,
    ) -> Result<(GrantRow, &GrantRow), Refusal> {
        let mut row = self.open_login(now, join_hash)?.clone();
        let parent = row.parent.and_then(|parent| self.get(parent)).ok_or_else(unknown)?;
        let by = parent.id;
        row.expires = child_of(parent, row.kind, &row.what, Some(now.after(LIFETIME)))?;
        self.unindex(&row);
        let row = self.bind(row, token_hash, cookie, to);
        Ok((row, &self.rows[&by]))
    }

    /// The name of the grant below which this login was made.
    pub fn login_of(&self, login: &GrantRow) -> Option<&str> {
        login.parent.and_then(|parent| self.get(parent)).map(|parent| parent.name.as_str())
    }

    /// The logins that are over, and the logins beyond the limit of their grant.
    pub(super) fn old_logins(&self, now: Time) -> Vec<GrantId> {
        let is_over = |row: &&GrantRow| row.is_browser && self.find_in_force(now, row.id).is_err();
        let mut old: Vec<GrantId> = self.rows.values().filter(is_over).map(|row| row.id).collect();
        let mut lasting: Vec<&GrantRow> = self.rows.values().filter(|row| row.is_browser && !is_over(row)).collect();
        // Under each parent, logins that a browser uses come first, and among these the newest comes first.
        lasting.sort_by_key(|row| (row.parent, row.holder.is_none(), Reverse(row.id)));
        let by_parent = lasting.chunk_by(|one, other| one.parent == other.parent);
        old.extend(by_parent.flat_map(|logins| logins.iter().skip(LOGINS_MAX)).map(|row| row.id));
        old
    }

    fn logins_of(&self, grant: GrantId) -> impl Iterator<Item = &GrantRow> {
        let below = self.logins.range((grant, GrantId(0))..=(grant, GrantId(u64::MAX)));
        below.filter_map(|(_, id)| self.get(*id))
    }
}
