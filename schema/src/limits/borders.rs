//! The bounds that are not fields of the schema: messages, calls, connections, times, and what one holder may make others keep.
//! `docs/reference/limits.md` is written from this table and from the table of fields, and `SECURITY.md` says nothing else.

use std::time::Duration;

/// The unit that the number of a bound counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Bytes of memory, of a message or of a file.
    Bytes,
    /// How many there are of what the bound names.
    Count,
    /// Seconds of time that may pass.
    Seconds,
    /// Days of time that may pass.
    Days,
}

/// One row: how much of something one side may have or take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The border that it stands at, as SECURITY.md calls it.
    pub border: &'static str,
    /// What it bounds, as a person says it: "messages of a stranger".
    pub name: &'static str,
    /// The largest count or time that is allowed.
    pub most: u64,
    /// The unit that the number `most` counts.
    pub measure: Measure,
    /// Why the bound has this value.
    pub why: &'static str,
}

impl Bound {
    /// The most of it, as sizes are counted.
    pub const fn count(&self) -> usize {
        self.most as usize
    }

    /// The longest time. Of a bound that is not a time it is nothing.
    pub const fn time(&self) -> Duration {
        match self.measure {
            Measure::Seconds => Duration::from_secs(self.most),
            Measure::Days => Duration::from_secs(self.most * 24 * 3600),
            Measure::Bytes | Measure::Count => Duration::ZERO,
        }
    }

    /// The bound as a person reads it: "512 KiB", "4,096", "10 s", "7 days".
    pub fn text(&self) -> String {
        match self.measure {
            Measure::Bytes => size(self.most),
            Measure::Count => super::grouped(self.count()),
            Measure::Seconds if self.most >= 120 && self.most.is_multiple_of(60) => format!("{} min", self.most / 60),
            Measure::Seconds => format!("{} s", self.most),
            Measure::Days => format!("{} days", self.most),
        }
    }
}

/// Bytes in the largest unit that divides them.
pub fn size(bytes: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let whole = units.into_iter().find(|(_, shift)| bytes >= 1 << shift && bytes.trailing_zeros() >= *shift);
    match whole {
        Some((unit, shift)) => format!("{} {unit}", super::grouped((bytes >> shift) as usize)),
        None => format!("{} bytes", super::grouped(bytes as usize)),
    }
}

