//! Descriptions of workers, assignments, homes and the authority of grants in their form on the wire.

use super::plan::{trust_from_wire, trust_to_wire};
use super::{length, read_job, read_stamp, write_job, write_pairs, write_stamp, write_texts};
use crate::grant_capnp::what;
use crate::limits::{
    self, ABOUT, LABEL, LABELS, LANE, LEASE, Limit, PLAN_TEXT, POOL, POOLS, PROJECT, PROJECTS, RIGHT, RIGHTS,
    TIER_LACK, TIERS,
};
use crate::values::{
    Assignment, Description, Home, JobPlan, Resources, Right, StepBounds, TierName, TierProbe, What, known_plan_version,
};
use crate::worker_capnp::{assignment, description, home, resources, step_bounds, tier_probe};
use std::collections::BTreeSet;

/// Writes room for jobs in its form on the wire.
pub fn write_resources(mut to: resources::Builder<'_>, resources: &Resources) {
    to.set_slots(resources.slots);
    to.set_cpus_milli(resources.cpus_milli);
    to.set_memory(resources.memory);
}

/// Reads room for jobs from its form on the wire.
pub fn read_resources(from: resources::Reader<'_>) -> Resources {
    Resources { slots: from.get_slots(), cpus_milli: from.get_cpus_milli(), memory: from.get_memory() }
}

/// Writes the description of a worker in its form on the wire.
pub fn write_description(mut to: description::Builder<'_>, description: &Description) {
    to.set_platform(ABOUT.cut(&description.platform));
    write_pairs(to.reborrow().init_labels(length(description.labels.len())), &description.labels);
    write_resources(to.reborrow().init_total(), &description.total);
    to.set_host(ABOUT.cut(&description.host));
    to.set_version(ABOUT.cut(&description.version));
    let isolation = description.isolation.iter().map(|tier| ABOUT.cut(tier.word()));
    write_texts(to.reborrow().init_isolation(length(description.isolation.len())), isolation);
    let mut probes = to.reborrow().init_probes(length(description.probes.len()));
    for (index, probe) in (0..).zip(&description.probes) {
        let mut to = probes.reborrow().get(index);
        to.set_tier(ABOUT.cut(probe.tier.word()));
        to.set_lack(TIER_LACK.cut(probe.lack.as_deref().unwrap_or_default()));
    }
    if let Some(bounds) = &description.bounds {
        write_bounds(to.init_bounds(), bounds);
    }
}

/// Reads the description that a worker sends from its form on the wire, within the limits of its fields.
pub fn read_description(from: description::Reader<'_>) -> capnp::Result<Description> {
    description(from, &LABELS, &LABEL)
}

/// Reads the description of a worker that a master shows. Long values are cut, because an older master has no limits.
pub fn told_description(from: description::Reader<'_>) -> capnp::Result<Description> {
    description(from, &LABELS.told(), &LABEL.told())
}

fn description(from: description::Reader<'_>, labels: &Limit, label: &Limit) -> capnp::Result<Description> {
    Ok(Description {
        platform: limits::text(from.get_platform(), &ABOUT)?,
        labels: limits::pairs(from.get_labels(), labels, label)?,
        total: read_resources(from.get_total()?),
        host: limits::text(from.get_host(), &ABOUT)?,
        version: limits::text(from.get_version(), &ABOUT)?,
        isolation: limits::texts(from.get_isolation(), &TIERS, &ABOUT)?.into_iter().map(TierName::from).collect(),
        // exactly as many as there are, because a master keeps them for each worker
        probes: limits::structs(from.get_probes(), &TIERS)?
            .map(read_probe)
            .collect::<capnp::Result<Box<[_]>>>()?
            .into_vec(),
        bounds: from.has_bounds().then(|| read_bounds(from.get_bounds()?)).transpose()?,
    })
}

fn write_bounds(mut to: step_bounds::Builder<'_>, bounds: &StepBounds) {
    to.set_processes(bounds.processes);
    to.set_memory(bounds.memory);
    to.set_files(bounds.files);
    to.set_lack(TIER_LACK.cut(bounds.lack.as_deref().unwrap_or_default()));
}

fn read_bounds(from: step_bounds::Reader<'_>) -> capnp::Result<StepBounds> {
    let lack = limits::text(from.get_lack(), &TIER_LACK)?;
    Ok(StepBounds {
        processes: from.get_processes(),
        memory: from.get_memory(),
        files: from.get_files(),
        lack: (!lack.is_empty()).then_some(lack),
    })
}

fn read_probe(from: tier_probe::Reader<'_>) -> capnp::Result<TierProbe> {
    let lack = limits::text(from.get_lack(), &TIER_LACK)?;
    Ok(TierProbe { tier: limits::text(from.get_tier(), &ABOUT)?.into(), lack: (!lack.is_empty()).then_some(lack) })
}

