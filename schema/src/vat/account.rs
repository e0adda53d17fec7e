//! Counts the calls, answers and capabilities that a peer has asked for and not yet released. It counts the messages that pass,
//! because the RPC library has no limit of its own. Pure: it decides when to stop reading and when to disconnect the peer.

use std::collections::{HashMap, VecDeque};

use super::{CloseReason, Limits};

/// The bytes that a call counts beyond its message, for the library's tables and futures. Measured were some 2.4 KB, of which
/// this part is counted.
const CALL_BYTES: usize = 512;
/// The bytes that each capability in a call's parameters counts, for the import that the library makes of it.
const CAPABILITY_BYTES: usize = 512;
/// A peer may hold this many times [`Limits::calls`] answers before it is disconnected. The factor is above 1 because a client
/// that sends many calls before it looks at the answers releases them late.
const HELD_FACTOR: usize = 4;
/// The bytes that a call counts against a budget that connections share. It is the measured cost, because thousands may be open.
const SHARED_CALL_BYTES: usize = 2 << 10;
/// The bytes that a capability of ours counts against a shared budget while the peer holds it: the object, its wrapper and their
/// table entries. A subscription and an open log are such capabilities.
const SHARED_EXPORT_BYTES: usize = 1 << 10;
/// The weight in bytes of a call that is open or whose answer is unread. A call on the answer of another call costs more memory,
/// which [`HELD_WEIGHT`] counts.
const CALL_WEIGHT: usize = 1536;
/// The weight in bytes of an answer that the peer has read and still holds, with the calls that were made on it. It was measured
/// on the heap of a master.
const HELD_WEIGHT: usize = 6 << 10;
/// One in this many of [`Limits::calls`] is read whatever the peer's calls weigh. So a peer that holds much can still send the
/// message that releases it.
const LIGHT_PART: usize = 16;

/// The decision about a peer's next message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Read,
    /// Read nothing more until a call is answered and its answer is read, or until a shared budget has room again.
    Pause,
    Drop(CloseReason),
}

#[derive(Default)]
pub(super) struct Account {
    answers: HashMap<u32, AnswerEntry>,
    /// The answers that the peer has not read yet: the position in the output at which each ends, and its size in bytes.
    unread: VecDeque<(u64, usize)>,
    calls_open: usize,
    bytes_open: usize,
    bytes_unread: usize,
    bytes_held: usize,
    /// The number of references that the peer holds, by the export's number.
    exports: HashMap<u32, u64>,
    /// The number of promises of the peer that resolved to another promise.
    postponed: usize,
    /// The promises that resolved to another promise and that we still hold, each with the number of the other. The list is short,
    /// because [`Account::postponed`] is bounded.
    followers: Vec<(u32, u32)>,
}

struct AnswerEntry {
    bytes: usize,
    /// The length of the chain of calls that wait one for the other and that ends with this call.
    depth: usize,
    state: AnswerState,
}

enum AnswerState {
    /// The call runs. `let_go` is true once the peer does not want the answer any more.
    Open { let_go: bool },
    /// The call is answered, and the library keeps the answer for pipelined calls.
    Held { exports: Vec<u32> },
}

impl Account {
    /// Counts a call of the peer, or its request for the bootstrap object. `depth` is the length of the chain of calls that must
    /// be answered first.
    pub(super) fn called(&mut self, question: u32, message_bytes: usize, capabilities: usize, depth: usize) {
        let bytes = message_bytes + CALL_BYTES + capabilities * CAPABILITY_BYTES;
        let state = AnswerState::Open { let_go: false };
        // The library refuses a number that is in use, and the first call goes on.
        if let std::collections::hash_map::Entry::Vacant(entry) = self.answers.entry(question) {
            entry.insert(AnswerEntry { bytes, depth: depth + 1, state });
            self.calls_open += 1;
            self.bytes_open += bytes;
        }
    }

    /// Whether a call with this number is open, or its answer is held.
    pub(super) fn knows(&self, question: u32) -> bool {
        self.answers.contains_key(&question)
    }

