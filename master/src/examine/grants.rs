//! Grants that end soon, and joins that ended before anybody used them.

use super::{WEEK, rough};
use crate::coordinator::record::GrantRow;
use schema::values::{Finding, GrantKind, Time, ends_soon};

pub(super) fn judge(grants: &[GrantRow], now: Time) -> Vec<Finding> {
    let near = grants.iter().filter_map(|row| ending(row, now));
    let unused = grants.iter().filter(|row| !has_successor(row, grants)).filter_map(|row| was_not_used(row, now));
    let mut findings: Vec<Finding> = near.chain(unused).collect();
    if findings.is_empty() {
        findings.push(Finding::good("grants", "none ends within a week"));
    }
    findings
}

fn ending(row: &GrantRow, now: Time) -> Option<Finding> {
    let expires = row.expires.filter(|expires| *expires > now && row.revoked.is_none())?;
    (ends_soon(row.created, expires, now) && row.holder.is_some() && !row.is_browser).then(|| {
        let seen = format!("ends in {}", rough(expires.since(now)));
        Finding::warned(subject(row), seen, format!("before that: {}", reissue(row, true)))
    })
}

/// A join that ended lately.
fn was_not_used(row: &GrantRow, now: Time) -> Option<Finding> {
    let expired = row.expires.filter(|expires| *expires <= now && now.since(*expires) < WEEK)?;
    (row.holder.is_none() && !row.is_browser).then(|| {
        let seen = format!("was never redeemed, and ended {}", client::words::ago(now, expired));
        Finding::warned(subject(row), seen, format!("if it is still wanted: {}", reissue(row, false)))
    })
}

fn has_successor(row: &GrantRow, grants: &[GrantRow]) -> bool {
    let is_next = |other: &GrantRow| other.name == row.name && other.kind == row.kind && other.id > row.id;
    grants.iter().any(is_next)
}

fn subject(row: &GrantRow) -> String {
    format!("grant {} of {} ({})", row.id.0, row.name, row.kind)
}

/// A worker's name is taken for as long as its grant is in force.
fn reissue(row: &GrantRow, is_in_force: bool) -> String {
    let name = if is_in_force && row.kind == GrantKind::Worker { "NEWNAME" } else { &row.name };
    format!("guild grant issue --kind {} --name {name} -o {name}.cap", row.kind)
}
