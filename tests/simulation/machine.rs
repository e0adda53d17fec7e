//! The simulated machine of a worker. Its supervisors are tasks, which outlive the worker, and their steps only pretend to run.
//! They use the same files, messages and limits as the real supervisors.

use crate::record::{Job, Process, Record};
use futures::FutureExt as _;
use schema::values::{Exit, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use support::seed::Random;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use worker::supervisor::{Journal, KillCause, Order, OrderSlot, StepFiles};
use worker::world::{Machine, Stream};

const LINE: usize = 4096;

/// `Ask` is a request to a supervisor: to talk to this worker, or to die.
enum Ask {
    Line(DuplexStream),
    Kill,
}

struct Supervisor {
    mark: String,
    job: Job,
    token: String,
    step: u16,
    asks: mpsc::UnboundedSender<Ask>,
}

/// `Host` is one machine. It lives on when its worker is killed.
#[derive(Clone)]
pub struct Host {
    pub name: String,
    record: Record,
    supervisors: Arc<Mutex<BTreeMap<(PathBuf, u16), Supervisor>>>,
    starts: mpsc::UnboundedSender<Start>,
}

struct Start {
    dir: PathBuf,
    step: u16,
    order: Order,
    lock: File,
    line: DuplexStream,
    asks: mpsc::UnboundedReceiver<Ask>,
    seed: u64,
}

impl Host {
    /// Makes a machine whose supervisors live in the `LocalSet` of the caller.
    pub fn new(name: &str, record: Record, seed: u64) -> Host {
        let (starts, mut started) = mpsc::unbounded_channel::<Start>();
        let host = Host { name: name.to_owned(), record, supervisors: Arc::default(), starts };
        let mut random = Random::new(seed);
        let this = host.clone();
        tokio::task::spawn_local(async move {
            while let Some(mut start) = started.recv().await {
                start.seed = random.draw();
                tokio::task::spawn_local(supervise(this.clone(), start));
            }
        });
        host
    }

    /// Kills a random supervisor and its step, as the kernel does if memory is short. Returns false if there is none.
    pub fn kill_one(&self, random: &mut Random) -> bool {
        let all = self.supervisors.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(name) = random.pick(&all.keys().collect::<Vec<_>>()).copied().cloned() else { return false };
        self.kill(&all[&name]);
        true
    }

    fn process(&self, order: &Order, step: u16) -> Process {
        let (worker, token) = (self.name.clone(), named(order, "GUILD_ATTEMPT"));
        Process { worker, token, step, began: Instant::now(), ended: None, output: Vec::new() }
    }

    fn kill(&self, supervisor: &Supervisor) {
        self.record.end(&supervisor.job, &supervisor.token, supervisor.step, None, Exit::Signal(9));
        let _ = supervisor.asks.send(Ask::Kill);
    }
}

impl Machine for Host {
    fn start(&self, dir: &Path, step: u16, order: &Order) -> io::Result<Box<dyn Stream>> {
        let lock = StepFiles::new(dir, step).write_order(order)?;
        let (ours, line) = duplex(LINE);
        let (asks, asked) = mpsc::unbounded_channel();
        let token = named(order, "GUILD_ATTEMPT");
        let supervisor = Supervisor { mark: format!("GUILD_ATTEMPT={token}"), job: job_of(order), token, step, asks };
        let mut all = self.supervisors.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert((dir.to_owned(), step), supervisor);
        let start = Start { dir: dir.to_owned(), step, order: order.clone(), lock, line, asks: asked, seed: 0 };
        self.starts.send(start).map_err(io::Error::other)?;
        Ok(Box::new(ours))
    }

    fn connect(&self, dir: &Path, step: u16) -> io::Result<Box<dyn Stream>> {
        let all = self.supervisors.lock().unwrap_or_else(PoisonError::into_inner);
        let found = all.get(&(dir.to_owned(), step)).ok_or(io::ErrorKind::NotFound)?;
        let (ours, line) = duplex(LINE);
        found.asks.send(Ask::Line(line)).map_err(io::Error::other)?;
        Ok(Box::new(ours))
    }

    fn kill_marked(&self, mark: &str) -> usize {
        let all = self.supervisors.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().filter(|supervisor| supervisor.mark == mark).for_each(|supervisor| self.kill(supervisor));
        0
    }

    fn living(&self) -> BTreeSet<String> {
        let all = self.supervisors.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().map(|supervisor| supervisor.token.clone()).collect()
    }

    fn free_bytes(&self, _: &Path) -> Option<u64> {
        None
    }
}

fn named(order: &Order, name: &str) -> String {
    order.env.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()).unwrap_or_default()
}

