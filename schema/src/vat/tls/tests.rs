//! Tests our end of TLS against the library's own, which buffers. They must understand each other however the bytes are cut.

use std::io::ErrorKind;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

struct Keys {
    server: Identity,
    client: Identity,
}

impl Keys {
    fn new() -> Keys {
        Keys { server: Identity::generate(), client: Identity::generate() }
    }

    fn client_config(&self) -> Arc<ClientConfig> {
        let pin = Arc::new(PinnedKey::new(self.server.fingerprint()));
        Arc::new(client_config(pin, Some(&self.client)).unwrap())
    }

    async fn our_client(&self, below: DuplexStream) -> TlsStream<DuplexStream> {
        TlsStream::open(below, Session::client(self.client_config(), name()).unwrap()).await.unwrap()
    }

    async fn our_server(&self, below: DuplexStream) -> TlsStream<DuplexStream> {
        let secured = accept(below, &self.server).await.unwrap();
        assert_eq!(secured.peer, Some(self.client.fingerprint()));
        secured.stream
    }

    async fn their_client(&self, below: DuplexStream) -> tokio_rustls::client::TlsStream<DuplexStream> {
        TlsConnector::from(self.client_config()).connect(name(), below).await.unwrap()
    }

    async fn their_server(&self, below: DuplexStream) -> tokio_rustls::server::TlsStream<DuplexStream> {
        let config = Arc::new(server_config(&self.server).unwrap());
        TlsAcceptor::from(config).accept(below).await.unwrap()
    }

    /// Returns a connected client and server. `pairing` is 0 if both are ours, 1 if only the client is, and else only the server is.
    async fn pair(&self, pairing: u8, room: usize) -> (Box<dyn Stream>, Box<dyn Stream>) {
        let (near, far) = duplex(room);
        match pairing {
            0 => {
                let (client, server) = tokio::join!(self.our_client(near), self.our_server(far));
                (Box::new(client), Box::new(server))
            }
            1 => {
                let (client, server) = tokio::join!(self.our_client(near), self.their_server(far));
                (Box::new(client), Box::new(server))
            }
            _ => {
                let (client, server) = tokio::join!(self.their_client(near), self.our_server(far));
                (Box::new(client), Box::new(server))
            }
        }
    }
}

fn name() -> ServerName<'static> {
    ServerName::try_from("guild.invalid").unwrap()
}

fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Writes `bytes` in pieces of these sizes, which it repeats, and then ends the stream.
async fn write(mut to: impl AsyncWrite + Unpin, bytes: &[u8], pieces: &[usize]) {
    let mut rest = bytes;
    for size in pieces.iter().cycle() {
        let (piece, later) = rest.split_at(rest.len().min(*size));
        to.write_all(piece).await.unwrap();
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    to.shutdown().await.unwrap();
}

/// Reads to the end of the stream, with buffers of these sizes, which it repeats.
async fn read(mut from: impl AsyncRead + Unpin, pieces: &[usize]) -> Vec<u8> {
    let mut seen = Vec::new();
    for size in pieces.iter().cycle() {
        let mut piece = vec![0; *size];
        let count = from.read(&mut piece).await.unwrap();
        if count == 0 {
            break;
        }
        seen.extend_from_slice(&piece[..count]);
    }
    seen
}

fn pieces() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![1usize..40, 1usize..9_000, 15_000usize..90_000], 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn both_directions_arrive_whole(
        pairing in 0u8..3,
        room in prop_oneof![1usize..100, 1_000usize..200_000],
        (up, down) in (0usize..200_000, 0usize..200_000),
        (writes, reads) in (pieces(), pieces()),
    ) {
        // a narrow stream carries only a little, because more would take too long
        let most = room * 2_000;
        let upward: Vec<u8> = (0..up.min(most)).map(|index| (index % 251) as u8).collect();
        let downward: Vec<u8> = (0..down.min(most)).map(|index| (index % 241) as u8).collect();
        let (seen_up, seen_down) = run(async {
            let (client, server) = Keys::new().pair(pairing, room).await;
            let ((client_in, client_out), (server_in, server_out)) = (split(client), split(server));
            let ((), (), seen_up, seen_down) = tokio::join!(
                write(client_out, &upward, &writes),
                write(server_out, &downward, &writes),
                read(server_in, &reads),
                read(client_in, &reads),
            );
            (seen_up, seen_down)
        });
        prop_assert!(seen_up == upward, "{} of {} bytes up", seen_up.len(), upward.len());
        prop_assert!(seen_down == downward, "{} of {} bytes down", seen_down.len(), downward.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// A greeting with some bytes changed and cut into records of other sizes makes the handshake fail and never hangs it.
    #[test]
    fn a_mangled_greeting_harms_nobody(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        fragment in 1usize..400,
        room in 1usize..2_000,
    ) {
        run(async {
            let keys = Keys::new();
            let mut greeting = Vec::new();
            let mut client = Session::client(keys.client_config(), name()).unwrap();
            client.take_in(&mut [], &mut greeting, &mut |_| {}).1.unwrap();
            for (index, byte) in changes {
                let index = index.index(greeting.len());
                greeting[index] = byte;
            }
            let (kind, body) = greeting.split_at(5);
            let record = |part: &[u8]| [&kind[..3], &(part.len() as u16).to_be_bytes(), part].concat();
            let wire: Vec<u8> = body.chunks(fragment).flat_map(record).collect();
            let (near, far) = duplex(room);
            let (mut near_in, mut near_out) = split(near);
            let says = async {
                let _ = near_out.write_all(&wire).await;
                let _ = near_out.shutdown().await;
            };
            let hears = async { near_in.read_to_end(&mut Vec::new()).await };
            let (accepted, (), heard) = tokio::join!(accept(far, &keys.server), says, hears);
            assert!(matches!(accepted, Err(VatError::Handshake(_))));
            heard.unwrap();
        });
    }
}

#[test]
fn a_stream_at_rest_holds_no_buffer() {
    run(async {
        let keys = Keys::new();
        let (near, far) = duplex(4_000);
        let (mut client, mut server) = tokio::join!(keys.our_client(near), keys.our_server(far));
        let big = vec![7; 300_000];
        let mut seen = vec![0; big.len()];
        let sent = async {
            client.write_all(&big).await.unwrap();
            client.flush().await.unwrap();
        };
        let ((), read) = tokio::join!(sent, server.read_exact(&mut seen));
        read.unwrap();
        assert_eq!((seen == big, client.held(), server.held()), (true, 0, 0));
    });
}

#[test]
fn new_keys_are_taken_over() {
    run(async {
        let keys = Keys::new();
        let (near, far) = duplex(100_000);
        let (mut ours, mut theirs) = tokio::join!(keys.our_client(near), keys.their_server(far));
        let mut four = [0; 4];
        for _ in 0..3 {
            theirs.get_mut().1.refresh_traffic_keys().unwrap();
            theirs.write_all(b"down").await.unwrap();
            theirs.flush().await.unwrap();
            ours.read_exact(&mut four).await.unwrap();
            assert_eq!(&four, b"down");
            // this write also carries our change of keys
            ours.write_all(b"up..").await.unwrap();
            ours.flush().await.unwrap();
            theirs.read_exact(&mut four).await.unwrap();
            assert_eq!(&four, b"up..");
        }
    });
}

#[test]
fn an_end_without_a_last_word_is_an_error() {
    run(async {
        let keys = Keys::new();
        let (near, far) = duplex(100_000);
        let (mut client, server) = tokio::join!(keys.our_client(near), keys.our_server(far));
        drop(server);
        assert_eq!(client.read(&mut [0; 9]).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    });
}

#[test]
fn a_changed_byte_ends_the_stream_and_the_peer_hears_why() {
    run(async {
        let keys = Keys::new();
        let ((near, mut near_wire), (far, mut far_wire)) = (duplex(100_000), duplex(100_000));
        // passes all bytes on, and once `wrong` is set it flips one bit in each piece that the client sends
        let wrong = std::cell::Cell::new(false);
        let wire = async {
            let (mut up, mut down) = ([0; 9_000], [0; 9_000]);
            loop {
                tokio::select! {
                    count = near_wire.read(&mut up) => {
                        let count = count.unwrap();
                        up[count - 1] ^= u8::from(wrong.get());
                        far_wire.write_all(&up[..count]).await.unwrap();
                    }
                    count = far_wire.read(&mut down) => {
                        let count = count.unwrap();
                        near_wire.write_all(&down[..count]).await.unwrap();
                    }
                }
            }
        };
        let ends = async {
            let (mut client, mut server) = tokio::join!(keys.our_client(near), keys.our_server(far));
            wrong.set(true);
            client.write_all(b"hello").await.unwrap();
            assert_eq!(server.read(&mut [0; 9]).await.unwrap_err().kind(), ErrorKind::InvalidData);
            let heard = client.read(&mut [0; 9]).await.unwrap_err();
            assert!(heard.to_string().contains("BadRecordMac"), "{heard}");
        };
        tokio::select! {
            biased;
            () = ends => {}
            () = wire => {}
        }
    });
}

#[test]
fn who_does_not_speak_tls_is_told_so() {
    run(async {
        let keys = Keys::new();
        let (mut near, far) = duplex(100_000);
        let asks = async {
            near.write_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n").await.unwrap();
            let mut answer = Vec::new();
            near.read_to_end(&mut answer).await.unwrap();
            answer
        };
        let (answer, accepted) = tokio::join!(asks, accept(far, &keys.server));
        assert!(matches!(accepted, Err(VatError::Handshake(_))));
        // the first byte of a record says its type, and 21 is an alert
        assert_eq!(answer.first(), Some(&21));
    });
}
