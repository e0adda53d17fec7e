//! What the installation looks like to an operator; what is looked at, and how it is judged, is in [`crate::examine`].

use super::{Holder, Office};
use crate::coordinator::authority::Authority;
use crate::examine::{self, Reach};
use schema::grant_capnp::operator;
use schema::wire;

pub(super) async fn examine(
    office: &Office,
    holder: &Holder,
    mut results: operator::ExamineResults,
) -> capnp::Result<()> {
    let reach = Reach {
        driver: office.driver.clone(),
        readers: office.readers.of(holder.principal),
        repositories: office.repositories.clone(),
        premises: office.premises.borrow().clone(),
        caller: holder.grant,
        what: holder.what.clone(),
        is_whole: Authority::of(holder.kind, &holder.what, None).is_whole(),
    };
    let findings = examine::examine(&reach).await;
    let mut list = results.get().init_findings(wire::length(findings.len()));
    for (index, finding) in (0..).zip(&findings) {
        wire::write_finding(list.reborrow().get(index), finding);
    }
    Ok(())
}
