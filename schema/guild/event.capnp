@0xd1a4b6c0f5e27a06;
# Events: numbered committed facts. Each master has one sequence of them, without gaps.

using Change = import "change.capnp";
using Common = import "common.capnp";

struct Cursor {
  # A position in the events.
  incarnation @0 :UInt64;
  # The life of the store to which the position belongs. It changes when a store is restored from a backup. A cursor of an
  # earlier life is then answered with a gap.
  after @1 :UInt64;              # The number of the last event seen; 0 begins with the first.
}

struct Event {
  # One fact.
  sequence @0 :UInt64;           # The event's number: from 1, without gaps.
  time @1 :Int64;                # When the event was committed, in milliseconds since 1970.
  version @2 :UInt16;            # The version of this event's shape: 1.
  project @3 :Text;
  # The project of the event; empty means none. Events without a project are for operators. Every operator sees those of
  # workers, those who may list a grant see its events, and only an operator of everything sees alarms. Logins of browsers make
  # no events.
  build @4 :UInt32;              # The number of the build of the event; 0 means none.
  origin @46 :Data;
  # The master where it happened, by the SHA-256 of its public key, 32 bytes. Empty means the master that sends the event, whose
  # version is then 0.2 or older.
  kind @47 :Text;
  # The name of the union's member, so that a reader can name a kind that it does not know. Masters up to version 0.2 send none.
  # Show an event of such a kind as unknown, and go on, because it does not change the meaning of the other kinds.

  union {
    # What happened. A job is named with its cell, attempts and steps are counted from 1, and a ref is in full.
    unknown @5 :Void;
    # A kind that is newer than this document, or newer than the master, which then sends only `kind`.
    changeSubmitted :group {
      # A ref has a new tip.
      ref @6 :Text;              # The ref.
      revision @7 :Text;         # The new tip.
      forced @8 :Bool;           # Whether the tip before is not an ancestor of the new one.
      commits @48 :List(Change.Commit);
      # The commits that the ref gained, the newest first, at most 20. Only the new tip if the master sees the ref for the first
      # time or no longer knows the tip before. A text of more than 512 bytes is cut, with a mark. Masters up to version 0.2
      # send none.
      moreCommits @49 :Bool;     # Whether the ref gained more commits than these.
      paths @50 :List(Text);     # Paths that differ from the tip before, at most 100. Empty for a new ref.
      morePaths @51 :Bool;       # Whether more paths differ than these.
    }
    refDeleted :group { ref @9 :Text; }
    # A ref no longer exists.
    buildCreated :group { cause @10 :Text; ref @11 :Text; revision @12 :Text; }
    # A build was made. `cause` is as in `BuildView.cause`; `ref` is empty if the revision was named directly.
    buildPlanned :group { jobs @13 :List(Text); }
    # The pipeline of a build was read. `jobs` are all its jobs, in the order of the plan. The event comes again when jobs are
    # added.
    jobQueued :group { job @14 :Text; }
    # A job waits for a worker.
    jobStarted :group { job @15 :Text; attempt @16 :UInt16; worker @17 :Text; }
    # A worker accepted an attempt of a job.
    attemptLost :group { job @18 :Text; attempt @19 :UInt16; worker @20 :Text; reason @21 :Text; }
    # An attempt ended without a result, and its job may run again. `reason` has at most 4 KiB.
    stepStarted :group { job @22 :Text; attempt @23 :UInt16; step @24 :UInt16; name @25 :Text; }
    # A step of an attempt began. `name` is the name of the step.
    stepFinished :group {
      # A step of an attempt ended.
      job @26 :Text;             # The job with its cell.
      attempt @27 :UInt16;       # The number of the attempt, from 1.
      step @28 :UInt16;          # The number of the step, from 1.
      outcome @29 :Common.Outcome;   # How the step ended.
      reason @55 :Text;
      # Why the step is not good, at most 4 KiB: how its process ended, or which report of its tests was not written. Empty means
      # that it is good, did not run, or the master is older.
      tests @56 :TestCounts;
      # The numbers of its tests by their result. Null means that it reported none, or the master is older.
    }
    jobFinished :group { job @30 :Text; outcome @31 :Common.Outcome; reason @32 :Text; }
    # A job has its outcome. `reason` has at most 4 KiB; empty means that the outcome says all.
    buildFinished :group { outcome @33 :Common.Outcome; }
    # A build has its outcome.
    workerAttached :group { worker @34 :Text; }
    # A worker opened a session.
    workerLost :group { worker @35 :Text; reason @36 :Text; }
    # The session of a worker ended. Its leases go on until their terms end.
    grantIssued :group { grant @37 :UInt64; name @38 :Text; kind @39 :Text; }
    # A grant was made, by its number. `name` is its holder's, and `kind` a word as in `Gateway.redeem`.
    grantRedeemed :group { grant @40 :UInt64; name @41 :Text; }
    # A grant was bound to the key of its holder.
    grantRevoked :group { grant @42 :UInt64; name @43 :Text; reason @44 :Text; }
    # A grant was revoked, or has expired. `reason` has at most 1,000 bytes.
    alarm :group { text @45 :Text; }
    # Something happened that an operator should look at, for example because another key showed a credential.
    cronSkipped :group {
      # An entry of `[trigger.cron]` fired, and made no build. A build that is made has a `buildCreated`, whose cause is "cron
      # NAME".
      name @52 :Text;            # The name of the entry in the pipeline.
      ref @53 :Text;             # The branch that the entry builds.
      reason @54 :Text;          # Why no build was made.
    }
    claimed :group {
      # A person looks after a red job of a branch. A second claim of the same job replaces the first. The event names no build.
      ref @57 :Text;             # The branch or tag, in full.
      job @58 :Text;             # The job with its cell.
      name @59 :Text;            # The holder of the grant that made the claim.
      until @60 :Int64;          # When the claim ends, in milliseconds since 1970.
      reason @61 :Text;          # What the person says about it, at most 500 bytes.
    }
    claimReleased :group {
      # A claim ended: the job is good again, the time is over, or somebody released it. The event names the build that is good.
      ref @62 :Text;             # The branch or tag, in full.
      job @63 :Text;             # The job with its cell.
      name @64 :Text;            # The person who looked after it.
      reason @65 :Text;          # Why the claim ended, in a sentence.
    }
  }
}

