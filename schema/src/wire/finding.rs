//! Findings in their form on the wire.

use crate::grant_capnp::finding;
use crate::limits::{self, SENTENCE, SUBJECT};
use crate::values::{Finding, Health};

/// Writes a finding in its form on the wire.
pub fn write_finding(mut to: finding::Builder<'_>, from: &Finding) {
    to.set_subject(&from.subject);
    to.set_verdict(match from.verdict {
        Health::Good => finding::Health::Good,
        Health::Warned => finding::Health::Warned,
        Health::Bad => finding::Health::Bad,
    });
    to.set_seen(&from.seen);
    to.set_remedy(&from.remedy);
}

/// Reads a finding from its form on the wire, within the limits of its fields.
pub fn read_finding(from: finding::Reader<'_>) -> capnp::Result<Finding> {
    Ok(Finding {
        subject: limits::text(from.get_subject(), &SUBJECT)?,
        verdict: match from.get_verdict()? {
            finding::Health::Good => Health::Good,
            finding::Health::Warned => Health::Warned,
            finding::Health::Bad => Health::Bad,
        },
        seen: limits::text(from.get_seen(), &SENTENCE)?,
        remedy: limits::text(from.get_remedy(), &SENTENCE)?,
    })
}
