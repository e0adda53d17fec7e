//! The bridge between the pages' thread and the thread of the capabilities. A question crosses it as a closure, and a plain value comes
//! back. Few questions are asked at once, so that pages cost the master little, however many people read them. Visitors take turns, so
//! that a crowd without a login does not hold up people with one.

use crate::keep::turns::{Bounds, PROGRAM, Principal, TurnQueue};
use crate::serve::api::Door;
use client::Guild;
use futures::future::LocalBoxFuture;
use schema::sturdy_ref::Token;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;

/// The most questions that are answered at once, for all pages and for one visitor.
const AT_ONCE: Bounds = Bounds { in_all: 2, each: 1 };
/// The most errands at once, beside the questions. An errand may wait for a repository.
const ERRANDS_AT_ONCE: usize = 8;
/// The most questions that wait. Each connection has at most one, so all connections have room; questions beyond the limit are refused.
const WAITING_MAX: usize = 512;
/// The most errands that wait. Errands beyond the limit are refused.
const ERRANDS_MAX: usize = 128;
/// The longest wait for an answer, including the wait for a turn.
const PATIENCE: Duration = Duration::from_secs(10);
const ERRAND_PATIENCE: Duration = Duration::from_secs(60);

type Answering = Box<dyn FnOnce(Door) -> LocalBoxFuture<'static, ()> + Send>;

/// A `Question` is asked by a page, and waits here until it is answered.
struct Question {
    asker: Asker,
    answering: Answering,
    /// The question's place among the questions that wait. Dropping it frees the place.
    _place: Option<OwnedSemaphorePermit>,
}

/// An `Asker` is the party for which a question is asked.
enum Asker {
    /// The pages themselves, for example for the metrics.
    Pages,
    /// A visitor with this cookie, or without one.
    Visitor(Option<Token>),
}

impl Asker {
    /// Returns the principal in whose turns the question waits. A cookie that belongs to nobody counts as no cookie. Otherwise a visitor
    /// who invents cookies would get the turns of many.
    fn principal(&self, door: &Door) -> Principal {
        match self {
            Asker::Pages => PROGRAM,
            Asker::Visitor(cookie) => cookie.as_ref().map_or(Principal::Everyone, |cookie| door.principal(cookie)),
        }
    }
}

/// The end of the bridge at the pages. All clones ask the same door.
#[derive(Clone)]
pub(crate) struct Bridge {
    questions: mpsc::Sender<Question>,
    places: Arc<Semaphore>,
    errands: mpsc::Sender<Question>,
}

/// The end of the bridge at the capabilities.
pub(crate) struct Answers {
    questions: mpsc::Receiver<Question>,
    errands: mpsc::Receiver<Question>,
}

/// The reason why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Busy {
    /// Too many questions wait, or this one waited for too long.
    Overloaded,
    /// The master is about to stop.
    Leaving,
}

/// A `Visit` is a visitor, with the viewer through which the visitor looks.
pub(crate) struct Visit {
    pub(crate) guild: Guild,
    pub(crate) name: Visitor,
    /// Whether the visitor sees workers. A visitor who sees only public projects does not, because workers belong to no project.
    pub(crate) sees_workers: bool,
}

/// A `Visitor` holds the facts that every page shows its visitor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Visitor {
    /// The name of the visitor. `None` means that the visitor is not logged in.
    pub(crate) name: Option<String>,
    /// What is wrong with the master itself. Empty means that nothing is known to be wrong.
    pub(crate) alert: &'static str,
}

pub(crate) fn bridge() -> (Bridge, Answers) {
    let (questions, asked) = mpsc::channel(WAITING_MAX);
    let (errands, sent) = mpsc::channel(ERRANDS_MAX);
    let places = Arc::new(Semaphore::new(WAITING_MAX));
    (Bridge { questions, places, errands }, Answers { questions: asked, errands: sent })
}

impl Bridge {
    /// Asks the door a question of the pages themselves.
    pub(crate) async fn at_door<T, F>(&self, question: impl FnOnce(Door) -> F + Send + 'static) -> Result<T, Busy>
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        self.ask(Asker::Pages, question).await
    }

    /// Like [`Bridge::at_door`], for a visitor with this cookie, or without one. The question waits for that visitor's turn, so that a
    /// crowd that tries login addresses does not hold up other pages.
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

    /// Like [`Bridge::at_door`], for a call that may take longer, and that goes on even if nobody waits for it any more.
    pub(crate) async fn on_errand<T, F>(&self, question: impl FnOnce(Door) -> F + Send + 'static) -> Result<T, Busy>
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        ask(&self.errands, ERRAND_PATIENCE, Asker::Pages, None, question).await
    }

    /// Asks a question with the authority of a cookie, or with everyone's.
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
            // a question whose asker has left is not answered
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
    /// Answers questions until the pages are gone. Needs a `LocalSet`.
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
