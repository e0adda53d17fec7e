//! The channel to the task that reloads the master file. API objects send it three requests: show the differences, reload, add a project.
//! The task answers one call after another; this module does none of its work.

use crate::decide::coordinator::Request;
use schema::values::{Difference, NewProject, Refusal, RefusalCode};
use tokio::sync::{mpsc, oneshot};

/// The most calls that wait for the task. A further caller waits. The number is small, because people call rarely.
const CALLS_MAX: usize = 16;

/// The channel for the answer to a call.
pub type AnswerSender<T> = oneshot::Sender<Result<T, Refusal>>;

/// A request to the task that reloads the master file.
pub enum ConfigCall {
    Differences(AnswerSender<Vec<Difference>>),
    Reload(Request, AnswerSender<Vec<Difference>>),
    Add(Request, Box<NewProject>, AnswerSender<Added>),
}

/// The answer to the caller who added a project.
#[derive(Clone, Debug, Default)]
pub struct Added {
    /// The address for the forge's deliveries, and the secret that signs them. Both are empty if the project has no hook.
    pub hook_address: String,
    pub hook_secret: String,
}

/// The callers' end of the channel.
#[derive(Clone)]
pub struct ConfigCalls(mpsc::Sender<ConfigCall>);

/// The task's end of the channel.
pub type Calls = mpsc::Receiver<ConfigCall>;

pub fn config_calls() -> (ConfigCalls, Calls) {
    let (sender, receiver) = mpsc::channel(CALLS_MAX);
    (ConfigCalls(sender), receiver)
}

impl ConfigCalls {
    pub async fn differences(&self) -> Result<Vec<Difference>, Refusal> {
        self.ask(ConfigCall::Differences).await
    }

    pub async fn reload(&self, request: Request) -> Result<Vec<Difference>, Refusal> {
        self.ask(|answer| ConfigCall::Reload(request, answer)).await
    }

    pub async fn add(&self, request: Request, project: NewProject) -> Result<Added, Refusal> {
        self.ask(|answer| ConfigCall::Add(request, Box::new(project), answer)).await
    }

    async fn ask<T>(&self, call: impl FnOnce(AnswerSender<T>) -> ConfigCall) -> Result<T, Refusal> {
        let gone = || Refusal::new(RefusalCode::Unavailable, "the master is stopping");
        let (answer, answered) = oneshot::channel();
        self.0.send(call(answer)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}
