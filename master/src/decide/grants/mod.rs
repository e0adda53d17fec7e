//! Grants: a tree of recorded, revocable authority. A child never has more than its parent, and ends with it.
//!
//! [`Grants`] owns the tree. Each file answers a question about it: what a new grant may be (`order`), and which grants are in force and
//! below which others (`tree`). Then come the logins of browsers (`login`), and how operators find grants (`list`). The other effects of
//! a change, such as the end of a worker's session, belong to the coordinator.

mod list;
mod login;
mod order;
mod tree;

pub use list::GrantPage;
pub(in crate::decide) use login::AskedLogin;
pub use order::{GrantOrder, valid_name};
pub use tree::account_of;

use crate::decide::records::{GrantId, GrantRow, Record, Recorder, Rows};
use crate::decide::schedule::Schedule;
use schema::sturdy_ref::Fingerprint;
use schema::values::{GrantKind, Refusal, RefusalCode, Time, What};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The root of the tree. Nobody holds it, and it cannot be redeemed or revoked.
pub const ROOT: GrantId = GrantId(1);

/// The most ended grants that are still listed. The audit table has the older ones. Each costs the master about 1 KiB of memory.
const ENDED_MAX: usize = 10_000;
/// The number of old rows that are removed in one step, before others have their turn for [`BREATH`]. An earlier master may have left
/// 44,000 logins.
const OLD_AT_ONCE: usize = 500;
/// The pause between two steps in which rows of old grants are removed.
const BREATH: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum GrantTimer {
    /// The time of a grant is over.
    Expiry(GrantId),
    /// Rows of grants that an earlier master kept are to be removed.
    Old,
}

/// All grants that are kept, including grants that ended recently, and the indices over them.
#[derive(Debug)]
pub struct Grants {
    rows: Rows<GrantId, GrantRow>,
    joins: BTreeMap<[u8; 32], GrantId>,
    by_token: BTreeMap<[u8; 32], GrantId>,
    /// The children of each grant, as pairs of the grant above and the grant below.
    children: BTreeSet<(GrantId, GrantId)>,
    /// The grants that are logins of browsers, each with the grant above it.
    logins: BTreeSet<(GrantId, GrantId)>,
    /// Grants that ended before the master restarted, and whose rows are still to be removed.
    old: Vec<GrantId>,
    /// Grants that were revoked or expired and are kept, with the time of their end. If times are equal, children come before their
    /// parents.
    ended: BTreeSet<(Time, Reverse<GrantId>)>,
    /// The number of grants that are in force below each grant.
    in_force: BTreeMap<GrantId, usize>,
    timers: Schedule<GrantTimer>,
    /// The highest number that a grant ever had.
    last: u64,
}

impl Grants {
    /// Makes the grants from the rows of the store. Logins that are over, or beyond their limit, are left out of memory at once, and
    /// their rows are removed bit by bit.
    pub(in crate::decide) fn load(now: Time, rows: Vec<GrantRow>, last: u64, to: &mut impl Recorder) -> Grants {
        let mut grants = Grants {
            rows: Rows::loaded(Vec::new(), |row| row.id),
            joins: BTreeMap::new(),
            by_token: BTreeMap::new(),
            children: BTreeSet::new(),
            logins: BTreeSet::new(),
            old: Vec::new(),
            ended: BTreeSet::new(),
            in_force: BTreeMap::new(),
            timers: Schedule::new(),
            last,
        };
        rows.into_iter().for_each(|row| grants.load_row(row));
        grants.leave_old(now);
        grants.sweep(now, to);
        grants
    }

    /// Makes the root grant of a new store.
    pub(in crate::decide) fn found(&mut self, now: Time, to: &mut impl Recorder) {
        assert!(self.rows.is_empty(), "a store is founded once");
        self.add(GrantRow::new(ROOT, None, GrantKind::Operator, "root".to_owned(), What::everything(), now), to);
    }

