//! The master that tests of the client play, on the core that all played masters share. It has one credential, answers everything
//! that its holder may ask, and tells the facts that the test sets.

#[path = "../../../schema/tests/common/fake_master.rs"]
mod fake_master;
mod objects;

use fake_master::{Core, Entrance};

use client::views::{BuildView, JobView, ProjectView, QueueItem, StepView, TestView};
use schema::sturdy_ref::{SturdyRef, Token};
use schema::values::{Event, Fact, Finding, Outcome, State, Time};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

pub struct Master {
    pub world: Rc<World>,
    pub join: SturdyRef,
    /// A credential that any key may use, because its token is not bound to a key.
    pub open: SturdyRef,
}

pub struct World {
    pub facts: RefCell<Facts>,
    core: Core,
    pub fingerprint: String,
    pub address: String,
}

pub const REMOVED: &str = "the logs of r/3 were removed by retention: `limits.retain.logs` keeps them for 365 days";

/// `Removed` is the moment at which retention removed the logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    Before,
    /// After the client got a reader of the log.
    Between,
}

#[derive(Default)]
pub struct Facts {
    pub projects: Vec<ProjectView>,
    pub builds: Vec<BuildView>,
    pub queue: Vec<QueueItem>,
    /// The findings of the doctor. If there are any, the caller counts as an operator.
    pub findings: Vec<Finding>,
    pub logs: BTreeMap<(u32, String, u16), Log>,
    /// The tests of each branch. One answer has at most 100 of them.
    pub tests: Vec<TestView>,
    /// The moment at which retention removed all logs. `None` means that it did not.
    pub removed: Option<Removed>,
    pub events: Vec<Event>,
    /// The calls that change something, as text, in their order.
    pub calls: Vec<String>,
    /// The digests of the tokens that are valid.
    pub tokens: Vec<[u8; 32]>,
    pub join: Option<[u8; 32]>,
    /// The digest of the token for which the join was redeemed. `None` means that it was not redeemed yet.
    pub redeemed: Option<[u8; 32]>,
    /// The number of answers to `read` after which all links are cut. `None` means that they are not.
    pub reads_until_cut: Option<u32>,
    pub cut_after_redeem: bool,
    pub links_made: u32,
    pub issued: Option<[u8; 32]>,
}

#[derive(Clone, Default)]
pub struct Log {
    pub bytes: Vec<u8>,
    pub sealed: bool,
}

impl Master {
    /// Starts the master. Call this within a `LocalSet`.
    pub async fn start() -> Master {
        let entrance = Entrance::open().await;
        let (join, open) = (entrance.credential(Token::random()), entrance.credential(Token::random()));
        let facts = Facts { tokens: vec![open.token.digest()], join: Some(join.token.digest()), ..Facts::default() };
        let world = Rc::new(World {
            facts: RefCell::new(facts),
            core: Core::new(),
            fingerprint: open.fingerprint.to_string(),
            address: open.addresses[0].clone(),
        });
        let served = world.clone();
        entrance.serve(&world.core, move || {
            served.facts.borrow_mut().links_made += 1;
            Some(objects::gateway(&served))
        });
        Master { world, join, open }
    }
}

impl World {
    pub fn change(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.facts.borrow_mut());
        self.core.note_change();
    }

    /// Cuts the link of every client.
    pub fn cut(&self) {
        self.core.cut();
    }

    /// Commits a fact, and changes the builds as the mirror of the client changes them.
    pub fn tell(&self, number: u32, fact: Fact) {
        self.change(|facts| {
            let sequence = facts.events.len() as u64 + 1;
            let event = Event {
                sequence,
                time: Time(1_700_000_000_000 + sequence),
                origin: None,
                project: "r".to_owned(),
                build: number,
                fact,
            };
            let mut mirror = client::Mirror::default();
            mirror.reset(std::mem::take(&mut facts.builds));
            mirror.apply(&event);
            facts.builds = mirror.builds().cloned().collect();
            facts.events.push(event);
        });
    }

    pub fn write(&self, number: u32, job: &str, step: u16, bytes: &[u8]) {
        self.change(|facts| {
            let log = facts.logs.entry((number, job.to_owned(), step)).or_default();
            log.bytes.extend_from_slice(bytes);
        });
    }
}

/// Returns a finished build with jobs of these names and outcomes, each with one step.
pub fn finished_build(number: u32, jobs: &[(&str, Outcome)]) -> BuildView {
    let time = |seconds: u64| Some(Time(1_700_000_000_000 + seconds * 1_000));
    let jobs: Vec<JobView> = jobs
        .iter()
        .map(|(name, outcome)| JobView {
            name: (*name).to_owned(),
            state: State::Finished,
            outcome: Some(*outcome),
            attempt: 1,
            worker: "w".to_owned(),
            platform: "linux-x86_64".to_owned(),
            started: time(1),
            finished: time(4),
            steps: vec![StepView {
                name: "make".to_owned(),
                state: State::Finished,
                outcome: Some(*outcome),
                started: time(1),
                finished: time(4),
                ..StepView::default()
            }],
            ..JobView::default()
        })
        .collect();
    BuildView {
        project: "r".to_owned(),
        number,
        state: State::Finished,
        outcome: jobs.iter().filter_map(|job| job.outcome).max(),
        ref_name: "refs/heads/main".to_owned(),
        revision: format!("{number:040x}"),
        subject: format!("change {number}"),
        cause: "change".to_owned(),
        created: time(0),
        started: time(1),
        finished: time(5),
        job_count: 1,
        jobs,
        ..BuildView::default()
    }
}
