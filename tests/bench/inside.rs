//! Other roles of this program, which it starts itself: the commands that builds run, and processes that load a master.

use crate::proc::wall;
use std::io::{BufWriter, Write as _};
use std::process::ExitCode;
use std::time::Duration;

mod crowd;
pub mod hostile;

/// Plays the role that the arguments name. `None` means that they name none, and that the program shall measure.
pub fn main(arguments: &[String]) -> Option<ExitCode> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["_print", count] => print(number(count)),
        ["_count", count, every_ms] => tick(number(count), number(every_ms)),
        ["_subscribers", cap, count] => crowd::subscribers(cap, number(count)),
        ["_followers", cap, count, whose] => crowd::followers(cap, number(count), whose == "all"),
        ["_workers", dir, count] => crowd::workers(dir.as_ref(), number(count)),
        ["_attack", name, cap, key] => hostile::attack(name, cap.as_ref(), key.as_ref()),
        // the workers that run in this process start this program as the supervisor of their steps
        [worker::SUPERVISE, ..] => return Some(worker::supervise_main(&arguments[1..])),
        _ => return None,
    }
    Some(ExitCode::SUCCESS)
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("{text}: a number is expected"))
}

/// Prints `count` lines of 100 bytes each, no two of them equal, about as fast as a pipe takes them.
fn print(count: u64) {
    let mut out = BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
    let tails: Vec<String> = (1..=TAILS).map(tail).collect();
    for line in 0..count {
        let (mut number, mut digits) = (line, [b'0'; 8]);
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
        let tail = &tails[(line % TAILS) as usize];
        out.write_all(&digits).and_then(|()| out.write_all(tail.as_bytes())).expect("the output is read");
    }
    out.flush().expect("the output is read");
}

/// The number of different tails, which the lines take in turn. It is a prime, so that the pattern of tails does not align with
/// blocks, whose sizes are powers of two.
const TAILS: u64 = 997;

/// Returns the last 92 bytes of a line: digits that a compressor can hardly compress, and the line end.
fn tail(seed: u64) -> String {
    let mut text = " ".to_owned();
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    while text.len() < 91 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(&format!("{:018}", state >> 6));
    }
    text.truncate(91);
    text + "\n"
}

/// Prints `count` lines, each with the time at which it was printed, in nanoseconds since 1970.
fn tick(count: u64, every_ms: u64) {
    for _ in 0..count {
        println!("tick {}", wall().as_nanos());
        std::thread::sleep(Duration::from_millis(every_ms));
    }
}
