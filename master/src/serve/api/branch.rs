//! Writes the state of a branch, with its lanes, to the wire.

use super::viewer_access::ViewedRepository;
use crate::decide::coordinator::Coordinator;
use crate::decide::coordinator::lane::{Lane, Mark, RefState};
use crate::decide::coordinator::record::{ClaimKey, LaneClaim};
use crate::keep::store::{Reading, StoreError};
use schema::limits;
use schema::perspective_capnp::{branch_view, lane_view};
use schema::values::{Refusal, RefusalCode, State, full_refs};
use schema::wire;
use std::collections::BTreeMap;

/// The bytes of a lane on the wire, without its job's name: its numbers, and three revisions of at most 64 digits.
const LANE_BYTES: usize = 384;

/// A full ref and its state.
pub(super) type NamedState = (String, RefState);

/// Finds a ref by its full or short name, and returns its state. An empty name means the main branch.
pub(super) async fn look(
    readers: &Reading,
    repository: &ViewedRepository,
    name: &str,
) -> Result<Result<NamedState, Refusal>, StoreError> {
    let found = readers.first_built(repository.project(), candidates(repository, name)).await?;
    Ok(found.ok_or_else(|| unbuilt(repository.project(), name)))
}

/// Returns the refs that a full or short name may mean, the most likely first. An empty name means the main branch.
pub(super) fn candidates(repository: &ViewedRepository, name: &str) -> Vec<String> {
    match name {
        "" => repository.main_branch().into_iter().collect(),
        name => full_refs(name),
    }
}

fn unbuilt(project: &str, name: &str) -> Refusal {
    let text = match name {
        "" => format!("nothing was built of the main branch of {project}"),
        name => format!("{project} has no build of a branch or tag `{name}`"),
    };
    Refusal::new(RefusalCode::NotFound, text).help("`guild list` shows the builds")
}

/// Returns the claims of the lanes of a ref, by their jobs.
pub(super) fn claims(it: &Coordinator, project: &str, (ref_name, state): &NamedState) -> BTreeMap<String, LaneClaim> {
    let mut key = ClaimKey { project: project.to_owned(), ref_name: ref_name.clone(), job: String::new() };
    let found = state.lanes.iter().filter_map(|(job, _)| {
        key.job.clone_from(job);
        Some((job.clone(), it.claim_of(&key)?.clone()))
    });
    found.collect()
}

pub(super) fn write_branch(
    mut to: branch_view::Builder<'_>,
    (ref_name, state): &NamedState,
    claims: &BTreeMap<String, LaneClaim>,
) {
    to.set_ref(ref_name);
    to.set_outcome(wire::outcome_to_wire(state.outcome()));
    to.set_errored(state.is_errored());
    if let Some(tip) = &state.tip {
        to.set_tip(tip.number);
        to.set_tip_revision(tip.stamp.sources.first().map(|source| source.revision.as_str()).unwrap_or_default());
        to.set_is_open(tip.state != State::Finished);
    }
    to.set_broken(state.broken.as_ref().map_or(0, |build| build.number));
    // Besides the name of its job and its revisions, a lane has few bytes.
    let claim_bytes = |claim: &LaneClaim| limits::text_bytes(&claim.name) + limits::text_bytes(&claim.reason);
    let lane_bytes = |job: &String| limits::text_bytes(job) + LANE_BYTES + claims.get(job).map_or(0, claim_bytes);
    let shown = limits::fitting(0, state.lanes.iter().map(|(job, _)| lane_bytes(job)));
    let mut list = to.init_lanes(wire::length(shown));
    for (index, (job, lane)) in (0..).zip(state.lanes.iter().take(shown)) {
        write_lane(list.reborrow().get(index), job, lane);
        if let Some(claim) = claims.get(job) {
            write_claim(list.reborrow().get(index), claim);
        }
    }
}

fn write_claim(mut to: lane_view::Builder<'_>, claim: &LaneClaim) {
    to.set_claimed_by(&claim.name);
    to.set_claimed(wire::time(claim.since));
    to.set_claim_until(wire::time(claim.until));
    to.set_claim_reason(&claim.reason);
}

fn write_lane(mut to: lane_view::Builder<'_>, job: &str, lane: &Lane) {
    to.set_job(job);
    to.set_outcome(wire::outcome_to_wire(lane.outcome()));
    if let Some(last) = lane.last() {
        to.set_build(last.build);
        to.set_revision(&last.revision);
    }
    let (since, good): (Mark, Mark) = (lane.first_bad().unwrap_or_default(), lane.last_good().unwrap_or_default());
    to.set_since(since.build);
    to.set_since_revision(&since.revision);
    to.set_last_good(good.build);
    to.set_last_good_revision(&good.revision);
    to.set_errored(lane.errored().map_or(0, |result| result.build));
}
