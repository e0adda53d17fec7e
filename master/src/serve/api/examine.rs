//! Writes the findings about the installation for an operator. [`crate::explain::doctor`] makes the checks and judges their results.

use super::Holder;
use super::operator_access::OperatorAccess;
use crate::explain::doctor;
use schema::grant_capnp::operator;
use schema::limits::{self, ANSWER_BYTES, FINDINGS, SENTENCE, SUBJECT, WORD};
use schema::values::Finding;
use schema::wire;

pub(super) async fn examine(
    access: &OperatorAccess,
    holder: &Holder,
    mut results: operator::ExamineResults,
) -> capnp::Result<()> {
    let mut findings = doctor::examine(&access.reach(holder)).await;
    for finding in &mut findings {
        finding.subject = SUBJECT.cut(&finding.subject).into_owned();
        finding.seen = SENTENCE.cut(&finding.seen).into_owned();
        finding.remedy = SENTENCE.cut(&finding.remedy).into_owned();
    }
    // The worst findings come first, so if the room ends, only good findings are left out.
    let bytes = |finding: &Finding| {
        let texts = [&finding.subject, &finding.seen, &finding.remedy];
        WORD + texts.map(|text| limits::text_bytes(text)).iter().sum::<usize>()
    };
    let all = findings.iter().map(bytes).sum::<usize>();
    if all > ANSWER_BYTES || findings.len() > FINDINGS.most {
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.verdict));
        findings.truncate(limits::fitting(0, findings.iter().map(bytes)).min(FINDINGS.most));
    }
    let mut list = results.get().init_findings(wire::length(findings.len()));
    for (index, finding) in (0..).zip(&findings) {
        wire::write_finding(list.reborrow().get(index), finding);
    }
    Ok(())
}
