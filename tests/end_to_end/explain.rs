//! Tests of explanations through the public API. Twenty random jobs wait for reasons of nine kinds. A remedy of each is applied as
//! a person would apply it, and places the job. The texts in the manual are also compared with those of the master.

use client::explanation::{Act, Explanation, Remedy, RemedyStep};
use schema::identity::Identity;
use schema::sturdy_ref::SturdyRef;
use schema::values::{Assignment, Description, GrantKind, Outcome, Resources, Scope, State, Tier, TierProbe, What};
use schema::worker_capnp::lease;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use support::guild::{House, Played, run, work};
use support::seed::{Random, with_seeds};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

const ONE: Resources = Resources { slots: 1, cpus_milli: 4_000, memory: 4 << 30 };
const LINUX: &str = "linux-x86_64";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Label,
    Platform,
    Pool,
    Room,
    Busy,
    Drained,
    Held,
    Away,
    Needs,
}

const KINDS: [Kind; 9] = [
    Kind::Label,
    Kind::Platform,
    Kind::Pool,
    Kind::Room,
    Kind::Busy,
    Kind::Drained,
    Kind::Held,
    Kind::Away,
    Kind::Needs,
];
const ROUNDS: usize = 20;

#[test]
fn what_is_told_to_be_done_places_the_job() {
    with_seeds("what_is_told_to_be_done_places_the_job", 1, |seed| {
        run(async move {
            let mut random = Random::new(seed);
            let mut crew = Crew::new().await;
            for round in 0..ROUNDS {
                // each kind once, then a random one, and then all again
                let kind = KINDS.get(round % 10).copied().unwrap_or_else(|| KINDS[random.below(KINDS.len())]);
                let told = crew.make_wait(kind, &mut random).await;
                let remedy = random.pick(&told.remedies).unwrap_or_else(|| panic!("{kind:?} has no remedy: {told:?}"));
                crew.apply(remedy).await;
                let begun = std::time::Instant::now();
                crew.await_state("test", |state| matches!(state, State::Running | State::Finished)).await;
                println!("{kind:?}: {}: {} ({:?})", told.text, remedy.text, begun.elapsed());
                crew.clear().await;
            }
        });
    });
}

#[test]
fn the_manual_shows_what_is_said() {
    run(async {
        let mut crew = Crew::new().await;
        let mut shown = Vec::new();
        crew.join("anvil", What::default(), LINUX, ONE).await;
        crew.submit("[job.test]\nrun = \"true\"\nwant = [\"gpu\"]\n").await;
        shown.push(crew.text("test").await);
        crew.house.guild.cancel("demo", crew.build, "", "").await.unwrap();

        crew.house.guild.hold("anvil", "its disk is being changed").await.unwrap();
        crew.submit("[job.test]\nrun = \"true\"\n").await;
        shown.push(crew.text("test").await);
        crew.house.guild.drain("anvil", false).await.unwrap();
        crew.house.guild.hold("anvil", "").await.unwrap();
        crew.await_state("test", |state| state == State::Running).await;
        crew.finish_all().await;
        crew.await_state("test", |state| state == State::Finished).await;
        shown.push(crew.text("test").await);

        crew.submit("[job.lint]\nrun = \"true\"\n[job.test]\nrun = \"true\"\n").await;
        crew.await_state("lint", |state| state == State::Running).await;
        crew.explained("busy").await;
        shown.push(crew.text("test").await);

        let manual = steady(include_str!("../../docs/waiting.md"));
        let missing: Vec<&String> = shown.iter().filter(|text| !manual.contains(&steady(text))).collect();
        let missing: String = missing.into_iter().map(|text| format!("{text}\n")).collect();
        assert!(missing.is_empty(), "docs/waiting.md does not show\n{missing}");
        assert_eq!(manual.matches("$ guild explain ").count(), shown.len(), "each example is one of these");
    });
}

