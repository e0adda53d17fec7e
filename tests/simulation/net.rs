//! The simulated network: a cable from each host to the master, which carries all connections of the host. A cable delays data,
//! can hold them back in one or both directions, let through a few bytes at a time, cut connections and refuse new ones.

use schema::sturdy_ref::Fingerprint;
use schema::vat::VatError;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use support::seed::Random;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

const BUFFER: usize = 64 << 10;
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// A host counts as cut off after this long without a byte in one direction. Heartbeats are more frequent on a good link.
const SILENCE: Duration = Duration::from_secs(17);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Clear,
    Held,
    Trickles,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// The state of the direction to the master; `down` is the other direction.
    pub up: Way,
    pub down: Way,
    pub refuses: bool,
    /// The number of cuts so far. Each increase cuts all connections.
    pub cuts: u64,
}

/// `Cable` is the link between one host and the master.
pub struct Cable {
    weather: watch::Sender<Weather>,
    heard: [Cell<Instant>; 2],
    /// The intervals in which no byte came through in at least one direction.
    silences: RefCell<Vec<(Instant, Instant)>>,
    random: RefCell<Random>,
}

impl Cable {
    pub fn new(seed: u64) -> Rc<Cable> {
        let clear = Weather { up: Way::Clear, down: Way::Clear, refuses: false, cuts: 0 };
        let now = Instant::now();
        Rc::new(Cable {
            weather: watch::Sender::new(clear),
            heard: [Cell::new(now), Cell::new(now)],
            silences: RefCell::default(),
            random: RefCell::new(Random::new(seed)),
        })
    }

    pub fn set(&self, change: impl FnOnce(&mut Weather)) {
        self.weather.send_modify(change);
    }

    pub fn clear(&self) {
        self.set(|weather| *weather = Weather { cuts: weather.cuts, up: Way::Clear, down: Way::Clear, refuses: false });
    }

    /// Returns the longest time within `from..to` during which host and master could not talk to each other.
    pub fn silence_within(&self, from: Instant, to: Instant) -> Duration {
        let open = self.heard.iter().map(|heard| (heard.get(), Instant::now()));
        let all = self.silences.borrow().iter().copied().chain(open).collect::<Vec<_>>();
        let cut = all.into_iter().map(|(begin, end)| end.min(to).saturating_duration_since(begin.max(from)));
        cut.max().unwrap_or_default()
    }

    fn hear(&self, way: usize) {
        let (before, now) = (self.heard[way].replace(Instant::now()), Instant::now());
        if now - before > SILENCE {
            self.silences.borrow_mut().push((before, now));
        }
    }

    fn way(&self, way: usize) -> Way {
        let weather = self.weather.borrow();
        if way == 0 { weather.up } else { weather.down }
    }

    async fn when_not_held(&self, way: usize) {
        let mut weather = self.weather.subscribe();
        let is_free = |weather: &Weather| if way == 0 { weather.up != Way::Held } else { weather.down != Way::Held };
        let _ = weather.wait_for(is_free).await;
    }

    async fn travel(&self) {
        let ms = 1 + self.random.borrow_mut().below(30) as u64;
        sleep(Duration::from_millis(ms)).await;
    }
}

/// `Caller` is a connection that reached the master, and the key that its peer has proved.
pub type Caller = (DuplexStream, Option<Fingerprint>);

/// `Net` is the network. It knows whether the master listens.
#[derive(Clone)]
pub struct Net {
    door: Rc<RefCell<Option<mpsc::UnboundedSender<Caller>>>>,
    lay: mpsc::UnboundedSender<(DuplexStream, DuplexStream, Rc<Cable>)>,
}

impl Net {
    /// Makes a network. Its connections live in the `LocalSet` of the caller, so they outlive the hosts at their ends.
    pub fn new() -> Net {
        let (lay, mut laid) = mpsc::unbounded_channel::<(DuplexStream, DuplexStream, Rc<Cable>)>();
        tokio::task::spawn_local(async move {
            while let Some((near, far, cable)) = laid.recv().await {
                tokio::task::spawn_local(relay(near, far, cable));
            }
        });
        Net { door: Rc::default(), lay }
    }

    pub fn open_door(&self, door: mpsc::UnboundedSender<Caller>) {
        *self.door.borrow_mut() = Some(door);
    }

    pub fn close_door(&self) {
        self.door.borrow_mut().take();
    }

    pub async fn dial(&self, cable: &Rc<Cable>, key: Fingerprint) -> Result<DuplexStream, VatError> {
        let refused = |why: &str| VatError::Unreachable { tried: vec![why.to_owned()] };
        let there = async {
            cable.travel().await;
            cable.when_not_held(0).await;
            cable.when_not_held(1).await;
        };
        timeout(CONNECT_MAX, there).await.map_err(|_| refused("no answer"))?;
        if cable.weather.borrow().refuses {
            return Err(refused("refused"));
        }
        let door = self.door.borrow().clone().ok_or_else(|| refused("nobody listens"))?;
        let (ours, near) = duplex(BUFFER);
        let (far, theirs) = duplex(BUFFER);
        door.send((theirs, Some(key))).map_err(|_| refused("nobody listens"))?;
        let _ = self.lay.send((near, far, cable.clone()));
        Ok(ours)
    }
}

async fn relay(near: DuplexStream, far: DuplexStream, cable: Rc<Cable>) {
    let (near_in, near_out) = split(near);
    let (far_in, far_out) = split(far);
    let mut weather = cable.weather.subscribe();
    let cuts = weather.borrow().cuts;
    let both = async { tokio::join!(carry(near_in, far_out, &cable, 0), carry(far_in, near_out, &cable, 1)) };
    tokio::select! {
        biased;
        _ = weather.wait_for(|weather| weather.cuts != cuts) => {}
        _ = both => {}
    }
}

async fn carry(mut from: ReadHalf<DuplexStream>, mut to: WriteHalf<DuplexStream>, cable: &Cable, way: usize) {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = from.read(&mut buffer).await.unwrap_or(0);
        cable.when_not_held(way).await;
        cable.travel().await;
        cable.when_not_held(way).await;
        if count == 0 {
            let _ = to.shutdown().await;
            return;
        }
        let part = if cable.way(way) == Way::Trickles { 1 + cable.random.borrow_mut().below(40) } else { count };
        for bytes in buffer[..count].chunks(part) {
            if to.write_all(bytes).await.is_err() {
                return;
            }
            if part < count {
                sleep(Duration::from_millis(1)).await;
            }
        }
        cable.hear(way);
    }
}
