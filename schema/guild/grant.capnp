@0xd1a4b6c0f5e27a07;
# Grants, and what an operator holds.

using Common = import "common.capnp";
using Worker = import "worker.capnp";

enum Kind {
  # The kind of holder of a grant.
  operator @0;                   # Somebody who runs the guild: workers, grants, projects.
  user @1;                       # Somebody who looks at builds and asks for them.
  worker @2;                     # A worker, which gets a WorkerDesk.
  changes @3;                    # A commit hook or a bridge, which reports changes.
  events @4;                     # A program that follows events.
  unknown @5;
  # A kind that the master does not know, because a newer one issued the grant. The grant allows nothing, and it can be revoked. A
  # client takes every kind that it does not know itself for this one.
}

struct What {
  # The authority of a grant. A child never has more rights, projects, pools, labels or time than its parent, nor a kind with
  # more authority.
  may @0 :List(Text);
  # Rights, each one of "view", "run", "retry", "cancel", "changes", "events", "operate". A worker's grant has none. Further rights
  # are in `mayAlso`. A reader takes both lists together, and may find any right in either.
  projects @1 :List(Text);       # Names of at most 1,000 projects, each of 1 to 100 bytes; "*" means all.
  pools @2 :List(Text);
  # Names of at most 1,000 pools, each of 1 to 100 bytes. For a worker: the pools that it serves; none means the default pool.
  # For an operator: see below.
  labels @3 :List(Common.Pair);
  # At most 100 labels, whose names have 1 to 256 bytes and whose values at most 256. For a worker: the labels that are trusted.
  # The value "*" trusts any value that the worker claims.
  #
  # Workers belong to no project. An operator issues, holds, drains and forgets those workers whose pools and labels are all
  # among its own; pool "*" is all pools. An operator of all projects that names neither pools nor labels has all of both.
  # Only such an operator can use what belongs to no project: the master file, and the addition of projects.
  mayAlso @4 :List(Text);
  # Rights that version 0.2.0 does not know: "try". They are apart, because its programs fail on a word in `may` that they do not
  # know. A master that does not know this field gives none of them.
}

struct Role {
  # A named authority from the master file.
  name @0 :Text;                 # The name of the role.
  what @1 :What;                 # The authority that it means now.
}

struct Grant {
  # Authority that was given to a named holder.
  id @0 :UInt64;                 # The grant's number.
  parent @1 :UInt64;             # The number of the grant above it; 0 means that it is the root.
  kind @2 :Kind;                 # The kind of its holder.
  name @3 :Text;                 # The name of its holder.
  what @4 :What;                 # Its authority.
  created @5 :Int64;             # When the grant was issued, in milliseconds since 1970.
  expires @6 :Int64;             # When the grant ends, in milliseconds since 1970; 0 means never.
  revoked @7 :Int64;             # When the grant was revoked, in milliseconds since 1970; 0 means that it was not.
  holder @8 :Text;               # "sha-256:..." of the holder's key; empty means that it was not redeemed yet.
  reason @9 :Text;               # Why the grant was revoked, at most 1,000 bytes; empty means that it was not.
}

struct WorkerView {
  # One worker, as the master knows it.
  name @0 :Text;                 # The worker's name, which is also the name in its grant.
  connected @1 :Bool;            # Whether the worker has a session.
  description @2 :Worker.Description;   # The description of itself at its last attach.
  pools @3 :List(Text);          # The pools that it serves.
  running @4 :List(Text);        # Selectors of the jobs that it runs, at most 500.
  lastHeard @5 :Int64;           # When the master last heard of it, in milliseconds since 1970.
  draining @6 :Bool;             # Whether the worker gets no further jobs.
  held @7 :Text;                 # Why an operator holds it; empty means that nobody does.
  grant @8 :UInt64;              # The number of its grant.
  labels @10 :List(Common.Pair);
  # The labels in force: the labels of its grant, the claimed labels that its grant allows, and its platform. `description` has
  # its other claims, and no job is placed because of those.
  revoked @11 :Text;             # Why its grant was revoked; empty means that it was not, or the master is older.
  waits @9 :Text;
  # Why its jobs are placed again only when their leases end; empty means that it holds no lease.
}

