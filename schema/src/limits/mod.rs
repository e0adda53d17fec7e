//! The limits of everything that crosses a border. There is one table, `table.rs`. The only ways to read a text, bytes or a list
//! from the wire are in `read.rs`, and each of them asks for its row. What is not a field of the schema stands in `borders.rs`. A
//! reader without a row cannot be written by accident, because `tests/tidy` forbids the plain getters elsewhere.
//!
//! What a connection may cost in all (messages, calls, capabilities) is [`crate::vat::Limits`].

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

/// How the text of an exception begins that refuses an argument beyond its limit (`common.capnp`).
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
    /// The call is refused by an exception that names the value and the limit.
    Refused,
    /// The value is cut to the limit, because a refusal would lose an honest result. A text says that it was cut.
    Cut,
}

/// One row of the table of limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The value as a person calls it: "step name".
    pub name: &'static str,
    /// The fields of the schema that it bounds: `worker.Description.labels`, for an argument of a method
    /// `worker.Lease.complete(reason)`, and for its answer `worker.Session.renew -> terms`. `event.Event.*` is every text below it.
    pub fields: &'static [&'static str],
    /// The largest count that is taken.
    pub most: usize,
    /// The unit that the number `most` counts.
    pub unit: Unit,
    /// The treatment of a value that is larger.
    pub beyond: Beyond,
    /// Why the limit has this value.
    pub why: &'static str,
}

impl Limit {
    /// The part of `count` that is accepted. It is an error if the limit refuses larger values and `count` is larger.
    pub fn admit(&self, count: usize) -> capnp::Result<usize> {
        match self.beyond {
            Beyond::Refused if count > self.most => Err(self.refusal(count)),
            Beyond::Refused | Beyond::Cut => Ok(count.min(self.most)),
        }
    }

    /// The text, cut where it is longer than the limit, whatever the row says of peers: for texts of our own.
    pub fn cut<'a>(&self, text: &'a str) -> Cow<'a, str> {
        cut(text, self.most)
    }

    /// The same limit for whoever reads the value from a master. That may be older and have no limits, so the value is cut there.
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

/// A number with its thousands apart, as `1,048,576`.
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
