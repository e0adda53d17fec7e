@0xd1a4b6c0f5e27a02;
# Changes and source stamps: what happened to a repository, and exactly what to build.

using Common = import "common.capnp";

struct Source {
  # One repository at one revision.
  repository @0 :Text;   # The name under which the master mirrors it.
  ref @1 :Text;          # The full ref, "refs/heads/main"; empty where the revision was named directly.
  revision @2 :Text;     # A commit, 40 or 64 hex digits.
  base @3 :Text;         # The commit that this is compared with, or empty.
  patch @4 :Data;        # Reserved for uncommitted work; empty in this version.
}

struct SourceStamp {
  # Exactly what to build. The first source holds the pipeline.
  sources @0 :List(Source);
}

struct Commit {
  revision @0 :Text;
  author @1 :Text;       # "Name <mail>": as the commit says. Never trusted for a decision.
  time @2 :Int64;        # The committer's time.
  subject @3 :Text;      # The first line of its message.
}

struct Change {
  # One update of one ref.
  project @0 :Text;
  ref @1 :Text;
  revision @2 :Text;     # The ref's new tip; empty when the ref was deleted.
  before @3 :Text;       # Its tip before; empty at first sight.
  forced @4 :Bool;       # `before` is no ancestor of `revision`.
  commits @5 :List(Commit);   # Newest first, at most 100; none at first sight.
  paths @6 :List(Text);  # Paths that differ from `before`, at most 1,000; with 1,000, more may differ.
}

interface ChangeSink {
  # The authority to say that a project's repository changed: what a commit hook needs, and no more.
  # Who gets it: the holder of a grant of kind `changes`, from Perspective.changes. It lives as long as
  # the connection and its grant; dropping it does nothing.
  #
  # The master believes nothing but the hint: it fetches the ref itself. What it finds there is the Change.

  submit @0 (request :Data, project :Text, ref :Text) -> (build :UInt32, refusal :Common.Refusal);
  # Looks at `ref` ("refs/heads/main") now. Answers after the commit of what was found: the number of the
  # build that stands for the ref's tip, or 0 where no build is made for that ref. Costs a fetch. An empty `ref`: looks at
  # all refs of the project, and answers 0 (0.1 refuses it as `invalid`).
}
