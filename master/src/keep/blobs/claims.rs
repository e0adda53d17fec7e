//! Who may touch the file of a hash: whoever seals it, or whoever removes it, and never both.
//!
//! A blob that nothing refers to is removed while an upload of the same bytes may end. Without this the file would go after
//! the upload had found it, or before its reference is committed.

use super::BlobHash;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Says who holds which hash.
#[derive(Debug, Default)]
pub(super) struct Claims {
    held: Mutex<BTreeMap<BlobHash, Claim>>,
    /// A hash is held no longer.
    freed: Notify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    /// This many uploads give their file this name, or wait for the commit of it.
    Sealing(usize),
    Removing,
}

/// A hash that is being sealed. Its file stays.
#[derive(Debug)]
pub(super) struct Sealing {
    _held: HeldHash,
}

/// A hash that is being removed. No upload of it is sealed meanwhile.
#[derive(Debug)]
pub(super) struct Removing(HeldHash);

#[derive(Debug)]
struct HeldHash {
    claims: Arc<Claims>,
    hash: BlobHash,
}

impl Claims {
    /// Holds a hash for an upload, after whoever removes it.
    pub(super) async fn seal(self: &Arc<Self>, hash: BlobHash) -> Sealing {
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            if let Some(sealing) = self.try_seal(hash) {
                return sealing;
            }
            freed.await;
        }
    }

    fn try_seal(self: &Arc<Self>, hash: BlobHash) -> Option<Sealing> {
        let mut held = self.lock();
        let claim = match held.get(&hash) {
            Some(Claim::Removing) => return None,
            Some(Claim::Sealing(count)) => Claim::Sealing(count + 1),
            None => Claim::Sealing(1),
        };
        held.insert(hash, claim);
        Some(Sealing { _held: HeldHash { claims: self.clone(), hash } })
    }

    /// Holds a hash for its removal; none while somebody else holds it.
    pub(super) fn remove(self: &Arc<Self>, hash: BlobHash) -> Option<Removing> {
        let mut held = self.lock();
        if held.contains_key(&hash) {
            return None;
        }
        held.insert(hash, Claim::Removing);
        Some(Removing(HeldHash { claims: self.clone(), hash }))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<BlobHash, Claim>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Removing {
    pub(super) fn hash(&self) -> BlobHash {
        self.0.hash
    }
}

impl Drop for HeldHash {
    fn drop(&mut self) {
        let mut held = self.claims.lock();
        match held.remove(&self.hash) {
            Some(Claim::Sealing(count)) if count > 1 => {
                held.insert(self.hash, Claim::Sealing(count - 1));
            }
            Some(_) | None => self.claims.freed.notify_waiters(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    #[test]
    fn a_hash_is_sealed_by_many_or_removed_by_one() {
        let claims = Arc::<Claims>::default();
        let hash = [1; 32];
        let (one, two) = (claims.seal(hash).now_or_never().unwrap(), claims.seal(hash).now_or_never().unwrap());
        assert!(claims.remove(hash).is_none() && claims.remove([2; 32]).is_some());
        drop(one);
        assert!(claims.remove(hash).is_none(), "another upload of it goes on");
        drop(two);
        let removing = claims.remove(hash).unwrap();
        assert!(claims.remove(hash).is_none());
        let mut late = std::pin::pin!(claims.seal(hash));
        assert!(late.as_mut().now_or_never().is_none());
        drop(removing);
        assert_eq!(late.now_or_never().unwrap()._held.hash, hash);
        assert!(claims.lock().is_empty(), "what is held by nobody costs nothing");
    }
}
