//! Compares the counted sizes with what is really written, and tests what is left out first.

use super::*;
use crate::decide::coordinator::record::{BuildCause, BuildId, GrantId, JobKey, JobRow, StepKey, StepRow};
use crate::explain::Why;
use crate::serve::api::view::{write_build, write_jobs, write_queue_item, write_workers};
use capnp::message::Builder;
use schema::values::{
    Description, SourceRevision, SourceStamp, State, TestsReported, TierName, TierProbe, Time, Trust,
};

/// Returns the bytes that are written into a message.
fn written(write: impl FnOnce(&mut Builder<capnp::message::HeapAllocator>)) -> usize {
    let mut message = Builder::new_default();
    write(&mut message);
    WORD * message.size_in_words()
}

fn text(length: usize) -> String {
    "x".repeat(length)
}

fn worker(length: usize, words: usize) -> WorkerStatus {
    let words = vec![text(length); words];
    let pairs: Vec<_> = words.iter().cloned().zip(words.iter().cloned()).collect();
    let description = Description {
        platform: text(length),
        labels: pairs.clone(),
        host: text(length),
        version: text(length),
        isolation: words.iter().cloned().map(TierName::from).collect(),
        probes: words.iter().map(|word| TierProbe { tier: word.clone().into(), lack: Some(word.clone()) }).collect(),
        ..Description::default()
    };
    WorkerStatus {
        name: text(length),
        grant: GrantId(1),
        connected: true,
        description,
        pools: words.clone(),
        running: words,
        draining: false,
        held: text(length),
        last_heard: Time(1),
        waits: text(length),
        revoked: text(length),
        labels: pairs,
    }
}

fn build(length: usize) -> BuildRow {
    let source =
        SourceRevision { repository: text(length), ref_name: text(length), revision: text(length), base: text(length) };
    BuildRow {
        id: BuildId(1),
        project: text(length),
        number: 1,
        stamp: SourceStamp { sources: vec![source] },
        cause: BuildCause::Run { by: text(length) },
        trust: Trust::Trusted,
        state: State::Running,
        outcome: None,
        created: Time(1),
        started: None,
        finished: None,
        subject: text(length),
        author: text(length),
        diagnosis: text(length),
        job_count: 1,
        by: GrantId(1),
        update: 1,
    }
}

fn tests_of(length: usize) -> TestsReported {
    TestsReported {
        list: vec![7; 32],
        failing: vec![text(length.min(400)); 20],
        trouble: text(length.min(900)),
        ..TestsReported::default()
    }
}

fn job(length: usize, steps: u16) -> JobDetail {
    let key = JobKey { build: BuildId(1), index: 0 };
    let row = JobRow {
        key,
        name: text(length),
        state: State::Running,
        outcome: None,
        reason: text(length),
        attempt: 1,
        worker: text(length),
        platform: text(length),
        isolation: TierName::read(text(length)),
        ..JobRow::default()
    };
    let step = |index| StepRow {
        key: StepKey { job: key, attempt: 1, step: index },
        name: text(length),
        state: State::Running,
        outcome: None,
        exit: Exit::Lost(text(length)),
        started: None,
        finished: None,
        log_size: 0,
        log_hash: Vec::new(),
        tests: Some(tests_of(length)),
    };
    JobDetail {
        row,
        steps: (0..steps).map(step).collect(),
        needs: (0..u32::from(steps)).collect(),
        waits: String::new(),
    }
}

fn write(message: &mut Builder<capnp::message::HeapAllocator>, row: &BuildRow, jobs: &[JobDetail]) {
    let mut to = message.init_root::<schema::perspective_capnp::build_view::Builder<'_>>();
    write_build(to.reborrow(), row, &row.diagnosis);
    write_jobs(to, jobs);
}

