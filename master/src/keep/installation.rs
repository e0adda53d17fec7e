//! The parts of a master's state directory besides the store, and how a new master gets them. These are its identity, the root
//! grant and the first credentials of operators.

use crate::config::clock::Clock;
use crate::decide::coordinator::record::{Record, RequestId};
use crate::decide::coordinator::{Coordinator, Effect, GrantOrder, ROOT, Request, Terms};
use crate::decide::steady::Ahead;
use crate::keep::store::{Store, StoreError};
use schema::identity::{Identity, IdentityError};
use schema::sturdy_ref::{Fingerprint, SturdyRef, Token};
use schema::values::{GrantKind, Refusal, What};
use std::io;
use std::path::{Path, PathBuf};
use system::private_file;

/// The file of the master's key in its state directory.
pub const IDENTITY_FILE: &str = "identity.key";

#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("failed to write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// The files and folders that a master closes to other users. Another program may have made them, or an older version left them
/// readable.
const OWN: [&str; 5] = ["guild.db", "guild.db-wal", "guild.db-shm", "logs", "mirrors"];

/// Loads the master's identity, or makes a new one. Closes the state directory and the master's files in it to other users.
pub fn identity(state: &Path) -> Result<Identity, InstallError> {
    create_private(state)?;
    private_file::close_and_tell(state);
    OWN.iter().for_each(|name| private_file::close_and_tell(&state.join(name)));
    Ok(Identity::load_or_create(&state.join(IDENTITY_FILE))?)
}

/// Builds the coordinator from the store's rows. A new store gets its root grant, which is committed at once. The names of
/// leases are derived from `seed`.
pub async fn load(store: &Store, terms: Terms, clock: &Clock, seed: [u8; 32]) -> Result<Coordinator, InstallError> {
    let loaded = store.load()?;
    let fresh = loaded.grants.is_empty();
    let (now, steady) = clock.both();
    let mut coordinator = Coordinator::load_by(now, Ahead::of(now, steady), terms, loaded, seed);
    if fresh {
        coordinator.found(clock.now());
        commit(store, &mut coordinator).await?;
    }
    Ok(coordinator)
}

/// Makes a join for a new operator, which can be used once. It needs no running master.
pub async fn operator_join(store: &Store, addresses: &[String], key: Fingerprint) -> Result<SturdyRef, InstallError> {
    let clock = Clock::system();
    let mut coordinator = load(store, Terms::default(), &clock, random()).await?;
    let join = issue(&mut coordinator, &clock, GrantKind::Operator, "operator", What::everything())?;
    commit(store, &mut coordinator).await?;
    Ok(SturdyRef { fingerprint: key, addresses: addresses.to_vec(), token: join })
}

/// Makes the two tokens that `up` needs: an operator's token, already bound to `key`, and a worker's join.
pub async fn first_credentials(store: &Store, clock: &Clock, key: Fingerprint) -> Result<(Token, Token), InstallError> {
    let mut coordinator = load(store, Terms::default(), clock, random()).await?;
    let join = issue(&mut coordinator, clock, GrantKind::Operator, "operator", What::everything())?;
    let operator = Token::random();
    coordinator.redeem(clock.now(), join.digest(), operator.digest(), key)?;
    let worker = issue(&mut coordinator, clock, GrantKind::Worker, "local", What::default())?;
    commit(store, &mut coordinator).await?;
    Ok((operator, worker))
}

/// Issues a grant below the root and returns its join. The caller commits it.
pub fn issue(
    coordinator: &mut Coordinator,
    clock: &Clock,
    kind: GrantKind,
    name: &str,
    what: What,
) -> Result<Token, Refusal> {
    let join = Token::random();
    let request = Request { id: RequestId(random()), by: ROOT, body: [0; 32] };
    let order = GrantOrder { kind, name: name.to_owned(), what, lifetime: None, join_hash: join.digest() };
    coordinator.issue(clock.now(), request, order)?;
    Ok(join)
}

/// Makes a directory that only its owner can read.
pub fn create_private(dir: &Path) -> Result<(), InstallError> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|source| InstallError::Write { path: dir.to_owned(), source })
}

/// Returns random bytes of the operating system.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}

/// Commits what the coordinator recorded, and ignores its other effects: a running master performs those.
async fn commit(store: &Store, coordinator: &mut Coordinator) -> Result<(), InstallError> {
    let mut records: Vec<Record> = Vec::new();
    while let Some(effect) = coordinator.poll_effect() {
        if let Effect::Record(record) = effect {
            records.push(record);
        }
    }
    store.commit(records).await.map_err(|error| InstallError::Store(error.into()))
}
