@0xd1a4b6c0f5e27a08;
# What a user holds: to look, to steer, to subscribe.

using Common = import "common.capnp";
using Change = import "change.capnp";
using Plan = import "plan.capnp";
using Log = import "log.capnp";
using Event = import "event.capnp";
using Grant = import "grant.capnp";
using Worker = import "worker.capnp";

interface Perspective {
  # A user's authority: the parts that the grant names; the others are null. Who gets it: the holder of a user,
  # operator, changes or events credential, from Gateway.restore. Ends with the connection; restore again.

  whoami @0 () -> (grant :Grant.Grant, master :Text, incarnation :UInt64, pages :Text);
  # `pages`: the address of the master's pages; empty: it serves none.
  viewer @1 () -> (viewer :Viewer);
  submitter @2 () -> (submitter :Submitter);
  changes @3 () -> (sink :Change.ChangeSink);
  events @4 () -> (source :Event.EventSource);
  operator @5 () -> (operator :Grant.Operator);
  browse @6 (request :Data, joinHash :Data) -> (address :Text, grant :UInt64, refusal :Common.Refusal);
  # A login of the holder's browser to the master's pages: a grant below the caller's own that only looks, at the same
  # projects, for 30 days. A grant has at most 10 of them: an address that nobody used goes first, and then the oldest login.
  # The caller makes the join, 32 random bytes, and sends its SHA-256 only. `address` + "/login/" + the join, as in a sturdy ref,
  # shows a page with a button, whose use within 10 minutes redeems the join, once; Gateway.redeem refuses it. Repeating the
  # call with the same join answers the same until then. Needs the right "view". Refused (`unavailable`) where the master
  # serves no pages.
}

struct ProjectView {
  name @0 :Text;
  repository @1 :Text;           # Its address, as the master file has it.
  aliases @2 :List(Text);
  latest @3 :UInt32;             # Number of the newest build; 0: none.
  mainBranch @4 :Text;           # The branch that the repository's HEAD names, in full; empty: not known yet.
  nextLook @5 :Int64;            # When the repository is looked at for changes next; 0: it is not followed, or the master does not say.
}

struct CronView {
  # An entry of `[trigger.cron]`, as the pipeline at the tip of its branch has it.
  name @0 :Text;
  ref @1 :Text;                  # The branch that it builds, in full.
  at @2 :Text;                   # The expression.
  tz @3 :Text;                   # The time zone of the expression.
  ifChanged @4 :Bool;            # It builds only if the branch moved since its last build.
  next @5 :Int64;                # The next firing; 0: there is none.
  shown @6 :Text;                # The next firing as the clock in `tz` shows it, "2026-12-01 03:00 Europe/Berlin"; empty: none.
  fired @7 :Int64;               # The time that the newest firing was for; 0: it has not fired.
  build @8 :UInt32;              # The last build that it made; 0: none.
  skipped @9 :Text;              # Why the newest firing made no build; empty: it made one, or there was none.
}

struct LaneView {
  # One job of one branch, build after build. Its state is its newest outcome that counts, in the order of the updates of
  # the branch: succeeded, warned or failed. A run that errored, was cancelled or left out changes nothing; a repeated
  # build of an old commit belongs to that commit.
  job @0 :Text;                  # With its cell.
  outcome @1 :Common.Outcome;    # `none`: nothing counts yet.
  build @2 :UInt32;              # The build whose outcome that is; 0: none, or it is too long ago.
  revision @3 :Text;             # Of that build.
  since @4 :UInt32;              # The build in which it began to fail; 0: it does not fail.
  sinceRevision @5 :Text;
  lastGood @6 :UInt32;           # The newest build in which it was good; 0: none.
  lastGoodRevision @7 :Text;
  errored @8 :UInt32;            # The build in which its newest run errored; 0: that did not error.
}

struct BranchView {
  # What a branch, or a tag, is: as its worst lane. Badges, pages, `guild status` and notices all show this.
  ref @0 :Text;                  # In full.
  outcome @1 :Common.Outcome;    # `none`: nothing counts yet.
  errored @2 :Bool;              # The newest run of a lane, or the reading of the pipeline, errored: shown beside the outcome.
  tip @3 :UInt32;                # The newest build of its newest update; 0: none.
  tipRevision @4 :Text;
  isOpen @5 :Bool;               # That build is not finished.
  lanes @6 :List(LaneView);      # Of the jobs of the newest plan, in its order.
  broken @7 :UInt32;             # The build that says that the pipeline cannot be read, where no plan is newer; 0: none.
}

struct BuildView {
  project @0 :Text;
  number @1 :UInt32;
  state @2 :Common.State;
  outcome @3 :Common.Outcome;
  ref @4 :Text;
  revision @5 :Text;
  subject @6 :Text;              # The tip's first line.
  author @7 :Text;
  cause @8 :Text;                # "change", "run by NAME", "retry of 411 by NAME", "cron NAME"; more may be added.
  created @9 :Int64;
  started @10 :Int64;            # 0: not yet.
  finished @11 :Int64;           # 0: not yet.
  diagnosis @12 :Text;           # Why there is no plan, as a person reads it, at most 64 KiB; empty otherwise.
  jobs @13 :List(JobView);       # Empty in lists.
  retryOf @14 :UInt32;           # 0: none.
  jobCount @15 :UInt32;
  commitUrl @16 :Text;           # The page of `revision` at the forge; empty: none is known. Empty in lists.
}

