//! The authority to look at one build.

use super::detail::detail;
use super::explain::{explain, write_explanation};
use super::failed_tests;
use super::room::{build_bytes, fit};
use super::sink::read_hash;
use super::view::{write_build, write_jobs};
use super::viewer_access::ViewerAccess;
use super::{Holder, accept, bounded, broken, refuse};
use crate::decide::coordinator::record::{BuildId, StepKey, UploadKey};
use crate::explain::Why;
use crate::keep::blobs::BlobHash;
use crate::keep::bytes::Seal;
use crate::keep::store::{LoggedJob, NOT_KEPT};
use schema::limits::{self, ANSWER_BYTES, BLAKE3, JOB};
use schema::perspective_capnp::build;
use schema::values::{Refusal, RefusalCode, State, originals_name};
use schema::wire;
use std::rc::Rc;

pub(super) struct BuildCapability {
    pub(super) access: Rc<ViewerAccess>,
    /// The holder for whom the build is shown.
    pub(super) holder: Holder,
    pub(super) id: BuildId,
}

impl build::Server for BuildCapability {
    async fn view(self: Rc<Self>, _: build::ViewParams, mut results: build::ViewResults) -> capnp::Result<()> {
        let read = self.access.history(&self.holder).detail(self.id).await.map_err(broken)?;
        let (mut row, plan, jobs) = read.ok_or_else(gone)?;
        if row.state == State::Planning && self.access.state().peek(|it, _| it.is_held(&row.project)) {
            row.diagnosis = Why::Restored(row.project.clone()).text();
        }
        let mut jobs = detail(self.access.state(), &row, plan.as_ref(), jobs);
        let revision = row.stamp.sources.first().map(|source| source.revision.as_str()).unwrap_or_default();
        let commit_url = self.access.commit_url(&row.project, revision);
        fit(&mut jobs, ANSWER_BYTES.saturating_sub(build_bytes(&row, &row.diagnosis) + commit_url.len()));
        let mut view = results.get().init_view();
        write_build(view.reborrow(), &row, &row.diagnosis);
        view.set_commit_url(commit_url);
        write_jobs(view, &jobs);
        Ok(())
    }

    async fn outcome(self: Rc<Self>, _: build::OutcomeParams, mut results: build::OutcomeResults) -> capnp::Result<()> {
        let id = self.id;
        // An error means that the build was not open at the time of the call, so history knows its outcome.
        let _ = self.access.state().finish_of(id).await;
        self.access.state().settled().await.map_err(|refusal| capnp::Error::overloaded(refusal.text))?;
        let row = self.access.history(&self.holder).build_by_id(id).await.map_err(broken)?;
        let outcome = row.ok_or_else(gone)?.outcome;
        results.get().set_outcome(wire::outcome_to_wire(outcome));
        Ok(())
    }

    async fn log(self: Rc<Self>, params: build::LogParams, mut results: build::LogResults) -> capnp::Result<()> {
        let params = params.get()?;
        let (job, attempt, step) = (limits::text(params.get_job(), &JOB)?, params.get_attempt(), params.get_step());
        if step == 0 {
            refuse!(results, Refusal::new(RefusalCode::Invalid, "steps are counted from 1"));
        }
        match self.step_key(job, attempt, step - 1).await? {
            Ok(key) => {
                results.get().set_reader(self.access.log(&self.holder, key));
                Ok(())
            }
            Err(refusal) => refuse!(results, refusal),
        }
    }

    async fn explain(
        self: Rc<Self>,
        params: build::ExplainParams,
        mut results: build::ExplainResults,
    ) -> capnp::Result<()> {
        let job = limits::text(params.get()?.get_job(), &JOB)?;
        let explained = accept!(results, explain(&self.access, &self.holder, self.id, job).await?);
        write_explanation(results.get().init_explanation(), &explained);
        Ok(())
    }

    async fn blob(self: Rc<Self>, params: build::BlobParams, mut results: build::BlobResults) -> capnp::Result<()> {
        let hash = accept!(results, bounded(limits::data(params.get()?.get_blake3(), &BLAKE3))?);
        let hash = accept!(results, read_hash(hash));
        let seal = accept!(results, self.find_blob(hash).await?);
        results.get().set_source(self.access.blob(&self.holder, seal));
        Ok(())
    }

