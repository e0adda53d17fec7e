//! A build's live output: the log of every step of every job in whole lines, each exactly once, until the build ends. It follows from
//! the mirrored state and never from single events, so that a lost link changes nothing.

use crate::error::Error;
use crate::guild::Guild;
use crate::lines::PrefixedLines;
use crate::logs::{LogAddress, Tail, Until};
use crate::mirror::Mirror;
use crate::views::{BuildView, JobView};
use crate::watch::{News, Watch};
use futures::StreamExt as _;
use futures::stream::{LocalBoxStream, SelectAll};
use schema::values::{Filter, Outcome};
use std::collections::{BTreeMap, VecDeque};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;

/// An event of a build that is not output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    /// The build has its plan, or has ended without one. Its diagnosis says why there is none.
    Planned(&'a BuildView),
    /// The output of a step begins.
    StepStarts {
        /// The name of the job with its cell.
        job: &'a str,
        /// The number of the attempt, from 1.
        attempt: u16,
        /// The number of the step, from 1.
        step: u16,
        /// The name that the pipeline gives the step.
        name: &'a str,
    },
    /// A job has ended, and all of its output was written.
    JobEnded(&'a JobView),
}

/// A build to follow, or some of its jobs.
///
/// ```no_run
/// # async fn example(guild: &client::Guild) -> Result<(), client::Error> {
/// let mut output = Vec::new();
/// let outcome = client::Follow::new(guild, "pyfoo", 412)
///     .only(|job| job.base() == "test")
///     .run(&mut output)
///     .await?;
/// # drop(outcome);
/// # Ok(())
/// # }
/// ```
pub struct Follow<'a> {
    guild: Guild,
    project: String,
    number: u32,
    chosen: Box<dyn Fn(&JobView) -> bool + 'a>,
    progress: Box<dyn FnMut(Progress<'_>) + 'a>,
}

impl<'a> Follow<'a> {
    /// Follows all jobs of the build with this number, from 1.
    pub fn new(guild: &Guild, project: &str, number: u32) -> Follow<'a> {
        Follow {
            guild: guild.clone(),
            project: project.to_owned(),
            number,
            chosen: Box::new(|_| true),
            progress: Box::new(|_| {}),
        }
    }

    /// Follows only these jobs, and ends with the last of them.
    #[must_use]
    pub fn only(mut self, chosen: impl Fn(&JobView) -> bool + 'a) -> Follow<'a> {
        self.chosen = Box::new(chosen);
        self
    }

    /// Calls `progress` with each event that is not output.
    #[must_use]
    pub fn on_progress(mut self, progress: impl FnMut(Progress<'_>) + 'a) -> Follow<'a> {
        self.progress = Box::new(progress);
        self
    }

    /// Writes the output to `out` until the build ends. Returns the build's outcome, or the worst outcome of the chosen jobs. If
    /// several jobs are followed, each line is kept whole and begins with its job's name. A lost link is replaced, however often that
    /// happens.
    ///
    /// # Errors
    /// [`Error::Output`] if `out` cannot be written; [`Error::NotFound`] or [`Error::Refused`] if there is no such build, or the
    /// credential may not see it.
    pub async fn run(mut self, out: &mut (dyn AsyncWrite + Unpin)) -> Result<Outcome, Error> {
        let filter = Filter { projects: vec![self.project.clone()], build: self.number, kinds: Vec::new() };
        let mut news = Watch::new(&self.guild, filter).into_stream();
        let mut output = Output::default();
        let mut mirror = Mirror::default();
        loop {
            if let Some(build) = mirror.build(&self.project, self.number) {
                output.take_in(build, &mut self);
                if let Some(outcome) = self.outcome(build)
                    && output.is_over()
                {
                    return Ok(outcome);
                }
            }
            tokio::select! {
                Some(news) = news.next() => match news? {
                    News::Snapshot(builds) => mirror.reset(builds),
                    News::Events(events) => events.iter().for_each(|event| mirror.apply(event)),
                },
                Some(piece) = output.pieces.next(), if !output.pieces.is_empty() => {
                    let text = output.received(piece?);
                    out.write_all(&text).await.map_err(Error::Output)?;
                    out.flush().await.map_err(Error::Output)?;
                }
            }
        }
    }

    /// Returns the outcome of the build or of the chosen jobs. `None` means that they have not all ended.
    fn outcome(&self, build: &BuildView) -> Option<Outcome> {
        let mut chosen = build.jobs.iter().filter(|job| (self.chosen)(job)).peekable();
        let all = build.jobs.iter().all(|job| (self.chosen)(job));
        if build.is_finished() && (all || chosen.peek().is_none()) {
            return build.outcome;
        }
        if all || chosen.peek().is_none() {
            return None;
        }
        chosen
            .map(|job| job.outcome.filter(|_| job.is_finished()))
            .try_fold(Outcome::Skipped, |worst, outcome| outcome.map(|outcome| worst.max(outcome)))
    }
}

/// A piece of one job's output, or the end of one of its logs.
enum Piece {
    Bytes(String, Vec<u8>),
    End(String),
}

/// The logs that are being read, and those that wait for their turn. One log of each job is read at a time.
#[derive(Default)]
struct Output {
    planned: bool,
    jobs: BTreeMap<String, JobOutput>,
    pieces: SelectAll<LocalBoxStream<'static, Result<Piece, Error>>>,
}

struct JobOutput {
    lines: PrefixedLines,
    attempt: u16,
    /// The number of steps of `attempt` that this output already knows.
    seen: usize,
    queue: VecDeque<QueuedLog>,
    /// Tells the tail of each step that the step has ended.
    ended: Vec<watch::Sender<bool>>,
    reading: bool,
    told_end: bool,
}

struct QueuedLog {
    address: LogAddress,
    ended: watch::Receiver<bool>,
    name: String,
}

impl Output {
    /// Compares the build with what was seen of it before, and starts to read the new logs.
    fn take_in(&mut self, build: &BuildView, follow: &mut Follow<'_>) {
        if !self.planned && (!build.jobs.is_empty() || build.is_finished()) {
            self.planned = true;
            (follow.progress)(Progress::Planned(build));
        }
        let count = build.jobs.iter().filter(|job| (follow.chosen)(job)).count();
        for job in build.jobs.iter().filter(|job| (follow.chosen)(job) && job.carried_from == 0) {
            let prefix = if count > 1 { format!("{} | ", job.name) } else { String::new() };
            let output = self.jobs.entry(job.name.clone()).or_insert_with(|| JobOutput::new(prefix));
            output.take_in(build, job);
            if let Some(next) = output.start_next() {
                let QueuedLog { address, ended, name } = next;
                (follow.progress)(Progress::StepStarts {
                    job: &address.job,
                    attempt: address.attempt,
                    step: address.step,
                    name: &name,
                });
                self.pieces.push(tail_stream(Tail::new(&follow.guild, address, 0, Until::Ended(ended))));
            }
            if job.is_finished() && output.is_over() && !output.told_end {
                output.told_end = true;
                (follow.progress)(Progress::JobEnded(job));
            }
        }
    }

    fn received(&mut self, piece: Piece) -> Vec<u8> {
        match piece {
            Piece::Bytes(job, bytes) => self.jobs.get_mut(&job).map_or(Vec::new(), |job| job.lines.push(&bytes)),
            Piece::End(job) => self.jobs.get_mut(&job).map_or(Vec::new(), |job| {
                job.reading = false;
                job.lines.finish()
            }),
        }
    }

    /// Whether the output of all jobs was written. It does not ask whether `pieces` is empty, because a tail that has ended stays in it
    /// until it is polled again.
    fn is_over(&self) -> bool {
        self.jobs.values().all(JobOutput::is_over)
    }
}

impl JobOutput {
    fn new(prefix: String) -> JobOutput {
        JobOutput {
            lines: PrefixedLines::new(prefix),
            attempt: 0,
            seen: 0,
            queue: VecDeque::new(),
            ended: Vec::new(),
            reading: false,
            told_end: false,
        }
    }

    fn take_in(&mut self, build: &BuildView, job: &JobView) {
        if job.attempt != self.attempt {
            self.end_all();
            self.ended.clear();
            self.attempt = job.attempt;
            self.seen = 0;
        }
        for (index, step) in job.steps.iter().enumerate() {
            let started = step.started.is_some();
            if index == self.seen && (started || step.state == schema::values::State::Finished || job.is_finished()) {
                self.queue_step(build, job, index, started);
            }
            if let Some(ended) = self.ended.get(index)
                && step.state == schema::values::State::Finished
            {
                ended.send_replace(true);
            }
        }
        if job.is_finished() {
            self.end_all();
        }
    }

    /// Notes a step, and puts its log into the queue. A step that never started has no log.
    fn queue_step(&mut self, build: &BuildView, job: &JobView, index: usize, started: bool) {
        let (sender, receiver) = watch::channel(false);
        self.ended.push(sender);
        self.seen += 1;
        if started {
            self.queue.push_back(QueuedLog {
                address: LogAddress {
                    project: build.project.clone(),
                    build: build.number,
                    job: job.name.clone(),
                    attempt: job.attempt,
                    step: u16::try_from(self.seen).unwrap_or(u16::MAX),
                },
                ended: receiver,
                name: job.steps[index].name.clone(),
            });
        }
    }

    fn start_next(&mut self) -> Option<QueuedLog> {
        if self.reading {
            return None;
        }
        let next = self.queue.pop_front();
        self.reading = next.is_some();
        next
    }

    fn end_all(&self) {
        for ended in &self.ended {
            ended.send_replace(true);
        }
    }

    fn is_over(&self) -> bool {
        !self.reading && self.queue.is_empty()
    }
}

fn tail_stream(tail: Tail) -> LocalBoxStream<'static, Result<Piece, Error>> {
    let job = tail.address().job.clone();
    let end = Piece::End(job.clone());
    futures::stream::unfold((tail, job), |(mut tail, job)| async move {
        let piece = tail.next().await.transpose()?.map(|bytes| Piece::Bytes(job.clone(), bytes));
        Some((piece, (tail, job)))
    })
    .chain(futures::stream::once(async { Ok(end) }))
    .boxed_local()
}