fn job_of(order: &Order) -> Job {
    (named(order, "GUILD_BUILD").parse().unwrap_or(0), named(order, "GUILD_JOB"))
}

/// `Script` is what a step does: it lasts some time, writes some bytes and exits. Its command is `sim MS BYTES EXIT`.
struct Script {
    lasts: Duration,
    bytes: usize,
    exit: i32,
}

impl Script {
    fn of(order: &Order) -> Script {
        let text = order.argv.last().cloned().unwrap_or_default();
        let numbers: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let at = |index: usize| numbers.get(index).copied().unwrap_or(0);
        Script { lasts: Duration::from_millis(at(0)), bytes: at(1) as usize, exit: at(2) as i32 }
    }
}

async fn supervise(host: Host, start: Start) {
    let name = (start.dir.clone(), start.step);
    let mut random = Random::new(start.seed);
    tokio::time::sleep(Duration::from_millis(random.below(20) as u64)).await;
    match Life::begin(&host, start, random) {
        Ok(Some(life)) => life.run().await,
        Ok(None) => {}
        // the directory of the attempt is gone, so nobody waits for this step any more
        Err(error) => host.record.tell(&format!("a supervisor cannot begin: {error}")),
    }
    host.supervisors.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
}

/// `Life` is a supervisor with its step, from its start until it has written the journal.
struct Life<'a> {
    host: &'a Host,
    job: Job,
    token: String,
    step: u16,
    slot: OrderSlot,
    log: File,
    marks: File,
    order: Order,
    script: Script,
    line: Option<DuplexStream>,
    received: Vec<u8>,
    asks: mpsc::UnboundedReceiver<Ask>,
    random: Random,
    began: Instant,
    last_output: Instant,
    lease_end: Instant,
    alone: Option<Instant>,
    written: usize,
    dying: Option<(Instant, KillCause)>,
    /// The lock by which others see that this supervisor lives.
    _lock: File,
}

