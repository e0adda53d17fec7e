//! Sending logs to sinks that are slow, forget bytes, refuse writes or lie.

use super::*;
use schema::wire::write_refusal;
use std::cell::{Cell, RefCell};
use std::os::unix::fs::OpenOptionsExt as _;
use std::rc::Rc;
use tokio::task::{LocalSet, yield_now};

/// `Dice` is a small generator of numbers. The seed of a run that fails repeats it.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

#[derive(Default)]
struct Kept {
    bytes: RefCell<Vec<u8>>,
    marks: RefCell<Vec<(u64, i64)>>,
    in_flight: Cell<usize>,
    in_flight_max: Cell<usize>,
    writes: Cell<usize>,
    troubles: Cell<u32>,
}

/// The limit for the troubles that a sink makes, because a sink that forgets for ever never has a whole log.
const TROUBLES_MAX: u32 = 8;

/// `Sink` is a sink that does what the schema says, and sometimes makes trouble.
struct Sink {
    kept: Rc<Kept>,
    dice: RefCell<Dice>,
    trouble: Trouble,
}

#[derive(Clone, Copy, PartialEq)]
enum Trouble {
    None,
    /// Forgets some of its bytes, as after a power cut.
    Forgets,
    /// The sink takes only a part of a write.
    TakesParts,
    /// Sometimes refuses a write as `unavailable`.
    IsFull,
    /// Claims that it has received more than was ever sent.
    Boasts,
    Stale,
    Invalid,
}

impl Sink {
    fn roll(&self, limit: u64) -> u64 {
        self.dice.borrow_mut().below(limit)
    }

    fn refuse(mut results: log_sink::WriteResults, code: RefusalCode) -> capnp::Result<()> {
        write_refusal(results.get().init_refusal(), &Refusal::new(code, "no"));
        Ok(())
    }
}

/// `Landing` counts a write as in flight until it is dropped, so a write that is given up counts too.
struct Landing<'a>(&'a Kept, usize);

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        self.0.in_flight.set(self.0.in_flight.get() - self.1);
    }
}

impl log_sink::Server for Sink {
    async fn write(
        self: Rc<Self>,
        params: log_sink::WriteParams,
        mut results: log_sink::WriteResults,
    ) -> capnp::Result<()> {
        let kept = self.kept.clone();
        let params = params.get()?;
        let (offset, bytes) = (usize::try_from(params.get_offset()).unwrap(), params.get_bytes()?);
        kept.writes.set(kept.writes.get() + 1);
        kept.in_flight.set(kept.in_flight.get() + bytes.len());
        let landing = Landing(&kept, bytes.len());
        kept.in_flight_max.set(kept.in_flight_max.get().max(kept.in_flight.get()));
        for _ in 0..self.roll(4) {
            yield_now().await;
        }
        drop(landing);
        let is_bad_moment = self.roll(5) == 0 && kept.troubles.get() < TROUBLES_MAX;
        kept.troubles.set(kept.troubles.get() + u32::from(is_bad_moment));
        let refused = match self.trouble {
            Trouble::Stale => Some(RefusalCode::Stale),
            Trouble::Invalid => Some(RefusalCode::Invalid),
            Trouble::IsFull => is_bad_moment.then_some(RefusalCode::Unavailable),
            Trouble::None | Trouble::Forgets | Trouble::TakesParts | Trouble::Boasts => None,
        };
        if let Some(code) = refused {
            return Sink::refuse(results, code);
        }
        if self.trouble == Trouble::Forgets && is_bad_moment {
            let have = kept.bytes.borrow().len() as u64;
            let left = self.roll(have + 1);
            kept.bytes.borrow_mut().truncate(usize::try_from(left).unwrap());
        }
        let have = kept.bytes.borrow().len();
        if offset > have {
            return Sink::refuse(results, RefusalCode::Offset);
        }
        let fresh = bytes.get(have - offset..).unwrap_or(&[]);
        let is_part = self.trouble == Trouble::TakesParts && is_bad_moment;
        let taken = if is_part { fresh.len() / 2 } else { fresh.len() };
        kept.bytes.borrow_mut().extend_from_slice(&fresh[..taken]);
        kept.marks.borrow_mut().extend(params.get_marks()?.iter().map(|mark| (mark.get_offset(), mark.get_time())));
        let received = kept.bytes.borrow().len() as u64;
        results.get().set_received(if self.trouble == Trouble::Boasts { received + 1_000_000 } else { received });
        Ok(())
    }