#[test]
fn what_did_not_run_says_why() {
    run(async {
        let mut crew = Crew::new().await;
        crew.join("anvil", What::default(), LINUX, Resources { slots: 2, ..ONE }).await;
        crew.submit(
            "[job.bad]\nrun = \"false\"\n[job.good]\nrun = \"true\"\n[job.after]\nrun = \"true\"\nneeds = [\"bad\"]\n\
             [job.never]\nrun = \"true\"\nwhen = { branch = \"other\" }\n",
        )
        .await;
        let selector = format!("demo/{}", crew.build);
        crew.end(&format!("{selector}/bad"), Outcome::Failed).await;
        crew.end(&format!("{selector}/good"), Outcome::Succeeded).await;
        crew.await_state("good", |state| state == State::Finished).await;
        let told = crew.explain("after").await;
        assert_eq!((told.kind.as_str(), told.text.as_str()), ("need", "needs bad, which failed"));
        assert_eq!(
            told.hints,
            [format!("`guild retry {selector} --failed` runs the failed jobs again, and the jobs that need them")]
        );
        let told = crew.explain("never").await;
        assert_eq!(
            (told.kind.as_str(), told.text.as_str()),
            ("when", "runs only for branch other; this is branch main")
        );
        let told = crew.explain("good").await;
        assert_eq!((told.kind.as_str(), told.text.as_str(), told.attempts.len()), ("ran", "ran on anvil", 1));
        assert_eq!((told.attempts[0].because.as_str(), told.attempts[0].able), ("only", 1));

        let again = client::Again::Failed;
        let retried = crew.house.guild.retry("demo", crew.build, &again).await.unwrap();
        crew.build = retried;
        let told = crew.explain("good").await;
        let expected = format!("not repeated by this retry: it ran in {selector}");
        assert_eq!((told.kind.as_str(), told.text, told.attempts.len()), ("carried", expected, 1));
        let refused = crew.house.guild.explain("demo", crew.build, "nothing").await.unwrap_err();
        assert_eq!(refused.exit_code(), 7);
    });
}

#[test]
fn a_job_waits_for_its_tier_and_runs_in_it() {
    run(async {
        let mut crew = Crew::new().await;
        crew.join_with("weak", Some("this system has no subreapers")).await;
        crew.submit("[job.other]\nrun = \"true\"\nisolation = \"plain\"\n[job.test]\nrun = \"true\"\n").await;
        crew.await_state("other", |state| state == State::Running).await;
        let told = crew.explained("tier").await;
        assert_eq!(told.text, "no worker of pool default offers isolation `guard`");
        assert_eq!(told.workers[0].text, "lacks isolation `guard` (this system has no subreapers)");
        assert_eq!(told.hints[0], "worker weak does not offer `guard`: this system has no subreapers");
        let join = told.remedies.last().expect("another worker could take it");
        assert_eq!(join.text, "join a worker with pool default, isolation `guard`, a slot");
        let weak = crew.house.guild.workers().await.unwrap().remove(0);
        assert_eq!(weak.tiers(), "plain; no guard: this system has no subreapers");

        let findings = crew.house.guild.examine().await.unwrap();
        let weak = findings.iter().find(|finding| finding.subject == "worker weak").expect("most jobs pass it by");
        let seen =
            "takes only jobs for which `plain` is enough: it lacks isolation `guard` (this system has no subreapers)";
        assert_eq!(weak.seen, seen);

        crew.join_with("strong", None).await;
        crew.await_state("test", |state| state == State::Running).await;
        for (job, worker, tier) in [("other", "weak", "plain"), ("test", "strong", "guard")] {
            let attempts = crew.explain(job).await.attempts;
            let attempt = attempts.last().expect("it runs");
            assert_eq!((attempt.worker.as_str(), attempt.isolation.as_str()), (worker, tier), "{job}");
        }
        let told: BTreeMap<String, Option<String>> = crew.tiers_told();
        assert_eq!(told["test"].as_deref(), Some("guard"), "the worker is told what to give");
        assert_eq!(told["other"].as_deref(), Some("plain"));
    });
}

/// Replaces each number of seconds with "N s", because it differs from run to run.
fn steady(text: &str) -> String {
    let mut words: Vec<&str> = text.split(' ').collect();
    for index in 1..words.len() {
        if words[index].split(['\n', ',', ';']).next() == Some("s") {
            words[index - 1] = "N";
        }
    }
    words.join(" ")
}

/// The assignments and leases that a worker runs.
type Running = Rc<RefCell<Vec<(Assignment, lease::Client)>>>;

/// `Hand` is a worker that asks for work while it has room and accepts what it is offered. The test ends its jobs.
struct Hand {
    description: Description,
    /// The connection of the worker and the task that asks for work. `None` means that it is not connected.
    present: Option<(Rc<Played>, JoinHandle<()>)>,
    credential: Option<(SturdyRef, Identity)>,
    running: Running,
    changed: Rc<Notify>,
}

struct Crew {
    house: House,
    hands: BTreeMap<String, Hand>,
    /// The number of the newest build.
    build: u32,
    named: u32,
}

impl Crew {
    async fn new() -> Crew {
        // the pipeline of the first commit leaves out its push, so this build runs no job
        let house = House::open("version = 1\n[trigger]\npush = [\"none\"]\n[job.none]\nrun = \"true\"\n").await;
        let mut crew = Crew { house, hands: BTreeMap::new(), build: 0, named: 0 };
        crew.await_build(1).await;
        crew
    }

