//! Plays a script of what happens to a master, one event per line, and writes down what the master does. In the result each line
//! follows a `>`, and its effects follow the line. The line `look` adds the whole state.
//!
//! | line | what happens |
//! | --- | --- |
//! | `worker w1 kind=gpu cpus=2 slots=2` | a worker with this label and room connects; both are optional |
//! | `worker w1 tiers=plain` | a worker connects that tried all tiers of isolation, of which only these work |
//! | `push main: build; test after build` | a change, whose plan has these jobs; [`job`] reads what follows a name |
//! | `append 1: report after test` | build 1 gets further jobs |
//! | `w1 asks` | the worker waits for work, with the room that its attempts leave |
//! | `w1 accepts`, `w1 declines` | the worker accepts or declines its newest offer |
//! | `w1 ends 1/test failed` | the job `test` of build 1 runs its only step, and completes with this outcome |
//! | `w1 renews` | the worker renews all its leases |
//! | `w1 is lost`, `w1 returns`, `w1 returns empty` | the worker loses its connection; it returns and names its leases, or none of them |
//! | `drain w1`, `undrain w1`, `cancel 1`, `cancel 1/test` | an operator drains a worker, ends the drain, or cancels a build or a job |
//! | `pass 60` | this many seconds pass |
//! | `clock 2026-03-29 02:59` | the wall clock shows this time in UTC, and the firings that are due make builds |
//! | `crons main at 2026-03-29 02:59: a 0 3 * * *; b if-changed 0 4 * * * in Europe/Berlin` | the pipeline at the tip of the branch was read, and has these entries |
//! | `delete main`, `restore main` | the branch is deleted; it is pushed again at the commit where it was |
//! | `unfollow main`, `default main` | the branch is no longer followed; it becomes the default branch, which is `main` at first |
//! | `plans wait` | from here on, builds by the clock have one job, which is queued; before, their plans are skipped |
//! | `restart` | the master is killed and starts from what it recorded |

use crate::world::World;
use master::decide::coordinator::record::{BuildId, BuildRow, LeaseToken, Record};
use master::decide::coordinator::{AddedJob, Arrival, Effect, FiringBranches, Planned, ROOT, SessionId, Terms};
use pipeline::{CronEntry, CronTimes};
use schema::values::{
    Change, Description, Exit, Fact, Home, JobPlan, Outcome, Plan, Refusal, Resources, StepEnd, Tier, TierProbe, Time,
    Trust, What,
};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;
use support::hall::step;

/// Plays a script. Returns its lines, each followed by what the master did.
pub(super) fn play(script: &str) -> String {
    let mut player = Player::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let _ = writeln!(player.out, "> {line}");
        player.line(line);
        player.settle();
    }
    player.out
}

/// `Worker` is a worker of the script. It holds the leases that it accepted, also while it is away.
struct Worker {
    /// The number of the worker in the world.
    number: usize,
    session: SessionId,
    description: Description,
    offered: Vec<LeaseToken>,
    held: Vec<LeaseToken>,
}

struct Player {
    world: World,
    workers: BTreeMap<String, Worker>,
    /// The plans for which the coordinator has not asked yet.
    plans: BTreeMap<BuildId, Plan>,
    /// The job of each lease, as `1/test`, with the room that it takes.
    jobs: BTreeMap<LeaseToken, (String, Resources)>,
    /// The full name of a branch that the master file no longer follows. Empty means that there is none.
    unfollowed: String,
    /// The full name of the default branch.
    main: String,
    /// Whether builds by the clock have a job, which is queued. Otherwise their plans are skipped.
    plans_wait: bool,
    out: String,
}

fn terms() -> Terms {
    Terms { lease: Duration::from_secs(60), ..Terms::default() }
}

impl Player {
    fn new() -> Player {
        let (workers, plans, jobs, unfollowed, plans_wait, out) = Default::default();
        let main = "refs/heads/main".to_owned();
        Player { world: World::new(terms()), workers, plans, jobs, unfollowed, main, plans_wait, out }
    }

