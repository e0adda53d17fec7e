@0xd1a4b6c0f5e27a05;
# The capabilities that a worker holds, and those that the master holds of a worker.

using Common = import "common.capnp";
using Change = import "change.capnp";
using Plan = import "plan.capnp";
using Log = import "log.capnp";

struct Resources {
  # The room for jobs.
  slots @0 :UInt16;              # The number of jobs that may run at once.
  cpusMilli @1 :UInt32;          # The processors, in thousandths of a core.
  memory @2 :UInt64;             # Memory in bytes.
}

struct Description {
  # The description that a worker gives of itself. More than 100 labels, or a label whose name or value has more than 256 bytes,
  # are refused. Other texts are cut after 256 bytes.
  platform @0 :Text;             # The platform, such as "linux-x86_64".
  labels @1 :List(Common.Pair);  # The labels that it claims. The master drops those that its grant does not allow.
  total @2 :Resources;           # All its room, whether it is in use or not.
  host @3 :Text;                 # The machine's name. It is shown, and no decision trusts it.
  version @4 :Text;              # The version of the worker's program.
  isolation @5 :List(Text);
  # The tiers that it offers: "plain", "guard". A master keeps an unknown word, and places nothing by it.
  probes @6 :List(TierProbe);    # The result of its try of each tier. Older workers send none: see `TierProbe`.
  bounds @7 :StepBounds;         # The limits of one step. Null means an older worker, which has none.
}

struct StepBounds {
  # The limits that a worker enforces for one step. A step that takes more is killed, and has failed: see `Exit.lost`.
  processes @0 :UInt64;          # The most processes at a time; 0 means any number.
  memory @1 :UInt64;             # The most memory of all its processes together, in bytes; 0 means any.
  files @2 :UInt64;              # The most files that each process of it may have open.
  lack @3 :Text;                 # Why the worker cannot enforce them, in a sentence of at most 1 KiB; more is cut.
                                 # Empty means it tried, and it can.
}

struct TierProbe {
  # The result of a worker's try of one tier of isolation on its machine, at the start of its process. A job that needs a tier
  # is only placed on a worker that tried the tier with success. A worker that sends no results gets the jobs for which neither
  # the pipeline nor a pool names a tier, as before.
  tier @0 :Text;                 # The name of the tier.
  lack @1 :Text;                 # Why it is not offered, in a sentence of at most 1 KiB; more is cut. Empty means it works.
}

struct Home {
  # The place where a worker's state is and its processes run. A copy of a worker's directory has another home.
  boot @0 :Text;                 # The kernel's boot id.
  pidNamespace @1 :UInt64;       # The inode of the process namespace.
  device @2 :UInt64;             # The device of the state directory.
  inode @3 :UInt64;              # The inode of the state directory.
}

interface WorkerDesk {
  # Authority: to serve as one named worker. The grant says for which pools, and with which labels.
  # Holder: the holder of a worker credential, from `Gateway.restore`.
  # Drop: nothing happens. Its session goes on.
  # Disconnect: it dies, and its session ends. Leases go on until their terms end: restore the credential and attach again.
  # Repeat: every call may be repeated. Each `attach` ends the session before.
  # Cost: `attach` waits for a commit and, while an earlier process of the same worker has a session, up to 3 s for its answer.

  attach @0 (worker :Worker, instance :Data, running :List(Data), description :Description, keepsTerms :Bool,
             home :Home, alive :List(Data), clock :Int64)
      -> (session :Session, standing :List(Standing), leases :List(Lease), term :UInt64, refusal :Common.Refusal,
          terms :List(UInt64));
  # Opens a session; an older one of the same worker ends. `worker` is what the master may ask of this worker. `instance` is 16
  # random bytes made once per process start. `running` are the tokens of the leases that this worker still runs or has results
  # for, at most 4,096.
  #
  # `standing` tells the state of each of them, in the order of `running`. For each that is `resumed`, `leases` has the lease
  # again and `terms` its length in milliseconds. For the others they have null and 0. Older masters send no `terms`.
  #
  # A job that this worker ran and does not name is placed again at once if none of its processes can run any more. That is so if
  # the same `home` accepted it and `alive` does not name it. Otherwise it is placed again when its lease ends. `alive` are the
  # tokens of all attempts with a living supervisor or step on this machine, of this worker or another one. Older workers tell
  # neither `home` nor `alive`.
  #
  # `keepsTerms` says that this worker obeys the term of each lease, which the assignment, this answer and `renew` state.
  # Older workers obey `term`, in milliseconds, and the master waits for them at least that long.
  #
  # `clock` is the worker's wall clock at the call, in milliseconds since 1970. If it is wrong, the master corrects the times
  # of its steps, and the doctor reports it. Older workers send a `clock` of 0, which counts as right.
  #
  # Refused as `conflict` if an earlier process with the same key still answers, or a newer session has taken over. Refused as
  # `revoked` or `expired` if the grant ended meanwhile.

