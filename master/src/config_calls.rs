//! Where the master file is asked for: its differences, its reload, a project to add. Owns the way to whoever keeps the master
//! in step with its file ([`crate::reload`]), one call after the other; does none of it.

use crate::coordinator::Request;
use schema::values::{Difference, NewProject, Refusal, RefusalCode};
use tokio::sync::{mpsc, oneshot};

/// Calls that wait.
const CALLS_MAX: usize = 16;

/// Answered when it is done.
pub type Answer<T> = oneshot::Sender<Result<T, Refusal>>;

pub enum Call {
    Differences(Answer<Vec<Difference>>),
    Reload(Request, Answer<Vec<Difference>>),
    Add(Request, Box<NewProject>, Answer<Added>),
}

/// What an added project is told by.
#[derive(Clone, Debug, Default)]
pub struct Added {
    /// Both empty: no hook.
    pub hook_address: String,
    pub hook_secret: String,
}

#[derive(Clone)]
pub struct Desk(mpsc::Sender<Call>);

/// The other end of a [`Desk`].
pub type Calls = mpsc::Receiver<Call>;

pub fn desk() -> (Desk, Calls) {
    let (sender, receiver) = mpsc::channel(CALLS_MAX);
    (Desk(sender), receiver)
}

impl Desk {
    pub async fn differences(&self) -> Result<Vec<Difference>, Refusal> {
        self.ask(Call::Differences).await
    }

    pub async fn reload(&self, request: Request) -> Result<Vec<Difference>, Refusal> {
        self.ask(|answer| Call::Reload(request, answer)).await
    }

    pub async fn add(&self, request: Request, project: NewProject) -> Result<Added, Refusal> {
        self.ask(|answer| Call::Add(request, Box::new(project), answer)).await
    }

    async fn ask<T>(&self, call: impl FnOnce(Answer<T>) -> Call) -> Result<T, Refusal> {
        let gone = || Refusal::new(RefusalCode::Unavailable, "the master is stopping");
        let (answer, answered) = oneshot::channel();
        self.0.send(call(answer)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}
