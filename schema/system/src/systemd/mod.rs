//! What a program tells the service manager that runs it (sd_notify(3)). It tells that it serves, that it reads its files anew,
//! that it ends, and again and again that it is not stuck. Where nobody listens all of it does nothing. It knows nothing of what
//! the program does; [`mod@unit`] holds the files by which systemd runs one.

pub mod unit;

use sd_notify::NotifyState;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// The variables for a program itself, and for nothing that it starts.
pub const VARIABLES: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"];

/// Whether there is anybody to tell.
pub fn is_listening() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// Says that the program serves; also the end of what [`reloading`] began.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Says that the program reads its files anew. [`ready`] must follow, also where they were refused.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the service manager could not be told that the file is reloaded"),
    }
}

/// What `systemctl status` shows: few words on one line.
pub fn status(words: &str) {
    tell(&[NotifyState::Status(words)]);
}

/// Says that the program is about to end.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Says that the thread is not stuck, twice in the time after which a watchdog would end the process. To be run on the
/// thread whose being stuck matters. Ends at once if there is no watchdog.
pub async fn stay_awake() {
    let Some(most) = sd_notify::watchdog_enabled() else { return };
    let mut beat = tokio::time::interval((most / 2).max(Duration::from_millis(1)));
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager does not listen");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;
    use std::process::Command;

    /// Set where this program is the one that tells.
    const TELLS: &str = "GUILD_TEST_TELLS";

    /// Runs this test again in a process of its own, whose environment nobody else reads.
    #[test]
    fn it_is_told_as_systemd_reads_it() {
        if std::env::var_os(TELLS).is_some() {
            return tell_all();
        }
        let dir = tempfile::tempdir().unwrap();
        let address = dir.path().join("notify");
        let socket = UnixDatagram::bind(&address).unwrap();
        let mut program = Command::new(std::env::current_exe().unwrap());
        program.args(["--exact", "systemd::tests::it_is_told_as_systemd_reads_it"]).env(TELLS, "yes");
        program.env("NOTIFY_SOCKET", &address).env("WATCHDOG_USEC", "20000").env_remove("WATCHDOG_PID");
        assert!(program.output().unwrap().status.success());
        socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 512];
        let mut heard = String::new();
        while let Ok(size) = socket.recv(&mut buffer) {
            heard.push_str(&str::from_utf8(&buffer[..size]).unwrap().replace('\n', ";"));
            heard.push('\n');
        }
        assert!(heard.starts_with("STATUS=two words;\nREADY=1;\nRELOADING=1;MONOTONIC_USEC="), "{heard}");
        assert!(heard.ends_with("STOPPING=1;\nWATCHDOG=1;\nWATCHDOG=1;\nWATCHDOG=1;\n"), "{heard}");
    }

    fn tell_all() {
        status("two words");
        ready();
        reloading();
        stopping();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        // at the start, and then each 10 ms
        let awake = async { tokio::time::timeout(Duration::from_millis(25), stay_awake()).await };
        assert!(runtime.block_on(awake).is_err());
    }
}