macro_rules! bounds {
    ($($border:literal { $($(#[doc = $why:literal])+ $row:ident: $name:literal, $most:expr, $measure:ident;)+ })+) => {
        $($(
            $(#[doc = $why])+
            pub const $row: Bound = Bound {
                border: $border,
                name: $name,
                most: $most,
                measure: Measure::$measure,
                why: concat!($($why),+),
            };
        )+)+

        /// Every row, border by border.
        pub const BOUNDS: &[Bound] = &[$($($row),+),+];
    };
}

bounds! {
    "before a credential" {
        /// A credential has 32 bytes; half of the MiB that a stranger may cost.
        STRANGER_MESSAGE: "a message", 512 << 10, Bytes;
        /// The other half of it.
        STRANGER_UNFINISHED: "calls and answers that are not done", 512 << 10, Bytes;
        /// A stranger needs only one call.
        STRANGER_CALLS: "calls at once", 128, Count;
        /// Each may cost 1 MiB.
        STRANGERS: "strangers at once", 64, Count;
        /// An office behind one address comes back after a restart; an IPv6 /64 counts as one address.
        STRANGERS_EACH: "strangers of one address", 8, Count;
        /// A handshake to the other end of the world takes one second.
        HANDSHAKE: "a handshake", 10, Seconds;
        /// A person does not type it: a program sends it at once.
        CREDENTIAL: "the time until a credential", 10, Seconds;
        /// Under load a silent client must not hold a slot.
        HANDSHAKE_CROWDED: "a handshake while more than half of the connection slots are taken", 3, Seconds;
        /// Half of the usual time.
        CREDENTIAL_CROWDED: "the time until a credential while more than half of the connection slots are taken", 5, Seconds;
    }
    "a connection with a credential" {
        /// The largest answer is a list of 3 MiB with what stands beside it.
        KNOWN_MESSAGE: "a message", 4 << 20, Bytes;
        /// Two messages of the largest size.
        KNOWN_UNFINISHED: "calls and answers that are not done", 8 << 20, Bytes;
        /// A worker with hundreds of attempts has some thousand.
        KNOWN_CALLS: "calls at once", 4096, Count;
        /// The memory that all calls at once need, if no answer is held. Beyond it nothing is read while one in 16 of them is under way.
        KNOWN_WEIGHT: "memory for its calls, answers and capabilities", 9 << 20, Bytes;
        /// Each call may bring one.
        KNOWN_EXPORTS: "capabilities that it holds", 4096, Count;
        /// One for each kind of work for which a holder has turns. Further long answers are begun later.
        OUTLET_ANSWERS: "long answers that are made at once", 4, Count;
        /// Two parts of a log. No long answer is begun while more bytes wait.
        OUTLET_WAITING: "bytes that wait to be read before a long answer begins", 512 << 10, Bytes;
        /// Guild's own peers need at most 3; a list of them is kept as long as its call.
        OPERATIONS: "operations in a transform", 16, Count;
        /// Guild's own peers need 6; the library lets go of them in one recursion.
        CALL_DEPTH: "calls that wait one for the other", 32, Count;
        /// The library does so only with what comes home to its maker.
        POSTPONED: "promises that became promises again", 64, Count;
        /// A slow link is given a second more for each 4 KiB.
        MESSAGE_TIME: "a message once begun", 30, Seconds;
        /// Three pings of 15 s.
        SILENCE: "silence", 45, Seconds;
    }
    "a grant, with its browsers" {
        /// What `limits.connections` is unless the master file says another number.
        CONNECTIONS: "connections", 64, Count;
        /// Calls, answers, capabilities and events on their way, of all its connections together: as much as one may cost alone.
        GRANT_BUDGET: "what all its connections keep", 16 << 20, Bytes;
        /// Each connection may cost this much while the budget is spent, or its part of one half of it where there are many.
        GRANT_LIGHT: "what one connection may always keep", 256 << 10, Bytes;
        /// Turns go round between grants.
        READS_EACH: "reads of the store at once", 1, Count;
        /// A person has some browsers; each login costs a row of 500 bytes.
        LOGINS: "logins of browsers", 10, Count;
        /// Long enough to change to another window.
        LOGIN_TIME: "the time to use the address of a login", 600, Seconds;
        /// A person who comes each month stays logged in.
        LOGIN_LIFETIME: "a login", 30, Days;
        /// A push each minute for a week. Beyond it the oldest answers of the same grant go.
        ANSWERS_EACH: "answers to requests that are kept", 10_000, Count;
        /// Whoever was cut off for a week asks anew.
        ANSWERS_KEPT: "the time for which an answer is kept", 7, Days;
    }
    "an operator" {
        /// Each costs 1 KiB of memory, and a farm of 1,000 workers and as many people stays far below.
        ISSUED: "grants in force below it", 10_000, Count;
        /// Each use of a grant looks at all that are above it.
        GENERATIONS: "grants above a grant", 16, Count;
    }
    "an attempt" {
        /// 16 logs of the largest kind, or some hundred of a few lines. What is beyond it goes to files.
        LOGS_IN_MEMORY: "logs in memory", 1 << 20, Bytes;
        /// A large bundle with its symbols has some GiB.
        BLOBS_ATTEMPT: "files that it stores, together", 8 << 30, Bytes;
        /// The default of all logs is the same, because both are on one disk.
        BLOBS_PROJECT: "files of all attempts of its project", 100 << 30, Bytes;
        /// Each of these files is a row of the store and a file.
        BLOBS_SEALED: "files that it stores", 1000, Count;
        /// More at once are not faster.
        UPLOADS: "uploads at once", 16, Count;
        /// Exit codes end with it (exit(3)).
        EXIT_CODE: "an exit code", 255, Count;
        /// The last signal of Linux (signal(7)).
        SIGNAL: "the number of a signal", 64, Count;
        /// Each is a run of git.
        PACKS_ALL: "packs that are made for workers at once", 4, Count;
        /// One of the two is made while the other waits for its turn.
        PACKS_EACH: "packs of one worker at once", 2, Count;
        /// A stamp has few sources.
        PACKS_HELD: "packs that a lease holds", 16, Count;
    }
    "`guild.toml`" {
        /// The largest file of a known project has a tenth of it.
        PIPELINE_FILE: "the file", super::FILE_MAX as u64, Bytes;
        /// What one page and one answer can show.
        PIPELINE_JOBS: "jobs", 1000, Count;
        /// A quarter of the message that a worker reads.
        PIPELINE_JOB: "a job as it travels", super::JOB_BYTES as u64, Bytes;
        /// Half of a message; the other half is for the reasons.
        PIPELINE_VIEW: "jobs and steps as they are shown", super::VIEW_BYTES as u64, Bytes;
        /// Matching this many with 1,000 paths takes half a second.
        PATTERN_LETTERS: "characters of its patterns", 200_000, Count;
    }
    "git" {
        /// Each is busy with a processor or a disk, or waits for a remote.
        GIT_RUNS: "runs at once", 12, Count;
        /// Each saves its mirror 3 ms for the next question, and takes 2 MiB and three descriptors.
        GIT_KEPT: "processes that wait to be asked again", 32, Count;
    }
    "web" {
        /// More than this at once are not people.
        WEB_CONNECTIONS: "connections", 512, Count;
        /// Browsers send some KiB of it.
        WEB_HEAD: "the head of a request", 64 << 10, Bytes;
        /// What GitHub sends at most.
        HOOK_BODY: "the body of a hook", 25 << 20, Bytes;
        /// Forges name the ref within the first few bytes.
        HOOK_KEPT: "what is kept of it", 1 << 20, Bytes;
        /// Together they hold at most 8 MiB whose signature has not been checked yet.
        HOOK_BODIES: "bodies of hooks at once", 8, Count;
    }
}
