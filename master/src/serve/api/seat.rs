//! Counts the open connections of each grant and bounds their common cost, so that one holder cannot take all resources of the system.
//! Knows nothing about connections themselves.

use crate::decide::coordinator::record::GrantId;
use schema::limits::borders::GRANT_BUDGET;
use schema::values::{Refusal, RefusalCode};
use schema::vat::Budget;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

#[derive(Default)]
pub(super) struct ConnectionCounts(Rc<RefCell<BTreeMap<GrantId, Account>>>);

/// An `Account` is the connections of one grant: their number, and their common budget.
struct Account {
    connections: usize,
    budget: Budget,
}

impl Default for Account {
    fn default() -> Account {
        Account { connections: 0, budget: Budget::new(GRANT_BUDGET.count()) }
    }
}

/// A `Seat` is the place of one connection of a grant. Dropping it frees the place.
pub(super) struct Seat {
    taken: Rc<RefCell<BTreeMap<GrantId, Account>>>,
    account: GrantId,
    /// The budget that all connections of the grant share.
    pub(super) budget: Budget,
}

impl ConnectionCounts {
    pub(super) fn take(&self, account: GrantId, most: usize) -> Result<Seat, Refusal> {
        let mut taken = self.0.borrow_mut();
        let found = taken.entry(account).or_default();
        if found.connections >= most {
            let count = found.connections;
            let text = format!("grant {} has {count} open connections, and may have at most {most}", account.0);
            return Err(Refusal::new(RefusalCode::Unavailable, text)
                .help("close some of them, or raise `connections` in [limits] of the master file"));
        }
        found.connections += 1;
        Ok(Seat { taken: self.0.clone(), account, budget: found.budget.clone() })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.taken.borrow_mut();
        if let Some(found) = taken.get_mut(&self.account) {
            found.connections -= 1;
            if found.connections == 0 {
                taken.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_few_and_come_back() {
        let seats = ConnectionCounts::default();
        let (one, two) = (GrantId(1), GrantId(2));
        let held = [seats.take(one, 2), seats.take(one, 2)];
        assert!(held.iter().all(Result::is_ok));
        let refusal = seats.take(one, 2).err().expect("there are two");
        assert_eq!(refusal.code, RefusalCode::Unavailable);
        assert!(refusal.text.contains("grant 1 has 2 open connections, and may have at most 2"), "{refusal}");
        assert!(seats.take(two, 1).is_ok());
        drop(held);
        assert!(seats.0.borrow().is_empty());
        assert!(seats.take(one, 2).is_ok());
    }
}
