//! Reports grants that end soon, joins that ended before anybody used them, and grants that have more than the grant above them.

use super::{WEEK, rough};
use crate::decide::coordinator::authority::Authority;
use crate::decide::coordinator::record::{GrantId, GrantRow};
use schema::values::{Finding, GrantKind, Time, ends_soon};
use std::collections::BTreeMap;

pub(super) fn judge(grants: &[GrantRow], now: Time) -> Vec<Finding> {
    let by_id: BTreeMap<GrantId, &GrantRow> = grants.iter().map(|row| (row.id, row)).collect();
    // The rows are in the order of their numbers, so that the newest of each name stays.
    let newest: BTreeMap<(&str, &str), GrantId> =
        by_id.values().map(|row| ((row.kind.word(), row.name.as_str()), row.id)).collect();
    let is_newest = |row: &&GrantRow| newest.get(&(row.kind.word(), row.name.as_str())) == Some(&row.id);
    let near = grants.iter().filter_map(|row| ending(row, now));
    let unused = grants.iter().filter(is_newest).filter_map(|row| was_not_used(row, now));
    let more = grants.iter().filter_map(|row| has_more(row, by_id.get(&row.parent?)?));
    let mut findings: Vec<Finding> = near.chain(unused).chain(more).collect();
    if findings.is_empty() {
        findings.push(Finding::good("grants", "none ends within a week"));
    }
    findings
}

fn ending(row: &GrantRow, now: Time) -> Option<Finding> {
    let expires = row.expires.filter(|expires| *expires > now && row.revoked.is_none())?;
    (ends_soon(row.created, expires, now) && row.holder.is_some() && !row.is_browser).then(|| {
        let seen = format!("ends in {}", rough(expires.since(now)));
        Finding::warned(subject(row), seen, format!("issue a new one before that: {}", reissue(row, true)))
    })
}

/// Reports a join that expired within the last week and was never used.
fn was_not_used(row: &GrantRow, now: Time) -> Option<Finding> {
    let expired = row.expires.filter(|expires| *expires <= now && now.since(*expires) < WEEK)?;
    (row.holder.is_none() && !row.is_browser).then(|| {
        let seen = format!("was never redeemed, and ended {}", expired.seen_from(now));
        Finding::warned(subject(row), seen, format!("if you still want it: {}", reissue(row, false)))
    })
}

/// Reports a grant that has more than its parent. Before operators had pools, a master let their workers have any pool.
fn has_more(row: &GrantRow, parent: &GrantRow) -> Option<Finding> {
    let excess = Authority::of_row(parent).holds(&Authority::of_row(row)).err().filter(|_| row.revoked.is_none())?;
    let seen =
        format!("has {excess}, but grant {} of {}, below which it was issued, does not", parent.id.0, parent.name);
    let remedy = format!("if nobody wants that: guild grant revoke {}", row.id.0);
    Some(Finding::warned(subject(row), seen, remedy))
}

fn subject(row: &GrantRow) -> String {
    format!("grant {} of {} ({})", row.id.0, row.name, row.kind)
}

/// The command that issues the grant again. A worker needs a new name, because its name is taken while its grant is in force.
fn reissue(row: &GrantRow, is_in_force: bool) -> String {
    let name = if is_in_force && row.kind == GrantKind::Worker { "NEWNAME" } else { &row.name };
    format!("guild grant issue --kind {} --name {name} -o {name}.cap", row.kind)
}
