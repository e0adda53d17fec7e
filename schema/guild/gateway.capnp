@0xd1a4b6c0f5e27a09;
# What a stranger sees: the bootstrap object of every connection to a master.

using Common = import "common.capnp";

interface Gateway extends (Common.Pulse) {
  # Authority: to show a credential, and nothing else.
  # Holder: everyone who connects, as the bootstrap object of the connection.
  # Drop: nothing happens. What was restored stays.
  # Disconnect: it dies, with all that was restored on the connection. Connect and restore again.
  # Repeat: every call may be repeated.
  # Cost: a call waits for one look at the grants, and for a commit if it changes one. Tight limits apply until a credential
  # was accepted: messages have at most 512 KiB. There are at most 64 strangers at once, and 8 of one address, where an IPv6
  # network of 64 bits is one address. A stranger has 10 s for the handshake and 10 s for the first credential. While more than
  # half of the 64 places are taken, these are 3 s and 5 s. When all are taken, the master sends the oldest silent stranger away
  # for the next one.
  #
  # A credential is a sturdy ref, `capnp://sha-256:FPR@host:port/TOKEN`. FPR is the SHA-256 of the master's
  # public key (its SubjectPublicKeyInfo, RFC 5280, as DER), in base64url without padding. The connection is TLS 1.3, and
  # a client must compare FPR with the key in the master's certificate. TOKEN is 32 bytes in base64url without padding.
  #
  # These rules hold on every connection, also after a credential was accepted. The results of a call go to its caller: a call
  # whose `sendResultsTo` is not `caller` is answered with an exception, and is not made. An answer to a call of the master's that
  # has no results in it, such as `takeFromOtherQuestion`, fails that call. Libraries send these only if an object that the master
  # calls turns out to be the master's own. That happens in a proxy that passes the master's objects back to it. Such a proxy must
  # make the call as its own. (capnproto C++ forwards it with `yourself`, and ends the connection when an exception answers it.)
  #
  # Each of these ends a connection:
  # - a promised answer with more than 16 operations in its transform;
  # - more than 32 calls of which each is made on the answer of the one before, or has that answer as a parameter;
  # - more than 64 promises of the peer's that resolve to promises again;
  # - a message in which several pointers lead to the same words, so that it refers to more than it holds.

  restore @0 (token :Data, versions :Common.Versions)
      -> (capability :AnyPointer, version :UInt16, refusal :Common.Refusal);
  # Answers the capability that this sturdy ref stands for: a WorkerDesk for a worker, a Perspective for everyone else. The
  # client certificate of the connection must hold the key that the grant is bound to. `token` is the TOKEN, 32 bytes.
  # `version` is the highest version that both sides speak. Refused as `version` if there is none. Refused as `unknown`,
  # `revoked` or `expired` if no grant in force has this token. Refused as `notPermitted` if the key is another or the token
  # is a join.
  # Refused as `unavailable` if the grant has as many connections open as the master file allows (64 by default), its browsers
  # included. The calls and answers of all of them together may hold 16 MiB in memory.
  redeem @1 (join :Data, token :Data) -> (grant :UInt64, name :Text, kind :Text, refusal :Common.Refusal);
  # Turns a one-use join into a sturdy ref of the caller's own. From now on `token`, 32 random bytes that the caller chose,
  # restores the grant's capability for the key of this connection, and for no other. The same key may repeat the
  # call with the same token, because the answer may have been lost. `grant` is the number of the grant, `name` the name of its
  # holder, and `kind` a word: "operator", "user", "worker", "changes" or "events". Refused as `invalid` if the token has not
  # 32 bytes, and as `unknown`, `revoked` or `expired` if no grant in force has this join. Refused as `notPermitted` without
  # a client certificate, and for another key, which also raises an alarm.
}