    /// Adds a new grant and records it.
    pub(in crate::decide) fn add(&mut self, row: GrantRow, to: &mut impl Recorder) {
        self.last = row.id.0;
        self.count(&row);
        self.put(row, to);
    }

    /// Binds a grant to the key that was the first to show its join.
    pub(in crate::decide) fn bind(
        &mut self,
        mut row: GrantRow,
        token_hash: [u8; 32],
        holder: Fingerprint,
        to: &mut impl Recorder,
    ) -> GrantRow {
        (row.token_hash, row.holder) = (Some(token_hash), Some(holder));
        self.put(row.clone(), to);
        row
    }

    /// Ends one grant. If it is a login, its row is removed. Any other grant stays, is listed as ended, and is returned.
    pub(in crate::decide) fn end(
        &mut self,
        now: Time,
        id: GrantId,
        reason: &str,
        to: &mut impl Recorder,
    ) -> Option<GrantRow> {
        if self.get(id).is_some_and(|row| row.is_browser) {
            self.forget(id, to);
            return None;
        }
        let edit = |row: &mut GrantRow| (row.revoked, row.reason) = (Some(now), reason.to_owned());
        let row = self.rows.edit(to, &id, edit)?.clone();
        for above in self.above(&row) {
            let count = self.in_force.entry(above).or_default();
            *count = count.saturating_sub(1);
        }
        self.timers.disarm(&GrantTimer::Expiry(id));
        self.ended.insert((now, Reverse(id)));
        Some(row)
    }

    /// Removes the row of a grant.
    pub(in crate::decide) fn forget(&mut self, id: GrantId, to: &mut impl Recorder) -> Option<GrantRow> {
        let row = self.rows.forget(to, id)?;
        self.unindex(&row);
        self.in_force.remove(&id);
        Some(row)
    }

    /// If too many ended grants are kept, takes out those that ended first. The caller removes their rows.
    pub(in crate::decide) fn take_ended(&mut self) -> Vec<GrantId> {
        let more = self.ended.len().saturating_sub(ENDED_MAX);
        (0..more).filter_map(|_| self.ended.pop_first()).map(|(_, Reverse(id))| id).collect()
    }

    /// When [`Grants::tick`] has something to do.
    pub(in crate::decide) fn next_timeout(&self) -> Option<Time> {
        self.timers.next()
    }

    /// Serves the first timer that is due. Returns the grant whose time is over, if the timer was for that.
    pub(in crate::decide) fn tick(&mut self, now: Time, to: &mut impl Recorder) -> Option<GrantId> {
        match self.timers.due(now)? {
            GrantTimer::Expiry(id) => Some(id),
            GrantTimer::Old => {
                self.sweep(now, to);
                None
            }
        }
    }

    pub fn get(&self, id: GrantId) -> Option<&GrantRow> {
        self.rows.get(&id)
    }

    /// The grants by which a worker of this name connects, or once did, no matter who issued them.
    pub(in crate::decide) fn of_worker(&self, name: &str) -> impl Iterator<Item = &GrantRow> {
        self.rows.values().filter(move |row| row.kind == GrantKind::Worker && row.name == name)
    }

    /// Returns the grant that this join redeems.
    pub(in crate::decide) fn redeemable(&self, now: Time, join_hash: [u8; 32]) -> Result<&GrantRow, Refusal> {
        let id = *self.joins.get(&join_hash).ok_or_else(|| {
            Refusal::new(RefusalCode::Unknown, "this join is not known here")
                .help("it may belong to another master: compare the address, or ask for a new join")
        })?;
        let row = self.live(now, id)?;
        if row.is_browser {
            let text = "this join is for a browser, so it cannot become a credential";
            return Err(Refusal::new(RefusalCode::NotPermitted, text).help("open its address in a browser"));
        }
        Ok(row)
    }