impl<'a> Life<'a> {
    /// Begins the step. `None` means that the supervisor was killed first. Because this ended the attempt, the record then has a
    /// process that was killed.
    fn begin(host: &'a Host, mut start: Start, random: Random) -> io::Result<Option<Life<'a>>> {
        let mut line = Some(start.line);
        while let Ok(ask) = start.asks.try_recv() {
            match ask {
                Ask::Line(newer) => line = Some(newer),
                Ask::Kill => {
                    host.record.tell("a supervisor is killed before it begins");
                    let now = Instant::now();
                    let killed =
                        Process { ended: Some((now, None, Exit::Signal(9))), ..host.process(&start.order, start.step) };
                    host.record.begin(&job_of(&start.order), killed);
                    return Ok(None);
                }
            }
        }
        let files = StepFiles::new(&start.dir, start.step);
        let (_, slot) = files.take_order()?;
        slot.begin()?;
        let (now, order) = (Instant::now(), start.order);
        let life = Life {
            host,
            job: job_of(&order),
            token: named(&order, "GUILD_ATTEMPT"),
            step: start.step,
            slot,
            log: File::create(files.spool())?,
            marks: File::create(files.marks())?,
            script: Script::of(&order),
            line,
            received: Vec::new(),
            asks: start.asks,
            random,
            began: now,
            last_output: now,
            lease_end: now + ms(order.limits.lease_ms),
            alone: None,
            written: 0,
            dying: None,
            order,
            _lock: start.lock,
        };
        host.record.begin(&life.job, host.process(&life.order, life.step));
        Ok(Some(life))
    }

    async fn run(mut self) {
        loop {
            let (at, what) = self.next();
            tokio::select! {
                biased;
                ask = self.asks.recv() => match ask {
                    Some(Ask::Line(line)) => {
                        (self.line, self.alone) = (Some(line), None);
                        self.received.clear();
                        self.say(&format!("output {}\n", self.written));
                    }
                    // the record already has the end of this process
                    Some(Ask::Kill) | None => return,
                },
                word = hear(&mut self.line, &mut self.received) => self.heard(word),
                () = sleep_until(at) => match what {
                    Due::Output => self.write(),
                    Due::End => return self.end(),
                    Due::Stop(cause) => self.stop(cause),
                },
            }
        }
    }

    fn heard(&mut self, word: Option<String>) {
        let Some(word) = word else {
            self.line = None;
            self.alone = Some(Instant::now());
            return;
        };
        match word.split_once(' ') {
            Some(("deadline", left)) => self.lease_end = Instant::now() + ms(left.parse().unwrap_or(0)),
            Some(("stop", why)) => self.stop(KillCause::Stopped(why.to_owned())),
            _ => {}
        }
    }

    /// Returns what happens next by the clock, and when.
    fn next(&self) -> (Instant, Due) {
        if let Some((at, _)) = &self.dying {
            return (*at, Due::End);
        }
        let limits = &self.order.limits;
        let mut all = vec![
            (self.began + self.script.lasts, Due::End),
            (self.lease_end - ms(limits.margin_ms), Due::Stop(KillCause::LeaseOver)),
            (self.began + ms(limits.attempt_ms), Due::Stop(KillCause::AttemptTime)),
        ];
        all.extend((limits.step_ms > 0).then(|| (self.began + ms(limits.step_ms), Due::Stop(KillCause::StepTime))));
        all.extend((limits.idle_ms > 0).then(|| (self.last_output + ms(limits.idle_ms), Due::Stop(KillCause::Idle))));
        all.extend(self.alone.map(|since| (since + ms(limits.orphan_ms), Due::Stop(KillCause::Orphaned))));
        if self.written < self.script.bytes {
            let part = self.written as f64 / self.script.bytes as f64;
            all.push((self.began + self.script.lasts.mul_f64(part), Due::Output));
        }
        all.into_iter().min_by_key(|(at, _)| *at).expect("there are several")
    }

    /// Writes a twentieth of the whole output, and at least 20 bytes.
    fn write(&mut self) {
        let least = (self.script.bytes / 20).max(20);
        let end = (self.written + least).min(self.script.bytes);
        let text = format!("{} of step {} of {} {}\n", self.token, self.step, self.job.0, self.job.1);
        let bytes: Vec<u8> = text.bytes().cycle().skip(self.written).take(end - self.written).collect();
        let mut mark = (self.written as u64).to_le_bytes().to_vec();
        mark.extend(Time(1).0.to_le_bytes());
        if self.marks.write_all(&mark).and_then(|()| self.log.write_all(&bytes)).is_err() {
            return self.stop(KillCause::Broken("its log cannot be written".to_owned()));
        }
        self.host.record.write(&self.job, &self.token, self.step, &bytes);
        (self.written, self.last_output) = (end, Instant::now());
        self.say(&format!("output {end}\n"));
    }

    fn stop(&mut self, cause: KillCause) {
        if self.dying.is_none() {
            let limits = &self.order.limits;
            let grace = if cause == KillCause::LeaseOver { limits.margin_ms / 2 } else { limits.grace_ms };
            let after = self.random.below(grace.min(limits.grace_ms) as usize + 1) as u64;
            self.dying = Some((Instant::now() + ms(after), cause));
        }
    }

    fn end(mut self) {
        while self.dying.is_none() && self.written < self.script.bytes {
            self.write();
        }
        let (cause, exit) = match self.dying.take() {
            Some((_, cause)) => (cause, Exit::Signal(15)),
            None => (KillCause::Ended, Exit::Code(self.script.exit)),
        };
        self.host.record.end(&self.job, &self.token, self.step, Some(cause.clone()), exit.clone());
        let (started, ended) = (Time(1), Time(2));
        let journal = Journal { cause, exit, started, ended, size: self.written as u64, survivors: 0 };
        match self.slot.write(&journal) {
            Ok(()) => self.say("exited\n"),
            Err(error) => self.host.record.tell(&format!("a journal cannot be written: {error}")),
        }
    }

    /// Sends a line to the worker. If the worker does not read, closes the connection; the worker learns of it when it connects again.
    fn say(&mut self, line: &str) {
        if let Some(stream) = &mut self.line
            && !matches!(stream.write(line.as_bytes()).now_or_never(), Some(Ok(count)) if count == line.len())
        {
            self.line = None;
            self.alone = Some(Instant::now());
        }
    }
}

enum Due {
    Output,
    End,
    Stop(KillCause),
}

/// Waits for a line of the worker and returns it. `None` means that the worker has closed the connection.
async fn hear(line: &mut Option<DuplexStream>, received: &mut Vec<u8>) -> Option<String> {
    let Some(stream) = line else { return std::future::pending().await };
    loop {
        if let Some(end) = received.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = received.drain(..=end).collect();
            return Some(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
        if stream.read_buf(received).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}

/// Returns a duration of at most a year, because a later instant could overflow.
fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds.min(365 * 24 * 3_600_000))
}
