//! Shows the link to the RPC library in the form that it expects: a network of two vats. It translates and decides nothing.

use std::rc::Rc;

use capnp::Error;
use capnp::any_pointer;
use capnp::capability::Promise;
use capnp::message::{Builder, HeapAllocator};
use capnp_rpc::rpc_twoparty_capnp::Side;

use super::CloseReason;
use super::input::Message;
use super::link::Link;

/// The largest first segment of a message, in words. The library asks for 8 KiB per request, but most messages are far smaller, and
/// a message that needs more gets further segments.
const FIRST_SEGMENT_WORDS_MAX: u32 = 128;

pub(super) struct Network {
    link: Rc<Link>,
    side: Side,
    accepted: bool,
}

impl Network {
    pub(super) fn new(link: Rc<Link>, side: Side) -> Self {
        Self { link, side, accepted: false }
    }

    fn connection(&self) -> Box<dyn capnp_rpc::Connection<Side>> {
        Box::new(Connection { link: self.link.clone(), side: self.side })
    }
}

impl capnp_rpc::VatNetwork<Side> for Network {
    fn connect(&mut self, host: Side) -> Option<Box<dyn capnp_rpc::Connection<Side>>> {
        (host != self.side).then(|| self.connection())
    }

    fn accept(&mut self) -> Promise<Box<dyn capnp_rpc::Connection<Side>>, Error> {
        if std::mem::replace(&mut self.accepted, true) {
            return Promise::from_future(std::future::pending());
        }
        Promise::ok(self.connection())
    }

    /// Returns a promise that never resolves, because the driver decides when the connection is over.
    fn drive_until_shutdown(&mut self) -> Promise<(), Error> {
        Promise::from_future(std::future::pending())
    }
}

struct Connection {
    link: Rc<Link>,
    side: Side,
}

impl capnp_rpc::Connection<Side> for Connection {
    fn get_peer_vat_id(&self) -> Side {
        other(self.side)
    }

    fn new_outgoing_message(&mut self, words: u32) -> Box<dyn capnp_rpc::OutgoingMessage> {
        let words = words.clamp(1, FIRST_SEGMENT_WORDS_MAX);
        Box::new(Outgoing {
            message: Builder::new(HeapAllocator::new().first_segment_words(words)),
            link: self.link.clone(),
        })
    }

    fn receive_incoming_message(&mut self) -> Promise<Option<Box<dyn capnp_rpc::IncomingMessage>>, Error> {
        let link = self.link.clone();
        Promise::from_future(async move {
            match link.receive().await {
                Ok(Some(message)) => Ok(Some(Box::new(Incoming(message)) as Box<dyn capnp_rpc::IncomingMessage>)),
                Ok(None) => Ok(None),
                Err(reason) => {
                    let error = reason.to_error();
                    link.fail(reason);
                    Err(error)
                }
            }
        })
    }

    /// Answers at once and without an error, because the library would print an error on the standard output.
    fn shutdown(&mut self, result: capnp::Result<()>) -> Promise<(), Error> {
        self.link.shut.set(true);
        let reason = match result {
            // An error of ours has set the reason before, which stays. So this reason is kept only if the library found the error.
            Err(error) if error.kind != capnp::ErrorKind::Disconnected => CloseReason::Protocol(error.to_string()),
            Ok(()) | Err(_) => CloseReason::Closed,
        };
        self.link.fail(reason);
        Promise::ok(())
    }
}

pub(super) fn other(side: Side) -> Side {
    match side {
        Side::Client => Side::Server,
        Side::Server => Side::Client,
    }
}

struct Incoming(Message);

impl capnp_rpc::IncomingMessage for Incoming {
    fn get_body(&self) -> capnp::Result<any_pointer::Reader<'_>> {
        self.0.get_root()
    }
}

struct Outgoing {
    message: Builder<HeapAllocator>,
    link: Rc<Link>,
}

impl capnp_rpc::OutgoingMessage for Outgoing {
    fn get_body(&mut self) -> capnp::Result<any_pointer::Builder<'_>> {
        self.message.get_root()
    }

    fn get_body_as_reader(&self) -> capnp::Result<any_pointer::Reader<'_>> {
        self.message.get_root_as_reader()
    }

    fn send(self: Box<Self>) -> (Promise<(), Error>, Rc<Builder<HeapAllocator>>) {
        self.link.send(&self.message);
        (Promise::ok(()), Rc::new(self.message))
    }

    fn take(self: Box<Self>) -> Builder<HeapAllocator> {
        self.message
    }

    fn size_in_words(&self) -> usize {
        self.message.size_in_words()
    }
}
