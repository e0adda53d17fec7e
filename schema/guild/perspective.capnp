@0xd1a4b6c0f5e27a08;
# The capabilities of a user: to look at builds, to steer them, and to subscribe to events.

using Common = import "common.capnp";
using Change = import "change.capnp";
using Plan = import "plan.capnp";
using Log = import "log.capnp";
using Event = import "event.capnp";
using Grant = import "grant.capnp";
using Worker = import "worker.capnp";

interface Perspective {
  # Authority: to take the parts that the grant names. The other parts are null.
  # Holder: the holder of a credential of any kind but a worker's, from `Gateway.restore`.
  # Drop: nothing happens. The parts that were taken stay.
  # Disconnect: it dies, with its parts. Restore the credential again.
  # Repeat: every call may be repeated.
  # Cost: the calls that give out a part wait for nothing. `whoami` and `browse` wait for a look at the grants and for a commit.

  whoami @0 () -> (grant :Grant.Grant, master :Text, incarnation :UInt64, pages :Text);
  # The grant that this capability stands for. `master` has the addresses of the master, "host:port", with commas between them.
  # `incarnation` is the life of its store, as in `Cursor`. `pages` is the address of the master's pages; empty means that it
  # serves none.
  viewer @1 () -> (viewer :Viewer);
  # The authority to look. It needs the right "view".
  submitter @2 () -> (submitter :Submitter);
  # The authority to steer builds. It needs one of the rights "run", "retry", "cancel" and "try".
  changes @3 () -> (sink :Change.ChangeSink);
  # The authority to report changes. It needs the right "changes".
  events @4 () -> (source :Event.EventSource);
  # The authority to follow events. It needs the right "events" or "view".
  operator @5 () -> (operator :Grant.Operator);
  # The authority to run the guild. It needs the right "operate".
  browse @6 (request :Data, joinHash :Data) -> (address :Text, grant :UInt64, refusal :Common.Refusal);
  # Makes a login of the holder's browser to the master's pages. It is a grant below the caller's own that can only look at the
  # same projects, for 30 days. A grant has at most 10 of them: an address that nobody used is dropped first, and then the oldest
  # login. The caller makes the join, 32 random bytes, and sends only its SHA-256. `address` + "/login/" + the join, as in a
  # sturdy ref, shows a page with a button. Its use within 10 minutes redeems the join, once; Gateway.redeem refuses it. A
  # repeated call with the same join gets the same answer until then. `grant` is the login's number. Refused as `notPermitted`
  # without the right "view", and as `unavailable` if the master serves no pages.
}

struct ProjectView {
  # One project.
  name @0 :Text;                 # The project's name.
  repository @1 :Text;           # The address of its repository, as the master file has it.
  aliases @2 :List(Text);        # Other addresses of the repository.
  latest @3 :UInt32;             # The number of its newest build; 0 means none.
  mainBranch @4 :Text;           # The branch that the repository's HEAD names, in full; empty means not known yet.
  nextLook @5 :Int64;
  # When the master next looks for changes, in milliseconds since 1970; 0 means that it does not follow the repository, or does
  # not say.
}

struct CronView {
  # An entry of `[trigger.cron]`, as the pipeline at the tip of its branch has it.
  name @0 :Text;                 # The entry's name.
  ref @1 :Text;                  # The branch that it builds, in full.
  at @2 :Text;                   # The expression that names the moments.
  tz @3 :Text;                   # The time zone of the expression.
  ifChanged @4 :Bool;            # Whether it builds only if the branch moved since its last build.
  next @5 :Int64;                # The next firing, in milliseconds since 1970; 0 means that there is none.
  shown @6 :Text;
  # The next firing as the clock in `tz` shows it, "2026-12-01 03:00 Europe/Berlin"; empty means none.
  fired @7 :Int64;
  # The time of the newest firing, in milliseconds since 1970; 0 means that it has not fired.
  build @8 :UInt32;              # The number of the last build that it made; 0 means none.
  skipped @9 :Text;              # Why the newest firing made no build; empty means it made one, or there was none.
}

