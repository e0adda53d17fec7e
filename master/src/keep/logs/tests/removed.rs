//! Logs that are removed, also while somebody reads them.

use super::*;

fn why<T: std::fmt::Debug>(result: io::Result<T>) -> String {
    let error = result.expect_err("the log was removed");
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    error.to_string()
}

/// Writes a log of this many bytes, seals it, and commits the seal.
async fn sealed_log(disk: &Disk, length: usize) -> Logs {
    let logs = disk.open();
    let sent = vec![b'x'; length];
    write(&logs, 0, &sent).await;
    let sealed = seal(&logs, &sent).await;
    disk.commit(&logs, sealed.row);
    logs
}

#[test]
fn a_removed_log_is_not_found_and_no_empty_one() {
    run(async {
        for length in [10, 70_000] {
            let disk = Disk::new(LIMIT);
            let logs = sealed_log(&disk, length).await;
            let lines = logs.lines(KEY, 1, 1).await.unwrap();
            assert!(!lines.bytes.is_empty());
            disk.remove(&logs).await;
            assert!(!disk.path("log").parent().unwrap().exists());
            assert_eq!(why(logs.size(KEY).await), "the logs were removed");
            assert_eq!(why(logs.read(KEY, 0, 10).await), "the logs were removed");
            assert_eq!(why(logs.lines(KEY, 1, 1).await), "the logs were removed");
            assert_eq!(why(logs.wait(KEY, 0).await), "the logs were removed");
            // a second removal finds nothing, and that is not an error
            logs.remove(vec![KEY.job.build]).await.unwrap();
        }
    });
}

#[test]
fn who_follows_a_log_reads_on_when_it_is_removed() {
    run(async {
        let disk = Disk::new(LIMIT);
        let logs = sealed_log(&disk, 200_000).await;
        let (follower, late) = (Grip::default(), Grip::default());
        assert_eq!(logs.read_on(KEY, &follower, 0, 1_000).await.unwrap().bytes.len(), 1_000);
        disk.remove(&logs).await;
        let rest = logs.read_on(KEY, &follower, 1_000, 250_000).await.unwrap();
        assert_eq!((rest.bytes.len(), rest.sealed), (199_000, true));
        assert_eq!(logs.wait_on(KEY, &follower, 200_000).await.unwrap().size, 200_000);
        assert!(logs.size_on(KEY, &follower).await.unwrap().sealed);
        assert_eq!(why(logs.size_on(KEY, &late).await), "the logs were removed");
    });
}

#[test]
fn a_crash_before_the_unlinking_shows_no_log_and_the_next_pass_unlinks() {
    run(async {
        let disk = Disk::new(LIMIT);
        let logs = sealed_log(&disk, 70_000).await;
        disk.forget();
        drop(logs);
        let logs = disk.open();
        assert!(disk.path("log").exists());
        assert_eq!(why(logs.read(KEY, 0, 10).await), "the logs were removed", "what is left is not taken up as a log");
        logs.remove(vec![KEY.job.build]).await.unwrap();
        assert!(!disk.path("log").exists());
    });
}

#[test]
fn a_file_that_goes_between_the_question_and_the_reading_was_removed() {
    run(async {
        let disk = Disk::new(LIMIT);
        let logs = sealed_log(&disk, 70_000).await;
        // the file is gone while the store still has the seal
        std::fs::remove_file(disk.path("log")).unwrap();
        let missing = logs.read(KEY, 0, 10).await.unwrap_err();
        assert_ne!(missing.to_string(), "the logs were removed");
        disk.committed.1.set(true);
        assert_eq!(why(logs.read(KEY, 0, 10).await), "the logs were removed");
    });
}

#[test]
fn who_waits_for_a_log_that_never_began_is_told() {
    run(async {
        let disk = Disk::new(LIMIT);
        let logs = disk.open();
        let mut waits = pin!(logs.wait(KEY, 0));
        for _ in 0..9 {
            assert!(waits.as_mut().now_or_never().is_none());
            tokio::task::yield_now().await;
        }
        disk.remove(&logs).await;
        assert_eq!(why(waits.await), "the logs were removed");
    });
}

#[test]
fn readers_hold_a_bounded_number_of_files() {
    run(async {
        let disk = Disk::new(LIMIT);
        let logs = sealed_log(&disk, 70_000).await;
        let grips: Vec<Grip> = (0..=grip::HELD_MAX).map(|_| Grip::default()).collect();
        for grip in &grips {
            assert_eq!(logs.read_on(KEY, grip, 69_999, 9).await.unwrap().bytes, b"x");
        }
        let held = grips.iter().filter(|grip| grip.seal().is_some()).count();
        assert_eq!(held, grip::HELD_MAX);
        drop(grips);
        let next = Grip::default();
        logs.size_on(KEY, &next).await.unwrap();
        assert!(next.seal().is_some(), "a reader that is gone gives its file back");
    });
}