    fn line(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["worker", name, ref terms @ ..] => self.add_worker(name, terms),
            ["push", branch, ..] => self.push(branch.trim_end_matches(':'), line.split_once(':').expect("its jobs").1),
            ["append", number, ..] => {
                self.append(number.trim_end_matches(':'), line.split_once(':').expect("its jobs").1);
            }
            ["drain", name] => self.drain(name, true),
            ["undrain", name] => self.drain(name, false),
            ["cancel", what] => self.cancel(what),
            ["pass", seconds] => self.pass(seconds.parse().expect("a number of seconds")),
            ["clock", ..] => self.clock(line.split_once(' ').expect("a time").1),
            ["crons", branch, "at", ..] => {
                let (time, entries) = line.split_once("at ").expect("a time").1.split_at(16);
                self.read_crons(branch, time, entries.trim_start_matches(':'));
            }
            ["delete", branch] => self.delete(branch),
            ["plans", "wait"] => self.plans_wait = true,
            ["default", branch] => self.main = format!("refs/heads/{branch}"),
            ["restore", branch] => self.restore_branch(branch),
            ["unfollow", branch] => self.unfollowed = format!("refs/heads/{branch}"),
            ["restart"] => self.restart(),
            ["look"] => self.look(),
            [name, "asks"] => self.ask(name),
            [name, "accepts"] => self.accept(name),
            [name, "declines"] => self.decline(name),
            [name, "renews"] => self.renew(name),
            [name, "is", "lost"] => {
                self.world.it.session_lost(self.world.now, self.workers[name].session, "the link broke")
            }
            [name, "returns"] => self.attach(name),
            [name, "returns", "empty"] => {
                self.worker(name).held.clear();
                self.attach(name);
            }
            [name, "ends", job, outcome] => self.end(name, job, outcome),
            _ => panic!("`{line}` is not a line of a script"),
        }
    }

    fn worker(&mut self, name: &str) -> &mut Worker {
        self.workers.get_mut(name).unwrap_or_else(|| panic!("there is no worker {name}"))
    }

    fn add_worker(&mut self, name: &str, terms: &[&str]) {
        let mut total = Resources { slots: 1, cpus_milli: 8_000, memory: 8 << 30 };
        let (mut labels, mut probes) = (Vec::new(), Vec::new());
        for (key, value) in terms.iter().map(|term| term.split_once('=').expect("KEY=VALUE")) {
            match key {
                "cpus" => total.cpus_milli = value.parse::<u32>().expect("cores") * 1_000,
                "slots" => total.slots = value.parse().expect("a number of slots"),
                "tiers" => probes = probes_of(value),
                _ => labels.push((key.to_owned(), value.to_owned())),
            }
        }
        let number = self.world.enroll(name, What { labels, ..What::default() });
        let description = Description { total, probes, ..Description::default() };
        let worker = Worker { number, session: SessionId(0), description, offered: Vec::new(), held: Vec::new() };
        self.workers.insert(name.to_owned(), worker);
        self.attach(name);
    }

    fn attach(&mut self, name: &str) {
        let instance = [u8::try_from(name.len()).expect("short"); 16];
        let worker = &self.workers[name];
        let (description, running) = (worker.description.clone(), worker.held.clone());
        let home = Some(Home { boot: "boot".to_owned(), inode: worker.number as u64, ..Home::default() });
        let arrival = Arrival { instance, running, description, keeps_terms: true, home, ..Arrival::default() };
        let attached = self
            .world
            .it
            .attach(self.world.now, self.world.grants[worker.number], arrival)
            .expect("its grant is in force");
        for (token, standing) in self.workers[name].held.iter().zip(&attached.standing) {
            let _ = writeln!(self.out, "  {} is {standing:?}", self.jobs[token].0);
        }
        self.worker(name).session = attached.session;
    }

    fn push(&mut self, branch: &str, jobs: &str) {
        let mut plan = Plan { version: 1, jobs: Vec::new(), trust: Trust::Trusted };
        for text in jobs.split(';') {
            let job = job(text, &plan);
            plan.jobs.push(job);
        }
        let build = self.world.submit_commit("p", branch);
        self.plans.insert(build, plan);
    }

    fn append(&mut self, number: &str, jobs: &str) {
        let build = self.build(number);
        let mut plan = self.world.ledger.plans[&build].clone();
        let added = jobs.split(';').map(|text| {
            let job = job(text, &plan);
            let needs = job.needs.iter().map(|need| plan.jobs[*need as usize].name.clone()).collect();
            plan.jobs.push(job.clone());
            AddedJob { plan: job, needs }
        });
        let added = added.collect();
        let answer = self.world.it.append(self.world.now, build, added);
        self.answered(answer);
    }

    fn build(&self, number: &str) -> BuildId {
        let number: u32 = number.parse().expect("the number of a build");
        self.world.ledger.builds.values().find(|row| row.number == number).expect("it was recorded").id
    }

    fn drain(&mut self, name: &str, on: bool) {
        let request = self.world.request();
        let answer = self.world.it.drain(self.world.now, request, name, on);
        self.answered(answer);
    }

    fn cancel(&mut self, what: &str) {
        let (number, job) = what.split_once('/').map_or((what, None), |(number, job)| (number, Some(job)));
        let build = self.build(number);
        let request = self.world.request();
        let answer = self.world.it.cancel(self.world.now, request, build, job, "ada asked for it");
        self.answered(answer);
    }

    fn pass(&mut self, seconds: u64) {
        // time passes one second at a time, so that each timer fires when it is due
        for _ in 0..seconds {
            self.world.now = Time(self.world.now.0 + 1_000);
            self.world.it.handle_timeout(self.world.now);
        }
    }

    fn clock(&mut self, time: &str) {
        let (unfollowed, main) = (self.unfollowed.clone(), self.main.clone());
        let branches = FiringBranches { follows: &|name| name != unfollowed, main: Some(&main) };
        let next = self.world.it.fire_crons(self.world.now, utc(time), "p", branches);
        self.settle();
        let next = next.map_or_else(|| "never".to_owned(), |next| CLOCK.with(|clock| clock.shown(next)));
        let _ = writeln!(self.out, "  next: {next}");
    }

    fn read_crons(&mut self, branch: &str, time: &str, entries: &str) {
        let is_tip = |row: &&BuildRow| row.stamp.sources[0].ref_name == format!("refs/heads/{branch}");
        let row = self.world.ledger.builds.values().rev().find(is_tip).expect("the branch was pushed").clone();
        let named = (self.main != format!("refs/heads/{branch}")).then(|| branch.to_owned());
        let entries = entries.split(';').filter(|entry| !entry.trim().is_empty());
        let entries = entries.map(|entry| CronEntry { branch: named.clone(), ..cron(entry) }).collect();
        self.world.it.read_crons(utc(time), &row, entries);
    }

    fn delete(&mut self, branch: &str) {
        let (project, ref_name) = ("p".to_owned(), format!("refs/heads/{branch}"));
        self.world.it.submit_change(self.world.now, ROOT, Change { project, ref_name, ..Change::default() });
    }

    fn restore_branch(&mut self, branch: &str) {
        let ref_name = format!("refs/heads/{branch}");
        let was = self.world.ledger.heads.get(&("p".to_owned(), ref_name.clone())).expect("it was pushed");
        let change =
            Change { project: "p".to_owned(), ref_name, revision: was.head.revision.clone(), ..Change::default() };
        self.world.it.submit_change(self.world.now, ROOT, change);
    }

    fn restart(&mut self) {
        self.world.load(terms(), self.world.ledger.load());
    }

    fn look(&mut self) {
        for line in self.world.it.dump(self.world.now).lines() {
            let _ = writeln!(self.out, "  | {line}");
        }
    }

    fn ask(&mut self, name: &str) {
        let worker = &self.workers[name];
        let mut free = worker.description.total;
        for token in &worker.held {
            let taken = self.jobs[token].1;
            free.slots -= taken.slots;
            free.cpus_milli -= taken.cpus_milli;
        }
        self.world.it.worker_ready(self.world.now, worker.session, free);
    }

    fn accept(&mut self, name: &str) {
        let token = self.worker(name).offered.pop().expect("it was offered something");
        let answer = self.world.it.accept(self.world.now, token);
        if answer.is_ok() {
            self.worker(name).held.push(token);
        }
        self.answered(answer);
    }

    fn decline(&mut self, name: &str) {
        let token = self.worker(name).offered.pop().expect("it was offered something");
        self.world.it.give_back(self.world.now, token);
    }

    fn renew(&mut self, name: &str) {
        let held = self.workers[name].held.clone();
        let terms = self.world.it.renew(self.world.now, name, &held);
        for (token, term) in held.iter().zip(terms) {
            let term = term.map_or_else(|| "over".to_owned(), |term| format!("for {} s", term.as_secs()));
            let _ = writeln!(self.out, "  {} {term}", self.jobs[token].0);
        }
    }

    fn end(&mut self, name: &str, job: &str, outcome: &str) {
        let outcome = match outcome {
            "succeeded" => Outcome::Succeeded,
            "failed" => Outcome::Failed,
            "errored" => Outcome::Errored,
            "cancelled" => Outcome::Cancelled,
            _ => panic!("no attempt ends {outcome}"),
        };
        let held = &self.workers[name].held;
        let token = *held.iter().find(|token| self.jobs[token].0 == job).expect("it holds that lease");
        let (now, code) = (self.world.now, u8::from(outcome != Outcome::Succeeded));
        let exit = Exit::Code(code.into());
        let end = StepEnd { outcome, exit, time: now, log_size: 0, log_hash: Vec::new(), tests: None };
        let answer = self
            .world
            .it
            .step_started(now, token, 0, now)
            .and_then(|()| self.world.it.step_finished(now, token, 0, end))
            .and_then(|()| self.world.it.complete(now, token, outcome, ""));
        self.answered(answer);
        self.worker(name).held.retain(|held| *held != token);
    }

    fn answered(&mut self, answer: Result<(), Refusal>) {
        if let Err(refusal) = answer {
            let _ = writeln!(self.out, "  refused: {}", refusal.text);
        }
    }

    /// Performs the effects of the master, and writes them down.
    fn settle(&mut self) {
        while let Some(effect) = self.world.it.poll_effect() {
            match effect {
                Effect::Record(record) => self.record(record),
                Effect::Plan { build } if self.world.ledger.builds[&build].cause.kind() == "cron" => {
                    let planned = match self.plans_wait {
                        true => Planned::Plan(Plan { jobs: vec![job("soak", &Plan::default())], ..Plan::default() }),
                        false => Planned::Skip("played".to_owned()),
                    };
                    self.world.it.plan_ready(self.world.now, build, planned);
                }
                Effect::Plan { build } => {
                    let plan = self.plans.remove(&build).expect("each plan is asked for once");
                    self.world.it.plan_ready(self.world.now, build, Planned::Plan(plan));
                }
                Effect::Offer { session, assignment } => {
                    let (name, _) = self.workers.iter().find(|(_, worker)| worker.session == session).expect("is here");
                    let (name, token) = (name.clone(), LeaseToken(assignment.token));
                    let job = format!("{}/{}", assignment.build, assignment.job.name);
                    let tier = assignment.isolation.as_ref().map(|tier| format!(" in {tier}")).unwrap_or_default();
                    let _ = writeln!(self.out, "  {job} is offered to {name}{tier}");
                    self.jobs.insert(token, (job, assignment.job.room()));
                    self.worker(&name).offered.push(token);
                }
                Effect::Cancel { token, reason, now, .. } => {
                    let at_once = if now { " at once" } else { "" };
                    let _ = writeln!(self.out, "  {} is to end{at_once}: {reason}", self.jobs[&token].0);
                }
                Effect::Withdraw { token, reason, .. } => {
                    let _ = writeln!(self.out, "  the lease of {} is over: {reason}", self.jobs[&token].0);
                }
                Effect::EndSession { .. } => self.out.push_str("  its older session ends\n"),
                Effect::Revoke { .. } | Effect::Finished { .. } | Effect::Tested => {}
            }
        }
        self.world.it.check();
    }

    fn record(&mut self, record: Record) {
        if let Record::Event(event) = &record {
            self.tell(event.build, &event.fact);
        }
        self.world.ledger.write(record);
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the other facts say nothing of what becomes of a job")]
    fn tell(&mut self, build: u32, fact: &Fact) {
        let _ = match fact {
            Fact::AttemptLost { job, reason, .. } => writeln!(self.out, "  {build}/{job} lost its attempt: {reason}"),
            Fact::JobQueued { job } => writeln!(self.out, "  {build}/{job} queued"),
            Fact::JobFinished { job, outcome, reason } if reason.is_empty() => {
                writeln!(self.out, "  {build}/{job} {outcome}")
            }
            Fact::JobFinished { job, outcome, reason } => writeln!(self.out, "  {build}/{job} {outcome}: {reason}"),
            Fact::BuildCreated { cause, ref_name, revision } if cause.starts_with("cron") => {
                writeln!(self.out, "  build {build} of {ref_name} at {}: {cause}", revision.trim_start_matches('0'))
            }
            Fact::CronSkipped { name, ref_name, reason } => {
                writeln!(self.out, "  no build of {ref_name} by cron {name}: {reason}")
            }
            Fact::BuildFinished { outcome, .. } => writeln!(self.out, "  build {build} {outcome}"),
            _ => Ok(()),
        };
    }
}

