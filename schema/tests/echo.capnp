@0xd1a4b6c0f5e27aff;
# An interface for tests, with everything that an object can do to a gate and to a connection.

interface Echo {
  name @0 () -> (name :Text);
  child @1 (name :Text) -> (child :Echo);
  # Makes a child, which is named after its parent.
  never @2 ();
  # Never answers. The test counts the call while it waits, and when it is dropped.
  early @3 () -> (child :Echo);
  # Sets its pipeline and then waits for ever.
  callBack @4 (other :Echo) -> (name :Text, same :Echo);
  # Asks `other` for its name, and returns the name and `other`.
  keep @5 (other :Echo);
  # Keeps `other`, which `kept` then returns.
  kept @6 () -> (other :Echo);
  note @7 (number :UInt32) -> (before :UInt32);
  # Answers the number of the note before, which shows the order of calls.
  panic @8 (late :Bool);
  bytes @9 (count :UInt32, params :Data) -> (bytes :Data);
  isKept @10 (other :Echo) -> (yes :Bool);
  # Whether `other` is the same object that `keep` got.
}

interface Other {
  # Another interface that the gate does not know.
  number @0 () -> (number :UInt32);
}