struct Difference {
  # A key of the master file whose value differs from the one that the master runs with.
  key @0 :Text;                  # The key with its tables, "project.pyfoo.poll".
  before @1 :Text;               # The value that the master runs with, as in a file; empty means none.
  after @2 :Text;                # The value in the file now; empty means none.
  needsRestart @3 :Bool;         # Whether the new value needs a restart.
}

struct NewProject {
  # A project to follow, as its file will have it. For empty fields the defaults of the master file hold.
  name @0 :Text;                 # 1 to 100 letters, digits, ".", "_" and "-".
  repository @1 :Text;           # A path on the master's machine, or an address from which git can fetch.
  aliases @2 :List(Text);        # Other addresses of the repository, by which a checkout is recognised.
  branches @3 :List(Text);       # Patterns of the branches to build.
  tags @4 :List(Text);           # Patterns of the tags to build.
  poll @5 :Text;                 # How often to look for changes, "30s".
  pools @6 :List(Text);          # The pools whose workers may run its jobs.
  public @7 :Bool;               # Whether everybody may look at it on the pages, without a login.
  credential @8 :Data;           # An SSH key. It is stored beside the file, readable by the master alone.
  knownHosts @9 :Data;           # The hosts to trust with the key, as in a file `known_hosts`.
  token @10 :Data;               # A token for HTTPS, stored as the key is.
  hookKind @11 :Text;            # The forge whose webhooks are accepted: "github" "gitea" "gitlab" "generic"; empty means none.
}

struct Finding {
  # The result of one check of the installation.
  enum Health {
    # The health of what was checked.
    good @0;                     # There is nothing to do.
    warned @1;                   # It works now, but not for long.
    bad @2;                      # It does not work.
  }
  subject @0 :Text;              # What was checked, "repository of pyfoo".
  verdict @1 :Health;            # Its health.
  seen @2 :Text;                 # What was found, in a sentence.
  remedy @3 :Text;               # What to do about it; empty if it is good.
}

interface Operator {
  # Authority: to run the guild: workers, grants and the master file, as far as the grant reaches.
  # Holder: the holder of a grant with the right "operate", from `Perspective.operator`.
  # Drop: nothing happens. What was done stays done.
  # Disconnect: it dies. A call in flight may have been done or not: restore the credential, and repeat it with its request.
  # Repeat: a call without a `request` may be repeated, and one with a `request` under the same request.
  # Cost: a call that changes something waits for its commit, and is written to the audit chain with the caller's grant. Reading
  # the master file takes as long as its disk, `addProject` a fetch, and `examine` a few seconds.

