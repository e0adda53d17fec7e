//! The bridge between the pages' thread and the one thread of the capabilities. Questions go over as closures, and plain values
//! come back. Few questions are asked at once, so that pages cost the master's own work little, however many people read them.
//! They are asked in turns, so that a crowd without a login holds up nobody who has one.

use crate::keep::turns::{Bounds, PROGRAM, Principal, TurnQueue};
use crate::serve::api::Door;
use client::Guild;
use futures::future::LocalBoxFuture;
use schema::sturdy_ref::Token;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;

/// The most questions of all pages that are answered at once, and the most of one visitor.
const AT_ONCE: Bounds = Bounds { in_all: 2, each: 1 };
/// The most errands at once, which may wait for a repository, beside the questions.
const ERRANDS_AT_ONCE: usize = 8;
/// Questions of pages that wait; those beyond are turned away. Each connection has one, so all connections have room.
const WAITING_MAX: usize = 512;
/// Errands that wait; those beyond are turned away.
const ERRANDS_MAX: usize = 128;
/// The longest wait for an answer, the wait for a turn included.
const PATIENCE: Duration = Duration::from_secs(10);
const ERRAND_PATIENCE: Duration = Duration::from_secs(60);

type Answering = Box<dyn FnOnce(Door) -> LocalBoxFuture<'static, ()> + Send>;

/// Something that a page asks, until it is answered.
struct Question {
    asker: Asker,
    answering: Answering,
    /// The question's place among those that wait.
    _place: Option<OwnedSemaphorePermit>,
}

/// The visitor on whose behalf a question is asked.
enum Asker {
    /// The pages ask for themselves.
    Pages,
    /// Whoever shows this cookie, or none.
    Visitor(Option<Token>),
}

impl Asker {
    /// A cookie that stands for nothing is as good as none, or whoever makes some up would have the turns of many.
    fn principal(&self, door: &Door) -> Principal {
        match self {
            Asker::Pages => PROGRAM,
            Asker::Visitor(cookie) => cookie.as_ref().map_or(Principal::Everyone, |cookie| door.principal(cookie)),
        }
    }
}

/// The pages' end. Clones ask the same door.
#[derive(Clone)]
pub(crate) struct Bridge {
    questions: mpsc::Sender<Question>,
    places: Arc<Semaphore>,
    errands: mpsc::Sender<Question>,
}

/// The other end, where the capabilities live.
pub(crate) struct Answers {
    questions: mpsc::Receiver<Question>,
    errands: mpsc::Receiver<Question>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Busy {
    /// Too many questions wait, or this one waited for too long.
    Overloaded,
    /// The master is about to stop.
    Leaving,
}

/// The visitor, and the viewer with which they look.
pub(crate) struct Visit {
    pub(crate) guild: Guild,
    pub(crate) name: Visitor,
    /// Workers belong to no project, so whoever sees only public projects does not see them.
    pub(crate) sees_workers: bool,
}

/// The facts that every page shows its visitor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Visitor {
    /// The name of the visitor. `None` means that the visitor is not logged in.
    pub(crate) name: Option<String>,
    /// What is wrong with the master itself; empty means nothing.
    pub(crate) alert: &'static str,
}

pub(crate) fn bridge() -> (Bridge, Answers) {
    let (questions, asked) = mpsc::channel(WAITING_MAX);
    let (errands, sent) = mpsc::channel(ERRANDS_MAX);
    let places = Arc::new(Semaphore::new(WAITING_MAX));
    (Bridge { questions, places, errands }, Answers { questions: asked, errands: sent })
}

impl Bridge {
    /// Asks at the door itself, what the pages want to know on their own account.
    pub(crate) async fn at_door<T, F>(&self, question: impl FnOnce(Door) -> F + Send + 'static) -> Result<T, Busy>
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        self.ask(Asker::Pages, question).await
    }

