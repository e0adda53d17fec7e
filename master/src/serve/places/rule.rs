//! Decides which guest gets a place, and which guest loses one. It is pure: times and events are arguments, and it holds no connection.

use super::neighbour::Neighbour;
use std::collections::BTreeMap;
use std::time::Duration;

/// The time for which a guest that has sent nothing keeps its place although others need it. The first bytes of a client come right after
/// its connection.
const MUTE_GRACE: Duration = Duration::from_millis(20);
/// The time for which a silent guest that has sent something keeps its place although others need it: a round trip within a continent.
/// Guests from farther away rarely share an address, so they are not the first to go.
const SPOKEN_GRACE: Duration = Duration::from_millis(100);
/// The time for which any silent guest keeps its place during a lull. In a lull guests get longer, because an honest crowd on a slow
/// machine takes its time.
const LULL_GRACE: Duration = Duration::from_secs(1);
/// The length of the lull at the beginning of a shortage, which is a time without free places.
const FIRST_LULL: Duration = Duration::from_millis(250);
/// The length of a lull after each guest that was served. The logins of a crowd follow each other faster, so the lull lasts as long.
const LULL: Duration = Duration::from_millis(100);
/// The most time between two checks of the guests that counts as their silence. If a machine is so slow that checks are rarer, its guests
/// are served late rather than silent.
const LOOK: Duration = Duration::from_millis(20);
/// The time after a shortage after which another one counts as new.
const SHORTAGE: Duration = Duration::from_secs(10);

/// The limits of the places: the most guests in all, and from one address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacity {
    pub(crate) all: usize,
    /// The most guests from one address. Loopback has no such limit, because many honest peers may share it: a test farm, or a proxy.
    pub(crate) per_address: usize,
}

/// A `Patience` says how long a guest may take for a stage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) calm: Duration,
    /// The time while more than half of the places are taken.
    pub(crate) crowded: Duration,
}

/// The answer to a guest that asks for a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Enters(u64),
    /// The guest gets a place, and another guest must go.
    Replaces {
        id: u64,
        other: u64,
    },
    /// No guest is silent, so the new guest waits until one is.
    Waits,
    TurnedAway,
}

/// All guests and their places. Times may be counted from any beginning.
#[derive(Debug)]
pub(crate) struct Places {
    bounds: Capacity,
    last: u64,
    /// The guests, in the order in which they came.
    guests: BTreeMap<u64, Guest>,
    /// The last time at which a guest found no place.
    short: Option<Duration>,
    lull_end: Duration,
}

#[derive(Debug)]
struct Guest {
    from: Neighbour,
    has_spoken: bool,
    /// Whether the master waits for the guest, because it has nothing to do for it.
    is_awaited: bool,
    /// The number of the guest's requests that are being worked on.
    requests: usize,
    /// The time when the guest came, first sent something, or last made progress.
    since: Duration,
    /// The time from which the guest counts as silent: `since`, moved later by the delays that do not count as silence.
    graced: Duration,
    /// The time that the guest may take for its present stage.
    patience: Option<Patience>,
}

impl Places {
    pub(crate) fn new(bounds: Capacity) -> Places {
        Places { bounds, last: 0, guests: BTreeMap::new(), short: None, lull_end: Duration::ZERO }
    }

    pub(crate) fn admit(&mut self, now: Duration, from: Neighbour) -> Admission {
        let has_many = self.count(from) >= self.bounds.per_address && !from.is_loopback();
        if !has_many && self.guests.len() < self.bounds.all {
            return Admission::Enters(self.enter(now, from));
        }
        self.note_shortage(now);
        let (other, otherwise) = match has_many {
            true => (self.silent(now, |guest| guest.from == from), Admission::TurnedAway),
            false => (self.most_dispensable(now), Admission::Waits),
        };
        let Some(other) = other else { return otherwise };
        self.leave(other);
        Admission::Replaces { id: self.enter(now, from), other }
    }

    fn note_shortage(&mut self, now: Duration) {
        let before = self.short.replace(now);
        if before.is_none_or(|before| now >= before + SHORTAGE) {
            self.lull_end = now + FIRST_LULL;
        }
        let late = before.map_or(Duration::ZERO, |before| now.saturating_sub(before + LOOK));
        if before.is_some_and(|before| before < self.lull_end) {
            self.lull_end += late;
        }
        self.guests.values_mut().for_each(|guest| guest.graced = now.min(guest.graced + late));
    }

