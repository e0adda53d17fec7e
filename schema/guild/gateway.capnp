@0xd1a4b6c0f5e27a09;
# What a stranger sees: the bootstrap object of every connection to a master.

using Common = import "common.capnp";

interface Gateway extends (Common.Pulse) {
  # No authority but to show a credential. Tight limits apply until one was accepted: messages of 512 KiB,
  # 64 strangers at once, 10 s for the handshake, 30 s for the first credential.
  #
  # A credential is a sturdy ref, `capnp://sha-256:FPR@host:port/TOKEN`. FPR is the SHA-256 of the master's
  # public key (its SubjectPublicKeyInfo, RFC 5280, as DER), in base64url without padding: the connection is TLS 1.3, and
  # a client must compare it with the key in the master's certificate. TOKEN is 32 bytes in base64url without padding.

  restore @0 (token :Data, versions :Common.Versions)
      -> (capability :AnyPointer, version :UInt16, refusal :Common.Refusal);
  # The capability that this sturdy ref stands for: a WorkerDesk for a worker, a Perspective for everyone else. The
  # connection's client certificate must hold the key that the grant is bound to. `version`: the highest in common.
  redeem @1 (join :Data, token :Data) -> (grant :UInt64, name :Text, kind :Text, refusal :Common.Refusal);
  # Turns a one-use join into a sturdy ref of one's own: from now on `token`, 32 random bytes chosen by the caller,
  # restores the grant's capability for the key of this connection, and for no other. The same key may repeat the
  # call with the same token (its answer may have been lost); another key is refused, and an alarm is raised.
}
