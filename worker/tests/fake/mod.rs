//! The master that tests of the worker play, on the core that all played masters share. It accepts everything that the test does not
//! tell it to refuse, and records what it hears.

#[path = "../../../schema/tests/common/fake_master.rs"]
mod fake_master;
mod files;

use fake_master::{Core, Entrance};
pub(crate) use files::Keeping;
use files::{FileSink, StoredFile};
use schema::gateway_capnp::gateway;
use schema::limits::{self, LEASE};
use schema::log_capnp::log_sink;
use schema::sturdy_ref::{SturdyRef, Token};
use schema::values::{
    Assignment, Command, JobPlan, Outcome, Progress, Refusal, RefusalCode, Resources, SourceStamp, StepEnd, StepPlan,
    TestsReported, Trust,
};
use schema::wire;
use schema::worker_capnp::{lease, session, step_report, worker, worker_desk};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;
use tokio::time::timeout;

/// The longest wait of a test. It is far more than a slow machine needs, so only a test that hangs reaches it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Master {
    pub(crate) heard: RefCell<Heard>,
    core: Core,
    pub(crate) term_ms: Cell<u64>,
    offers: RefCell<VecDeque<Assignment>>,
    /// The lengths of leases that have their own, in milliseconds. An older master has none.
    terms: RefCell<BTreeMap<[u8; 16], u64>>,
    /// The limit for the offers in one answer to `take`. An older master sends 1.
    pub(crate) at_once: Cell<u16>,
    worker: RefCell<Option<worker::Client>>,
    /// The leases that the next `attach` reports as stale.
    pub(crate) stale: RefCell<Vec<[u8; 16]>>,
    pub(crate) refuse_restore: Cell<Option<RefusalCode>>,
    pub(crate) is_listening: Cell<bool>,
    /// The number of next calls of leases that are refused, as on a full disk.
    pub(crate) is_full_for: Cell<u32>,
    /// The steps whose start is refused once, as on a full disk; `refused_ends` has those whose end is.
    pub(crate) refused_starts: RefCell<Vec<u16>>,
    pub(crate) refused_ends: RefCell<Vec<u16>>,
    /// The way in which the master treats the files of attempts.
    pub(crate) keeping: Cell<Keeping>,
    /// The version of the protocol.
    pub(crate) version: Cell<u16>,
    token: Token,
}

#[derive(Default)]
pub(crate) struct Heard {
    /// All reports in order, as text without times.
    pub(crate) script: Vec<String>,
    pub(crate) logs: BTreeMap<u16, Vec<u8>>,
    /// The size and the hash of each log, from the end of its step.
    pub(crate) seals: BTreeMap<u16, (u64, Vec<u8>)>,
    /// All reports about tests, each with its step.
    pub(crate) tests: Vec<(u16, Option<TestsReported>)>,
    pub(crate) files: BTreeMap<String, StoredFile>,
    pub(crate) outcome: Option<(Outcome, String)>,
    /// The leases that have ended.
    ended: BTreeSet<u8>,
    pub(crate) free: Vec<Resources>,
    pub(crate) attached: usize,
    pub(crate) renewals: usize,
}

impl Master {
    /// Starts the master, and returns it with the worker's credential.
    pub(crate) async fn start() -> (Rc<Master>, SturdyRef) {
        let entrance = Entrance::open().await;
        let reference = entrance.credential(Token::random());
        let master = Rc::new(Master {
            heard: RefCell::default(),
            core: Core::new(),
            term_ms: Cell::new(60_000),
            offers: RefCell::default(),
            terms: RefCell::default(),
            at_once: Cell::new(1),
            worker: RefCell::default(),
            stale: RefCell::default(),
            refuse_restore: Cell::default(),
            is_listening: Cell::new(true),
            is_full_for: Cell::new(0),
            refused_starts: RefCell::default(),
            refused_ends: RefCell::default(),
            keeping: Cell::default(),
            version: Cell::new(2),
            token: reference.token.clone(),
        });
        let served = master.clone();
        entrance.serve(&master.core, move || served.first());
        (master, reference)
    }