    /// Like [`Bridge::at_door`], for whoever shows this cookie, or none. It is asked in the turns of that visitor, so that a crowd
    /// that tries addresses of logins holds up no page.
    pub(crate) async fn at_door_for<T, F>(
        &self,
        cookie: Option<Token>,
        question: impl FnOnce(Door) -> F + Send + 'static,
    ) -> Result<T, Busy>
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        self.ask(Asker::Visitor(cookie), question).await
    }

    /// Like [`Bridge::at_door`], for a call that may take longer, and that goes on when nobody waits any more.
    pub(crate) async fn on_errand<T, F>(&self, question: impl FnOnce(Door) -> F + Send + 'static) -> Result<T, Busy>
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        ask(&self.errands, ERRAND_PATIENCE, Asker::Pages, None, question).await
    }

    /// Looks with the authority that the cookie stands for, or with everyone's.
    pub(crate) async fn look<T, F>(
        &self,
        cookie: Option<Token>,
        question: impl FnOnce(Visit) -> F + Send + 'static,
    ) -> Result<T, Busy>
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        let asker = Asker::Visitor(cookie.clone());
        self.ask(asker, |door| async move { question(visit(&door, cookie).await).await }).await
    }

    async fn ask<T, F>(&self, asker: Asker, question: impl FnOnce(Door) -> F + Send + 'static) -> Result<T, Busy>
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        let place = self.places.clone().try_acquire_owned().map_err(|_| Busy::Overloaded)?;
        ask(&self.questions, PATIENCE, asker, Some(place), question).await
    }
}

async fn ask<T, F>(
    to: &mpsc::Sender<Question>,
    patience: Duration,
    asker: Asker,
    place: Option<OwnedSemaphorePermit>,
    question: impl FnOnce(Door) -> F + Send + 'static,
) -> Result<T, Busy>
where
    T: Send + 'static,
    F: Future<Output = T> + 'static,
{
    let (told, answer) = oneshot::channel();
    let answering: Answering = Box::new(|door| {
        Box::pin(async move {
            // nobody needs an answer that nobody waits for
            if !told.is_closed() {
                let _ = told.send(question(door).await);
            }
        })
    });
    to.try_send(Question { asker, answering, _place: place }).map_err(|error| match error {
        mpsc::error::TrySendError::Full(_) => Busy::Overloaded,
        mpsc::error::TrySendError::Closed(_) => Busy::Leaving,
    })?;
    match tokio::time::timeout(patience, answer).await {
        Ok(answer) => answer.map_err(|_| Busy::Leaving),
        Err(_) => Err(Busy::Overloaded),
    }
}

async fn visit(door: &Door, cookie: Option<Token>) -> Visit {
    let holder = match &cookie {
        Some(cookie) => door.holder(cookie).await,
        None => None,
    };
    let alert = door.alert();
    match holder {
        Some((name, viewer)) => {
            let name = Visitor { name: Some(name), alert };
            Visit { guild: Guild::of_viewer(viewer), name, sees_workers: true }
        }
        None => {
            let name = Visitor { name: None, alert };
            Visit { guild: Guild::of_viewer(door.everyone()), name, sees_workers: door.is_open() }
        }
    }
}

impl Answers {
    /// Answers until the pages are gone. Needs a `LocalSet`.
    pub(crate) async fn serve(self, door: Door) {
        let questions = serve(self.questions, door.clone());
        let errands = run_errands(self.errands, door);
        futures::future::join(questions, errands).await;
    }
}

async fn serve(mut questions: mpsc::Receiver<Question>, door: Door) {
    let turns = TurnQueue::new(AT_ONCE);
    while let Some(question) = questions.recv().await {
        let (turns, door) = (turns.clone(), door.clone());
        let who = question.asker.principal(&door);
        tokio::task::spawn_local(async move {
            let mut turn = turns.turn(who).await;
            let began = Instant::now();
            (question.answering)(door).await;
            turn.charge(began.elapsed());
        });
    }
}

async fn run_errands(mut errands: mpsc::Receiver<Question>, door: Door) {
    let turns = Arc::new(Semaphore::new(ERRANDS_AT_ONCE));
    while let Some(errand) = errands.recv().await {
        let Ok(turn) = turns.clone().acquire_owned().await else { return };
        let answering = (errand.answering)(door.clone());
        tokio::task::spawn_local(async move {
            answering.await;
            drop(turn);
        });
    }
}