  enum Standing {
    # The state of a lease that a worker still runs.
    resumed @0;                  # It is in force: go on. The lease is in `leases`.
    stale @1;                    # Its job was placed again, ended or cancelled: stop it and throw its results away.
  }
}

interface Worker {
  # Authority: to ask a worker to stop its jobs, and whether it lives.
  # Holder: the master gets it from the worker, by `WorkerDesk.attach`, for one session.
  # Drop: the master drops it when the session ends. That stops no job.
  # Disconnect: it dies. The attempts go on, and the worker attaches again.
  # Repeat: every call may be repeated. A token that the worker does not know is ignored.
  # Cost: `revoked` waits for the end of every step. Every other call answers at once, before its work is done.

  cancel @0 (token :Data, reason :Text, now :Bool);
  # Asks for the end of the attempt whose lease has this token of 16 bytes. The step that runs gets TERM, and 3 s later KILL. Then
  # its `always` steps run, for at most the job's `alwaysTimeout`. Then the worker calls `complete` as cancelled. `now`: it was
  # cancelled again, so these steps end too, and none begins. `reason` has at most 4 KiB. Workers of version 0.1 run no further
  # step in either case.
  revoked @1 (reason :Text) -> (ended :Bool);
  # Says that the worker's grant was taken back: it kills every step now, and sends nothing. It answers once all have ended, with
  # `ended` true, and its jobs are placed again at once. Older workers answer at once with `ended` false, and the ends of the
  # leases decide.
  stale @2 (token :Data);
  # Says that the lease with this token is over: the worker kills its steps and throws its results away.
  ping @3 () -> (instance :Data);
  # Answers the 16 bytes of `attach`, by which the master tells this process from another with the same key.
}

interface Session {
  # Authority: to take jobs and to renew leases, as one live connection of a worker.
  # Holder: the worker, from `WorkerDesk.attach`.
  # Drop: ends the session. Offers go back and cost nothing. The capabilities that it gave out die, and the leases go on.
  # Disconnect: ends the session, as a drop does. Attach again with the tokens of the leases.
  # Repeat: every call may be repeated, but only one `take` may wait at a time.
  # Cost: `take` waits for a job, without a deadline: it may rest for days. `renew` waits for the commits that are under way, and
  # fails as overloaded while the disk is full. Every other call is done at once.

  take @0 (free :Resources, most :UInt16) -> (lease :Lease, assignment :Assignment, more :List(Offer));
  # Waits until there is a job for the room `free`. The answer is an offer: call `Lease.accept` within 10 s (`limits.offer` of the
  # master file), or it goes back and costs nothing. Dropping the call also gives an offer back. A second `take` at the same
  # time fails.
  #
  # `most` is how many offers the answer may hold; 0, which older workers send, means 1. `more` holds the offers beyond the first.
  # They are for jobs that waited already and fit into `free` beside the first, and there are at most 64. There are fewer if
  # many workers are connected, so that each gets its share, or if plans are large.
  renew @1 (tokens :List(Data)) -> (stale :List(Data), terms :List(UInt64));
  # Gives all these leases a full term from now, except those in `stale`, which are over. Call it every 20 s, and at least at each
  # third of the shortest term. `tokens` has at most 4,096. `terms` has the length of each lease in milliseconds, in the order of
  # `tokens`; 0 means that it is over. Older masters send none.
  drain @2 ();
  # Asks for no further offers in this session. A `take` is not answered from then on.
  lacks @3 (what :Text);
  # Says why this worker does not call `take` for now although it has room, for example because its disk is nearly full. `what`
  # has at most 1 KiB, and more is cut. `guild explain` shows it until the next `take`. Older masters do not know this method.
  troubles @4 (what :List(Text));
  # Reports the troubles of this worker's machine that somebody should mend although it takes jobs, such as files that it cannot
  # remove. `what` has at most 16 sentences of at most 1 KiB each, and more is cut. `guild doctor` shows them. Each call replaces
  # the troubles of the call before. Older masters do not know this method.
}

struct Offer {
  # A further job that was offered.
  lease @0 :Lease;               # The right to run it.
  assignment @1 :Assignment;     # What to run.
}

