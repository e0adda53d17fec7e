//! Random rows from a seed. They have few different keys, so that some rows are written more than once.

use crate::decide::coordinator::placed::{Because, Opening};
use crate::decide::coordinator::record::*;
use schema::sturdy_ref::Fingerprint;
use schema::values::{
    Change, Description, Event, Exit, Fact, GrantKind, Home, JobPlan, Outcome, Plan, SourceRevision, SourceStamp,
    State, TestCounts, TestsReported, TierName, Time, Trust, What,
};
use std::time::Duration;

/// Returns the row of a ref that exists and was reported.
pub(crate) fn head(project: &str, ref_name: &str, revision: &str) -> Record {
    let head = Head { revision: revision.to_owned(), is_told: true, ..Head::default() };
    Record::Head(HeadRow { project: project.to_owned(), ref_name: ref_name.to_owned(), head })
}

/// `Dice` is the generator splitmix64 (Steele, Lea, Flood 2014). The same seed gives the same rows on each machine.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn small(&mut self, end: u16) -> u16 {
        u16::try_from(self.below(u64::from(end))).unwrap()
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| u8::try_from(self.below(256)).unwrap())
    }

    fn word(&mut self) -> String {
        let words = ["", "a", "b'c", "\u{e9}\u{1F980}", "x\ny", "100% _"];
        words[usize::from(self.small(6))].to_owned()
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Dice) -> T) -> Option<T> {
        if self.below(2) == 0 { None } else { Some(make(self)) }
    }

    fn time(&mut self) -> Time {
        Time(self.below(1 << 45))
    }

    fn outcome(&mut self) -> Outcome {
        let all = [Outcome::Skipped, Outcome::Succeeded, Outcome::Warned, Outcome::Failed, Outcome::Errored];
        all[usize::from(self.small(5))]
    }

    fn state(&mut self) -> State {
        let all = [State::Planning, State::Waiting, State::Queued, State::Offered, State::Running, State::Finished];
        all[usize::from(self.small(6))]
    }

    fn job_key(&mut self) -> JobKey {
        JobKey { build: BuildId(1 + self.below(4)), index: u32::from(self.small(3)) }
    }

    /// Returns a build. Its fixed fields follow from its id, and its state is random.
    pub(crate) fn build(&mut self) -> BuildRow {
        let id = 1 + self.below(6);
        BuildRow { state: self.state(), outcome: self.maybe(Dice::outcome), diagnosis: self.word(), ..build(id) }
    }

    pub(crate) fn job(&mut self) -> JobRow {
        JobRow {
            key: self.job_key(),
            name: self.word(),
            state: self.state(),
            outcome: self.maybe(Dice::outcome),
            reason: self.word(),
            attempt: self.small(3),
            lost: self.small(3),
            queued: self.maybe(Dice::time),
            started: self.maybe(Dice::time),
            finished: self.maybe(Dice::time),
            worker: self.word(),
            platform: self.word(),
            carried_from: u32::from(self.small(3)),
            isolation: TierName::read(self.word()),
        }
    }

    pub(crate) fn attempt(&mut self) -> AttemptRow {
        AttemptRow {
            job: self.job_key(),
            number: 1 + self.small(3),
            token: LeaseToken(self.bytes()),
            grant: GrantId(self.below(9)),
            worker: self.word(),
            started: self.time(),
            finished: self.maybe(Dice::time),
            outcome: self.maybe(Dice::outcome),
            reason: self.word(),
            isolation: TierName::read(self.word()),
            placed: self.maybe(Dice::placed),
            term: Duration::from_millis(self.below(1 << 40)),
            home: self.maybe(Dice::home),
        }
    }

    fn home(&mut self) -> Home {
        Home { boot: self.word(), pid_namespace: self.below(9), device: self.below(9), inode: self.below(9) }
    }

    fn placed(&mut self) -> Placed {
        let openings = [Opening::Connected, Opening::Resumed, Opening::Asked, Opening::Freed(self.word())];
        Placed {
            because: Because::Asked,
            able: u32::from(self.small(9)),
            free: u32::from(self.small(9)),
            waited_ms: self.below(1 << 45),
            waited_for: self.maybe(|dice| openings[usize::from(dice.small(4))].clone()),
        }
    }

    pub(crate) fn grant(&mut self) -> GrantRow {
        GrantRow {
            id: GrantId(1 + self.below(5)),
            parent: self.maybe(|dice| GrantId(dice.below(5))),
            kind: GrantKind::ALL[usize::from(self.small(5))],
            name: self.word(),
            what: if self.below(2) == 0 { What::everything() } else { What::default() },
            created: self.time(),
            expires: self.maybe(Dice::time),
            revoked: self.maybe(Dice::time),
            reason: self.word(),
            join_hash: self.maybe(Dice::bytes),
            token_hash: self.maybe(Dice::bytes),
            holder: self.maybe(|dice| Fingerprint(dice.bytes())),
            is_browser: self.below(2) == 0,
        }
    }

    pub(crate) fn worker(&mut self) -> WorkerRow {
        WorkerRow {
            name: format!("w{}", self.below(3)),
            grant: GrantId(self.below(9)),
            draining: self.below(2) == 0,
            held: self.word(),
            forgotten: self.below(2) == 0,
            last_heard: self.time(),
            description: Description { host: self.word(), ..Description::default() },
            steered_by: GrantId(self.below(9)),
            steered: self.maybe(Dice::time),
        }
    }

    pub(crate) fn request(&mut self) -> RequestRow {
        let answers = [Answer::Done, Answer::Build(BuildId(3)), Answer::Grants(vec![GrantId(1), GrantId(2)])];
        RequestRow {
            id: RequestId(self.bytes()),
            by: GrantId(self.below(9)),
            body: self.bytes(),
            answer: answers[usize::from(self.small(3))].clone(),
            time: Time(1_000_000 + self.below(1_000)),
        }
    }

    /// Returns the project, the name and the state of a ref.
    pub(crate) fn head(&mut self) -> (String, String, Option<Head>) {
        let head = Head {
            revision: format!("{:040x}", self.below(99)),
            is_told: self.below(2) == 0,
            gone: (self.below(3) == 0).then(|| Time(self.below(99))),
            update: self.small(9).into(),
            since: 1,
        };
        let (project, ref_name) = (format!("p{}", self.below(2)), format!("refs/heads/{}", self.below(3)));
        (project, ref_name, (self.below(3) > 0).then_some(head))
    }

    pub(crate) fn cron(&mut self) -> CronRow {
        let (project, ref_name) = (format!("p{}", self.below(2)), format!("refs/heads/{}", self.below(2)));
        let key = CronKey { project, ref_name, name: format!("c{}", self.below(3)) };
        let cron = Cron { at: self.word(), tz: self.word(), fired: self.maybe(Dice::time), ..Cron::default() };
        CronRow { key, next: self.maybe(Dice::time), cron }
    }

    pub(crate) fn claim(&mut self) -> ClaimRow {
        let (project, ref_name) = (format!("p{}", self.below(2)), format!("refs/heads/{}", self.below(2)));
        let key = ClaimKey { project, ref_name, job: format!("j{}", self.below(3)) };
        let claim = LaneClaim { name: self.word(), reason: self.word(), until: self.time(), ..LaneClaim::default() };
        ClaimRow { key, claim }
    }

    pub(crate) fn followed(&mut self) -> FollowedRow {
        let scope = RefScope { branches: vec!["main".to_owned()], tags: Vec::new() };
        FollowedRow {
            project: format!("p{}", self.below(2)),
            address: "/srv/p".to_owned(),
            scopes: vec![scope; self.below(3) as usize],
            looked_in: self.below(9),
        }
    }

    fn tests(&mut self) -> TestsReported {
        TestsReported {
            list: self.bytes::<32>().to_vec(),
            counts: TestCounts { failed: u32::from(self.small(9)), ..TestCounts::default() },
            failing: vec![self.word()],
            ..TestsReported::default()
        }
    }

    /// Returns a step. Its name follows from its key, and its state is random.
    pub(crate) fn step(&mut self) -> StepRow {
        let key = StepKey { job: self.job_key(), attempt: 1 + self.small(2), step: self.small(2) };
        StepRow {
            key,
            name: format!("step {}", key.step),
            state: State::Finished,
            outcome: self.maybe(Dice::outcome),
            exit: Exit::Lost(self.word()),
            started: Some(self.time()),
            finished: self.maybe(Dice::time),
            log_size: self.below(1 << 40),
            log_hash: self.bytes::<32>().to_vec(),
            tests: self.maybe(Dice::tests),
        }
    }
}

