//! Limits the time for reading reports, because the thread that reads them cannot be ended from outside.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The limits of a reading: it stops when its time is over, or when nobody waits for it any more.
#[derive(Clone, Debug)]
pub(super) struct Patience {
    end: Instant,
    time: Duration,
    is_stopped: Arc<AtomicBool>,
}

impl Patience {
    pub(super) fn new(time: Duration) -> Patience {
        Patience { end: Instant::now() + time, time, is_stopped: Arc::default() }
    }

    /// Fails if the reading must stop. The error says why.
    pub(super) fn check(&self) -> io::Result<()> {
        if self.is_stopped.load(Ordering::Relaxed) {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "nobody waits for the test reports any more"));
        }
        if Instant::now() >= self.end {
            let text = format!("the {} s for reading test reports are over", self.time.as_secs());
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        Ok(())
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }
}

/// Stops the reading when this is dropped, because then nobody waits for the result any more.
pub(super) struct StopOnDrop(pub(super) Patience);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.is_stopped.store(true, Ordering::Relaxed);
    }
}

/// A file whose reads fail once the patience has ended.
pub(super) struct Patient<'a, R> {
    pub(super) from: R,
    pub(super) patience: &'a Patience,
}

impl<R: Read> Read for Patient<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        // Readers that read to the end would retry after an `Interrupted` error, so another kind of error is used.
        self.patience.check().map_err(|error| io::Error::other(error.to_string()))?;
        self.from.read(into)
    }
}
