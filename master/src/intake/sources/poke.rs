//! How others make the source of a repository look at once, and hear what it found.

use schema::values::{Refusal, RefusalCode};
use std::collections::BTreeMap;
use tokio::sync::{mpsc, oneshot};

/// Pokes that wait until the source takes them all at once; whoever pokes beyond that waits for room.
const POKES_MAX: usize = 64;

/// The refs of a repository in full, each with its tip.
pub(super) type RefTips = BTreeMap<String, String>;

/// Makes a source look at once.
#[derive(Clone, Debug)]
pub struct Poke(mpsc::Sender<LookRequest>);

/// The other end of a [`Poke`]: the source's.
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
    /// Looks at one ref, by its full name; answers with its tip, if there is one, after the sink acknowledged what is new.
    pub async fn look(&self, ref_name: &str) -> Result<Option<String>, Refusal> {
        crate::keep::mirror::check_ref(ref_name)
            .map_err(|why| Refusal::new(RefusalCode::Invalid, format!("ref `{ref_name}`: {why}")))?;
        let mut found = self.ask(Some(ref_name.to_string())).await?;
        Ok(found.remove(ref_name))
    }

    /// Looks at all refs; answers with every ref and its tip, wanted or not.
    pub async fn look_at_all(&self) -> Result<BTreeMap<String, String>, Refusal> {
        self.ask(None).await
    }

    async fn ask(&self, ref_name: Option<String>) -> Result<RefTips, Refusal> {
        let gone = || Refusal::new(RefusalCode::Unavailable, "the project's repository is not followed any more");
        let (answer, answered) = oneshot::channel();
        self.0.send(LookRequest { ref_name, answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}
