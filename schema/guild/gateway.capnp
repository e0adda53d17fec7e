@0xd1a4b6c0f5e27a09;
# What a stranger sees: the bootstrap object of every connection to a master.

using Common = import "common.capnp";

interface Gateway extends (Common.Pulse) {
  # No authority but to show a credential. Tight limits apply until one was accepted: messages of 512 KiB, 64 strangers
  # at once, 8 of one address (an IPv6 network of 64 bits is one), 10 s for the handshake and 10 s for the first
  # credential. While more than half of the 64 places are taken, these are 3 s and 5 s. When all are, the oldest stranger
  # that is silent is sent away for the next one.
  #
  # On every connection, also after that, the results of a call go to its caller. A call whose `sendResultsTo` is not
  # `caller` is answered with an exception, and is not made. An answer to a call of the master's that has no results in
  # it, as `takeFromOtherQuestion`, fails that call. Libraries send these only where an object that the master calls turns
  # out to be the master's own, as in a proxy that passes the master's objects back to it: such a proxy must make the call
  # as its own. (capnproto C++ forwards it with `yourself`, and ends the connection when an exception answers that.)
  # These end a connection: a promised answer with more than 16 operations in its transform; more than 32 calls of which
  # each is made on the answer of the one before, or takes it along, while none is answered; more than 64 promises of the
  # peer's that resolve to promises again; and a message in which several pointers lead to the same words, so that it
  # refers to more than it holds.
  #
  # A credential is a sturdy ref, `capnp://sha-256:FPR@host:port/TOKEN`. FPR is the SHA-256 of the master's
  # public key (its SubjectPublicKeyInfo, RFC 5280, as DER), in base64url without padding: the connection is TLS 1.3, and
  # a client must compare it with the key in the master's certificate. TOKEN is 32 bytes in base64url without padding.

  restore @0 (token :Data, versions :Common.Versions)
      -> (capability :AnyPointer, version :UInt16, refusal :Common.Refusal);
  # The capability that this sturdy ref stands for: a WorkerDesk for a worker, a Perspective for everyone else. The
  # connection's client certificate must hold the key that the grant is bound to. `version`: the highest in common.
  # Refused as `unavailable` when the grant has as many connections open as the master file allows (64 if it says
  # nothing), its browsers counted with it. What calls and answers of all of them hold in memory is counted together.
  redeem @1 (join :Data, token :Data) -> (grant :UInt64, name :Text, kind :Text, refusal :Common.Refusal);
  # Turns a one-use join into a sturdy ref of one's own: from now on `token`, 32 random bytes chosen by the caller,
  # restores the grant's capability for the key of this connection, and for no other. The same key may repeat the
  # call with the same token (its answer may have been lost); another key is refused, and an alarm is raised.
}
