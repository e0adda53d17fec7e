//! The explanation why a job waits, or why it ran on its worker, as a plain value and as lines for a person. Its JSON is part of the
//! command's interface, so fields are only added. [`crate::Guild::explain`] asks the master for it.

use crate::views::{BuildView, JobView, rfc3339};
use crate::words::status_word;
use schema::values::{Outcome, Resources, Tier, Time};
use serde::Serialize;

/// The explanation why a job waits, or why it ran where it ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The reason in a word for programs; `perspective.capnp` lists the words.
    pub kind: String,
    /// The reason in a sentence.
    pub text: String,
    /// The time since which the job has been in its state, or `None` if that is not known.
    #[serde(serialize_with = "rfc3339")]
    pub since: Option<Time>,
    /// The number of queued jobs that go first and that the same workers could take; at most 1,000.
    pub ahead: u32,
    /// The workers that could take the job, the nearest first; at most 20 of them.
    pub workers: Vec<Candidate>,
    /// The number of all workers that could take the job. It can be larger than the list.
    pub worker_count: u32,
    /// The remedies that would place the job, the least effort first. Each one is enough by itself.
    pub remedies: Vec<Remedy>,
    /// Hints in sentences: what else to look at, and what later builds could ask for.
    pub hints: Vec<String>,
    /// The attempts so far, in their order.
    pub attempts: Vec<AttemptView>,
}

/// A worker, and why it does not have the job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// The name of the worker.
    pub name: String,
    /// The worker's state for the job, in a word for programs; `perspective.capnp` lists the words.
    pub standing: String,
    /// The worker's state for the job as a sentence, or "" if the word says all.
    pub text: String,
    /// The selectors of the jobs that the worker runs or was offered, the oldest first. "" stands for a job of a project that the
    /// credential may not see.
    pub jobs: Vec<String>,
    /// The time since which the worker has run the oldest of its jobs, or has been in its state. `None` if that is not known.
    #[serde(serialize_with = "rfc3339")]
    pub since: Option<Time>,
}

/// One way to have the job placed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Remedy {
    /// The sentence that describes the remedy.
    pub text: String,
    /// The steps of the remedy, in order.
    pub steps: Vec<RemedyStep>,
}

/// One step of a remedy: an action, or an event to wait for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RemedyStep {
    /// The kind of the step.
    pub act: Act,
    /// The name of the worker, or the selector of the job, that the step is about.
    pub object: String,
    /// The command to type, or "" if there is none.
    pub command: String,
    /// The pool that a new worker has to serve. This field and those below it are empty unless the act is [`Act::Join`].
    pub pool: String,
    /// The labels that a new worker has to have, as names and values.
    pub labels: Vec<(String, String)>,
    /// The platform of a new worker, such as `linux-x86_64`; "" if any platform will do.
    pub platform: String,
    /// The resources that a new worker must have for the job, and for the jobs that go first.
    pub room: Resources,
}

/// The kind of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Wait until a job has ended.
    Wait,
    /// Let a worker take jobs again, because an operator drains or holds it.
    Resume,
    /// Start a worker that is not connected.
    Start,
    /// Add a worker that could take the job.
    Join,
    /// A kind that only a newer version of this library knows.
    #[default]
    Other,
}

/// One attempt to run the job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AttemptView {
    /// The number of the attempt, from 1.
    pub number: u16,
    /// The name of the worker of this attempt.
    pub worker: String,
    /// The time at which the attempt started. `None` means that it has not.
    #[serde(serialize_with = "rfc3339")]
    pub started: Option<Time>,
    /// The time at which the attempt finished. `None` means that it has not.
    #[serde(serialize_with = "rfc3339")]
    pub finished: Option<Time>,
    /// How the attempt ended, or `None` while it runs.
    pub outcome: Option<Outcome>,
    /// Why the attempt ended, or "" if the outcome says all.
    pub reason: String,
    /// The tier of isolation in which the attempt's steps ran; "" if its worker did not say.
    pub isolation: String,
    /// Why the master placed the attempt on its worker, in a sentence; "" if that was not recorded.
    pub placed: String,
    /// Why the master placed the attempt on its worker, in a word for programs; `perspective.capnp` lists the words.
    pub because: String,
    /// The number of connected workers that could take the job when it was placed.
    pub able: u32,
    /// The number of workers, of those in `able`, that had room and asked for work; at most 8 are counted.
    pub free: u32,
    /// How long the job was queued before this attempt, in milliseconds.
    pub waited_ms: u64,
    /// The event that ended the wait in the queue, or "" if the job did not wait.
    pub waited_for: String,
}

impl Explanation {
    /// Returns the tier of isolation in which the job's newest attempt runs or ran; "" if none is known.
    pub fn isolation(&self) -> &str {
        self.attempts.last().map_or("", |attempt| &attempt.isolation)
    }

