//! The packs that holders send for their tries. A pack is known by its holder and its request, so that a holder who lost the link
//! goes on where it stopped.

use crate::decide::coordinator::record::{GrantId, RequestId};
use crate::keep::mirror::IncomingPack;
use schema::limits::borders::{TRIES_ALL, TRIES_EACH, TRY_IDLE};
use schema::values::{Refusal, RefusalCode};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use tokio::time::Instant;

/// The name of a pack: its holder and the request of the try.
pub(super) type TryKey = (GrantId, RequestId);

/// A pack on its way, and the project in whose mirror it lies.
pub(super) struct TryPack {
    pub(super) project: String,
    pub(super) pack: IncomingPack,
    touched: Cell<Instant>,
}

/// All packs on their way.
#[derive(Default)]
pub(super) struct TryPacks(RefCell<BTreeMap<TryKey, Rc<TryPack>>>);

impl TryPacks {
    /// Returns the pack of this name, and notes that its sender lives.
    pub(super) fn get(&self, key: TryKey) -> Option<Rc<TryPack>> {
        let found = self.0.borrow().get(&key).cloned();
        found.inspect(|pack| pack.touched.set(Instant::now()))
    }

    /// Refuses another pack of this holder if there are too many.
    pub(super) fn let_in(&self, grant: GrantId) -> Result<(), Refusal> {
        let packs = self.0.borrow();
        if packs.keys().filter(|(by, _)| *by == grant).count() >= TRIES_EACH.count() {
            let text = format!("this grant sends {} tries already", TRIES_EACH.text());
            return Err(Refusal::new(RefusalCode::Conflict, text).help("wait until one of them has begun"));
        }
        if packs.len() >= TRIES_ALL.count() {
            let text = format!("the master receives {} tries already", TRIES_ALL.text());
            return Err(Refusal::new(RefusalCode::Unavailable, text).help("repeat the command in a minute"));
        }
        Ok(())
    }

    /// Keeps a pack until it is removed, or until nothing was heard of it for a while.
    pub(super) fn put(self: &Rc<Self>, key: TryKey, project: &str, pack: IncomingPack) -> Rc<TryPack> {
        let pack = Rc::new(TryPack { project: project.to_owned(), pack, touched: Cell::new(Instant::now()) });
        self.0.borrow_mut().insert(key, pack.clone());
        let (packs, watched) = (Rc::downgrade(self), Rc::downgrade(&pack));
        tokio::task::spawn_local(async move {
            while let Some(until) = watched.upgrade().map(|pack| pack.touched.get() + TRY_IDLE.time()) {
                if until <= Instant::now() {
                    packs.upgrade().into_iter().for_each(|packs| packs.remove(key));
                    return;
                }
                tokio::time::sleep_until(until).await;
            }
        });
        pack
    }

    /// Throws a pack away, with the bytes that have come.
    pub(super) fn remove(&self, key: TryKey) {
        self.0.borrow_mut().remove(&key);
    }
}