    /// Returns the length of the chain of calls that ends with call `question`. 0 means that this call is answered or unknown.
    pub(super) fn depth(&self, question: u32) -> usize {
        self.answers.get(&question).map_or(0, |answer| answer.depth)
    }

    /// Counts a promise of the peer that resolved to another promise, and returns how many did so far.
    pub(super) fn postponed(&mut self) -> usize {
        self.postponed += 1;
        self.postponed
    }

    /// Notes that the peer's `promise` resolved to its promise `other`. Returns `false` if `other` leads back to `promise`, because
    /// neither would ever be settled.
    pub(super) fn becomes(&mut self, promise: u32, other: u32) -> bool {
        let mut last = other;
        for _ in 0..=self.followers.len() {
            if last == promise {
                return false;
            }
            match self.followers.iter().find(|(from, _)| *from == last) {
                Some((_, next)) => last = *next,
                None => break,
            }
        }
        self.followers.push((promise, other));
        true
    }

    /// Forgets the peer's object `number`, because we released it and the peer may use the number for another object.
    pub(super) fn let_go(&mut self, number: u32) {
        self.followers.retain(|(from, to)| *from != number && *to != number);
    }

    /// Counts our answer to call `question` as unread until the output is taken up to `ends_at`. `keeps` says that the library
    /// holds the answer until the peer releases it.
    pub(super) fn returned(&mut self, question: u32, bytes: usize, exports: Vec<u32>, keeps: bool, ends_at: u64) {
        let Some(answer) = self.answers.remove(&question) else {
            return;
        };
        let AnswerState::Open { let_go } = answer.state else {
            return;
        };
        self.calls_open -= 1;
        self.bytes_open -= answer.bytes;
        self.unread.push_back((ends_at, bytes));
        self.bytes_unread += bytes;
        if keeps && !let_go {
            self.bytes_held += bytes;
            let state = AnswerState::Held { exports };
            self.answers.insert(question, AnswerEntry { bytes, depth: 0, state });
        }
    }

    /// Notes that the peer releases the answer to call `question`, which may still run. `release` says that it releases the answer's
    /// capabilities too.
    pub(super) fn finished(&mut self, question: u32, release: bool) {
        let Some(mut answer) = self.answers.remove(&question) else {
            return;
        };
        match answer.state {
            AnswerState::Open { .. } => {
                answer.state = AnswerState::Open { let_go: true };
                self.answers.insert(question, answer);
            }
            AnswerState::Held { exports } => {
                self.bytes_held -= answer.bytes;
                for export in exports.into_iter().filter(|_| release) {
                    self.released(export, 1);
                }
            }
        }
    }

    /// Counts a reference to an object of ours that we send to the peer.
    pub(super) fn exported(&mut self, export: u32) {
        *self.exports.entry(export).or_default() += 1;
    }

    pub(super) fn released(&mut self, export: u32, count: u64) {
        if let Some(held) = self.exports.get_mut(&export) {
            *held = held.saturating_sub(count);
            if *held == 0 {
                self.exports.remove(&export);
            }
        }
    }

    /// Notes that the stream has taken the output up to `position`, so the answers before it count as read.
    pub(super) fn written(&mut self, position: u64) {
        while let Some(&(ends_at, bytes)) = self.unread.front()
            && ends_at <= position
        {
            self.unread.pop_front();
            self.bytes_unread -= bytes;
        }
        if self.unread.is_empty() {
            self.unread = VecDeque::new();
        }
    }

    /// Returns the bytes that this connection costs of a budget that it shares.
    pub(super) fn cost(&self) -> usize {
        self.passing() + self.kept()
    }

    /// Returns the bytes of memory that this connection takes, as [`Limits::weight`] bounds them.
    fn weight(&self) -> usize {
        let held = self.answers.len() - self.calls_open;
        let calls = self.calls_open + self.unread.len();
        self.bytes_open + self.bytes_unread + self.kept() + calls * CALL_WEIGHT + held * HELD_WEIGHT
    }

    /// Returns the bytes of answers and capabilities that stay until the peer releases them.
    fn kept(&self) -> usize {
        self.bytes_held + self.exports.len() * SHARED_EXPORT_BYTES
    }

