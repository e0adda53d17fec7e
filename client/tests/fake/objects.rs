//! The objects that the played master serves.

use super::World;
use client::views::{BuildView, JobView, TestView};
use schema::event_capnp::{event_source, observer, subscription};
use schema::gateway_capnp::gateway;
use schema::grant_capnp::{grant, operator};
use schema::limits::{self, JOB, JOBS, TEST_SEARCH, TESTS_TOLD};
use schema::log_capnp::log_reader;
use schema::perspective_capnp::{build, build_view, job_view, perspective, submitter, test_view, viewer};
use schema::values::{Cursor, Filter, GrantKind, Refusal, RefusalCode, Right, State, Time, What};
use schema::wire::{
    kind_to_enum, length, outcome_to_wire, read_cursor, read_filter, state_to_wire, write_cursor, write_event,
    write_exit, write_refusal, write_texts, write_what,
};
use sha2::{Digest as _, Sha256};
use std::rc::Rc;

const INCARNATION: u64 = 7;

struct Served(Rc<World>);

struct ServedBuild {
    world: Rc<World>,
    number: u32,
}

struct ServedLog {
    world: Rc<World>,
    key: (u32, String, u16),
}

struct Following(tokio::task::AbortHandle);

pub(super) fn gateway(world: &Rc<World>) -> capnp::capability::Client {
    capnp_rpc::new_client::<gateway::Client, _>(Served(world.clone())).client
}

fn refusal(code: RefusalCode, text: &str) -> Refusal {
    Refusal::new(code, text).help("the way out")
}

