//! `guild-bench`: measures Guild end to end, with its own programs over TLS on loopback, and prints one JSON object per
//! line. Run it as `cargo run --profile dist --bin guild-bench -- [--quick] [METRIC…] [--with-buildbot]`.
//!
//! Absolute figures hold on a quiet machine: each run begins with a baseline, and every line tells the load.

mod chart;
mod crowd;
mod figures;
mod inside;
mod lab;
mod metrics;
mod peer;
mod proc;

use clap::{Parser, ValueEnum};
use figures::Figures;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use tokio::task::LocalSet;

/// Measures Guild end to end, with its own programs over TLS on loopback; one JSON object per line.
#[derive(Parser)]
#[command(name = "guild-bench")]
pub struct Options {
    /// Smaller sizes: all but those that must be named in less than 3 minutes
    #[arg(long)]
    quick: bool,
    /// Runs BuildBot's harness in the same run, and writes a table and a chart with both
    #[arg(long)]
    with_buildbot: bool,
    /// Where the harness is: `bench.py`, whose `setup.sh` was run
    #[arg(long, default_value = "../shared/peers/buildbot")]
    harness: PathBuf,
    /// Writes `bench.jsonl`, `bench.md` and `bench.svg` here
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// How much of `day` is played, in minutes, of which 72 are all; or how long `view-only` goes on
    #[arg(long)]
    minutes: Option<f64>,
    /// What to measure; all but `projects`, `day`, `build`, `hostile` and `view-only` if nothing is named
    metrics: Vec<Metric>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Metric {
    /// Start until ready, and until a worker is attached; sizes of the programs
    Ready,
    /// The trivial job, one after another
    Latency,
    /// Trivial jobs, many at once
    Throughput,
    /// A log of 100 MB, and reading it back
    Log,
    /// From a line printed to its being seen
    LogLag,
    /// Memory and CPU of workers that have nothing to do
    Idle,
    /// From the end of a command to its event at a subscriber
    Events,
    /// Throughput with many subscribers
    Fanout,
    /// Lists and starts with many builds in the store
    History,
    /// Pages with many builds, and what their readers cost others
    Pages,
    /// A push told by a signed delivery, until its step runs
    Hook,
    /// One long log that many follow while it is written
    Followers,
    /// Jobs that wait: decisions, lists, memory, restart
    Queue,
    /// Checkouts beside plain git
    Checkout,
    /// Bytes on the wire of a large repository; one commit for 40 workers
    Packs,
    /// A grant taken back with many calls in flight
    Revoke,
    /// The list of a job with many tests: until it is read, what that does to others, and lists then
    Tests,
    /// What a killed master or worker costs a step that runs
    Kill,
    /// Many projects: start, processes, and what a look at an unchanged repository costs
    Projects,
    /// A day of a large installation, 20 times fast
    Day,
    /// A build of everything as it is packaged, from nothing
    Build,
    /// What hostile peers cost a master, and another client's calls and logins beside them
    Hostile,
    /// A holder that may look, and asks for all that it may without a pause; `--minutes` of it
    ViewOnly,
}

impl Metric {
    /// It takes long, or is an answer to a question that is seldom asked.
    fn must_be_named(self) -> bool {
        matches!(self, Metric::Projects | Metric::Day | Metric::Build | Metric::Hostile | Metric::ViewOnly)
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(done) = inside::main(&arguments) {
        return done;
    }
    let options = Options::parse();
    let bin = programs();
    let figures = Figures::default();
    metrics::baseline(&figures);
    for metric in Metric::value_variants() {
        let is_named = options.metrics.contains(metric);
        let is_usual = options.metrics.is_empty() && !metric.must_be_named();
        let is_wanted = is_named || is_usual;
        if is_wanted {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            LocalSet::new().block_on(&runtime, metrics::measure(*metric, &options, &bin, &figures));
        }
    }
    if options.with_buildbot {
        peer::measure(&options, &figures);
    }
    match chart::write(&options.out, &figures.all()) {
        Ok(table) => eprintln!("{table}"),
        Err(error) => eprintln!("{}: {error}", options.out.display()),
    }
    ExitCode::SUCCESS
}

/// The directory of the programs that are measured. Cargo builds them now, with the profile of this program.
fn programs() -> PathBuf {
    let own = std::env::current_exe().expect("this program has a path");
    let bin = own.parent().map_or_else(PathBuf::new, Path::to_owned);
    if let Some(cargo) = std::env::var_os("CARGO") {
        // cargo calls the folder of a profile by its name, save one
        let folder = bin.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let profile = if folder == "debug" { "dev".to_owned() } else { folder };
        let built =
            Command::new(cargo).args(["build", "--profile", &profile, "--bins", "--locked", "--quiet"]).status();
        assert!(built.is_ok_and(|status| status.success()), "the programs cannot be built with the profile {profile}");
    }
    bin
}
