//! The calls that keep the removal and the retry of a finished build apart, so that a build is not removed while it is retried.

use crate::decide::coordinator::Coordinator;
use crate::decide::coordinator::record::BuildId;

impl Coordinator {
    /// The number of times that a finished build was retried since the start of the master.
    pub fn retries(&self) -> u64 {
        self.retry_guard.retries()
    }

    /// The number of removals that have ended since the start. Read it before you read a finished build in order to retry it.
    pub fn removals(&self) -> u64 {
        self.retry_guard.removals()
    }

    /// Begins to remove builds that were chosen when this number of retries had been made. Returns the builds that may be removed now.
    /// There is one removal at a time, and [`Coordinator::end_removal`] ends it.
    pub fn begin_removal(&mut self, retries: u64, builds: Vec<BuildId>) -> Vec<BuildId> {
        let finished = builds.into_iter().filter(|build| !self.builds.contains_key(build)).collect();
        self.retry_guard.begin_removal(retries, finished)
    }

    /// Ends the removal, whether it was committed or abandoned.
    pub fn end_removal(&mut self) {
        self.retry_guard.end_removal();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::coordinator::record::{BuildCause, BuildRow, GrantId, Loaded, RequestId};
    use crate::decide::coordinator::{Order, Origin, Past, Request, Terms};
    use schema::values::{Commit, JobPlan, Outcome, Plan, RefusalCode, SourceStamp, State, Time, Trust};

    const NOW: Time = Time(1_000);

    fn coordinator() -> Coordinator {
        Coordinator::load(NOW, Terms::default(), Loaded::default(), [0; 32])
    }

    fn request(id: u8) -> Request {
        Request { id: RequestId([id; 16]), by: GrantId(1), body: [0; 32] }
    }

    /// A finished build as it was read when `removals` removals had ended.
    fn past(id: u64, removals: u64) -> Past {
        let row = BuildRow {
            id: BuildId(id),
            project: "p".to_owned(),
            number: 1,
            stamp: SourceStamp::default(),
            cause: BuildCause::Change,
            trust: Trust::Trusted,
            state: State::Finished,
            outcome: Some(Outcome::Failed),
            created: NOW,
            started: None,
            finished: Some(NOW),
            subject: String::new(),
            author: String::new(),
            diagnosis: String::new(),
            job_count: 1,
            by: GrantId(1),
            update: 0,
        };
        let job = JobPlan { name: "j".to_owned(), ..JobPlan::default() };
        Past { row, plan: Plan { version: 1, jobs: vec![job], trust: Trust::Trusted }, jobs: Vec::new(), removals }
    }

    fn retry(it: &mut Coordinator, id: u8, past: Past) -> Result<BuildId, RefusalCode> {
        it.retry(NOW, request(id), "somebody", past, &[0]).map_err(|refusal| refusal.code)
    }

    #[test]
    fn what_was_read_before_a_removal_is_not_retried() {
        let mut it = coordinator();
        let (read, going) = (it.removals(), vec![BuildId(77)]);
        assert_eq!(it.begin_removal(it.retries(), going.clone()), going);
        assert_eq!(retry(&mut it, 1, past(77, read)), Err(RefusalCode::Unavailable), "it is going");
        assert!(retry(&mut it, 2, past(78, read)).is_ok(), "another one stays");
        it.end_removal();
        assert_eq!(retry(&mut it, 1, past(77, read)), Err(RefusalCode::Unavailable), "it was read before it went");
        let read = it.removals();
        assert!(retry(&mut it, 1, past(78, read)).is_ok(), "a refusal is not remembered");
    }

    #[test]
    fn what_was_chosen_before_a_retry_is_not_removed() {
        let mut it = coordinator();
        let chosen = it.retries();
        retry(&mut it, 1, past(77, 0)).unwrap();
        assert_eq!(it.begin_removal(chosen, vec![BuildId(77)]), []);
        it.end_removal();
        assert_eq!(it.removals(), 0, "nothing went");
        assert_eq!(it.begin_removal(it.retries(), vec![BuildId(78)]), [BuildId(78)]);
    }

    #[test]
    fn an_open_build_is_not_removed() {
        let mut it = coordinator();
        let order = Order {
            project: "p".to_owned(),
            stamp: SourceStamp::default(),
            tip: Commit::default(),
            by: GrantId(1),
            origin: Origin::Tip { since: u32::MAX },
        };
        let open = it.run(NOW, request(1), BuildCause::Run { by: "somebody".to_owned() }, order).unwrap();
        assert_eq!(it.begin_removal(it.retries(), vec![open, BuildId(99)]), [BuildId(99)]);
    }
}
