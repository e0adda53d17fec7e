//! All logs of one attempt: how much memory they take, and what is removed at the end of the attempt.

use super::*;

fn step(step: u16) -> StepKey {
    StepKey { step, ..KEY }
}

fn file(disk: &Disk, step: u16, kind: &str) -> PathBuf {
    disk.dir.path().join(format!("logs/4/4321/2.1.{step}.{kind}"))
}

#[test]
fn many_small_logs_of_an_attempt_go_into_files() {
    run(async {
        let disk = Disk::new(LIMIT);
        let logs = disk.open();
        logs.begin_attempt(KEY.job, KEY.attempt);
        for index in 0..100 {
            let sent = logs.write(step(index), 0, vec![index as u8; 60_000], Vec::new()).await.unwrap();
            assert_eq!(sent.received, 60_000);
        }
        let in_files = (0..100).filter(|index| file(&disk, *index, "log").exists()).count();
        println!("{in_files} of 100 logs of 60,000 bytes are files");
        assert_eq!(in_files, 100 - (1 << 20) / 60_000);
        // the many logs of one attempt do not move the logs of another attempt into files
        let other = StepKey { attempt: 2, ..step(0) };
        logs.write(other, 0, vec![1; 60_000], Vec::new()).await.unwrap();
        assert!(!disk.dir.path().join("logs/4/4321/2.2.0.log").exists());
        for index in 0..100 {
            let sent = vec![index as u8; 60_000];
            let sealed = logs.seal(step(index), 60_000, blake3::hash(&sent).as_bytes()).await.unwrap();
            assert!(sealed.agrees, "log {index}");
            assert_eq!(logs.read(step(index), 0, 100_000).await.unwrap().bytes, sent);
            disk.commit(&logs, sealed.row);
        }
        // logs that are sealed and committed give their room back
        logs.write(step(200), 0, vec![1; 60_000], Vec::new()).await.unwrap();
        assert!(!file(&disk, 200, "log").exists());
    });
}

#[test]
fn marks_count_as_well() {
    run(async {
        let disk = Disk::new(LIMIT);
        let logs = disk.open();
        logs.begin_attempt(KEY.job, KEY.attempt);
        let marks: Vec<TimeMark> = (0..4_000).map(|offset| TimeMark { offset, time: Time(offset) }).collect();
        for index in 0..40 {
            logs.write(step(index), 0, vec![1; 4_000], marks.clone()).await.unwrap();
        }
        let in_files = (0..40).filter(|index| file(&disk, *index, "log").exists()).count();
        assert!(in_files >= 24, "{in_files} files: a log takes 68,000 bytes with its marks");
        assert_eq!(logs.marks(step(39)).await.unwrap(), marks);
        assert_eq!(logs.read(step(39), 0, 9_000).await.unwrap().bytes.len(), 4_000);
    });
}

#[test]
fn logs_of_steps_that_never_ended_go_from_memory_and_from_the_disk() {
    for restarts in [false, true] {
        run(async {
            let disk = Disk::new(LIMIT);
            let mut logs = disk.open();
            logs.begin_attempt(KEY.job, KEY.attempt);
            for (index, length) in [(1, 10), (2, 10), (3, 100_000), (4, 100_000)] {
                logs.write(step(index), 0, vec![7; length], Vec::new()).await.unwrap();
            }
            if restarts {
                logs = disk.open();
                logs.write(step(1), 0, vec![7; 10], Vec::new()).await.unwrap();
            }
            for index in [1, 3] {
                let row = logs.seal(step(index), 0, &[]).await.unwrap().row;
                disk.commit(&logs, row);
            }
            // a write that has begun is finished first, and a later one is refused
            let (begun, dropped, late) = futures::join!(
                logs.write(step(4), 100_000, vec![8; 1_000], Vec::new()),
                logs.drop_others(KEY.job, KEY.attempt, &[1, 3]),
                async {
                    tokio::task::yield_now().await;
                    logs.write(step(4), 101_000, vec![9; 1_000], Vec::new()).await
                }
            );
            dropped.unwrap();
            assert!(begun.is_ok() && (restarts || late.is_err()), "{begun:?} {late:?}");
            logs.forget_attempt(KEY.job, KEY.attempt);
            assert!(file(&disk, 3, "log").exists() && !file(&disk, 4, "log").exists(), "restarts: {restarts}");
            assert!(!file(&disk, 4, "marks").exists());
            assert_eq!(logs.read(step(3), 0, 1).await.unwrap().bytes, [7]);
            for gone in [2, 4] {
                let size = logs.size(step(gone)).await.unwrap();
                assert_eq!((size.size, size.sealed), (0, false), "step {gone}");
            }
            assert!(logs.held_logs(KEY.job, KEY.attempt).is_empty(), "nothing is held any more");
        });
    }
}

/// A reader that follows a log learns that it has ended when the log is dropped.
#[test]
fn a_reader_of_a_log_that_goes_does_not_wait_for_ever() {
    run(async {
        let disk = Disk::new(LIMIT);
        let logs = disk.open();
        logs.begin_attempt(KEY.job, KEY.attempt);
        logs.write(KEY, 0, vec![7; 10], Vec::new()).await.unwrap();
        let (size, dropped) = futures::join!(logs.wait(KEY, 10), logs.drop_others(KEY.job, KEY.attempt, &[]));
        dropped.unwrap();
        assert!(size.unwrap().sealed);
    });
}

#[test]
fn an_attempt_begins_with_empty_logs() {
    run(async {
        let disk = Disk::new(LIMIT);
        let logs = disk.open();
        logs.write(KEY, 0, b"BUILD OK\n".to_vec(), Vec::new()).await.unwrap();
        logs.begin_attempt(KEY.job, KEY.attempt);
        logs.write(KEY, 0, b"it failed\n".to_vec(), Vec::new()).await.unwrap();
        assert_eq!(whole(&logs).await, b"it failed\n");
    });
}
