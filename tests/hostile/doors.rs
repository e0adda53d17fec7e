//! Strangers, and peers with too many connections, at the door.