    async fn size(self: Rc<Self>, _: log_sink::SizeParams, mut results: log_sink::SizeResults) -> capnp::Result<()> {
        results.get().set_received(self.kept.bytes.borrow().len() as u64);
        Ok(())
    }
}

struct Step {
    dir: tempfile::TempDir,
    bytes: Vec<u8>,
    grown: watch::Sender<Grown>,
}

impl Step {
    fn new() -> Step {
        let dir = tempfile::tempdir().unwrap();
        for name in ["log", "marks"] {
            File::options().write(true).create(true).truncate(true).mode(0o600).open(dir.path().join(name)).unwrap();
        }
        Step { dir, bytes: Vec::new(), grown: watch::Sender::default() }
    }

    fn spooled(&self) -> Spooled {
        Spooled {
            log: self.dir.path().join("log"),
            marks: self.dir.path().join("marks"),
            blocking: BlockingWork::Threads,
        }
    }

    /// Appends bytes and a mark to the spool, as a supervisor does.
    fn print(&mut self, bytes: &[u8]) {
        use std::io::Write as _;
        let append = |path: &std::path::Path, bytes: &[u8]| {
            File::options().append(true).open(path).unwrap().write_all(bytes).unwrap();
        };
        let size = self.bytes.len() as u64;
        append(&self.spooled().marks, &[size.to_le_bytes(), (size + 7).to_le_bytes()].concat());
        append(&self.spooled().log, bytes);
        self.bytes.extend_from_slice(bytes);
        self.grown.send_replace(Grown { size: self.bytes.len() as u64, is_final: false });
    }

    fn end(&self) {
        self.grown.send_modify(|grown| grown.is_final = true);
    }

    fn expected(&self) -> Shipped {
        Shipped { size: self.bytes.len() as u64, hash: Some(blake3::hash(&self.bytes).into()) }
    }
}

fn on_paused_clock(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, test);
}

fn sink(kept: &Rc<Kept>, trouble: Trouble, seed: u64) -> log_sink::Client {
    capnp_rpc::new_client(Sink { kept: kept.clone(), dice: RefCell::new(Dice(seed)), trouble })
}

/// Sends a log of random pieces to a sink with one kind of trouble.
async fn play(trouble: Trouble, seed: u64) {
    let mut dice = Dice(seed);
    let mut step = Step::new();
    let kept = Rc::new(Kept::default());
    let spooled = step.spooled();
    let shipping =
        tokio::task::spawn_local(ship_all(spooled, step.grown.subscribe(), sink(&kept, trouble, seed ^ 1), true));
    for _ in 0..dice.below(40) {
        let count = if dice.below(4) == 0 { dice.below(300_000) } else { dice.below(200) };
        let piece: Vec<u8> = (0..count).map(|_| dice.below(256) as u8).collect();
        step.print(&piece);
        for _ in 0..dice.below(6) {
            yield_now().await;
        }
    }
    step.end();
    let shipped = shipping.await.unwrap().unwrap();
    assert_eq!(shipped, step.expected(), "seed {seed}");
    assert_eq!(*kept.bytes.borrow(), step.bytes, "seed {seed}");
    assert!(kept.in_flight_max.get() <= crate::attempt::window::WINDOW_BYTES, "seed {seed}");
    // a mark that is sent again must be the same mark
    assert!(kept.marks.borrow().iter().all(|(offset, time)| offset + 7 == *time as u64), "seed {seed}");
}

