//! Replays every input that a campaign kept: those that reach most of each reader, and those that once broke one. It also tries
//! similar inputs, each made from a number. `GUILD_MUTATIONS=COUNT` tries more of them, and `FIRST:COUNT` begins at another number.

mod mutate;
mod targets;

use mutate::mutated;
use rustix::time::{ClockId, clock_gettime};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;
use targets::{TARGETS, Target};

/// The longest CPU time that one input may take. It is generous, because programs without optimisation take ten times as long as
/// released ones.
const INPUT_TIME: Duration = Duration::from_secs(10);
/// The limit for the inputs of a corpus, because they are part of the repository.
const INPUTS_MAX: usize = 60;
/// The limit for the bytes of all inputs of a corpus together.
const BYTES_MAX: usize = 100 << 10;

/// Returns the CPU time that this thread has used, which does not depend on the load of the machine.
fn spent() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

fn inputs(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(corpus().join(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect()
}

fn replay(name: &str, target: Target) {
    let inputs = inputs(name);
    assert!((1..=INPUTS_MAX).contains(&inputs.len()), "{name} has {} inputs", inputs.len());
    assert!(
        inputs.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() <= BYTES_MAX,
        "the inputs of {name} are too large"
    );
    for (file, bytes) in inputs {
        println!("{}", file.display());
        let began = spent();
        target(&bytes);
        assert!(spent() - began < INPUT_TIME, "{} took {:?}", file.display(), spent() - began);
    }
}

/// The number of similar inputs that each run of the tests tries per target.
const MUTATIONS: u64 = 100;

/// Returns the first number of an input, and the count of inputs.
fn mutations() -> (u64, u64) {
    let asked = std::env::var("GUILD_MUTATIONS").unwrap_or_default();
    let (first, count) = asked.split_once(':').unwrap_or(("1", &asked));
    (first.parse().unwrap(), count.parse().unwrap_or(MUTATIONS))
}

fn mutate(name: &str, target: Target) {
    let corpus: Vec<Vec<u8>> = inputs(name).into_iter().map(|(_, bytes)| bytes).collect();
    let (first, count) = mutations();
    for number in first..first + count {
        let input = mutated(number, &corpus);
        let began = spent();
        if catch_unwind(AssertUnwindSafe(|| target(&input))).is_err() || spent() - began >= INPUT_TIME {
            let kept = std::env::temp_dir().join(format!("ended-{name}-{number}"));
            fs::write(&kept, &input).unwrap();
            panic!("{name}: input {number} ends its reader: {}", kept.display());
        }
    }
}

/// Makes one test for each target, so that each is counted and they run in parallel.
macro_rules! replayed {
    ($($name:ident)*) => {
        $(#[test] fn $name() {
            let (name, target) = TARGETS.iter().find(|(name, _)| *name == stringify!($name)).unwrap();
            replay(name, *target);
            mutate(name, *target);
        })*

        const REPLAYED: &[&str] = &[$(stringify!($name)),*];
    };
}

replayed! {
    account client git guild_toml hook ledger line_index log_render log_terminal master_toml ref_name report_junit report_libtest
    report_subunit report_tap server sturdy_ref test_list wire
}

#[test]
fn every_target_is_replayed_and_has_a_corpus() {
    let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, REPLAYED);
    let mut kept: Vec<String> =
        fs::read_dir(corpus()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    kept.sort();
    assert_eq!(kept, names);
}
