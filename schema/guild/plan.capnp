@0xd1a4b6c0f5e27a03;
# The plan: a pipeline expanded for one source stamp. Typed, no variables left, storable.

using Common = import "common.capnp";

struct Plan {
  version @0 :UInt16;
  # 1. Whoever does not know the version refuses the plan. A field that may be passed over leaves the version as it is.
  jobs @1 :List(Job);
  trust @2 :Trust;

  enum Trust {
    # Decided by the master from what triggered the build, never by the repository.
    trusted @0;
    untrusted @1;
  }
}

struct Job {
  # At most 1 MiB as it travels: a larger one is refused when the pipeline is read.
  name @0 :Text;                 # With its cell: "test@linux-x86_64,3.14".
  base @1 :Text;                 # Without: "test".
  cell @2 :List(Common.Pair);    # axis -> value, in the order of the matrix.
  needs @3 :List(UInt32);        # Indices into Plan.jobs, all smaller than this job's own.
  on @4 :Text;                   # The platform, "linux-x86_64"; empty: any worker.
  want @5 :List(Text);           # Each "name", "name=value", or "memory>=4GiB".
  cpusMilli @6 :UInt32;          # Reserved while it runs, in thousandths of a core; 0: one slot only.
  memory @7 :UInt64;             # Reserved while it runs, bytes; 0: not reserved.
  timeout @8 :UInt64;            # Of the whole attempt. The master ends one that lasts 2 min longer than this and `alwaysTimeout`.
  priority @9 :Int32;            # Higher goes first.
  retryInfra @10 :UInt16;        # Further attempts after a lost one.
  workspace @11 :Workspace;
  sources @12 :Bool;             # False: no checkout.
  sideEffects @13 :Bool;         # Never run a second time by itself.
  env @14 :List(Common.Pair);
  steps @15 :List(Step);
  skipped @16 :Text;             # Not empty: why this job is skipped.
  alwaysTimeout @17 :UInt64;     # Of all `always` steps that run after a cancel or after the timeout; 0: 30 s.
  mayFail @18 :Bool;             # Its failure is a warning for the build and for the jobs that need it.
  isolation @19 :Text;           # The weakest tier in which it may run: "plain", "guard". Empty: the pipeline names none.

  enum Workspace {
    fresh @0;                    # An empty directory and a new checkout.
    clean @1;                    # Tracked files as committed, ignored files stay, others are removed.
    kept @2;                     # Tracked files as committed, everything else stays.
  }
}

struct Step {
  name @0 :Text;                 # At most 200 bytes.
  command :union {
    shell :group {
      shell @1 :List(Text);      # argv of the shell; the script follows as its last argument.
      script @2 :Text;
    }
    exec @3 :List(Text);         # argv; no shell.
  }
  env @4 :List(Common.Pair);
  dir @5 :Text;                  # Relative to the checkout; never leaves it.
  timeout @6 :UInt64;            # 0: the job's.
  idle @7 :UInt64;               # Without a byte of output.
  always @8 :Bool;               # Runs also after an earlier step failed, was cancelled, or used up the job's time.
  continueOnFailure @9 :Bool;    # Its failure makes the job `warned`, and the next step runs.
}
