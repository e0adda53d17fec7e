//! Commands that a caller may repeat. Each is done once, and a repetition gets the same answer.

use super::Coordinator;
use super::record::Answer;
use super::requests::Request;
use schema::values::{Refusal, Time};

impl Coordinator {
    /// Runs `command`, unless this request was answered before. In that case, returns the same answer. A refusal is not kept.
    pub(in crate::decide) fn once(
        &mut self,
        now: Time,
        request: Request,
        command: impl FnOnce(&mut Coordinator) -> Result<Answer, Refusal>,
    ) -> Result<Answer, Refusal> {
        if let Some(answer) = self.answered(&request)? {
            return Ok(answer);
        }
        let answer = command(self)?;
        self.requests.keep(now, request, answer.clone(), &mut self.effects);
        Ok(answer)
    }

    /// The earlier answer to this request, if there was one.
    pub fn answered(&self, request: &Request) -> Result<Option<Answer>, Refusal> {
        self.requests.answered(request)
    }
}