struct LaneView {
  # One job of one branch, build after build. Its state is its newest outcome that counts, in the order of the updates of
  # the branch: succeeded, warned or failed. A run that errored, was cancelled or left out changes nothing. A retry of an
  # old commit belongs to that commit.
  job @0 :Text;                  # The name of the job with its cell.
  outcome @1 :Common.Outcome;    # The lane's state; `none` means that nothing counts yet.
  build @2 :UInt32;              # The build whose outcome that is; 0 means none, or it is too long ago.
  revision @3 :Text;             # The commit of that build.
  since @4 :UInt32;              # The build in which it began to fail; 0 means that it does not fail.
  sinceRevision @5 :Text;        # The commit of that build; empty means that it does not fail.
  lastGood @6 :UInt32;           # The newest build in which it was good; 0 means none.
  lastGoodRevision @7 :Text;     # The commit of that build; empty means none.
  errored @8 :UInt32;            # The build in which its newest run errored; 0 means that this run did not error.
  claimedBy @9 :Text;            # The name of the person who looks after it; empty means nobody.
  claimed @10 :Int64;            # When that person claimed it, in milliseconds since 1970; 0 means nobody did.
  claimUntil @11 :Int64;         # When the claim ends, in milliseconds since 1970; 0 means that there is none.
  claimReason @12 :Text;         # What the person says about it; empty means nothing.
}

struct BranchView {
  # The state of a branch or a tag, which is that of its worst lane. Badges, pages, `guild status` and notices all show this.
  ref @0 :Text;                  # The branch or tag, in full.
  outcome @1 :Common.Outcome;    # The branch's state; `none` means that nothing counts yet.
  errored @2 :Bool;              # Whether the newest run of a lane, or of the planner, errored. It is shown beside the outcome.
  tip @3 :UInt32;                # The newest build of its newest update; 0 means none.
  tipRevision @4 :Text;          # The commit of that build.
  isOpen @5 :Bool;               # Whether that build is not finished.
  lanes @6 :List(LaneView);      # The lanes of the jobs of the newest plan, in its order.
  broken @7 :UInt32;             # The newest build, if its pipeline could not be read; 0 means none.
}

struct BuildView {
  # One build.
  project @0 :Text;              # The name of its project.
  number @1 :UInt32;             # The build's number in the project, from 1.
  state @2 :Common.State;        # How far the build has come.
  outcome @3 :Common.Outcome;    # How the build ended: the worst outcome of its jobs.
  ref @4 :Text;                  # The ref that it was made for, in full; empty means that the revision was named directly.
  revision @5 :Text;             # The commit that it builds.
  subject @6 :Text;              # The first line of that commit's message.
  author @7 :Text;               # The author of that commit, "Name <mail>".
  cause @8 :Text;                # "change", "run by NAME", "retry of 411 by NAME", "cron NAME", "try by NAME"; more may be added.
  created @9 :Int64;             # When the build was made, in milliseconds since 1970.
  started @10 :Int64;            # When its first job began, in milliseconds since 1970; 0 means not yet.
  finished @11 :Int64;           # When the build finished, in milliseconds since 1970; 0 means not yet.
  diagnosis @12 :Text;           # Why there is no plan, as a person reads it, at most 64 KiB; empty otherwise.
  jobs @13 :List(JobView);       # The build's jobs in the order of the plan; empty in lists.
  retryOf @14 :UInt32;           # The number of the build that it repeats; 0 means none.
  jobCount @15 :UInt32;          # How many jobs the build has.
  commitUrl @16 :Text;           # The page of `revision` at the forge; empty means that none is known. Empty in lists.
}

struct JobView {
  # One job of a build.
  name @0 :Text;                 # The job's name with its cell.
  state @1 :Common.State;        # How far the job has come.
  outcome @2 :Common.Outcome;    # How the job ended.
  reason @3 :Text;               # Why the job has this outcome, or why it waits; at most 4 KiB.
  worker @4 :Text;               # The worker of the latest attempt; empty means none.
  attempt @5 :UInt16;            # The number of the latest attempt; 0 means none.
  queued @6 :Int64;              # When the job was queued, in milliseconds since 1970; 0 means not yet.
  started @7 :Int64;             # When the latest attempt began, in milliseconds since 1970; 0 means not yet.
  finished @8 :Int64;            # When the job finished, in milliseconds since 1970; 0 means not yet.
  steps @9 :List(StepView);      # The steps of the latest attempt.
  platform @10 :Text;            # The platform of its worker; if it has none yet, the platform that it asks for.
  needs @11 :List(UInt32);       # The jobs that it needs: indices into `BuildView.jobs`.
  carriedFrom @12 :UInt32;       # The build in which it ran, if this retry did not repeat it; 0 means this one.
  isolation @13 :Text;
  # The tier of the latest attempt: "plain", "guard"; empty means that none is known, or the master is older.
}

