//! The channel by which others make the source of a repository look at once, and get what it found.

use schema::values::{Refusal, RefusalCode};
use std::collections::BTreeMap;
use tokio::sync::{mpsc, oneshot};

/// The most pokes that wait in the channel. The source takes them all at once, and a caller beyond the limit waits for room.
const POKES_MAX: usize = 64;

/// The refs of a repository, by full name, each with its tip.
pub(super) type RefTips = BTreeMap<String, String>;

/// A `Poke` makes the source of one repository look at once.
#[derive(Clone, Debug)]
pub struct Poke(mpsc::Sender<LookRequest>);

/// `Pokes` is the receiving end of a [`Poke`], which the source holds.
#[derive(Debug)]
pub struct Pokes(pub(super) mpsc::Receiver<LookRequest>);

#[derive(Debug)]
pub(super) struct LookRequest {
    /// The ref to look at. `None` means all of them.
    pub(super) ref_name: Option<String>,
    pub(super) answer: oneshot::Sender<Result<RefTips, Refusal>>,
}

pub fn pokes() -> (Poke, Pokes) {
    let (sender, receiver) = mpsc::channel(POKES_MAX);
    (Poke(sender), Pokes(receiver))
}

impl Poke {
    /// Looks at one ref, by its full name. Returns its tip, if the ref exists, after the sink acknowledged what is new.
    pub async fn look(&self, ref_name: &str) -> Result<Option<String>, Refusal> {
        crate::keep::mirror::check_ref(ref_name)
            .map_err(|why| Refusal::new(RefusalCode::Invalid, format!("ref `{ref_name}`: {why}")))?;
        let mut found = self.ask(Some(ref_name.to_string())).await?;
        Ok(found.remove(ref_name))
    }

    /// Looks at all refs. Returns every ref with its tip, even if the project does not follow it.
    pub async fn look_at_all(&self) -> Result<BTreeMap<String, String>, Refusal> {
        self.ask(None).await
    }

    async fn ask(&self, ref_name: Option<String>) -> Result<RefTips, Refusal> {
        let gone = || Refusal::new(RefusalCode::Unavailable, "the project's repository is no longer followed");
        let (answer, answered) = oneshot::channel();
        self.0.send(LookRequest { ref_name, answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}
