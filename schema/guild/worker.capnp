@0xd1a4b6c0f5e27a05;
# What a worker holds, and what the master holds of a worker.

using Common = import "common.capnp";
using Change = import "change.capnp";
using Plan = import "plan.capnp";
using Log = import "log.capnp";

struct Resources {
  # Room for jobs.
  slots @0 :UInt16;
  cpusMilli @1 :UInt32;
  memory @2 :UInt64;
}

struct Description {
  # What a worker says of itself. Of `labels`, those that its grant does not allow are dropped. More than 100 labels, or a name
  # or value above 256 bytes, are refused; other texts are cut after 256 bytes.
  platform @0 :Text;             # "linux-x86_64"
  labels @1 :List(Common.Pair);
  total @2 :Resources;
  host @3 :Text;                 # The machine's name; shown, never trusted.
  version @4 :Text;
  isolation @5 :List(Text);      # The tiers that it offers: "plain", "guard". A master keeps an unknown word, and places nothing by it.
  probes @6 :List(TierProbe);    # What came of the try of each tier. Older workers try none: see `TierProbe`.
  bounds @7 :StepBounds;         # What one step may take. Null: an older worker, which holds a step to nothing.
}

struct StepBounds {
  # What a worker lets one step take of its machine. A step that takes more is killed, and has failed: see `Exit.lost`.
  processes @0 :UInt64;          # The most processes at a time; 0: any number.
  memory @1 :UInt64;             # The most memory of all its processes together, in bytes; 0: any.
  files @2 :UInt64;              # The most files that each process of it may have open.
  lack @3 :Text;                 # Why the worker cannot hold a step to them, in a sentence of at most 1 KiB; more is cut.
                                 # Empty: it tried, and it can.
}

struct TierProbe {
  # What came of a worker's try of one tier of isolation on its machine, at the start of its process. A job that needs a tier
  # is only placed where the tier was tried and works. A worker that tells of no try gets the jobs for which neither the
  # pipeline nor a pool names a tier, as before.
  tier @0 :Text;
  lack @1 :Text;                 # Why it is not offered, in a sentence of at most 1 KiB; more is cut. Empty: it works.
}

struct Home {
  # Where a worker's state lies and its processes run. A copy of a worker's directory has another home.
  boot @0 :Text;                 # The kernel's boot id.
  pidNamespace @1 :UInt64;       # The inode of the process namespace.
  device @2 :UInt64;             # Of the state directory.
  inode @3 :UInt64;
}

interface WorkerDesk {
  # The authority to serve as one named worker: which pools, which labels, is the grant's. Who gets it: the
  # holder of a worker credential, from Gateway.restore. Dropping it ends nothing.

  attach @0 (worker :Worker, instance :Data, running :List(Data), description :Description, keepsTerms :Bool,
             home :Home, alive :List(Data), clock :Int64)
      -> (session :Session, standing :List(Standing), leases :List(Lease), term :UInt64, refusal :Common.Refusal,
          terms :List(UInt64));
  # Opens a session; an older one of the same worker ends. `instance`: 16 random bytes made once per
  # process start: a second process with the same key is refused (`conflict`) while the first still answers.
  # `running`: tokens of the leases that this worker still runs or has results for. `standing` tells, in the
  # same order, what became of each; `leases` has the lease again where it is `resumed`, and null elsewhere, and
  # `terms` its length in milliseconds, and 0 elsewhere; older masters send no `terms`.
  # What this worker was running and does not name is placed again at once where nothing of it can run any more: this is
  # the same `home` that accepted it, and `alive` does not name it. Elsewhere the end of the lease decides. `alive`: tokens
  # of attempts of which a supervisor or a step lives on this machine, whichever worker's. Older workers tell neither.
  # `keepsTerms`: this worker lives by the term of each lease, which is told with the assignment, here, and by `renew`.
  # Older workers live by `term`, in milliseconds, and the master waits for them at least that long.
  # `clock`: the worker's wall clock at the call, in milliseconds since 1970. Where it is off, the master puts the times of its
  # steps right by what it is off, and the doctor tells. 0, as older workers say: not told, and taken as right.

  enum Standing {
    resumed @0;                  # Go on; the lease is in `leases`.
    stale @1;                    # Placed again, ended or cancelled: stop it and throw its results away.
  }
}

interface Worker {
  # What a worker lets its master ask. The master holds it for one session.

