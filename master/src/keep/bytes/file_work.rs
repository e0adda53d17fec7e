//! Where work on files runs.

use std::io;

/// The place where work on files runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::keep) enum FileWork {
    /// Work on blocking threads, so that it holds nothing up.
    Threads,
    /// Where it is asked for, as in a simulation: a paused clock would jump over work on other threads.
    Inline,
}

impl FileWork {
    /// Runs a piece of file work. It runs to its end, also when nobody waits for it any more.
    pub(in crate::keep) async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        match self {
            FileWork::Inline => work(),
            FileWork::Threads => tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?,
        }
    }
}
