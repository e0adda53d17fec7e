//! A real worker in the process of a test. Its steps are processes under supervisors, and its link is TLS on loopback.

use crate::guild::{House, enroll};
use schema::identity::Identity;
use schema::values::{GrantKind, What};
use std::path::{Path, PathBuf};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use worker::world::World;
use worker::{CREDENTIAL_FILE, Config, Ended, RunError, Shutdown};

/// `RealWorker` is a worker of the product, which runs on the thread of its test until it is stopped. A process may have only
/// one, because a worker adopts and ends all processes that lose their parent.
pub struct RealWorker {
    /// The state directory of the worker.
    pub state: PathBuf,
    shutdown: watch::Sender<Shutdown>,
    running: JoinHandle<Result<Ended, RunError>>,
}

impl RealWorker {
    /// Enrolls a worker of this name, which connects to `address`, and starts it. `supervisor` is a program that supervises a
    /// step if its first argument is [`worker::SUPERVISE`].
    pub async fn start(house: &House, name: &str, address: &str, supervisor: &Path) -> RealWorker {
        let state = house.dir.path().join(name);
        std::fs::create_dir(&state).unwrap();
        let identity = Identity::load_or_create(&state.join("identity.key")).unwrap();
        let (kind, operator) = (GrantKind::Worker, house.operator().0);
        let (mut reference, _) = enroll(&house.guild, operator, &identity, kind, name, What::default()).await;
        reference.addresses = vec![address.to_owned()];
        reference.save(&state.join(CREDENTIAL_FILE)).unwrap();
        let mut config = Config::parse(&state, "reserve = 0\nslots = 1\n").unwrap();
        config.program = supervisor.to_owned();
        let (shutdown, told) = watch::channel(Shutdown::No);
        let world = World::real(config.program.clone());
        let running = tokio::task::spawn_local(worker::run_in(world, config, told));
        RealWorker { state, shutdown, running }
    }

    /// Ends every step, and then the worker.
    pub async fn stop(self) -> Ended {
        self.shutdown.send_replace(Shutdown::Cancel);
        self.running.await.expect("the worker does not panic").expect("the worker could begin")
    }

    /// Whether the worker keeps no files of any attempt, because its master knows the result of each.
    pub fn is_tidy(&self) -> bool {
        let is_empty =
            |name: &str| std::fs::read_dir(self.state.join(name)).map_or(true, |mut all| all.next().is_none());
        is_empty("attempts") && is_empty("tmp")
    }
}
