@0xd1a4b6c0f5e27aff;
# A test's interface: what an object can do to a gate and to a connection.

interface Echo {
  name @0 () -> (name :Text);
  child @1 (name :Text) -> (child :Echo);
  # Named after its parent.
  never @2 ();
  # Counted while it waits, and when it is dropped.
  early @3 () -> (child :Echo);
  # Sets its pipeline and then waits for ever.
  callBack @4 (other :Echo) -> (name :Text, same :Echo);
  # Asks `other` for its name and hands it back.
  keep @5 (other :Echo);
  # Holds on to it.
  kept @6 () -> (other :Echo);
  note @7 (number :UInt32) -> (before :UInt32);
  # Answers the number of the note before: shows the order of calls.
  panic @8 (late :Bool);
  bytes @9 (count :UInt32, params :Data) -> (bytes :Data);
  isKept @10 (other :Echo) -> (yes :Bool);
  # Whether it is the very object that `keep` was given.
}

interface Other {
  # An interface of which the gate knows nothing either.
  number @0 () -> (number :UInt32);
}