    /// Returns the bytes of answers that the peer has not read.
    pub(super) fn unread(&self) -> usize {
        self.bytes_unread
    }

    /// Returns the bytes of open calls and unread answers, which end even if the peer sends nothing more.
    fn passing(&self) -> usize {
        self.bytes_open + self.bytes_unread + (self.calls_open + self.unread.len()) * SHARED_CALL_BYTES
    }

    /// Decides about the peer's next message. `shortage` is set if the shared budget is spent: the bytes that this connection may
    /// still cost.
    pub(super) fn verdict(&self, limits: &Limits, shortage: Option<usize>) -> Admission {
        if let Some(light) = shortage.filter(|light| self.kept() > *light) {
            return over("bytes of answers and capabilities held, of a budget that is spent", self.kept(), light);
        }
        let verdict = self.own_verdict(limits);
        let is_heavy = shortage.is_some_and(|light| self.cost() > light);
        if is_heavy && verdict == Admission::Read { Admission::Pause } else { verdict }
    }

    fn own_verdict(&self, limits: &Limits) -> Admission {
        let calls = self.calls_open + self.unread.len();
        let bytes = self.bytes_open + self.bytes_unread;
        if self.exports.len() > limits.exports {
            return over("capabilities held", self.exports.len(), limits.exports);
        }
        if self.answers.len() > limits.calls * HELD_FACTOR {
            let most = limits.calls * HELD_FACTOR;
            return over("answers held", self.answers.len(), most);
        }
        if self.bytes_held > limits.unfinished_bytes {
            let most = limits.unfinished_bytes;
            return over("bytes of answers held", self.bytes_held, most);
        }
        let is_heavy = self.weight() >= limits.weight && calls > limits.calls / LIGHT_PART;
        if calls >= limits.calls || bytes >= limits.unfinished_bytes || is_heavy {
            return Admission::Pause;
        }
        Admission::Read
    }

    /// Whether nothing is counted any more.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let bytes = [self.bytes_open, self.bytes_unread, self.bytes_held, self.cost()];
        self.answers.is_empty() && self.unread.is_empty() && self.exports.is_empty() && bytes == [0; 4]
    }

    /// Returns the number of calls that are not answered.
    pub(super) fn calls_open(&self) -> usize {
        self.calls_open
    }
}