struct TestCounts {
  # The numbers of tests of a step by their result.
  passed @0 :UInt32;             # How many tests passed.
  failed @1 :UInt32;             # How many tests failed.
  errored @2 :UInt32;            # How many tests could not run properly, for example because their set-up failed.
  skipped @3 :UInt32;            # How many tests were left out.
}

struct Filter {
  # The events that a subscriber wants. All fields that are set must match; an empty filter matches everything that the grant may
  # see.
  projects @0 :List(Text);       # Names of projects, at most 1,000; empty means all.
  build @1 :UInt32;              # The number of a build, which asks for exactly one project; 0 means all builds.
  kinds @2 :List(Text);          # Names of the union's members, "buildFinished", at most 100; empty means all.
}

interface Observer {
  # Authority: to tell a subscriber events.
  # Holder: the master gets it from a subscriber, by `EventSource.subscribe` or `Viewer.watch`.
  # Drop: the master drops it when the subscription ends. The subscriber gets no other sign of the end.
  # Disconnect: it dies, and the subscription with it.
  # Repeat: a call is never repeated on one subscription. After a new one from an older cursor, events come again.
  # Cost: the master makes one call at a time, and the next one after the answer. So a slow observer delays only itself. An
  # exception as the answer ends the subscription.

  observe @0 (events :List(Event), cursor :Cursor);
  # Tells at most 256 events and 512 KiB, in their order; a larger event comes alone. `cursor` is the position after all events up
  # to here, also after those that the filter dropped. Store it together with your results from the events, and you see each event
  # exactly once. A call without events says that the subscriber has now seen everything from before its subscription.
  gap @1 (first :UInt64, last :UInt64, cursor :Cursor);
  # Says that the events `first` to `last` are no longer kept, or were of another incarnation. Take a snapshot again.
}

interface Subscription {
  # Authority: to keep a live interest in events.
  # Holder: a subscriber, from `EventSource.subscribe` or `Viewer.watch`.
  # Drop: ends the subscription.
  # Disconnect: ends the subscription. Subscribe again from the last cursor.
  # Repeat: every call may be repeated.
  # Cost: a call waits for one round trip. The subscription costs the master one observer and its share of the memory of the
  # grant.

  ping @0 ();
  # Answers while the subscription exists.
}

interface EventSource {
  # Authority: to follow the events of a master, as far as the grant sees them.
  # Holder: the holder of a grant with the right "events" or "view", from `Perspective.events`.
  # Drop: nothing happens. Subscriptions go on.
  # Disconnect: it dies, and so do its subscriptions. Restore the credential and subscribe from the last cursor.
  # Repeat: every call may be repeated. Each `subscribe` makes another subscription.
  # Cost: a call waits for nothing. Events come in batches; the more subscribers there are, the longer is the pause between
  # the batches of one of them.

  subscribe @0 (filter :Filter, cursor :Cursor, observer :Observer)
      -> (subscription :Subscription, refusal :Common.Refusal);
  # Tells `observer` the events after `cursor`, first the past ones and then the new ones. Refused as `notFound` if the filter
  # names a project that the grant does not see.
  latest @1 () -> (cursor :Cursor);
  # The end of the sequence. Subscribe from here for the events from now on.
}