    /// Returns the first object of a link. `None` means that the master closes the link.
    fn first(self: &Rc<Master>) -> Option<capnp::capability::Client> {
        let gateway: gateway::Client = capnp_rpc::new_client(Gateway(self.clone()));
        self.is_listening.get().then_some(gateway.client)
    }

    /// Returns the refusal of a full disk, if calls are to be refused now.
    fn full(&self) -> Option<Refusal> {
        let left = self.is_full_for.get().checked_sub(1)?;
        self.is_full_for.set(left);
        Some(Refusal::new(RefusalCode::Unavailable, "disk full"))
    }

    pub(crate) fn offer(&self, assignment: Assignment) {
        if assignment.term_ms > 0 {
            self.terms.borrow_mut().insert(assignment.token, assignment.term_ms);
        }
        self.offers.borrow_mut().push_back(assignment);
        self.tell();
    }

    /// Cuts the connections of all workers.
    pub(crate) fn cut(&self) {
        let peer = self.worker.borrow_mut().take();
        drop(peer);
        self.core.cut();
    }

    pub(crate) fn worker(&self) -> worker::Client {
        self.worker.borrow().clone().unwrap()
    }

    pub(crate) async fn until(&self, is_so: impl Fn(&Heard) -> bool) {
        let mut changed = self.core.changes();
        let waiting = async {
            while !is_so(&self.heard.borrow()) {
                changed.changed().await.unwrap();
            }
        };
        if timeout(PATIENCE, waiting).await.is_err() {
            panic!("it did not come to pass: {:#?}", self.heard.borrow().script);
        }
    }

    pub(crate) async fn outcome(&self) -> (Outcome, String) {
        self.until(|heard| heard.outcome.is_some()).await;
        self.heard.borrow_mut().outcome.take().unwrap()
    }

    pub(crate) fn log(&self, step: u16) -> String {
        String::from_utf8(self.heard.borrow().logs.get(&step).cloned().unwrap_or_default()).unwrap()
    }

    /// Checks that each log has the size and the hash of its seal.
    pub(crate) fn check_seals(&self) {
        let heard = self.heard.borrow();
        for (step, (size, hash)) in &heard.seals {
            let log = heard.logs.get(step).cloned().unwrap_or_default();
            assert_eq!((*size, hash.as_slice()), (log.len() as u64, blake3::hash(&log).as_bytes().as_slice()));
        }
    }

    fn hear_finish(&self, step: u16, end: StepEnd) {
        self.note(format!("finished {step} {}: {}", end.outcome, end.exit));
        self.hear(|heard| {
            heard.seals.insert(step, (end.log_size, end.log_hash));
            heard.tests.push((step, end.tests));
        });
    }

    fn hear_end(&self, lease: u8, outcome: Outcome, reason: String) {
        self.note(format!("complete {lease} {outcome}"));
        self.hear(|heard| {
            heard.outcome = Some((outcome, reason));
            heard.ended.insert(lease);
        });
    }

    fn note(&self, line: String) {
        self.hear(|heard| heard.script.push(line));
    }

    fn hear(&self, change: impl FnOnce(&mut Heard)) {
        change(&mut self.heard.borrow_mut());
        self.tell();
    }

    fn tell(&self) {
        self.core.note_change();
    }
}

pub(crate) fn step(name: &str, script: &str) -> StepPlan {
    StepPlan {
        name: name.to_owned(),
        command: Command::Shell {
            shell: ["/bin/sh", "-eu", "-c"].map(str::to_owned).to_vec(),
            script: script.to_owned(),
        },
        env: Vec::new(),
        dir: String::new(),
        timeout_ms: 0,
        idle_ms: 0,
        always: false,
        continue_on_failure: false,
        reports: Vec::new(),
    }
}

/// Returns the token of an attempt. It differs between tests, because tests that run at once find their processes by it, and must
/// not kill those of others.
pub(crate) fn token(number: u8) -> [u8; 16] {
    thread_local!(static OWN: [u8; 16] = *Token::random().as_bytes().first_chunk().unwrap());
    let mut token = OWN.with(|own| *own);
    token[0] = number;
    token
}

