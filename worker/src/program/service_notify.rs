//! The messages of this worker to the service manager that runs it, if there is one. They say that the worker serves, whether it is
//! connected to its master, and that it is not stuck. `system::systemd` has their form.

use system::systemd;
use tokio::sync::watch;

/// Begins to send messages. Call it when the state is open, whether or not the master can be reached. `attached` says whether the
/// master has let this worker in.
pub(crate) fn begin(mut attached: watch::Receiver<bool>) {
    if !systemd::is_listening() {
        return;
    }
    tokio::task::spawn_local(systemd::stay_awake());
    tell(*attached.borrow());
    systemd::ready();
    tokio::task::spawn_local(async move {
        while attached.changed().await.is_ok() {
            tell(*attached.borrow_and_update());
        }
    });
}

fn tell(is_attached: bool) {
    systemd::status(if is_attached { "connected" } else { "not connected" });
}
