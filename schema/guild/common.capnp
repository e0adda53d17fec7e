@0xd1a4b6c0f5e27a01;
# Types and interfaces that several parts of the API share.
#
# These files are the manual of the API. Their comments follow one form:
# - An interface answers six questions, in this order. Authority: what its holder may do. Holder: who gets it, and from where.
#   Drop: what it means to drop it. Disconnect: what the loss of the connection does. Repeat: which calls may be repeated.
#   Cost: what a call waits for, and what it costs.
# - A method says its arguments with their shapes, units and ranges, and names the codes with which it refuses a call.
# - A field says what it holds and in which unit.
#
# Conventions of the whole API:
# - An answer that a caller must expect comes in the results. If a method can refuse a call, its results have a field
#   `refusal`, which is null when the call was done.
# - An exception means a lost link, overload, version skew or a bug. Its text begins with a word if the caller can do
#   something about it. "revoked: ": the capability was taken back, with its grant or its lease. "invalid: ": an argument is
#   beyond its limit, as in "invalid: the name of the project has 200 bytes; at most 100 are taken". "stale: ": the attempt has
#   ended. "conflict: ": the state forbids the call. "notFound: ": retention removed the build, the log or the file.
#   "damaged: ": the disk of the master changed the log or the file.
# - A call that records something is refused as `unavailable` while the disk of the master is full or the master stops. A call
#   that only reads what was recorded fails then with an exception of the kind "overloaded". The methods do not repeat this.
# - A mutating call takes a `request`: 16 bytes that the caller chooses at random. A call that is repeated with the same id
#   and the same arguments answers what the first call did. With other arguments it is refused (`conflict`). The master keeps
#   an answer for 7 days, and the newest 10,000 answers of each grant.
# - Every capability dies with its connection, and when the grant of its holder is revoked or expires. Where the comment of an
#   interface says that a disconnect does nothing, take the capability again after you restored the credential.
# - Times are milliseconds since 1970-01-01 UTC. Durations are milliseconds, and sizes are bytes. Other units are named.
# - A build is named by its project and its number, which counts from 1. A job is named with its cell:
#   "test@linux-x86_64,3.14".
# - A ref in full is "refs/heads/main". A commit has 40 or 64 hex digits.
# - Texts are UTF-8. Lists and texts have limits, which docs/reference/limits.md lists: a text beyond its limit is refused, or
#   cut with a mark.
# - Ordinals are never reused, and fields are only added. A field that the other side does not know reads as 0, false or empty.

struct Refusal {
  # The reason why a call was not done. Callers must expect it.
  code @0 :Code;         # The kind of refusal, for programs.
  text @1 :Text;         # What was refused and where, for a person. Lowercase, without a final stop, at most 64 KiB.
  help @2 :Text;         # The way out, for a person; empty means that there is none to name.

  enum Code {
    # The kinds of refusals.
    internal @0;         # The master has a bug; its log has the details.
    notPermitted @1;     # The grant does not allow the call. `text` says what would be needed.
    notFound @2;         # The named object does not exist, or this grant may not see it.
    conflict @3;         # The request id was used for another request, or the state of the object forbids the call.
    invalid @4;          # The arguments are wrong. `text` names them.
    revoked @5;          # The credential was taken back. This is final: do not try again.
    expired @6;          # The credential has expired. This is final: do not try again.
    unknown @7;          # This master does not know the credential. It may be another master's.
    stale @8;            # The lease is over, because its job was placed again or ended. Stop the attempt.
    unavailable @9;      # The call cannot be done now, for example because the disk is full. Try again later.
    version @10;         # The two sides have no protocol version in common. `text` names both ranges.
    offset @11;          # The write begins after the end of the received bytes. Ask `size`, and resume there.
  }
}

struct Versions {
  # The range of protocol versions that a side speaks. This document is version 2.
  min @0 :UInt16;        # The oldest version that the side speaks.
  max @1 :UInt16;        # The newest version that the side speaks.
}

struct Pair {
  # A name and its value, such as a label or a variable of the environment.
  name @0 :Text;         # The name; never empty.
  value @1 :Text;        # The value; empty if the name says all.
}

enum State {
  # How far a build, a job or a step has come.
  planning @0;           # The build's pipeline is being read.
  waiting @1;            # The job waits for jobs that it needs.
  queued @2;             # The job waits for a worker.
  offered @3;            # The job was offered to a worker that has not accepted it yet.
  running @4;            # At least a part of it has begun.
  finished @5;           # It has an outcome, which does not change any more.
}

