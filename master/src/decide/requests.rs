//! Exactly once: what a mutating call was answered is kept with its request id, in the transaction of its effect.

use super::records::{Answer, BuildId, GrantId, Record, Recorder, RequestId, RequestRow};
use schema::values::{Refusal, RefusalCode, Time};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// How long an answer is kept, as `common.capnp` promises.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// At most so many answers are kept; the oldest go first.
const KEPT_COUNT: usize = 100_000;

/// Who asks for what, named so that asking again is noticed.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub id: RequestId,
    pub by: GrantId,
    /// SHA-256 of the method and its arguments.
    pub body: [u8; 32],
}

/// The answers that are kept.
#[derive(Debug, Default)]
pub(in crate::decide) struct Requests {
    by_id: BTreeMap<RequestId, RequestRow>,
    in_order: VecDeque<RequestId>,
}

impl Requests {
    pub(in crate::decide) fn load(rows: Vec<RequestRow>) -> Requests {
        let mut requests = Requests::default();
        rows.into_iter().for_each(|row| requests.insert(row));
        requests
    }

    /// What this request was answered before, if it was.
    pub(in crate::decide) fn answered(&self, request: &Request) -> Result<Option<Answer>, Refusal> {
        match self.by_id.get(&request.id) {
            None => Ok(None),
            Some(row) if row.body == request.body && row.by == request.by => Ok(Some(row.answer.clone())),
            Some(_) => Err(reused("this request id was used for another call")),
        }
    }

    /// Records an answer and keeps it. Old ones go.
    pub(in crate::decide) fn keep(&mut self, now: Time, request: Request, answer: Answer, to: &mut impl Recorder) {
        self.forget_old(now);
        let row = RequestRow { id: request.id, by: request.by, body: request.body, answer, time: now };
        to.record(Record::Request(row.clone()));
        self.insert(row);
    }

    fn insert(&mut self, row: RequestRow) {
        self.in_order.push_back(row.id);
        self.by_id.insert(row.id, row);
    }

    fn forget_old(&mut self, now: Time) {
        while let Some(id) = self.in_order.front() {
            let old = self.by_id.get(id).is_none_or(|row| now.since(row.time) > KEPT);
            if !old && self.in_order.len() <= KEPT_COUNT {
                return;
            }
            self.by_id.remove(id);
            self.in_order.pop_front();
        }
    }
}

/// What the kinds of calls read out of a remembered answer. The body of a request names its method, so the answer is of another
/// kind only where two methods hash to the same.
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