struct Assignment {
  # All facts about one attempt that are known when it is offered.
  token @0 :Data;                # The token of the lease: 16 bytes that nobody can guess.
  project @1 :Text;              # The name of the project.
  build @2 :UInt32;              # The number of the build in its project.
  attempt @3 :UInt16;            # The number of the attempt, from 1.
  job @4 :Plan.Job;              # What to run.
  stamp @5 :Change.SourceStamp;  # What to check out.
  lane @6 :Text;                 # The name of the workspace to reuse, which is the same for the same job of the same branch.
  trust @7 :Plan.Plan.Trust;     # How far the master trusts the build.
  term @8 :UInt64;               # The lease's length in milliseconds, from `accept` on; 0 means the length that `attach` said.
  planVersion @9 :UInt16;
  # The version of the plan that the job comes from; 0, as masters up to version 0.2 send, means 1. A worker that does not know
  # the version accepts, runs nothing and completes the attempt as `errored`, so that another worker gets the job.
  isolation @10 :Text;           # The tier in which its steps run. A worker that cannot give it does not accept the lease.
                                 # Empty, as older masters send, means the strongest that the worker offers.
}

interface Lease {
  # Authority: everything that one attempt may do, and nothing else.
  # Holder: the worker to which the attempt was offered, from `Session.take`, and again from `WorkerDesk.attach`.
  # Drop: before `accept` the offer goes back. After it nothing happens, and the term decides.
  # Disconnect: it dies with its session, and the attempt goes on. Attach again with its token, and go on with the new one.
  # Repeat: every call may be repeated.
  # Cost: a call waits for a commit, except that `step`, `log` and `artifact` answer at once. `source` waits for the commit of
  # the acceptance.
  #
  # The master takes the lease away when the job is placed again or was cancelled, the term ends, or the worker's grant is
  # revoked. From then on every call of the lease, and of what it gave out, fails with "revoked: ". After the attempt ended by
  # `complete`, calls are refused as `stale`, and those without a `refusal` fail with "stale: ". Before `accept`, every other
  # call fails with "conflict: "; a call that was sent behind `accept`, without waiting for its answer, does not.

  accept @0 () -> (refusal :Common.Refusal);
  # Begins the attempt, with a full term from now. A repeated call gives a full term again. A worker that does not accept in time,
  # or loses its connection on an offer, comes last for a while. That is 1 s to 64 s if no other worker could take the job, and
  # else 60 s. Then it gets one offer at a time until it accepts.
  source @1 (index :UInt16) -> (source :SourcePack, refusal :Common.Refusal);
  # The source of the stamp with this index, from 0. Refused as `invalid` if the stamp has no such source.
  step @2 (index :UInt16) -> (report :StepReport);
  # The report of the step with this index, from 0. Fails with "invalid: " if the plan has no such step. From protocol version
  # 2 on, `report` and `log` replace it.
  complete @3 (outcome :Common.Outcome, reason :Text) -> (refusal :Common.Refusal);
  # Ends the attempt, after every step's `finished`, but without waiting for their answers. The job takes this outcome, or, for
  # `errored`, is placed again if its plan allows that. A reason above 4 KiB is cut, with a mark. Refused as `conflict` while a
  # step that started has not finished, and as `invalid` for the outcomes `none` and `skipped`.

  # From protocol version 2 on (`Gateway.restore` says which is spoken):
  report @4 (progress :List(Progress)) -> (refusal :Common.Refusal);
  # Reports the progress of the attempt in its order, like `step` and `complete` but in fewer calls. `progress` has at
  # most 4,096 entries, and none after `ended`. They are accepted in order up to the first that is refused, for the reasons
  # of `step` and `complete`. The answer comes when all accepted ones are durable. A repeated call may hold entries that were
  # accepted before.
  log @5 (step :UInt16) -> (sink :Log.LogSink);
  # The log of the step with this index, from 0. Fails with "invalid: " if the plan has no such step. If a step is never
  # reported as ended, its log is thrown away at the end of the attempt.
  artifact @6 (path :Text) -> (sink :Common.ByteSink, refusal :Common.Refusal);
  # The sink for the bytes of one file of this attempt. `path` is its name within the attempt: 1 to 1,024 bytes, and the same name
  # means the same file. At most 16 files of an attempt are sent at once, and at most 1,000 are sealed. The first `write` beyond
  # that is refused as `conflict`. They live as long as their build, and `Build.blob` reads them. Refused as `invalid` if the
  # path is empty or too long. Older masters do not know this method.
}

struct Progress {
  # What happened to an attempt.
  union {
    # One of these.
    started @0 :StepStart;       # A step started.
    finished @1 :StepEnd;        # A step finished. This comes after the last byte of its log was received.
    ended @2 :AttemptEnd;        # The attempt ended: see `Lease.complete`.
  }
}

struct StepStart {
  # The start of a step.
  step @0 :UInt16;               # The index of the step, from 0.
  time @1 :Int64;                # When, in milliseconds since 1970, by the worker's clock.
}