    /// Notes that the guest got what it came for, and takes it off the list.
    pub(crate) fn served(&mut self, now: Duration, id: u64) {
        if self.guests.remove(&id).is_some() {
            self.lull_end = self.lull_end.max(now + LULL);
        }
    }

    pub(crate) fn leave(&mut self, id: u64) {
        self.guests.remove(&id);
    }

    /// Notes that the guest sent bytes.
    pub(crate) fn heard(&mut self, now: Duration, id: u64) {
        let Some(guest) = self.guests.get_mut(&id) else { return };
        guest.is_awaited = false;
        if !guest.has_spoken {
            guest.has_spoken = true;
            guest.begin(now);
        }
    }

    /// Notes that the master waits for the guest, which must send or take something.
    pub(crate) fn awaits(&mut self, id: u64) {
        if let Some(guest) = self.guests.get_mut(&id) {
            guest.is_awaited = true;
        }
    }

    /// Notes progress: a stage is done, a request is complete, or an answer was taken. Single bytes are not progress, because a guest
    /// could send them one at a time.
    pub(crate) fn got_on(&mut self, now: Duration, id: u64) {
        if let Some(guest) = self.guests.get_mut(&id) {
            guest.is_awaited = false;
            guest.begin(now);
        }
    }

    /// Notes that a request of the guest is complete. It is worked on until [`Places::answered`].
    pub(crate) fn asked(&mut self, now: Duration, id: u64) {
        self.got_on(now, id);
        if let Some(guest) = self.guests.get_mut(&id) {
            guest.requests += 1;
        }
    }

    pub(crate) fn answered(&mut self, now: Duration, id: u64) {
        self.got_on(now, id);
        if let Some(guest) = self.guests.get_mut(&id) {
            guest.requests = guest.requests.saturating_sub(1);
        }
    }

    /// Begins a stage of a guest, with the time that it may take.
    pub(crate) fn want(&mut self, now: Duration, id: u64, patience: Patience) {
        if let Some(guest) = self.guests.get_mut(&id) {
            guest.patience = Some(patience);
            guest.begin(now);
        }
    }

    /// Returns when the guest must go, as things are. `None` means that it is gone, or that the master does not wait for it.
    pub(crate) fn end(&self, id: u64) -> Option<Duration> {
        let guest = self.guests.get(&id).filter(|guest| guest.requests == 0)?;
        let patience = guest.patience?;
        Some(guest.since + if self.is_crowded() { patience.crowded } else { patience.calm })
    }

    /// Whether more than half of the places are taken.
    pub(crate) fn is_crowded(&self) -> bool {
        self.guests.len() * 2 > self.bounds.all
    }

    fn enter(&mut self, now: Duration, from: Neighbour) -> u64 {
        self.last += 1;
        let (since, graced) = (now, now);
        let guest = Guest { from, has_spoken: false, is_awaited: false, requests: 0, since, graced, patience: None };
        self.guests.insert(self.last, guest);
        self.last
    }

    fn count(&self, from: Neighbour) -> usize {
        self.guests.values().filter(|guest| guest.from == from).count()
    }

    /// Returns the oldest silent guest of those that `of` selects.
    fn silent(&self, now: Duration, of: impl Fn(&Guest) -> bool) -> Option<u64> {
        self.guests.iter().find(|(_, guest)| self.is_silent(guest, now) && of(guest)).map(|(id, _)| *id)
    }

    /// Returns the oldest silent guest from the address that has the most places, so that an address with many loses them first.
    fn most_dispensable(&self, now: Duration) -> Option<u64> {
        let mut by_address = BTreeMap::<Neighbour, usize>::new();
        self.guests.values().for_each(|guest| *by_address.entry(guest.from).or_default() += 1);
        let silent = self.guests.iter().filter(|(_, guest)| self.is_silent(guest, now));
        let key = |(id, guest): &(&u64, &Guest)| (std::cmp::Reverse(by_address[&guest.from]), **id);
        silent.min_by_key(key).map(|(id, _)| *id)
    }

