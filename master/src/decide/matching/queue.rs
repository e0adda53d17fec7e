//! The queue of tickets, and the sessions that could take them. Tickets with equal needs form a group. Whether a worker can take
//! them is decided per group, so that a decision costs O(log n) in tickets and workers.

use super::SessionId;
use super::ticket::{Class, Need, OwnerKey, Ticket};
use crate::decide::steady::Steady;
use schema::values::Resources;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The number of groups up to which empty ones are kept, because a new group asks every session. A master has some dozens of needs.
const GROUPS_KEPT: usize = 256;

/// The place of a ticket in the queue. The class decides, then the priority, and then the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank<O> {
    pub class: Class,
    pub priority: Reverse<i32>,
    pub arrival: u64,
    pub owner: O,
}

/// A ticket in the queue. Its rank has its owner, class and priority.
#[derive(Debug)]
struct QueueEntry<O> {
    rank: Rank<O>,
    need: Need,
    queued: Steady,
    term: Duration,
}

/// The waiting tickets that have one need in common.
#[derive(Debug)]
struct Group<O> {
    ranks: BTreeSet<Rank<O>>,
    /// The sessions that could take these tickets, whether or not the sessions wait.
    able: BTreeSet<SessionId>,
}

impl<O: OwnerKey> Group<O> {
    fn has_normal(&self) -> bool {
        self.ranks.first().is_some_and(|rank| rank.class == Class::Normal)
    }

    fn has_idle(&self) -> bool {
        self.ranks.last().is_some_and(|rank| rank.class == Class::Idle)
    }
}

/// The tickets that wait, in the order of their ranks.
#[derive(Debug)]
pub(in crate::decide) struct Queue<O> {
    groups: BTreeMap<Need, Group<O>>,
    places: BTreeMap<O, QueueEntry<O>>,
    arrivals: u64,
}

impl<O: OwnerKey> Queue<O> {
    pub(in crate::decide) fn new() -> Queue<O> {
        Queue { groups: BTreeMap::new(), places: BTreeMap::new(), arrivals: 0 }
    }

    /// Enters a ticket. `able` returns all sessions that could take it, and is called only if its group is new.
    pub(in crate::decide) fn enter(&mut self, ticket: Ticket<O>, able: impl FnOnce(&Need) -> BTreeSet<SessionId>) {
        self.arrivals += 1;
        let Ticket { owner, need, class, priority, queued, term } = ticket;
        let rank = Rank { class, priority: Reverse(priority), arrival: self.arrivals, owner };
        let new = || Group { ranks: BTreeSet::new(), able: able(&need) };
        self.groups.entry(need.clone()).or_insert_with(new).ranks.insert(rank);
        let before = self.places.insert(owner, QueueEntry { rank, need, queued, term });
        assert!(before.is_none(), "{owner:?} is in the queue already");
    }

    /// Takes the owner's ticket out. `None` means that it was not in the queue.
    pub(in crate::decide) fn leave(&mut self, owner: O) -> Option<Ticket<O>> {
        let QueueEntry { rank, need, queued, term } = self.places.remove(&owner)?;
        if let Some(group) = self.groups.get_mut(&need) {
            group.ranks.remove(&rank);
            if group.ranks.is_empty() && self.groups.len() > GROUPS_KEPT {
                self.groups.remove(&need);
            }
        }
        let Rank { class, priority: Reverse(priority), .. } = rank;
        Some(Ticket { owner, need, class, priority, queued, term })
    }

    /// Notes that a session came, and which groups of tickets it could take.
    pub(in crate::decide) fn meet(&mut self, session: SessionId, able: impl Fn(&Need) -> bool) {
        for (need, group) in &mut self.groups {
            if able(need) {
                group.able.insert(session);
            }
        }
    }

    pub(in crate::decide) fn part(&mut self, session: SessionId) {
        for group in self.groups.values_mut() {
            group.able.remove(&session);
        }
    }

    /// The owner of the first ticket for this session that fits into `free`. Each group gives its first ticket that `may` go there, and
    /// of these tickets only those are considered whose owner `counts`.
    pub(in crate::decide) fn first_for(
        &self,
        session: SessionId,
        free: &Resources,
        may: impl Fn(&Rank<O>) -> bool,
        counts: impl Fn(O) -> bool,
    ) -> Option<O> {
        let fitting =
            self.groups.iter().filter(|(need, group)| free.holds(&need.room) && group.able.contains(&session));
        let heads = fitting.filter_map(|(_, group)| group.ranks.iter().find(|rank| may(rank)));
        heads.filter(|rank| counts(rank.owner)).min().map(|rank| rank.owner)
    }