pub(crate) fn build(id: u64) -> BuildRow {
    let revision = blake3::hash(&(id / 2).to_le_bytes()).to_hex()[..40].to_owned();
    let ref_name = if id.is_multiple_of(3) { "refs/heads/topic" } else { "refs/heads/main" };
    let source = SourceRevision {
        repository: "r".to_owned(),
        ref_name: ref_name.to_owned(),
        revision,
        ..SourceRevision::default()
    };
    BuildRow {
        id: BuildId(id),
        project: format!("p{}", id % 2),
        number: u32::try_from(id.div_ceil(2)).unwrap(),
        stamp: SourceStamp { sources: vec![source] },
        cause: BuildCause::Run { by: "somebody".to_owned() },
        trust: Trust::Trusted,
        state: State::Queued,
        outcome: None,
        created: Time(id),
        started: None,
        finished: None,
        subject: format!("subject {id}"),
        author: "A <a@b>".to_owned(),
        diagnosis: String::new(),
        job_count: 1,
        by: GrantId(1),
        update: 0,
    }
}

pub(crate) fn plan(name: &str) -> Plan {
    let job = JobPlan { name: name.to_owned(), ..JobPlan::default() };
    Plan { version: 1, jobs: vec![job], trust: Trust::Trusted }
}

pub(crate) fn event(sequence: u64) -> Event {
    let fact = Fact::Alarm { text: format!("number {sequence}") };
    Event { sequence, time: Time(sequence), origin: None, project: "p".to_owned(), build: 1, fact }
}

pub(crate) fn change(revision: &str) -> Change {
    Change { project: "p0".to_owned(), revision: revision.to_owned(), ..Change::default() }
}