pub(crate) fn job(number: u8, steps: Vec<StepPlan>) -> Assignment {
    Assignment {
        token: token(number),
        project: "pyfoo".to_owned(),
        build: 412,
        attempt: 1,
        job: JobPlan {
            name: format!("job-{number}"),
            base: format!("job-{number}"),
            timeout_ms: 100_000,
            steps,
            ..JobPlan::default()
        },
        stamp: SourceStamp::default(),
        lane: format!("lane-{number}"),
        trust: Trust::Trusted,
        term_ms: 0,
        plan_version: 0,
        isolation: None,
    }
}

struct Gateway(Rc<Master>);

impl schema::common_capnp::pulse::Server for Gateway {
    async fn ping(
        self: Rc<Self>,
        _: schema::common_capnp::pulse::PingParams,
        _: schema::common_capnp::pulse::PingResults,
    ) -> capnp::Result<()> {
        Ok(())
    }
}

impl gateway::Server for Gateway {
    async fn restore(
        self: Rc<Self>,
        params: gateway::RestoreParams,
        mut results: gateway::RestoreResults,
    ) -> capnp::Result<()> {
        assert_eq!(params.get()?.get_token()?, self.0.token.as_bytes());
        let mut results = results.get();
        if let Some(code) = self.0.refuse_restore.get() {
            wire::write_refusal(results.init_refusal(), &Refusal::new(code, "no more"));
            return Ok(());
        }
        results.set_version(self.0.version.get());
        let desk: worker_desk::Client = capnp_rpc::new_client(Desk(self.0.clone()));
        results.init_capability().set_as_capability(desk.client.hook);
        Ok(())
    }

    async fn redeem(self: Rc<Self>, _: gateway::RedeemParams, _: gateway::RedeemResults) -> capnp::Result<()> {
        Err(capnp::Error::unimplemented("not in this test".to_owned()))
    }
}

struct Desk(Rc<Master>);

impl worker_desk::Server for Desk {
    async fn attach(
        self: Rc<Self>,
        params: worker_desk::AttachParams,
        mut results: worker_desk::AttachResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let running = params.get_running()?;
        *self.0.worker.borrow_mut() = Some(params.get_worker()?);
        let mut results = results.get();
        results.set_session(capnp_rpc::new_client(Session(self.0.clone())));
        results.set_term(self.0.term_ms.get());
        let mut standing = results.reborrow().init_standing(running.len());
        let mut leases = Vec::new();
        for index in 0..running.len() {
            let token = limits::key(running.get(index), &LEASE)?;
            let is_stale = self.0.stale.borrow().contains(&token);
            let word = if is_stale { worker_desk::Standing::Stale } else { worker_desk::Standing::Resumed };
            standing.set(index, word);
            self.0.note(format!("{} {}", if is_stale { "stale" } else { "resumed" }, token[0]));
            leases.push((!is_stale).then(|| lease_of(&self.0, token)));
        }
        let mut list = results.init_leases(running.len());
        for (index, lease) in (0..).zip(leases) {
            if let Some(lease) = lease {
                list.set(index, lease.client.hook);
            }
        }
        self.0.hear(|heard| heard.attached += 1);
        Ok(())
    }
}

fn lease_of(master: &Rc<Master>, token: [u8; 16]) -> lease::Client {
    capnp_rpc::new_client(Lease(master.clone(), token))
}

struct Session(Rc<Master>);

impl session::Server for Session {
    async fn troubles(
        self: Rc<Self>,
        params: session::TroublesParams,
        _: session::TroublesResults,
    ) -> capnp::Result<()> {
        for what in params.get()?.get_what()? {
            let line = format!("trouble: {}", what?.to_str()?);
            self.0.hear(|heard| heard.script.push(line));
        }
        Ok(())
    }

