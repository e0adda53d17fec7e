//! The limits of values that peers send to a master, and of values that a pipeline makes.

use super::{JOB_BYTES, NAME_MAX};
use crate::limits::{Beyond, Limit, Unit};

table! {
    // values that strangers and holders of any credential send

    /// A token has 32 bytes. A longer one is looked up and not found, so the limit only bounds that work.
    TOKEN: "token", 1024, Bytes, Refused, [
        "gateway.Gateway.restore(token)", "gateway.Gateway.redeem(join)", "gateway.Gateway.redeem(token)",
    ];
    /// A request id has exactly 16 bytes, which its reader checks.
    REQUEST: "request id", 16, Bytes, Refused, [
        "change.ChangeSink.submit(request)", "grant.Operator.issue(request)", "grant.Operator.revoke(request)",
        "grant.Operator.drain(request)", "grant.Operator.hold(request)", "grant.Operator.forget(request)",
        "grant.Operator.reload(request)", "grant.Operator.addProject(request)",
        "perspective.Perspective.browse(request)", "perspective.Submitter.run(request)",
        "perspective.Submitter.retry(request)", "perspective.Submitter.cancel(request)",
        "perspective.Submitter.beginTry(request)", "perspective.Submitter.runTry(request)",
        "perspective.Submitter.claim(request)", "perspective.Submitter.releaseClaim(request)",
    ];
    /// The hash is a SHA-256, which its reader checks.
    JOIN_HASH: "hash of the join", 32, Bytes, Refused, [
        "grant.Operator.issue(joinHash)", "perspective.Perspective.browse(joinHash)",
    ];

    // values that users and operators send

    /// The name of a project in the master file has at most this many bytes.
    PROJECT: "name of the project", NAME_MAX, Bytes, Refused, [
        "change.ChangeSink.submit(project)", "perspective.Viewer.builds(project)", "perspective.Viewer.projects(after)",
        "perspective.Viewer.build(project)", "perspective.Viewer.branch(project)", "perspective.Viewer.crons(project)",
        "perspective.Viewer.tests(project)", "perspective.Viewer.test(project)", "perspective.Viewer.suspects(project)",
        "perspective.Submitter.claim(project)", "perspective.Submitter.releaseClaim(project)",
        "perspective.Submitter.run(project)",
        "perspective.Submitter.retry(project)", "perspective.Submitter.cancel(project)",
        "perspective.Submitter.beginTry(project)", "perspective.Submitter.runTry(project)", "event.Filter.projects[]",
        "grant.What.projects[]", "grant.NewProject.name", "event.Event.project", "perspective.ProjectView.name",
        "perspective.BuildView.project", "perspective.QueueItem.project", "change.Change.project",
        "worker.Assignment.project",
    ];
    /// A part of a ref has at most 255 bytes on the usual file systems, and the mirror takes refs of 512 bytes.
    REF: "name of the ref", 1024, Bytes, Refused, [
        "change.ChangeSink.submit(ref)", "perspective.Viewer.builds(ref)", "perspective.Viewer.branch(ref)", "perspective.Viewer.tests(ref)", "perspective.TestLane.ref",
        "perspective.Submitter.claim(ref)", "perspective.Submitter.releaseClaim(ref)", "event.Event.claimed.ref",
        "event.Event.claimReleased.ref", "perspective.Viewer.suspects(ref)", "perspective.RedRange.ref",
        "perspective.Submitter.run(ref)", "event.Event.changeSubmitted.ref", "event.Event.refDeleted.ref",
        "event.Event.buildCreated.ref", "perspective.ProjectView.mainBranch", "perspective.BranchView.ref",
        "perspective.BuildView.ref", "change.Source.ref", "event.Event.cronSkipped.ref",
        "perspective.CronView.ref", "change.Change.ref", "worker.SourcePack.pack -> refs[].name",
    ];
    /// A commit has 40 or 64 digits, but a person may also name it by a branch or a tag.
    REVISION: "revision", 1024, Bytes, Refused, [
        "perspective.Viewer.builds(revision)", "perspective.Submitter.run(revision)",
    ];
    /// A branch that nobody pushed rarely has more commits. If the master knows none of these, the whole history is sent.
    TRY_COMMITS: "list of commits", 200, Elements, Refused, ["perspective.Submitter.beginTry(commits)"];
    /// A worker's platform is a label, with the same limit.
    TRY_PLATFORM: "platform", NAME_MAX, Bytes, Refused, ["perspective.Submitter.runTry(platform)"];
    /// The name of a job with its cell consists of up to 17 names of 100 bytes and their separators.
    JOB: "name of the job", 2048, Bytes, Refused, [
        "perspective.Build.log(job)", "perspective.Build.explain(job)", "perspective.Build.tests(job)", "perspective.Build.reports(job)", "perspective.Viewer.tests(job)",
        "perspective.TestView.job", "perspective.TestLane.job", "perspective.Submitter.retry(jobs)[]", "perspective.Submitter.runTry(jobs)[]",
        "perspective.Submitter.claim(job)", "perspective.Submitter.releaseClaim(job)", "event.Event.claimed.job",
        "event.Event.claimReleased.job", "perspective.Viewer.suspects(job)", "perspective.RedRange.jobs[]",
        "perspective.Submitter.cancel(job)", "event.Event.buildPlanned.jobs[]", "event.Event.jobQueued.job",
        "event.Event.jobStarted.job", "event.Event.attemptLost.job", "event.Event.stepStarted.job",
        "event.Event.stepFinished.job", "event.Event.jobFinished.job", "perspective.LaneView.job",
        "perspective.JobView.name", "perspective.QueueItem.job",
    ];
    /// A pipeline has at most this many jobs.
    JOBS: "list of jobs", 1000, Elements, Refused, [
        "perspective.Submitter.retry(jobs)", "perspective.Submitter.runTry(jobs)", "event.Event.buildPlanned.jobs", "perspective.BuildView.jobs",
        "perspective.JobView.needs", "perspective.BranchView.lanes", "perspective.RedRange.jobs",
    ];
    /// This is room for a few sentences. A longer reason is refused, because a person can write a shorter one.
    WHY: "reason", 4096, Bytes, Refused, ["perspective.Submitter.cancel(reason)", "grant.Operator.hold(reason)"];
    /// This is room for two sentences. Each claim is in memory, and is shown with its job.
    CLAIM_REASON: "reason of the claim", 500, Bytes, Refused, [
        "perspective.Submitter.claim(reason)", "event.Event.claimed.reason", "perspective.LaneView.claimReason",
    ];
    /// This is room for a few sentences. The reason is stored with each grant below the revoked one, and each subscriber gets it.
    REVOCATION: "reason of the revocation", 1000, Bytes, Refused, [
        "grant.Operator.revoke(reason)", "event.Event.grantRevoked.reason", "grant.Grant.reason", "grant.WorkerView.revoked",
    ];
    /// A farm has some dozen projects. Nobody reads a longer list, and a grant for all projects names `*` instead.
    PROJECTS: "list of projects", 1000, Elements, Refused, ["grant.What.projects"];
    /// Each event is compared with each of these projects, so their number bounds that work.
    FOLLOWED: "list of projects to follow", 1000, Elements, Refused, ["event.Filter.projects"];
    /// This is one of five words, and the longest has 13 letters.
    TESTS_SHOWN: "word for the tests to show", 64, Bytes, Refused, ["perspective.Viewer.tests(shown)"];
    /// A person types a part of a test's name, which is rarely longer.
    TEST_SEARCH: "text to look for", 512, Bytes, Refused, ["perspective.Viewer.tests(search)"];
    /// The longest kind of event has 15 letters.
    KIND: "kind of event", 64, Bytes, Refused, ["event.Filter.kinds[]", "event.Event.kind"];
    /// There are fewer than 20 kinds.
    KINDS: "list of kinds", 100, Elements, Refused, ["event.Filter.kinds"];
    /// There are 8 rights, and the longest has 7 letters.
    RIGHT: "right", 64, Bytes, Refused, ["grant.What.may[]", "grant.What.mayAlso[]"];
    /// There are 8 rights, and there may be more.
    RIGHTS: "list of rights", 100, Elements, Refused, ["grant.What.may", "grant.What.mayAlso"];
    /// This is more than the name of a person or a machine needs.
    HOLDER: "name of the holder", 256, Bytes, Refused, [
        "grant.Operator.issue(name)", "grant.Operator.findGrants(wanted)", "event.Event.grantIssued.name",
        "event.Event.grantRedeemed.name", "event.Event.claimed.name", "event.Event.claimReleased.name",
        "perspective.LaneView.claimedBy", "event.Event.grantRevoked.name", "grant.Grant.name",
        "gateway.Gateway.redeem -> name",
    ];
    /// The master file allows as many bytes for the name of a pool.
    POOL: "name of the pool", NAME_MAX, Bytes, Refused, [
        "grant.What.pools[]", "grant.NewProject.pools[]", "grant.WorkerView.pools[]", "perspective.RemedyStep.pool",
    ];
    /// A worker serves a few pools.
    POOLS: "list of pools", 1000, Elements, Refused, [
        "grant.What.pools", "grant.NewProject.pools", "grant.WorkerView.pools",
    ];
    /// The name of a worker is the name of its grant's holder, which has the same limit.
    WORKER: "name of the worker", 256, Bytes, Refused, [
        "grant.Operator.drain(worker)", "grant.Operator.hold(worker)", "grant.Operator.forget(worker)",
        "grant.Operator.workers(after)", "perspective.Viewer.workers(after)", "event.Event.jobStarted.worker",
        "event.Event.attemptLost.worker", "event.Event.workerAttached.worker", "event.Event.workerLost.worker",
        "grant.WorkerView.name", "perspective.JobView.worker", "perspective.Candidate.name",
        "perspective.AttemptView.worker",
    ];
    /// A path on Linux has at most 4,096 bytes, and an address rarely has 200.
    ADDRESS: "address of the repository", 4096, Bytes, Refused, [
        "grant.NewProject.repository", "grant.NewProject.aliases[]", "perspective.ProjectView.repository",
        "perspective.ProjectView.aliases[]", "change.Source.repository",
    ];
    /// A pattern of `guild.toml` has at most this many characters.
    PATTERN: "pattern", 1000, Bytes, Refused, ["grant.NewProject.branches[]", "grant.NewProject.tags[]"];
    /// A key of `guild.toml` also has at most this many patterns.
    PATTERNS: "list of patterns", 1000, Elements, Refused, [
        "grant.NewProject.branches", "grant.NewProject.tags", "grant.NewProject.aliases",
        "perspective.ProjectView.aliases",
    ];
    /// A setting is a number with a unit, or a word.
    SETTING: "setting", 64, Bytes, Refused, ["grant.NewProject.poll", "grant.NewProject.hookKind"];
    /// The file of the largest RSA key has 13 KiB, and a file of known hosts is often longer.
    SECRET: "credential", 64 << 10, Bytes, Refused, [
        "grant.NewProject.credential", "grant.NewProject.knownHosts", "grant.NewProject.token",
    ];

    // parts of logs, blobs and packs

    /// One call reads at most this much of a log, a blob or a pack. Several calls run at once, and both sides hold each part.
    PART: "part", 256 << 10, Bytes, Refused, [
        "common.ByteSource.read -> bytes", "log.LogReader.read -> bytes", "log.LogReader.lines -> bytes",
        "log.LogReader.lastLines -> bytes",
    ];

    // values that workers send

    /// An instance has exactly 16 bytes, which its reader checks.
    INSTANCE: "instance", 16, Bytes, Refused, ["worker.WorkerDesk.attach(instance)", "worker.Worker.ping -> instance"];
    /// One worker can hold this many leases, which is far more than any machine has cores.
    LEASES: "list of leases", 4096, Elements, Refused, [
        "worker.WorkerDesk.attach(running)", "worker.WorkerDesk.attach(alive)", "worker.Session.renew(tokens)",
        "worker.Session.renew -> stale", "worker.Session.renew -> terms", "worker.WorkerDesk.attach -> standing",
        "worker.WorkerDesk.attach -> leases", "worker.WorkerDesk.attach -> terms",
    ];
    /// The token of a lease has 16 bytes, which its reader checks.
    LEASE: "token of the lease", 16, Bytes, Refused, [
        "worker.WorkerDesk.attach(running)[]", "worker.WorkerDesk.attach(alive)[]", "worker.Session.renew(tokens)[]",
        "worker.Assignment.token", "worker.Worker.cancel(token)", "worker.Worker.stale(token)",
        "worker.Session.renew -> stale[]",
    ];
    /// The names of a platform, a machine, a version and a tier are short. A long one is cut, because a refusal would keep the
    /// worker from attaching.
    ABOUT: "description of the worker", 256, Bytes, Cut, [
        "worker.Description.platform", "worker.Description.host", "worker.Description.version",
        "worker.Description.isolation[]", "worker.TierProbe.tier", "worker.Home.boot", "perspective.JobView.platform",
        "perspective.RemedyStep.platform", "perspective.AttemptView.isolation", "perspective.JobView.isolation",
         "worker.Assignment.isolation",
    ];
    /// This version has 2 tiers, and later versions will have some more.
    TIERS: "list of tiers", 16, Elements, Cut, ["worker.Description.isolation", "worker.Description.probes"];
    /// A person reads no more about one machine. A longer list is cut, because a refusal would lose it.
    TROUBLES: "list of troubles", 16, Elements, Cut, ["worker.Session.troubles(what)"];
    /// This is a sentence about a machine, and people need it to help. A longer one is cut, because a refusal would lose it.
    TIER_LACK: "lack of a tier", 1024, Bytes, Cut, ["worker.TierProbe.lack", "worker.StepBounds.lack"];
    /// A label has a name and a value. A cut label would be another label, so a longer one is refused, and its worker with it.
    LABEL: "label", 256, Bytes, Refused, [
        "worker.Description.labels[].name", "worker.Description.labels[].value", "grant.What.labels[].name",
        "grant.What.labels[].value", "grant.WorkerView.labels[].name", "grant.WorkerView.labels[].value",
        "perspective.RemedyStep.labels[].name", "perspective.RemedyStep.labels[].value",
    ];
    /// A job can want 100 labels, so more would be of no use.
    LABELS: "list of labels", 100, Elements, Refused, [
        "worker.Description.labels", "grant.What.labels", "perspective.RemedyStep.labels",
    ];
    /// This is room for a few sentences. A longer reason is cut, because a refusal would lose how the attempt ended.
    REASON: "reason", 4096, Bytes, Cut, [
        "worker.Lease.complete(reason)", "worker.AttemptEnd.reason", "event.Event.attemptLost.reason",
        "event.Event.stepFinished.reason", "event.Event.jobFinished.reason", "event.Event.workerLost.reason", "perspective.AttemptView.reason",
    ];
    /// The text may be as long as the reason of an attempt.
    EXIT: "text of the exit", 4096, Bytes, Cut, ["worker.Exit.lost"];
    /// This is a sentence about a disk or a machine, and people need it to help the worker. A longer one is cut, because a refusal
    /// would lose it.
    LACK: "lack", 1024, Bytes, Cut, ["worker.Session.lacks(what)", "worker.Session.troubles(what)[]"];
    /// A job has at most 100 steps, so one report needs far fewer entries.
    PROGRESS: "list of progress", 4096, Elements, Refused, ["worker.Lease.report(progress)"];
    /// A BLAKE3 hash has 32 bytes.
    LOG_HASH: "hash of the log", 32, Bytes, Refused, ["worker.StepEnd.logHash", "worker.StepReport.finished(logHash)"];
    /// A BLAKE3 hash has 32 bytes.
    TEST_LIST: "hash of the list of tests", 32, Bytes, Refused, ["worker.TestsReported.list"];
    /// A mail or a terminal has room for this many tests. The list of tests has all of them.
    FAILING: "list of failing tests", 20, Elements, Cut, ["worker.TestsReported.failing"];
    /// This is a suite, a name and its parameters, on a line or two.
    FAILING_TEST: "name of the test", 512, Bytes, Cut, ["worker.TestsReported.failing[]"];
    /// This is a sentence that names a place in a file.
    REPORT_TROUBLE: "trouble with the report", 1024, Bytes, Cut, ["worker.TestsReported.trouble"];
    /// The manual has always promised this much. A worker sends 128 KiB at once.
    LOG_WRITE: "part of the log", 1 << 20, Bytes, Refused, ["log.LogSink.write(bytes)"];
    /// A part of a log has the same limit, because both go to a file in one write.
    SINK_WRITE: "part of the bytes", 1 << 20, Bytes, Refused, ["common.ByteSink.write(bytes)"];
    /// A BLAKE3 hash has exactly 32 bytes, which its reader checks.
    BLAKE3: "BLAKE3", 32, Bytes, Refused, [
        "common.ByteSink.seal(blake3)", "perspective.Build.blob(blake3)", "log.LogReader.size -> hash",
    ];
    /// A path within a workspace is rarely longer, and the name of an artifact is shown on one line.
    ARTIFACT: "path of the artifact", 1024, Bytes, Refused, ["worker.Lease.artifact(path)"];
    /// A worker sends at most 128 KiB at once and marks each read, and a read has at least one byte.
    MARKS: "list of marks", 131_072, Elements, Refused, ["log.LogSink.write(marks)"];
    /// A worker names only the newest commits that it has.
    HAVE: "list of commits", 256, Elements, Refused, ["worker.SourcePack.pack(have)"];
    /// A commit has 40 or 64 digits.
    COMMIT: "commit", 64, Bytes, Refused, [
        "perspective.Submitter.beginTry(commits)[]", "perspective.Submitter.beginTry -> base",
        "perspective.Submitter.runTry(commit)",
        "worker.SourcePack.pack(have)[]", "event.Event.changeSubmitted.revision", "event.Event.buildCreated.revision",
        "perspective.LaneView.revision", "perspective.LaneView.sinceRevision", "perspective.LaneView.lastGoodRevision",
        "perspective.BranchView.tipRevision", "perspective.BuildView.revision", "change.Source.revision",
        "change.Source.base", "change.Commit.revision", "change.Change.revision", "change.Change.before",
        "worker.SourcePack.pack -> refs[].value", "perspective.RedRange.firstBadRevision",
        "perspective.RedRange.lastGoodRevision", "perspective.Suspect.revision", "perspective.Suspect.undoneWith",
    ];

    // values that the pipeline makes

    /// Lists, pages and events show the name on one line. Its length counts after the placeholders are filled in.
    STEP_NAME: "step name", 200, Bytes, Refused, [
        "plan.Step.name", "event.Event.stepStarted.name", "perspective.StepView.name",
    ];
    /// All texts of a job together have at most as many bytes as a job on its way to a worker.
    PLAN_TEXT: "text of the plan", JOB_BYTES, Bytes, Refused, [
        "plan.Job.name", "plan.Job.base", "plan.Job.cell[].name", "plan.Job.cell[].value", "plan.Job.on",
        "plan.Job.want[]", "plan.Job.env[].name", "plan.Job.env[].value", "plan.Job.skipped", "plan.Job.isolation",
        "plan.Step.command.shell.shell[]", "plan.Step.command.shell.script", "plan.Step.command.exec[]",
        "plan.Step.env[].name", "plan.Step.env[].value", "plan.Step.dir", "plan.Step.Report.format",
        "plan.Step.Report.path",
    ];
    /// A job has at most 1 MiB, so its lists have fewer elements than this.
    PLAN_LIST: "list of the plan", 131_072, Elements, Refused, [
        "plan.Plan.jobs", "plan.Job.cell", "plan.Job.needs", "plan.Job.want", "plan.Job.env", "plan.Job.steps",
        "plan.Step.command.shell.shell", "plan.Step.command.exec", "plan.Step.env", "plan.Step.reports",
    ];
    /// The reason why a job is left out names up to 5 patterns of each key, which may be long.
    SKIPPED: "reason", 4096, Bytes, Cut, ["perspective.JobView.reason"];
    /// A diagnosis names up to 100 errors of a file, each with its line. More would help nobody.
    DIAGNOSIS: "diagnosis", 64 << 10, Bytes, Cut, [
        "perspective.BuildView.diagnosis", "common.Refusal.text", "common.Refusal.help",
    ];
    /// A list of builds shows this much of a diagnosis. The build itself shows all of it.
    DIAGNOSIS_LISTED: "diagnosis", 1024, Bytes, Cut, ["perspective.Viewer.builds -> builds[].diagnosis"];

    // values in events

    /// A push has a few commits. The event names the newest, and says whether there are more.
    EVENT_COMMITS: "list of an event's commits", 20, Elements, Cut, ["event.Event.changeSubmitted.commits"];
    /// A person looks through at most this many paths. Even with the longest texts, an event then stays below 100 KiB.
    EVENT_PATHS: "list of an event's paths", 100, Elements, Cut, ["event.Event.changeSubmitted.paths"];
    /// This is a path or another line of a commit. The master cuts it, because anybody can commit anything.
    EVENT_TEXT: "text of an event's commit", 512, Bytes, Cut, [
        "event.Event.changeSubmitted.paths[]", "change.Change.paths[]",
    ];
    /// The origin is a SHA-256. Anything shorter names nobody.
    ORIGIN: "origin of the event", 32, Bytes, Refused, ["event.Event.origin"];
}