    /// Whether the job waits only for other jobs, and a connected worker can take it when they have ended. Another worker could take
    /// it sooner, but nobody needs to add one.
    fn comes_by_itself(&self) -> bool {
        let is_able = |worker: &Candidate| matches!(worker.standing.as_str(), "free" | "busy" | "offered");
        let only_waits = |remedy: &Remedy| remedy.steps.iter().all(|step| matches!(step.act, Act::Wait | Act::Join));
        self.kind == "needs" && self.workers.iter().any(is_able) && self.remedies.iter().all(only_waits)
    }

    /// Returns the text for a person, in lines with a label and a text. A line that continues the previous line has the label "".
    /// `when` writes a time, for example as "5m ago".
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
        let comes_by_itself = self.comes_by_itself();
        if comes_by_itself {
            lines.push(("do", "nothing: it starts by itself, once these have ended and a worker has room".to_owned()));
        }
        let remedies = self.remedies.iter().filter(|_| !comes_by_itself);
        for (index, remedy) in remedies.enumerate() {
            lines.push((if index == 0 { "do" } else { "or" }, remedy.text.clone()));
            lines
                .extend(remedy.steps.iter().flat_map(RemedyStep::commands).map(|command| ("", format!("  {command}"))));
        }
        let workers = self.workers.iter().filter(|_| !comes_by_itself);
        lines.extend(workers.map(|worker| ("worker", worker.line(&when))));
        let shown = u32::try_from(self.workers.len()).unwrap_or(u32::MAX);
        if self.worker_count > shown && !comes_by_itself {
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
    /// Returns a line such as "anvil  busy: demo/3/test (5m ago)" or "anvil  held by ada: its disk".
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

impl RemedyStep {
    /// Returns the commands to type, one after the other.
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
    /// Returns a line such as "1 on anvil: errored, lost, 5m ago".
    fn line(&self, when: impl Fn(Time) -> String) -> String {
        let outcome = self.outcome.map_or("running", Outcome::word).to_owned();
        let reason = Some(self.reason.clone()).filter(|reason| !reason.is_empty());
        let took =
            self.started.zip(self.finished).map(|(from, to)| format!("took {} s", seconds(to.since(from).as_millis())));
        let time = self.started.map(|time| format!("began {}", when(time)));
        // Only the unusual tier is mentioned.
        let tier = (self.isolation == Tier::Plain.word()).then(|| format!("isolation {}", self.isolation));
        let parts: Vec<String> = [outcome].into_iter().chain(reason).chain(time).chain(took).chain(tier).collect();
        format!("{} on {}: {}", self.number, self.worker, parts.join(", "))
    }

    fn because(&self) -> Option<String> {
        if self.placed.is_empty() {
            return None;
        }
        let waited = match self.waited_for.as_str() {
            "" => "started at once".to_owned(),
            what => format!("waited {} s, in the end for {what}", seconds(u128::from(self.waited_ms))),
        };
        Some(format!("placement: {}; {waited}", self.placed))
    }
}

/// Writes the seconds, without a fraction if the time is long.
fn seconds(milliseconds: u128) -> String {
    match milliseconds {
        0..10_000 => format!("{}.{}", milliseconds / 1_000, milliseconds % 1_000 / 100),
        _ => (milliseconds / 1_000).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(kind: &str, standing: &str, acts: &[Act]) -> Vec<(&'static str, String)> {
        let step = |act: &Act| RemedyStep { act: *act, ..RemedyStep::default() };
        let remedy = Remedy { text: "wait, then join".to_owned(), steps: acts.iter().map(step).collect() };
        let worker = Candidate { name: "anvil".to_owned(), standing: standing.to_owned(), ..Candidate::default() };
        let told = Explanation {
            kind: kind.to_owned(),
            workers: vec![worker],
            worker_count: 1,
            remedies: vec![remedy],
            ..Explanation::default()
        };
        told.lines(&BuildView::default(), &JobView::default(), |_| String::new())
    }

    /// T5.2, F6.14: a job that waits only for other jobs and for a slot that becomes free by itself needs no new worker.
    #[test]
    fn a_job_that_comes_by_itself_asks_for_no_worker() {
        let asks = |lines: &[(&str, String)]| lines.iter().any(|(_, text)| text.contains("join"));
        assert!(!asks(&told("needs", "busy", &[Act::Wait, Act::Join])));
        // No other worker will take the job.
        assert!(asks(&told("needs", "lacking", &[Act::Wait, Act::Join])));
        assert!(asks(&told("busy", "busy", &[Act::Join])));
        assert!(asks(&told("needs", "busy", &[Act::Resume, Act::Join])));
    }
}
