//! The faults and the acts of users in a simulation: one move at a time, drawn from the seed. Each fault ends by itself or in
//! [`Faults::calm`].

use crate::net::Way;
use crate::users::Users;
use crate::world::World;
use std::collections::BTreeMap;
use std::time::Duration;
use support::seed::Random;
use tokio::time::{Instant, sleep};

pub struct Faults {
    random: Random,
    /// The faults that have not ended yet, and when they will end.
    pending: Vec<(Instant, End)>,
    /// The number of times that each fault happened, by its name.
    pub counts: BTreeMap<&'static str, u64>,
}

enum End {
    StartMaster,
    StartWorker(usize),
    ClearCable(usize),
    ClearCables,
    ClearClients,
    DiskIsWell,
    KillClones,
}

impl Faults {
    pub fn new(seed: u64) -> Faults {
        Faults { random: Random::new(seed ^ 0xfa17), pending: Vec::new(), counts: Default::default() }
    }

    /// Lets some time pass, and then makes one random move: an act of the users, or a fault.
    pub async fn next_move(&mut self, world: &mut World, users: &mut Users) {
        let pause = match self.random.below(4) {
            0 => self.random.below(200),
            1 | 2 => self.random.below(4_000),
            _ => self.random.below(20_000),
        };
        self.pass(world, users, Duration::from_millis(pause as u64)).await;

        match self.random.below(100) {
            0..40 => users.act(world),
            40..50 => self.kill_master(world).await,
            50..62 => self.kill_worker(world).await,
            62..82 => self.trouble_cable(world),
            82..86 => self.trouble_clients(users),
            86..92 => self.trouble_disk(world),
            92..94 => self.kill_supervisor(world),
            94..96 => self.clone_worker(world),
            96..97 => self.revoke(world, users),
            97..98 => self.cut_everybody_off(world),
            _ => self.reload(world),
        }
    }

    /// Ends all faults: masters, workers, links and disks work again.
    pub async fn calm(&mut self, world: &mut World, users: &mut Users) {
        while let Some((_, end)) = self.pending.pop() {
            self.end(world, users, end).await;
        }
        world.kill_clones().await;
        world.disk.full.set(false);
        world.disk.slow.set(Duration::ZERO);
        if !world.is_master_up() {
            world.start_master();
        }
        for index in 0..world.workers.len() {
            world.workers[index].cable.clear();
            if world.workers[index].task.is_none() && world.workers[index].revoked_at.is_none() {
                world.start_worker(index);
            }
        }
        users.clients().for_each(|client| client.cable.clear());
        world.record.tell("calm");
    }

    /// Lets time pass, and ends the faults that are due meanwhile.
    async fn pass(&mut self, world: &mut World, users: &mut Users, time: Duration) {
        let until = Instant::now() + time;
        loop {
            self.pending.sort_by_key(|(at, _)| *at);
            match self.pending.first() {
                Some((at, _)) if *at <= until => {
                    let (at, end) = self.pending.remove(0);
                    tokio::time::sleep_until(at).await;
                    self.end(world, users, end).await;
                }
                _ => return tokio::time::sleep_until(until).await,
            }
        }
    }

    async fn end(&mut self, world: &mut World, users: &mut Users, end: End) {
        match end {
            End::StartMaster if !world.is_master_up() => world.start_master(),
            End::StartWorker(index) if world.workers[index].task.is_none() => world.start_worker(index),
            End::StartMaster | End::StartWorker(_) => {}
            End::ClearCable(index) => world.workers[index].cable.clear(),
            End::ClearCables => world.workers.iter().for_each(|worker| worker.cable.clear()),
            End::ClearClients => users.clients().for_each(|client| client.cable.clear()),
            End::KillClones => world.kill_clones().await,
            End::DiskIsWell => {
                world.disk.full.set(false);
                world.disk.slow.set(Duration::ZERO);
            }
        }
    }

