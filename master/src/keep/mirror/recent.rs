//! Objects that were read from a mirror recently. An object with a whole id never changes. A commit and its pipeline are read
//! several times: when a build is ordered, planned and retried.

use super::conversation::Header;
use super::is_object_id;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

const COUNT_MAX: usize = 256;
/// The size up to which the bytes of an object are kept, in bytes. The bytes of larger objects are read again.
const SIZE_MAX: usize = 32 << 10;

#[derive(Debug)]
struct RecentObject {
    header: Header,
    bytes: Option<Arc<[u8]>>,
}

/// The recently read objects: at most 256, with the bytes of those of at most 32 KiB. The object that was read first is dropped
/// first.
#[derive(Debug, Default)]
pub(super) struct Recent {
    found: BTreeMap<String, RecentObject>,
    order: VecDeque<String>,
}

impl Recent {
    pub(super) fn header(&self, name: &str) -> Option<Header> {
        self.found.get(name).map(|found| found.header.clone())
    }

    pub(super) fn bytes(&self, name: &str, kind: &str, limit: usize) -> Option<Arc<[u8]>> {
        let found = self.found.get(name)?;
        found.bytes.clone().filter(|bytes| found.header.kind == kind && bytes.len() <= limit)
    }

    pub(super) fn keep(&mut self, name: &str, header: &Header, bytes: Option<&[u8]>) {
        let bytes = bytes.filter(|bytes| bytes.len() <= SIZE_MAX).map(Arc::from);
        if !is_fixed(name) {
            return;
        }
        match self.found.get_mut(name) {
            Some(known) => known.bytes = bytes.or(known.bytes.take()),
            None => {
                self.found.insert(name.to_owned(), RecentObject { header: header.clone(), bytes });
                self.order.push_back(name.to_owned());
            }
        }
        if self.order.len() > COUNT_MAX
            && let Some(first) = self.order.pop_front()
        {
            self.found.remove(&first);
        }
    }
}

/// Whether a name begins with a whole id, which a path or a type may follow. Such a name always means the same object.
fn is_fixed(name: &str) -> bool {
    is_object_id(name.split([':', '^']).next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789012345678901234567890123456789";

    fn header(size: usize) -> Header {
        Header { id: ID.to_owned(), kind: "blob".to_owned(), size }
    }

    #[test]
    fn what_may_change_is_not_kept() {
        let mut recent = Recent::default();
        for name in ["0123", "main:file", "HEAD"] {
            recent.keep(name, &header(1), Some(b"x"));
            assert_eq!(recent.header(name), None);
        }
    }

    #[test]
    fn bytes_of_the_kind_that_is_asked_for() {
        let mut recent = Recent::default();
        let name = format!("{ID}:guild.toml");
        recent.keep(&name, &header(4), None);
        assert_eq!((recent.header(&name), recent.bytes(&name, "blob", 9)), (Some(header(4)), None));
        recent.keep(&name, &header(4), Some(b"four"));
        recent.keep(&name, &header(4), None);
        assert_eq!(recent.bytes(&name, "blob", 4).as_deref(), Some(&b"four"[..]));
        assert_eq!(recent.bytes(&name, "blob", 3), None);
        assert_eq!(recent.bytes(&name, "commit", 9), None);
    }

    #[test]
    fn the_first_goes_first_and_giants_are_not_kept() {
        let mut recent = Recent::default();
        let name = |number: usize| format!("{ID}:{number}");
        for number in 0..=COUNT_MAX {
            recent.keep(&name(number), &header(1), Some(b"x"));
        }
        assert_eq!(recent.header(&name(0)), None);
        assert_eq!(recent.found.len(), COUNT_MAX);
        assert!((1..=COUNT_MAX).all(|number| recent.bytes(&name(number), "blob", 1).is_some()));
        recent.keep(ID, &header(SIZE_MAX + 1), Some(&vec![0; SIZE_MAX + 1]));
        assert_eq!(recent.bytes(ID, "blob", usize::MAX), None);
    }
}