struct StepEnd {
  # The end of a step: see `StepReport.finished`.
  step @0 :UInt16;               # The index of the step, from 0.
  outcome @1 :Common.Outcome;    # How the step ended.
  exit @2 :Exit;                 # How its process ended.
  time @3 :Int64;                # When, in milliseconds since 1970, by the worker's clock.
  logSize @4 :UInt64;            # How many bytes it wrote, all of which were sent.
  logHash @5 :Data;              # The BLAKE3 of these bytes, 32 bytes; empty means not known.
  tests @6 :TestsReported;
  # The summary of its test reports. Null means that its plan names none, or an older worker does not read them.
}

struct TestsReported {
  # A summary of the test reports of one step. The whole list is a blob of the attempt, which was sealed before the step was
  # reported as ended; `schema/reports` has its form.
  list @0 :Data;                 # The BLAKE3 of that blob, 32 bytes. Empty means that there is none, and `trouble` says why.
  passed @1 :UInt32;             # How many tests passed.
  failed @2 :UInt32;             # How many tests failed.
  errored @3 :UInt32;            # How many tests could not run properly, for example because their set-up failed.
  skipped @4 :UInt32;            # How many tests were left out.
  duration @5 :UInt64;           # The time of all tests together, in microseconds.
  failing @6 :List(Text);        # The names of the first 20 that failed or errored, each at most 512 bytes; more is cut.
  trouble @7 :Text;
  # Why the list is incomplete, with the place: "py.xml was not written", "py.xml:812: the file ends within a test case". At most
  # 1 KiB; more is cut. Empty means that it is complete.
}

struct AttemptEnd {
  # The end of an attempt: see `Lease.complete`.
  outcome @0 :Common.Outcome;    # How the attempt ended.
  reason @1 :Text;               # Why, at most 4 KiB; more is cut. Empty means that the outcome says all.
}

interface SourcePack {
  # Authority: to read one repository at one revision, and nothing else of it. So no worker needs a repository credential.
  # Holder: the worker that holds the lease, from `Lease.source`.
  # Drop: nothing happens. Packs that it gave out stay until they are dropped.
  # Disconnect: it dies with its lease. Attach again, and ask the new lease for it.
  # Repeat: every call may be repeated, and makes another pack.
  # Cost: a pack costs one `git pack-objects`, shared by all who ask for the same. A lease has one made at a time, a worker two,
  # and all workers four: others wait for their turn. A lease holds at most 16 packs until they are dropped.

  pack @0 (have :List(Text)) -> (pack :Common.ByteSource, refs :List(Common.Pair), refusal :Common.Refusal);
  # A thin git pack of the revision with its history, without the objects that the worker has. `have` are commits, at most 256;
  # those that the master does not know are ignored. An empty pack has size 0, and means that nothing is lacking. `refs` are the
  # branch and the newest 1,000 tags that reach into this history, each a name with its object. Refused as `conflict` beyond 16
  # packs, and as `notFound` if the repository no longer has the revision. Refused as `unavailable` if the disk is full, or the
  # repository was not read since the master was restored.
}

interface StepReport {
  # Authority: to report the progress of one step.
  # Holder: the worker that holds the lease, from `Lease.step`.
  # Drop: nothing happens. Reports that were made stay.
  # Disconnect: it dies with its lease. Attach again, and ask the new lease for it.
  # Repeat: every call may be repeated.
  # Cost: a call waits for its commit. `log` answers at once.

  started @0 (time :Int64) -> (refusal :Common.Refusal);
  # The step started. `time` is in milliseconds since 1970, by the worker's clock.
  finished @1 (outcome :Common.Outcome, exit :Exit, time :Int64, logSize :UInt64, logHash :Data)
      -> (refusal :Common.Refusal);
  # The step ended. Call this after the last byte of its log was received. `time` is as in `started`; a time before the start
  # counts as the start. `logSize` is in bytes, and `logHash` has 32 bytes, or none. The log is sealed with the attempt. If its
  # length or BLAKE3 differ from the received bytes, the job says `log-incomplete`. Refused as `conflict` for a step that ran and
  # was not reported as `started`. Refused as `invalid` if a code, a signal or the hash is out of its range.
  log @2 () -> (sink :Log.LogSink);
  # The log of the step.
}

struct Exit {
  # How the step's process ended.
  union {
    # One of these.
    none @0 :Void;               # The step did not run.
    code @1 :Int32;              # The step exited with this code, 0 to 255; refused (`invalid`) beyond it.
    signal @2 :Int32;            # The step was ended by the signal of this number, 1 to 64; refused (`invalid`) beyond it.
    timeout @3 :Void;            # The step was killed because its time was over.
    idle @4 :Void;               # The step was killed because it was silent for too long.
    lost @5 :Text;
    # The reason why the step could not be started or followed, at most 4 KiB; more is cut. If it begins with "killed: ", the step
    # was killed because it took too much, such as too many processes.
  }
}
