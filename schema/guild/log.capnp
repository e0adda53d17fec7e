@0xd1a4b6c0f5e27a04;
# Logs: append-only bytes of a step, addressed by offset, sealed at the end.

using Common = import "common.capnp";

struct Mark {
  # When the worker read the byte at `offset` from the step.
  offset @0 :UInt64;     # In bytes from the start of the log.
  time @1 :Int64;        # In milliseconds since 1970, by the worker's clock. The master corrects it if that clock is wrong.
}

interface LogSink {
  # Authority: to append to one step's log.
  # Holder: the holder of a lease, from `Lease.log` or `StepReport.log`.
  # Drop: nothing happens. The log stays as it is.
  # Disconnect: it dies, and the bytes stay. Take it again from the same lease, ask `size`, and go on from there.
  # Repeat: every call may be repeated.
  # Cost: a call waits for the disk. Keep at most 1 MiB in flight on a connection, and everything that is not durable until the
  # log is sealed. The log is sealed at the end of the attempt.

  write @0 (offset :UInt64, bytes :Data, marks :List(Mark))
      -> (received :UInt64, durable :UInt64, refusal :Common.Refusal);
  # Appends `bytes`, at most 1 MiB, at `offset`. Bytes that were received before must be the same, and are dropped.
  # `marks` say when the bytes were read, at most 131,072 of them. `received` is the offset of the next write, and `durable` how
  # many bytes survive a power cut. Beyond the limit of the log (`limits.log_bytes` of the master file) bytes count as received
  # and are dropped; the log then ends with a marker. Refused as `offset` if it would leave a gap, and as `invalid` beyond the
  # size with which the step ended. Refused as `stale` if the attempt has ended or the log is sealed.
  size @1 () -> (received :UInt64, sealed :Bool);
  # Says where to resume, because `received` bytes have come. `sealed`: no more bytes are accepted. Fails with "stale: " after
  # the end of the attempt.
}

interface LogReader {
  # Authority: to read one step's log, while it grows or when it is sealed.
  # Holder: a viewer or a submitter, from `Build.log`.
  # Drop: frees the file of a log that retention removed while it was read. Drop a call that waits, and its wait ends.
  # Disconnect: it dies. Ask for it again, and go on from the same offset: nothing is lost and nothing comes twice.
  # Repeat: every call may be repeated.
  # Cost: `wait` waits for the step, without a deadline. Every other call waits for its turn among the grants, and for the disk.
  # No method has a `refusal`. If retention removed the log before the first read, a call fails with "notFound: ". If the disk
  # changed the log, it fails with "damaged: ".

  size @0 () -> (size :UInt64, sealed :Bool, hash :Data);
  # `size` is how many bytes there are so far. `hash` is the BLAKE3 of a sealed log, 32 bytes; empty while it is not sealed.
  read @1 (offset :UInt64, count :UInt32) -> (bytes :Data, sealed :Bool);
  # The bytes from `offset` on, at most `count` and at most 256 KiB; no bytes at the end so far. `sealed`: there will be no
  # more bytes after these.
  wait @2 (offset :UInt64) -> (size :UInt64, sealed :Bool);
  # Resolves when there is a byte at `offset`, or when the log is sealed. `size` is how many bytes there are then. To follow a
  # log, call `wait` and `read` in turn.
  lines @3 (first :UInt64, count :UInt32) -> (bytes :Data, offset :UInt64);
  # The lines `first` to `first + count - 1`, at most 256 KiB. The first line of a log is 1. `offset` is the place where they
  # begin, in bytes. No bytes mean that there is no such line yet.
  lastLines @4 (count :UInt32) -> (bytes :Data, offset :UInt64, first :UInt64);
  # The last `count` lines so far, or fewer if they have more than 256 KiB; lines are never cut. `first` is the number of the
  # first one, and `offset` is the place where it begins, in bytes. No bytes and `first` 1 mean that there is nothing yet.
}
