//! The authority to ask for builds, and to stop them.

use super::build::BuildCapability;
use super::submitter_access::SubmitterAccess;
use super::try_sink::TrySink;
use super::{Holder, accept, branch, broken, no_build, no_project, refuse};
use crate::decide::coordinator::lane::{Lane, is_bad};
use crate::decide::coordinator::record::{Answer, BuildCause, BuildId, BuildRow, ClaimKey, ClaimRow, LaneClaim};
use crate::decide::coordinator::{CLAIM_LASTS, Past, chosen};
use crate::keep::store::PlannedBuild;
use schema::limits::{self, CLAIM_REASON, COMMIT, JOB, JOBS, PROJECT, REF, REVISION, TRY_COMMITS, TRY_PLATFORM, WHY};
use schema::perspective_capnp::{build, submitter};
use schema::values::{Refusal, RefusalCode, Right, ShortRef, State};
use schema::wire;
use std::rc::Rc;

pub(super) struct Submitter {
    pub(super) access: Rc<SubmitterAccess>,
    pub(super) holder: Holder,
}

impl submitter::Server for Submitter {
    async fn run(
        self: Rc<Self>,
        params: submitter::RunParams,
        mut results: submitter::RunResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let project = limits::text(params.get_project(), &PROJECT)?;
        let ref_name = limits::text(params.get_ref(), &REF)?;
        let revision = limits::text(params.get_revision(), &REVISION)?;
        accept!(results, self.holder.may(Right::Run, &project));
        let body: [&[u8]; 4] = [b"submitter.run", project.as_bytes(), ref_name.as_bytes(), revision.as_bytes()];
        let request = self.holder.request(params.get_request(), &body)?;
        let order = accept!(results, self.access.order(&self.holder, &project, &ref_name, &revision).await);
        let cause = BuildCause::Run { by: self.holder.name.clone() };
        let run = self.access.driver().call(|it, now| it.run(now, request, cause, order)).await;
        let id = accept!(results, run);
        let number = accept!(results, self.number(id).await?);
        results.get().set_number(number);
        results.get().set_build(self.build(id));
        Ok(())
    }

    async fn retry(
        self: Rc<Self>,
        params: submitter::RetryParams,
        mut results: submitter::RetryResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let (project, number) = (limits::text(params.get_project(), &PROJECT)?, params.get_number());
        let (jobs, failed) = (limits::texts(params.get_jobs(), &JOBS, &JOB)?, params.get_failed());
        accept!(results, self.holder.may(Right::Retry, &project));
        let number_bytes = number.to_le_bytes();
        let mut body: Vec<&[u8]> = vec![b"submitter.retry", project.as_bytes(), &number_bytes];
        body.push(if failed { b"failed" } else { b"all" });
        body.extend(jobs.iter().map(String::as_bytes));
        let request = self.holder.request(params.get_request(), &body)?;
        // A request that was answered before is not read again, because the old build may be gone meanwhile.
        let answered = accept!(results, self.access.driver().call(|it, _| it.answered(&request)).await);
        if let Some(Answer::Build(id)) = answered {
            let number = accept!(results, self.number(id).await?);
            results.get().set_number(number);
            results.get().set_build(self.build(id));
            return Ok(());
        }
        let past = match self.past(&project, number).await? {
            Ok(past) => past,
            Err(refusal) => refuse!(results, refusal),
        };
        let again = accept!(results, chosen(&past, &jobs, failed));
        let name = self.holder.name.clone();
        let retried = self.access.driver().call(|it, now| it.retry(now, request, &name, past, &again)).await;
        let id = accept!(results, retried);
        let number = accept!(results, self.number(id).await?);
        results.get().set_number(number);
        results.get().set_build(self.build(id));
        Ok(())
    }

    async fn cancel(
        self: Rc<Self>,
        params: submitter::CancelParams,
        mut results: submitter::CancelResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let (project, number) = (limits::text(params.get_project(), &PROJECT)?, params.get_number());
        let (job, reason) = (limits::text(params.get_job(), &JOB)?, limits::text(params.get_reason(), &WHY)?);
        accept!(results, self.holder.may(Right::Cancel, &project));
        let number_bytes = number.to_le_bytes();
        let body: [&[u8]; 4] = [b"submitter.cancel", project.as_bytes(), &number_bytes, job.as_bytes()];
        let request = self.holder.request(params.get_request(), &body)?;
        let Some(row) = self.row(&project, number).await? else { refuse!(results, no_build(&project, number)) };
        let why = match reason.as_str() {
            "" => format!("cancelled by {}", self.holder.name),
            reason => format!("cancelled by {}: {reason}", self.holder.name),
        };
        let only = (!job.is_empty()).then_some(job.as_str());
        let cancelled = self.access.driver().call(|it, now| it.cancel(now, request, row.id, only, &why)).await;
        accept!(results, cancelled);
        Ok(())
    }