async fn ship_all(
    spooled: Spooled,
    grown: watch::Receiver<Grown>,
    sink: log_sink::Client,
    is_new: bool,
) -> Result<Shipped, ShipError> {
    ship(&spooled, grown, sink, Window::new(), is_new).await
}

#[test]
fn every_byte_arrives_once_whatever_the_sink_does() {
    for trouble in [Trouble::None, Trouble::Forgets, Trouble::TakesParts, Trouble::IsFull] {
        for seed in 0..4 {
            on_paused_clock(play(trouble, seed));
        }
    }
}

#[test]
fn a_log_is_resumed_where_the_sink_says_and_hashed_whole() {
    on_paused_clock(async {
        let mut step = Step::new();
        step.print(&vec![b'a'; 200_000]);
        step.print(b"the end\n");
        step.end();
        let kept = Rc::new(Kept::default());
        kept.bytes.borrow_mut().extend_from_slice(&step.bytes[..150_001]);
        let shipped = ship_all(step.spooled(), step.grown.subscribe(), sink(&kept, Trouble::None, 0), false).await;
        assert_eq!(shipped.unwrap(), step.expected());
        assert_eq!(*kept.bytes.borrow(), step.bytes);
        assert_eq!(kept.writes.get(), 1);
    });
}

#[test]
fn a_lie_does_not_take_us_beyond_what_was_sent() {
    on_paused_clock(async {
        let mut step = Step::new();
        step.print(&vec![7; 500_000]);
        step.end();
        let kept = Rc::new(Kept::default());
        let boasting = sink(&kept, Trouble::Boasts, 3);
        let shipped = ship_all(step.spooled(), step.grown.subscribe(), boasting, true).await.unwrap();
        assert_eq!(shipped, step.expected());
        assert_eq!(*kept.bytes.borrow(), step.bytes);
    });
}

#[test]
fn a_stale_lease_ends_it_and_another_refusal_does_not_keep_the_step() {
    on_paused_clock(async {
        let mut step = Step::new();
        step.print(b"line\n");
        step.end();
        let kept = Rc::new(Kept::default());
        let stale = ship_all(step.spooled(), step.grown.subscribe(), sink(&kept, Trouble::Stale, 0), true).await;
        assert!(matches!(stale, Err(ShipError::Stale(_))));
        let kept = Rc::new(Kept::default());
        let refused = ship_all(step.spooled(), step.grown.subscribe(), sink(&kept, Trouble::Invalid, 0), true).await;
        assert_eq!(refused.unwrap(), step.expected());
        assert!(kept.bytes.borrow().is_empty());
    });
}

#[test]
fn a_spool_that_is_gone_is_told_without_a_hash() {
    on_paused_clock(async {
        let mut step = Step::new();
        step.print(b"line\n");
        step.end();
        std::fs::remove_file(step.spooled().log).unwrap();
        let kept = Rc::new(Kept::default());
        let shipped = ship_all(step.spooled(), step.grown.subscribe(), sink(&kept, Trouble::None, 0), true).await;
        assert_eq!(shipped.unwrap(), Shipped { size: 5, hash: None });
    });
}

#[test]
fn many_short_lines_go_together() {
    on_paused_clock(async {
        let mut step = Step::new();
        let kept = Rc::new(Kept::default());
        let spooled = step.spooled();
        let shipping =
            tokio::task::spawn_local(ship_all(spooled, step.grown.subscribe(), sink(&kept, Trouble::None, 5), true));
        for _ in 0..1000 {
            step.print(b"x\n");
            yield_now().await;
        }
        step.end();
        assert_eq!(shipping.await.unwrap().unwrap(), step.expected());
        assert!(kept.writes.get() < 1000, "{} writes", kept.writes.get());
    });
}
