//! Checks the `needs` of all jobs for unknown names and cycles, and finds an order in which a job comes after those that it needs.

use super::job::Job;
use std::collections::{BTreeMap, BTreeSet};
use toml_file::{Page, nearest};

/// Returns the indices of the jobs so that each comes after those that it needs, and otherwise in the order of the file. `None` means
/// that it reported an error.
pub(super) fn order(page: &Page<'_>, jobs: &[Job]) -> Option<Vec<usize>> {
    let by_name: BTreeMap<&str, usize> =
        jobs.iter().enumerate().map(|(at, job)| (job.name.value.as_str(), at)).collect();
    let mut known = true;
    for job in jobs {
        for need in job.needs.iter().filter(|need| !by_name.contains_key(need.value.as_str())) {
            let message = format!("job `{}` needs `{}`, which is not defined", job.name.value, need.value);
            page.error(need.span.clone(), message, "no such job", way_out(&need.value, &by_name));
            known = false;
        }
    }
    let needs: Vec<BTreeSet<usize>> = jobs
        .iter()
        .map(|job| job.needs.iter().filter_map(|need| by_name.get(need.value.as_str()).copied()).collect())
        .collect();
    let (order, stuck) = sorted(&needs);
    let in_order = stuck.is_empty();
    report_cycles(page, jobs, &needs, stuck);
    (known && in_order).then_some(order)
}

fn way_out(need: &str, by_name: &BTreeMap<&str, usize>) -> String {
    if let Some((base, _)) = need.split_once('@').filter(|(base, _)| by_name.contains_key(base)) {
        return format!("`needs` names jobs without their cells: `{base}`");
    }
    nearest(need, by_name.keys().copied()).map(|near| format!("did you mean `{near}`?")).unwrap_or_default()
}

/// Returns the order, and the jobs that cannot be ordered because they are on a cycle or need a job on one.
fn sorted(needs: &[BTreeSet<usize>]) -> (Vec<usize>, BTreeSet<usize>) {
    let mut needed_by = vec![Vec::new(); needs.len()];
    let mut missing: Vec<usize> = needs.iter().map(BTreeSet::len).collect();
    for (at, needs) in needs.iter().enumerate() {
        needs.iter().for_each(|&need| needed_by[need].push(at));
    }
    let mut ready: BTreeSet<usize> = (0..needs.len()).filter(|&at| missing[at] == 0).collect();
    let mut order = Vec::new();
    while let Some(at) = ready.pop_first() {
        order.push(at);
        for &next in &needed_by[at] {
            missing[next] -= 1;
            if missing[next] == 0 {
                ready.insert(next);
            }
        }
    }
    let stuck = (0..needs.len()).filter(|&at| missing[at] > 0).collect();
    (order, stuck)
}

/// Reports each cycle once, at the job of the cycle that comes first in the file.
fn report_cycles(page: &Page<'_>, jobs: &[Job], needs: &[BTreeSet<usize>], mut stuck: BTreeSet<usize>) {
    while let Some(start) = stuck.pop_first() {
        let mut path = vec![start];
        let cycle = loop {
            let last = path[path.len() - 1];
            // a stuck job needs another stuck job, so the walk returns to a job on its path, or to a cycle that was reported before
            let Some(next) = needs[last].iter().copied().find(|need| path.contains(need) || stuck.contains(need))
            else {
                break None;
            };
            if let Some(from) = path.iter().position(|&at| at == next) {
                break Some(path.split_off(from));
            }
            path.push(next);
        };
        path.iter().chain(cycle.iter().flatten()).for_each(|at| {
            stuck.remove(at);
        });
        if let Some(cycle) = cycle {
            report_cycle(page, jobs, &cycle);
        }
    }
}

fn report_cycle(page: &Page<'_>, jobs: &[Job], cycle: &[usize]) {
    let first = cycle.iter().enumerate().min_by_key(|(_, at)| **at).map_or(0, |(index, _)| index);
    let ring: Vec<usize> = cycle[first..].iter().chain(&cycle[..first]).copied().collect();
    let (job, next) = (&jobs[ring[0]], &jobs[ring[1 % ring.len()]]);
    let Some(need) = job.needs.iter().find(|need| need.value == next.name.value) else { return };
    if ring.len() == 1 {
        return page.error(need.span.clone(), format!("job `{}` needs itself", job.name.value), "", "");
    }
    const SHOWN: usize = 10;
    let mut names: Vec<&str> = ring.iter().take(SHOWN).map(|&at| jobs[at].name.value.as_str()).collect();
    if ring.len() > SHOWN {
        names.push("…");
    }
    names.push(&job.name.value);
    page.error(need.span.clone(), format!("jobs need each other: {}", names.join(" -> ")), "closes a cycle", "");
}
