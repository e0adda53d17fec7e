//! Looks for damage of the store while the master runs: soon after each start, and once a day. It checks one table at a time and takes
//! turns with all other readers, so that nobody waits for more than one table.

use crate::commit::driver::Driver;
use crate::keep::soundness::SoundnessCell;
use crate::keep::store::{Reading, StoreError};
use std::rc::Rc;
use std::time::Duration;

/// The time from the start to the first look. The work that people wait for at a start goes first.
const FIRST: Duration = Duration::from_secs(10);
/// The pause between two looks. Damage is rare, and a look reads the whole store.
const PAUSE: Duration = Duration::from_secs(24 * 3600);
/// The pause between two tables, in which others read and the log of the database can begin anew.
const BREATH: Duration = Duration::from_millis(100);

/// A `SoundnessWatch` checks the store, and records the result where the doctor finds it.
pub struct SoundnessWatch {
    pub driver: Rc<Driver>,
    pub readers: Reading,
    pub noted: Rc<SoundnessCell>,
}

impl SoundnessWatch {
    /// Checks the store at intervals, for as long as the master runs.
    pub async fn keep(self) {
        let mut pause = FIRST;
        loop {
            tokio::time::sleep(pause).await;
            pause = PAUSE;
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "the store could not be checked for damage");
            }
        }
    }

    /// Looks at all tables, and records what is damaged. A look that fails is recorded as well, because nobody knows what it would have
    /// found.
    pub async fn look(&self) -> Result<(), StoreError> {
        let looked = self.damage().await;
        let noted = match &looked {
            Ok(damage) => damage.clone(),
            Err(StoreError::Closed) => return looked.map(drop),
            Err(error) => vec![format!("it could not be checked: {error}")],
        };
        self.noted.note(self.driver.now(), noted);
        looked.map(drop)
    }

    async fn damage(&self) -> Result<Vec<String>, StoreError> {
        let mut damage = Vec::new();
        for table in self.readers.tables().await? {
            if let Some(what) = self.readers.damage_of(&table).await? {
                tracing::error!(table, what, "the store is damaged: restore a good backup, see `guild doctor`");
                damage.push(format!("{table}: {what}"));
            }
            tokio::time::sleep(BREATH).await;
        }
        Ok(damage)
    }
}
