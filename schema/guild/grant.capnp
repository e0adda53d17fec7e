@0xd1a4b6c0f5e27a07;
# Grants and the operator's desk.

using Common = import "common.capnp";
using Worker = import "worker.capnp";

enum Kind {
  operator @0;
  user @1;
  worker @2;
  changes @3;
  events @4;
  unknown @5;
  # A kind that the master does not know, because a newer one issued the grant. It can be used for nothing, and it can be revoked. A
  # client takes every kind that it does not know itself for this one.
}

struct What {
  # What a grant allows. A child never has more than its parent: no right, project, pool, label or time, and no kind of
  # more authority. A grant names at most 1,000 projects and 1,000 pools, by names of at most 100 bytes, and 100 labels, whose
  # names and values have at most 256 bytes each.
  may @0 :List(Text);            # "view" "run" "retry" "cancel" "changes" "events" "operate"
  projects @1 :List(Text);       # Names; "*": all.
  pools @2 :List(Text);          # For a worker: the pools it serves; none: the default pool. For an operator: see below.
  labels @3 :List(Common.Pair);  # For a worker: labels that are trusted; "*" as a value: whatever the worker claims.
  # Workers belong to no project. An operator issues, holds, drains and forgets those workers whose pools and labels are all
  # among its own; pool "*" is all pools. An operator of all projects that names neither pools nor labels has all of both.
  # Only that one reaches what belongs to no project besides: the master file, and projects that are added.
}

struct Role {
  # A name for what a grant allows, from the master file.
  name @0 :Text;
  what @1 :What;
}

struct Grant {
  id @0 :UInt64;
  parent @1 :UInt64;             # 0: the root.
  kind @2 :Kind;
  name @3 :Text;                 # Of its holder.
  what @4 :What;
  created @5 :Int64;
  expires @6 :Int64;             # 0: never.
  revoked @7 :Int64;             # 0: not.
  holder @8 :Text;               # "sha-256:..." of the holder's key; empty: not redeemed yet.
  reason @9 :Text;               # Of the revocation.
}

struct WorkerView {
  name @0 :Text;
  connected @1 :Bool;
  description @2 :Worker.Description;
  pools @3 :List(Text);
  running @4 :List(Text);        # Selectors of its jobs.
  lastHeard @5 :Int64;
  draining @6 :Bool;
  held @7 :Text;                 # Not empty: the reason why an operator holds it.
  grant @8 :UInt64;
  labels @10 :List(Common.Pair);
  # Labels that count: those of its grant, those that its grant lets it claim, and its platform. What it claims besides is in
  # `description`, and no job is placed by that.
  revoked @11 :Text;             # Not empty: its grant was revoked, and why. An older master does not say.
  waits @9 :Text;                # Why the ends of its leases decide when its jobs are placed again; empty: it holds them.
}

struct Difference {
  # A key of the master file that says something else than what the master runs with.
  key @0 :Text;                  # "project.pyfoo.poll"
  before @1 :Text;               # What the master runs with, as it would be written; empty: nothing.
  after @2 :Text;                # What the file says now; empty: nothing.
  needsRestart @3 :Bool;         # Taken up by the next start only.
}

struct NewProject {
  # A project to follow, as its file will say it. What is empty is left to the defaults of the master file.
  name @0 :Text;
  repository @1 :Text;           # A path on the master's machine, or what git can fetch from.
  aliases @2 :List(Text);
  branches @3 :List(Text);
  tags @4 :List(Text);
  poll @5 :Text;                 # "30s"
  pools @6 :List(Text);
  public @7 :Bool;
  credential @8 :Data;           # An SSH key; stored beside the file, readable by the master alone.
  knownHosts @9 :Data;           # The hosts to trust with it.
  token @10 :Data;               # For HTTPS, stored in the same way.
  hookKind @11 :Text;            # Whose webhooks are taken: "github" "gitea" "gitlab" "generic"; empty: nobody's.
}

struct Finding {
  # Something of the master that was looked at.
  enum Health {
    good @0;
    warned @1;                   # Works, and will not for long.
    bad @2;
  }
  subject @0 :Text;              # "repository of pyfoo"
  verdict @1 :Health;
  seen @2 :Text;
  remedy @3 :Text;               # What to do about it; empty where it is good.
}