struct StepView {
  # One step of an attempt.
  name @0 :Text;                 # The step's name.
  state @1 :Common.State;        # How far the step has come.
  outcome @2 :Common.Outcome;    # How the step ended.
  exit @3 :Worker.Exit;          # How its process ended.
  started @4 :Int64;             # When the step began, in milliseconds since 1970; 0 means not yet.
  finished @5 :Int64;            # When the step ended, in milliseconds since 1970; 0 means not yet.
  logSize @6 :UInt64;            # The size of its log, in bytes; 0 while it runs.
  tests @7 :Worker.TestsReported;
  # What its reports say about its tests. In large builds fewer failing tests are named, because the answer has a limit. Null
  # means that it has no reports, is not finished, or an older master ran it.
}

struct QueueItem {
  # A job that waits for a worker.
  project @0 :Text;              # The name of its project.
  build @1 :UInt32;              # The number of its build.
  job @2 :Text;                  # The job's name with its cell.
  since @3 :Int64;               # Since when the job waits, in milliseconds since 1970.
  reason @4 :Text;               # Why the job waits, in a sentence.
  kind @5 :Text;                 # The same in a word for programs, as in `Explanation.kind`.
  remedy @6 :Text;               # What would change that, in short. `Build.explain` tells it in full.
}

struct Explanation {
  # Why a job waits or ran on its worker, and what would change that. Jobs of projects that the grant does not cover have no
  # names.
  kind @0 :Text;
  # The reason in a word for programs. More words may be added.
  #
  # The job waits for other jobs: "needs".
  # It is queued, and workers could take it. "busy": none of them has room. "silent": one has room and does not ask for work.
  # "unready": one has room, and says why it takes no job for now. "resting": offers to them came to nothing, and they are asked
  # again later. "stopped": they are drained or held. "away": they are not connected.
  # It is queued, and no worker could take it. "room": none is large enough. "pool", "platform", "label": nobody has what it asks
  # for. "tier": nobody offers the isolation. "together": no single worker has all of it. "restored": the master was restored
  # from a backup, and has not read the repository since.
  # It was placed: "offered", "runs", "ran", and "carried" if it ran in another build.
  # It was skipped: "when", "need". It ended without an attempt: "ended".
  text @1 :Text;                 # The reason in a sentence.
  since @2 :Int64;               # Since when the job is in this state, in milliseconds since 1970; 0 means not known.
  ahead @3 :UInt32;              # How many queued jobs go first and compete for the same workers; at most 1,000 are counted.
  workers @4 :List(Candidate);   # The workers, the nearest first, at most 20.
  workerCount @5 :UInt32;        # How many workers there are in all.
  remedies @6 :List(Remedy);     # Each one by itself gets the job placed. The one of the least effort comes first.
  hints @7 :List(Text);          # What else to look at, and what later builds could ask for.
  attempts @8 :List(AttemptView);  # The attempts of the job, the first one first.
}

struct Candidate {
  # A worker, and why it does not have the job.
  name @0 :Text;                 # The name of the worker.
  standing @1 :Text;
  # Why the worker does not have the job, in a word for programs: "free", "busy", "offered", "silent", "ending", "drained", "held",
  # "away", "small" or "lacking". "offered": it has an offer that it has not answered. "ending": it drains by itself. More words
  # may be added.
  text @2 :Text;                 # The same in a sentence.
  jobs @3 :List(Text);           # Selectors of the jobs that it has, the oldest first; "" means a job of another project.
  since @4 :Int64;
  # Since when it has the oldest of them, or is in this state, in milliseconds since 1970; 0 means not known.
}

struct Remedy {
  # Steps that together get the job placed, one after the other.
  text @0 :Text;                 # All steps in a sentence.
  steps @1 :List(RemedyStep);    # The steps in their order, at most 50.
}

struct RemedyStep {
  # One thing to do, or to wait for.
  act @0 :Act;                   # What to do.
  object @1 :Text;               # The name of the worker, or the job as a selector.
  command @2 :Text;              # The command to type; empty means that there is none.
  pool @3 :Text;                 # Only for `join`, like the next three: the pool of the worker that would take the job.
  labels @4 :List(Common.Pair);  # The labels of that worker.
  platform @5 :Text;             # The platform of that worker; empty means any.
  room @6 :Worker.Resources;     # The room that it needs for the job and for those that go first.

