//! Two clocks: leases follow the steady clock, which nobody can set, and dates follow the wall clock (cases F6 and C14 of
//! `tests/cases.tsv`).

use crate::world::{World, one};
use master::decide::coordinator::record::{JobKey, LeaseToken};
use master::decide::coordinator::{GrantOrder, SessionId, Terms};
use master::decide::steady::{Ahead, Steady};
use schema::values::{GrantKind, State, Time, What};
use std::time::Duration;

const LEASE: Duration = Duration::from_secs(20);
const DAY: i64 = 24 * 3_600_000;

struct Scene {
    world: World,
    session: SessionId,
    /// The time by which the wall clock has been set ahead so far, in milliseconds.
    ahead: i64,
}

fn terms() -> Terms {
    Terms { lease: LEASE, ..Terms::default() }
}

impl Scene {
    fn new() -> Scene {
        let mut world = World::new(terms());
        world.now = Time(10 * DAY.unsigned_abs());
        world.enroll("w", What::default());
        let session = world.attach(0, Vec::new());
        Scene { world, session, ahead: 0 }
    }

    fn begin(&mut self) -> (JobKey, LeaseToken) {
        let job = self.world.submit(one());
        self.world.ask(self.session);
        let (_, offer) = self.world.offers.pop().expect("the job is offered");
        let token = LeaseToken(offer.token);
        self.world.accept(token);
        (job, token)
    }

    /// Sets the wall clock ahead by this many milliseconds, as a person does, or a suspended machine that wakes.
    fn set(&mut self, by: i64) {
        let steady = Steady(self.world.now.0.saturating_add_signed(-self.ahead));
        self.ahead += by;
        let now = Time(steady.0.saturating_add_signed(self.ahead));
        self.world.ahead = Ahead::of(now, steady);
        self.world.it.set_clocks(self.world.ahead);
        self.world.now = now;
        self.world.pass(0);
    }

    fn is_waiting(&self, job: JobKey) -> bool {
        self.world.state(job) == State::Queued
    }
}

#[test]
fn a_clock_that_is_set_moves_no_lease() {
    for jump in [3 * DAY, -3 * DAY, 3_600_000, -1_000] {
        let mut scene = Scene::new();
        let (job, token) = scene.begin();
        scene.world.pass(10_000);
        scene.set(jump);
        assert!(!scene.is_waiting(job), "it was set by {jump} ms");
        assert_eq!(scene.world.it.renew(scene.world.now, "w", &[token]), [Some(LEASE)]);
        scene.world.pass(10_000);
        scene.set(-jump);
        scene.world.lose(scene.session);
        scene.world.pass(9_000);
        assert!(!scene.is_waiting(job), "the term is told by the other clock: {jump} ms");
        scene.world.pass(1_000);
        assert!(scene.is_waiting(job), "and its end is the same: {jump} ms");
        scene.world.it.check();
    }
}

/// After a restart each lease has one full term, even if the clock was set before the master had read its store.
#[test]
fn a_start_beside_a_clock_that_was_set_gives_one_full_term() {
    for jump in [3 * DAY, -3 * DAY, 0] {
        let mut scene = Scene::new();
        let (job, _) = scene.begin();
        scene.set(jump);
        let loaded = scene.world.ledger.load();
        scene.world.start(terms(), loaded);
        scene.world.pass(19_999);
        assert!(!scene.is_waiting(job), "the term ended early: {jump} ms");
        scene.world.pass(1);
        assert!(scene.is_waiting(job), "the term did not end: {jump} ms");
    }
}

/// The time that a cancelled job gets to end follows the same clock as the leases.
#[test]
fn a_clock_that_is_set_moves_no_offer_and_no_cancel() {
    for jump in [3 * DAY, -3 * DAY] {
        let mut scene = Scene::new();
        let (job, token) = scene.begin();
        let request = scene.world.request();
        scene.world.it.cancel(scene.world.now, request, job.build, None, "no").expect("it runs");
        scene.set(jump);
        assert!(scene.world.it.lease_job(token).is_some(), "its worker has the time that it was given");
        scene.world.pass(3_600_000);
        assert!(scene.world.it.lease_job(token).is_none(), "and no more");
    }
}

#[test]
fn what_ends_at_a_date_ends_by_the_clock_that_was_set() {
    for (jump, is_over) in [(2 * 3_600_000, true), (-DAY, false)] {
        let mut scene = Scene::new();
        let request = scene.world.request();
        let order = GrantOrder {
            kind: GrantKind::User,
            name: "guest".to_owned(),
            what: What::default(),
            lifetime: Some(Duration::from_secs(3_600)),
            join_hash: [9; 32],
        };
        let grant = scene.world.it.issue(scene.world.now, request, order).expect("the root may issue");
        scene.set(jump);
        let is_revoked = scene.world.it.grants().get(grant).is_none_or(|row| row.revoked.is_some());
        assert_eq!(is_revoked, is_over, "it was set by {jump} ms");
    }
}

/// Rows have the time of the wall clock, even if it was set back.
#[test]
fn what_is_made_after_a_jump_has_the_new_time() {
    for jump in [3 * DAY, -3 * DAY] {
        let mut scene = Scene::new();
        scene.set(jump);
        let (job, _) = scene.begin();
        let created = scene.world.it.open_build_row(job.build).expect("it is open").created;
        assert_eq!(created, scene.world.now);
    }
}