#[test]
fn rows_are_never_larger_than_they_are_counted() {
    for length in [0, 1, 7, 8, 300] {
        for steps in [0, 1, 90] {
            let (row, jobs) = (build(length), vec![job(length, steps), job(length, steps)]);
            let counted = build_bytes(&row, &row.diagnosis) + jobs.iter().map(bytes).sum::<usize>();
            let really = written(|message| write(message, &row, &jobs));
            assert!(really <= counted && counted <= 2 * really + 512, "{length}, {steps}: {really}, {counted}");
        }
        let worker = worker(length, 3);
        let really = written(|message| write_workers(message.initn_root(1), std::slice::from_ref(&worker)));
        let counted = worker_bytes(&worker);
        assert!(really <= counted + 2 * WORD && counted <= 2 * really + 512, "{length}: {really}, {counted}");
        let (project, job, why) = (text(length), text(length), Why::Busy(1));
        let item = QueueStatus { project, build: 1, job, since: Time(1), why };
        let really = written(|message| write_queue_item(message.init_root(), &item));
        assert!(really <= queue_bytes(&item) + WORD, "{length}: {really}");
    }
}

#[test]
fn a_build_fits_by_giving_up_names_then_words_then_steps_then_jobs() {
    let whole = |jobs: &[JobDetail]| jobs.iter().map(bytes).sum::<usize>();
    let mut jobs: Vec<JobDetail> = (0..10).map(|_| job(300, 10)).collect();
    let all = whole(&jobs);
    assert_eq!(fit(&mut jobs, all), all);
    assert!(jobs.iter().all(|job| job.row.reason.len() == 300));
    let most = all - 20_000;
    assert!(fit(&mut jobs, most) <= most);
    let named =
        |job: &JobDetail| job.steps.iter().filter_map(|step| step.tests.as_ref()).all(|it| it.failing.len() == 5);
    assert!(jobs.iter().all(|job| named(job) && job.row.reason.len() == 300), "names of failing tests go first");
    name_failing(&mut jobs, 0);
    // There are 1,100 words, each of 304 bytes.
    let most = whole(&jobs) - 20_000;
    assert!(fit(&mut jobs, most) <= most);
    assert!(jobs.iter().all(|job| job.steps.len() == 10 && job.row.reason.ends_with("[cut: 300 bytes in all]")));
    let most = jobs.iter().map(fixed_bytes).sum::<usize>() / 2;
    assert!(fit(&mut jobs, most) <= most);
    let steps: Vec<usize> = jobs.iter().map(|job| job.steps.len()).collect();
    assert!(jobs.len() == 10 && steps[0] == 10 && steps[9] == 0, "{steps:?}");
    assert_eq!((fit(&mut jobs, 100), jobs.len()), (0, 0));
}

#[test]
fn a_large_build_leaves_room_for_small_ones() {
    let large: Vec<JobDetail> = (0..1_000).map(|_| job(2_000, 1)).collect();
    let mut builds = vec![(build(100), large), (build(100), vec![job(100, 3)]), (build(100), vec![job(100, 3)])];
    assert_eq!(fit_all(&mut builds), 3);
    assert!(builds[0].1.iter().all(|job| job.steps.is_empty()), "it came last");
    assert!(builds[1..].iter().all(|(_, jobs)| jobs.len() == 1 && jobs[0].steps.len() == 3));
    let really: usize = builds.iter().map(|(row, jobs)| written(|message| write(message, row, jobs))).sum();
    assert!(really <= ANSWER_BYTES, "{really}");
}

#[test]
fn a_project_is_shown_whatever_its_aliases_are() {
    for (count, length) in [(0, 0), (3, 10), (40_000, 100), (5, 2 << 20), (1, 4 << 20)] {
        let aliases = vec![text(length); count];
        let address = text(5 << 20);
        let row = ProjectRow::new("demo", &address, text(500), &aliases);
        assert!(row.bytes() <= ANSWER_BYTES && row.address.len() == ADDRESS.most, "{count} of {length}");
        assert!(
            row.aliases.len() == count.min(PATTERNS.most) || row.bytes() + length + 2 * WORD > ANSWER_BYTES,
            "{count} of {length}"
        );
    }
}