  enum Act {
    # What a person can do about a job that waits.
    wait @0;                     # Wait for the job to end, and to end well if it is needed.
    resume @1;                   # Give the worker jobs again. It needs the right "operate".
    start @2;                    # Start the worker, on its own machine.
    join @3;                     # Add a new worker. It needs the right "operate".
  }
}

struct AttemptView {
  # One attempt of a job.
  number @0 :UInt16;             # The attempt's number, from 1.
  worker @1 :Text;               # The name of its worker.
  started @2 :Int64;             # When the attempt began, in milliseconds since 1970.
  finished @3 :Int64;            # When the attempt ended, in milliseconds since 1970; 0 means that it runs.
  outcome @4 :Common.Outcome;    # How the attempt ended.
  reason @5 :Text;               # Why the attempt ended; empty means that the outcome says all.
  isolation @6 :Text;            # The tier in force: "plain", "guard"; empty means that its worker is older and did not say.
  placed @7 :Text;               # Why that worker got it, in a sentence; empty means not recorded (an attempt of version 0.1).
  because @8 :Text;              # The same in a word: "only", "asked", "only-free", "connected-longest"; empty if `placed` is.
  able @9 :UInt32;               # How many connected workers could take it.
  free @10 :UInt32;              # How many of these had room and asked; at most 8 are counted.
  waited @11 :UInt64;            # How long it was queued, in milliseconds.
  waitedFor @12 :Text;           # What ended the wait, in a sentence; empty means that it did not wait.
}

interface Build {
  # Authority: to look at one build.
  # Holder: a viewer from `Viewer.build`, and a submitter from the call that made the build.
  # Drop: forgets it, and cancels nothing.
  # Disconnect: it dies, and the build goes on. Ask for it again by its project and number.
  # Repeat: every call may be repeated, also after the end of the build.
  # Cost: `outcome` waits for the end of the build, without a deadline. Every other call waits for its turn among the grants, and
  # for the disk. `explain` costs one look at each worker.
  #
  # A build that retention removed fails `view` and `outcome` with "notFound: ".

  view @0 () -> (view :BuildView);
  # The build with all of its jobs and steps. A plan whose jobs and steps do not fit into a message is refused when the pipeline
  # is read. If long reasons leave no room, the longest are cut, with a mark. In builds of older masters, the last jobs may
  # come without steps.
  outcome @1 () -> (outcome :Common.Outcome);
  # Resolves when the build is finished.
  log @2 (job :Text, attempt :UInt16, step :UInt16) -> (reader :Log.LogReader, refusal :Common.Refusal);
  # The log of a step. `job` is a name with its cell. `attempt` counts from 1; 0 means the latest. `step` counts from 1. Refused
  # as `invalid` if `step` is 0, and as `notFound` if there is no such job, it has not started, or its log was removed.
  explain @3 (job :Text) -> (explanation :Explanation, refusal :Common.Refusal);
  # Why this job (a name with its cell) waits and what would change that, or why it ran on its worker. The answer is true now,
  # and reserves nothing. Refused as `notFound` if there is no such job, and as `conflict` before the pipeline was read.
  blob @4 (blake3 :Data) -> (source :Common.ByteSource, refusal :Common.Refusal);
  # Sealed bytes that an attempt of this build stored, by their hash of 32 bytes. The bytes of a carried job are in the build
  # where it ran. A reader that has begun reads on when retention removes the build. Refused as `invalid` if the hash has not 32
  # bytes, and as `notFound` if no attempt of this build stored such bytes. Older masters do not know this method.
  tests @5 (job :Text, skip :UInt32) -> (tests :List(FailedTest), count :UInt32, refusal :Common.Refusal);
  # The tests of a job's latest attempt that failed or errored, in the order of their lists. `job`: its name with its cell.
  # At most 50 are answered, from the `skip`-th on. `count`: how many there are in all. For a carried job, they are those of the
  # build where it ran. The answer is empty if the job reported none, or retention removed the lists. Waits for nothing. Costs a
  # read of its lists, in the caller's turn. Refused as `notFound` if the build has no such job. Older masters do not know
  # this method.
  change @6 () -> (change :Change.Change, refusal :Common.Refusal);
  # The update of its ref that made this build, with its commits: the newest 100, and 1,000 of the paths. Refused as `notFound`
  # if a person or the clock asked for the build. May be repeated; costs one row. Older masters do not know this method.
  reports @7 (job :Text, attempt :UInt16, step :UInt16) -> (source :Common.ByteSource, refusal :Common.Refusal);
  # The test reports of a step, as its tools wrote them and its worker found them: a tar archive of the files, compressed with
  # zstd. `job`, `attempt` and `step` are as in `log`. May be repeated; costs three rows. Refused as `invalid` if `step` is 0.
  # Refused as `notFound` if there is no such job, if it has not started, or if no reports of the step are kept. Older masters do
  # not know this method.
}

