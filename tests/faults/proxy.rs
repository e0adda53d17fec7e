//! `fault-proxy LISTEN TARGET` carries connections between real processes, and disturbs them as its standard input says, with one
//! word per line. It ends when its input ends.
//!
//! ```text
//! cut        resets every connection, also new ones, until `heal`
//! stall      accepts data and delivers nothing, like a link that drops all packets, until `heal`
//! slow       delivers 64 kbit/s, like a slow line, until `heal`
//! byte       delivers one byte at a time, each after a millisecond, until `heal`
//! corrupt    flips one bit of the next bytes that pass
//! heal       ends all faults
//! ```
//!
//! `stall`, `slow`, `byte` and `corrupt` may be followed by `up` (towards the target) or by `down`. The other direction then works
//! normally.
//!
//! The program prints each word on standard output as soon as it is in force.

use std::cell::Cell;
use std::io::Write as _;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local};

/// The bytes that one direction of a connection reads at a time.
const CHUNK_BYTES: usize = 64 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Well,
    Cut,
    Stalled(Way),
    Trickling(Way, Trickle),
}

/// `Trickle` is the rate of a slow link: the bytes that pass at a time, and the pause after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Trickle {
    bytes: usize,
    pause: Duration,
}

const BYTE_BY_BYTE: Trickle = Trickle { bytes: 1, pause: Duration::from_millis(1) };
/// The rate of `slow`: 64 kbit/s.
const THIN_LINE: Trickle = Trickle { bytes: 512, pause: Duration::from_millis(64) };

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// The direction towards the target.
    Up,
    Down,
    Both,
}

impl Way {
    /// Whether a fault in this direction disturbs the data that pass in the direction `way`.
    fn meets(self, way: Way) -> bool {
        self == Way::Both || self == way
    }
}

struct Proxy {
    target: String,
    link: watch::Sender<Link>,
    /// The direction in which one bit of the next bytes is flipped. `None` means that no bit is.
    corrupts: Cell<Option<Way>>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, target] = arguments.as_slice() else {
        eprintln!("usage: fault-proxy LISTEN TARGET");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    match LocalSet::new().block_on(&runtime, serve(listen, target)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fault-proxy {listen} {target}: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(listen: &str, target: &str) -> std::io::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    let proxy =
        Rc::new(Proxy { target: target.to_owned(), link: watch::Sender::new(Link::Well), corrupts: Cell::new(None) });
    let accepting = proxy.clone();
    spawn_local(async move {
        while let Ok((near, _)) = listener.accept().await {
            spawn_local(accepting.clone().join(near));
        }
    });
    let mut words = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = words.next_line().await? {
        if !proxy.obey(line.trim()) {
            return Err(std::io::Error::other(format!("`{line}` is not a word of mine")));
        }
        writeln!(std::io::stdout(), "{}", line.trim())?;
    }
    Ok(())
}

impl Proxy {
    /// Puts a word into force. Returns false if the line is not a known word.
    fn obey(&self, line: &str) -> bool {
        let (word, way) = match line.split_once(' ') {
            Some((word, "up")) => (word, Way::Up),
            Some((word, "down")) => (word, Way::Down),
            Some(_) => return false,
            None => (line, Way::Both),
        };
        let link = match word {
            "cut" => Link::Cut,
            "stall" => Link::Stalled(way),
            "slow" => Link::Trickling(way, THIN_LINE),
            "byte" => Link::Trickling(way, BYTE_BY_BYTE),
            "heal" => Link::Well,
            "corrupt" => {
                self.corrupts.set(Some(way));
                return true;
            }
            _ => return false,
        };
        self.link.send_replace(link);
        true
    }

    /// Carries one connection until it ends or is cut.
    async fn join(self: Rc<Self>, mut near: TcpStream) {
        let mut link = self.link.subscribe();
        if *link.borrow() == Link::Cut {
            return reset(near);
        }
        let Ok(mut far) = TcpStream::connect(&self.target).await else { return reset(near) };
        let _ = (near.set_nodelay(true), far.set_nodelay(true));
        let ((near_in, near_out), (far_in, far_out)) = (near.split(), far.split());
        let carried =
            futures::future::join(self.carry(Way::Up, near_in, far_out), self.carry(Way::Down, far_in, near_out));
        let is_cut = tokio::select! {
            _ = carried => false,
            _ = link.wait_for(|link| *link == Link::Cut) => true,
        };
        if is_cut {
            reset(near);
            reset(far);
        }
    }

    async fn carry(&self, way: Way, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
        let mut link = self.link.subscribe();
        let mut bytes = vec![0; CHUNK_BYTES];
        while let Ok(count @ 1..) = from.read(&mut bytes).await {
            if self.corrupts.get().is_some_and(|hit| hit.meets(way)) {
                self.corrupts.set(None);
                bytes[count / 2] ^= 1;
                eprintln!("corrupted one of {count} bytes");
            }
            if deliver(&bytes[..count], way, &mut to, &mut link).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    }
}

async fn deliver(
    mut bytes: &[u8],
    way: Way,
    to: &mut (impl AsyncWrite + Unpin),
    link: &mut watch::Receiver<Link>,
) -> std::io::Result<()> {
    while !bytes.is_empty() {
        let _ = link.wait_for(|link| !matches!(link, Link::Stalled(stalled) if stalled.meets(way))).await;
        let now = *link.borrow();
        let trickle = if let Link::Trickling(slow, trickle) = now { slow.meets(way).then_some(trickle) } else { None };
        let count = trickle.map_or(bytes.len(), |trickle| trickle.bytes.min(bytes.len()));
        to.write_all(&bytes[..count]).await?;
        bytes = &bytes[count..];
        if let Some(trickle) = trickle {
            tokio::time::sleep(trickle.pause).await;
        }
    }
    Ok(())
}

/// Closes a connection so that the peer sees a reset and not an end.
fn reset(stream: TcpStream) {
    let _ = stream.set_zero_linger();
}