#[test]
fn a_worker_is_shown_whatever_its_lists_are() {
    for (words, length) in [(0, 0), (3, 10), (20_000, 100), (5, 400 << 10)] {
        let mut worker = worker(length.min(1_000), words);
        worker.pools = vec![text(length); words];
        shorten_worker(&mut worker);
        assert!(worker_bytes(&worker) <= ANSWER_BYTES, "{words} of {length}");
        assert_eq!(worker.pools.is_empty(), words == 0);
    }
    let mut honest = worker(100, TIERS.most);
    let before = worker_bytes(&honest);
    shorten_worker(&mut honest);
    assert_eq!(worker_bytes(&honest), before, "nothing is left out");
}

#[test]
fn the_longest_words_give_way() {
    assert_eq!(level(&[1, 2, 3], 100), usize::MAX);
    assert_eq!(level(&[1, 2, 3], 0), usize::MAX, "they are no longer than empty ones");
    // The short words use nothing and 8 bytes beyond their first words, and two long words share the rest.
    assert_eq!(level(&[1, 9, 500, 900], 224), 108);
    assert_eq!(level(&[9, 9], 8), 4);
    assert_eq!(level(&[9, 9], 0), 0);
}

/// Makes a job with a long reason and short texts otherwise.
fn short(reason: usize, steps: u16) -> JobDetail {
    let mut job = job(3, steps);
    job.row.reason = text(reason);
    job
}

/// Makes many equal builds, each with this many jobs.
fn alike(builds: usize, jobs: usize, of: impl Fn() -> JobDetail) -> Vec<(BuildRow, Vec<JobDetail>)> {
    (0..builds).map(|_| (build(10), (0..jobs).map(|_| of()).collect())).collect()
}

/// Returns the bytes of what is shown, as counted and as written.
fn shown_bytes(builds: &[(BuildRow, Vec<JobDetail>)]) -> (usize, usize) {
    let counted = |(row, jobs): &(BuildRow, Vec<JobDetail>)| {
        build_bytes(row, &row.diagnosis) + jobs.iter().map(bytes).sum::<usize>()
    };
    let really = builds.iter().map(|(row, jobs)| written(|message| write(message, row, jobs)));
    (builds.iter().map(counted).sum(), really.sum())
}

#[test]
fn many_builds_with_short_words_stay_within_the_bound() {
    let cases = [
        alike(30, 100, || short(3, 10)),
        alike(30, 100, || short(0, 10)),
        alike(20, 200, || short(3, 8)),
        alike(8, 300, || short(600, 10)),
    ];
    for mut builds in cases {
        let (before, _) = shown_bytes(&builds);
        assert!(before > ANSWER_BYTES, "they do not fit: {before}");
        let shown = fit_all(&mut builds);
        assert_eq!(shown, builds.len());
        let (counted, really) = shown_bytes(&builds);
        assert!(really <= counted && counted <= ANSWER_BYTES, "{really}, {counted}");
        assert!(counted > ANSWER_BYTES / 2 && !builds[0].1.is_empty(), "the room is used: {counted}");
    }
}

#[test]
fn whatever_the_room_is_a_build_has_no_more() {
    // a linear congruential generator with Knuth's constants, so that each run tries the same numbers
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    for _ in 0..2_000 {
        let mut jobs: Vec<JobDetail> = (0..random(12)).map(|_| short(0, 0)).collect();
        for one in &mut jobs {
            let (reason, waits) = (random(40), random(3) * random(40));
            *one = short(reason, u16::try_from(random(6)).unwrap());
            one.waits = "ä".repeat(waits);
            for step in &mut one.steps {
                step.exit = if random(2) == 0 { Exit::Code(1) } else { Exit::Lost(text(random(40))) };
            }
        }
        let whole: usize = jobs.iter().map(bytes).sum();
        let most = random(whole + 200);
        let counted = fit(&mut jobs, most);
        assert!(counted <= most, "{counted} of {most}, {whole} at first");
        assert_eq!(counted, jobs.iter().map(bytes).sum::<usize>());
    }
}
