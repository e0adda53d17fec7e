//! Findings.

use crate::grant_capnp::finding;
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
        subject: from.get_subject()?.to_string()?,
        verdict: match from.get_verdict()? {
            finding::Verdict::Good => Verdict::Good,
            finding::Verdict::Warned => Verdict::Warned,
            finding::Verdict::Bad => Verdict::Bad,
        },
        seen: from.get_seen()?.to_string()?,
        remedy: from.get_remedy()?.to_string()?,
    })
}