struct JobView {
  name @0 :Text;
  state @1 :Common.State;
  outcome @2 :Common.Outcome;
  reason @3 :Text;               # Of the outcome, or why it waits; at most 4 KiB.
  worker @4 :Text;               # Of the latest attempt.
  attempt @5 :UInt16;            # Number of the latest; 0: none.
  queued @6 :Int64;
  started @7 :Int64;
  finished @8 :Int64;
  steps @9 :List(StepView);      # Of the latest attempt.
  platform @10 :Text;            # Of its worker; where it has none yet, as asked for.
  needs @11 :List(UInt32);
  carriedFrom @12 :UInt32;       # Not repeated by this retry: the build that it ran in.
  isolation @13 :Text;           # The tier of the latest attempt: "plain", "guard"; empty: none is known, or the master is older.
}

struct StepView {
  name @0 :Text;
  state @1 :Common.State;
  outcome @2 :Common.Outcome;
  exit @3 :Worker.Exit;
  started @4 :Int64;
  finished @5 :Int64;
  logSize @6 :UInt64;
}

struct QueueItem {
  project @0 :Text;
  build @1 :UInt32;
  job @2 :Text;
  since @3 :Int64;
  reason @4 :Text;               # Why it waits.
  kind @5 :Text;                 # Of the reason, as in `Explanation`.
  remedy @6 :Text;               # What would change that, in short; `Build.explain` tells it in full.
}

struct Explanation {
  # Why a job is where it is, and what would change that. Jobs of projects that the grant does not name have no names.
  kind @0 :Text;
  # Waits for jobs: "needs". Queued: "busy" (all that could take it have no room), "silent" (one has room and does not ask),
  # "unready" (one has room, and takes no job for now: it says why), "resting" (offers to them came to nothing: they are asked
  # again later),
  # "stopped" (drained or held), "away" (not connected), "room" (none is large enough), "pool", "platform", "label" (nobody has
  # it), "tier" (nobody offers the isolation), "together" (no single one has all), "restored" (the master was, and has not read the repository since). "offered"; "runs"; "ran"; "carried" (of another build); skipped: "when",
  # "need"; "ended" (without an attempt). More may be added.
  text @1 :Text;                 # The reason in a sentence.
  since @2 :Int64;               # Of the job's state; 0: not known.
  ahead @3 :UInt32;              # Jobs that go first, of those that the same workers could take; at most 1,000.
  workers @4 :List(Candidate);   # The nearest first, at most 20.
  workerCount @5 :UInt32;        # All that there are.
  remedies @6 :List(Remedy);     # Each by itself gets the job placed. The least effort first.
  hints @7 :List(Text);          # What else to look at, and what later builds could ask for.
  attempts @8 :List(AttemptView);  # The first one first.
}

struct Candidate {
  # A worker, and what keeps the job from it.
  name @0 :Text;
  standing @1 :Text;
  # "free", "busy", "offered" (has an offer that it has not answered), "silent", "ending" (drains by itself), "drained",
  # "held", "away", "small", "lacking". More may be added.
  text @2 :Text;
  jobs @3 :List(Text);           # What it runs, or was offered: selectors, the oldest first; "": of another project.
  since @4 :Int64;               # Of the oldest of them, or of the standing; 0: not known.
}

struct Remedy {
  # Steps to be done one after the other.
  text @0 :Text;
  steps @1 :List(RemedyStep);
}

struct RemedyStep {
  # One thing to do, or to wait for.
  act @0 :Act;
  object @1 :Text;               # The worker, or the job as a selector.
  command @2 :Text;              # What to type, where there is something to type.
  # Only of `join`: the worker that would take the job, with room for those that go first.
  pool @3 :Text;
  labels @4 :List(Common.Pair);
  platform @5 :Text;             # Empty: any.
  room @6 :Worker.Resources;

  enum Act {
    wait @0;                     # For the job to end; well, where it is needed.
    resume @1;                   # The worker gets jobs again; needs the right `operate`.
    start @2;                    # The worker, on its own machine.
    join @3;                     # A new worker; needs the right `operate`.
  }
}

struct AttemptView {
  number @0 :UInt16;
  worker @1 :Text;
  started @2 :Int64;
  finished @3 :Int64;            # 0: it runs.
  outcome @4 :Common.Outcome;
  reason @5 :Text;               # Why it ended, where that is not the outcome alone.
  isolation @6 :Text;            # The tier in force: "plain", "guard"; empty: its worker is older and did not say.
  placed @7 :Text;               # Why there, in a sentence; empty: not recorded (an attempt of version 0.1).
  because @8 :Text;              # "only", "asked", "only-free", "connected-longest"; empty as above.
  able @9 :UInt32;               # Connected workers that could take it.
  free @10 :UInt32;              # Of these, those that had room and asked; at most 8 are counted.
  waited @11 :UInt64;            # In the queue.
  waitedFor @12 :Text;           # What ended that; empty: it did not wait.
}