struct FailedTest {
  # A test that failed, as its tool reported it.
  suite @0 :Text;                # The suite of the test, with "/" between its parts; may be empty.
  name @1 :Text;                 # The test's own name.
  parameters @2 :Text;           # Its parameters, without brackets; empty means that it has none.
  file @3 :Text;                 # The file that has the test; empty means that its tool does not say.
  line @4 :UInt32;               # The line in that file, from 1; 0 means that its tool does not say.
  step @5 :UInt16;               # The step that ran it, from 1.
  outcome @6 :TestPoint.TestOutcome;   # How it ended.
  duration @7 :UInt64;           # How long it took, in microseconds; 0 means that its tool does not say.
  message @8 :Text;              # Why it failed, on a line or two, at most 4 KiB.
  output @9 :Text;               # What it printed and where it failed, at most 16 KiB.
}

interface Viewer {
  # Authority: to look at the projects that the grant names. Another project is `notFound`, like one that does not exist.
  # Holder: the holder of a grant with the right "view", from `Perspective.viewer`.
  # Drop: nothing happens. Builds, readers and subscriptions that it gave out go on.
  # Disconnect: it dies, with all that it gave out. Restore the credential again.
  # Repeat: every call may be repeated. Each `watch` makes another subscription.
  # Cost: a call waits for its turn among the grants, and for the disk. A list of more than 3 MiB is cut, and `more` says so. It
  # has at least one row, if one exists. If a row has too many aliases, pools or labels, only the first of them are shown.