fn sha(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

impl schema::common_capnp::pulse::Server for Served {
    async fn ping(
        self: Rc<Self>,
        _: schema::common_capnp::pulse::PingParams,
        _: schema::common_capnp::pulse::PingResults,
    ) -> capnp::Result<()> {
        Ok(())
    }
}

impl gateway::Server for Served {
    async fn restore(
        self: Rc<Self>,
        params: gateway::RestoreParams,
        mut results: gateway::RestoreResults,
    ) -> capnp::Result<()> {
        if !self.0.facts.borrow().tokens.contains(&sha(params.get()?.get_token()?)) {
            write_refusal(results.get().init_refusal(), &refusal(RefusalCode::Unknown, "no such credential here"));
            return Ok(());
        }
        let perspective = capnp_rpc::new_client::<perspective::Client, _>(Served(self.0.clone()));
        results.get().set_version(1);
        results.get().init_capability().set_as_capability(perspective.client.hook);
        Ok(())
    }

    async fn redeem(
        self: Rc<Self>,
        params: gateway::RedeemParams,
        mut results: gateway::RedeemResults,
    ) -> capnp::Result<()> {
        let (join, token) = (sha(params.get()?.get_join()?), sha(params.get()?.get_token()?));
        let refused = {
            let mut facts = self.0.facts.borrow_mut();
            match (facts.join == Some(join), facts.redeemed) {
                (false, _) => Some(refusal(RefusalCode::Unknown, "no such join here")),
                (true, Some(before)) if before != token => Some(refusal(RefusalCode::Conflict, "redeemed already")),
                (true, _) => {
                    facts.redeemed = Some(token);
                    facts.tokens.push(token);
                    None
                }
            }
        };
        if let Some(refused) = refused {
            write_refusal(results.get().init_refusal(), &refused);
            return Ok(());
        }
        if std::mem::take(&mut self.0.facts.borrow_mut().cut_after_redeem) {
            self.0.cut();
            std::future::pending::<()>().await;
        }
        results.get().set_name("me");
        results.get().set_kind("user");
        Ok(())
    }
}

fn write_grant(mut to: grant::Builder<'_>, more: Option<Right>) {
    to.set_id(3);
    to.set_parent(1);
    to.set_kind(kind_to_enum(GrantKind::User));
    to.set_name("me");
    to.set_created(1_700_000_000_000);
    let may = [Right::View, Right::Run].into_iter().chain(more).collect();
    let what = What { may, projects: ["r".to_owned()].into(), ..What::default() };
    write_what(to.init_what(), &what);
}

impl perspective::Server for Served {
    async fn whoami(
        self: Rc<Self>,
        _: perspective::WhoamiParams,
        mut results: perspective::WhoamiResults,
    ) -> capnp::Result<()> {
        let operates = !self.0.facts.borrow().findings.is_empty();
        write_grant(results.get().init_grant(), operates.then_some(Right::Operate));
        results.get().set_master("the test");
        results.get().set_incarnation(INCARNATION);
        Ok(())
    }

    async fn viewer(
        self: Rc<Self>,
        _: perspective::ViewerParams,
        mut results: perspective::ViewerResults,
    ) -> capnp::Result<()> {
        results.get().set_viewer(capnp_rpc::new_client(Served(self.0.clone())));
        Ok(())
    }

    async fn submitter(
        self: Rc<Self>,
        _: perspective::SubmitterParams,
        mut results: perspective::SubmitterResults,
    ) -> capnp::Result<()> {
        results.get().set_submitter(capnp_rpc::new_client(Served(self.0.clone())));
        Ok(())
    }

    /// Answers with a null capability, because the grant does not have this one.
    async fn changes(
        self: Rc<Self>,
        _: perspective::ChangesParams,
        _: perspective::ChangesResults,
    ) -> capnp::Result<()> {
        Ok(())
    }

    async fn events(
        self: Rc<Self>,
        _: perspective::EventsParams,
        mut results: perspective::EventsResults,
    ) -> capnp::Result<()> {
        results.get().set_source(capnp_rpc::new_client(Served(self.0.clone())));
        Ok(())
    }

    async fn operator(
        self: Rc<Self>,
        _: perspective::OperatorParams,
        mut results: perspective::OperatorResults,
    ) -> capnp::Result<()> {
        results.get().set_operator(capnp_rpc::new_client(Served(self.0.clone())));
        Ok(())
    }
}

impl viewer::Server for Served {
    async fn projects(
        self: Rc<Self>,
        _: viewer::ProjectsParams,
        mut results: viewer::ProjectsResults,
    ) -> capnp::Result<()> {
        let facts = self.0.facts.borrow();
        let mut list = results.get().init_projects(length(facts.projects.len()));
        for (index, project) in (0..).zip(&facts.projects) {
            let mut to = list.reborrow().get(index);
            to.set_name(&project.name);
            to.set_repository(&project.repository);
            write_texts(to.reborrow().init_aliases(length(project.aliases.len())), &project.aliases);
            to.set_latest(project.latest);
            to.set_next_look(project.next_look.map_or(0, schema::wire::time));
        }
        Ok(())
    }

    async fn builds(
        self: Rc<Self>,
        params: viewer::BuildsParams,
        mut results: viewer::BuildsResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let (project, ref_name) = (params.get_project()?.to_string()?, params.get_ref()?.to_string()?);
        let (revision, before) = (params.get_revision()?.to_string()?, params.get_before());
        let facts = self.0.facts.borrow();
        let mut found: Vec<&BuildView> = facts
            .builds
            .iter()
            .filter(|build| project.is_empty() || build.project == project)
            .filter(|build| ref_name.is_empty() || build.ref_name == ref_name)
            .filter(|build| build.revision.starts_with(&revision))
            .filter(|build| before == 0 || build.number < before)
            .collect();
        found.sort_by_key(|build| std::cmp::Reverse(build.number));
        found.truncate(params.get_limit() as usize);
        let mut list = results.get().init_builds(length(found.len()));
        for (index, build) in (0..).zip(found) {
            write_build(list.reborrow().get(index), &BuildView { jobs: Vec::new(), ..build.clone() });
        }
        Ok(())
    }

    async fn build(
        self: Rc<Self>,
        params: viewer::BuildParams,
        mut results: viewer::BuildResults,
    ) -> capnp::Result<()> {
        let (project, number) = (params.get()?.get_project()?.to_string()?, params.get()?.get_number());
        let facts = self.0.facts.borrow();
        let mut of_project = facts.builds.iter().filter(|build| build.project == project);
        let found = match number {
            0 => of_project.next_back(),
            number => of_project.find(|build| build.number == number),
        };
        match found {
            Some(build) => {
                let build = ServedBuild { world: self.0.clone(), number: build.number };
                results.get().set_build(capnp_rpc::new_client(build));
            }
            None => write_refusal(results.get().init_refusal(), &refusal(RefusalCode::NotFound, "no such build")),
        }
        Ok(())
    }

    async fn queue(self: Rc<Self>, _: viewer::QueueParams, mut results: viewer::QueueResults) -> capnp::Result<()> {
        let facts = self.0.facts.borrow();
        let mut list = results.get().init_items(length(facts.queue.len()));
        for (index, item) in (0..).zip(&facts.queue) {
            let mut to = list.reborrow().get(index);
            to.set_project(&item.project);
            to.set_build(item.build);
            to.set_job(&item.job);
            to.set_since(item.since.map_or(0, schema::wire::time));
            to.set_reason(&item.reason);
            to.set_kind(&item.kind);
            to.set_remedy(&item.remedy);
        }
        Ok(())
    }

    async fn tests(
        self: Rc<Self>,
        params: viewer::TestsParams,
        mut results: viewer::TestsResults,
    ) -> capnp::Result<()> {
        let search = limits::text(params.get()?.get_search(), &TEST_SEARCH)?;
        let facts = self.0.facts.borrow();
        let found: Vec<&TestView> = facts.tests.iter().filter(|test| test.title().contains(&search)).collect();
        let page: Vec<_> = found.iter().skip(params.get()?.get_skip() as usize).take(TESTS_TOLD.most).collect();
        results.get().set_count(length(found.len()));
        let mut list = results.get().init_tests(length(page.len()));
        (0..).zip(page).for_each(|(index, test)| write_test(list.reborrow().get(index), test));
        Ok(())
    }

    async fn test(self: Rc<Self>, params: viewer::TestParams, mut results: viewer::TestResults) -> capnp::Result<()> {
        let number = params.get()?.get_number();
        match self.0.facts.borrow().tests.iter().find(|test| test.number == number) {
            Some(test) => write_test(results.get().init_test(), test),
            None => write_refusal(results.get().init_refusal(), &refusal(RefusalCode::NotFound, "no such test")),
        }
        Ok(())
    }

    async fn watch(
        self: Rc<Self>,
        params: viewer::WatchParams,
        mut results: viewer::WatchResults,
    ) -> capnp::Result<()> {
        let filter = read_filter(params.get()?.get_filter()?)?;
        let observer = params.get()?.get_observer()?;
        let facts = self.0.facts.borrow();
        let cursor = Cursor { incarnation: INCARNATION, after: facts.events.len() as u64 };
        let builds: Vec<&BuildView> =
            facts.builds.iter().filter(|build| filter.build == 0 || build.number == filter.build).collect();
        let mut results = results.get();
        write_cursor(results.reborrow().init_cursor(), cursor);
        let mut list = results.reborrow().init_builds(length(builds.len()));
        for (index, build) in (0..).zip(builds) {
            write_build(list.reborrow().get(index), build);
        }
        results.set_subscription(follow(&self.0, filter, cursor, observer));
        Ok(())
    }
}

fn write_test(mut to: test_view::Builder<'_>, test: &TestView) {
    to.set_number(test.number);
    to.set_suite(&test.suite);
    to.set_name(&test.name);
    to.set_parameters(&test.parameters);
    to.set_job(&test.job);
    to.set_state(&test.state);
}

impl event_source::Server for Served {
    async fn subscribe(
        self: Rc<Self>,
        params: event_source::SubscribeParams,
        mut results: event_source::SubscribeResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let (filter, cursor) = (read_filter(params.get_filter()?)?, read_cursor(params.get_cursor()?));
        results.get().set_subscription(follow(&self.0, filter, cursor, params.get_observer()?));
        Ok(())
    }

    async fn latest(
        self: Rc<Self>,
        _: event_source::LatestParams,
        mut results: event_source::LatestResults,
    ) -> capnp::Result<()> {
        let after = self.0.facts.borrow().events.len() as u64;
        write_cursor(results.get().init_cursor(), Cursor { incarnation: INCARNATION, after });
        Ok(())
    }
}

fn follow(world: &Rc<World>, filter: Filter, mut cursor: Cursor, to: observer::Client) -> subscription::Client {
    let world = world.clone();
    let task = tokio::task::spawn_local(async move {
        let mut changed = world.core.changes();
        loop {
            let fresh: Vec<_> = {
                let facts = world.facts.borrow();
                let fresh = facts.events.iter().filter(|event| event.sequence > cursor.after);
                fresh.filter(|event| filter.matches(event)).take(2).cloned().collect()
            };
            if let Some(last) = fresh.last() {
                cursor.after = last.sequence;
                let mut request = to.observe_request();
                let mut list = request.get().init_events(length(fresh.len()));
                for (index, event) in (0..).zip(&fresh) {
                    write_event(list.reborrow().get(index), event, &world.fingerprint.parse().unwrap());
                }
                write_cursor(request.get().init_cursor(), cursor);
                if request.send().promise.await.is_err() {
                    return;
                }
            } else if changed.changed().await.is_err() {
                return;
            }
        }
    });
    capnp_rpc::new_client(Following(task.abort_handle()))
}

impl subscription::Server for Following {}

impl Drop for Following {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl build::Server for ServedBuild {
    async fn view(self: Rc<Self>, _: build::ViewParams, mut results: build::ViewResults) -> capnp::Result<()> {
        let facts = self.world.facts.borrow();
        if let Some(build) = facts.builds.iter().find(|build| build.number == self.number) {
            write_build(results.get().init_view(), build);
        }
        Ok(())
    }

    async fn outcome(self: Rc<Self>, _: build::OutcomeParams, mut results: build::OutcomeResults) -> capnp::Result<()> {
        let mut changed = self.world.core.changes();
        loop {
            let outcome = {
                let facts = self.world.facts.borrow();
                let build = facts.builds.iter().find(|build| build.number == self.number);
                build.filter(|build| build.state == State::Finished).and_then(|build| build.outcome)
            };
            if outcome.is_some() {
                results.get().set_outcome(outcome_to_wire(outcome));
                return Ok(());
            }
            changed.changed().await.map_err(|error| capnp::Error::failed(error.to_string()))?;
        }
    }

    async fn log(self: Rc<Self>, params: build::LogParams, mut results: build::LogResults) -> capnp::Result<()> {
        let params = params.get()?;
        let key = (self.number, params.get_job()?.to_string()?, params.get_step());
        if self.world.facts.borrow().removed == Some(super::Removed::Before) {
            let mut refusal = results.get().init_refusal();
            refusal.set_code(schema::common_capnp::refusal::Code::NotFound);
            refusal.set_text(super::REMOVED);
            return Ok(());
        }
        let log = ServedLog { world: self.world.clone(), key };
        results.get().set_reader(capnp_rpc::new_client(log));
        Ok(())
    }

    async fn explain(
        self: Rc<Self>,
        params: build::ExplainParams,
        mut results: build::ExplainResults,
    ) -> capnp::Result<()> {
        let job = params.get()?.get_job()?.to_string()?;
        let mut told = results.get().init_explanation();
        told.set_kind("stopped");
        told.set_text(format!("worker anvil could take {job} and is drained or held"));
        told.set_since(1_700_000_000_000);
        told.set_worker_count(1);
        let mut worker = told.reborrow().init_workers(1).get(0);
        worker.set_name("anvil");
        worker.set_standing("held");
        worker.set_text("held by ada: its\ndisk");
        let mut remedy = told.init_remedies(1).get(0);
        remedy.set_text("resume worker anvil");
        let mut step = remedy.init_steps(1).get(0);
        step.set_act(schema::perspective_capnp::remedy_step::Act::Resume);
        step.set_object("anvil");
        step.set_command("guild worker resume anvil");
        Ok(())
    }
}

impl ServedLog {
    fn log(&self) -> super::Log {
        self.world.facts.borrow().logs.get(&self.key).cloned().unwrap_or_default()
    }
}

impl log_reader::Server for ServedLog {
    async fn size(
        self: Rc<Self>,
        _: log_reader::SizeParams,
        mut results: log_reader::SizeResults,
    ) -> capnp::Result<()> {
        let log = self.log();
        results.get().set_size(log.bytes.len() as u64);
        results.get().set_sealed(log.sealed);
        Ok(())
    }

    async fn read(
        self: Rc<Self>,
        params: log_reader::ReadParams,
        mut results: log_reader::ReadResults,
    ) -> capnp::Result<()> {
        if self.world.facts.borrow().removed == Some(super::Removed::Between) {
            return Err(capnp::Error::failed(format!("notFound: {}", super::REMOVED)));
        }
        let cut = {
            let mut facts = self.world.facts.borrow_mut();
            facts.reads_until_cut = facts.reads_until_cut.map(|reads| reads.saturating_sub(1));
            facts.reads_until_cut.take_if(|reads| *reads == 0).is_some()
        };
        if cut {
            self.world.cut();
        }
        let params = params.get()?;
        let (offset, count) = (params.get_offset() as usize, params.get_count().min(256 * 1024) as usize);
        let log = self.log();
        let end = (offset + count).min(log.bytes.len());
        results.get().set_bytes(log.bytes.get(offset..end).unwrap_or_default());
        results.get().set_sealed(log.sealed && end == log.bytes.len());
        Ok(())
    }

    async fn wait(
        self: Rc<Self>,
        params: log_reader::WaitParams,
        mut results: log_reader::WaitResults,
    ) -> capnp::Result<()> {
        let offset = params.get()?.get_offset();
        let mut changed = self.world.core.changes();
        loop {
            let log = self.log();
            if log.sealed || log.bytes.len() as u64 > offset {
                results.get().set_size(log.bytes.len() as u64);
                results.get().set_sealed(log.sealed);
                return Ok(());
            }
            changed.changed().await.map_err(|error| capnp::Error::failed(error.to_string()))?;
        }
    }

    async fn lines(
        self: Rc<Self>,
        params: log_reader::LinesParams,
        mut results: log_reader::LinesResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let log = self.log();
        let (first, count) = (params.get_first() as usize - 1, params.get_count() as usize);
        let lines: Vec<&[u8]> = log.bytes.split_inclusive(|byte| *byte == b'\n').collect();
        let offset: usize = lines.iter().take(first).map(|line| line.len()).sum();
        let wanted: Vec<u8> = lines.iter().skip(first).take(count).flat_map(|line| line.iter().copied()).collect();
        results.get().set_bytes(&wanted);
        results.get().set_offset(offset as u64);
        Ok(())
    }
}

impl submitter::Server for Served {
    async fn run(
        self: Rc<Self>,
        params: submitter::RunParams,
        mut results: submitter::RunResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let call = format!(
            "run {} ref={} revision={}",
            params.get_project()?.to_str()?,
            params.get_ref()?.to_str()?,
            params.get_revision()?.to_str()?
        );
        self.0.facts.borrow_mut().calls.push(call);
        results.get().set_number(8);
        Ok(())
    }

    async fn retry(
        self: Rc<Self>,
        params: submitter::RetryParams,
        mut results: submitter::RetryResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let (number, failed, jobs) =
            (params.get_number(), params.get_failed(), limits::texts(params.get_jobs(), &JOBS, &JOB)?);
        self.0.facts.borrow_mut().calls.push(format!("retry {number} failed={failed} {jobs:?}"));
        results.get().set_number(9);
        Ok(())
    }

    async fn cancel(
        self: Rc<Self>,
        params: submitter::CancelParams,
        mut results: submitter::CancelResults,
    ) -> capnp::Result<()> {
        let number = params.get()?.get_number();
        let text = format!("{} is finished", number);
        write_refusal(results.get().init_refusal(), &refusal(RefusalCode::NotPermitted, &text));
        Ok(())
    }
}

impl operator::Server for Served {
    async fn issue(
        self: Rc<Self>,
        params: operator::IssueParams,
        mut results: operator::IssueResults,
    ) -> capnp::Result<()> {
        let hash = params.get()?.get_join_hash()?.try_into().map_err(|_| capnp::Error::failed("hash".to_owned()))?;
        self.0.facts.borrow_mut().issued = Some(hash);
        let mut results = results.get();
        write_grant(results.reborrow().init_grant(), None);
        results.set_fingerprint(&self.0.fingerprint);
        results.init_advertise(1).set(0, &self.0.address);
        Ok(())
    }

    async fn examine(
        self: Rc<Self>,
        _: operator::ExamineParams,
        mut results: operator::ExamineResults,
    ) -> capnp::Result<()> {
        let facts = self.0.facts.borrow();
        let mut list = results.get().init_findings(length(facts.findings.len()));
        for (index, finding) in (0..).zip(&facts.findings) {
            schema::wire::write_finding(list.reborrow().get(index), finding);
        }
        Ok(())
    }
}

fn moment(time: Option<Time>) -> i64 {
    time.map_or(0, schema::wire::time)
}

fn write_build(mut to: build_view::Builder<'_>, build: &BuildView) {
    to.set_project(&build.project);
    to.set_number(build.number);
    to.set_state(state_to_wire(build.state));
    to.set_outcome(outcome_to_wire(build.outcome));
    to.set_ref(&build.ref_name);
    to.set_revision(&build.revision);
    to.set_subject(&build.subject);
    to.set_cause(&build.cause);
    to.set_created(moment(build.created));
    to.set_started(moment(build.started));
    to.set_finished(moment(build.finished));
    to.set_diagnosis(&build.diagnosis);
    let mut jobs = to.init_jobs(length(build.jobs.len()));
    for (index, job) in (0..).zip(&build.jobs) {
        write_job(jobs.reborrow().get(index), job);
    }
}

fn write_job(mut to: job_view::Builder<'_>, job: &JobView) {
    to.set_name(&job.name);
    to.set_state(state_to_wire(job.state));
    to.set_outcome(outcome_to_wire(job.outcome));
    to.set_reason(&job.reason);
    to.set_worker(&job.worker);
    to.set_attempt(job.attempt);
    to.set_started(moment(job.started));
    to.set_finished(moment(job.finished));
    to.set_platform(&job.platform);
    let mut steps = to.init_steps(length(job.steps.len()));
    for (index, step) in (0..).zip(&job.steps) {
        let mut to = steps.reborrow().get(index);
        to.set_name(&step.name);
        to.set_state(state_to_wire(step.state));
        to.set_outcome(outcome_to_wire(step.outcome));
        to.set_started(moment(step.started));
        to.set_finished(moment(step.finished));
        write_exit(to.init_exit(), &step.exit);
    }
}
