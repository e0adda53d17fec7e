//! The limits of one connection, in sizes and times.

use crate::limits::borders::{
    KNOWN_CALLS, KNOWN_EXPORTS, KNOWN_MESSAGE, KNOWN_UNFINISHED, KNOWN_WEIGHT, MESSAGE_TIME, SILENCE, STRANGER_CALLS,
    STRANGER_MESSAGE, STRANGER_UNFINISHED,
};
use std::time::Duration;

/// The bounds of a connection. The sizes grow once a credential is accepted; the times stay the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The size of the largest message that is read, in bytes.
    pub message_bytes: usize,
    /// The greatest depth to which pointers may nest in a message.
    pub nesting: i32,
    /// The most bytes of open requests and of unread answers. While the peer has this many, nothing more is read from it.
    pub unfinished_bytes: usize,
    /// The most calls that are not answered, or whose answer is not read. While the peer has this many, nothing more is read from it.
    pub calls: usize,
    /// The most memory for calls, answers and capabilities, in bytes. Beyond it nothing is read while many calls are under way.
    pub weight: usize,
    /// The most capabilities of ours that the peer may hold at once. A peer that holds more is disconnected.
    pub exports: usize,
    /// The most capabilities in one message.
    pub message_exports: usize,
    /// The most bytes that may wait for a peer which does not read them. Beyond it the peer is disconnected.
    pub output_bytes: usize,
    /// The longest time that a message may take to arrive once it has begun.
    pub message: Duration,
    /// The number of arrived bytes that earn a message one more second, so that slow links work. 0 means no extra time.
    pub pace_bytes: usize,
    /// The time without a byte after which a client pings its server. A server waits for a third longer.
    pub heartbeat: Duration,
    /// The time after which the connection ends if the peer neither sends nor reads a byte.
    pub silence: Duration,
    /// The longest time for which nothing may be read from a peer because it is over its limits. Then it is disconnected.
    pub patience: Duration,
    /// The longest time that the last messages may take to leave when the connection closes.
    pub linger: Duration,
}

impl Limits {
    /// Returns the limits for a peer that has not shown a credential yet. They let it take at most 1 MiB in all.
    pub fn stranger() -> Self {
        Self {
            message_bytes: STRANGER_MESSAGE.count(),
            nesting: 32,
            unfinished_bytes: STRANGER_UNFINISHED.count(),
            calls: STRANGER_CALLS.count(),
            weight: 1 << 20,
            exports: STRANGER_CALLS.count(),
            message_exports: 32,
            output_bytes: 512 << 10,
            message: MESSAGE_TIME.time(),
            pace_bytes: 0,
            heartbeat: Duration::from_secs(25),
            silence: SILENCE.time(),
            patience: Duration::from_secs(30),
            linger: Duration::from_secs(1),
        }
    }

    /// Returns the limits for a peer that has shown a credential, or that this side dialled. They let it take at most 16 MiB in all.
    pub fn known() -> Self {
        Self {
            message_bytes: KNOWN_MESSAGE.count(),
            unfinished_bytes: KNOWN_UNFINISHED.count(),
            calls: KNOWN_CALLS.count(),
            weight: KNOWN_WEIGHT.count(),
            exports: KNOWN_EXPORTS.count(),
            message_exports: 1024,
            output_bytes: 16 << 20,
            pace_bytes: 4 << 10,
            ..Self::stranger()
        }
    }

    /// Returns the sizes of [`Limits::known`] with the times of `self`.
    pub(super) fn admitted(self) -> Self {
        Self {
            message: self.message,
            heartbeat: self.heartbeat,
            silence: self.silence,
            patience: self.patience,
            linger: self.linger,
            ..Self::known()
        }
    }
}
