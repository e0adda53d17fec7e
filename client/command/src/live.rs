//! A running build on a terminal, as a tree in the lines at the bottom of the screen, which are drawn again in place. Making the tree
//! has no effects.

use crate::output::{self, Shown};
use crate::render::{Look, one_line, status_word};
use client::painted::{Paint, PaintedLine};
use client::views::{BuildView, JobView, StepView};
use client::{Error, UsualTimes, words};
use schema::shown;
use schema::values::{State, Time};

/// The lines at the bottom of a terminal. The region remembers how many lines it drew, and leaves the rest of the screen alone.
pub(crate) struct LiveRegion {
    drawn: usize,
    has_colours: bool,
}

impl LiveRegion {
    pub(crate) fn new(look: &Look) -> LiveRegion {
        LiveRegion { drawn: 0, has_colours: look.colour }
    }

    /// Draws these lines in place of the lines that were drawn before.
    pub(crate) fn draw(&mut self, lines: &[PaintedLine]) -> Result<(), Error> {
        let before = std::mem::replace(&mut self.drawn, lines.len());
        output::say(&Shown::redrawn(before, lines, self.has_colours))
    }

    /// Removes the lines, so that other text can be written there.
    pub(crate) fn clear(&mut self) -> Result<(), Error> {
        if self.drawn == 0 { Ok(()) } else { self.draw(&[]) }
    }
}

/// Returns the lines of a running build with its jobs, at most `room` of them.
pub(crate) fn tree(build: &BuildView, usual: &UsualTimes, now: Time, room: usize) -> Vec<PaintedLine> {
    let branches = Branches { build, usual, now };
    let whole = branches.lines(|_| true, true);
    if whole.len() <= room {
        return whole;
    }
    let is_telling = |job: &JobView| job.state == State::Running || job.is_bad();
    let mut short = branches.lines(is_telling, false);
    let left_out = build.jobs.iter().filter(|job| !is_telling(job));
    short.push(PaintedLine::new().and(format!("└ {}", counted(left_out)), Paint::Quiet));
    if short.len() > room {
        let hidden = short.len() - room.max(2) + 1;
        short.drain(room.max(2) - 1..);
        short.push(PaintedLine::new().and(format!("└ and {} more", words::count(hidden, "line")), Paint::Quiet));
    }
    short
}

/// Returns the number of jobs in each state, such as `12 succeeded, 3 waiting`.
fn counted<'a>(jobs: impl Iterator<Item = &'a JobView>) -> String {
    let mut counts: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    jobs.for_each(|job| *counts.entry(status_word(job.state, job.outcome)).or_default() += 1);
    counts.iter().map(|(word, count)| format!("{count} {word}")).collect::<Vec<_>>().join(", ")
}

/// The values from which the lines of a tree are made.
struct Branches<'a> {
    build: &'a BuildView,
    usual: &'a UsualTimes,
    now: Time,
}

