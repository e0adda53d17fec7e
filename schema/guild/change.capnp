@0xd1a4b6c0f5e27a02;
# Changes and source stamps: what happened to a repository, and exactly what to build.

using Common = import "common.capnp";

struct Source {
  # One repository at one revision.
  repository @0 :Text;   # The name under which the master mirrors it.
  ref @1 :Text;          # The ref in full, "refs/heads/main"; empty if the revision was named directly.
  revision @2 :Text;     # The commit to build, 40 or 64 hex digits.
  base @3 :Text;         # The commit with which this one is compared; empty means none.
  patch @4 :Data;        # Reserved for work that is not committed; empty in this version.
}

struct SourceStamp {
  # Exactly what to build.
  sources @0 :List(Source);   # The first one holds the pipeline. In this version it is the only one.
}

struct Commit {
  # One commit, as the repository has it.
  revision @0 :Text;     # The commit's own hash, 40 or 64 hex digits.
  author @1 :Text;       # "Name <mail>", as the commit says. Anybody can write it, so no decision trusts it.
  time @2 :Int64;        # The committer's time, in milliseconds since 1970.
  subject @3 :Text;      # The first line of its message.
}

struct Change {
  # One update of one ref.
  project @0 :Text;      # The project whose repository changed.
  ref @1 :Text;          # The ref in full.
  revision @2 :Text;     # The new tip of the ref; empty when the ref was deleted.
  before @3 :Text;       # The tip before; empty when the master sees the ref for the first time.
  forced @4 :Bool;       # Whether `before` is not an ancestor of `revision`.
  commits @5 :List(Commit);
  # The commits that the ref gained, the newest first, at most 100. Only its tip if the master sees the ref for the first time.
  paths @6 :List(Text);  # Paths that differ from `before`, at most 1,000. With 1,000, more may differ.
}

interface ChangeSink {
  # Authority: to say that a project's repository changed. This is what a commit hook needs, and no more.
  # Holder: the holder of a grant with the right "changes", from `Perspective.changes`.
  # Drop: nothing happens. Reported changes stay.
  # Disconnect: it dies. Restore the credential and say it again.
  # Repeat: a call may be repeated. The master then looks again, and finds nothing new.
  # Cost: a call waits for a fetch of the repository, and for the commit of the builds that it makes.
  #
  # The master takes a call only as a hint, and fetches the ref itself. What it finds there is the Change.

  submit @0 (request :Data, project :Text, ref :Text) -> (build :UInt32, refusal :Common.Refusal);
  # Looks at `ref`, "refs/heads/main", now. `build` is the number of the build that stands for the ref's tip; 0 means that none
  # is made for that ref. An empty `ref` looks at all refs of the project and answers 0 (0.1 refuses it as `invalid`). Refused
  # as `notPermitted` without the right "changes", and as `notFound` if the grant sees no such project. Refused as `invalid` if
  # `ref` is not a name of a ref, and as `unavailable` if the repository cannot be read.
}
