//! Logs on a bad disk. Sealed logs that were changed, cut or lost are reported as damaged (F16 in `tests/cases.tsv`). A disk that
//! takes no more bytes is reported as trouble (F12).

use super::*;
use std::io::ErrorKind;

/// Writes a large log, and seals and commits it. Returns its file.
async fn sealed(disk: &Disk, logs: &Logs) -> PathBuf {
    let sent = vec![b'x'; SMALL_MAX + 10];
    write(logs, 0, &sent).await;
    let row = seal(logs, &sent).await.row;
    assert!(row.bytes.is_none(), "it is a file");
    disk.committed.0.borrow_mut().insert(KEY, row);
    logs.forget_sealed([KEY]);
    disk.dir.path().join(path_below(KEY))
}

async fn refusal(logs: &Logs) -> (ErrorKind, String) {
    let error = logs.read(KEY, 0, 10).await.expect_err("it is damaged");
    (error.kind(), error.to_string())
}

#[test]
fn a_sealed_log_that_is_cut_or_lost_is_damaged_and_not_removed() {
    run(async {
        let disk = Disk::new(LIMIT);
        let logs = disk.open();
        let file = sealed(&disk, &logs).await;
        let bytes = std::fs::read(&file).unwrap();
        std::fs::write(&file, &bytes[..7]).unwrap();
        let cut = (ErrorKind::InvalidData, format!("it has 7 of {} bytes", SMALL_MAX + 10));
        assert_eq!(refusal(&logs).await, cut);
        assert_eq!(logs.last_lines_on(KEY, &Grip::default(), 5).await.unwrap_err().kind(), ErrorKind::InvalidData);
        std::fs::remove_file(&file).unwrap();
        let lost = "its file is missing, but retention did not remove it".to_owned();
        assert_eq!(refusal(&logs).await, (ErrorKind::InvalidData, lost));
        std::fs::write(&file, bytes).unwrap();
        assert_eq!(logs.read(KEY, 0, 10).await.unwrap().bytes, b"xxxxxxxxxx");
    });
}

/// A small log, which is in the store and not in a file, is damaged if its bytes do not fit its hash.
#[test]
fn a_small_log_that_was_changed_in_the_store_is_damaged() {
    run(async {
        let disk = Disk::new(LIMIT);
        let logs = disk.open();
        write(&logs, 0, b"small").await;
        let mut row = seal(&logs, b"small").await.row;
        row.bytes = Some(b"smaLl".to_vec());
        disk.committed.0.borrow_mut().insert(KEY, row);
        logs.forget_sealed([KEY]);
        assert_eq!(refusal(&logs).await, (ErrorKind::InvalidData, "it is not what the step wrote".to_owned()));
    });
}

/// A disk that cannot be written is reported until it can. Here a file is in the place of the folder, so that even root cannot write
/// logs (F12 in `tests/cases.tsv`).
#[test]
fn a_disk_that_takes_no_more_of_a_log_is_told_until_it_does() {
    run(async {
        let disk = Disk::new(LIMIT);
        let logs = disk.open();
        let (health, sent) = (logs.health(), vec![b'x'; SMALL_MAX + 10]);
        let folder = disk.dir.path().join("logs");
        std::fs::remove_dir_all(&folder).unwrap();
        std::fs::write(&folder, "").unwrap();
        let other = StepKey { step: 9, ..KEY };
        for key in [KEY, other] {
            let refused = logs.write(key, 0, sent.clone(), Vec::new()).await.unwrap_err();
            assert_eq!(refused.code, RefusalCode::Unavailable);
        }
        let trouble = health.trouble().expect("it is told");
        assert_eq!(trouble.logs, 2);
        assert!(trouble.text.contains("the log cannot be written"), "{}", trouble.text);
        // a log that fits into memory can be written, and does not tell whether the disk works
        logs.write(StepKey { step: 5, ..KEY }, 0, b"small".to_vec(), Vec::new()).await.unwrap();
        assert_eq!(health.trouble().map(|it| it.logs), Some(2));
        std::fs::remove_file(&folder).unwrap();
        std::fs::create_dir(&folder).unwrap();
        write(&logs, 0, &sent).await;
        assert_eq!(health.trouble().map(|it| it.logs), Some(1));
        // when an attempt has ended, its logs no longer count as trouble
        logs.forget_attempt(KEY.job, KEY.attempt);
        assert_eq!(health.trouble(), None);
    });
}
