//! Tells the master what somebody should see to on this machine: what there is when a session begins, and each change of it.

use crate::attempt::troubles::Troubles;
use schema::wire;
use schema::worker_capnp::session;

/// Tells for as long as the session lasts. A master that does not know the call has no doctor for it, so the call is in vain.
pub(super) async fn tell(troubles: &Troubles, session: &session::Client) -> ! {
    let mut changes = troubles.changes();
    let mut has_told = false;
    loop {
        let found: Vec<String> = changes.borrow_and_update().values().cloned().collect();
        if has_told || !found.is_empty() {
            let mut request = session.troubles_request();
            wire::write_texts(request.get().init_what(wire::length(found.len())), &found);
            has_told = true;
            let _ = request.send().promise.await;
        }
        if changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