    fn is_silent(&self, guest: &Guest, now: Duration) -> bool {
        let grace = match guest.has_spoken {
            _ if now < self.lull_end => LULL_GRACE,
            true => SPOKEN_GRACE,
            false => MUTE_GRACE,
        };
        guest.is_awaited && guest.requests == 0 && guest.graced + grace <= now
    }
}

impl Guest {
    /// Begins to wait for the guest now.
    fn begin(&mut self, now: Duration) {
        (self.since, self.graced) = (now, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    const SECOND: Duration = Duration::from_secs(1);

    fn neighbour(address: &str) -> Neighbour {
        Neighbour::of(address.parse::<IpAddr>().expect("an address"))
    }

    /// Makes four places, at most two of them for one address.
    fn places() -> Places {
        Places::new(Capacity { all: 4, per_address: 2 })
    }

    /// Plays a story, and returns the answer to the last guest that came. `+A` comes from address A, and `.N` means that the master waits
    /// for guest N. `!N` sends bytes, `>N` makes progress, `-N` leaves, and `$N` is served. `?N` begins a request of guest N, and `=N`
    /// ends one. `~MS` is time in which a guest waits for a place, and `_MS` is time in which none does.
    fn play(story: &str) -> Admission {
        let mut places = places();
        let (mut now, mut last) = (SECOND, Admission::Waits);
        for word in story.split_whitespace() {
            let (what, rest) = word.split_at(1);
            let id = rest.parse::<u64>().unwrap_or_default();
            match what {
                "+" => last = places.admit(now, neighbour(rest)),
                "." => places.awaits(id),
                "!" => places.heard(now, id),
                ">" => places.got_on(now, id),
                "-" => places.leave(id),
                "$" => places.served(now, id),
                "?" => places.asked(now, id),
                "=" => places.answered(now, id),
                "_" => now += Duration::from_millis(id),
                _ => {
                    let end = now + Duration::from_millis(id);
                    while places.short.is_some() && now + Duration::from_millis(10) < end {
                        now += Duration::from_millis(10);
                        places.note_shortage(now);
                    }
                    now = end;
                }
            }
        }
        last
    }

    #[test]
    fn who_comes_and_who_goes() {
        let full = "+10.0.0.1 +10.0.0.2 +10.0.0.3 +10.0.0.4";
        let local = "+127.0.0.1 +127.0.0.1 +127.0.0.1 +127.0.0.1";
        // one more guest came in vain, and the first lull is over
        let short = format!("{full} +10.0.0.9 ~250");
        let rows = [
            ("there is room", "+10.0.0.1", Admission::Enters(1)),
            ("the last place", full, Admission::Enters(4)),
            ("nobody is waited for", "SHORT ~9000 +10.0.0.5", Admission::Waits),
            ("one has just come", "SHORT -3 +10.0.0.3 .5 ~19 +10.0.0.5", Admission::Waits),
            ("one says nothing", "SHORT -3 +10.0.0.3 .5 ~20 +10.0.0.5", Admission::Replaces { id: 6, other: 5 }),
            ("the oldest of the silent", "SHORT .4 .2 .3 +10.0.0.5", Admission::Replaces { id: 5, other: 2 }),
            ("who has spoken has longer", "SHORT .2 !2 .2 .4 ~99 +10.0.0.5", Admission::Replaces { id: 5, other: 4 }),
            ("but not for ever", "SHORT !2 .2 ~100 +10.0.0.5", Admission::Replaces { id: 5, other: 2 }),
            ("nor byte by byte", "SHORT !2 ~60 !2 .2 ~40 +10.0.0.5", Admission::Replaces { id: 5, other: 2 }),
            ("getting on counts", "SHORT !2 ~60 >2 .2 ~40 +10.0.0.5", Admission::Waits),
            ("a request is worked on", "SHORT !2 ?2 .2 ~900 +10.0.0.5", Admission::Waits),
            ("it was", "SHORT !2 ?2 ~900 =2 .2 ~100 +10.0.0.5", Admission::Replaces { id: 5, other: 2 }),
            ("one has left", "FULL -1 +10.0.0.5", Admission::Enters(5)),
            ("a shortage begins in a lull", "FULL .1 ~900 +10.0.0.5", Admission::Waits),
            (
                "nor in a lull for ever",
                "FULL .1 ~900 +10.0.0.5 ~100 +10.0.0.5",
                Admission::Replaces { id: 5, other: 1 },
            ),
            ("one is served", "SHORT .1 $2 +10.0.0.2 ~90 +10.0.0.5", Admission::Waits),
            ("one was", "SHORT .1 $2 +10.0.0.2 ~100 +10.0.0.5", Admission::Replaces { id: 6, other: 1 }),
            ("one who goes by itself", "SHORT .1 -2 +10.0.0.2 ~20 +10.0.0.5", Admission::Replaces { id: 6, other: 1 }),
            ("a slow machine", "SHORT .1 !1 .1 _900 +10.0.0.5", Admission::Waits),
            ("not for ever", "SHORT .1 !1 .1 _900 +10.0.0.5 ~100 +10.0.0.5", Admission::Replaces { id: 5, other: 1 }),
            ("the next shortage has a lull too", "SHORT _20000 -2 +10.0.0.2 .5 ~30 +10.0.0.5", Admission::Waits),
            ("two of one address", "+10.0.0.1 +10.0.0.1", Admission::Enters(2)),
            ("a third of it", "+10.0.0.1 +10.0.0.1 +10.0.0.1", Admission::TurnedAway),
            (
                "one of them is silent",
                "+10.0.0.1 +10.0.0.1 +10.0.0.1 .2 ~250 +10.0.0.1",
                Admission::Replaces { id: 3, other: 2 },
            ),
            ("another is", "+10.0.0.2 .1 +10.0.0.1 +10.0.0.1 ~2000 +10.0.0.1", Admission::TurnedAway),
            ("many on loopback", "LOCAL", Admission::Enters(4)),
            ("too many", "LOCAL .2 ~1000 +127.0.0.1", Admission::Replaces { id: 5, other: 2 }),
            (
                "who has most loses first",
                "+10.0.0.1 +10.0.0.2 +10.0.0.3 +10.0.0.3 .1 .2 .4 ~1000 +10.0.0.4",
                Admission::Replaces { id: 5, other: 4 },
            ),
            ("one address in two dresses", "+10.0.0.1 +10.0.0.1 +::ffff:10.0.0.1", Admission::TurnedAway),
            ("one network of IPv6", "+2001:db8::1 +2001:db8::2 +2001:db8::ffff:3", Admission::TurnedAway),
            ("another one", "+2001:db8::1 +2001:db8::2 +2001:db8:0:1::3", Admission::Enters(3)),
        ];
        for (what, story, verdict) in rows {
            let story = story.replace("SHORT", &short).replace("FULL", full).replace("LOCAL", local);
            assert_eq!(play(&story), verdict, "{what}: {story}");
        }
    }

    #[test]
    fn patience_is_shorter_while_it_is_crowded() {
        let mut places = places();
        let patience = Patience { calm: 10 * SECOND, crowded: 3 * SECOND };
        assert_eq!(places.admit(SECOND, neighbour("10.0.0.1")), Admission::Enters(1));
        assert_eq!(places.end(1), None);
        places.want(SECOND, 1, patience);
        assert_eq!(places.admit(SECOND, neighbour("10.0.0.2")), Admission::Enters(2));
        assert_eq!((places.is_crowded(), places.end(1)), (false, Some(11 * SECOND)));
        assert_eq!(places.admit(SECOND, neighbour("10.0.0.3")), Admission::Enters(3));
        assert_eq!((places.is_crowded(), places.end(1)), (true, Some(4 * SECOND)));
        places.leave(3);
        assert_eq!(places.end(1), Some(11 * SECOND));
        places.asked(2 * SECOND, 1);
        assert_eq!(places.end(1), None, "a request is worked on");
        places.answered(30 * SECOND, 1);
        assert_eq!(places.end(1), Some(40 * SECOND));
    }

    #[test]
    fn who_is_gone_is_not_waited_for() {
        let mut places = places();
        assert_eq!(places.admit(SECOND, neighbour("10.0.0.1")), Admission::Enters(1));
        places.leave(1);
        places.heard(SECOND, 1);
        places.awaits(1);
        places.asked(SECOND, 1);
        places.answered(SECOND, 1);
        assert_eq!(places.end(1), None);
        assert!(places.guests.is_empty());
    }
}
