//! A client reads any bytes of a server. It makes all its calls at once and reads the answers that arrive.

use super::messages::conversation;
use super::pieces::Pieces;
use super::played::{Said, end, run, settle};
use super::server::METHODS;
use capnp::Error;
use capnp::capability::{FromClientHook as _, Promise, Response};
use schema::event_capnp::observer;
use schema::gateway_capnp::gateway;
use schema::perspective_capnp::perspective;
use schema::perspective_capnp::viewer::{self, watch_results};
use schema::vat::{Limits, Vat, connect};
use schema::wire::{VERSIONS, read_cursor, read_event, refusal};
use std::cell::Cell;
use std::rc::Rc;

pub fn target(data: &[u8]) {
    let mut pieces = Pieces(data);
    let chunk = usize::from(pieces.byte().unwrap_or(0)) * 64 + 1;
    let bytes = conversation(&mut pieces, METHODS);
    run(async {
        let vat = connect(Said { bytes, at: 0, chunk }, Limits::known());
        let open = Rc::new(Cell::new(0));
        ask_everything(&vat, &open);
        settle().await;
        end(vat).await;
        assert_eq!(open.get(), 0, "a call of a closed connection has no end");
    });
}

/// Makes pipelined calls down to the bytes of a log, so that the server can answer questions 1 to 8.
fn ask_everything(vat: &Vat, open: &Rc<Cell<usize>>) {
    let gateway: gateway::Client = vat.bootstrap();
    let mut restore = gateway.restore_request();
    restore.get().set_token(&[7; 32]);
    restore.get().init_versions().set_max(*VERSIONS.end());
    let restored = restore.send();
    let perspective = perspective::Client::new(restored.pipeline.get_capability().as_cap());
    let viewer = perspective.viewer_request().send().pipeline.get_viewer();
    let build = viewer.build_request().send().pipeline.get_build();
    let reader = build.log_request().send().pipeline.get_reader();
    read(open, restored.promise, |answer| refusal(answer.get()?.has_refusal(), answer.get()?.get_refusal()).map(drop));
    read(open, build.view_request().send().promise, |answer| answer.get()?.total_size().map(drop));
    read(open, viewer.projects_request().send().promise, |answer| answer.get()?.get_projects().map(drop));
    read(open, viewer.workers_request().send().promise, |answer| answer.get()?.get_workers().map(drop));
    read(open, reader.read_request().send().promise, |answer| answer.get()?.get_bytes().map(drop));
    read(open, watched(&viewer), |answer| answer.get().map(drop));
}

/// Starts a watch with an observer that reads what it gets.
fn watched(viewer: &viewer::Client) -> Answer<watch_results::Owned> {
    let mut watch = viewer.watch_request();
    watch.get().set_observer(capnp_rpc::new_client(Observing));
    watch.send().promise
}

type Answer<T> = Promise<Response<T>, Error>;

/// Reads an answer when it arrives. An error counts as an answer.
fn read<T: capnp::traits::Pipelined + capnp::traits::Owned + Unpin + 'static>(
    open: &Rc<Cell<usize>>,
    answer: Answer<T>,
    look: impl FnOnce(Response<T>) -> capnp::Result<()> + 'static,
) {
    let open = open.clone();
    open.set(open.get() + 1);
    tokio::task::spawn_local(async move {
        let _ = answer.await.and_then(look);
        open.set(open.get() - 1);
    });
}

struct Observing;

impl observer::Server for Observing {
    async fn observe(
        self: Rc<Self>,
        params: observer::ObserveParams,
        _: observer::ObserveResults,
    ) -> Result<(), Error> {
        read_cursor(params.get()?.get_cursor()?);
        params.get()?.get_events()?.iter().try_for_each(|event| read_event(event).map(drop))
    }

    async fn gap(self: Rc<Self>, params: observer::GapParams, _: observer::GapResults) -> Result<(), Error> {
        read_cursor(params.get()?.get_cursor()?);
        Ok(())
    }
}