thread_local! {
    static CLOCK: CronTimes = CronTimes::new("* * * * *", "UTC").expect("each minute");
}

/// Converts a time in UTC, which is written like `2026-03-29 02:59`. Counts days from 1 March of the year 0, so that a leap day
/// is the last day of its year.
fn utc(text: &str) -> Time {
    let parts: Vec<u64> = text.split(['-', ' ', ':']).map(|part| part.parse().expect("a number")).collect();
    let [year, month, day, hour, minute] = parts[..] else { panic!("`{text}` is not a time") };
    let year = if month > 2 { year } else { year - 1 };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    // 719,468 is the number of 1 January 1970, counted in the same way
    Time((((days - 719_468) * 24 + hour) * 60 + minute) * 60_000)
}

/// Reads a cron entry: a name, then `if-changed` if wanted, the expression, and `in ZONE` if wanted.
fn cron(text: &str) -> CronEntry {
    let (name, rest) = text.trim().split_once(' ').expect("NAME EXPRESSION");
    let (at, tz) = rest.split_once(" in ").unwrap_or((rest, "UTC"));
    let bare = at.strip_prefix("if-changed ");
    let (name, at, tz) = (name.to_owned(), bare.unwrap_or(at).to_owned(), tz.to_owned());
    CronEntry { name, at, tz, branch: None, if_changed: bare.is_some() }
}