    async fn begin_try(
        self: Rc<Self>,
        params: submitter::BeginTryParams,
        mut results: submitter::BeginTryResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let project = limits::text(params.get_project(), &PROJECT)?;
        let commits = limits::texts(params.get_commits(), &TRY_COMMITS, &COMMIT)?;
        accept!(results, self.holder.may(Right::Try, &project));
        let request = self.holder.request(params.get_request(), &[])?;
        let base = accept!(results, self.access.begin_try(&self.holder, request.id, &project, &commits).await);
        let mut results = results.get();
        results.set_base(base.unwrap_or_default());
        let key = (self.holder.grant, request.id);
        results.set_pack(capnp_rpc::new_client(TrySink { access: self.access.clone(), key }));
        Ok(())
    }

    async fn run_try(
        self: Rc<Self>,
        params: submitter::RunTryParams,
        mut results: submitter::RunTryResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let project = limits::text(params.get_project(), &PROJECT)?;
        let commit = limits::text(params.get_commit(), &COMMIT)?;
        let jobs = limits::texts(params.get_jobs(), &JOBS, &JOB)?;
        let platform = limits::text(params.get_platform(), &TRY_PLATFORM)?;
        accept!(results, self.holder.may(Right::Try, &project));
        let mut body: Vec<&[u8]> =
            vec![b"submitter.runTry", project.as_bytes(), commit.as_bytes(), platform.as_bytes()];
        body.extend(jobs.iter().map(String::as_bytes));
        let request = self.holder.request(params.get_request(), &body)?;
        let key = (self.holder.grant, request.id);
        // A request that was answered before needs no pack.
        let answered = accept!(results, self.access.driver().call(|it, _| it.answered(&request)).await);
        let id = match answered {
            Some(Answer::Build(id)) => id,
            _ => {
                let order = accept!(results, self.access.take_try(&self.holder, key, &project, &commit).await);
                let cause = BuildCause::Try { by: self.holder.name.clone(), jobs, platform, again: 0 };
                accept!(results, self.access.driver().call(|it, now| it.run(now, request, cause, order)).await)
            }
        };
        self.access.tries().remove(key);
        let number = accept!(results, self.number(id).await?);
        results.get().set_number(number);
        results.get().set_build(self.build(id));
        Ok(())
    }

    async fn claim(
        self: Rc<Self>,
        params: submitter::ClaimParams,
        mut results: submitter::ClaimResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let project = limits::text(params.get_project(), &PROJECT)?;
        let (ref_name, job) = (limits::text(params.get_ref(), &REF)?, limits::text(params.get_job(), &JOB)?);
        let (until, reason) = (params.get_until(), limits::text(params.get_reason(), &CLAIM_REASON)?);
        accept!(results, self.holder.may(Right::Retry, &project));
        let until_bytes = until.to_le_bytes();
        let place = [project.as_bytes(), ref_name.as_bytes(), job.as_bytes()];
        let body = [b"submitter.claim".as_slice(), place[0], place[1], place[2], &until_bytes, reason.as_bytes()];
        let request = self.holder.request(params.get_request(), &body)?;
        // A request that was answered before is not judged again, because the job may be good meanwhile.
        if accept!(results, self.access.driver().call(|it, _| it.answered(&request)).await).is_some() {
            return Ok(());
        }
        let (key, red) = accept!(results, self.red_lane(&project, &ref_name, &job).await?);
        let (name, lane) = (self.holder.name.clone(), key.clone());
        let claimed = self.access.driver().call(|it, now| {
            let until = if until == 0 { now.after(CLAIM_LASTS) } else { wire::read_time(until) };
            it.claim(now, request, ClaimRow { key, claim: LaneClaim { name, since: now, until, reason, red } })
        });
        accept!(results, claimed.await);
        accept!(results, self.look_again(&lane).await?);
        Ok(())
    }

    async fn release_claim(
        self: Rc<Self>,
        params: submitter::ReleaseClaimParams,
        mut results: submitter::ReleaseClaimResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let project = limits::text(params.get_project(), &PROJECT)?;
        let (ref_name, job) = (limits::text(params.get_ref(), &REF)?, limits::text(params.get_job(), &JOB)?);
        accept!(results, self.holder.may(Right::Retry, &project));
        let place = [project.as_bytes(), ref_name.as_bytes(), job.as_bytes()];
        let body = [b"submitter.releaseClaim".as_slice(), place[0], place[1], place[2]];
        let request = self.holder.request(params.get_request(), &body)?;
        let keys = accept!(results, self.claim_keys(&project, &ref_name, &job));
        let name = self.holder.name.clone();
        let released = self.access.driver().call(|it, now| it.release_claim(now, request, &keys, &name)).await;
        accept!(results, released);
        Ok(())
    }
}

