//! Steering: asks for builds, repeats and cancels them, and tells the master of changes. Each needs its own right.

use crate::error::Error;
use crate::guild::{Guild, new_request};
use schema::values::Time;
use schema::wire::{length, refusal, time, write_texts};

/// The jobs of a build that a retry repeats. The others are carried over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Again {
    /// All jobs of the build.
    All,
    /// The jobs that did not succeed.
    Failed,
    /// The jobs of these names, with their cells, and the jobs that need them.
    Jobs(Vec<String>),
}

impl Guild {
    /// Asks for a build of the commit `revision`, or if that is empty, of the tip of `ref_name`. If both are empty, the master builds
    /// its default branch. Returns the build's number.
    pub async fn run(&self, project: &str, ref_name: &str, revision: &str) -> Result<u32, Error> {
        let id = new_request();
        self.call(async |link| {
            let mut request = link.submitter().await?.run_request();
            let mut ask = request.get();
            ask.set_request(&id);
            ask.set_project(project);
            ask.set_ref(ref_name);
            ask.set_revision(revision);
            let answer = request.send().promise.await?;
            let answer = answer.get()?;
            done(answer.has_refusal(), answer.get_refusal())?;
            Ok(answer.get_number())
        })
        .await
    }

    /// Makes a new build that repeats the jobs `again` of this one, and returns the new build's number.
    pub async fn retry(&self, project: &str, number: u32, again: &Again) -> Result<u32, Error> {
        let id = new_request();
        self.call(async |link| {
            let mut request = link.submitter().await?.retry_request();
            let mut ask = request.get();
            ask.set_request(&id);
            ask.set_project(project);
            ask.set_number(number);
            ask.set_failed(*again == Again::Failed);
            if let Again::Jobs(jobs) = again {
                write_texts(ask.init_jobs(length(jobs.len())), jobs);
            }
            let answer = request.send().promise.await?;
            let answer = answer.get()?;
            done(answer.has_refusal(), answer.get_refusal())?;
            Ok(answer.get_number())
        })
        .await
    }

    /// Cancels the whole build, or one job if `job` is not empty. People see the reason with it.
    pub async fn cancel(&self, project: &str, number: u32, job: &str, reason: &str) -> Result<(), Error> {
        let id = new_request();
        self.call(async |link| {
            let mut request = link.submitter().await?.cancel_request();
            let mut ask = request.get();
            ask.set_request(&id);
            ask.set_project(project);
            ask.set_number(number);
            ask.set_job(job);
            ask.set_reason(reason);
            let answer = request.send().promise.await?;
            let answer = answer.get()?;
            done(answer.has_refusal(), answer.get_refusal())
        })
        .await
    }

    /// Says that the holder of the credential looks after a red job of a branch, with a reason. The claim ends when the job is good again,
    /// and at `until` at the latest. `None` means in 90 days.
    pub async fn claim(
        &self,
        project: &str,
        ref_name: &str,
        job: &str,
        until: Option<Time>,
        reason: &str,
    ) -> Result<(), Error> {
        let id = new_request();
        self.call(async |link| {
            let mut request = link.submitter().await?.claim_request();
            let mut ask = request.get();
            ask.set_request(&id);
            ask.set_project(project);
            ask.set_ref(ref_name);
            ask.set_job(job);
            ask.set_until(until.map_or(0, end));
            ask.set_reason(reason);
            let answer = request.send().promise.await?;
            let answer = answer.get()?;
            done(answer.has_refusal(), answer.get_refusal())
        })
        .await
        .map_err(|error| error.about("the claim"))
    }

    /// Ends the claim of a job of a branch, whoever made it.
    pub async fn release_claim(&self, project: &str, ref_name: &str, job: &str) -> Result<(), Error> {
        let id = new_request();
        self.call(async |link| {
            let mut request = link.submitter().await?.release_claim_request();
            let mut ask = request.get();
            ask.set_request(&id);
            ask.set_project(project);
            ask.set_ref(ref_name);
            ask.set_job(job);
            let answer = request.send().promise.await?;
            let answer = answer.get()?;
            done(answer.has_refusal(), answer.get_refusal())
        })
        .await
        .map_err(|error| error.about("the claim"))
    }

    /// Makes the master look at a ref now, or at all refs if `ref_name` is empty. Returns the number of the build for the ref's tip, or
    /// 0 if there is none.
    pub async fn notify(&self, project: &str, ref_name: &str) -> Result<u32, Error> {
        let id = new_request();
        self.call(async |link| {
            let mut request = link.changes().await?.submit_request();
            let mut ask = request.get();
            ask.set_request(&id);
            ask.set_project(project);
            ask.set_ref(ref_name);
            let answer = request.send().promise.await?;
            let answer = answer.get()?;
            done(answer.has_refusal(), answer.get_refusal())?;
            Ok(answer.get_build())
        })
        .await
    }
}

/// Returns the end of a claim as it is sent. 0 would mean no end, so that the master would not refuse a claim that ended in 1970.
fn end(until: Time) -> i64 {
    time(until).max(1)
}

/// Returns the refusal of an answer as an error, if there is one.
pub(crate) fn done(present: bool, from: capnp::Result<schema::common_capnp::refusal::Reader<'_>>) -> Result<(), Error> {
    match refusal(present, from)? {
        Some(refusal) => Err(refusal.into()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_in_1970_is_an_end() {
        assert_eq!((end(Time(0)), end(Time(7)), end(Time(u64::MAX))), (1, 7, i64::MAX));
    }
}
