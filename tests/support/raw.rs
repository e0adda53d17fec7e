//! A peer of a real master whose messages a test writes itself, so they can be anything.

#[path = "../../schema/tests/common/raw.rs"]
mod messages;

pub use messages::*;

use capnp::traits::HasTypeId;
use schema::gateway_capnp::gateway;
use schema::identity::Identity;
use schema::perspective_capnp::{build, perspective, viewer};
use schema::sturdy_ref::SturdyRef;
use schema::vat::{self, TlsStream};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The capabilities in the answers to the questions that [`RawPeer::log_in`] asks. The number is the question's.
pub const GATEWAY: Target = Target::Answer(0);
pub const PERSPECTIVE: Target = Target::First(1);
pub const VIEWER: Target = Target::First(2);
pub const BUILD: Target = Target::First(3);
pub const READER: Target = Target::First(4);
/// The first number of a question that [`RawPeer::log_in`] does not use.
pub const FREE: u32 = 5;

pub const GATEWAY_TYPE: u64 = <gateway::Client as HasTypeId>::TYPE_ID;
pub const BUILD_TYPE: u64 = <build::Client as HasTypeId>::TYPE_ID;
pub const READER_TYPE: u64 = <schema::log_capnp::log_reader::Client as HasTypeId>::TYPE_ID;
const PERSPECTIVE_TYPE: u64 = <perspective::Client as HasTypeId>::TYPE_ID;
pub const VIEWER_TYPE: u64 = <viewer::Client as HasTypeId>::TYPE_ID;

pub struct RawPeer {
    stream: TlsStream<TcpStream>,
    heard: Vec<u8>,
}

impl RawPeer {
    pub async fn dial(reference: &SturdyRef, identity: &Identity) -> RawPeer {
        let secured = vat::dial(reference, Some(identity)).await.unwrap();
        RawPeer::over(secured.stream)
    }

    pub fn over(stream: TlsStream<TcpStream>) -> RawPeer {
        RawPeer { stream, heard: Vec::new() }
    }

    /// Sends a message. Returns false if the connection has ended.
    pub async fn say(&mut self, message: &[u8]) -> bool {
        let said = async {
            self.stream.write_all(message).await?;
            self.stream.flush().await
        };
        timeout(Duration::from_secs(10), said).await.is_ok_and(|said| said.is_ok())
    }

    /// Sends many bytes, and meanwhile reads and ignores what arrives. Returns when all is sent or the connection has ended.
    pub async fn drown(&mut self, bytes: &[u8]) {
        let (mut reading, mut writing) = tokio::io::split(&mut self.stream);
        let read = async { while reading.read(&mut [0; 4096]).await.is_ok_and(|count| count > 0) {} };
        let write = async {
            let _ = writing.write_all(bytes).await;
            let _ = writing.flush().await;
        };
        tokio::select! { () = read => (), () = write => () }
    }

    /// Waits for the next message and returns it. `None` means that the connection has ended.
    pub async fn hear(&mut self) -> Option<Heard> {
        loop {
            if let Some(length) = first_length(&self.heard) {
                let message: Vec<u8> = self.heard.drain(..length).collect();
                return Some(read(&message));
            }
            let reading = timeout(Duration::from_secs(10), self.stream.read_buf(&mut self.heard));
            if reading.await.expect("an answer, or an end").unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// Waits for the answer to a question and ignores all messages before it. Panics if the connection ends first.
    pub async fn answer(&mut self, question: u32) -> Heard {
        loop {
            match self.hear().await {
                Some(Heard::GaveUp(why)) => panic!("the connection is over: {why}"),
                None => panic!("the connection is over"),
                Some(Heard::Results(of, objects)) if of == question => return Heard::Results(of, objects),
                Some(Heard::Exception(of, why)) if of == question => return Heard::Exception(of, why),
                Some(Heard::Elsewhere(of)) if of == question => return Heard::Elsewhere(of),
                Some(_) => (),
            }
        }
    }

    pub async fn bootstrap(&mut self) {
        assert!(self.say(&bootstrap(0)).await);
        assert!(matches!(self.answer(0).await, Heard::Results(0, _)));
    }

    /// Shows a credential and asks for the viewer, the first build of `demo` and the log of its first step.
    pub async fn log_in(&mut self, reference: &SturdyRef) {
        self.log_in_to(reference, "demo", "greet").await;
    }

    /// Like [`RawPeer::log_in`], with the first build of this project and the log of this job.
    pub async fn log_in_to(&mut self, reference: &SturdyRef, project: &str, job: &str) {
        self.bootstrap().await;
        let build = call_on(VIEWER, 3, VIEWER_TYPE, 2, |call| {
            let mut params: viewer::build_params::Builder<'_> = call.init_params().init_content().init_as();
            params.set_project(project);
            params.set_number(1);
        });
        let log = call_on(BUILD, 4, BUILD_TYPE, 2, |call| {
            let mut params: build::log_params::Builder<'_> = call.init_params().init_content().init_as();
            params.set_job(job);
            params.set_step(1);
        });
        let messages =
            [restore(1, reference), call_on(PERSPECTIVE, 2, PERSPECTIVE_TYPE, 1, |_| ()), build, log].concat();
        assert!(self.say(&messages).await);
        assert!(matches!(self.answer(4).await, Heard::Results(4, _)));
    }
}

/// Returns a message that shows the token of a credential, as this question.
pub fn restore(question: u32, reference: &SturdyRef) -> Vec<u8> {
    call_on(GATEWAY, question, GATEWAY_TYPE, 0, |call| {
        let mut params: gateway::restore_params::Builder<'_> = call.init_params().init_content().init_as();
        params.set_token(reference.token.as_bytes());
        let mut versions = params.init_versions();
        versions.set_min(1);
        versions.set_max(1);
    })
}