    /// Submits a job `test` that has to wait for a reason of this kind. Returns its explanation.
    async fn make_wait(&mut self, kind: Kind, random: &mut Random) -> Explanation {
        let name = self.new_name();
        let pools = if kind == Kind::Pool { Scope::from(["other"]) } else { Scope::default() };
        self.join(&name, What { pools, ..What::default() }, LINUX, ONE).await;
        let guild = self.house.guild.clone();
        match kind {
            Kind::Drained => guild.drain(&name, true).await.unwrap(),
            Kind::Held => guild.hold(&name, "its disk").await.unwrap(),
            Kind::Away => self.lose(&name).await,
            Kind::Label | Kind::Platform | Kind::Pool | Kind::Room | Kind::Busy | Kind::Needs => {}
        }
        let wants = ["gpu", "python=3.14", "memory>=64GiB"];
        let (before, more) = match kind {
            Kind::Label => ("", format!("want = [{:?}]", wants[random.below(wants.len())])),
            Kind::Platform => ("", "on = \"windows-x86_64\"".to_owned()),
            Kind::Room => ("", format!("cpus = {}", 5 + random.below(60))),
            Kind::Busy => ("[job.first]\nrun = \"true\"\n", String::new()),
            Kind::Needs => ("[job.first]\nrun = \"true\"\n", "needs = [\"first\"]".to_owned()),
            Kind::Pool | Kind::Drained | Kind::Held | Kind::Away => ("", String::new()),
        };
        self.submit(&format!("{before}[job.test]\nrun = \"true\"\n{more}\n")).await;
        let expected = match kind {
            Kind::Label => "label",
            Kind::Platform => "platform",
            Kind::Pool => "pool",
            Kind::Room => "room",
            Kind::Busy => "busy",
            Kind::Drained | Kind::Held => "stopped",
            Kind::Away => "away",
            Kind::Needs => "needs",
        };
        if kind == Kind::Busy || kind == Kind::Needs {
            self.await_state("first", |state| state == State::Running).await;
        }
        let told = self.explained(expected).await;
        let queue = guild.queue().await.unwrap();
        match kind {
            Kind::Needs => assert!(queue.is_empty(), "it is not in the queue yet: {queue:?}"),
            _ => assert_eq!((queue.len(), queue[0].kind.as_str()), (1, expected), "{queue:?}"),
        }
        told
    }

    async fn apply(&mut self, remedy: &Remedy) {
        for step in &remedy.steps {
            let guild = self.house.guild.clone();
            match step.act {
                Act::Wait => self.finish(&step.object).await,
                Act::Resume => {
                    guild.drain(&step.object, false).await.unwrap();
                    guild.hold(&step.object, "").await.unwrap();
                }
                Act::Start => self.start(&step.object).await,
                Act::Join => self.join_as(step).await,
                Act::Other => panic!("a step that this version does not know: {step:?}"),
            }
        }
    }

    async fn join_as(&mut self, step: &RemedyStep) {
        let name = self.new_name();
        let pools = Scope::from([step.pool.clone()]);
        let what = What { pools, labels: step.labels.clone(), ..What::default() };
        let platform = if step.platform.is_empty() { LINUX } else { &step.platform };
        self.join(&name, what, platform, step.room).await;
    }

    async fn join(&mut self, name: &str, what: What, platform: &str, total: Resources) {
        let description = Description { platform: platform.to_owned(), total, ..Description::default() };
        self.enter(name, what, description).await;
    }

    async fn enter(&mut self, name: &str, what: What, description: Description) {
        let credential = self.house.enroll(GrantKind::Worker, name, what).await;
        let (running, changed) = (Running::default(), Rc::new(Notify::new()));
        let hand = Hand { description, present: None, credential: Some(credential), running, changed };
        self.hands.insert(name.to_owned(), hand);
        self.start(name).await;
    }

    /// Adds a worker that has probed its tiers of isolation. `plain` works there, and `guard` works if `lack` is `None`.
    async fn join_with(&mut self, name: &str, lack: Option<&str>) {
        let probe = |tier: Tier, lack: Option<&str>| TierProbe { tier: tier.into(), lack: lack.map(str::to_owned) };
        let probes = vec![probe(Tier::Plain, None), probe(Tier::Guard, lack)];
        let isolation = probes.iter().filter(|it| it.works()).map(|it| it.tier.clone()).collect();
        let platform = LINUX.to_owned();
        let description = Description { platform, total: ONE, isolation, probes, ..Description::default() };
        self.enter(name, What::default(), description).await;
    }

    /// Returns the tier that the master sent with each running job, by the name of the job.
    fn tiers_told(&self) -> BTreeMap<String, Option<String>> {
        let running = self.hands.values().flat_map(|hand| hand.running.borrow().clone());
        running.map(|(it, _)| (it.job.name, it.isolation.map(|tier| tier.to_string()))).collect()
    }

