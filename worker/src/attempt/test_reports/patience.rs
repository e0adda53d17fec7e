//! How long somebody waits for the reading of reports, which happens on a thread that cannot be ended.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Says whether a reading is to go on.
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

    /// An error says why the reading ends here.
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

/// Stops the reading when it is dropped, because nobody waits for the result any more.
pub(super) struct StopOnDrop(pub(super) Patience);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.is_stopped.store(true, Ordering::Relaxed);
    }
}

/// A file that is read while there is patience.
pub(super) struct Patient<'a, R> {
    pub(super) from: R,
    pub(super) patience: &'a Patience,
}

impl<R: Read> Read for Patient<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        // An `Interrupted` error would be retried by readers that read to the end, so another kind of error is used.
        self.patience.check().map_err(|error| io::Error::other(error.to_string()))?;
        self.from.read(into)
    }
}