  cancel @0 (token :Data, reason :Text, now :Bool);
  # End the attempt: the step that runs gets TERM, and 3 s later KILL; then its `always` steps run, for at most the job's
  # `alwaysTimeout`; then `complete` as cancelled. `now`: it was cancelled again, so they end too, and none begins. Workers of
  # version 0.1 run no further step in either case. May be repeated; unknown tokens are ignored.
  revoked @1 (reason :Text) -> (ended :Bool);
  # The worker's grant was taken back: kill every step now, send nothing. Answered once all have ended, with `ended`: then
  # its jobs are placed again at once. Older workers answer at once without it, and the ends of the leases decide.
  stale @2 (token :Data);
  # The attempt's lease is over: kill its steps, throw its results away.
  ping @3 () -> (instance :Data);
}

interface Session {
  # One live connection of a worker. Ends when dropped, when the link is lost, or when a newer one attaches. Its end
  # never ends a lease, only what was handed out under it.

  take @0 (free :Resources, most :UInt16) -> (lease :Lease, assignment :Assignment, more :List(Offer));
  # Waits until there is a job for these resources: a promise that may rest for days. One at a time. The answer
  # is an offer: `Lease.accept` within 10 s, or it goes back and costs nothing. Dropping the call gives it
  # back as well.
  # `most`: how many offers the answer may hold; 0, which is what older workers say, is 1. `more` holds those beyond the
  # first: of jobs that waited already and fit into `free` beside it, no more than come to each connected worker, 64 at
  # most, and fewer where plans are large.
  renew @1 (tokens :List(Data)) -> (stale :List(Data), terms :List(UInt64));
  # Every 20 s, and at least at each third of the shortest term: all leases get a full term from now, save those in
  # `stale`, which are over. `terms`: the length of each lease in milliseconds, in the order of `tokens`, 0 where it is
  # over. Older masters send none.
  drain @2 ();
  # No further offers to this worker in this session. `take` rests.
  lacks @3 (what :Text);
  # Says why this worker does not call `take` for now though it has room, as where its disk is short of it: at most 1 KiB, and
  # the rest is cut. `guild explain` shows it until the next `take`. May be repeated. Older masters do not know it.
  troubles @4 (what :List(Text));
  # Says what somebody should see to on this worker's machine though it takes jobs, as files that it cannot remove: each a
  # sentence of at most 1 KiB, the rest is cut; at most 16. `guild doctor` shows them. Each call takes the place of the one
  # before. Older masters do not know it.
}

struct Offer {
  lease @0 :Lease;
  assignment @1 :Assignment;
}

struct Assignment {
  # Everything about one attempt that is known when it is offered.
  token @0 :Data;                # Names the lease: 16 bytes, unguessable.
  project @1 :Text;
  build @2 :UInt32;              # The project's number of it.
  attempt @3 :UInt16;            # From 1.
  job @4 :Plan.Job;
  stamp @5 :Change.SourceStamp;
  lane @6 :Text;                 # Names the workspace to use again: the same job of the same branch.
  trust @7 :Plan.Plan.Trust;
  term @8 :UInt64;               # The lease's length in milliseconds, from `accept` on; 0: as `attach` said.
  planVersion @9 :UInt16;
  # The version of the plan that the job is of; 0, as masters up to version 0.2 send: 1. A worker that does not know the version
  # accepts, runs nothing and completes the attempt as `errored`, so that another worker gets the job.
  isolation @10 :Text;           # The tier in which its steps run. A worker that cannot give it does not accept the lease.
                                 # Empty, as older masters say: the strongest that the worker offers.
}

interface Lease {
  # Everything that one attempt may do, and nothing else. Who gets it: the worker that an attempt was offered
  # to, from Session.take, and again from WorkerDesk.attach. The capability dies with its session, and with its epoch:
  # when the job is placed again, cancelled or finished, when its term ends, and when the worker's grant is revoked.
  # Dropping it before `accept` gives the offer back; after, dropping does nothing: the term decides.