    /// Returns the grant of a token, no matter who shows the token.
    pub(in crate::decide) fn of_token(&self, now: Time, token_hash: [u8; 32]) -> Result<&GrantRow, Refusal> {
        if self.joins.contains_key(&token_hash) {
            return Err(Refusal::new(RefusalCode::NotPermitted, "this is a join, to be redeemed once")
                .help("`guild login FILE` or `guild-worker join FILE` makes a credential of it"));
        }
        self.live(now, *self.by_token.get(&token_hash).ok_or_else(unknown)?)
    }

    /// Returns the grant of a token, if this key may use it.
    pub fn restorable(&self, now: Time, token_hash: [u8; 32], key: Option<Fingerprint>) -> Option<&GrantRow> {
        let id = *self.by_token.get(&token_hash)?;
        self.live(now, id).ok().filter(|row| row.holder == key)
    }

    fn next_id(&self) -> GrantId {
        GrantId(self.last + 1)
    }

    fn load_row(&mut self, row: GrantRow) {
        self.count(&row);
        self.index(&row);
        self.rows.load(row.id, row);
    }

    fn leave_old(&mut self, now: Time) {
        let old = self.find_old(now);
        for id in &old {
            if let Some(row) = self.rows.leave_out(id) {
                self.unindex(&row);
            }
        }
        self.old = old;
    }

    /// The logins that are over or beyond their limit, and the oldest ended grants beyond theirs. The master does not need them in
    /// memory.
    fn find_old(&mut self, now: Time) -> Vec<GrantId> {
        let mut old = self.old_logins(now);
        old.extend(self.take_ended());
        old
    }

    /// Removes some rows of old grants, and continues a moment later.
    fn sweep(&mut self, now: Time, to: &mut impl Recorder) {
        let left = self.old.len().saturating_sub(OLD_AT_ONCE);
        for id in self.old.split_off(left) {
            to.record(Record::GrantForgotten(id));
        }
        if left > 0 {
            self.timers.arm(GrantTimer::Old, now.after(BREATH));
        }
    }

    fn put(&mut self, row: GrantRow, to: &mut impl Recorder) {
        self.index(&row);
        self.rows.put(to, row.id, row);
    }

    fn index(&mut self, row: &GrantRow) {
        if let Some(hash) = row.join_hash {
            self.joins.insert(hash, row.id);
        }
        if let Some(hash) = row.token_hash {
            self.by_token.insert(hash, row.id);
        }
        if let (Some(expires), None) = (row.expires, row.revoked) {
            self.timers.arm(GrantTimer::Expiry(row.id), expires);
        }
        if let Some(parent) = row.parent {
            self.children.insert((parent, row.id));
        }
        if let (true, Some(parent)) = (row.is_browser, row.parent) {
            self.logins.insert((parent, row.id));
        }
    }

    fn unindex(&mut self, row: &GrantRow) {
        if let Some(hash) = row.join_hash {
            self.joins.remove(&hash);
        }
        if let Some(hash) = row.token_hash {
            self.by_token.remove(&hash);
        }
        self.timers.disarm(&GrantTimer::Expiry(row.id));
        if let Some(parent) = row.parent {
            self.children.remove(&(parent, row.id));
            self.logins.remove(&(parent, row.id));
        }
    }

    /// Counts a grant that is in force for all grants above it. If the grant has ended, adds it to the ended grants instead.
    fn count(&mut self, row: &GrantRow) {
        if row.is_browser {
            return;
        }
        if let Some(revoked) = row.revoked {
            self.ended.insert((revoked, Reverse(row.id)));
            return;
        }
        self.above(row).into_iter().for_each(|id| *self.in_force.entry(id).or_default() += 1);
    }
}

fn join_is_known() -> Refusal {
    Refusal::new(RefusalCode::Conflict, "this join was issued before").help("make another: 32 random bytes")
}

fn unknown() -> Refusal {
    Refusal::new(RefusalCode::Unknown, "this credential is not known here")
        .help("it may belong to another master, or this master's store was replaced")
}
