//! Tells the master of the troubles of this machine, when a session begins and after each change.

use crate::attempt::troubles::Troubles;
use schema::wire;
use schema::worker_capnp::session;

/// Tells the master for as long as the session lasts. An older master does not know the call, so its failure does not matter.
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