  accept @0 () -> (refusal :Common.Refusal);
  # The attempt begins, with a full term from now. May be repeated, and then gets a full term again. Before it every other call
  # of this lease, and of what it gave out, fails; one that was sent behind it, without waiting for its answer, does not.
  # A worker that does not accept in time, or loses its connection on an offer, comes last for a while: 1 s to 64 s where no
  # other worker could take the job, else 60 s. Then it gets one offer at a time until it accepts.
  source @1 (index :UInt16) -> (source :SourcePack, refusal :Common.Refusal);
  # The index-th source of the stamp.
  step @2 (index :UInt16) -> (report :StepReport);
  # Of the step with this index. Since version 2 `report` and `log` do without it.
  complete @3 (outcome :Common.Outcome, reason :Text) -> (refusal :Common.Refusal);
  # Ends the attempt (not as `skipped`), after every step's `finished`, whose answer need not be waited for: refused
  # (`conflict`) while a step that started has not finished. A reason above 4 KiB is cut, with a mark. The job takes this
  # outcome, or, for `errored`, is placed again where its plan allows. May be repeated; an old epoch is refused (`stale`).

  # From protocol version 2 on (`Gateway.restore` says which is spoken):
  report @4 (progress :List(Progress)) -> (refusal :Common.Refusal);
  # Says how the attempt goes, in the order in which it did: what `step` and `complete` say, in fewer calls. At most 4,096
  # at once, and none after `ended`. They are taken in order up to the first that is refused, for the same reasons as there;
  # the answer comes once all that were taken are durable. May be repeated, also with what was taken.
  log @5 (step :UInt16) -> (sink :Log.LogSink);
  # The log of the step with this index. Fails where the plan has no such step. What was written for a step that was never
  # said to have ended is thrown away with the end of the attempt.
  artifact @6 (path :Text) -> (sink :Common.ByteSink, refusal :Common.Refusal);
  # Where the bytes of one file of this attempt go. `path` is its name within the attempt: 1 to 1,024 bytes, and the same name
  # means the same file. At most 16 files of an attempt are sent at once, and at most 1,000 are sealed (`conflict`). They live
  # as long as their build, and `Build.blob` reads them. Older masters do not know this method.
}

struct Progress {
  # What happened to an attempt.
  union {
    started @0 :StepStart;
    finished @1 :StepEnd;        # After the last byte of its log was received.
    ended @2 :AttemptEnd;        # All of it: see `Lease.complete`.
  }
}

struct StepStart {
  step @0 :UInt16;               # The index.
  time @1 :Int64;
}

struct StepEnd {
  # See `StepReport.finished`.
  step @0 :UInt16;               # The index.
  outcome @1 :Common.Outcome;
  exit @2 :Exit;
  time @3 :Int64;
  logSize @4 :UInt64;
  logHash @5 :Data;
}

struct AttemptEnd {
  outcome @0 :Common.Outcome;
  reason @1 :Text;
}

interface SourcePack {
  # One repository at one revision, and nothing else of it. No repository credential comes to a worker.
  pack @0 (have :List(Text)) -> (pack :Common.ByteSource, refs :List(Common.Pair), refusal :Common.Refusal);
  # A thin git pack of the revision with its history, less what the worker says it has (commits, at most
  # 256; those that the master does not know are ignored). An empty pack has size 0: nothing is lacking. `refs`: the
  # branch and the tags that reach into this history, name -> object. Costs one `git pack-objects`, shared by
  # all who ask for the same. A lease has one made at a time, a worker two, and all workers four: others wait for their
  # turn. A lease holds at most 16 packs; a call beyond is a `conflict`, until one of them is dropped.
}

interface StepReport {
  # Says how one step goes. Each call may be repeated.
  started @0 (time :Int64) -> (refusal :Common.Refusal);
  finished @1 (outcome :Common.Outcome, exit :Exit, time :Int64, logSize :UInt64, logHash :Data)
      -> (refusal :Common.Refusal);
  # After the last byte of its log was received. The log is sealed with the attempt; where length or BLAKE3 differ
  # from what was received, the job says `log-incomplete`. A `logHash` has 32 bytes, or none. A step that ran was said to
  # have `started` before (`conflict`). A `time` before that of the start is taken for that.
  log @2 () -> (sink :Log.LogSink);
}

struct Exit {
  # How the step's process ended.
  union {
    none @0 :Void;               # It did not run.
    code @1 :Int32;              # 0 to 255; refused (`invalid`) beyond it.
    signal @2 :Int32;            # The signal's number, 1 to 64; refused (`invalid`) beyond it.
    timeout @3 :Void;            # Killed: its time was over.
    idle @4 :Void;               # Killed: it was silent for too long.
    lost @5 :Text;               # It could not be started or followed: why, at most 4 KiB; more is cut. Where it begins with
                                 # "killed: ", the step was killed for what it took, as for too many processes.
  }
}
