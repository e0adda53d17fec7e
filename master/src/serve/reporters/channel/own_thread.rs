//! Runs work on a thread of its own, because it may hang.

use std::thread;
use tokio::sync::oneshot;

/// Runs work that may hang. A runtime waits for its blocking threads when it ends, but not for this thread. So a channel that hangs does
/// not delay the end of the master.
pub(super) async fn on_own_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let (done, result) = oneshot::channel();
    let thread = thread::Builder::new().name(name.to_owned()).spawn(move || drop(done.send(work())));
    thread.map_err(|error| format!("failed to make a thread: {error}"))?;
    result.await.map_err(|_| "the thread ended early".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    #[tokio::test]
    async fn the_work_is_done_under_its_name() {
        let name = on_own_thread("lookup", || thread::current().name().map(str::to_owned)).await;
        assert_eq!(name, Ok(Some("lookup".to_owned())));
        let ended = on_own_thread("lookup", || panic!("as a test wants it")).await;
        assert_eq!(ended, Err::<(), _>("the thread ended early".to_owned()));
    }

    #[test]
    fn a_runtime_ends_while_the_work_hangs() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (begin, mut began) = tokio::sync::mpsc::unbounded_channel();
        let (release, released) = mpsc::channel::<()>();
        let has_ended = Arc::new(AtomicBool::new(false));
        let ended = has_ended.clone();
        let work = move || {
            begin.send(()).unwrap();
            // if the runtime waited for this work, it would end after this time
            let _ = released.recv_timeout(Duration::from_secs(60));
            ended.store(true, Ordering::SeqCst);
        };
        runtime.block_on(async {
            tokio::select! {
                _ = on_own_thread("lookup", work) => panic!("it hangs"),
                begun = began.recv() => assert_eq!(begun, Some(())),
            }
        });
        drop(runtime);
        assert!(!has_ended.load(Ordering::SeqCst), "nobody waited for it");
        drop(release);
    }
}
