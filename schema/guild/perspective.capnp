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
  # projects, for 30 days. The caller makes the join, 32 random bytes, and sends its SHA-256 only; opening
  # `address` + "/login/" + the join, as in a sturdy ref, within 10 minutes redeems it, once. Needs the right
  # "view". Refused (`unavailable`) where the master serves no pages.
}

struct ProjectView {
  name @0 :Text;
  repository @1 :Text;           # Its address, as the master file has it.
  aliases @2 :List(Text);
  latest @3 :UInt32;             # Number of the newest build; 0: none.
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
  cause @8 :Text;                # "change", "run by NAME", "retry of pyfoo/411 by NAME"
  created @9 :Int64;
  started @10 :Int64;            # 0: not yet.
  finished @11 :Int64;           # 0: not yet.
  diagnosis @12 :Text;           # Why there is no plan, as a person reads it; empty otherwise.
  jobs @13 :List(JobView);       # Empty in lists.
  retryOf @14 :UInt32;           # 0: none.
  jobCount @15 :UInt32;
}

struct JobView {
  name @0 :Text;
  state @1 :Common.State;
  outcome @2 :Common.Outcome;
  reason @3 :Text;               # Of the outcome, or why it waits.
  worker @4 :Text;               # Of the latest attempt.
  attempt @5 :UInt16;            # Number of the latest; 0: none.
  queued @6 :Int64;
  started @7 :Int64;
  finished @8 :Int64;
  steps @9 :List(StepView);      # Of the latest attempt.
  platform @10 :Text;            # Of its worker; where it has none yet, as asked for.
  needs @11 :List(UInt32);
  carriedFrom @12 :UInt32;       # Not repeated by this retry: the build that it ran in.
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
  reason @4 :Text;               # Why it waits, and what would change that.
}

interface Build {
  # One build, to look at. Dropping it forgets it and cancels nothing. May be kept across the build's end.

  view @0 () -> (view :BuildView);
  outcome @1 () -> (outcome :Common.Outcome);
  # A promise: resolves when the build is finished.
  log @2 (job :Text, attempt :UInt16, step :UInt16) -> (reader :Log.LogReader, refusal :Common.Refusal);
  # `job` with its cell; `attempt` 0: the latest; `step` from 1.
}

interface Viewer {
  # The authority to look at the projects that the grant names; what it does not name is `notFound`.

  projects @0 () -> (projects :List(ProjectView));
  builds @1 (project :Text, ref :Text, before :UInt32, limit :UInt32, revision :Text) -> (builds :List(BuildView));
  # Newest first, without their jobs; `project` empty: of all. `ref`, `revision` (a prefix of at least 4 digits) empty:
  # any. `before` 0: from the newest; otherwise builds with a smaller number, which asks for a project. `limit` at most 1,000.
  build @2 (project :Text, number :UInt32) -> (build :Build, refusal :Common.Refusal);
  # `number` 0: the project's newest.
  workers @3 () -> (workers :List(Grant.WorkerView));
  queue @4 () -> (items :List(QueueItem));
  # At most 1,000, in the order in which they would be placed.
  watch @5 (filter :Event.Filter, observer :Event.Observer)
      -> (builds :List(BuildView), cursor :Event.Cursor, subscription :Event.Subscription, refusal :Common.Refusal);
  # A snapshot with jobs of the builds that the filter names (with `build` 0: those not finished, and the newest of each
  # project), taken at `cursor`; then every event after it, to `observer`. No gap between the two.
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
