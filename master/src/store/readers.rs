//! Read-only connections, which whoever asks gets in turns: a grant that asks for 4,000 long lists holds up itself and nobody else.

use super::StoreError;
use super::executor::{Connector, Executor};
use crate::turns::{Bounds, Counts, Principal, Queue, Turn};
use rusqlite::Connection;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Reads at once for one principal. One of two threads is then always free for others, and what one principal reads in a second
/// does not suffer: a thread is kept busy.
const READS_EACH: usize = 1;

/// The one that was freed first is first, so that all are used alike.
type Free = Arc<Mutex<VecDeque<usize>>>;

/// The connections. Who asks is said first, by [`Readers::of`], so that no read is without its turn.
#[derive(Clone)]
pub struct Readers(Arc<Shared>);

struct Shared {
    executors: Box<[Executor]>,
    /// Those that nobody uses.
    free: Free,
    turns: Queue<Principal>,
}

/// The readers, as one principal has them. Cheap to clone.
#[derive(Clone)]
pub struct Reading {
    readers: Readers,
    who: Principal,
}

impl Readers {
    pub(super) fn threads(connector: &Connector, count: usize) -> Result<Readers, StoreError> {
        let executors = (0..count).map(|_| Ok(Executor::thread(connector.connect_reader()?)));
        Ok(Readers::over(executors.collect::<Result<_, StoreError>>()?))
    }

    pub(super) fn inline(connector: &Connector) -> Result<Readers, StoreError> {
        Ok(Readers::over(Box::new([Executor::inline(connector.connect_reader()?)])))
    }

    fn over(executors: Box<[Executor]>) -> Readers {
        let bounds = Bounds { in_all: executors.len(), each: READS_EACH };
        let free = Arc::new(Mutex::new((0..executors.len()).collect()));
        Readers(Arc::new(Shared { executors, free, turns: Queue::new(bounds) }))
    }

    /// The readers for one principal.
    pub fn of(&self, who: Principal) -> Reading {
        Reading { readers: self.clone(), who }
    }

    pub fn counts(&self) -> Counts {
        self.0.turns.counts()
    }
}

impl Reading {
    /// Runs a query on one of the connections, when it is this principal's turn. It sees everything that was committed before.
    /// A query that nobody waits for any more keeps its turn until it is done.
    pub fn query<T, F>(&self, query: F) -> impl Future<Output = Result<T, StoreError>> + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let Reading { readers, who } = self.clone();
        async move {
            let turn = readers.0.turns.turn(who).await;
            let mut seat = Seat::take(&readers, turn)?;
            let executor = readers.0.executors[seat.at].clone();
            let answer = executor.run(move |connection| {
                let began = Instant::now();
                let answer = query(connection);
                seat.answered(began.elapsed());
                answer
            });
            Ok(answer.await??)
        }
    }
}

/// A turn on one of the connections. It goes with the work to its thread, so that it lasts as long as the work does.
struct Seat {
    free: Free,
    at: usize,
    turns: Queue<Principal>,
    turn: Turn<Principal>,
    /// False where its thread is gone, or goes with this work.
    has_answered: bool,
}

impl Seat {
    fn take(readers: &Readers, turn: Turn<Principal>) -> Result<Seat, StoreError> {
        let (free, turns) = (readers.0.free.clone(), readers.0.turns.clone());
        let at = free.lock().unwrap_or_else(PoisonError::into_inner).pop_front().ok_or(StoreError::Closed)?;
        Ok(Seat { free, at, turns, turn, has_answered: false })
    }

    fn answered(&mut self, cost: Duration) {
        self.turn.charge(cost);
        self.has_answered = true;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // before the turn is given on, which is dropped after this
        if self.has_answered {
            self.free.lock().unwrap_or_else(PoisonError::into_inner).push_back(self.at);
        } else {
            // nobody shall have a turn for a seat that is gone
            self.turns.lose_place();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turns::PROGRAM;

    async fn read(readers: &Readers, who: Principal) -> i64 {
        let read = readers.of(who).query(|connection| connection.query_row("SELECT 1", [], |row| row.get(0)));
        read.await.expect("the reader that is left answers")
    }

    #[tokio::test]
    async fn a_reader_that_died_is_asked_no_more() {
        let readers = Readers::threads(&Connector::Memory("a-reader-dies".to_owned()), 2).unwrap();
        let died = readers.of(PROGRAM).query(|_| -> rusqlite::Result<()> { panic!("this reader dies of a query") });
        assert!(matches!(died.await, Err(StoreError::Closed)));
        for _ in 0..10 {
            let (one, other) = futures::join!(read(&readers, PROGRAM), read(&readers, Principal::Everyone));
            assert_eq!((one, other), (1, 1));
        }
    }
}