/// Writes an assignment in its form on the wire.
pub fn write_assignment(mut to: assignment::Builder<'_>, assignment: &Assignment) {
    to.set_token(&assignment.token);
    to.set_project(&assignment.project);
    to.set_build(assignment.build);
    to.set_attempt(assignment.attempt);
    write_job(to.reborrow().init_job(), &assignment.job);
    write_stamp(to.reborrow().init_stamp(), &assignment.stamp);
    to.set_lane(&assignment.lane);
    to.set_trust(trust_to_wire(assignment.trust));
    to.set_term(assignment.term_ms);
    to.set_plan_version(assignment.plan_version);
    to.set_isolation(assignment.isolation.as_ref().map_or("", TierName::word));
}

/// Reads an assignment from its form on the wire. If this program does not know the version of the plan, it reads only the job's name.
pub fn read_assignment(from: assignment::Reader<'_>) -> capnp::Result<Assignment> {
    let job = from.get_job()?;
    Ok(Assignment {
        token: limits::key(from.get_token(), &LEASE)?,
        project: limits::text(from.get_project(), &PROJECT.told())?,
        build: from.get_build(),
        attempt: from.get_attempt(),
        job: match known_plan_version(from.get_plan_version()) {
            Ok(()) => read_job(job)?,
            Err(_) => JobPlan { name: limits::text(job.get_name(), &PLAN_TEXT)?, ..JobPlan::default() },
        },
        stamp: read_stamp(from.get_stamp()?)?,
        lane: limits::text(from.get_lane(), &LANE)?,
        trust: trust_from_wire(from.get_trust()?),
        term_ms: from.get_term(),
        plan_version: from.get_plan_version(),
        isolation: TierName::read(limits::text(from.get_isolation(), &ABOUT)?),
    })
}

/// Writes a worker's home in its form on the wire.
pub fn write_home(mut to: home::Builder<'_>, home: &Home) {
    to.set_boot(&home.boot);
    to.set_pid_namespace(home.pid_namespace);
    to.set_device(home.device);
    to.set_inode(home.inode);
}

/// Reads a worker's home from its form on the wire, within the limits of its fields.
pub fn read_home(from: home::Reader<'_>) -> capnp::Result<Home> {
    Ok(Home {
        boot: limits::text(from.get_boot(), &ABOUT)?,
        pid_namespace: from.get_pid_namespace(),
        device: from.get_device(),
        inode: from.get_inode(),
    })
}

/// Writes the authority of a grant in its form on the wire.
pub fn write_what(mut to: what::Builder<'_>, what: &What) {
    let (old, new): (Vec<Right>, Vec<Right>) = what.may.iter().partition(|right| right.is_old());
    write_texts(to.reborrow().init_may(length(old.len())), old.iter().map(|right| right.word()));
    write_texts(to.reborrow().init_may_also(length(new.len())), new.iter().map(|right| right.word()));
    write_texts(to.reborrow().init_projects(length(what.projects.len())), &what.projects);
    write_texts(to.reborrow().init_pools(length(what.pools.len())), &what.pools);
    write_pairs(to.init_labels(length(what.labels.len())), &what.labels);
}

/// Reads the authority of a requested grant. Fails for a right that this version does not know, because a grant with less than the
/// caller asked for would be a surprise.
pub fn read_what(from: what::Reader<'_>) -> capnp::Result<What> {
    let may = rights(from, &RIGHTS, &RIGHT)?;
    let may = may.iter().map(|word| word.parse().map_err(capnp::Error::failed));
    what(from, may.collect::<capnp::Result<_>>()?, |limit| *limit)
}

/// Reads the authority of a grant from a master. An older master has no limits, and rights that only a newer one knows are left
/// out.
pub fn told_what(from: what::Reader<'_>) -> capnp::Result<What> {
    let may = rights(from, &RIGHTS.told(), &RIGHT.told())?;
    what(from, may.iter().filter_map(|word| word.parse().ok()).collect(), Limit::told)
}

/// Reads the words of both lists of rights.
fn rights(from: what::Reader<'_>, list: &Limit, each: &Limit) -> capnp::Result<Vec<String>> {
    let also = limits::texts(from.get_may_also(), list, each)?;
    Ok([limits::texts(from.get_may(), list, each)?, also].concat())
}

fn what(from: what::Reader<'_>, may: BTreeSet<Right>, of: fn(&Limit) -> Limit) -> capnp::Result<What> {
    Ok(What {
        may,
        projects: limits::texts(from.get_projects(), &of(&PROJECTS), &of(&PROJECT))?.into_iter().collect(),
        pools: limits::texts(from.get_pools(), &of(&POOLS), &of(&POOL))?.into_iter().collect(),
        labels: limits::pairs(from.get_labels(), &of(&LABELS), &of(&LABEL))?,
    })
}
