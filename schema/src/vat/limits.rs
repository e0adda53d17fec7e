//! What one connection may cost, in sizes and times.

use crate::limits::borders::{
    KNOWN_CALLS, KNOWN_EXPORTS, KNOWN_MESSAGE, KNOWN_UNFINISHED, KNOWN_WEIGHT, MESSAGE_TIME, SILENCE, STRANGER_CALLS,
    STRANGER_MESSAGE, STRANGER_UNFINISHED,
};
use std::time::Duration;

/// The bounds of a connection. Sizes differ before and after a credential was accepted; times do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest message that is read.
    pub message_bytes: usize,
    /// How deep pointers may nest in a message.
    pub nesting: i32,
    /// Requests and answers that are not done: beyond it nothing more is read.
    pub unfinished_bytes: usize,
    /// Calls that are not answered, or whose answer was not read: beyond it nothing more is read.
    pub calls: usize,
    /// What calls, answers and capabilities take of the memory: beyond it nothing more is read while many calls are under way.
    pub weight: usize,
    /// Capabilities of ours that the peer holds at once.
    pub exports: usize,
    /// The most capabilities in one message.
    pub message_exports: usize,
    /// Bytes that wait for a peer which does not read.
    pub output_bytes: usize,
    /// How long a message may take once it has begun.
    pub message: Duration,
    /// A slow link is given more: this many bytes earn one more second. 0 means no more.
    pub pace_bytes: usize,
    /// How long a client waits without a byte before it pings its server; a server waits for a third longer.
    pub heartbeat: Duration,
    /// How long the connection may be without a byte in either direction before it ends.
    pub silence: Duration,
    /// How long a peer that is over its budget may take to get below it.
    pub patience: Duration,
    /// How long the last messages may take to leave when the connection closes.
    pub linger: Duration,
}

impl Limits {
    /// Before a credential was accepted: at most 1 MiB in all.
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

    /// The limits for a peer that has shown a credential, and for the one that was dialled: at most 16 MiB in all.
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

    /// The sizes of [`Limits::known`] with the times of these.
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