    /// Whether a normal ticket waits that this session could take, if it had all the room of its worker.
    pub(in crate::decide) fn has_normal_for(&self, session: SessionId, total: &Resources) -> bool {
        let mut able = self.groups.iter().filter(|(_, group)| group.able.contains(&session));
        able.any(|(need, group)| total.holds(&need.room) && group.has_normal())
    }

    /// The sessions among these that could take a ticket of the idle class.
    pub(in crate::decide) fn able_for_idle(&self, sessions: &BTreeSet<SessionId>) -> BTreeSet<SessionId> {
        let with_idle = self.groups.values().filter(|group| group.has_idle());
        with_idle.flat_map(|group| group.able.intersection(sessions).copied()).collect()
    }

    pub(in crate::decide) fn has_idle(&self) -> bool {
        self.groups.values().any(Group::has_idle)
    }

    /// The sessions that could take the ticket of this owner.
    pub(in crate::decide) fn able(&self, owner: O) -> impl Iterator<Item = SessionId> + '_ {
        self.group(owner).into_iter().flat_map(|group| group.able.iter().copied())
    }

    fn group(&self, owner: O) -> Option<&Group<O>> {
        self.places.get(&owner).and_then(|place| self.groups.get(&place.need))
    }

    pub(in crate::decide) fn able_count(&self, owner: O) -> usize {
        self.group(owner).map_or(0, |group| group.able.len())
    }

    pub(in crate::decide) fn is_able(&self, owner: O, session: SessionId) -> bool {
        self.group(owner).is_some_and(|group| group.able.contains(&session))
    }

    /// Whether a ticket waits that some session could take if it had room.
    pub(in crate::decide) fn is_wanted(&self) -> bool {
        self.groups.values().any(|group| !group.ranks.is_empty() && !group.able.is_empty())
    }

    pub(in crate::decide) fn need(&self, owner: O) -> Option<&Need> {
        self.places.get(&owner).map(|place| &place.need)
    }

    /// The time since which the owner's work waits.
    pub(in crate::decide) fn queued(&self, owner: O) -> Option<Steady> {
        self.places.get(&owner).map(|place| place.queued)
    }

    pub(in crate::decide) fn len(&self) -> usize {
        self.places.len()
    }

    /// The owners in the order in which their tickets would be placed.
    pub(in crate::decide) fn in_order(&self, limit: usize) -> Vec<O> {
        let ranks = self.groups.values().flat_map(|group| group.ranks.iter().take(limit));
        ranks.copied().collect::<BTreeSet<_>>().into_iter().take(limit).map(|rank| rank.owner).collect()
    }

    /// The position of the owner's ticket, or the position that a normal one would have if it came now.
    pub(in crate::decide) fn rank(&self, owner: O, priority: i32) -> Rank<O> {
        let last = Rank { class: Class::Normal, priority: Reverse(priority), arrival: u64::MAX, owner };
        self.places.get(&owner).map_or(last, |place| place.rank)
    }

    /// The needs of the tickets before this rank, in order. They are those that `could` accepts, and at most `limit`.
    pub(in crate::decide) fn before(&self, rank: Rank<O>, could: impl Fn(&Need) -> bool, limit: usize) -> Vec<&Need> {
        let groups = self.groups.iter().filter(|(need, group)| !group.ranks.is_empty() && could(need));
        let ahead = groups.flat_map(|(need, group)| group.ranks.range(..rank).take(limit).map(move |at| (*at, need)));
        let mut ahead: Vec<(Rank<O>, &Need)> = ahead.collect();
        ahead.sort_unstable_by_key(|(at, _)| *at);
        ahead.into_iter().take(limit).map(|(_, need)| need).collect()
    }

    pub(in crate::decide) fn check(&self) {
        let in_groups: usize = self.groups.values().map(|group| group.ranks.len()).sum();
        assert_eq!(in_groups, self.places.len(), "the queue's two views differ");
        for (owner, place) in &self.places {
            let group = self.groups.get(&place.need);
            assert!(group.is_some_and(|group| group.ranks.contains(&place.rank)), "{owner:?} has a place but no group");
        }
    }
}