    async fn take(self: Rc<Self>, params: session::TakeParams, mut results: session::TakeResults) -> capnp::Result<()> {
        let params = params.get()?;
        let free = wire::read_resources(params.get_free()?);
        self.0.hear(|heard| heard.free.push(free));
        let mut changed = self.0.core.changes();
        while self.0.offers.borrow().is_empty() {
            changed.changed().await.unwrap();
        }
        let most = usize::from(params.get_most().min(self.0.at_once.get()));
        let mut offered: VecDeque<Assignment> = {
            let mut offers = self.0.offers.borrow_mut();
            let count = most.clamp(1, offers.len());
            offers.drain(..count).collect()
        };
        let first = offered.pop_front().unwrap();
        let mut results = results.get();
        results.set_lease(lease_of(&self.0, first.token));
        wire::write_assignment(results.reborrow().init_assignment(), &first);
        let mut more = results.init_more(wire::length(offered.len()));
        for (index, assignment) in (0..).zip(&offered) {
            more.reborrow().get(index).set_lease(lease_of(&self.0, assignment.token));
            wire::write_assignment(more.reborrow().get(index).init_assignment(), assignment);
        }
        Ok(())
    }

    async fn renew(
        self: Rc<Self>,
        params: session::RenewParams,
        mut results: session::RenewResults,
    ) -> capnp::Result<()> {
        self.0.hear(|heard| heard.renewals += 1);
        let (tokens, terms) = (params.get()?.get_tokens()?, self.0.terms.borrow());
        if !terms.is_empty() {
            let mut told = results.get().init_terms(tokens.len());
            for index in 0..tokens.len() {
                told.set(index, terms.get(&limits::key(tokens.get(index), &LEASE)?).copied().unwrap_or_default());
            }
        }
        Ok(())
    }

    async fn drain(self: Rc<Self>, _: session::DrainParams, _: session::DrainResults) -> capnp::Result<()> {
        self.0.note("drain".to_owned());
        Ok(())
    }

    async fn lacks(self: Rc<Self>, params: session::LacksParams, _: session::LacksResults) -> capnp::Result<()> {
        self.0.note(format!("lacks: {}", params.get()?.get_what()?.to_str()?));
        Ok(())
    }
}

struct Lease(Rc<Master>, [u8; 16]);

impl lease::Server for Lease {
    async fn accept(self: Rc<Self>, _: lease::AcceptParams, mut results: lease::AcceptResults) -> capnp::Result<()> {
        match self.0.full() {
            Some(refusal) => wire::write_refusal(results.get().init_refusal(), &refusal),
            None => self.0.note(format!("accept {}", self.1[0])),
        }
        Ok(())
    }

    async fn source(self: Rc<Self>, _: lease::SourceParams, mut results: lease::SourceResults) -> capnp::Result<()> {
        let none = || Refusal::new(RefusalCode::NotFound, "there is no such repository here");
        wire::write_refusal(results.get().init_refusal(), &self.0.full().unwrap_or_else(none));
        Ok(())
    }

    async fn step(self: Rc<Self>, params: lease::StepParams, mut results: lease::StepResults) -> capnp::Result<()> {
        assert_eq!(self.0.version.get(), 1);
        let report = Report(self.0.clone(), params.get()?.get_index());
        results.get().set_report(capnp_rpc::new_client(report));
        Ok(())
    }

    async fn complete(self: Rc<Self>, params: lease::CompleteParams, _: lease::CompleteResults) -> capnp::Result<()> {
        assert_eq!(self.0.version.get(), 1);
        let params = params.get()?;
        let outcome = wire::outcome_from_wire(params.get_outcome()?).unwrap();
        self.0.hear_end(self.1[0], outcome, params.get_reason()?.to_string()?);
        Ok(())
    }