    async fn start(&mut self, name: &str) {
        let hand = self.hands.get_mut(name).unwrap();
        let tokens = hand.running.borrow().iter().map(|(assignment, _)| assignment.token).collect();
        let credential = hand.credential.take().unwrap();
        let played = Rc::new(Played::attach_as(credential, tokens, &hand.description).await);
        let asking = ask(played.clone(), hand.description.total, hand.running.clone(), hand.changed.clone());
        hand.present = Some((played, tokio::task::spawn_local(asking)));
    }

    async fn lose(&mut self, name: &str) {
        let hand = self.hands.get_mut(name).unwrap();
        let (played, asking) = hand.present.take().unwrap();
        asking.abort();
        assert!(asking.await.is_err(), "it asks for ever");
        let Played { credential, .. } = Rc::into_inner(played).unwrap();
        hand.credential = Some(credential);
        for _ in 0..400 {
            let workers = self.house.guild.workers().await.unwrap();
            if workers.iter().any(|worker| worker.name == name && !worker.connected) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{name} is never missed");
    }

    async fn finish(&self, selector: &str) {
        self.end(selector, Outcome::Succeeded).await;
    }

    /// Ends the job of this selector with this outcome. Waits until it has begun.
    async fn end(&self, selector: &str, outcome: Outcome) {
        for _ in 0..400 {
            for hand in self.hands.values() {
                let is_it =
                    |(it, _): &(Assignment, _)| format!("{}/{}/{}", it.project, it.build, it.job.name) == selector;
                let found = hand.running.borrow().iter().position(is_it);
                if let Some(index) = found {
                    let (_, lease) = hand.running.borrow_mut().remove(index);
                    work(&lease, b"", outcome).await;
                    hand.changed.notify_one();
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{selector} runs nowhere");
    }

    async fn finish_all(&mut self) {
        for hand in self.hands.values() {
            let leases: Vec<_> = hand.running.borrow_mut().drain(..).collect();
            for (_, lease) in leases {
                work(&lease, b"", Outcome::Succeeded).await;
            }
            hand.changed.notify_one();
        }
    }

    /// Ends all jobs, and removes all workers.
    async fn clear(&mut self) {
        while self.house.guild.build("demo", self.build).await.unwrap().state != State::Finished {
            self.finish_all().await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let names: Vec<String> = self.hands.keys().cloned().collect();
        for name in names {
            if self.hands[&name].present.is_some() {
                self.lose(&name).await;
            }
            self.house.guild.forget(&name, false).await.unwrap();
            self.hands.remove(&name);
        }
    }

    async fn submit(&mut self, jobs: &str) {
        let text = format!("version = 1\n# {}\n{jobs}", self.build);
        self.house.repo.commit("guild.toml", &text, "jobs");
        self.await_build(self.build + 1).await;
    }

    /// Waits until the build is planned.
    async fn await_build(&mut self, number: u32) {
        for _ in 0..2_000 {
            if let Ok(build) = self.house.guild.build("demo", number).await
                && build.state != State::Planning
            {
                self.build = number;
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("there is never a build {number}");
    }

    async fn await_state(&self, job: &str, is_right: impl Fn(State) -> bool) {
        for _ in 0..2_000 {
            let build = self.house.guild.build("demo", self.build).await.unwrap();
            if build.job(job).is_some_and(|job| is_right(job.state)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{job}: {:?}", self.explain(job).await);
    }

    async fn explain(&self, job: &str) -> Explanation {
        self.house.guild.explain("demo", self.build, job).await.unwrap()
    }

    /// Waits until the explanation of the job `test` is of this kind, and returns it.
    async fn explained(&self, kind: &str) -> Explanation {
        for _ in 0..400 {
            let told = self.explain("test").await;
            if told.kind == kind {
                return told;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("never {kind}: {:?}", self.explain("test").await);
    }

    /// Returns the explanation as `guild explain` shows it on a terminal, with each time as two minutes ago.
    async fn text(&self, job: &str) -> String {
        let build = self.house.guild.build("demo", self.build).await.unwrap();
        let told = self.explain(job).await;
        let lines = told.lines(&build, build.job(job).unwrap(), |_| "2m ago".to_owned());
        let lines = lines.into_iter().map(|(label, text)| format!("{label:<10}{text}\n"));
        format!("$ guild explain demo/{}/{job}\n{}", self.build, lines.collect::<String>())
    }

    fn new_name(&mut self) -> String {
        self.named += 1;
        format!("w{}", self.named)
    }
}

async fn ask(played: Rc<Played>, total: Resources, running: Running, changed: Rc<Notify>) {
    loop {
        let used = |free: Resources, (it, _): &(Assignment, lease::Client)| free.minus(&it.job.room());
        let free = running.borrow().iter().fold(total, used);
        if free.slots == 0 {
            changed.notified().await;
            continue;
        }
        let (assignment, lease) = played.take_with(free).await;
        lease.accept_request().send().promise.await.unwrap();
        running.borrow_mut().push((assignment, lease));
    }
}
