//! The messages of a program to the service manager that runs it (sd_notify(3)). It reports that it is ready, reloads its files or
//! stops, and regularly that it is not stuck. Without a service manager, all functions do nothing. [`mod@unit`] makes the files by
//! which systemd runs a program.

pub mod unit;

use sd_notify::NotifyState;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// The variables that a program must not pass on to the processes that it starts.
pub const VARIABLES: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"];

/// Whether a service manager listens to this program.
pub fn is_listening() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// Reports that the program is ready. It also ends a reload that [`reloading`] began.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Reports that the program reloads its files. [`ready`] must follow, even if the program refuses the files.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the service manager could not be told that the file is reloaded"),
    }
}

/// Sets the few words that `systemctl status` shows on one line.
pub fn status(words: &str) {
    tell(&[NotifyState::Status(words)]);
}

/// Reports that the program is about to stop.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Reports that the thread is not stuck, twice in the time after which the watchdog would end the process. Run it on the thread that
/// must not be stuck. It returns at once if there is no watchdog.
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
        tracing::warn!(%error, "the service manager cannot be reached");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;
    use std::process::Command;

    /// The variable that is set in the process which sends the messages.
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
        // it reports at the start, and then every 10 ms
        let awake = async { tokio::time::timeout(Duration::from_millis(25), stay_awake()).await };
        assert!(runtime.block_on(awake).is_err());
    }
}
