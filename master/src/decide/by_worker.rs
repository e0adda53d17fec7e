//! Values that belong to workers, found by their own key or by the name of their worker, each in O(log n).

use std::collections::{BTreeMap, BTreeSet};

/// A value that belongs to one worker, and to the same worker for as long as it is kept.
pub(in crate::decide) trait OfWorker {
    fn worker(&self) -> &str;
}

#[derive(Debug)]
pub(in crate::decide) struct ByWorker<K, V> {
    /// The values, each in a box, because a node of the tree has room for eleven and is usually half empty.
    all: BTreeMap<K, Box<V>>,
    /// The keys of each worker's values, by the worker's name. A worker without values has no entry.
    keys: BTreeMap<String, BTreeSet<K>>,
}

impl<K: Ord + Copy, V: OfWorker> ByWorker<K, V> {
    pub(in crate::decide) fn new() -> ByWorker<K, V> {
        ByWorker { all: BTreeMap::new(), keys: BTreeMap::new() }
    }

    pub(in crate::decide) fn insert(&mut self, key: K, value: V) {
        self.remove(key);
        self.keys.entry(value.worker().to_owned()).or_default().insert(key);
        self.all.insert(key, Box::new(value));
    }

    pub(in crate::decide) fn remove(&mut self, key: K) -> Option<V> {
        let value = self.all.remove(&key)?;
        if let Some(keys) = self.keys.get_mut(value.worker()) {
            keys.remove(&key);
            if keys.is_empty() {
                self.keys.remove(value.worker());
            }
        }
        Some(*value)
    }

    pub(in crate::decide) fn get(&self, key: K) -> Option<&V> {
        self.all.get(&key).map(Box::as_ref)
    }

    pub(in crate::decide) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        self.all.get_mut(&key).map(Box::as_mut)
    }

    pub(in crate::decide) fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        self.all.iter().map(|(key, value)| (*key, value.as_ref()))
    }

    pub(in crate::decide) fn len(&self) -> usize {
        self.all.len()
    }

    /// The values of one worker, in the order of their keys.
    pub(in crate::decide) fn of(&self, worker: &str) -> impl Iterator<Item = (K, &V)> {
        self.keys.get(worker).into_iter().flatten().map(|key| (*key, self.all[key].as_ref()))
    }

    pub(in crate::decide) fn check(&self) {
        let counted: usize = self.keys.values().map(BTreeSet::len).sum();
        assert_eq!(counted, self.all.len(), "what belongs to workers is miscounted");
        for (worker, keys) in &self.keys {
            assert!(
                keys.iter().all(|key| self.all[key].worker() == worker),
                "something of {worker} belongs to another worker"
            );
        }
    }
}
