@0xd1a4b6c0f5e27a06;
# Events: numbered committed facts. One gap-free sequence per master.

using Change = import "change.capnp";
using Common = import "common.capnp";

struct Cursor {
  # A position in the events. `incarnation` changes when a store is restored from a backup: an old cursor is then
  # answered with a gap.
  incarnation @0 :UInt64;
  after @1 :UInt64;              # The last event seen; 0: before the first.
}

struct Event {
  sequence @0 :UInt64;           # From 1, without gaps.
  time @1 :Int64;
  version @2 :UInt16;            # Of this event's shape; 1.
  project @3 :Text;
  # Empty where none is concerned. Such events are for operators: those of workers for all, those of grants for whoever lists
  # the grant, alarms for operators of everything. Logins of browsers make no events.
  build @4 :UInt32;              # 0 where none is concerned.
  origin @46 :Data;
  # The master where it happened, by what names it for good: the SHA-256 of its public key, 32 bytes. Empty: the master that
  # tells it, which is of version 0.2 or older.
  kind @47 :Text;
  # The name of the union's member, so that a kind can be named by whoever does not know it; masters up to version 0.2 send none.
  # Show such an event as unknown, and go on: it changes nothing of what the kinds here say.

  union {
    unknown @5 :Void;            # Newer than this document, or than the master, which then tells no more than `kind`.
    changeSubmitted :group {
      ref @6 :Text;
      revision @7 :Text;
      forced @8 :Bool;
      commits @48 :List(Change.Commit);
      # What the ref gained, the newest first, at most 20; at first sight, and where the commit before is no longer known, the tip
      # alone. A text of more than 512 bytes is cut, with a mark. Masters up to version 0.2 tell none.
      moreCommits @49 :Bool;     # The ref gained more than these.
      paths @50 :List(Text);     # Paths that differ from the tip before, at most 100; none at first sight.
      morePaths @51 :Bool;       # More paths differ than these.
    }
    refDeleted :group { ref @9 :Text; }
    buildCreated :group { cause @10 :Text; ref @11 :Text; revision @12 :Text; }
    buildPlanned :group { jobs @13 :List(Text); }
    jobQueued :group { job @14 :Text; }
    jobStarted :group { job @15 :Text; attempt @16 :UInt16; worker @17 :Text; }
    attemptLost :group { job @18 :Text; attempt @19 :UInt16; worker @20 :Text; reason @21 :Text; }
    stepStarted :group { job @22 :Text; attempt @23 :UInt16; step @24 :UInt16; name @25 :Text; }
    stepFinished :group { job @26 :Text; attempt @27 :UInt16; step @28 :UInt16; outcome @29 :Common.Outcome; }
    jobFinished :group { job @30 :Text; outcome @31 :Common.Outcome; reason @32 :Text; }
    buildFinished :group { outcome @33 :Common.Outcome; }
    workerAttached :group { worker @34 :Text; }
    workerLost :group { worker @35 :Text; reason @36 :Text; }
    grantIssued :group { grant @37 :UInt64; name @38 :Text; kind @39 :Text; }
    grantRedeemed :group { grant @40 :UInt64; name @41 :Text; }
    grantRevoked :group { grant @42 :UInt64; name @43 :Text; reason @44 :Text; }
    alarm :group { text @45 :Text; }
    cronSkipped :group {
      # The clock asked for a build, and none was made. One that is made has a `buildCreated`, whose cause is "cron NAME".
      name @52 :Text;            # Of the entry in the pipeline.
      ref @53 :Text;             # The branch that it builds, in full.
      reason @54 :Text;
    }
  }
}

struct Filter {
  # All that is set must match; an empty filter matches everything that the grant may see.
  projects @0 :List(Text);
  build @1 :UInt32;              # With exactly one project.
  kinds @2 :List(Text);          # Names of the union's members, "buildFinished".
}

interface Observer {
  # What a subscriber serves. Called with one batch at a time; the next comes after the answer, so a slow observer
  # delays only itself.

  observe @0 (events :List(Event), cursor :Cursor);
  # At most 256 events and 512 KiB, in order; an event that is larger comes alone. `cursor` stands after everything up to here,
  # those that the filter dropped included: store it with what you made of the events, and each is seen exactly once. The batch
  # may be empty: once the subscription stands where the events stood when it was made, it is told so.
  gap @1 (first :UInt64, last :UInt64, cursor :Cursor);
  # Events `first` to `last` are no longer kept, or were of another incarnation: take a snapshot again.
}

interface Subscription {
  # A live interest. Dropping it, or losing the link, ends it; subscribe again from the last cursor.
  ping @0 ();
}

interface EventSource {
  # The authority to follow a master's events, as far as the grant sees. Who gets it: holders of `events` or `view`,
  # from Perspective.events.

  subscribe @0 (filter :Filter, cursor :Cursor, observer :Observer)
      -> (subscription :Subscription, refusal :Common.Refusal);
  # From `cursor` on: first what is past, then live.
  latest @1 () -> (cursor :Cursor);
  # Where the sequence stands: subscribe from here for what comes from now on.
}