  projects @0 (after :Text) -> (projects :List(ProjectView), more :Bool);
  # The projects in the order of their names. `after`: only those whose names follow this one; empty means all. Version 0.1
  # sends and knows neither `after` nor `more`.
  builds @1 (project :Text, ref :Text, before :UInt32, limit :UInt32, revision :Text)
      -> (builds :List(BuildView), more :Bool);
  # Builds, the newest first, without their jobs, and with at most 1 KiB of a diagnosis. An empty `project` means all projects.
  # `ref`: a full name, or the short name of a branch that was built, else of a tag; empty means any. 0.1 knows only full names.
  # `revision`: a prefix of at least 4 hex digits; empty means any. `before`: only builds with a smaller number, which asks for a
  # project; 0 begins with the newest. `limit`: at most 1,000 builds. `more`: some of them did not fit into the message.
  build @2 (project :Text, number :UInt32) -> (build :Build, refusal :Common.Refusal);
  # One build. `number` counts from 1; 0 means the project's newest. Refused as `notFound` if there is none.
  workers @3 (after :Text) -> (workers :List(Grant.WorkerView), more :Bool);
  # The workers in the order of their names. `after`: only those whose names follow this one; empty means all. At most 500 jobs
  # of each are named, and only those of projects that the grant names.
  queue @4 () -> (items :List(QueueItem));
  # The jobs that wait for a worker, in the order in which they would be placed. There are at most 1,000, and only those that
  # fit into a message.
  watch @5 (filter :Event.Filter, observer :Event.Observer)
      -> (builds :List(BuildView), cursor :Event.Cursor, subscription :Event.Subscription, refusal :Common.Refusal);
  # A snapshot of builds with their jobs, taken at `cursor`; then every event after it, to `observer`. There is no gap between the
  # two. The snapshot has the build that the filter names. If its `build` is 0, it has the builds that are not finished and the
  # newest of each project. If they do not all fit into a message, the largest come without steps or jobs. `jobCount` says
  # how many jobs there are: ask `Build.view` for them. Refused as `notFound` if the filter names a project that the grant does
  # not see.
  branch @6 (project :Text, ref :Text) -> (branch :BranchView, refusal :Common.Refusal);
  # The state of a branch or tag. `ref`: a full name, or the short name of a branch with builds, else of a tag; empty means the
  # project's main branch. Refused as `notFound` if it has no build.
  crons @7 (project :Text) -> (crons :List(CronView), more :Bool, refusal :Common.Refusal);
  # The entries of `[trigger.cron]`, in the order of their branches and names. `more`: some of them did not fit into the
  # message. Refused as `notFound` if there is no such project. Older masters do not know this method, and have no crons.
  tests @8 (project :Text, ref :Text, shown :Text, search :Text, job :Text, skip :UInt32)
      -> (tests :List(TestView), count :UInt32, refusal :Common.Refusal);
  # The tests of the lanes of a branch or tag, the failing ones first. At most 100 are answered, from the `skip`-th on. `count`:
  # how many there are in all. `ref`: as in `branch`. `job`: only those of this job, with its cell; empty means the tests of all
  # jobs. `shown`: "" (all), "failing", "newly-failing", "flaky" (the flakiest first) or "slow" (the slowest first). `search`: a
  # part of a suite, a name or parameters, whatever the case of its letters. A list that a job left is read within seconds of
  # its end. Waits for nothing. Costs a byte for each test and each run that is kept, in the caller's turn. Refused as
  # `notFound` if the project or the ref does not exist. Older masters do not know this method.
  test @9 (project :Text, number :UInt32) -> (test :TestView, lanes :List(TestLane), refusal :Common.Refusal);
  # One test in the lanes that ran last, at most 40, with the newest 100 results of each. If there are more lanes, those whose
  # newest runs have the test come before the others. `test` has only its names. Refused as `notFound` if the project has no such
  # test. The cost and the other refusals are as in `tests`.
  suspects @10 (project :Text, ref :Text, build :UInt32, job :Text, test :UInt32)
      -> (ranges :List(RedRange), more :Bool, refusal :Common.Refusal);
  # Who may have broken a branch or tag: one range for the jobs that fail since the same build. `ref`: as in `branch`. `build`:
  # the failed jobs of this build, as they were then, whatever `ref` says; 0 means those that fail now. `job`: only this job, with
  # its cell; empty means all. `test`: since when this test fails in the job, by its number in the project; 0 means the jobs
  # themselves. It asks for a job. At most 20 ranges are answered, and `more` says whether there are others. The list is empty if
  # nothing fails. A job of a build is left out if its result is not among the newest 12 of its lane. Costs runs of git, one
  # after another, in the caller's turn. After about 200 of them no further job is looked at, and `more` is true. Refused as
  # `notFound` if the project, the ref, the build or the test does not exist. Refused as `invalid` if `test` is given without a
  # job. Older masters do not know this method.
}

struct RedRange {
  # Jobs of one branch that fail since the same build, and the commits that may have broken them.
  ref @0 :Text;                  # The full name of the branch or tag.
  jobs @1 :List(Text);           # The jobs, with their cells. "guild.toml" stands for a pipeline that cannot be read.
  firstBad @2 :UInt32;           # The build in which they began to fail.
  firstBadRevision @3 :Text;     # The commit of that build.
  lastGood @4 :UInt32;           # The newest build before it in which they were good; 0 means that none is known.
  lastGoodRevision @5 :Text;     # The commit of that build; empty means that none is known.
  kind @6 :Text;
  # How well the suspects are known, in a word for programs. "exact": all commits between the two builds are listed. "cut": there
  # are more commits than are listed. "open": no good build is known, so older commits may be the cause. "same": a good build has
  # all of the commits, so none of them is the cause. "inherited": the jobs were red on the main branch where this branch began,
  # so nobody on this branch broke them. More words may be added.
  text @7 :Text;                 # The same in a sentence.
  suspects @8 :List(Suspect);    # The commits that may be the cause, the newest first.
  leftOut @9 :UInt32;            # How many further commits are not listed.
  redBefore @10 :UInt32;         # If `kind` is "inherited", the build of the main branch in which they were red; 0 otherwise.
}

