//! Why a job is where it is, as a plain value and as lines for a person. Its JSON is part of the command's interface: fields are
//! only added. Reading it from the wire is in `wire`.

use crate::views::{BuildView, JobView, rfc3339};
use crate::words::status_word;
use schema::values::{Outcome, Resources, Time};
use serde::Serialize;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// As `perspective.capnp` lists them.
    pub kind: String,
    pub text: String,
    #[serde(serialize_with = "rfc3339")]
    pub since: Option<Time>,
    /// Jobs that go first.
    pub ahead: u32,
    /// The nearest first, at most 20.
    pub workers: Vec<Candidate>,
    pub worker_count: u32,
    /// Each by itself gets the job placed.
    pub remedies: Vec<Remedy>,
    pub hints: Vec<String>,
    pub attempts: Vec<AttemptView>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Candidate {
    pub name: String,
    pub standing: String,
    pub text: String,
    /// Selectors; "": of a project that one may not see.
    pub jobs: Vec<String>,
    #[serde(serialize_with = "rfc3339")]
    pub since: Option<Time>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Remedy {
    pub text: String,
    /// To be done one after the other.
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Step {
    pub act: Act,
    /// The worker, or the job as a selector.
    pub object: String,
    /// What to type; empty: nothing.
    pub command: String,
    pub pool: String,
    pub labels: Vec<(String, String)>,
    pub platform: String,
    pub room: Resources,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    Wait,
    Resume,
    Start,
    Join,
    /// One that only a newer version of this command knows.
    #[default]
    Other,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AttemptView {
    pub number: u16,
    pub worker: String,
    #[serde(serialize_with = "rfc3339")]
    pub started: Option<Time>,
    #[serde(serialize_with = "rfc3339")]
    pub finished: Option<Time>,
    pub outcome: Option<Outcome>,
    pub reason: String,
    pub isolation: String,
    /// Why there; empty: not recorded.
    pub placed: String,
    pub because: String,
    pub able: u32,
    pub free: u32,
    pub waited_ms: u64,
    /// What it waited for last; empty: it did not wait.
    pub waited_for: String,
}

impl Explanation {
    /// (label, text): what a person reads. `when`: how a time is told.
    pub fn lines(
        &self,
        build: &BuildView,
        job: &JobView,
        when: impl Fn(Time) -> String,
    ) -> Vec<(&'static str, String)> {
        let word = status_word(job.state, job.outcome);
        let since = self.since.map_or_else(String::new, |time| format!(", {}", when(time)));
        let mut lines =
            vec![("job", build.selector_of(job)), ("status", format!("{word}{since}")), ("why", self.text.clone())];
        match self.ahead {
            0 => {}
            1 => lines.push(("ahead", "1 job goes first".to_owned())),
            ahead => lines.push(("ahead", format!("{ahead} jobs go first"))),
        }
        for (index, remedy) in self.remedies.iter().enumerate() {
            lines.push((if index == 0 { "do" } else { "or" }, remedy.text.clone()));
            lines.extend(remedy.steps.iter().flat_map(Step::commands).map(|command| ("", format!("  {command}"))));
        }
        lines.extend(self.workers.iter().map(|worker| ("worker", worker.line(&when))));
        let shown = u32::try_from(self.workers.len()).unwrap_or(u32::MAX);
        if self.worker_count > shown {
            lines.push(("worker", format!("and {} more", self.worker_count - shown)));
        }
        lines.extend(self.hints.iter().map(|hint| ("note", hint.clone())));
        for attempt in &self.attempts {
            lines.push(("attempt", attempt.line(&when)));
            lines.extend(attempt.because().map(|because| ("", format!("  {because}"))));
        }
        lines
    }
}

impl Candidate {
    /// "anvil  busy: demo/3/test (5m ago)", "anvil  held by ada: its disk"
    fn line(&self, when: impl Fn(Time) -> String) -> String {
        let jobs = self.jobs.iter().map(|job| if job.is_empty() { "a job of another project" } else { job });
        let jobs = jobs.collect::<Vec<_>>().join(", ");
        let what = match (self.text.as_str(), jobs.as_str()) {
            ("", "") => self.standing.clone(),
            ("", jobs) => format!("{}: {jobs}", self.standing),
            (text, "") => text.to_owned(),
            (text, jobs) => format!("{text}; runs {jobs}"),
        };
        let since = self.since.map_or_else(String::new, |time| format!(" ({})", when(time)));
        format!("{}  {what}{since}", self.name)
    }
}

impl Step {
    /// What to type, one after the other.
    pub fn commands(&self) -> Vec<String> {
        let mut commands = vec![self.command.clone()];
        if self.act == Act::Join {
            commands.push("guild-worker join NAME.cap && guild-worker run     (on its machine)".to_owned());
        }
        commands.retain(|command| !command.is_empty());
        commands
    }
}

impl AttemptView {
    /// "1 on anvil: errored, lost, 5m ago"
    fn line(&self, when: impl Fn(Time) -> String) -> String {
        let outcome = self.outcome.map_or("running", Outcome::word).to_owned();
        let reason = Some(self.reason.clone()).filter(|reason| !reason.is_empty());
        let took =
            self.started.zip(self.finished).map(|(from, to)| format!("took {} s", seconds(to.since(from).as_millis())));
        let time = self.started.map(|time| format!("began {}", when(time)));
        let parts: Vec<String> = [outcome].into_iter().chain(reason).chain(time).chain(took).collect();
        format!("{} on {}: {}", self.number, self.worker, parts.join(", "))
    }

    fn because(&self) -> Option<String> {
        if self.placed.is_empty() {
            return None;
        }
        let waited = match self.waited_for.as_str() {
            "" => "did not wait".to_owned(),
            what => format!("waited {} s, at last for {what}", seconds(u128::from(self.waited_ms))),
        };
        Some(format!("there: {}; {waited}", self.placed))
    }
}

/// Whole where it is long.
fn seconds(milliseconds: u128) -> String {
    match milliseconds {
        0..10_000 => format!("{}.{}", milliseconds / 1_000, milliseconds % 1_000 / 100),
        _ => (milliseconds / 1_000).to_string(),
    }
}