    async fn reports(
        self: Rc<Self>,
        params: build::ReportsParams,
        mut results: build::ReportsResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let (job, attempt, step) = (limits::text(params.get_job(), &JOB)?, params.get_attempt(), params.get_step());
        let zero = || Refusal::new(RefusalCode::Invalid, "steps are counted from 1");
        let step = accept!(results, step.checked_sub(1).ok_or_else(zero));
        let StepKey { job, attempt, step } = accept!(results, self.step_key(job, attempt, step).await?);
        let key = UploadKey { job, attempt, name: originals_name(step), ..UploadKey::default() };
        let found = self.access.history(&self.holder).sealed_upload(key).await.map_err(broken)?;
        let none = || Refusal::new(RefusalCode::NotFound, format!("no test reports are kept of step {}", step + 1));
        let seal = accept!(results, found.ok_or_else(none));
        results.get().set_source(self.access.blob(&self.holder, seal));
        Ok(())
    }

    async fn change(self: Rc<Self>, _: build::ChangeParams, mut results: build::ChangeResults) -> capnp::Result<()> {
        let found = self.access.history(&self.holder).change_of(self.id).await.map_err(broken)?;
        let asked_for =
            || Refusal::new(RefusalCode::NotFound, "no update of a ref made this build, because somebody asked for it");
        let change = accept!(results, found.ok_or_else(asked_for));
        wire::write_change(results.get().init_change(), &change);
        Ok(())
    }

    async fn tests(self: Rc<Self>, params: build::TestsParams, mut results: build::TestsResults) -> capnp::Result<()> {
        let params = params.get()?;
        let (job, skip) = (limits::text(params.get_job(), &JOB)?, params.get_skip() as usize);
        let found = self.access.history(&self.holder).logged_job(self.id, &job).await.map_err(broken)?;
        let missing = || Refusal::new(RefusalCode::NotFound, format!("the build has no job `{job}`"));
        let row = accept!(results, found.job.ok_or_else(missing));
        let (tests, count) = failed_tests::of_job(&self.access, &self.holder, &row, skip).await?;
        let mut to = results.get();
        to.set_count(count);
        failed_tests::write(to.init_tests(wire::length(tests.len())), &tests);
        Ok(())
    }
}

impl BuildCapability {
    /// Finds a blob to which an attempt of this build refers.
    async fn find_blob(&self, hash: BlobHash) -> capnp::Result<Result<Seal, Refusal>> {
        let found = self.access.history(&self.holder).blob_of(self.id, hash).await.map_err(broken)?;
        let missing = || Refusal::new(RefusalCode::NotFound, "no attempt of this build stored bytes with this BLAKE3");
        Ok(found.ok_or_else(missing))
    }

    /// Finds the attempt that has the bytes of a step. If the job was carried over, that attempt belongs to the build in which the job
    /// ran.
    async fn step_key(&self, job: String, attempt: u16, step: u16) -> capnp::Result<Result<StepKey, Refusal>> {
        let found = self.access.history(&self.holder).logged_job(self.id, &job).await;
        let not_found = |text| Ok(Err(Refusal::new(RefusalCode::NotFound, text)));
        let row = match found.map_err(broken)? {
            LoggedJob { removed: Some(why), .. } => return Ok(Err(removed(why))),
            LoggedJob { job: None, removed: None } => return not_found(format!("the build has no job `{job}`")),
            LoggedJob { job: Some(row), removed: None } => row,
        };
        match if attempt == 0 { row.attempt } else { attempt } {
            0 => not_found(format!("job {job} has not started yet")),
            attempt => Ok(Ok(StepKey { job: row.key, attempt, step })),
        }
    }
}

fn removed(why: String) -> Refusal {
    Refusal::new(RefusalCode::NotFound, why).help("`limits.retain` of the master file says what is kept")
}

fn gone() -> capnp::Error {
    capnp::Error::failed(format!("notFound: {}", NOT_KEPT))
}
