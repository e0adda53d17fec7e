@0xd1a4b6c0f5e27a01;
# What several parts of the API share.
#
# Conventions of the whole API:
# - An answer that a caller must expect comes in the results: where a method can refuse, its results
#   have a field `refusal`, which is null when the call was done. Exceptions mean a lost link, overload,
#   a revoked capability ("revoked: ..."), an argument beyond its limit ("invalid: the name of the project has 200 bytes; at
#   most 100 are taken"), version skew, or a bug.
# - A mutating call takes a `request`: 16 bytes chosen at random by the caller. Repeating the call with the
#   same id and the same arguments answers what the first did; with other arguments it is refused
#   (`conflict`). An answer is kept for 7 days.
# - Times are milliseconds since 1970-01-01 UTC; durations are milliseconds; sizes are bytes.
# - Ordinals are never reused; fields are only added.

struct Refusal {
  # Why an expected call was not done.
  code @0 :Code;
  text @1 :Text;         # For a person: what was refused, naming the place. Lowercase, no final stop.
  help @2 :Text;         # The way out, or empty.

  enum Code {
    internal @0;         # A bug on our side; the master's log has the details.
    notPermitted @1;     # The grant does not name this; `text` says what would be needed.
    notFound @2;         # No such thing, or none that this grant may see.
    conflict @3;         # The request id was used for something else, or the state forbids it.
    invalid @4;          # The arguments make no sense; `text` names which.
    revoked @5;          # The credential was taken back. Final: do not try again.
    expired @6;          # The credential's time is over. Final.
    unknown @7;          # No such credential here. It may be another master's.
    stale @8;            # The lease's epoch is over: its job was placed again or ended. Stop the attempt.
    unavailable @9;      # For now, as when the disk is full. Try again.
    version @10;         # No protocol version in common; `text` names both ranges.
    offset @11;          # A write beyond what was received; ask `size` and resume there.
  }
}

struct Versions {
  # The range of protocol versions that a side speaks. This document is version 2.
  min @0 :UInt16;
  max @1 :UInt16;
}

struct Pair {
  name @0 :Text;
  value @1 :Text;
}

enum State {
  planning @0;           # The build's pipeline is being read.
  waiting @1;            # On needs.
  queued @2;             # For a worker.
  offered @3;            # To a worker that has not accepted yet.
  running @4;
  finished @5;
}

enum Outcome {
  none @0;               # Not finished.
  succeeded @1;
  warned @2;
  failed @3;             # The code.
  errored @4;            # The infrastructure.
  cancelled @5;
  skipped @6;
}

interface Pulse {
  # What each vat exports, so that the other can see that it lives.
  # A client calls `ping` after 25 s without a byte, a server after 33 s, so that of two idle sides one asks; 45 s of silence
  # end the connection.
  ping @0 ();
  leaving @1 ();
  # This side is about to close the connection on purpose, as a master that is stopped or upgraded does, and expects to be
  # back: nothing went wrong, nothing was revoked. What runs goes on; what is in flight may be lost with the link.
}

interface ByteSource {
  # Bytes of a fixed length, read at any offset. Dropping it frees what it holds at the other end.
  size @0 () -> (size :UInt64);
  # In bytes. Waits until the bytes exist (a pack is being made).
  read @1 (offset :UInt64, count :UInt32) -> (bytes :Data);
  # At most `count` bytes, and at most 256 KiB; fewer only at the end. May be repeated; several reads
  # may be under way at once.
}

interface ByteSink {
  # The authority to store bytes of one name: the other direction of `ByteSource`. Who gets it: whoever holds what gave it out,
  # as a lease does (`Lease.artifact`); it dies with that. Dropping it or losing the link does nothing: take it again, ask
  # `size`, and go on from there. What is not sealed when the lease ends is thrown away. Each call may be repeated. A call
  # waits for the disk, and a full one is refused (`unavailable`) until there is room: keep the bytes until they are sealed.

  write @0 (offset :UInt64, bytes :Data) -> (received :UInt64, refusal :Refusal);
  # Bytes at `offset`, at most 1 MiB. What overlaps with bytes already received is dropped (it must be the same); a gap is
  # refused (`offset`), and so is what is beyond a quota, or comes after the seal (`conflict`). `received`: where the next write
  # goes. An attempt may store 8 GiB, and all attempts of a project 100 GiB, where the same bytes count once. Keep at most 1 MiB
  # in flight on a connection.
  size @1 () -> (received :UInt64, sealed :Bool, refusal :Refusal);
  # Where to resume.
  seal @2 (length :UInt64, blake3 :Data) -> (refusal :Refusal);
  # Ends the bytes. `blake3`: 32 bytes. When this answers, they survive a power cut, and can be read by this hash. Refused while
  # bytes are missing (`offset`). A length that is too small, or a hash that differs, is refused by name (`invalid`), and then
  # all bytes are to be sent again. Sealing again with the same length and hash answers the same; others are a `conflict`.
}