/// Returns the probes of a worker on which only these tiers work.
fn probes_of(working: &str) -> Vec<TierProbe> {
    let lack = |tier: Tier| (!working.split(',').any(|word| word == tier.word())).then(|| "not here".to_owned());
    Tier::ALL.map(|tier| TierProbe { tier: tier.into(), lack: lack(tier) }).to_vec()
}

/// Reads a job of one step. Its name may be followed by `after JOB…`, `wants LABEL=VALUE`, `tier TIER`, `cpus N`, `priority N`,
/// `retry N`, `side-effects` and `may-fail`.
fn job(text: &str, plan: &Plan) -> JobPlan {
    let mut words = text.split_whitespace().peekable();
    let name = words.next().expect("a name").to_owned();
    let mut job = JobPlan { name, retry_infra: 2, steps: vec![step("run")], ..JobPlan::default() };
    while let Some(word) = words.next() {
        if word == "side-effects" {
            job.side_effects = true;
            continue;
        }
        if word == "may-fail" {
            job.may_fail = true;
            continue;
        }
        let value = words.next().unwrap_or_else(|| panic!("`{word}` lacks its value"));
        match word {
            "after" | "and" => {
                let needed = plan.jobs.iter().position(|job| job.name == value).expect("a job before this one");
                job.needs.push(u32::try_from(needed).expect("few jobs"));
            }
            "wants" => job.want.push(value.to_owned()),
            "tier" => job.isolation = Some(value.to_owned().into()),
            "cpus" => job.cpus_milli = value.parse::<u32>().expect("cores") * 1_000,
            "priority" => job.priority = value.parse().expect("a priority"),
            "retry" => job.retry_infra = value.parse().expect("a number of attempts"),
            _ => panic!("a job has no `{word}`"),
        }
    }
    job
}