    async fn report(
        self: Rc<Self>,
        params: lease::ReportParams,
        mut results: lease::ReportResults,
    ) -> capnp::Result<()> {
        let all = wire::read_progress(params.get()?.get_progress())?;
        if self.0.heard.borrow().ended.contains(&self.1[0]) {
            let stale = Refusal::new(RefusalCode::Stale, "the lease is over");
            wire::write_refusal(results.get().init_refusal(), &stale);
            return Ok(());
        }
        let is_refused = match &all[0] {
            Progress::Started { step, .. } => remove(&self.0.refused_starts, *step),
            Progress::Finished { step, .. } => remove(&self.0.refused_ends, *step),
            Progress::Ended { .. } => false,
        };
        if is_refused {
            wire::write_refusal(results.get().init_refusal(), &Refusal::new(RefusalCode::Unavailable, "disk full"));
            return Ok(());
        }
        for said in all {
            match said {
                Progress::Started { step, .. } => self.0.note(format!("started {step}")),
                Progress::Finished { step, end } => self.0.hear_finish(step, end),
                Progress::Ended { outcome, reason } => self.0.hear_end(self.1[0], outcome, reason),
            }
        }
        Ok(())
    }

    async fn artifact(
        self: Rc<Self>,
        params: lease::ArtifactParams,
        mut results: lease::ArtifactResults,
    ) -> capnp::Result<()> {
        let path = params.get()?.get_path()?.to_string()?;
        match self.0.keeping.get().sink_refusal()? {
            Some(refusal) => wire::write_refusal(results.get().init_refusal(), &refusal),
            None => results.get().set_sink(capnp_rpc::new_client(FileSink::new(&self.0, path))),
        }
        Ok(())
    }

    async fn log(self: Rc<Self>, params: lease::LogParams, mut results: lease::LogResults) -> capnp::Result<()> {
        results.get().set_sink(capnp_rpc::new_client(Sink(self.0.clone(), params.get()?.get_step())));
        Ok(())
    }
}

fn remove(from: &RefCell<Vec<u16>>, step: u16) -> bool {
    let mut from = from.borrow_mut();
    let at = from.iter().position(|other| *other == step);
    at.map(|at| from.remove(at)).is_some()
}

struct Report(Rc<Master>, u16);

impl step_report::Server for Report {
    async fn started(
        self: Rc<Self>,
        _: step_report::StartedParams,
        _: step_report::StartedResults,
    ) -> capnp::Result<()> {
        self.0.note(format!("started {}", self.1));
        Ok(())
    }

    async fn finished(
        self: Rc<Self>,
        params: step_report::FinishedParams,
        _: step_report::FinishedResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let outcome = wire::outcome_from_wire(params.get_outcome()?).unwrap();
        let end = StepEnd {
            outcome,
            exit: wire::read_exit(params.get_exit()?)?,
            time: wire::read_time(params.get_time()),
            log_size: params.get_log_size(),
            log_hash: params.get_log_hash()?.to_vec(),
            tests: None,
        };
        self.0.hear_finish(self.1, end);
        Ok(())
    }

    async fn log(self: Rc<Self>, _: step_report::LogParams, mut results: step_report::LogResults) -> capnp::Result<()> {
        results.get().set_sink(capnp_rpc::new_client(Sink(self.0.clone(), self.1)));
        Ok(())
    }
}

struct Sink(Rc<Master>, u16);

impl log_sink::Server for Sink {
    async fn write(
        self: Rc<Self>,
        params: log_sink::WriteParams,
        mut results: log_sink::WriteResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let (offset, bytes) = (usize::try_from(params.get_offset()).unwrap(), params.get_bytes()?);
        let mut refused = false;
        self.0.hear(|heard| {
            let log = heard.logs.entry(self.1).or_default();
            refused = offset > log.len();
            if !refused {
                log.extend_from_slice(bytes.get(log.len() - offset..).unwrap_or(&[]));
            }
            results.get().set_received(log.len() as u64);
        });
        if refused {
            wire::write_refusal(results.get().init_refusal(), &Refusal::new(RefusalCode::Offset, "a gap"));
        }
        Ok(())
    }

    async fn size(self: Rc<Self>, _: log_sink::SizeParams, mut results: log_sink::SizeResults) -> capnp::Result<()> {
        let size = self.0.heard.borrow().logs.get(&self.1).map_or(0, Vec::len);
        results.get().set_received(size as u64);
        Ok(())
    }
}