enum Outcome {
  # How a build, a job, an attempt or a step ended.
  none @0;               # It has not finished.
  succeeded @1;          # All went well.
  warned @2;             # Something failed that is allowed to fail.
  failed @3;             # The code is at fault: a command failed, or the pipeline is wrong.
  errored @4;            # The infrastructure is at fault, for example because a worker was lost.
  cancelled @5;          # Somebody ended it.
  skipped @6;            # It did not run, because its condition was not met or a job that it needs failed.
}

interface Pulse {
  # Authority: to ask whether the other side of a connection lives. It allows nothing else.
  # Holder: each side of a connection gets the other side's, as its bootstrap object. A master's is the `Gateway`.
  # Drop: nothing happens.
  # Disconnect: it dies, and the next connection has another.
  # Repeat: every call may be repeated.
  # Cost: a call waits for one round trip. A client calls `ping` after 25 s without a byte and a server after 33 s, so that of
  # two idle sides only one asks. Silence of 45 s ends the connection.

  ping @0 ();
  # Answers at once. The answer is the proof of life.
  leaving @1 ();
  # Says that this side is about to close the connection on purpose and expects to be back. A master that is stopped or upgraded
  # calls it. Nothing went wrong and nothing was revoked. Jobs go on; calls in flight may be lost with the link.
}

interface ByteSource {
  # Authority: to read bytes of a fixed length, at any offset.
  # Holder: the caller of the method that gave it out: a worker from `SourcePack.pack`, a viewer from `Build.blob`.
  # Drop: frees what it holds at the other end: a pack, or the file of a blob that retention removes meanwhile.
  # Disconnect: it dies. Ask for it again. A pack may then have other bytes, and a blob has the same.
  # Repeat: every call may be repeated, and several reads may be under way at once.
  # Cost: a read waits for its turn among the grants, and for the disk. It has no `refusal`. If retention removed a
  # blob before the first read, it fails with "notFound: ". If the disk changed the blob, it fails with "damaged: ".

  size @0 () -> (size :UInt64);
  # The length in bytes.
  read @1 (offset :UInt64, count :UInt32) -> (bytes :Data);
  # The bytes from `offset` on, at most `count` and at most 256 KiB. There are fewer only at the end, and none beyond it.
}

interface ByteSink {
  # Authority: to store the bytes of one file. It is the other direction of `ByteSource`.
  # Holder: the caller of the method that gave it out. A worker gets one for each file of its attempt, from `Lease.artifact`.
  # A person who tries a change gets one for its pack, from `Submitter.beginTry`, which has a bound of its own.
  # Drop: nothing happens. Bytes that are not sealed when the attempt ends are thrown away.
  # Disconnect: it dies, and the bytes stay. Take it again from where it came, ask `size`, and go on from there.
  # Repeat: every call may be repeated.
  # Cost: a call waits for the disk. Bytes count against three quotas when they are written. An attempt may store 8 GiB, and all
  # attempts of a project 100 GiB. All projects together may store what `limits.blob_bytes_total` of the master file says, by
  # default 200 GiB. Keep the bytes until they are sealed, and at most 1 MiB in flight on a connection. Within a project, and in
  # all, sealed bytes of one hash count once.
  #
  # Every method is refused as `stale` after the end of the attempt, or when the pack of a try was used or thrown away.

  write @0 (offset :UInt64, bytes :Data) -> (received :UInt64, refusal :Refusal);
  # Appends `bytes`, at most 1 MiB, at `offset`. Bytes that were received before must be the same, and are dropped.
  # `received` is the offset of the next write, in bytes. Refused as `offset` if it would leave a gap.
  # Refused as `conflict` beyond a quota, after the seal, and if too many files are sent at once.
  size @1 () -> (received :UInt64, sealed :Bool, refusal :Refusal);
  # Says where to resume, because `received` bytes have come. `sealed` means that no more bytes are accepted.
  seal @2 (length :UInt64, blake3 :Data) -> (refusal :Refusal);
  # Ends the bytes. `length` is how many there are, and `blake3` their hash of 32 bytes. When this answers, the bytes survive a
  # power cut and can be read by this hash. Sealing again with the same length and hash changes nothing. Refused as `offset`
  # while bytes are missing, and as `conflict` if they are sealed with another length or hash. If the length is too small
  # or the hash differs, it is refused as `invalid`: then send all bytes again.
}
