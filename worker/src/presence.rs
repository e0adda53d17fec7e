//! Tells the service manager that runs this worker, where there is one: that it serves, whether it has its master, and that
//! it is not stuck.

use crate::shared::Here;
use schema::systemd;
use std::rc::Rc;

/// From when the state is open; the master may be away.
pub(crate) fn begin(here: &Rc<Here>) {
    if !systemd::is_listening() {
        return;
    }
    tokio::task::spawn_local(systemd::stay_awake());
    let mut attached = here.attached.subscribe();
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