interface Build {
  # One build, to look at. Dropping it forgets it and cancels nothing. May be kept across the build's end.

  view @0 () -> (view :BuildView);
  # All of its jobs and steps; a plan whose jobs and steps do not fit into a message is refused when it is read. Where long
  # reasons leave no room, the longest are cut, with a mark; of builds of older masters, the last jobs may come without steps.
  outcome @1 () -> (outcome :Common.Outcome);
  # A promise: resolves when the build is finished.
  log @2 (job :Text, attempt :UInt16, step :UInt16) -> (reader :Log.LogReader, refusal :Common.Refusal);
  # `job` with its cell; `attempt` 0: the latest; `step` from 1.
  explain @3 (job :Text) -> (explanation :Explanation, refusal :Common.Refusal);
  # Why this job (with its cell) waits and what would change that, or why it ran where it ran. As of now: nothing is
  # reserved. Costs one look at each worker.
  blob @4 (blake3 :Data) -> (source :Common.ByteSource, refusal :Common.Refusal);
  # Sealed bytes that an attempt of this build stored, by their hash of 32 bytes; `notFound` where none of them did. Of a carried
  # job they are in the build where it ran. A reader that has begun reads on when retention removes the build. Reads are served
  # in turns, as those of logs are. Older masters do not know this method.
}

interface Viewer {
  # The authority to look at the projects that the grant names; what it does not name is `notFound`.
  #
  # A list of more than 3 MiB is cut, and `more` says so. It has at least one row where there is one: a row with more aliases,
  # pools or labels than have room shows the first of them.

  projects @0 (after :Text) -> (projects :List(ProjectView), more :Bool);
  # In the order of their names. `after`: only those whose names follow this one. 0.1 sends and knows neither that nor `more`.
  builds @1 (project :Text, ref :Text, before :UInt32, limit :UInt32, revision :Text)
      -> (builds :List(BuildView), more :Bool);
  # Newest first, without their jobs, and with at most 1 KiB of a diagnosis; `project` empty: of all. `ref`: a full name, or the
  # short name of a branch that was built, else of a tag (0.1 knows only full names). `ref`, `revision` (a prefix of at least 4
  # digits) empty: any. `before` 0: from the newest; otherwise builds with a smaller number, which asks for a project. `limit`
  # at most 1,000; `more`: so many did not fit into the message.
  build @2 (project :Text, number :UInt32) -> (build :Build, refusal :Common.Refusal);
  # `number` 0: the project's newest.
  workers @3 (after :Text) -> (workers :List(Grant.WorkerView), more :Bool);
  # In the order of their names. `after`: only those whose names follow this one. At most 500 jobs of each are named.
  queue @4 () -> (items :List(QueueItem));
  # At most 1,000, and as many as fit into a message, in the order in which they would be placed.
  watch @5 (filter :Event.Filter, observer :Event.Observer)
      -> (builds :List(BuildView), cursor :Event.Cursor, subscription :Event.Subscription, refusal :Common.Refusal);
  # A snapshot with jobs of the builds that the filter names (with `build` 0: those not finished, and the newest of each
  # project), taken at `cursor`; then every event after it, to `observer`. No gap between the two. Where all of them do not
  # fit into a message, the largest come without steps or jobs (`jobCount` says how many they are): ask `Build.view` for them.
  branch @6 (project :Text, ref :Text) -> (branch :BranchView, refusal :Common.Refusal);
  # The state of a branch or tag. `ref`: a full name, or a short one of a branch or tag with builds, a branch's first; empty:
  # the project's main branch. `notFound` where nothing was built of it.
  crons @7 (project :Text) -> (crons :List(CronView), more :Bool, refusal :Common.Refusal);
  # The builds that the clock asks for, in the order of their branches and names. `more`: not all of them fit into the message.
  # Older masters do not know this method, and have none.
}

interface Submitter {
  # The authority to ask for builds, and to stop them. Each method needs its own right of the grant ("run",
  # "retry", "cancel"); without it the call is refused with its name.

  run @0 (request :Data, project :Text, ref :Text, revision :Text) -> (build :Build, number :UInt32, refusal :Common.Refusal);
  # Builds `revision`, or where that is empty the tip of `ref` (full name, or a branch's short one). Costs a fetch.
  retry @1 (request :Data, project :Text, number :UInt32, jobs :List(Text), failed :Bool)
      -> (build :Build, number :UInt32, refusal :Common.Refusal);
  # A new build of the same stamp and plan that names the old. `jobs`: these and what needs them; `failed`: those that did
  # not succeed; neither: all. The others are carried by reference.
  cancel @2 (request :Data, project :Text, number :UInt32, job :Text, reason :Text) -> (refusal :Common.Refusal);
  # The whole build, or one job where `job` is not empty. Running steps get TERM, and KILL 3 s later. Cancelling what is
  # finished is refused (`conflict`).
}