impl Submitter {
    /// Returns the key of a lane, and the newest update for which its present failure is known. Refuses a lane that is not red.
    async fn red_lane(
        &self,
        project: &str,
        ref_name: &str,
        job: &str,
    ) -> capnp::Result<Result<(ClaimKey, u32), Refusal>> {
        let (key, lane) = match self.lane(project, ref_name, job).await? {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let red = lane.results.iter().filter(|result| is_bad(result.outcome)).map(|result| result.update).max();
        Ok(match lane.first_bad() {
            Some(_) => Ok((key, red.unwrap_or(lane.earlier.until.0))),
            None => {
                let text = format!("{job} of {} is not red", ShortRef::of(&key.ref_name).name());
                Err(Refusal::new(RefusalCode::Conflict, text).help("`guild status` shows what fails"))
            }
        })
    }

    /// Ends a claim whose lane became good after the look at it, because no later result need come that would end it.
    async fn look_again(&self, key: &ClaimKey) -> capnp::Result<Result<(), Refusal>> {
        let found = self.lane(&key.project, &key.ref_name, &key.job).await?;
        match found.ok().and_then(|(_, lane)| lane.last().cloned()) {
            Some(newest) => Ok(self.access.driver().apply(|it, now| it.note_claimed(now, key, &newest)).await),
            None => Ok(Ok(())),
        }
    }

    /// Returns the keys that a claim may have, in the order in which they are looked for. The job may be gone from the plan, and the builds
    /// of the branch from the store.
    fn claim_keys(&self, project: &str, ref_name: &str, job: &str) -> Result<Vec<ClaimKey>, Refusal> {
        let repository = self.access.viewer().repository(project).ok_or_else(|| no_project(project))?;
        let refs = branch::candidates(&repository, ref_name).into_iter();
        let key = |ref_name| ClaimKey { project: project.to_owned(), ref_name, job: job.to_owned() };
        Ok(refs.map(key).collect())
    }

    /// Returns the lane of a job of the newest plan of a ref.
    async fn lane(&self, project: &str, ref_name: &str, job: &str) -> capnp::Result<Result<(ClaimKey, Lane), Refusal>> {
        let Some(repository) = self.access.viewer().repository(project) else { return Ok(Err(no_project(project))) };
        let reading = self.access.viewer().history(&self.holder);
        let (ref_name, state) = match branch::look(&reading, &repository, ref_name).await.map_err(broken)? {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let missing = format!("{} of {project} has no job `{job}`", ShortRef::of(&ref_name).name());
        let lane = state.lanes.into_iter().find(|(name, _)| name == job).map(|(_, lane)| lane);
        let key = ClaimKey { project: project.to_owned(), ref_name, job: job.to_owned() };
        Ok(lane.map(|lane| (key, lane)).ok_or_else(|| Refusal::new(RefusalCode::NotFound, missing)))
    }

    fn build(&self, id: BuildId) -> build::Client {
        capnp_rpc::new_client(BuildCapability { access: self.access.viewer().clone(), holder: self.holder.clone(), id })
    }

    async fn row(&self, project: &str, number: u32) -> capnp::Result<Option<BuildRow>> {
        self.access.viewer().history(&self.holder).build(project, number).await.map_err(broken)
    }

    async fn number(&self, id: BuildId) -> capnp::Result<Result<u32, Refusal>> {
        if let Some(number) = self.access.driver().peek(|it, _| it.open_build_row(id).map(|row| row.number)) {
            return Ok(Ok(number));
        }
        let row = self.access.viewer().history(&self.holder).build_by_id(id).await.map_err(broken)?;
        Ok(row.map(|row| row.number).ok_or_else(|| {
            let text = "the build that this request made is no longer kept";
            Refusal::new(RefusalCode::NotFound, text).help("send a new request to make another build")
        }))
    }

    async fn past(&self, project: &str, number: u32) -> capnp::Result<Result<Past, Refusal>> {
        let removals = self.access.driver().peek(|it, _| it.removals());
        let read = self.access.viewer().history(&self.holder).planned_build(project, number).await;
        let Some(PlannedBuild { build: row, plan, jobs }) = read.map_err(broken)? else {
            return Ok(Err(no_build(project, number)));
        };
        if row.state != State::Finished {
            let text = format!("build {project}/{number} is not finished");
            return Ok(Err(Refusal::new(RefusalCode::Conflict, text).help("cancel it first, or wait for its end")));
        }
        let conflict =
            |why: String| Refusal::new(RefusalCode::Conflict, why).help("`guild run` reads the pipeline again");
        Ok(match plan {
            Ok(Some(plan)) => Ok(Past { row, plan, jobs, removals }),
            Ok(None) => Err(conflict(format!("build {project}/{number} has no plan to repeat"))),
            Err(error) => Err(conflict(format!("build {project}/{number} cannot be repeated: {error}"))),
        })
    }
}
