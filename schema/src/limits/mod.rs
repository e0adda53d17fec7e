//! The limits of everything that crosses a border. There is one table, `table.rs`. The only ways to read a text, bytes or a list
//! from the wire are in `read.rs`, and each of them takes its row. Bounds that are not fields of the schema are in `borders.rs`.
//! Nobody reads without a row by accident, because `tests/tidy` forbids the plain getters elsewhere.
//!
//! The bounds of a connection as a whole (messages, calls, capabilities) are [`crate::vat::Limits`].

pub mod borders;
mod cut;
mod read;
mod room;
mod table;

pub use cut::cut;
pub use read::{data, key, keys, numbers, pairs, structs, text, texts};
pub use room::{JOB_VIEW, STEP_VIEW, TESTS_VIEW, WORD, event_bytes, fitting, listed, page, text_bytes, view_bytes};
pub use table::*;

use std::borrow::Cow;

/// The beginning of the text of an exception that refuses an argument beyond its limit (`common.capnp`).
pub const INVALID: &str = "invalid: ";

/// The unit that the number of a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes of a text in UTF-8, or of data.
    Bytes,
    /// The elements of a list.
    Elements,
}

/// The treatment of a value that is beyond its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beyond {
    /// An exception refuses the call. It names the value and the limit.
    Refused,
    /// The value is cut to the limit, because a refusal would lose an honest result. A text says that it was cut.
    Cut,
}

/// One row of the table of limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The name of the value as a person says it, for example "step name".
    pub name: &'static str,
    /// The fields of the schema that the row bounds, such as `worker.Description.labels`. An argument of a method is written as
    /// `worker.Lease.complete(reason)`, and a result as `worker.Session.renew -> terms`.
    pub fields: &'static [&'static str],
    /// The largest number of bytes or elements that is accepted.
    pub most: usize,
    /// The unit that the number `most` counts.
    pub unit: Unit,
    /// The treatment of a value that is larger than `most`.
    pub beyond: Beyond,
    /// The reason why the limit has this value.
    pub why: &'static str,
}

impl Limit {
    /// Returns how many of `count` bytes or elements are accepted. Fails if `count` is too large and the limit refuses such values.
    pub fn admit(&self, count: usize) -> capnp::Result<usize> {
        match self.beyond {
            Beyond::Refused if count > self.most => Err(self.refusal(count)),
            Beyond::Refused | Beyond::Cut => Ok(count.min(self.most)),
        }
    }

    /// Cuts a text of our own to the limit, even if the row refuses longer texts of peers.
    pub fn cut<'a>(&self, text: &'a str) -> Cow<'a, str> {
        cut(text, self.most)
    }

    /// Returns the same limit for a reader of a master's values. It cuts them, because an older master may have no limits.
    pub const fn told(&self) -> Limit {
        Limit { beyond: Beyond::Cut, ..*self }
    }

    fn refusal(&self, count: usize) -> capnp::Error {
        let (name, count, most) = (self.name, grouped(count), grouped(self.most));
        let unit = match self.unit {
            Unit::Bytes => "bytes",
            Unit::Elements => "elements",
        };
        capnp::Error::failed(format!("{INVALID}the {name} has {count} {unit}; at most {most} are taken"))
    }
}

/// Formats a number with commas between its thousands, such as `1,048,576`.
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
