//! Tests retention against a plain model. What must stay stays, and everything else goes in bounded steps, through crashes and full
//! disks.

mod blobs;
pub(crate) mod history;
mod measure;
mod passes;

use super::policy::{GRACE, builds_to_go, logs_to_go, more_logs};
use super::*;
use crate::keep::store::tests::rows::Dice;
use crate::keep::store::{AgeingPage, Logged, RemovalCandidate};
use history::World;
use std::collections::BTreeSet;

const NOW: Time = Time(1 << 40);

fn retain() -> Retain {
    Retain { builds: 5, logs: Duration::from_secs(10 * 86_400), log_bytes_total: 1_000_000, events: GRACE }
}

#[test]
fn the_policy_takes_what_nothing_keeps() {
    let (mut went, mut carried) = (0, 0);
    for seed in 0..2_000 {
        let world = World::draw(&mut Dice(seed), 40);
        for project in ["p0", "p1"] {
            let page = page_of(&world, project, retain().builds);
            let going: BTreeSet<BuildId> = builds_to_go(NOW, &page).into_iter().collect();
            let wanted = world.going(project, retain().builds);
            assert_eq!(going, wanted, "seed {seed}: {project}");
            went += going.len();
            let beyond = page.candidates.iter().filter(|it| it.number < page.kept_from && !it.carriers.is_empty());
            carried += beyond.filter(|it| !going.contains(&it.id)).count();
        }
    }
    assert!(went > 5_000 && carried > 1_000, "the worlds are too poor: {went} went, {carried} were carried");
}

/// Returns all builds of a project on one page, including those that are kept because they are new.
fn page_of(world: &World, project: &str, kept: u32) -> AgeingPage {
    let mut builds: Vec<_> = world.of(project).collect();
    builds.reverse();
    let kept_from = builds.get(kept as usize - 1).map_or(0, |build| build.row.number);
    let candidates = builds.iter().map(|build| RemovalCandidate {
        id: build.row.id,
        number: build.row.number,
        finished: build.row.finished,
        is_tip: world.is_tip(build),
        carriers: world.carriers(build).map(|carrier| carrier.row.id).collect(),
    });
    AgeingPage { kept_from, candidates: candidates.collect(), next: None }
}

#[test]
fn logs_go_by_age_and_the_oldest_by_size() {
    let (mut by_age, mut by_size) = (0, 0);
    for seed in 0..2_000 {
        let (mut dice, retain) = (Dice(seed), retain());
        let page = draw_logged(&mut dice);
        let total = page.iter().map(|logged| logged.bytes).sum::<u64>() + dice.below(500_000);
        let (going, left) = logs_to_go(NOW, &retain, total, &page);
        let reason = |logged: &Logged| going.iter().find(|(build, _)| *build == logged.build).map(|(_, why)| why);
        let mut sum = total;
        for logged in &page {
            let ended = logged.finished.map(|finished| NOW.since(finished));
            let may = ended.is_some_and(|ago| ago > GRACE);
            let is_old = ended.is_some_and(|ago| ago > retain.logs);
            let wanted = match (may, is_old, sum > retain.log_bytes_total) {
                (true, true, _) => Some("`limits.retain.logs` keeps them for 10d"),
                (true, false, true) => Some("`limits.retain.log_bytes_total` keeps 1000000 bytes of logs in all"),
                (_, _, _) => None,
            };
            assert_eq!(reason(logged).map(String::as_str), wanted, "seed {seed}: {logged:?}");
            sum -= if wanted.is_some() { logged.bytes } else { 0 };
            by_age += usize::from(wanted.is_some() && is_old);
            by_size += usize::from(wanted.is_some() && !is_old);
        }
        assert_eq!(left, sum, "seed {seed}");
        // builds beyond the page are younger: their logs may go if they may be too old, or if too many bytes are left
        let youngest = page.last().map(|logged| NOW.since(logged.created) > retain.logs);
        let wanted = youngest.is_some_and(|too_old| too_old || left > retain.log_bytes_total);
        assert_eq!(more_logs(NOW, &retain, left, &page), wanted, "seed {seed}");
    }
    assert!(by_age > 1_000 && by_size > 1_000, "the pages are too poor: {by_age} by age, {by_size} by size");
}

/// Draws builds in the order of their numbers and of their creation. They may end in any order.
fn draw_logged(dice: &mut Dice) -> Vec<Logged> {
    let mut created = NOW.0 - dice.below(40 * 86_400_000);
    let page = (1..=dice.below(30)).map(|id| {
        created += dice.below(NOW.0 - created + 1) / 4;
        let finished = (dice.below(5) > 0).then(|| Time(created + dice.below(NOW.0 - created + 1)));
        Logged { build: BuildId(id), bytes: dice.below(300_000), created: Time(created), finished }
    });
    page.collect()
}
