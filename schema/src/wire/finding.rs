//! Findings.

use crate::grant_capnp::finding;
use crate::limits::{self, TOLD};
use crate::values::{Finding, Verdict};

pub fn write_finding(mut to: finding::Builder<'_>, from: &Finding) {
    to.set_subject(&from.subject);
    to.set_verdict(match from.verdict {
        Verdict::Good => finding::Verdict::Good,
        Verdict::Warned => finding::Verdict::Warned,
        Verdict::Bad => finding::Verdict::Bad,
    });
    to.set_seen(&from.seen);
    to.set_remedy(&from.remedy);
}

pub fn read_finding(from: finding::Reader<'_>) -> capnp::Result<Finding> {
    Ok(Finding {
        subject: limits::text(from.get_subject(), &TOLD)?,
        verdict: match from.get_verdict()? {
            finding::Verdict::Good => Verdict::Good,
            finding::Verdict::Warned => Verdict::Warned,
            finding::Verdict::Bad => Verdict::Bad,
        },
        seen: limits::text(from.get_seen(), &TOLD)?,
        remedy: limits::text(from.get_remedy(), &TOLD)?,
    })
}
