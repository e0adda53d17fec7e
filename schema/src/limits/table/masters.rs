//! What only masters send, in answers, events and calls to workers. Whoever reads it cuts it ([`Limit::told`]), because an
//! older master knows no limits.

use super::{ANSWER_BYTES, BATCH_EVENTS};
use crate::limits::{Beyond, Limit, Unit};

table! {
    // texts

    /// A word of the schema for programs, or the kind of a grant. The longest that there is has 17 letters.
    WORD_TOLD: "word", 64, Bytes, Cut, [
        "gateway.Gateway.redeem -> kind", "event.Event.grantIssued.kind", "perspective.QueueItem.kind",
        "perspective.Explanation.kind", "perspective.Candidate.standing", "perspective.AttemptView.because",
        "perspective.TestView.state", "perspective.TestLane.state",
    ];
    /// A few sentences. More than 4 KiB is read by nobody, and an answer has room for hundreds of them.
    SENTENCE: "sentence", 4096, Bytes, Cut, [
        "event.Event.alarm.text", "event.Event.cronSkipped.reason", "perspective.CronView.skipped", "grant.WorkerView.held", "grant.WorkerView.waits", "perspective.QueueItem.reason",
        "perspective.QueueItem.remedy", "perspective.Explanation.text", "perspective.Explanation.hints[]",
        "perspective.Candidate.text", "perspective.Remedy.text", "perspective.AttemptView.placed",
        "perspective.AttemptView.waitedFor", "grant.Finding.seen", "grant.Finding.remedy", "grant.Difference.before",
        "grant.Difference.after", "worker.Worker.cancel(reason)", "worker.Worker.revoked(reason)",
    ];
    /// It names what was looked at: a project, a worker, a folder, or a key of the master file.
    SUBJECT: "subject", 1024, Bytes, Cut, ["grant.Finding.subject", "grant.Difference.key"];
    /// A project, a number, and a job with its cell.
    SELECTOR: "selector", 2304, Bytes, Cut, [
        "grant.WorkerView.running[]", "perspective.Candidate.jobs[]", "perspective.RemedyStep.object",
    ];
    /// What to type: a selector, or 100 labels, with the words of a command around it. More than this is not typed by hand.
    COMMAND: "command", 4096, Bytes, Cut, ["perspective.RemedyStep.command"];
    /// "run by NAME", "retry of 411 by NAME". A name has at most 256 bytes.
    CAUSE: "cause of the build", 512, Bytes, Cut, ["event.Event.buildCreated.cause", "perspective.BuildView.cause"];
    /// The master cuts an author and a subject after 300 characters, of which each has at most 4 bytes.
    COMMIT_LINE: "line of the commit", 1204, Bytes, Cut, [
        "change.Commit.author", "change.Commit.subject", "perspective.BuildView.subject",
        "perspective.BuildView.author",
    ];
    /// "sha-256:" and the 43 letters of a SHA-256.
    FINGERPRINT: "fingerprint", 64, Bytes, Cut, ["grant.Grant.holder", "grant.Operator.issue -> fingerprint"];
    /// A name of DNS has at most 253 letters (RFC 1035), and a port 5 digits.
    HOST: "address of the master", 512, Bytes, Cut, ["grant.Operator.issue -> advertise[]"];
    /// All addresses of the master, with commas between them.
    HOSTS: "addresses of the master", 16 * 514, Bytes, Cut, ["perspective.Perspective.whoami -> master"];
    /// The address is as long as `url` of the master file. Browsers take 2,048 letters everywhere.
    PAGES: "address of the pages", 2048, Bytes, Cut, [
        "perspective.Perspective.whoami -> pages", "perspective.Perspective.browse -> address",
        "grant.Operator.addProject -> hookAddress", "perspective.BuildView.commitUrl",
    ];
    /// The master makes it of 32 bytes.
    HOOK_SECRET: "secret of the hook", 256, Bytes, Cut, ["grant.Operator.addProject -> hookSecret"];
    /// The name, the expression and the zone of an entry of `[trigger.cron]`: a branch has at most this many bytes on the usual
    /// file systems.
    CRON_TEXT: "text of the cron", 255, Bytes, Cut, [
        "event.Event.cronSkipped.name", "perspective.CronView.name", "perspective.CronView.at", "perspective.CronView.tz",
    ];
    /// A date, a time, and the name of a zone.
    CRON_TIME: "time of the cron", 320, Bytes, Cut, ["perspective.CronView.shown"];
    /// The name is as long as the master file allows.
    ROLE: "name of the role", 256, Bytes, Cut, ["grant.Role.name"];
    /// A project, a branch and a job with its cell: it names a folder of the worker.
    LANE: "lane", 4096, Bytes, Cut, ["worker.Assignment.lane"];
    /// Reserved, and empty in this version: it only must not be what fills a message.
    PATCH: "patch", 1 << 20, Bytes, Refused, ["change.Source.patch"];

    /// A few lines on a page. Longer ones are cut when the list of tests is read.
    TEST_TEXT: "text of the test", 1024, Bytes, Cut, [
        "perspective.TestView.suite", "perspective.TestView.name", "perspective.TestView.parameters",
        "perspective.TestView.file", "perspective.FailedTest.suite", "perspective.FailedTest.name",
        "perspective.FailedTest.parameters", "perspective.FailedTest.file",
    ];
    /// Why a test failed, on a line or two.
    TEST_MESSAGE: "message of the test", 4096, Bytes, Cut, ["perspective.FailedTest.message"];
    /// The end of a test's own log. A page of failed tests with such outputs fills a third of an answer.
    TEST_OUTPUT: "output of the test", 16 << 10, Bytes, Cut, ["perspective.FailedTest.output"];

    // lists

    /// A person looks through this many at once. One has at most 6 KiB.
    TESTS_TOLD: "list of tests", 100, Elements, Cut, ["perspective.Viewer.tests -> tests"];
    /// One has at most 26 KiB, so that all of them fit into an answer.
    FAILED_TESTS: "list of failed tests", 50, Elements, Cut, ["perspective.Build.tests -> tests"];
    /// The lanes that ran the test last.
    TEST_LANES: "list of lanes of the test", 40, Elements, Cut, ["perspective.Viewer.test -> lanes"];
    /// A lane keeps this many.
    TEST_POINTS: "list of results", 100, Elements, Cut, ["perspective.TestView.results", "perspective.TestLane.results"];

    /// A list in pages ends with its bytes, [`ANSWER_BYTES`]: the smallest row has 320 of them. This is the next round number.
    PAGE: "page of a list", 10_000, Elements, Cut, [
        "perspective.Viewer.projects -> projects", "perspective.Viewer.crons -> crons", "perspective.Viewer.workers -> workers",
        "perspective.Viewer.watch -> builds", "grant.Operator.workers -> workers", "grant.Operator.grants -> grants",
    ];
    /// A person looks through this many. If there are more, the answer says so.
    ROWS_TOLD: "list of rows", 1000, Elements, Cut, [
        "perspective.Viewer.builds -> builds", "perspective.Viewer.queue -> items",
    ];
    /// Enough to say that there are several of one name.
    FOUND: "list of grants", 10, Elements, Cut, ["grant.Operator.findGrants -> grants"];
    /// An operator has at most 10,000 grants in force below it, each of which has up to 10 logins of browsers.
    REVOKED: "list of revoked grants", 131_072, Elements, Cut, ["grant.Operator.revoke -> revoked"];
    /// A team has a handful.
    ROLES: "list of roles", 1000, Elements, Cut, ["grant.Operator.roles -> roles"];
    /// A master has one for each network that it is reached from.
    ADVERTISED: "list of addresses", 16, Elements, Cut, ["grant.Operator.issue -> advertise"];
    /// A file of a thousand projects differs in fewer keys. The others are left out.
    DIFFERENCES: "list of differences", 10_000, Elements, Cut, [
        "grant.Operator.differences -> differences", "grant.Operator.reload -> differences",
    ];
    /// A few of each project, of which there are at most thousands. The worst come first, and good ones are left out.
    FINDINGS: "list of findings", 10_000, Elements, Cut, ["grant.Operator.examine -> findings"];
    /// Enough to see what a worker does, so that one with many slots stays one row of a list.
    RUNNING: "list of running jobs", 500, Elements, Cut, ["grant.WorkerView.running"];
    /// The labels of its grant, the labels that it claims, and its platform.
    LABELS_IN_FORCE: "list of labels in force", 256, Elements, Cut, ["grant.WorkerView.labels"];
    /// A pipeline has at most 100 steps in a job.
    STEPS: "list of steps", 100, Elements, Cut, ["perspective.JobView.steps"];
    /// The nearest ones: nobody looks at more.
    CANDIDATES: "list of candidates", 20, Elements, Cut, ["perspective.Explanation.workers"];
    /// The most jobs that are named of one of these.
    CANDIDATE_JOBS: "list of jobs of a candidate", 50, Elements, Cut, ["perspective.Candidate.jobs"];
    /// There are up to 4 besides a new worker.
    REMEDIES: "list of remedies", 8, Elements, Cut, ["perspective.Explanation.remedies"];
    /// Nobody does more of them by hand.
    REMEDY_STEPS: "list of steps of a remedy", 50, Elements, Cut, ["perspective.Remedy.steps"];
    /// Some labels of a job have one each, and few states have two.
    HINTS: "list of hints", 200, Elements, Cut, ["perspective.Explanation.hints"];
    /// A job has at most 11 by itself; one whose offers came to nothing may have more. The newest are told.
    ATTEMPTS: "list of attempts", 1000, Elements, Cut, ["perspective.Explanation.attempts"];
    /// A build is of one repository in this version.
    SOURCES: "list of sources", 16, Elements, Cut, ["change.SourceStamp.sources"];
    /// What `git log` is asked for.
    COMMITS: "list of commits", 100, Elements, Cut, ["change.Change.commits"];
    /// What `git diff` is read for: with as many, more may differ.
    PATHS: "list of paths", 1000, Elements, Cut, ["change.Change.paths"];
    /// The branch, and the newest tags.
    REFS: "list of refs", 1001, Elements, Cut, ["worker.SourcePack.pack -> refs"];
    /// Further offers of one answer: all of them are to be accepted in time, also over a slow link.
    OFFERS: "list of further offers", 64, Elements, Cut, ["worker.Session.take -> more"];
    /// A batch of them. More are refused, because a list that was cut would lose events without a word.
    EVENTS: "list of events", BATCH_EVENTS, Elements, Refused, ["event.Observer.observe(events)"];
}

/// The smallest row of a page, in bytes: a page ends with its bytes before it has as many rows.
const ROW_BYTES_MIN: usize = 320;
const _: () = assert!(ANSWER_BYTES / ROW_BYTES_MIN <= PAGE.most);