interface Operator {
  # The authority to run the guild: workers and grants. Who gets it: a grant of kind `operator`, from
  # Perspective.operator. Every mutating call is written to the audit chain with the caller's grant.

  issue @0 (request :Data, kind :Kind, name :Text, what :What, lifetime :UInt64, joinHash :Data)
      -> (grant :Grant, advertise :List(Text), fingerprint :Text, refusal :Common.Refusal);
  # A new grant below the caller's own, to be redeemed once. The caller makes the join, 32 random bytes, and sends
  # its SHA-256 only: the master never holds it. `lifetime` 0: no expiry. `advertise`, `fingerprint`: what goes
  # into the sturdy ref. A join that was issued before is refused (`conflict`). An operator has at most 10,000 grants in force
  # below it, those of its own operators included, and a grant at most 16 above it (`unavailable`).
  grants @1 (after :UInt64, limit :UInt32, ended :Bool) -> (grants :List(Grant), next :UInt64);
  # The caller's own grant and what is below it, by number, a page at a time: after the grant `after`, at most `limit` (0, and
  # more than 1,000: 1,000), of 1 MiB at most. `next` 0: that is all; else the `after` of the next page. `ended`: also those that
  # were revoked or are expired; the newest 10,000 of them are kept. Logins of browsers go when they end.
  revoke @2 (request :Data, grant :UInt64, reason :Text) -> (revoked :List(UInt64), refusal :Common.Refusal);
  # Takes a grant and its whole subtree back. When this answers, no call of theirs is dispatched any more; calls in
  # flight have failed; reachable workers were told. `reason` has at most 1,000 bytes.
  workers @3 (after :Text) -> (workers :List(WorkerView), more :Bool);
  # As Viewer.workers. Whoever operates neither on all projects nor on a worker's pools and labels cannot drain, hold or
  # forget it (`notPermitted`).
  drain @4 (request :Data, worker :Text, on :Bool) -> (refusal :Common.Refusal);
  # No further offers to this worker until `on` is false; what it runs goes on. Lasts over restarts.
  hold @5 (request :Data, worker :Text, reason :Text) -> (refusal :Common.Refusal);
  # As drain, with a reason that is shown. An empty reason lifts it.
  forget @6 (request :Data, worker :Text, gone :Bool) -> (refusal :Common.Refusal);
  # Removes a worker that is not connected from the lists, and revokes its grant, whoever issued it. `gone`: the caller's word that its
  # machine is off, so that nothing of its jobs runs there any more: they are placed again at once. Without it their
  # leases decide.
  roles @7 () -> (roles :List(Role));
  # What the master file calls by a name, as far as the caller has all of it. A grant keeps what its role meant when it was
  # issued.
  differences @8 () -> (differences :List(Difference), refusal :Common.Refusal);
  # Reads the master file, with what it includes, and compares it with what the master runs with; changes nothing. A file
  # with errors is refused with all of them. This, `reload` and `addProject` need the right `operate` on all projects.
  reload @9 (request :Data) -> (differences :List(Difference), refusal :Common.Refusal);
  # As differences, and applies them, all or nothing: a file with errors is refused, and the master goes on with what it
  # has. Builds that run keep the plan they have.
  addProject @10 (request :Data, project :NewProject) -> (hookAddress :Text, hookSecret :Text, refusal :Common.Refusal);
  # Tries to fetch, writes the project's own file and reloads. Refused, with nothing left behind, where the name is
  # taken, the repository cannot be read, the master file includes no such file, or any key is wrong. `hookSecret` is
  # made here and told this once.
  examine @11 () -> (findings :List(Finding));
  # Looks at what an installation needs: disk, repositories, workers, pages, notices. Takes a few seconds at most. Whoever
  # operates on some projects only hears of those, of their pools, and of the workers.
  findGrants @12 (wanted :Text) -> (grants :List(Grant));
  # The grant with this number, whatever became of it; else the newest in force of this name, at most 10. Of those that `grants`
  # lists; none: an empty list.
}
