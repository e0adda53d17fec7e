//! Chooses the thread on which blocking work on files runs.

use std::io;

/// The kind of thread on which work on files runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::keep) enum FileWork {
    /// Work runs on blocking threads, so that it does not delay other tasks.
    Threads,
    /// Work runs on the caller's thread, as simulations need it: a paused clock would jump ahead while another thread works.
    Inline,
}

impl FileWork {
    /// Runs a piece of file work. The work runs to its end even if the caller stops waiting for it.
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