struct Suspect {
  # A commit that may have broken a job. People are named as the `.mailmap` of the first bad commit says.
  revision @0 :Text;             # The commit.
  author @1 :Text;               # The author of the commit, "Name <mail>".
  committer @2 :Text;            # The committer, "Name <mail>"; empty means the author.
  coAuthors @3 :List(Text);      # The people that its message names with "Co-authored-by:", at most 10.
  time @4 :Int64;                # The time of the commit, in milliseconds since 1970; 0 means not known.
  subject @5 :Text;              # The first line of its message.
  kind @6 :Text;
  # Why it is a suspect, in a word for programs. "only": no other commit in the range is in effect. "between": it is in effect,
  # as others are. "partial": it reverts a commit, and perhaps more than is known. "undone": it was reverted, or it reverts another
  # commit of the range, so that it is not in effect. More words may be added.
  text @7 :Text;                 # The same in a sentence.
  undoneWith @8 :Text;           # The commit with which it was undone; empty means that it is in effect.
}

struct TestView {
  # A test in the lane of one job. The runs of a lane are ordered by the updates of the ref, so that a retry of an old commit
  # belongs to that commit.
  number @0 :UInt32;             # The number of the test in its project, from 1.
  suite @1 :Text;                # The suite of the test, with "/" between its parts; may be empty.
  name @2 :Text;                 # The test's own name.
  parameters @3 :Text;           # Its parameters, without brackets; empty means that it has none.
  file @4 :Text;                 # The file that has the test; empty means that its tool does not say.
  job @5 :Text;                  # The job of the lane, with its cell.
  state @6 :Text;
  # The state of the test: "newly-failing", "still-failing", "fixed", "new", "passing", "skipped" or "gone". A new lane is
  # compared with that of the project's main branch, as that was before the first run of the new lane. More words may be added.
  firstBad @7 :UInt32;           # The build in which its present failures began; 0 means that it does not fail.
  lastGood @8 :UInt32;           # The newest build before that in which it passed; 0 means that none is known.
  flakyTrees @9 :UInt32;         # The source trees in which it passed and failed, of the project's newest 500 runs.
  trees @10 :UInt32;             # The source trees in which it ran; 0 if it is not flaky.
  duration @11 :UInt64;          # The median of its newest runs, in microseconds, within a tenth; 0 means that it is not known.
  results @12 :List(TestPoint);  # The newest results, the newest first, at most 20.
}

struct TestLane {
  # One test in one lane. The fields mean what those of `TestView` mean.
  ref @0 :Text;                  # The full name of the branch or tag.
  job @1 :Text;                  # The job of the lane, with its cell.
  state @2 :Text;                # The state of the test, in the words of `TestView.state`.
  firstBad @3 :UInt32;           # The build in which its present failures began; 0 means that it does not fail.
  lastGood @4 :UInt32;           # The newest build before that in which it passed; 0 means that none is known.
  flakyTrees @5 :UInt32;         # The source trees in which it passed and failed.
  trees @6 :UInt32;              # The source trees in which it ran; 0 if it is not flaky.
  duration @7 :UInt64;           # The median of its newest runs, in microseconds; 0 means that it is not known.
  results @8 :List(TestPoint);   # The newest results, the newest first, at most 100.
}

struct TestPoint {
  # The result of a test in one run.
  build @0 :UInt32;              # The number of the build that ran it.
  outcome @1 :TestOutcome;       # How it ended there.
  duration @2 :UInt64;
  # In microseconds, within a tenth; 0 means that it is not known, or the run is not among the newest 20.

  enum TestOutcome {
    # How a test ended in one run.
    absent @0;                   # The run has no such test.
    passed @1;                   # It passed.
    failed @2;                   # An assertion of it does not hold.
    errored @3;                  # It could not run properly.
    skipped @4;                  # It was not run.
    mixed @5;                    # It failed, and passed when its tool ran it again.
  }
}

interface Submitter {
  # Authority: to ask for builds, and to stop them, in the projects that the grant names. Each method needs a right of its own.
  # Holder: the holder of a grant with one of the rights "run", "retry", "cancel" and "try", from `Perspective.submitter`.
  # Drop: nothing happens. Builds go on.
  # Disconnect: it dies. A call in flight may have been done or not: restore the credential, and repeat it with its request.
  # Repeat: every call may be repeated under the same `request`, and then makes no second build.
  # Cost: a call waits for its commit. `run` waits for its turn among the grants, and may fetch the repository before.
  #
  # Every method is refused as `notPermitted` without its right, and as `notFound` if the grant sees no such project or build.

