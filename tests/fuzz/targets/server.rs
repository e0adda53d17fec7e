//! A server reads any bytes of a peer: a stranger or a known peer, at once or in chunks, perhaps with a revocation in the middle.

use super::messages::{Methods, conversation};
use super::pieces::Pieces;
use super::played::{Said, Traces, end, run, settle};
use capnp::traits::HasTypeId;
use schema::gateway_capnp::gateway;
use schema::log_capnp::log_reader;
use schema::perspective_capnp::{build, perspective, viewer};
use schema::vat::{Limits, Side, start};

/// All methods that a played object answers, and two that none does.
pub const METHODS: Methods = &[
    (<gateway::Client as HasTypeId>::TYPE_ID, 0),
    (<perspective::Client as HasTypeId>::TYPE_ID, 1),
    (<viewer::Client as HasTypeId>::TYPE_ID, 2),
    (<viewer::Client as HasTypeId>::TYPE_ID, 5),
    (<build::Client as HasTypeId>::TYPE_ID, 1),
    (<build::Client as HasTypeId>::TYPE_ID, 2),
    (<log_reader::Client as HasTypeId>::TYPE_ID, 1),
    (<log_reader::Client as HasTypeId>::TYPE_ID, 2),
    (<log_reader::Client as HasTypeId>::TYPE_ID, 9),
    (0, 0),
];
/// The budget that the connection would share with others of its grant, in bytes.
const BUDGET: usize = 1 << 20;

/// The first byte chooses the kind of peer and whether it is revoked, the second the size of chunks.
pub fn target(data: &[u8]) {
    let mut pieces = Pieces(data);
    let (who, chunk) = (pieces.byte().unwrap_or(0), pieces.byte().unwrap_or(0));
    let bytes = conversation(&mut pieces, METHODS);
    let limits = if who & 1 == 0 { Limits::known() } else { Limits::stranger() };
    serve(Said { bytes, at: 0, chunk: usize::from(chunk) * 64 + 1 }, limits, who & 2 != 0, BUDGET);
}

/// Serves the played master to a peer that sends `said`, and checks that nothing of the connection is left.
pub fn serve(said: Said, limits: Limits, is_revoked: bool, budget: usize) {
    run(async {
        let traces = Traces::new(budget);
        let vat = start(said, Side::Server, traces.gateway(), limits);
        vat.share(&traces.budget);
        if is_revoked {
            tokio::task::yield_now().await;
            traces.gate.revoke("in the middle");
        }
        settle().await;
        end(vat).await;
        traces.check();
    });
}
