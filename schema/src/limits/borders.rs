//! The bounds that are not fields of the schema: messages, calls, connections, times, and what one holder may make others keep.
//! `docs/reference/limits.md` is generated from this table and the table of fields, and a table of `SECURITY.md` from this one.

use std::time::Duration;

/// The unit that the number of a bound counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Bytes of memory, of a message or of a file.
    Bytes,
    /// The number of the things that the bound names.
    Count,
    /// Seconds of time that may pass.
    Seconds,
    /// Days of time that may pass.
    Days,
}

/// A row of the table: how much of something one side may have or take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The name of the border to which the bound belongs, as SECURITY.md calls it.
    pub border: &'static str,
    /// The name of the bounded thing as a person says it, for example "calls at once".
    pub name: &'static str,
    /// The largest count or time that is allowed.
    pub most: u64,
    /// The unit that the number `most` counts.
    pub measure: Measure,
    /// The reason why the bound has this value.
    pub why: &'static str,
}

impl Bound {
    /// Returns the largest count as a `usize`.
    pub const fn count(&self) -> usize {
        self.most as usize
    }

    /// Returns the longest time, or zero for a bound that is not a time.
    pub const fn time(&self) -> Duration {
        match self.measure {
            Measure::Seconds => Duration::from_secs(self.most),
            Measure::Days => Duration::from_secs(self.most * 24 * 3600),
            Measure::Bytes | Measure::Count => Duration::ZERO,
        }
    }

    /// Returns the bound as a person reads it, such as "512 KiB", "4,096", "10 s" or "7 days".
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

/// Formats a number of bytes in the largest unit that divides it.
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

        /// All rows of the table, border by border.
        pub const BOUNDS: &[Bound] = &[$($($row),+),+];
    };
}

