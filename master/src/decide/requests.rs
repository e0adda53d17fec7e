//! Exactly once: the answer to a mutating call is kept with its request id, in the transaction of the call's effect.

use super::records::{Answer, BuildId, GrantId, Record, Recorder, RequestId, RequestRow};
use schema::limits::borders::{ANSWERS_EACH, ANSWERS_KEPT};
use schema::values::{Refusal, RefusalCode, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long an answer is kept, as `common.capnp` promises.
const KEPT: Duration = ANSWERS_KEPT.time();
/// The limit for the answers that are kept in all. Each takes about 200 bytes, and the oldest are removed first.
const KEPT_COUNT: usize = 100_000;
/// The limit for the answers that are kept for one grant, so that no caller drives out the answers to other callers.
const KEPT_EACH: usize = ANSWERS_EACH.count();

/// A `Request` names a call and its caller, so that the master notices if the caller repeats it.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub id: RequestId,
    pub by: GrantId,
    /// The SHA-256 of the method and its arguments.
    pub body: [u8; 32],
}

/// The answers that are kept.
#[derive(Debug, Default)]
pub(in crate::decide) struct Requests {
    by_id: BTreeMap<RequestId, RequestRow>,
    /// The ids of the requests, in the order of their arrival.
    in_order: BTreeMap<u64, RequestId>,
    /// The places of each grant's answers in the order of arrival.
    of_grant: BTreeMap<GrantId, BTreeSet<u64>>,
    next: u64,
}

impl Requests {
    pub(in crate::decide) fn load(rows: Vec<RequestRow>) -> Requests {
        let mut requests = Requests::default();
        rows.into_iter().for_each(|row| requests.insert(row));
        requests
    }

    /// The earlier answer to this request, if there was one.
    pub(in crate::decide) fn answered(&self, request: &Request) -> Result<Option<Answer>, Refusal> {
        match self.by_id.get(&request.id) {
            None => Ok(None),
            Some(row) if row.body == request.body && row.by == request.by => Ok(Some(row.answer.clone())),
            Some(_) => Err(reused("this request id was used for another call")),
        }
    }

    /// Records an answer and keeps it. Old answers are removed.
    pub(in crate::decide) fn keep(&mut self, now: Time, request: Request, answer: Answer, to: &mut impl Recorder) {
        self.forget_old(now);
        let row = RequestRow { id: request.id, by: request.by, body: request.body, answer, time: now };
        to.record(Record::Request(row.clone()));
        self.insert(row);
    }

    fn insert(&mut self, row: RequestRow) {
        let own = self.of_grant.entry(row.by).or_default();
        own.insert(self.next);
        let over = if own.len() > KEPT_EACH { own.first().copied() } else { None };
        self.in_order.insert(self.next, row.id);
        self.by_id.insert(row.id, row);
        self.next += 1;
        over.into_iter().for_each(|place| self.remove(place));
    }

    fn forget_old(&mut self, now: Time) {
        while let Some((place, id)) = self.in_order.first_key_value() {
            let old = self.by_id.get(id).is_none_or(|row| now.since(row.time) > KEPT);
            if !old && self.in_order.len() <= KEPT_COUNT {
                return;
            }
            self.remove(*place);
        }
    }

    fn remove(&mut self, place: u64) {
        let Some(row) = self.in_order.remove(&place).and_then(|id| self.by_id.remove(&id)) else { return };
        if let Some(own) = self.of_grant.get_mut(&row.by) {
            own.remove(&place);
            if own.is_empty() {
                self.of_grant.remove(&row.by);
            }
        }
    }
}

/// Each kind of call reads its own kind of remembered answer. The body of a request names its method. So the answer is of another kind
/// only if two methods hash to the same value.
impl Answer {
    pub(in crate::decide) fn build(self) -> Result<BuildId, Refusal> {
        if let Answer::Build(id) = self { Ok(id) } else { Err(another_kind()) }
    }

    pub(in crate::decide) fn grant(self) -> Result<GrantId, Refusal> {
        if let Answer::Grant(id) = self { Ok(id) } else { Err(another_kind()) }
    }

    pub(in crate::decide) fn grants(self) -> Result<Vec<GrantId>, Refusal> {
        if let Answer::Grants(ids) = self { Ok(ids) } else { Err(another_kind()) }
    }
}

fn another_kind() -> Refusal {
    reused("this request id was used for a call of another kind")
}

fn reused(text: &str) -> Refusal {
    Refusal::new(RefusalCode::Conflict, text).help("draw a new id for each call")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Nowhere;

    impl Recorder for Nowhere {
        fn record(&mut self, _: Record) {}
    }

    fn request(of: u64, number: u64) -> Request {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&of.to_le_bytes());
        id[8..].copy_from_slice(&number.to_le_bytes());
        Request { id: RequestId(id), by: GrantId(of), body: [7; 32] }
    }

    /// Like point 3 of the hostile peers: somebody who makes a hundred thousand requests must not make the master forget its answers to
    /// others. Otherwise their repeated calls would take effect twice.
    #[test]
    fn nobody_drives_out_what_others_were_answered() {
        let (mut requests, now) = (Requests::default(), Time(1_000));
        requests.keep(now, request(1, 0), Answer::Grant(GrantId(9)), &mut Nowhere);
        for number in 0..KEPT_COUNT as u64 + 10 {
            requests.keep(now, request(2, number), Answer::Grant(GrantId(9)), &mut Nowhere);
        }
        assert!(requests.answered(&request(1, 0)).is_ok_and(|answer| answer.is_some()));
        assert!(requests.answered(&request(2, 0)).is_ok_and(|answer| answer.is_none()));
        assert!(requests.answered(&request(2, KEPT_COUNT as u64)).is_ok_and(|answer| answer.is_some()));
        assert_eq!((requests.by_id.len(), requests.in_order.len()), (KEPT_EACH + 1, KEPT_EACH + 1));
        // After a week, no answer is left.
        requests.keep(now.after(KEPT + KEPT), request(3, 0), Answer::Grant(GrantId(9)), &mut Nowhere);
        assert_eq!((requests.by_id.len(), requests.of_grant.len()), (1, 1));
    }
}
