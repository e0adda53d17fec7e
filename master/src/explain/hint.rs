//! Hints about a job that waits: what else to look at, and what later builds could ask for.

use super::candidate::WorkerFit;
use super::lack::Lack;
use super::words::listed;
use super::{Explainer, Why};
use crate::decide::coordinator::record::JobKey;
use crate::decide::coordinator::snapshot::{Need, USUAL_TIER};
use schema::values::{Asks, Want};
use std::collections::BTreeSet;
use toml_file::nearest;

/// The most labels that a hint names because they are similar to a wanted label that no worker has.
const ALIKE_MAX: usize = 5;

impl Explainer<'_> {
    pub(super) fn hints(&self, why: &Why, key: JobKey, need: &Need, seen: &[WorkerFit<'_>]) -> Vec<String> {
        let mut hints = self.hints_of_reason(why, key, seen);
        if need.want.iter().any(|want| *want.asks() == Asks::Unknown) {
            hints.push("`>=` works only for `memory` and `cpus`, so no worker can meet this `want`".to_owned());
        } else if !self.can_be_met(need) {
            hints.push(
                "no worker can meet all that the job asks for: its `on`, `want` and pools contradict each other"
                    .to_owned(),
            );
        }
        hints
    }

    fn hints_of_reason(&self, why: &Why, key: JobKey, seen: &[WorkerFit<'_>]) -> Vec<String> {
        match why {
            Why::Pool(_) => {
                let project = self.it.project_of(key);
                let elsewhere: BTreeSet<&String> = seen.iter().flat_map(|seen| &seen.session.pools).collect();
                let says = format!("`pools` of [project.{project}] in the master file says where its jobs may run");
                let there = (!elsewhere.is_empty()).then(|| format!("there are workers of {}", listed(elsewhere)));
                [says].into_iter().chain(there).collect()
            }
            Why::Platform { .. } => {
                let there: BTreeSet<&String> = seen.iter().map(|seen| &seen.session.platform).collect();
                vec![format!("there are workers of {}", listed(there))]
            }
            Why::Label { want, .. } => closest(want, seen).into_iter().collect(),
            Why::Tier { .. } => hints_of_tier(seen),
            Why::Room(_) => vec!["`cpus` and `memory` of the job say how much a later build asks for".to_owned()],
            Why::Silent(worker) => {
                let its_log = "its log says why, for example because its disk is short of room";
                vec![format!("{worker} has just connected, or does not want jobs: {its_log}")]
            }
            Why::Unready { worker, .. } => vec![format!("{worker} asks again as soon as it has what it lacks")],
            Why::Busy(_)
            | Why::Resting { .. }
            | Why::Stopped { .. }
            | Why::Away(_)
            | Why::Together
            | Why::Needs(_)
            | Why::Restored(_)
            | Why::Offered(_)
            | Why::Runs(_)
            | Why::Ran(_)
            | Why::Carried(_)
            | Why::When(_)
            | Why::Need(_)
            | Why::Ended(_) => Vec::new(),
        }
    }
}

/// Says why the nearest worker does not offer the tier, and how the job can run without it.
fn hints_of_tier(seen: &[WorkerFit<'_>]) -> Vec<String> {
    let of_lack = |worker: &str, lack: &Lack| match lack {
        Lack::Tier { tier, why } => Some((tier.clone(), format!("worker {worker} does not offer `{tier}`: {why}"))),
        Lack::Pool(_) | Lack::Match { .. } | Lack::Platform(_) | Lack::Want(_) | Lack::Room(_) => None,
    };
    let mut lacking = seen.iter().flat_map(|seen| seen.lacks.iter().map(|lack| (&seen.session.worker, lack)));
    let Some((tier, why)) = lacking.find_map(|(worker, lack)| of_lack(worker, lack)) else { return Vec::new() };
    let is_usual = tier == USUAL_TIER.into();
    let without =
        "`isolation = \"plain\"` of the job, or of its pool in the master file, lets it run there without that tier";
    [why].into_iter().chain(is_usual.then(|| without.to_owned())).collect()
}

/// Names labels of workers that are similar to a wanted label that no worker has.
fn closest(want: &str, seen: &[WorkerFit<'_>]) -> Option<String> {
    let want = Want::read(want);
    let Asks::Label { name: wanted, .. } = want.asks() else { return None };
    let all: BTreeSet<(&str, &str)> = seen
        .iter()
        .flat_map(|seen| &seen.session.labels)
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let name = nearest(wanted, all.iter().map(|(name, _)| *name))?;
    let alike: Vec<String> = all
        .iter()
        .filter(|(label, _)| *label == name)
        .take(ALIKE_MAX)
        .map(|(name, value)| format!("`{name}={value}`"))
        .collect();
    Some(format!("the closest labels of workers: {}", listed(alike)))
}