impl Branches<'_> {
    fn lines(&self, is_shown: impl Fn(&JobView) -> bool, with_steps: bool) -> Vec<PaintedLine> {
        let jobs: Vec<&JobView> = self.build.jobs.iter().filter(|job| is_shown(job)).collect();
        let name = jobs.iter().map(|job| shown::columns(&job.name)).max().unwrap_or(0);
        let mut lines = vec![self.head()];
        for (index, job) in jobs.iter().enumerate() {
            let is_last = with_steps && index + 1 == jobs.len();
            lines.push(self.job(job, if is_last { "└ " } else { "├ " }, name));
            if with_steps && job.state == State::Running {
                lines.extend(self.steps(job, if is_last { "  " } else { "│ " }));
            }
        }
        lines
    }

    fn head(&self) -> PaintedLine {
        let build = self.build;
        let author = words::author_name(&build.author);
        let by = if author.is_empty() { String::new() } else { format!(" by {author}") };
        let elapsed = words::duration(build.started.or(build.created), build.finished, build.is_finished(), self.now);
        let paint = Paint::of(build.state, build.outcome);
        PaintedLine::new()
            .and(format!("{} ", words::symbol(build.state, build.outcome)), paint)
            .and(build.selector(), Paint::Strong)
            .and(format!(" {}", status_word(build.state, build.outcome)), paint)
            .and(format!("  {elapsed}  "), Paint::Plain)
            .and(format!("{}{by}", one_line(build)), Paint::Plain)
    }

    fn job(&self, job: &JobView, edge: &str, name: usize) -> PaintedLine {
        let paint = Paint::of(job.state, job.outcome);
        let line = PaintedLine::new()
            .and(edge, Paint::Quiet)
            .and(format!("{} ", words::symbol(job.state, job.outcome)), paint)
            .and(&job.name, Paint::Plain)
            .padded(name + 6);
        let elapsed = words::duration(job.started, job.finished, job.is_finished(), self.now);
        let line = line.and(format!("{elapsed:>6}"), Paint::Plain);
        let more = self.more(job);
        if more.is_empty() { line } else { line.and(format!("  {more}"), Paint::Quiet) }
    }

    /// Returns the text after the name of a job: its worker, what it waits for, or why it did not succeed.
    fn more(&self, job: &JobView) -> String {
        match (job.state, job.outcome) {
            (State::Finished, _) => words::why(job),
            (State::Running, _) => {
                let usual = self.usual.of(&job.name);
                let usual = usual.map_or_else(String::new, |usual| format!("usually {}, ", usual.clock()));
                format!("{usual}on {}", job.worker)
            }
            (State::Waiting, _) => match self.open_needs(job) {
                needs if needs.is_empty() => words::why(job),
                needs => format!("needs {}", needs.join(", ")),
            },
            (State::Planning | State::Queued | State::Offered, _) => {
                let since = words::duration(job.queued, None, false, self.now);
                let since = if since.is_empty() { since } else { format!(" {since}") };
                let why = words::why(job);
                let why = if why.is_empty() { why } else { format!(": {why}") };
                format!("{}{since}{why}", status_word(job.state, job.outcome))
            }
        }
    }

    fn open_needs(&self, job: &JobView) -> Vec<&str> {
        let needs = job.needs.iter().filter_map(|index| self.build.jobs.get(usize::try_from(*index).ok()?));
        needs.filter(|need| !need.is_finished()).map(|need| need.name.as_str()).collect()
    }

    fn steps(&self, job: &JobView, edge: &str) -> Vec<PaintedLine> {
        let begun: Vec<&StepView> = job.steps.iter().filter(|step| step.started.is_some()).collect();
        // If a job has only one step, the line of the job already says all.
        if job.steps.len() < 2 && begun.iter().all(|step| step.name == job.base()) {
            return Vec::new();
        }
        let name = begun.iter().map(|step| shown::columns(&step.name)).max().unwrap_or(0);
        begun
            .iter()
            .enumerate()
            .map(|(index, step)| {
                let is_last = index + 1 == begun.len();
                let elapsed = words::duration(step.started, step.finished, step.state == State::Finished, self.now);
                PaintedLine::new()
                    .and(format!("{edge}  {}", if is_last { "└ " } else { "├ " }), Paint::Quiet)
                    .and(format!("{} ", words::symbol(step.state, step.outcome)), Paint::of(step.state, step.outcome))
                    .and(&step.name, Paint::Plain)
                    .padded(name + 10)
                    .and(format!("{elapsed:>6}"), Paint::Plain)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::values::Outcome;

    const BEGAN: Time = Time(1_000_000);

    fn job(name: &str, state: State) -> JobView {
        let started = matches!(state, State::Running | State::Finished).then_some(BEGAN);
        JobView { name: name.to_owned(), state, started, ..JobView::default() }
    }

    fn step(name: &str, seconds: Option<u64>) -> StepView {
        let state = if seconds.is_some() { State::Finished } else { State::Running };
        let finished = seconds.map(|seconds| Time(BEGAN.0 + seconds * 1_000));
        let outcome = seconds.map(|_| Outcome::Succeeded);
        StepView { name: name.to_owned(), state, outcome, started: Some(BEGAN), finished, ..StepView::default() }
    }

    fn build() -> BuildView {
        let mut lint = job("lint", State::Finished);
        (lint.outcome, lint.finished) = (Some(Outcome::Succeeded), Some(Time(BEGAN.0 + 70)));
        let mut test = job("test@3.11", State::Running);
        test.worker = "anvil".to_owned();
        test.steps = vec![step("build", Some(3)), step("tests", None)];
        let mut queued = job("test@3.14", State::Queued);
        queued.queued = Some(BEGAN);
        let mut publish = job("publish", State::Waiting);
        publish.needs = vec![0, 1, 2];
        BuildView {
            project: "calc".to_owned(),
            number: 5,
            state: State::Running,
            ref_name: "refs/heads/main".to_owned(),
            revision: "1d45066a0122".to_owned(),
            subject: "a test".to_owned(),
            author: "Ada <ada@example.org>".to_owned(),
            started: Some(BEGAN),
            jobs: vec![lint, test, queued, publish],
            ..BuildView::default()
        }
    }

    fn usual() -> UsualTimes {
        let mut done = job("test@3.11", State::Finished);
        (done.outcome, done.finished) = (Some(Outcome::Succeeded), Some(Time(BEGAN.0 + 45_000)));
        UsualTimes::from_builds(&[BuildView { jobs: vec![done], ..BuildView::default() }])
    }

    fn text(build: &BuildView, room: usize) -> Vec<String> {
        let lines = tree(build, &usual(), Time(BEGAN.0 + 12_300), room);
        lines.iter().map(|line| line.written(false).trim_end().to_owned()).collect()
    }

    /// Jobs, steps, elapsed and usual times, and what each job waits for now.
    #[test]
    fn a_tree_has_jobs_steps_and_times() {
        assert_eq!(
            text(&build(), 20),
            [
                "◐ calc/5 running  12.3s  main 1d45066a01 \"a test\" by Ada",
                "├ ✓ lint         0.1s",
                "├ ◐ test@3.11   12.3s  usually 45.0s, on anvil",
                "│   ├ ✓ build    3.0s",
                "│   └ ◐ tests   12.3s",
                "├ ○ test@3.14          queued 12.3s",
                "└ ○ publish            needs test@3.11, test@3.14",
            ]
        );
    }

    #[test]
    fn a_tree_fits_into_the_terminal() {
        assert_eq!(
            text(&build(), 5),
            [
                "◐ calc/5 running  12.3s  main 1d45066a01 \"a test\" by Ada",
                "├ ◐ test@3.11   12.3s  usually 45.0s, on anvil",
                "└ 1 queued, 1 succeeded, 1 waiting",
            ]
        );
        let mut many = build();
        many.jobs = (0..100).map(|index| job(&format!("j{index}"), State::Running)).collect();
        for room in 2..30 {
            assert!(text(&many, room).len() <= room, "{room}");
        }
        assert_eq!(text(&many, 3)[2], "└ and 100 lines more");
    }
}