fn over(what: &str, count: usize, limit: usize) -> Admission {
    Admission::Drop(CloseReason::Overload(format!("{count} {what}; at most {limit} are allowed")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIGHT: usize = 256 << 10;

    fn small() -> Limits {
        Limits { calls: 2, exports: 1, ..Limits::known() }
    }

    #[test]
    fn calls_count_until_their_answer_was_read() {
        let mut account = Account::default();
        account.called(1, 8, 0, 0);
        assert_eq!(account.verdict(&small(), None), Admission::Read);
        account.called(2, 8, 0, 0);
        assert_eq!(account.verdict(&small(), None), Admission::Pause);
        account.returned(1, 100, vec![], false, 100);
        assert_eq!(account.verdict(&small(), None), Admission::Pause);
        account.written(99);
        assert_eq!(account.verdict(&small(), None), Admission::Pause);
        account.written(100);
        assert_eq!(account.verdict(&small(), None), Admission::Read);
        assert_eq!(account.calls_open(), 1);
    }

    #[test]
    fn bytes_count_until_they_are_let_go_of() {
        let limits = Limits { unfinished_bytes: 10_000, ..Limits::known() };
        let mut account = Account::default();
        account.called(1, 20_000, 0, 0);
        assert_eq!(account.verdict(&limits, None), Admission::Pause);
        account.returned(1, 12_000, vec![], true, 12_000);
        account.written(12_000);
        assert!(matches!(account.verdict(&limits, None), Admission::Drop(_)));
        account.finished(1, true);
        assert_eq!(account.verdict(&limits, None), Admission::Read);
    }

    #[test]
    fn a_cancelled_call_counts_until_it_has_ended() {
        let mut account = Account::default();
        account.called(1, 8, 0, 0);
        account.finished(1, true);
        assert_eq!(account.calls_open(), 1);
        account.returned(1, 8, vec![], true, 8);
        assert_eq!(account.calls_open(), 0);
        assert!(account.answers.is_empty());
    }

    #[test]
    fn capabilities_count_by_object_until_released() {
        let mut account = Account::default();
        for _ in 0..5 {
            account.exported(7);
        }
        assert_eq!(account.verdict(&small(), None), Admission::Read);
        account.exported(8);
        assert!(matches!(account.verdict(&small(), None), Admission::Drop(_)));
        account.released(7, 4);
        assert!(matches!(account.verdict(&small(), None), Admission::Drop(_)));
        account.released(7, 1);
        assert_eq!(account.verdict(&small(), None), Admission::Read);
    }

    #[test]
    fn a_spent_budget_holds_up_who_spends_it() {
        let known = Limits::known();
        let mut account = Account::default();
        account.called(1, LIGHT - CALL_BYTES - SHARED_CALL_BYTES, 0, 0);
        assert_eq!(account.verdict(&known, Some(LIGHT)), Admission::Read);
        account.called(2, 8, 0, 0);
        assert_eq!(account.verdict(&known, Some(LIGHT)), Admission::Pause);
        assert_eq!(account.verdict(&known, None), Admission::Read);
        for question in [1, 2] {
            account.returned(question, LIGHT / 2 + 1, vec![], true, 0);
        }
        account.written(0);
        assert_eq!(account.cost(), LIGHT + 2);
        assert!(matches!(account.verdict(&known, Some(LIGHT)), Admission::Drop(_)));
        assert_eq!(account.verdict(&known, None), Admission::Read);
        account.finished(1, true);
        assert_eq!(account.verdict(&known, Some(LIGHT)), Admission::Read);
        account.finished(2, true);
        assert!(account.is_empty());
    }

    /// A peer that releases nothing never takes more than its weight, however many of its calls are answered.
    #[test]
    fn calls_wait_while_those_before_them_weigh_too_much() {
        let known = Limits::known();
        for every in [2, 5, 10] {
            let (mut account, mut made) = (Account::default(), 0);
            while account.verdict(&known, None) == Admission::Read {
                account.called(made, 100, 0, 0);
                if made % every == 1 {
                    account.exported(made);
                    account.returned(made, 100, vec![made], true, 0);
                    account.written(0);
                }
                made += 1;
            }
            assert_eq!(account.verdict(&known, None), Admission::Pause, "one of {every}");
            let weight = account.weight();
            let next = CALL_BYTES + CALL_WEIGHT + SHARED_EXPORT_BYTES + HELD_WEIGHT + 200;
            assert!((known.weight..known.weight + next).contains(&weight), "one of {every}: {weight}");
        }
    }

    #[test]
    fn a_peer_that_holds_much_is_read_so_that_it_may_let_go() {
        let known = Limits { weight: 1_000, ..Limits::known() };
        let light = u32::try_from(known.calls / LIGHT_PART).unwrap();
        let mut account = Account::default();
        (0..light).for_each(|question| account.called(question, 100, 0, 0));
        assert!(account.weight() > known.weight);
        assert_eq!(account.verdict(&known, None), Admission::Read);
        account.called(light, 100, 0, 0);
        assert_eq!(account.verdict(&known, None), Admission::Pause);
        account.returned(light, 100, vec![], true, 0);
        account.written(0);
        assert_eq!(account.verdict(&known, None), Admission::Read);
    }

    #[test]
    fn a_promise_never_leads_back_to_itself() {
        let mut account = Account::default();
        assert!(!account.becomes(5, 5));
        assert!(account.becomes(5, 6) && account.becomes(6, 7));
        assert!(!account.becomes(7, 5));
        // 6 was released, so the chain from 7 to 5 no longer exists
        account.let_go(6);
        assert!(account.becomes(7, 5));
    }

    #[test]
    fn unfinished_bootstraps_are_bounded() {
        let mut account = Account::default();
        for id in 0..9 {
            account.called(id, 8, 0, 0);
            account.returned(id, 8, vec![], true, 0);
            account.written(0);
        }
        assert!(matches!(account.verdict(&small(), None), Admission::Drop(_)));
    }
}
