//! The ways in which operators find grants: page by page, by number, or by name.

use super::{Grants, ROOT};
use crate::decide::authority::Authority;
use crate::decide::records::{GrantId, GrantRow};
use schema::limits::{self, FOUND};
use schema::values::Time;
use std::ops::Bound;

/// The limit for the grants in one page, roughly in bytes on the wire. A client reads messages of at most 4 MiB.
const PAGE_BYTES: usize = 1 << 20;
/// The most grants that one page holds.
const PAGE_ROWS: usize = 1_000;
/// The size of a grant's times, numbers and key on the wire, in bytes.
const ROW_BYTES: usize = 300;
/// The size of a list entry on the wire in addition to its text, in bytes.
const ENTRY_BYTES: usize = 16;
/// The most entries that are shown of one list in a grant. An earlier master may have stored more, which would not fit into a page.
const SHOWN_ENTRIES: usize = 1_000;
const SHOWN_CHARS: usize = 100;
/// The most grants of one name that are found, the newest first. It is enough to show that there are several.
const FOUND_MAX: usize = FOUND.most;

/// A page of a list of grants, in the order of their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrantPage {
    pub grants: Vec<GrantRow>,
    /// The grant after which the next page begins. `None` means that this page is the last.
    pub next: Option<GrantId>,
}

impl Grants {
    /// A page of the grants that the caller sees, as in `below`. It begins after the grant `after`, and has at most `limit` grants. A
    /// `limit` of 0 means as many as a page holds. `with_ended` also includes grants that were revoked or have expired.
    pub fn page(&self, now: Time, caller: GrantId, after: GrantId, limit: u32, with_ended: bool) -> GrantPage {
        let most = if limit == 0 { PAGE_ROWS } else { PAGE_ROWS.min(limit as usize) };
        let top = self.top_of(caller);
        let mut page = GrantPage::default();
        let mut bytes = 0;
        for (id, row) in self.rows.range((Bound::Excluded(after), Bound::Unbounded)) {
            let is_shown = with_ended || self.find_in_force(now, *id).is_ok();
            if !is_shown || !self.is_listed(row, top) {
                continue;
            }
            let row = shown(row);
            bytes += size(&row);
            if page.grants.len() == most || (bytes > PAGE_BYTES && !page.grants.is_empty()) {
                page.next = page.grants.last().map(|last| last.id);
                break;
            }
            page.grants.push(row);
        }
        page
    }

    /// The grant with this number, even if it has ended. If there is none, the newest grants in force that have this name.
    pub fn find(&self, now: Time, caller: GrantId, wanted: &str) -> Vec<GrantRow> {
        let top = self.top_of(caller);
        let by_number = wanted.parse().ok().and_then(|id| self.rows.get(&GrantId(id)));
        if let Some(row) = by_number.filter(|row| self.is_listed(row, top)) {
            return vec![shown(row)];
        }
        let of_name = self.rows.values().rev().filter(|row| row.name == wanted && self.is_listed(row, top));
        let in_force = of_name.filter(|row| self.find_in_force(now, row.id).is_ok());
        let mut found: Vec<GrantRow> = in_force.take(FOUND_MAX).map(shown).collect();
        // Older masters let a grant be so large that one answer may not have room for all of them.
        found.truncate(limits::page(found.iter().map(size)));
        found
    }

    /// Whether this caller sees the grant in its lists.
    pub fn lists(&self, caller: GrantId, id: GrantId) -> bool {
        self.rows.get(&id).is_some_and(|row| self.is_listed(row, self.top_of(caller)))
    }

    /// The caller's own grant and all grants below it. An operator of everything, whose grant is directly below the root, sees the whole
    /// tree of the root. So one such operator can take the place of another whose credential is lost.
    pub fn below(&self, caller: GrantId) -> impl Iterator<Item = &GrantRow> + '_ {
        let top = self.top_of(caller);
        self.rows.values().filter(move |row| self.is_listed(row, top))
    }

    fn is_listed(&self, row: &GrantRow, top: GrantId) -> bool {
        row.id != ROOT && self.is_below(row.id, top)
    }

    fn top_of(&self, caller: GrantId) -> GrantId {
        let is_chief = |row: &&GrantRow| row.parent == Some(ROOT) && Authority::of_row(row).is_whole();
        self.rows.get(&caller).filter(is_chief).map_or(caller, |_| ROOT)
    }
}

fn size(row: &GrantRow) -> usize {
    let entry = |text: &String| text.len() + ENTRY_BYTES;
    let names: usize = row.what.projects.iter().chain(&row.what.pools).map(entry).sum();
    let labels: usize = row.what.labels.iter().map(|(name, value)| entry(name) + entry(value)).sum();
    ROW_BYTES + row.name.len() + row.reason.len() + names + labels
}

/// A grant for a page. It is shortened if it does not fit into a page.
fn shown(row: &GrantRow) -> GrantRow {
    let mut row = row.clone();
    if size(&row) <= PAGE_BYTES {
        return row;
    }
    let cut = |text: &String| text.chars().take(SHOWN_CHARS).collect::<String>();
    (row.name, row.reason) = (cut(&row.name), cut(&row.reason));
    row.what.projects = row.what.projects.iter().take(SHOWN_ENTRIES).map(cut).collect();
    row.what.pools = row.what.pools.iter().take(SHOWN_ENTRIES).map(cut).collect();
    row.what.labels = row.what.labels.iter().take(SHOWN_ENTRIES).map(|(name, value)| (cut(name), cut(value))).collect();
    row
}
