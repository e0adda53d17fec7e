@0xd1a4b6c0f5e27a04;
# Logs: append-only bytes of a step, addressed by offset, sealed at the end.

using Common = import "common.capnp";

struct Mark {
  # When the byte at `offset` was read from the step.
  offset @0 :UInt64;
  time @1 :Int64;
}

interface LogSink {
  # The authority to append to one step's log. Who gets it: the lease's holder, from Lease.log or
  # StepReport.log. It dies with the lease. Dropping it or losing the link does nothing: take it again from the same lease and resume.

  write @0 (offset :UInt64, bytes :Data, marks :List(Mark))
      -> (received :UInt64, durable :UInt64, refusal :Common.Refusal);
  # Bytes at `offset`, at most 1 MiB. What overlaps with bytes already received is dropped (it must be the
  # same); a gap is refused (`offset`), and so are bytes beyond the size with which the step ended (`invalid`). `received`: where the next write goes. `durable`: how many bytes survive a
  # power cut; the sender keeps the rest, and everything until the log is sealed. Beyond the log's limit, bytes
  # are counted as received, and dropped; the log then ends with a marker. May be repeated. Keep at most 1 MiB
  # in flight on a connection.
  size @1 () -> (received :UInt64, sealed :Bool);
  # Where to resume.
}

interface LogReader {
  # The authority to read one step's log, live or sealed. Dropping it ends what it follows.

  size @0 () -> (size :UInt64, sealed :Bool, hash :Data);
  # `size` in bytes so far. `hash`: BLAKE3 of a sealed log.
  read @1 (offset :UInt64, count :UInt32) -> (bytes :Data, sealed :Bool);
  # At most `count` bytes and at most 256 KiB from `offset`; empty at the end so far. `sealed`: and there
  # will be no more after these. May be repeated.
  wait @2 (offset :UInt64) -> (size :UInt64, sealed :Bool);
  # Resolves when there is a byte at `offset`, or when the log is sealed. Following a log is `wait`, `read`, and so on;
  # after a reconnect it goes on from the same offset: nothing is lost, nothing comes twice.
  lines @3 (first :UInt64, count :UInt32) -> (bytes :Data, offset :UInt64);
  # Lines `first` (the first line is 1) to `first + count - 1`, at most 256 KiB; `offset` is where they begin.
  # Empty: no such line yet.
  lastLines @4 (count :UInt32) -> (bytes :Data, offset :UInt64, first :UInt64);
  # The last `count` lines so far, whole ones as far as 256 KiB hold them; `first` is the number of the first of them,
  # `offset` where it begins. Empty, with `first` 1: there is nothing yet.
}