bounds! {
    "before a credential" {
        /// A credential has 32 bytes. The limit is half of the 1 MiB that a stranger may cost.
        STRANGER_MESSAGE: "a message", 512 << 10, Bytes;
        /// This is the other half of the 1 MiB that a stranger may cost.
        STRANGER_UNFINISHED: "calls and answers that are not done", 512 << 10, Bytes;
        /// A stranger needs only one call.
        STRANGER_CALLS: "calls at once", 128, Count;
        /// Each stranger may cost 1 MiB, so all of them together cost at most 64 MiB.
        STRANGERS: "strangers at once", 64, Count;
        /// After a restart, a whole office behind one address may come back at once. An IPv6 /64 counts as one address.
        STRANGERS_EACH: "strangers of one address", 8, Count;
        /// A handshake with the other end of the world takes about one second.
        HANDSHAKE: "a handshake", 10, Seconds;
        /// No person types the credential: a program sends it at once.
        CREDENTIAL: "the time until a credential", 10, Seconds;
        /// Under load a silent client must give up its slot soon.
        HANDSHAKE_CROWDED: "a handshake while more than half of the connection slots are taken", 3, Seconds;
        /// This is half of the usual time, so that silent clients give up their slots sooner.
        CREDENTIAL_CROWDED: "the time until a credential while more than half of the connection slots are taken", 5, Seconds;
    }
    "a connection with a credential" {
        /// The largest answer is a list of 3 MiB with up to 1 MiB of other fields.
        KNOWN_MESSAGE: "a message", 4 << 20, Bytes;
        /// This is two messages of the largest size.
        KNOWN_UNFINISHED: "calls and answers that are not done", 8 << 20, Bytes;
        /// A worker with hundreds of attempts has some thousand calls at once.
        KNOWN_CALLS: "calls at once", 4096, Count;
        /// A thousand held answers with an open call on each need nine tenths of this. Beyond it, calls are read only while few are
        /// under way.
        KNOWN_WEIGHT: "memory for its calls, answers and capabilities", 10 << 20, Bytes;
        /// Each call may bring one capability.
        KNOWN_EXPORTS: "capabilities that it holds", 4096, Count;
        /// There is one for each kind of work in which a holder has turns. Further long answers begin later.
        OUTLET_ANSWERS: "long answers that are made at once", 4, Count;
        /// This is two parts of a log. No long answer begins while more bytes wait.
        OUTLET_WAITING: "bytes that wait to be read before a long answer begins", 512 << 10, Bytes;
        /// Guild's own peers need at most 3. A list of operations is kept as long as its call.
        OPERATIONS: "operations in a transform", 16, Count;
        /// Guild's own peers need 6. The limit bounds the recursion in which the RPC library releases such calls.
        CALL_DEPTH: "calls that wait one for the other", 32, Count;
        /// The RPC library of an honest peer does this only with capabilities that come home to their maker.
        POSTPONED: "promises that became promises again", 64, Count;
        /// A slow link gets one more second for each 4 KiB that has come.
        MESSAGE_TIME: "a message once begun", 30, Seconds;
        /// A client pings after 25 s without a byte, so a living peer has 20 s to answer.
        SILENCE: "silence", 45, Seconds;
    }
    "a grant, with its browsers" {
        /// This is the default of the key `limits.connections` in the master file.
        CONNECTIONS: "connections", 64, Count;
        /// All connections of the grant together may keep as much as one alone: calls, answers, capabilities and events on their way.
        GRANT_BUDGET: "what all its connections keep", 16 << 20, Bytes;
        /// Each connection may cost this much even if the budget is spent. If there are many, they share half of the budget instead.
        GRANT_LIGHT: "what one connection may always keep", 256 << 10, Bytes;
        /// Grants take turns at the store, so that none of them holds up the others.
        READS_EACH: "reads of the store at once", 1, Count;
        /// A person has a few browsers, and each login costs a row of 500 bytes.
        LOGINS: "logins of browsers", 10, Count;
        /// This is long enough to change to another window.
        LOGIN_TIME: "the time to use the address of a login", 600, Seconds;
        /// A person has to log in about once a month.
        LOGIN_LIFETIME: "a login", 30, Days;
        /// A push each minute for a week makes about this many. Beyond it the oldest answers of the same grant are removed.
        ANSWERS_EACH: "answers to requests that are kept", 10_000, Count;
        /// A client that was cut off for a week must send its request again.
        ANSWERS_KEPT: "the time for which an answer is kept", 7, Days;
    }
    "an operator" {
        /// Each grant costs 1 KiB of memory, and a farm of 1,000 workers and as many people needs far fewer.
        ISSUED: "grants in force below it", 10_000, Count;
        /// Each use of a grant checks all grants above it.
        GENERATIONS: "grants above a grant", 16, Count;
    }
    "an attempt" {
        /// This is 16 logs of the largest kind, or some hundred logs of a few lines. Further bytes go to files.
        LOGS_IN_MEMORY: "logs in memory", 1 << 20, Bytes;
        /// A large bundle with its symbols takes some GiB.
        BLOBS_ATTEMPT: "files that it stores, together", 8 << 30, Bytes;
        /// The default limit of all logs is the same, because both are on one disk.
        BLOBS_PROJECT: "files of all attempts of its project", 100 << 30, Bytes;
        /// Each of these files is a row of the store and a file.
        BLOBS_SEALED: "files that it stores", 1000, Count;
        /// More uploads at once are not faster.
        UPLOADS: "uploads at once", 16, Count;
        /// This is the largest exit code (exit(3)).
        EXIT_CODE: "an exit code", 255, Count;
        /// This is the last signal of Linux (signal(7)).
        SIGNAL: "the number of a signal", 64, Count;
        /// Each pack that is made takes one run of git.
        PACKS_ALL: "packs that are made for workers at once", 4, Count;
        /// One pack is made while the other waits for its turn.
        PACKS_EACH: "packs of one worker at once", 2, Count;
        /// A lease needs one pack for each source, and a source stamp has few sources.
        PACKS_HELD: "packs that a lease holds", 16, Count;
    }
    "a try" {
        /// The pack has only what nobody pushed. A larger change has files that do not belong into a repository.
        TRY_PACK: "its pack", 256 << 20, Bytes;
        /// A large repository as a whole has about this many objects.
        TRY_OBJECTS: "objects in its pack", 1_000_000, Count;
        /// A person has a few checkouts, and tries one or two of them at a time.
        TRIES_EACH: "packs that one grant sends at once", 4, Count;
        /// All of them together take at most 4 GiB of the disk, and once more as much while git indexes them.
        TRIES_ALL: "packs that are sent at once", 16, Count;
        /// A client that lost its link comes back within this time.
        TRY_IDLE: "the time without a byte until a pack is thrown away", 600, Seconds;
        /// Git indexes and checks a pack of the largest size within a few minutes.
        TRY_CHECK: "each run of git that checks it", 600, Seconds;
    }
    "`guild.toml`" {
        /// This is ten times the size of the largest `guild.toml` of a known project.
        PIPELINE_FILE: "the file", super::FILE_MAX as u64, Bytes;
        /// One page and one answer can show this many jobs.
        PIPELINE_JOBS: "jobs", 1000, Count;
        /// This is a quarter of the largest message that a worker reads.
        PIPELINE_JOB: "a job as it travels", super::JOB_BYTES as u64, Bytes;
        /// This is half of the largest message. The other half is for the reasons.
        PIPELINE_VIEW: "jobs and steps as they are shown", super::VIEW_BYTES as u64, Bytes;
        /// Matching this many characters with 1,000 paths takes half a second.
        PATTERN_LETTERS: "characters of its patterns", 200_000, Count;
    }
    "git" {
        /// Each run keeps a processor or a disk busy, or waits for a remote.
        GIT_RUNS: "runs at once", 12, Count;
        /// A kept process answers the next question 3 ms sooner, and takes 2 MiB and three descriptors.
        GIT_KEPT: "processes that wait to be asked again", 32, Count;
    }
    "web" {
        /// More connections at once do not come from people.
        WEB_CONNECTIONS: "connections", 512, Count;
        /// Browsers send a head of some KiB.
        WEB_HEAD: "the head of a request", 64 << 10, Bytes;
        /// GitHub sends at most this much.
        HOOK_BODY: "the body of a hook", 25 << 20, Bytes;
        /// Forges name the ref at the beginning of the body.
        HOOK_KEPT: "what is kept of it", 1 << 20, Bytes;
        /// Together these bodies hold at most 8 MiB whose signature has not been checked yet.
        HOOK_BODIES: "bodies of hooks at once", 8, Count;
    }
}