  issue @0 (request :Data, kind :Kind, name :Text, what :What, lifetime :UInt64, joinHash :Data)
      -> (grant :Grant, advertise :List(Text), fingerprint :Text, refusal :Common.Refusal);
  # Makes a new grant below the caller's own, to be redeemed once. The caller makes the join, 32 random bytes, and sends
  # only its SHA-256 as `joinHash`: the master never holds the join. `name` is the holder's: 1 to 100 letters, digits, ".", "_"
  # and "-". `lifetime` is in milliseconds; 0 means that the grant does not expire by itself. `advertise` ("host:port") and
  # `fingerprint` go into the sturdy ref. Refused as `notPermitted` if the grant would have more than the caller's, and as
  # `invalid` if its name or its sizes are wrong. Refused as `conflict` if the join was issued before, or a worker of this name
  # has a grant. Refused as `unavailable` beyond 10,000 grants in force below an operator, those of its own operators included,
  # and beyond 16 grants above one.
  grants @1 (after :UInt64, limit :UInt32, ended :Bool) -> (grants :List(Grant), next :UInt64);
  # The caller's own grant and all below it, in the order of their numbers, a page at a time. `after` is the number after which
  # the page begins; 0 means the first. `limit` is the most grants of the page; 0, and more than 1,000, mean 1,000. A page has
  # at most 1 MiB. `next` is the `after` of the next page; 0 means that this is the last. `ended`: also the grants that were
  # revoked or have expired, of which the newest 10,000 are kept. Logins of browsers go when they end.
  revoke @2 (request :Data, grant :UInt64, reason :Text) -> (revoked :List(UInt64), refusal :Common.Refusal);
  # Takes a grant and its whole subtree back. When this answers, no call of their holders is dispatched any more and calls in
  # flight have failed. The master tells the workers that it can reach. `reason` has at most 1,000 bytes. `revoked` are the numbers
  # of the grants that ended. Refused as `notFound` if the grant is not below the caller's, and as `conflict` if it is
  # revoked already.
  workers @3 (after :Text) -> (workers :List(WorkerView), more :Bool);
  # As Viewer.workers. The caller cannot drain, hold or forget a worker (`notPermitted`) whose pools and labels it does not have.
  drain @4 (request :Data, worker :Text, on :Bool) -> (refusal :Common.Refusal);
  # Offers this worker no further jobs until a call with `on` false. Its running jobs go on. This lasts over restarts of both
  # sides. Refused as `notFound` if no worker has this name.
  hold @5 (request :Data, worker :Text, reason :Text) -> (refusal :Common.Refusal);
  # As `drain`, with a reason of at most 4 KiB that is shown. An empty reason ends it. Refused as `drain`.
  forget @6 (request :Data, worker :Text, gone :Bool) -> (refusal :Common.Refusal);
  # Removes a worker that is not connected from the lists, and revokes its grant, whoever issued it. `gone`: the caller knows that
  # its machine is off, so that nothing of its jobs runs there any more. They are then placed again at once; otherwise their
  # leases decide. Refused as `drain`, and as `conflict` while the worker is connected.
  roles @7 () -> (roles :List(Role));
  # The roles of the master file whose whole authority the caller has, at most 1,000. A grant keeps the authority that its role had
  # when the grant was issued.
  differences @8 () -> (differences :List(Difference), refusal :Common.Refusal);
  # Reads the master file, with what it includes, and compares it with what the master runs with. It changes nothing. A file
  # with errors is refused with all of them (`invalid`), and one that cannot be read as `unavailable`. This, `reload` and
  # `addProject` need the right "operate" on all projects (`notPermitted`).
  reload @9 (request :Data) -> (differences :List(Difference), refusal :Common.Refusal);
  # As `differences`, and applies them, all or nothing. A file with errors is refused, and the master keeps its
  # configuration. Builds that run keep their plans.
  addProject @10 (request :Data, project :NewProject) -> (hookAddress :Text, hookSecret :Text, refusal :Common.Refusal);
  # Tries to fetch, writes the project's own file and reloads. `hookAddress` is where the forge sends its webhooks, and
  # `hookSecret` signs them. The master makes it, and only this answer has it. Both are empty without a `hookKind`. A call that
  # is refused leaves nothing behind. Refused as `conflict` if the name is taken. Refused as `invalid` if the repository
  # cannot be read, a key is wrong, or the master file includes no such file. Refused as `unavailable` if the master runs
  # without a file.
  examine @11 () -> (findings :List(Finding));
  # Checks what an installation needs: disk, repositories, workers, pages, notices. Takes a few seconds at most. An operator of
  # some projects only gets the findings on those, on their pools, and on the workers.
  findGrants @12 (wanted :Text) -> (grants :List(Grant));
  # The grant whose number is `wanted`, also if it has ended; else the newest grants in force of this name, at most 10. It finds
  # only those that `grants` lists. Empty means that there is none.
}