  run @0 (request :Data, project :Text, ref :Text, revision :Text) -> (build :Build, number :UInt32, refusal :Common.Refusal);
  # Makes a build of `revision` or, if that is empty, of the tip of `ref` after a fetch. `ref` is a full name, or the short
  # name of a branch. If both are empty, the tip of the main branch is built. `number` is the number of the build. Needs the
  # right "run". Refused as `notFound` if the repository has no such ref or commit, and as `unavailable` if it cannot be read.
  retry @1 (request :Data, project :Text, number :UInt32, jobs :List(Text), failed :Bool)
      -> (build :Build, number :UInt32, refusal :Common.Refusal);
  # Makes a new build of the stamp and plan of build `number`, and names that build. `jobs`: repeats these, named with their
  # cells, and the jobs that need them. `failed`: repeats those that did not succeed. Neither: repeats all. The other jobs are
  # carried by reference. Needs the right "retry". Refused as `conflict` if the build is not finished, has no plan, or has
  # nothing to repeat. Refused as `notFound` if it has no such job, and as `unavailable` while retention removes it.
  cancel @2 (request :Data, project :Text, number :UInt32, job :Text, reason :Text) -> (refusal :Common.Refusal);
  # Cancels the build, or one job if `job` is not empty. `reason` has at most 4 KiB, and is shown. Running steps get TERM, and
  # KILL 3 s later. Needs the right "cancel". Refused as `notFound` if there is no such job, and as `conflict` if it is
  # finished already.
  beginTry @3 (request :Data, project :Text, commits :List(Text))
      -> (base :Text, pack :Common.ByteSink, refusal :Common.Refusal);
  # Begins a try: a build of files that nobody pushed. `request` is the one of the `runTry` that follows. `commits` are ids in
  # full, the newest first, at most 200; send the commit below the files and its first parents. `base` is the first of them
  # that the master has; empty means that it has none, also after a fetch. `pack` takes a pack in the format of git: `runTry`'s
  # commit and what it needs, without what `base` has. The pack may be thin. It has at most 256 MiB and 1,000,000 objects. It
  # is thrown away after 10 minutes without a byte. A repeated call answers with the same pack, which may have bytes already.
  # Needs the right "try". Refused as `conflict` if the grant sends 4 packs already, and as `unavailable` if all grants
  # together send 16. A master of version 0.3 or older fails with "unimplemented" here.
  runTry @4 (request :Data, project :Text, commit :Text, jobs :List(Text), platform :Text)
      -> (build :Build, number :UInt32, refusal :Common.Refusal);
  # Makes a build of `commit`, which is in the sealed pack of the same `request`. The build belongs to no branch and no lane.
  # Its cause is "try by NAME", and `$GUILD_CAUSE` is "try" in its steps. `jobs`: runs these, named with or without their
  # cells, and the jobs that they need; empty means all. `platform`: runs only jobs of this platform, and those that they need;
  # a job that names no platform runs there. Empty means each job's own. Jobs with `side_effects`, and jobs that need them, are
  # left out. Needs the right "try". Refused as `offset` if the pack is not sealed or was thrown away: begin again. Refused as
  # `invalid` if the pack is damaged, has too many objects, or lacks some that the commit needs: then it is thrown away.
  claim @5 (request :Data, project :Text, ref :Text, job :Text, until :Int64, reason :Text) -> (refusal :Common.Refusal);
  # Says that the holder looks after a red job of a branch or tag. Everybody sees the holder's name and `reason`, which has at
  # most 500 bytes. `ref` is as in `Viewer.branch`, and `job` is a name with its cell. The claim ends when the job is good again, and at
  # `until` at the latest, in milliseconds since 1970. 0 means 90 days from now, and no claim is longer. An earlier claim of the job is
  # replaced. Needs the right "retry". Refused as `notFound` if there is no such branch or job. Refused as `conflict` if the job is
  # not red, or the project has 1,000 claims. Older masters do not know this method.
  releaseClaim @6 (request :Data, project :Text, ref :Text, job :Text) -> (refusal :Common.Refusal);
  # Ends the claim of a job, whoever made it. `ref` and `job` are as in `claim`. Needs the right "retry". Refused as `notFound`
  # if nobody claimed the job. Older masters do not know this method.
}
