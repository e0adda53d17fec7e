//! Exactly once: what a mutating call was answered is kept with its request id, in the transaction of its effect.

use super::Coordinator;
use super::model::Effect;
use super::model::Effects;
use super::record::{Answer, BuildId, GrantId, Record, RequestId, RequestRow};
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

#[derive(Debug, Default)]
pub(super) struct Requests {
    by_id: BTreeMap<RequestId, RequestRow>,
    in_order: VecDeque<RequestId>,
}

impl Requests {
    pub(super) fn load(rows: Vec<RequestRow>) -> Requests {
        let mut requests = Requests::default();
        rows.into_iter().for_each(|row| requests.insert(row));
        requests
    }

    /// Records an answer, and keeps it.
    fn keep(&mut self, effects: &mut Effects, row: RequestRow) {
        effects.push_back(Effect::Record(Record::Request(row.clone())));
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
    pub(super) fn build(self) -> Result<BuildId, Refusal> {
        if let Answer::Build(id) = self { Ok(id) } else { Err(another_kind()) }
    }

    pub(super) fn grant(self) -> Result<GrantId, Refusal> {
        if let Answer::Grant(id) = self { Ok(id) } else { Err(another_kind()) }
    }

    pub(super) fn grants(self) -> Result<Vec<GrantId>, Refusal> {
        if let Answer::Grants(ids) = self { Ok(ids) } else { Err(another_kind()) }
    }
}

impl Coordinator {
    /// Runs `command` unless this request was answered before; then answers the same. A refusal is not kept.
    pub(super) fn once(
        &mut self,
        now: Time,
        request: Request,
        command: impl FnOnce(&mut Coordinator) -> Result<Answer, Refusal>,
    ) -> Result<Answer, Refusal> {
        if let Some(answer) = self.answered(&request)? {
            return Ok(answer);
        }
        let answer = command(self)?;
        let row = RequestRow { id: request.id, by: request.by, body: request.body, answer: answer.clone(), time: now };
        self.requests.forget_old(now);
        self.requests.keep(&mut self.effects, row);
        Ok(answer)
    }

    /// Notes that what a delivery told of was done.
    pub fn note_delivery(&mut self, now: Time, request: Request) -> Result<(), Refusal> {
        self.once(now, request, |_| Ok(Answer::Done)).map(|_| ())
    }

    /// What this request was answered before, if it was.
    pub fn answered(&self, request: &Request) -> Result<Option<Answer>, Refusal> {
        match self.requests.by_id.get(&request.id) {
            None => Ok(None),
            Some(row) if row.body == request.body && row.by == request.by => Ok(Some(row.answer.clone())),
            Some(_) => Err(reused("this request id was used for another call")),
        }
    }
}

fn another_kind() -> Refusal {
    reused("this request id was used for a call of another kind")
}

fn reused(text: &str) -> Refusal {
    Refusal::new(RefusalCode::Conflict, text).help("draw a new id for each call")
}
