@0xd1a4b6c0f5e27a03;
# The plan: a pipeline that was expanded for one source stamp. It is typed, has no variables left, and can be stored.

using Common = import "common.capnp";

struct Plan {
  # All jobs of one build.
  version @0 :UInt16;
  # The version of the plan's form: 1. A reader that does not know the version refuses the plan. A new field raises it, unless an
  # older reader may ignore the field.
  jobs @1 :List(Job);            # The jobs, at most 1,000. A job comes after the jobs that it needs.
  trust @2 :Trust;               # How far the master trusts the build.

  enum Trust {
    # The master decides it from what triggered the build. The repository never does.
    trusted @0;                  # The build comes from somebody who may write to the repository.
    untrusted @1;                # The build comes from somebody else.
  }
}

struct Job {
  # One cell of the plan. It has at most 1 MiB in a message: a larger one is refused when the pipeline is read.
  name @0 :Text;                 # The name with its cell: "test@linux-x86_64,3.14".
  base @1 :Text;                 # The name without its cell: "test".
  cell @2 :List(Common.Pair);    # Each axis with its value, in the order of the matrix.
  needs @3 :List(UInt32);        # The jobs that must end before it: indices into Plan.jobs, all smaller than its own.
  on @4 :Text;                   # The platform, "linux-x86_64"; empty means any worker.
  want @5 :List(Text);           # What its worker must have, each "name", "name=value", or "memory>=4GiB".
  cpusMilli @6 :UInt32;          # The cores that it reserves, in thousandths; 0 means only a slot.
  memory @7 :UInt64;             # The memory that it reserves, in bytes; 0 means none.
  timeout @8 :UInt64;            # The most time of one attempt, in milliseconds.
  # The master ends an attempt that lasts 2 minutes longer than `timeout` and `alwaysTimeout` together.
  priority @9 :Int32;            # A job of a higher priority goes first.
  retryInfra @10 :UInt16;        # How many further attempts follow lost ones.
  workspace @11 :Workspace;      # What it finds in its directory.
  sources @12 :Bool;             # Whether it has a checkout.
  sideEffects @13 :Bool;         # Whether the job must never run again by itself.
  env @14 :List(Common.Pair);    # Variables of the environment of all its steps.
  steps @15 :List(Step);         # The job's steps in their order, at most 100.
  skipped @16 :Text;             # Why this job is skipped; empty means that it is not.
  alwaysTimeout @17 :UInt64;
  # The most time of all `always` steps together that run after a cancel or after the timeout, in milliseconds; 0
  # means 30 s.
  mayFail @18 :Bool;             # Whether its failure is a warning for the build and for the jobs that need it.
  isolation @19 :Text;
  # The weakest tier in which it may run: "plain", "guard". Empty means that the pipeline names none.

  enum Workspace {
    # What a job finds in its directory when its attempt begins.
    fresh @0;                    # An empty directory and a new checkout.
    clean @1;                    # Tracked files are as committed, ignored files stay, and others are removed.
    kept @2;                     # Tracked files are as committed, and everything else stays.
  }
}

struct Step {
  # One command of a job.
  name @0 :Text;                 # The name of the step, at most 200 bytes.
  command :union {
    # The command that it runs.
    shell :group {
      # A script, run by a shell.
      shell @1 :List(Text);      # The program and arguments of the shell. The script follows as the last argument.
      script @2 :Text;           # The text of the script.
    }
    exec @3 :List(Text);         # A program and its arguments, without a shell.
  }
  env @4 :List(Common.Pair);     # Variables of its environment, added to those of the job.
  dir @5 :Text;                  # The directory where it runs, relative to the checkout and within it.
  timeout @6 :UInt64;            # The most time, in milliseconds; 0 means the time of the job.
  idle @7 :UInt64;               # The most time without a byte of output, in milliseconds; 0 means any.
  always @8 :Bool;               # Whether it also runs after a failure, a cancel or the job's timeout.
  continueOnFailure @9 :Bool;    # Whether its failure makes the job `warned`, and the next step runs.
  reports @10 :List(Report);     # The test reports of its command. Older workers do not read them.

  struct Report {
    # One report of a tool, which the worker reads after the step ended.
    format @0 :Text;             # "junit", "tap", "subunit" or "libtest". A worker that does not know the word says so.
    path @1 :Text;
    # A pattern with `*`, `?` and `**`, relative to the step's directory. Each file that matches is read. Empty means the output
    # of the step.
  }
}
