//! Decides who may touch the file of a hash: uploads that seal it, or one removal, but never both.
//!
//! A blob without references may be removed just when an upload of the same bytes ends. Without claims, the file could go after
//! the upload has found it, or before its reference is committed.

use super::BlobHash;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The hashes that are being sealed or removed.
#[derive(Debug, Default)]
pub(super) struct Claims {
    held: Mutex<BTreeMap<BlobHash, Claim>>,
    /// Notified when a hash is free again.
    freed: Notify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    /// The number of uploads that rename their file to this hash, or wait for their commit.
    Sealing(usize),
    Removing,
}

/// A claim on a hash that is being sealed. The hash's file stays meanwhile.
#[derive(Debug)]
pub(super) struct Sealing {
    _held: HeldHash,
}

/// A claim on a hash that is being removed. No upload of it is sealed meanwhile.
#[derive(Debug)]
pub(super) struct Removing(HeldHash);

#[derive(Debug)]
struct HeldHash {
    claims: Arc<Claims>,
    hash: BlobHash,
}

impl Claims {
    /// Claims a hash for an upload. Waits while the hash is being removed.
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

    /// Claims a hash for its removal. Returns `None` if the hash is claimed already.
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
