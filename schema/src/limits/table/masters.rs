//! The limits of values that only masters send, in answers, events and calls to workers. Readers cut these values
//! ([`Limit::told`]), because an older master has no limits.

use super::{ANSWER_BYTES, BATCH_EVENTS};
use crate::limits::{Beyond, Limit, Unit};

table! {
    // texts

    /// These are words of the schema for programs, or kinds of grants. The longest one has 17 letters.
    WORD_TOLD: "word", 64, Bytes, Cut, [
        "gateway.Gateway.redeem -> kind", "event.Event.grantIssued.kind", "perspective.QueueItem.kind",
        "perspective.Explanation.kind", "perspective.Candidate.standing", "perspective.AttemptView.because",
        "perspective.TestView.state", "perspective.TestLane.state", "perspective.RedRange.kind", "perspective.Suspect.kind",
    ];
    /// This is room for a few sentences. Nobody reads more than 4 KiB, and an answer has room for hundreds of such texts.
    SENTENCE: "sentence", 4096, Bytes, Cut, [
        "event.Event.alarm.text", "event.Event.cronSkipped.reason", "event.Event.claimReleased.reason", "perspective.CronView.skipped", "grant.WorkerView.held", "grant.WorkerView.waits", "perspective.QueueItem.reason",
        "perspective.QueueItem.remedy", "perspective.Explanation.text", "perspective.Explanation.hints[]",
        "perspective.Candidate.text", "perspective.Remedy.text", "perspective.AttemptView.placed",
        "perspective.AttemptView.waitedFor", "grant.Finding.seen", "grant.Finding.remedy", "grant.Difference.before",
        "grant.Difference.after", "worker.Worker.cancel(reason)", "worker.Worker.revoked(reason)",
        "perspective.RedRange.text", "perspective.Suspect.text",
    ];
    /// The subject names a project, a worker, a folder, or a key of the master file.
    SUBJECT: "subject", 1024, Bytes, Cut, ["grant.Finding.subject", "grant.Difference.key"];
    /// A selector consists of a project, a number, and a job with its cell.
    SELECTOR: "selector", 2304, Bytes, Cut, [
        "grant.WorkerView.running[]", "perspective.Candidate.jobs[]", "perspective.RemedyStep.object",
    ];
    /// A command to type has a selector or up to 100 labels. Nobody types more than this by hand.
    COMMAND: "command", 4096, Bytes, Cut, ["perspective.RemedyStep.command"];
    /// The cause reads like "retry of 411 by NAME", where the name has at most 256 bytes.
    CAUSE: "cause of the build", 512, Bytes, Cut, ["event.Event.buildCreated.cause", "perspective.BuildView.cause"];
    /// The master cuts an author and a subject after 300 characters, and a character has at most 4 bytes.
    COMMIT_LINE: "line of the commit", 1204, Bytes, Cut, [
        "change.Commit.author", "change.Commit.subject", "perspective.BuildView.subject",
        "perspective.BuildView.author", "perspective.Suspect.subject",
    ];
    /// The master cuts a name and a mail address after 300 characters each, and a character has at most 4 bytes.
    PERSON: "person", 2412, Bytes, Cut, [
        "perspective.Suspect.author", "perspective.Suspect.committer", "perspective.Suspect.coAuthors[]",
    ];
    /// A fingerprint is "sha-256:" and the 43 letters of a SHA-256.
    FINGERPRINT: "fingerprint", 64, Bytes, Cut, ["grant.Grant.holder", "grant.Operator.issue -> fingerprint"];
    /// A DNS name has at most 253 letters (RFC 1035), and a port has at most 5 digits.
    HOST: "address of the master", 512, Bytes, Cut, ["grant.Operator.issue -> advertise[]"];
    /// These are up to 16 addresses of the master, with commas between them.
    HOSTS: "addresses of the master", 16 * 514, Bytes, Cut, ["perspective.Perspective.whoami -> master"];
    /// These are web addresses, and all browsers accept addresses of 2,048 letters.
    PAGES: "address of the pages", 2048, Bytes, Cut, [
        "perspective.Perspective.whoami -> pages", "perspective.Perspective.browse -> address",
        "grant.Operator.addProject -> hookAddress", "perspective.BuildView.commitUrl",
    ];
    /// The master makes the secret from 32 bytes.
    HOOK_SECRET: "secret of the hook", 256, Bytes, Cut, ["grant.Operator.addProject -> hookSecret"];
    /// These are the name, the expression and the zone of an entry of `[trigger.cron]`. `guild.toml` allows as many bytes.
    CRON_TEXT: "text of the cron", 255, Bytes, Cut, [
        "event.Event.cronSkipped.name", "perspective.CronView.name", "perspective.CronView.at", "perspective.CronView.tz",
    ];
    /// This is room for a date, a time and the name of a zone.
    CRON_TIME: "time of the cron", 320, Bytes, Cut, ["perspective.CronView.shown"];
    /// The master file allows 100 bytes for the name of a role, so this is enough.
    ROLE: "name of the role", 256, Bytes, Cut, ["grant.Role.name"];
    /// A lane consists of a project, a branch and a job with its cell. It names a folder of the worker.
    LANE: "lane", 4096, Bytes, Cut, ["worker.Assignment.lane"];
    /// The field is reserved and empty in this version. The limit only keeps it from filling a message.
    PATCH: "patch", 1 << 20, Bytes, Refused, ["change.Source.patch"];

    /// This is room for a few lines on a page. Longer texts are cut when the list of tests is read.
    TEST_TEXT: "text of the test", 1024, Bytes, Cut, [
        "perspective.TestView.suite", "perspective.TestView.name", "perspective.TestView.parameters",
        "perspective.TestView.file", "perspective.FailedTest.suite", "perspective.FailedTest.name",
        "perspective.FailedTest.parameters", "perspective.FailedTest.file",
    ];
    /// The reason why a test failed usually takes a line or two.
    TEST_MESSAGE: "message of the test", 4096, Bytes, Cut, ["perspective.FailedTest.message"];
    /// This is the end of a test's own log. 50 failed tests with such outputs take a third of an answer.
    TEST_OUTPUT: "output of the test", 16 << 10, Bytes, Cut, ["perspective.FailedTest.output"];

    // lists

    /// A person looks through at most this many tests at once. Each takes at most 6 KiB.
    TESTS_TOLD: "list of tests", 100, Elements, Cut, ["perspective.Viewer.tests -> tests"];
    /// Each failed test takes at most 26 KiB, so this many fit into an answer.
    FAILED_TESTS: "list of failed tests", 50, Elements, Cut, ["perspective.Build.tests -> tests"];
    /// These are the lanes that ran the test last. Nobody compares more of them.
    TEST_LANES: "list of lanes of the test", 40, Elements, Cut, ["perspective.Viewer.test -> lanes"];
    /// A lane keeps this many results of each test.
    TEST_POINTS: "list of results", 100, Elements, Cut, ["perspective.TestView.results", "perspective.TestLane.results"];

    /// Nobody asks more people than this, and a mail that names more helps nobody. Each takes some hundred bytes.
    SUSPECTS: "list of suspects", 100, Elements, Cut, ["perspective.RedRange.suspects"];
    /// The master reads at most this many co-authors of a commit.
    CO_AUTHORS: "list of co-authors", 10, Elements, Cut, ["perspective.Suspect.coAuthors"];
    /// Jobs that fail since the same build share a range, so this many show what is broken. Each costs a run of git.
    RED_RANGES: "list of red ranges", 20, Elements, Cut, ["perspective.Viewer.suspects -> ranges"];

    /// A page ends when its rows have 3 MiB, and the smallest row has 320 bytes. This is the next round number of rows.
    PAGE: "page of a list", 10_000, Elements, Cut, [
        "perspective.Viewer.projects -> projects", "perspective.Viewer.crons -> crons", "perspective.Viewer.workers -> workers",
        "perspective.Viewer.watch -> builds", "grant.Operator.workers -> workers", "grant.Operator.grants -> grants",
    ];
    /// A person looks through at most this many rows. If there are more, the answer says so.
    ROWS_TOLD: "list of rows", 1000, Elements, Cut, [
        "perspective.Viewer.builds -> builds", "perspective.Viewer.queue -> items",
    ];
    /// This is enough to show that several grants have the same name.
    FOUND: "list of grants", 10, Elements, Cut, ["grant.Operator.findGrants -> grants"];
    /// An operator has at most 10,000 grants in force below it, each of which has up to 10 logins of browsers.
    REVOKED: "list of revoked grants", 131_072, Elements, Cut, ["grant.Operator.revoke -> revoked"];
    /// A team has a few roles, so this is far more than anybody needs.
    ROLES: "list of roles", 1000, Elements, Cut, ["grant.Operator.roles -> roles"];
    /// A master has one address for each network from which it can be reached.
    ADVERTISED: "list of addresses", 16, Elements, Cut, ["grant.Operator.issue -> advertise"];
    /// Even a file of a thousand projects differs in fewer keys. If there are more, the rest is left out.
    DIFFERENCES: "list of differences", 10_000, Elements, Cut, [
        "grant.Operator.differences -> differences", "grant.Operator.reload -> differences",
    ];
    /// A master has at most some thousand projects, each with a few findings. The worst come first, and good ones are left out.
    FINDINGS: "list of findings", 10_000, Elements, Cut, ["grant.Operator.examine -> findings"];
    /// This many show what a worker does, and a worker with many slots still fits into one row of a list.
    RUNNING: "list of running jobs", 500, Elements, Cut, ["grant.WorkerView.running"];
    /// A worker's grant may have 100 labels, the worker may claim 100 more, and its platform is one more.
    LABELS_IN_FORCE: "list of labels in force", 256, Elements, Cut, ["grant.WorkerView.labels"];
    /// A pipeline has at most 100 steps in a job.
    STEPS: "list of steps", 100, Elements, Cut, ["perspective.JobView.steps"];
    /// These are the workers that come nearest to taking the job. Nobody looks at more.
    CANDIDATES: "list of candidates", 20, Elements, Cut, ["perspective.Explanation.workers"];
    /// An answer names at most this many jobs of one candidate, the oldest first.
    CANDIDATE_JOBS: "list of jobs of a candidate", 50, Elements, Cut, ["perspective.Candidate.jobs"];
    /// A job has up to 4 remedies besides a new worker.
    REMEDIES: "list of remedies", 8, Elements, Cut, ["perspective.Explanation.remedies"];
    /// Nobody does more steps than this by hand.
    REMEDY_STEPS: "list of steps of a remedy", 50, Elements, Cut, ["perspective.Remedy.steps"];
    /// Each label that a job wants has at most one hint, and some states of a job add one or two.
    HINTS: "list of hints", 200, Elements, Cut, ["perspective.Explanation.hints"];
    /// A job has at most 11 attempts by itself, and more if its offers failed. The answer has the newest ones.
    ATTEMPTS: "list of attempts", 1000, Elements, Cut, ["perspective.Explanation.attempts"];
    /// A build has one repository in this version, and later ones may have a few.
    SOURCES: "list of sources", 16, Elements, Cut, ["change.SourceStamp.sources"];
    /// The master asks `git log` for at most this many commits.
    COMMITS: "list of commits", 100, Elements, Cut, ["change.Change.commits"];
    /// The master reads at most this many paths of `git diff`. If a list has this many, more paths may differ.
    PATHS: "list of paths", 1000, Elements, Cut, ["change.Change.paths"];
    /// These are one branch and the 1,000 newest tags.
    REFS: "list of refs", 1001, Elements, Cut, ["worker.SourcePack.pack -> refs"];
    /// A worker must accept all offers of one answer in time, also over a slow link, so they are few.
    OFFERS: "list of further offers", 64, Elements, Cut, ["worker.Session.take -> more"];
    /// This is one batch of events. A longer list is refused, because cutting it would silently lose events.
    EVENTS: "list of events", BATCH_EVENTS, Elements, Refused, ["event.Observer.observe(events)"];
}

/// The size of the smallest row of a page, in bytes. It is so large that a page reaches [`ANSWER_BYTES`] before it has as many
/// rows as [`PAGE`] allows.
const ROW_BYTES_MIN: usize = 320;
const _: () = assert!(ANSWER_BYTES / ROW_BYTES_MIN <= PAGE.most);