    fn later(&mut self, most_ms: usize, end: End) {
        let at = Instant::now() + Duration::from_millis(self.random.below(most_ms) as u64);
        self.pending.push((at, end));
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Stops the master, or kills it at once, or kills it between a commit and the answer to it. It is started again later.
    async fn kill_master(&mut self, world: &mut World) {
        if !world.is_master_up() {
            return;
        }
        if self.random.chance(25) {
            self.count("master stopped");
            world.stop_master().await;
        } else if self.random.chance(40) {
            self.count("master killed after a commit");
            world.disk.mute.set(Duration::from_secs(20));
            let commits = world.disk.commits.get();
            for _ in 0..100 {
                if world.disk.commits.get() != commits {
                    break;
                }
                sleep(Duration::from_millis(100)).await;
            }
        } else {
            self.count("master killed");
        }
        world.kill_master().await;
        let most = if self.random.chance(10) { 90_000 } else { 8_000 };
        self.later(most, End::StartMaster);
    }

    async fn kill_worker(&mut self, world: &mut World) {
        let Some(index) = self.random.pick(&world.good_workers()).copied() else { return };
        self.count("worker killed");
        world.kill_worker(index).await;
        let most = if self.random.chance(15) { 60_000 } else { 6_000 };
        self.later(most, End::StartWorker(index));
    }

    fn trouble_cable(&mut self, world: &World) {
        let Some(index) = self.random.pick(&world.good_workers()).copied() else { return };
        let cable = &world.workers[index].cable;
        match self.random.below(6) {
            0 | 1 => {
                cable.set(|weather| weather.cuts += 1);
                self.count("link cut");
            }
            2 => {
                cable.set(|weather| weather.up = Way::Held);
                self.count("link held upwards");
            }
            3 => {
                cable.set(|weather| weather.down = Way::Held);
                self.count("link held downwards");
            }
            4 => {
                cable.set(|weather| (weather.up, weather.down) = (Way::Trickles, Way::Trickles));
                self.count("link trickles");
            }
            _ => {
                cable.set(|weather| (weather.cuts, weather.refuses) = (weather.cuts + 1, true));
                self.count("link refuses");
            }
        }
        world.record.tell(&format!("trouble on the cable of {}", world.workers[index].credential.name));
        let most = if self.random.chance(20) { 120_000 } else { 20_000 };
        self.later(most, End::ClearCable(index));
    }

    /// Cuts the master off from all workers, often for longer than the shortest lease, so that no job can be placed.
    fn cut_everybody_off(&mut self, world: &World) {
        self.count("master cut off");
        for worker in &world.workers {
            worker.cable.set(|weather| (weather.up, weather.down) = (Way::Held, Way::Held));
        }
        world.record.tell("no worker reaches the master");
        self.later(150_000, End::ClearCables);
    }

    fn trouble_clients(&mut self, users: &Users) {
        self.count("client cut or held");
        let is_cut = self.random.chance(50);
        for client in users.clients() {
            client.cable.set(|weather| if is_cut { weather.cuts += 1 } else { weather.down = Way::Held });
        }
        self.later(30_000, End::ClearClients);
    }

    fn trouble_disk(&mut self, world: &World) {
        if self.random.chance(50) {
            self.count("disk full");
            world.disk.full.set(true);
        } else {
            self.count("disk slow");
            world.disk.slow.set(Duration::from_millis(self.random.below(3_000) as u64));
        }
        world.record.tell("trouble on the disk");
        self.later(15_000, End::DiskIsWell);
    }

    fn kill_supervisor(&mut self, world: &World) {
        let Some(worker) = self.random.pick(&world.workers) else { return };
        if worker.host.kill_one(&mut self.random) {
            self.count("supervisor killed");
        }
    }

    /// Starts a clone of a worker, which may be attached, cut off or not running. If the worker is not attached, the master accepts
    /// the clone in its place, and the clone takes jobs.
    fn clone_worker(&mut self, world: &mut World) {
        let Some(index) = self.random.pick(&world.good_workers()).copied() else { return };
        self.count("worker cloned");
        world.start_clone(index);
        let most = if self.random.chance(50) { 400 } else { 30_000 };
        self.later(most, End::KillClones);
    }

    fn reload(&mut self, world: &mut World) {
        self.count("leases changed");
        let leases = self.random.below(100);
        world.reload(leases);
    }

    fn revoke(&mut self, world: &mut World, users: &mut Users) {
        let Some(index) = self.random.pick(&world.good_workers()).copied() else { return };
        // if a clone has taken the worker's session, a revocation does not reach the worker
        if !world.has_clone(index) && world.add_worker() {
            self.count("worker revoked");
            users.revoke(world, index);
            world.workers[index].revoked_at = Some(Instant::now());
        }
    }
}
